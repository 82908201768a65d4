/* SPDX-License-Identifier: Apache-2.0 */
/* What the monitor makes of the counters of a machine that may lie, and of the clock. */
#include "../testing.h"

#include "sandbox/monitor_metrics.c"

#include <signal.h>
#include <sys/wait.h>

struct fixture {
	struct monitor m;
	int fd;                  /* msb-vmm's */
	struct stats_page *page; /* where it counts */
};

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	struct err e;

	*state = f;
	f->m.loop = loop_new();
	f->m.state = MONITOR_READY;
	f->m.metrics.upper_fd = -1;
	f->m.spec.name = xstrdup("box");
	f->m.spec.cpus = 2;
	f->m.spec.memory_mib = 256;
	f->m.times.spawned = clock_mono_ns();
	f->fd = metrics_open(&f->m, &e);
	if (f->fd < 0)
		return -1;
	f->page = mmap(NULL, sizeof(*f->page), PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, 0);
	return f->page == MAP_FAILED ? -1 : 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	munmap(f->page, sizeof(*f->page));
	metrics_release(&f->m);
	close_fd(&f->fd);
	free(f->m.spec.name);
	loop_free(f->m.loop);
	free(f);
	return 0;
}

static uint64_t number(json_t *j, const char *key)
{
	json_t *value = json_object_get(j, key);

	assert_true(json_is_integer(value));
	return (uint64_t)json_integer_value(value);
}

static double real(json_t *j, const char *key)
{
	json_t *value = json_object_get(j, key);

	assert_true(json_is_real(value));
	return json_real_value(value);
}

/* It cannot be made shorter, which would end the monitor, nor longer. */
static void test_sealed(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ftruncate(f->fd, 0), -1);
	assert_int_equal(ftruncate(f->fd, 65536), -1);
	assert_int_equal(fcntl(f->fd, F_ADD_SEALS, F_SEAL_WRITE), -1);
}

static void test_before_the_machine(void **state)
{
	struct fixture *f = *state;
	json_t *j;

	f->m.state = MONITOR_LAUNCHING;
	f->page->upper.read_bytes = 5;
	j = metrics_answer(&f->m);
	assert_string_equal(json_string_value(json_object_get(j, "state")), "starting");
	assert_int_equal(number(j, "uptime_secs"), 0);
	assert_int_equal(number(j, "disk_read_bytes"), 0);
	assert_int_equal(number(j, "memory_bytes"), 0);
	json_decref(j);
}

static void test_counters(void **state)
{
	struct fixture *f = *state;
	json_t *j, *upper;

	metrics_start(&f->m);
	f->page->image.read_bytes = 1000;
	f->page->upper = (struct stats_disk){1, 20, 3, 4000};
	f->page->net = (struct stats_net){5, 600, 7, 80};
	f->page->balloon_bytes = 4096;
	j = metrics_answer(&f->m);
	assert_string_equal(json_string_value(json_object_get(j, "name")), "box");
	assert_string_equal(json_string_value(json_object_get(j, "state")), "running");
	assert_int_equal(number(j, "cpus"), 2);
	assert_int_equal(number(j, "memory_limit_bytes"), 256 * MIB);
	assert_int_equal(number(j, "disk_read_bytes"), 1020);
	assert_int_equal(number(j, "disk_write_bytes"), 4000);
	assert_int_equal(number(j, "balloon_freed_bytes"), 4096);
	assert_int_equal(number(j, "net_rx_frames"), 5);
	assert_int_equal(number(j, "net_rx_bytes"), 600);
	assert_int_equal(number(j, "net_tx_frames"), 7);
	assert_int_equal(number(j, "net_tx_bytes"), 80);
	upper = json_object_get(json_object_get(j, "disks"), "upper");
	assert_int_equal(number(upper, "reads"), 1);
	assert_int_equal(number(upper, "read_bytes"), 20);
	assert_int_equal(number(upper, "writes"), 3);
	json_decref(j);

	f->m.pause.paused = true;
	j = metrics_answer(&f->m);
	assert_string_equal(json_string_value(json_object_get(j, "state")), "paused");
	json_decref(j);
}

