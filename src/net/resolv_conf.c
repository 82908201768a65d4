/* SPDX-License-Identifier: Apache-2.0 */
/* The name servers of resolv.conf(5). */
#include "net/resolver.h"

#include "base/util.h"

#include <string.h>

#define PORT_DNS 53

unsigned int resolv_conf_parse(const char *text, struct net_server out[NET_NAMESERVERS_MAX])
{
	unsigned int n = 0;

	while (*text && n < NET_NAMESERVERS_MAX) {
		size_t len = strcspn(text, "\n");
		char line[256], *rest = line, *word;

		if (len < sizeof(line)) {
			memcpy(line, text, len);
			line[len] = '\0';
			word = strsep(&rest, " \t\r");
			if (str_eq(word, "nameserver")) {
				while ((word = strsep(&rest, " \t\r")) && !*word)
					;
				if (word && addr_parse(word, &out[n].addr) == 0)
					out[n++].port = PORT_DNS;
			}
		}
		text += len + (text[len] == '\n');
	}
	return n;
}
