/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The choice of a machine, what QEMU and its guest are told, and how the end of QEMU is reported;
 * a shell script plays QEMU.
 */
#include "../testing.h"

#include "virtio/rng.h"
#include "vmm/machine.h"
#include "vmm/qemu.h"
#include "vmm/qemu_args.h"
#include "vmm/relay.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

static void test_choice(void **state)
{
	char reason[MACHINE_REASON_MAX];
	struct err e = {};

	assert_string_equal(machine_choose("qemu", reason, &e)->name, "qemu");
	assert_string_equal(reason, "");
	assert_null(machine_choose("hyperv", reason, &e));
	assert_int_equal(e.code, ERR_USAGE);
	assert_non_null(strstr(e.msg, "hyperv"));
	assert_non_null(machine_choose("auto", reason, &e));
}

static void test_kernel_cmdline(void **state)
{
	struct machine_spec s = {.load_fd = -1, .cpus = 1, .cmdline = "quux=1"};
	char *line = qemu_kernel_cmdline(&s, 2596096, NULL);

	assert_non_null(strstr(line, "tsc_early_khz=2596096 tsc=reliable"));
	assert_non_null(strstr(line, "nolapic_timer noreplace-smp"));
	assert_non_null(strstr(line, " quux=1"));
	free(line);
	s.cpus = 2;
	s.cmdline = NULL;
	line = qemu_kernel_cmdline(&s, 0, NULL);
	assert_null(strstr(line, "tsc"));
	assert_null(strstr(line, "nolapic_timer"));
	assert_null(strstr(line, "noreplace-smp"));
	free(line);
}

static void test_long_cmdline(void **state)
{
	static char text[2000];
	struct machine_spec s = {.load_fd = -1, .cpus = 1, .cmdline = text};
	struct err e = {};

	memset(text, 'a', sizeof(text) - 1);
	assert_null(qemu_kernel_cmdline(&s, 2596096, &e));
	assert_int_equal(e.code, ERR_INVALID);
}

static bool has(const struct strv *args, const char *a, const char *b)
{
	for (size_t i = 0; i + 1 < args->n; i++)
		if (str_eq(args->v[i], a) && str_eq(args->v[i + 1], b))
			return true;
	return false;
}

static void test_args(void **state)
{
	struct virtio_device blk = {.id = VIRTIO_ID_BLOCK}, vsock = {.id = VIRTIO_ID_VSOCK};
	struct machine_spec s = {
		.load_fd = -1,
		.cpus = 2,
		.memory_mib = 300,
		.kernel_fd = 11,
		.initrd_fd = 12,
		.devices = {&blk, &vsock},
		.n_devices = 2,
	};
	struct strv args = {};

	qemu_args(&args, &s, "LINE", (const int[]){21, 22});
	assert_true(has(&args, "-smp", "2"));
	assert_true(has(&args, "-m", "300M"));
	assert_true(has(&args, "-kernel", "/proc/self/fd/11"));
	assert_true(has(&args, "-initrd", "/proc/self/fd/12"));
	assert_true(has(&args, "-append", "LINE"));
	assert_true(has(&args, "-chardev", "socket,id=c1,fd=22"));
	assert_true(has(&args, "-device", "vhost-user-blk,chardev=c0,bus=virtio-mmio-bus.7"));
	assert_true(
		has(&args, "-device", "vhost-user-vsock-device,chardev=c1,bus=virtio-mmio-bus.6"));
	assert_true(has(&args, "-global", "virtio-mmio.force-legacy=false"));
	strv_release(&args);
}

/* The card's properties come from the device; its socket is standard input, whatever the number. */
static void test_net_args(void **state)
{
	struct virtio_device rng = {.id = VIRTIO_ID_RNG};
	struct virtio_device net = {
		.id = VIRTIO_ID_NET,
		.config = {2, 0, 0xfe, 3, 4, 5, 1, 0, 1, 0, 0x78, 5},
	};
	struct machine_spec s = {
		.load_fd = -1,
		.cpus = 1,
		.memory_mib = 300,
		.kernel_fd = 11,
		.initrd_fd = -1,
		.devices = {&rng, &rng, &rng, &rng, &net},
		.n_devices = 5,
	};
	struct strv args = {};
	const char *card = "";

	qemu_args(&args, &s, "LINE", (const int[]){21, 22, 23, 24, 25});
	for (size_t i = 0; i < args.n; i++)
		if (str_starts_with(args.v[i], "virtio-net-device,"))
			card = args.v[i];
	assert_non_null(strstr(card, "mac=02:00:fe:03:04:05,host_mtu=1400,"));
	/* Place 3 has the interrupt of the clock. */
	assert_non_null(strstr(card, "netdev=n4,bus=virtio-mmio-bus.2,"));
	assert_true(has(&args, "-netdev", "vhost-user,id=n4,chardev=c4,queues=1"));
	assert_true(has(&args, "-chardev", "socket,id=c4,path=stdin"));
	/* Nothing else may read from there. */
	for (size_t i = 0; i < args.n; i++)
		assert_false(str_starts_with(args.v[i], "stdio"));
	strv_release(&args);
}

