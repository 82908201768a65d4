/* SPDX-License-Identifier: Apache-2.0 */
#include "image/platform.h"

#include <stdio.h>
#include <string.h>

#define LEVEL_MAX 1000U

static const struct {
	const char *name, *usual, *variant;
} spellings[] = {
	{"x86_64", "amd64", ""}, {"x86-64", "amd64", ""}, {"aarch64", "arm64", ""},
	{"armhf", "arm", "v7"},  {"armel", "arm", "v6"},  {"i386", "386", ""},
	{"i486", "386", ""},     {"i586", "386", ""},     {"i686", "386", ""},
	{"x86", "386", ""},
};

/* Letters, digits, and what is between them in names that exist. */
static bool part_valid(const char *s, size_t len)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_-.";

	return s && len > 0 && len < PLATFORM_PART_LEN && strspn(s, allowed) >= len;
}

static void copy(char out[PLATFORM_PART_LEN], const char *s, size_t len)
{
	out[0] = '\0';
	if (!part_valid(s, len))
		return;
	for (size_t i = 0; i < len; i++)
		out[i] = s[i] >= 'A' && s[i] <= 'Z' ? (char)(s[i] + 'a' - 'A') : s[i];
	out[len] = '\0';
}

static void normalise(struct platform *p)
{
	char number[PLATFORM_PART_LEN - 1];

	for (size_t i = 0; i < ARRAY_SIZE(spellings); i++) {
		if (strcmp(p->architecture, spellings[i].name) != 0)
			continue;
		copy(p->architecture, spellings[i].usual, strlen(spellings[i].usual));
		if (!*p->variant)
			copy(p->variant, spellings[i].variant, strlen(spellings[i].variant));
	}
	/* "7" is written, too. */
	if (p->variant[0] >= '0' && p->variant[0] <= '9' && strlen(p->variant) < sizeof(number)) {
		memcpy(number, p->variant, strlen(p->variant) + 1);
		snprintf(p->variant, sizeof(p->variant), "v%s", number);
	}
	if (strcmp(p->architecture, "arm") == 0 && !*p->variant)
		copy(p->variant, "v7", 2);
	if ((strcmp(p->architecture, "arm64") == 0 && strcmp(p->variant, "v8") == 0) ||
	    (strcmp(p->architecture, "amd64") == 0 && strcmp(p->variant, "v1") == 0))
		p->variant[0] = '\0';
}

void platform_set(struct platform *p, const char *os, const char *architecture, const char *variant)
{
	copy(p->os, os, os ? strlen(os) : 0);
	copy(p->architecture, architecture, architecture ? strlen(architecture) : 0);
	copy(p->variant, variant, variant ? strlen(variant) : 0);
	normalise(p);
}

int platform_parse(const char *text, struct platform *ret, struct err *e)
{
	const char *part[3] = {text, NULL, NULL};
	size_t len[3] = {0}, n = 0;

	for (const char *p = text; n < ARRAY_SIZE(part); n++) {
		part[n] = p;
		len[n] = strcspn(p, "/");
		p += len[n];
		if (*p != '/') {
			n++;
			break;
		}
		p++;
	}
	if (n < 2 || part[n - 1][len[n - 1]] != '\0')
		goto bad;
	for (size_t i = 0; i < n; i++)
		if (!part_valid(part[i], len[i]))
			goto bad;
	copy(ret->os, part[0], len[0]);
	copy(ret->architecture, part[1], len[1]);
	copy(ret->variant, part[2], len[2]);
	normalise(ret);
	return 0;
bad:
	err_set(e, ERR_INVALID, "invalid platform '%.100s'", text);
	return err_hint(e, "a platform is OS/ARCH or OS/ARCH/VARIANT, e.g. linux/arm64");
}

void platform_format(const struct platform *p, char out[PLATFORM_TEXT_LEN])
{
	snprintf(out, PLATFORM_TEXT_LEN, "%s/%s%s%s", p->os, p->architecture,
		 *p->variant ? "/" : "", p->variant);
}

void platform_host(struct platform *ret)
{
#if defined(__x86_64__)
	platform_set(ret, "linux", "amd64", NULL);
#elif defined(__aarch64__)
	platform_set(ret, "linux", "arm64", NULL);
#else
#error "unknown architecture"
#endif
}

/* The tens of a variant's level: "v7" 70, "v8.1" 81, "" what it stands for; 0 for no number. */
static unsigned level(const struct platform *p)
{
	unsigned major = 0, minor = 0;
	const char *s = p->variant;

	if (!*s)
		return strcmp(p->architecture, "arm64") == 0 ? 80 : 10;
	if (*s++ != 'v')
		return 0;
	for (; *s >= '0' && *s <= '9' && major < LEVEL_MAX; s++)
		major = major * 10 + (unsigned)(*s - '0');
	if (*s == '.' && s[1] >= '0' && s[1] <= '9') {
		minor = (unsigned)(s[1] - '0');
		s += 2;
	}
	return *s ? 0 : major * 10 + minor;
}

unsigned platform_score(const struct platform *wanted, const struct platform *offered)
{
	unsigned have, want;

	if ((*offered->os && strcmp(offered->os, wanted->os) != 0) ||
	    (*offered->architecture && strcmp(offered->architecture, wanted->architecture) != 0))
		return 0;
	if (strcmp(offered->variant, wanted->variant) == 0)
		return UINT32_MAX;
	have = level(offered);
	want = level(wanted);
	return have && want && have < want ? have : 0;
}
