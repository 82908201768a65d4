/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics as Prometheus wants them, as a table, and the addresses that they may be served at. */
#include "../testing.h"

#include "cli/metrics_http.h"
#include "cli/metrics_view.h"
#include "cli/prometheus.h"

static char *render(const char *json)
{
	json_t *list = json_loads(json, 0, NULL);
	char *text = NULL;
	size_t n;
	FILE *out = open_memstream(&text, &n);

	assert_non_null(list);
	prometheus_write(list, out);
	fclose(out);
	json_decref(list);
	return text;
}

static void assert_line(const char *text, const char *line)
{
	_cleanup_free_ char *whole = xasprintf("\n%s\n", line);

	if (!strstr(text, whole))
		fail_msg("no line '%s' in:\n%s", line, text);
}

static size_t count(const char *text, const char *part)
{
	size_t n = 0;

	for (const char *p = text; (p = strstr(p, part)); p++)
		n++;
	return n;
}

static void test_values(void **state)
{
	_cleanup_free_ char *text = render(
		"[{\"name\":\"a\",\"state\":\"running\",\"cpus\":2,\"vcpu_time_ns\":1500000001,"
		"\"cpu_percent\":12.5,\"memory_bytes\":9223372036854775807,\"labels\":{},"
		"\"disks\":{\"image\":{\"reads\":1,\"read_bytes\":512},\"upper\":{\"reads\":2}}},"
		"{\"name\":\"b\",\"state\":\"stalled\"}]");

	assert_line(text, "msb_sandbox_state{name=\"a\",state=\"running\"} 1");
	assert_line(text, "msb_sandbox_state{name=\"b\",state=\"stalled\"} 1");
	assert_line(text, "# TYPE msb_cpu_seconds_total counter");
	assert_line(text, "msb_cpu_seconds_total{name=\"a\"} 1.500000001");
	assert_line(text, "msb_memory_bytes{name=\"a\"} 9223372036854775807");
	assert_line(text, "msb_disk_reads_total{name=\"a\",disk=\"image\"} 1");
	assert_line(text, "msb_disk_reads_total{name=\"a\",disk=\"upper\"} 2");
	/* What there is not is not there. */
	assert_int_equal(count(text, "{name=\"b\""), 1);
	assert_int_equal(count(text, "msb_disk_read_bytes_total{"), 1);
	/* One head per family, whoever has values of it. */
	assert_int_equal(count(text, "# HELP msb_disk_reads_total "), 1);
	assert_int_equal(count(text, "# HELP "), count(text, "# TYPE "));
}

/* Values are escaped; names are made ones, and each occurs once. */
static void test_labels(void **state)
{
	_cleanup_free_ char *text = render(
		"[{\"name\":\"a\",\"state\":\"running\",\"labels\":{\"a.b\":\"1\",\"a-b\":\"2\","
		"\"name\":\"q\\\"\\\\\\n\",\"\u00e9/x\":\"\u00e9\"}}]");

	assert_line(text, "msb_sandbox_state{name=\"a\",state=\"running\",label_a_b=\"1\","
			  "label_name=\"q\\\"\\\\\\n\",label____x=\"\u00e9\"} 1");
}

static void test_none(void **state)
{
	_cleanup_free_ char *text = render("[]");

	for (char *line = text; *line; line = strchr(line, '\n') + 1)
		assert_int_equal(*line, '#');
}

static void test_uptime(void **state)
{
	static const struct {
		uint64_t seconds;
		const char *text;
	} cases[] = {{0, "0s"},        {59, "59s"},    {60, "1m0s"},
		     {3599, "59m59s"}, {3661, "1h1m"}, {90000, "1d1h"}};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *text = metrics_uptime(cases[i].seconds);

		assert_string_equal(text, cases[i].text);
	}
}

static void assert_order(json_t *list, enum metrics_order order, const char *expected)
{
	char names[8] = "";
	json_t *j;
	size_t i;

	metrics_sort(list, order);
	json_array_foreach (list, i, j)
		strncat(names, json_string_value(json_object_get(j, "name")), 1);
	assert_string_equal(names, expected);
}

static void test_sort(void **state)
{
	json_t *list = json_loads(
		"[{\"name\":\"d\"},{\"name\":\"b\",\"cpu_percent\":1.5,\"memory_bytes\":9},"
		"{\"name\":\"c\",\"cpu_percent\":99.0,\"memory_bytes\":9},"
		"{\"name\":\"a\",\"cpu_percent\":1.5,\"memory_bytes\":10}]",
		0, NULL);

	assert_order(list, METRICS_BY_NAME, "abcd");
	assert_order(list, METRICS_BY_CPU, "cabd");
	assert_order(list, METRICS_BY_MEMORY, "abcd");
	json_decref(list);
}

static void test_addresses(void **state)
{
	static const char *const refused[] = {"",
					      "9464",
					      "127.0.0.1",
					      "127.0.0.1:",
					      "127.0.0.1:65536",
					      "0.0.0.0:0",
					      "192.168.0.1:0",
					      "[::]:0",
					      "[::1:0",
					      "::1:0",
					      "[fe80::1]:0",
					      "localhost:0",
					      "127.0.0.1:0x1f",
					      "[::ffff:1.2.3.4]:0",
					      ":0"};
	char url[80];
	struct err e;
	int fd;

	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		e = (struct err){0};
		if (metrics_http_listen(refused[i], url, &e) >= 0)
			fail_msg("'%s' is listened at", refused[i]);
		assert_int_equal(e.code, ERR_USAGE);
	}
	fd = metrics_http_listen("127.0.0.2:0", url, &e);
	assert_true(fd >= 0);
	assert_true(str_starts_with(url, "http://127.0.0.2:") && str_ends_with(url, "/metrics"));
	assert_false(str_starts_with(url, "http://127.0.0.2:0/"));
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values), cmocka_unit_test(test_labels),
		cmocka_unit_test(test_none),   cmocka_unit_test(test_uptime),
		cmocka_unit_test(test_sort),   cmocka_unit_test(test_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