struct ending {
	struct loop *loop;
	enum machine_end end;
	char text[512];
};

static void on_end(struct machine *m, enum machine_end end, const char *text)
{
	struct ending *x = m->ctx;

	x->end = end;
	snprintf(x->text, sizeof(x->text), "%s", text);
	loop_stop(x->loop);
}

static void on_stop_timer(struct timer *t);

static struct {
	struct timer timer;
	struct machine *m;
} stopper = {.timer.fn = on_stop_timer};

static void on_stop_timer(struct timer *t)
{
	machine_stop(stopper.m);
}

/* In a child, as the machine confines its process. */
_Noreturn static void run_machine(struct machine_spec *s, bool stop, struct ending *x)
{
	struct err e = {};
	struct machine *m;

	x->loop = loop_new();
	m = machine_start(&qemu_machine_ops, x->loop, s, &e);
	if (!m)
		_exit(1);
	m->on_end = on_end;
	m->ctx = x;
	stopper.m = m;
	if (stop)
		timer_set(x->loop, &stopper.timer, 1);
	if (loop_run(x->loop) < 0)
		_exit(1);
	machine_free(m);
	_exit(0);
}

/* Runs a machine whose emulator is the script; returns what it wrote to the console. */
static char *run_script(const char *dir, const char *script, bool stop, struct ending *x)
{
	char *program = xasprintf("%s/qemu", dir), *console = xasprintf("%s/console", dir), *text;
	struct ending *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct machine_spec s = {
		.load_fd = -1,
		.cpus = 1,
		.memory_mib = 64,
		.kernel_fd = open("/dev/null", O_RDONLY | O_CLOEXEC),
		.initrd_fd = -1,
		.console_fd = open(console, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600),
		.qemu = program,
		.devices = {rng_new()},
		.n_devices = 1,
		.tsc = tsc_sample_take(),
	};
	pid_t pid;

	assert_ptr_not_equal(shared, MAP_FAILED);
	put_file(program, script);
	assert_int_equal(chmod(program, 0700), 0);
	shared->end = MACHINE_END_COUNT;
	pid = fork();
	if (pid == 0)
		run_machine(&s, stop, shared);
	assert_int_equal(child_status(pid), 0);
	*x = *shared;
	munmap(shared, sizeof(*shared));
	virtio_device_free(s.devices[0]);
	close(s.kernel_fd);
	close(s.console_fd);
	text = get_file(console);
	free(console);
	free(program);
	return text;
}

static void test_ends(void **state)
{
	static const struct {
		const char *script;
		bool stop;
		enum machine_end end;
		const char *text;
		const char *console;
	} cases[] = {
		{"#!/bin/sh\necho hello\n", false, MACHINE_END_REBOOT, "", "hello\n"},
		{"#!/bin/sh\necho 'Kernel panic - not syncing: Attempted to kill init!'\n"
		 "echo '---[ end'\n",
		 false, MACHINE_END_PANIC, "Attempted to kill init!",
		 "Kernel panic - not syncing: Attempted to kill init!\n---[ end\n"},
		{"#!/bin/sh\necho first >&2\necho no such device >&2\nexit 1\n", false,
		 MACHINE_END_ERROR, "qemu exited with status 1: no such device", ""},
		{"#!/bin/sh\nkill -SEGV $$\n", false, MACHINE_END_ERROR,
		 "qemu was killed by signal 11: it left no message", ""},
		{"#!/bin/sh\nexec sleep 100\n", true, MACHINE_END_KILLED, "", ""},
		{"not a program", false, MACHINE_END_ERROR, "cannot run qemu: ", ""},
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ending x;
		char *console = run_script(*state, cases[i].script, cases[i].stop, &x);

		assert_int_equal(x.end, cases[i].end);
		assert_true(str_starts_with(x.text, cases[i].text));
		assert_string_equal(console, cases[i].console);
		free(console);
	}
}

