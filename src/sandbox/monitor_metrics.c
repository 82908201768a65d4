/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the machine does and uses, found out without the guest, which is not even woken.
 *
 *	processor	the kernel's clocks of msb-vmm and of QEMU
 *	memory		/proc/PID/status; guest memory is private to msb-vmm, or shared with QEMU
 *	devices		a page shared with msb-vmm, whose threads count in it (base/stats.h)
 *	disk		what the file of the writable disk occupies
 *
 * Totals are taken once a second and whenever somebody asks; the rates in an answer are those since
 * the latest of the former that is at least half a second old, so that nobody has to wait for a
 * second look. The timer is a lazy one: the kernel may put it together with others.
 *
 * The page is sealed in its size, so that reading it cannot fail, and what is in it is not trusted:
 * each value is taken once, never goes back, and has a bound. A machine that lies lies about
 * itself only.
 */
#include "sandbox/monitor.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>

#define INTERVAL      NSEC_PER_SEC
#define RATE_MIN      (NSEC_PER_SEC / 2)
#define TIMER_SLACK   (100 * NSEC_PER_MSEC)
#define COUNT_MAX     ((uint64_t)INT64_MAX) /* more is no number in JSON */
#define PROC_FILE_MAX ((size_t)16 << 10)

/* --- sources ------------------------------------------------------------------------------- */

/* The newer value of a counter, which does not go back. */
static uint64_t later(uint64_t before, uint64_t now)
{
	return MAX(before, MIN(now, COUNT_MAX));
}

static uint64_t process_cpu_ns(pid_t pid)
{
	struct timespec ts;
	clockid_t clock;

	if (pid <= 0 || clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &ts) < 0)
		return 0;
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static void take_disk(const struct stats_disk *from, struct stats_disk *ret)
{
	ret->reads = later(ret->reads, stats_read(&from->reads));
	ret->read_bytes = later(ret->read_bytes, stats_read(&from->read_bytes));
	ret->writes = later(ret->writes, stats_read(&from->writes));
	ret->written_bytes = later(ret->written_bytes, stats_read(&from->written_bytes));
}

static void take_net(const struct stats_net *from, struct stats_net *ret)
{
	ret->rx_frames = later(ret->rx_frames, stats_read(&from->rx_frames));
	ret->rx_bytes = later(ret->rx_bytes, stats_read(&from->rx_bytes));
	ret->tx_frames = later(ret->tx_frames, stats_read(&from->tx_frames));
	ret->tx_bytes = later(ret->tx_bytes, stats_read(&from->tx_bytes));
}

/* Brings the latest sample up to date. */
static void take(struct monitor *m)
{
	struct metrics *x = &m->metrics;
	uint64_t cpu = process_cpu_ns(m->vmm.child.pid) + process_cpu_ns(x->emulator);

	x->latest.time_ns = clock_mono_ns();
	x->latest.cpu_ns = later(x->latest.cpu_ns, cpu);
	take_disk(&x->page->image, &x->latest.image);
	take_disk(&x->page->upper, &x->latest.upper);
	take_net(&x->page->net, &x->latest.net);
	x->latest.balloon_bytes =
		later(x->latest.balloon_bytes, stats_read(&x->page->balloon_bytes));
}

/* A line "KEY: N kB" of a process's status in bytes; 0 when there is none. */
static uint64_t status_bytes(const char *status, const char *key)
{
	const char *line = strstr(status, key);

	return line ? strtoull(line + strlen(key), NULL, 10) * KIB : 0;
}

/* Guest memory that is there on the host. */
static uint64_t resident_bytes(const struct monitor *m)
{
	_cleanup_free_ char *path = NULL, *status = NULL;
	pid_t pid = m->metrics.emulator ? m->metrics.emulator : m->vmm.child.pid;

	if (pid <= 0)
		return 0;
	path = xasprintf("/proc/%d/status", pid);
	if (read_file(AT_FDCWD, path, PROC_FILE_MAX, &status, NULL) < 0)
		return 0;
	return status_bytes(status, m->metrics.emulator ? "\nRssShmem:" : "\nRssAnon:");
}

