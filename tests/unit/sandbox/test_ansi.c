/* SPDX-License-Identifier: Apache-2.0 */
#include "../testing.h"

#include "sandbox/ansi.h"

static const struct {
	const char *in, *out;
} cases[] = {
	{"", ""},
	{"plain\ttext\r\n", "plain\ttext\r\n"},
	{"\033[1;31mred\033[0m!", "red!"},
	{"\033[38:2::1:2:3mx\033[?25l", "x"},
	{"\033]0;a title\007after", "after"},
	{"\033]8;;http://x/\033\\link\033]8;;\033\\", "link"},
	{"\033Pq#0;2\033\\x\033_apc\033\\y\033^pm\033\\z\033Xsos\033\\", "xyz"},
	{"\033(Bx\0337y\033=z\033M", "xyz"},
	{"\033\033[1mx", "x"},
	{"\033[12\nnext line", "\nnext line"}, /* cut off */
	{"\033[1\xc3\xa4", "\xc3\xa4"},
	{"\033[1\030x\033]title\032y", "xy"}, /* cancelled */
	{"\033]a\033[1mb", "b"},              /* a title that another sequence ends */
	{"\033", ""},
};

/* Wherever the text is cut, the result is the same. */
static void test_strip(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t n = strlen(cases[i].in);

		for (size_t cut = 0; cut <= n; cut++) {
			enum ansi_state s = ANSI_TEXT;
			uint8_t text[128];
			size_t len;

			memcpy(text, cases[i].in, n);
			len = ansi_strip(&s, text, cut, text);
			len += ansi_strip(&s, text + cut, n - cut, text + len);
			assert_int_equal(len, strlen(cases[i].out));
			assert_memory_equal(text, cases[i].out, len);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_strip)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
