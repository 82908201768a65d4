/* SPDX-License-Identifier: Apache-2.0 */
/* References to images: what is accepted means the same when it is written and read again. */
#include "image.h"

#include "image/reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t n)
{
	char *text = xstrndup((const char *)input, n), *canonical, *again;
	struct reference r = {0}, s = {0};
	struct err e = {0};

	if (reference_parse(text, &r, &e) < 0) {
		CHECK(e.code == ERR_INVALID && e.msg[0]);
		CHECK(!r.host && !r.path && !r.tag);
		free(text);
		return 0;
	}
	CHECK(r.host && *r.host && r.path && *r.path && (r.tag || r.has_digest));
	/* Both become parts of a URL. */
	CHECK(!strpbrk(r.host, "/?#@% \\") && !strpbrk(r.path, "?#@%: \\"));
	CHECK(!strstr(r.path, "..") && !strstr(r.path, "//"));
	for (const char *p = text; *p; p++)
		CHECK(*p > ' ' && *p < 0x7f);
	canonical = reference_format(&r);
	CHECK(reference_parse(canonical, &s, &e) == 0);
	again = reference_format(&s);
	CHECK(strcmp(canonical, again) == 0);
	CHECK(strcmp(r.host, s.host) == 0 && strcmp(r.path, s.path) == 0 && str_eq(r.tag, s.tag));
	CHECK(r.has_digest == s.has_digest);
	reference_host_is_loopback(r.host);
	reference_release(&r);
	reference_release(&s);
	free(canonical);
	free(again);
	free(text);
	return 0;
}