/* Whether a process is a child of another. */
static bool is_child(pid_t pid, pid_t parent)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/stat", pid), *stat = NULL;
	const char *p;

	if (read_file(AT_FDCWD, path, PROC_FILE_MAX, &stat, NULL) < 0)
		return false;
	/* "PID (NAME) STATE PPID ...", where the name may contain anything. */
	p = strrchr(stat, ')');
	return p && strlen(p) > 4 && strtol(p + 4, NULL, 10) == parent;
}

void metrics_set_emulator(struct monitor *m, const char *text)
{
	uint64_t pid;

	if (m->metrics.emulator == 0 && parse_u64(text, INT32_MAX, &pid) == 0 &&
	    m->vmm.child.pid > 0 && is_child((pid_t)pid, m->vmm.child.pid))
		m->metrics.emulator = (pid_t)pid;
}

/* --- samples ------------------------------------------------------------------------------- */

static void on_timer(struct timer *t)
{
	struct monitor *m = container_of(t, struct monitor, metrics.timer);
	struct metrics *x = &m->metrics;

	take(m);
	x->before = x->last;
	x->last = x->latest;
	timer_set(m->loop, t, x->latest.time_ns + INTERVAL);
}

/* What to compare the latest sample with. */
static const struct sample *base_of(const struct metrics *x)
{
	if (x->before.time_ns && x->latest.time_ns - x->last.time_ns < RATE_MIN)
		return &x->before;
	return &x->last;
}

/* Per second, between two values of a counter that does not go back. */
static double rate(uint64_t before, uint64_t now, double seconds)
{
	return seconds > 0 ? (double)(now - before) / seconds : 0;
}

/* --- answers ------------------------------------------------------------------------------- */

static const char *state_name(const struct monitor *m)
{
	static const char *const names[MONITOR_STATE_COUNT] = {"starting", "starting", "running",
							       "stopping"};

	return m->pause.paused && m->state == MONITOR_READY ? "paused" : names[m->state];
}

static json_t *disk_json(const struct stats_disk *d)
{
	return json_pack("{s:I, s:I, s:I, s:I}", "reads", (json_int_t)d->reads, "read_bytes",
			 (json_int_t)d->read_bytes, "writes", (json_int_t)d->writes, "write_bytes",
			 (json_int_t)d->written_bytes);
}

static void add_number(json_t *j, const char *key, uint64_t value)
{
	json_object_set_new(j, key, json_integer((json_int_t)MIN(value, COUNT_MAX)));
}

static void add_disks(json_t *j, const struct sample *now, const struct sample *base,
		      double seconds)
{
	double read_rate = rate(base->image.read_bytes, now->image.read_bytes, seconds) +
			   rate(base->upper.read_bytes, now->upper.read_bytes, seconds);
	double write_rate = rate(base->image.written_bytes, now->image.written_bytes, seconds) +
			    rate(base->upper.written_bytes, now->upper.written_bytes, seconds);

	add_number(j, "disk_read_bytes", now->image.read_bytes + now->upper.read_bytes);
	add_number(j, "disk_write_bytes", now->image.written_bytes + now->upper.written_bytes);
	json_object_set_new(j, "disk_read_bytes_per_sec", json_real(read_rate));
	json_object_set_new(j, "disk_write_bytes_per_sec", json_real(write_rate));
	json_object_set_new(j, "disks",
			    json_pack("{s:o, s:o}", "image", disk_json(&now->image), "upper",
				      disk_json(&now->upper)));
}