/* A counter never goes back, and is never too large for who reads it. */
static void test_lies(void **state)
{
	struct fixture *f = *state;
	json_t *j;

	metrics_start(&f->m);
	f->page->image.read_bytes = 1000;
	json_decref(metrics_answer(&f->m));
	f->page->image.read_bytes = 10;
	j = metrics_answer(&f->m);
	assert_int_equal(number(j, "disk_read_bytes"), 1000);
	assert_true(real(j, "disk_read_bytes_per_sec") >= 0);
	json_decref(j);

	memset(f->page, 0xff, sizeof(*f->page));
	j = metrics_answer(&f->m);
	assert_int_equal(number(j, "disk_read_bytes"), INT64_MAX);
	assert_int_equal(number(j, "disk_write_bytes"), INT64_MAX);
	assert_int_equal(number(j, "balloon_freed_bytes"), INT64_MAX);
	json_decref(j);
	memset(f->page, 0, sizeof(*f->page));
	j = metrics_answer(&f->m);
	assert_int_equal(number(j, "balloon_freed_bytes"), INT64_MAX);
	json_decref(j);
}

/* Rates are those since a sample of the timer that is old enough. */
static void test_base(void **state)
{
	struct metrics x = {
		.last.time_ns = 10 * NSEC_PER_SEC,
		.latest.time_ns = 10 * NSEC_PER_SEC + 1,
	};

	assert_ptr_equal(base_of(&x), &x.last); /* there is no other */
	x.before.time_ns = 9 * NSEC_PER_SEC;
	assert_ptr_equal(base_of(&x), &x.before);
	x.latest.time_ns = x.last.time_ns + RATE_MIN;
	assert_ptr_equal(base_of(&x), &x.last);

	assert_true(rate(100, 300, 2) == 100);
	assert_true(rate(100, 300, 0) == 0);
}

static void test_timer(void **state)
{
	struct fixture *f = *state;
	struct metrics *x = &f->m.metrics;
	uint64_t first;

	metrics_start(&f->m);
	first = x->last.time_ns;
	assert_true(first > 0 && x->before.time_ns == 0);
	f->page->upper.writes = 7;
	x->timer.fn(&x->timer);
	assert_int_equal(x->before.time_ns, first);
	assert_int_equal(x->last.upper.writes, 7);
	assert_true(x->timer.active);
}

/* Only a child of msb-vmm is believed to be the emulator. This process plays msb-vmm. */
static void test_emulator(void **state)
{
	static const char *const not_one[] = {"", "0", "1", "-1", "x", "999999999999", "4194305"};
	_cleanup_free_ char *text = NULL, *own = xasprintf("%d", getpid());
	struct fixture *f = *state;
	uint64_t before;
	pid_t child = fork();
	json_t *j;

	if (child == 0)
		for (;;)
			pause();
	f->m.vmm.child.pid = getpid();
	for (size_t i = 0; i < ARRAY_SIZE(not_one); i++)
		metrics_set_emulator(&f->m, not_one[i]);
	metrics_set_emulator(&f->m, own);
	assert_int_equal(f->m.metrics.emulator, 0);
	metrics_start(&f->m);
	before = f->m.metrics.latest.cpu_ns;
	assert_true(before > 0);
	j = metrics_answer(&f->m);
	assert_true(number(j, "memory_host_resident_bytes") > 0); /* ours */
	json_decref(j);

	text = xasprintf("%d", child);
	metrics_set_emulator(&f->m, text);
	assert_int_equal(f->m.metrics.emulator, child);
	metrics_set_emulator(&f->m, own); /* once and for all */
	assert_int_equal(f->m.metrics.emulator, child);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	/* Time that was used does not go away with who used it. */
	j = metrics_answer(&f->m);
	assert_true(number(j, "vcpu_time_ns") >= before);
	assert_int_equal(number(j, "memory_host_resident_bytes"), 0);
	json_decref(j);
}

static void test_status_line(void **state)
{
	static const char status[] = "Name:\tx\nRssAnon:\t    1234 kB\nRssShmem:\t       0 kB\n";

	assert_int_equal(status_bytes(status, "\nRssAnon:"), 1234 * KIB);
	assert_int_equal(status_bytes(status, "\nRssShmem:"), 0);
	assert_int_equal(status_bytes(status, "\nRssFile:"), 0);
	assert_int_equal(status_bytes("", "\nRssAnon:"), 0);
}

int main(void)
{
#define metrics_test(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		metrics_test(test_sealed),   metrics_test(test_before_the_machine),
		metrics_test(test_counters), metrics_test(test_lies),
		cmocka_unit_test(test_base), metrics_test(test_timer),
		metrics_test(test_emulator), cmocka_unit_test(test_status_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