static void test_not_installed(void **state)
{
	struct machine_spec s = {
		.load_fd = -1,
		.cpus = 1,
		.kernel_fd = 0,
		.initrd_fd = -1,
		.console_fd = -1,
		.qemu = "/nonexistent/qemu",
		.devices = {rng_new()},
		.n_devices = 1,
		.tsc = tsc_sample_take(),
	};
	struct loop *loop = loop_new();
	struct err e = {};

	assert_null(machine_start(&qemu_machine_ops, loop, &s, &e));
	assert_non_null(strstr(e.msg, "/nonexistent/qemu"));
	assert_non_null(strstr(e.hint, "qemu-system-x86"));
	loop_free(loop);
}

/* --- The relay. */

static char seen[4][RELAY_LINE];
static unsigned int n_seen;

static void on_line(struct relay *r, const char *line)
{
	if (n_seen < ARRAY_SIZE(seen))
		snprintf(seen[n_seen], RELAY_LINE, "%s", line);
	n_seen++;
}

/* Reads on another thread, slowly: the relay has to wait for it and must lose nothing. */
static void *slow_reader(void *arg)
{
	static char got[300 * 1024];
	int fd = *(int *)arg;
	size_t n = 0;
	ssize_t r;

	while ((r = read(fd, got + n, MIN(sizeof(got) - n, (size_t)3000))) > 0) {
		n += (size_t)r;
		usleep(50);
	}
	return xstrndup(got, n);
}

static void *writer(void *arg)
{
	int fd = *(int *)arg;
	char line[100];

	for (int i = 0; i < 2500; i++) {
		int n = snprintf(line, sizeof(line), "line %d of a long story\n", i);

		assert_int_equal(write_full(fd, line, (size_t)n), 0);
	}
	return NULL;
}

static struct loop *relay_loop;

static void on_story_line(struct relay *r, const char *line)
{
	n_seen++;
	if (n_seen == 2500)
		loop_stop(relay_loop);
}

static void test_slow_reader(void **state)
{
	struct relay r;
	pthread_t reader_thread, writer_thread;
	void *text;
	int in[2], out[2];

	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	assert_int_equal(fcntl(out[1], F_SETPIPE_SZ, 4096), 4096);
	n_seen = 0;
	relay_loop = loop_new();
	assert_int_equal(relay_start(&r, relay_loop, in[0], out[1], on_story_line), 0);
	assert_int_equal(pthread_create(&reader_thread, NULL, slow_reader, &out[0]), 0);
	assert_int_equal(pthread_create(&writer_thread, NULL, writer, &in[1]), 0);
	assert_int_equal(loop_run(relay_loop), 0);
	pthread_join(writer_thread, NULL);
	close(in[1]);
	relay_finish(&r, 5000);
	close(out[1]);
	pthread_join(reader_thread, &text);
	assert_true(str_starts_with(text, "line 0 of a long story\nline 1 "));
	assert_true(str_ends_with(text, "\nline 2499 of a long story\n"));
	free(text);
	close(out[0]);
	loop_free(relay_loop);
}

static void test_lines(void **state)
{
	struct loop *loop = loop_new();
	struct relay r;
	char long_line[1000];
	int in[2];

	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	n_seen = 0;
	assert_int_equal(relay_start(&r, loop, in[0], -1, on_line), 0);
	assert_int_equal(write_full(in[1], "one\r\n\ntw", 8), 0);
	memset(long_line, 'l', sizeof(long_line));
	assert_int_equal(write_full(in[1], "o\n", 2), 0);
	assert_int_equal(write_full(in[1], long_line, sizeof(long_line)), 0);
	assert_int_equal(write_full(in[1], "\nrest", 5), 0);
	close(in[1]);
	relay_finish(&r, 0);
	assert_int_equal(n_seen, 4);
	assert_string_equal(seen[0], "one");
	assert_string_equal(seen[1], "two");
	assert_int_equal(strlen(seen[2]), RELAY_LINE - 1);
	assert_string_equal(seen[3], "rest");
	loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_choice),        cmocka_unit_test(test_kernel_cmdline),
		cmocka_unit_test(test_long_cmdline),  cmocka_unit_test(test_args),
		cmocka_unit_test(test_net_args),      temp_test(test_ends),
		cmocka_unit_test(test_not_installed), cmocka_unit_test(test_lines),
		cmocka_unit_test(test_slow_reader),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
