/* SPDX-License-Identifier: Apache-2.0 */
#include "../testing.h"

#include "base/clock.h"
#include "cli/progress_view.h"

static const struct view_words words = {"Pulling", "downloading"};

struct fixture {
	struct progress_view v;
	struct buf out;
};

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	f->v = (struct progress_view){.words = &words, .subject = "demo", .stage = VIEW_TRANSFER};
	buf_init(&f->out, MIB);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	view_release(&f->v);
	buf_release(&f->out);
	free(f);
	return 0;
}

/* A digest that starts with the number; valid for four calls. */
static const char *digest(unsigned i)
{
	static char text[4][80];
	static unsigned next;
	char *t = text[next++ % 4];

	snprintf(t, 80, "sha256:%010u%054u", i, 0);
	return t;
}

/* Draws; returns the text, valid until the next call. */
static const char *draw(struct fixture *f, unsigned rows, unsigned cols, size_t *ret_lines)
{
	size_t n, found = 0, len = 0;
	const char *text;

	buf_consume(&f->out, buf_len(&f->out));
	n = view_render(&f->v, rows, cols, &f->out);
	buf_append(&f->out, "", 1);
	text = (const char *)buf_data(&f->out);
	for (const char *p = text; *p; p++) {
		len = *p == '\n' ? 0 : len + 1;
		found += *p == '\n';
		assert_true(len < MAX(cols, 2U));
	}
	assert_int_equal(found, n);
	assert_true(n <= MAX(rows, 1U));
	if (ret_lines)
		*ret_lines = n;
	return text;
}

static void test_columns(void **state)
{
	struct fixture *f = *state;

	view_set_layer(&f->v, "sha256:0123456789abcdef", VIEW_TRANSFERRING, 5 * MIB, 10 * MIB);
	view_set_layer(&f->v, "sha256:aaaabbbbccccdddd", VIEW_WAITING, 0, 3 * MIB);
	view_set_layer(&f->v, "sha256:eeeeffff00001111", VIEW_DONE, 2 * MIB, 2 * MIB);
	assert_string_equal(
		draw(f, 24, 100, NULL),
		"   0123456789ab  downloading  [==============>             ]       5.0 MiB / 10.0 "
		"MiB\n"
		"   aaaabbbbcccc  waiting      [                            ]            0 B / 3.0 "
		"MiB\n"
		"   eeeeffff0000  done         [============================]                  2.0 "
		"MiB\n"
		"   1/3 layers  7.0 MiB / 15.0 MiB  demo\n");
	/* No room for rates, then for sizes, then for the bar, then for the state. */
	assert_string_equal(draw(f, 2, 70, NULL),
			    "   0123456789ab  downloading  [======>     ]       5.0 MiB / 10.0 "
			    "MiB\n"
			    "   1/3 layers  7.0 MiB / 15.0 MiB  demo\n");
	assert_string_equal(draw(f, 2, 55, NULL),
			    "   0123456789ab  downloading  [========>       ]   50%\n"
			    "   1/3 layers  7.0 MiB / 15.0 MiB  demo\n");
	assert_string_equal(draw(f, 2, 40, NULL), "0123456789ab downloading  50%\n"
						  "1/3 layers  7.0 MiB / 15.0 MiB  demo\n");
	assert_string_equal(draw(f, 2, 20, NULL), "0123456789ab  50%\n"
						  "1/3 layers  7.0 MiB\n");
	assert_string_equal(draw(f, 2, 6, NULL), "01234\n"
						 "1/3 l\n");
}

static void test_any_size(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < 5; i++)
		view_set_layer(&f->v, digest(i), (enum view_state)i, i, 5);
	for (unsigned cols = 0; cols < 700; cols++)
		for (unsigned rows = 0; rows < 8; rows++)
			draw(f, rows, cols, NULL);
}