static void add_network(json_t *j, const struct sample *now, const struct sample *base,
			double seconds)
{
	double rx = rate(base->net.rx_bytes, now->net.rx_bytes, seconds);
	double tx = rate(base->net.tx_bytes, now->net.tx_bytes, seconds);

	add_number(j, "net_rx_bytes", now->net.rx_bytes);
	add_number(j, "net_tx_bytes", now->net.tx_bytes);
	add_number(j, "net_rx_frames", now->net.rx_frames);
	add_number(j, "net_tx_frames", now->net.tx_frames);
	json_object_set_new(j, "net_rx_bytes_per_sec", json_real(rx));
	json_object_set_new(j, "net_tx_bytes_per_sec", json_real(tx));
}

static void add_memory(const struct monitor *m, json_t *j)
{
	uint64_t limit = (uint64_t)m->spec.memory_mib * MIB, resident = resident_bytes(m);

	/* The process has a little memory of its own, too. */
	add_number(j, "memory_bytes", MIN(resident, limit));
	add_number(j, "memory_limit_bytes", limit);
	add_number(j, "memory_host_resident_bytes", resident);
	add_number(j, "balloon_freed_bytes", m->metrics.latest.balloon_bytes);
}

static void add_upper(const struct monitor *m, json_t *j)
{
	struct stat st = {0};

	if (m->metrics.upper_fd >= 0 && fstat(m->metrics.upper_fd, &st) < 0)
		st = (struct stat){0};
	add_number(j, "upper_host_allocated_bytes", (uint64_t)st.st_blocks * 512);
	add_number(j, "upper_size_bytes", (uint64_t)st.st_size);
}

json_t *metrics_answer(struct monitor *m)
{
	const struct metrics *x = &m->metrics;
	const struct sample *base;
	char when[RFC3339_LEN];
	double seconds;
	uint64_t uptime;
	json_t *j;

	/* Before there is a machine everything is 0. */
	if (x->last.time_ns)
		take(m);
	base = base_of(x);
	seconds = (double)(x->latest.time_ns - base->time_ns) / NSEC_PER_SEC;
	uptime = x->last.time_ns ? x->latest.time_ns - m->times.spawned : 0;
	rfc3339_format(clock_real_ns(), when);
	j = json_pack("{s:b, s:s, s:s, s:s, s:I, s:i, s:f, s:I}", "ok", 1, "name", m->spec.name,
		      "state", state_name(m), "timestamp", when, "uptime_secs",
		      (json_int_t)(uptime / NSEC_PER_SEC), "cpus", (int)m->spec.cpus, "cpu_percent",
		      rate(base->cpu_ns, x->latest.cpu_ns, seconds) / NSEC_PER_SEC * 100,
		      "vcpu_time_ns", (json_int_t)x->latest.cpu_ns);
	if (!j)
		return NULL;
	add_memory(m, j);
	add_disks(j, &x->latest, base, seconds);
	add_network(j, &x->latest, base, seconds);
	add_upper(m, j);
	return j;
}

/* --- set-up -------------------------------------------------------------------------------- */

int metrics_open(struct monitor *m, struct err *e)
{
	_cleanup_close_ int fd = memfd_create("msb-stats", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *p;

	if (fd < 0 || ftruncate(fd, sizeof(struct stats_page)) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return err_sys(e, errno, "cannot make the page for counters");
	p = mmap(NULL, sizeof(struct stats_page), PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return err_sys(e, errno, "cannot map the page for counters");
	m->metrics.page = p;
	return steal_fd(&fd);
}

void metrics_start(struct monitor *m)
{
	struct metrics *x = &m->metrics;

	/* Nothing of the monitor has to be on time to a tenth of a second. */
	prctl(PR_SET_TIMERSLACK, TIMER_SLACK, 0, 0, 0);
	take(m);
	x->last = x->latest;
	x->timer.fn = on_timer;
	timer_set(m->loop, &x->timer, x->latest.time_ns + INTERVAL);
}

void metrics_release(struct monitor *m)
{
	timer_cancel(m->loop, &m->metrics.timer);
	if (m->metrics.page)
		munmap((void *)m->metrics.page, sizeof(struct stats_page));
	close_fd(&m->metrics.upper_fd);
}