/* Of more layers than lines those are shown that something happens to. */
static void test_few_lines(void **state)
{
	struct fixture *f = *state;
	const char *text;
	size_t lines;

	for (unsigned i = 0; i < 100; i++)
		view_set_layer(&f->v, digest(i), i < 50 ? VIEW_DONE : VIEW_WAITING,
			       i < 50 ? MIB : 0, MIB);
	view_set_layer(&f->v, digest(70), VIEW_TRANSFERRING, MIB / 2, MIB);
	view_set_layer(&f->v, digest(20), VIEW_UNPACKING, MIB, MIB);
	text = draw(f, 5, 80, &lines);
	assert_int_equal(lines, 5);
	assert_non_null(strstr(text, "unpacking"));
	assert_non_null(strstr(text, "downloading"));
	assert_non_null(strstr(text, "waiting"));
	assert_null(strstr(text, "done"));
	assert_non_null(strstr(text, "49/100 layers"));
	/* In their order, whatever they were chosen for. */
	assert_true(strstr(text, "unpacking") < strstr(text, "waiting"));
	assert_true(strstr(text, "waiting") < strstr(text, "downloading"));
	text = draw(f, 1, 80, &lines);
	assert_int_equal(lines, 1);
	assert_non_null(strstr(text, "49/100 layers"));
	draw(f, 200, 80, &lines);
	assert_int_equal(lines, 101);
}

static void test_stages(void **state)
{
	struct fixture *f = *state;

	f->v.stage = VIEW_RESOLVE;
	assert_string_equal(draw(f, 24, 80, NULL), "   Pulling demo\n");
	view_set_layer(&f->v, digest(1), VIEW_DONE, 1, 1);
	f->v.stage = VIEW_METADATA;
	assert_string_equal(draw(f, 24, 80, NULL), "   Merging 1 layers of demo\n");
	f->v.subject = "a\033[2Jb\nc";
	assert_string_equal(draw(f, 24, 80, NULL), "   Merging 1 layers of a?[2Jb?c\n");
	f->v.subject = "ab\xc3\xa4"; /* never half a character */
	assert_string_equal(draw(f, 24, 27, NULL), "Merging 1 layers of ab\xc3\xa4\n");
	assert_string_equal(draw(f, 24, 24, NULL), "Merging 1 layers of ab\n");
}

static void test_rates(void **state)
{
	struct fixture *f = *state;
	uint64_t now = NSEC_PER_SEC;

	view_set_layer(&f->v, digest(0), VIEW_EXISTS, GIB, GIB);
	view_set_layer(&f->v, digest(1), VIEW_TRANSFERRING, 0, 100 * MIB);
	assert_true(view_active(&f->v));
	view_tick(&f->v, now);
	assert_null(strstr(draw(f, 24, 120, NULL), "/s"));
	view_set_layer(&f->v, digest(1), VIEW_TRANSFERRING, 2 * MIB, 100 * MIB);
	view_tick(&f->v, now + NSEC_PER_SEC / 10); /* too early to tell */
	assert_null(strstr(draw(f, 24, 120, NULL), "/s"));
	view_tick(&f->v, now + NSEC_PER_SEC);
	assert_non_null(strstr(draw(f, 24, 120, NULL), "  2.0 MiB/s\n"));
	/* That of the sum knows nothing of what was there. */
	assert_non_null(strstr(draw(f, 24, 120, NULL), "  2.0 MiB/s  demo\n"));
	for (int i = 2; i < 60; i++)
		view_tick(&f->v, now + (uint64_t)i * NSEC_PER_SEC);
	assert_null(strstr(draw(f, 24, 120, NULL), "/s")); /* it has stopped */
	view_set_layer(&f->v, digest(1), VIEW_DONE, 100 * MIB, 100 * MIB);
	assert_false(view_active(&f->v));
}

static void test_limits(void **state)
{
	struct fixture *f = *state;

	/* More than there is, and a total that shrinks. */
	view_set_layer(&f->v, digest(1), VIEW_TRANSFERRING, 20, 10);
	assert_int_equal(f->v.layers[0].done, 10);
	view_set_layer(&f->v, digest(1), VIEW_TRANSFERRING, UINT64_MAX, 5);
	assert_int_equal(f->v.layers[0].total, 10);
	view_set_layer(&f->v, "no digest at all", VIEW_TRANSFERRING, UINT64_MAX, UINT64_MAX);
	draw(f, 24, 80, NULL);
	for (unsigned i = 0; i < VIEW_LAYERS_MAX + 10; i++)
		view_set_layer(&f->v, digest(i), VIEW_WAITING, 0, 1);
	assert_int_equal(f->v.n_layers, VIEW_LAYERS_MAX);
}

#define view_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		view_test(test_columns), view_test(test_any_size), view_test(test_few_lines),
		view_test(test_stages),  view_test(test_rates),    view_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
