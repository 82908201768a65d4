/* SPDX-License-Identifier: Apache-2.0 */
/* msb doctor: whether sandboxes can run here, and if not, what is missing and how to get it. */
#include "cli/commands.h"

#include "base/cleanup.h"
#include "base/landlock.h"
#include "base/process.h"
#include "cli/machine.h"
#include "state/config.h"
#include "state/credentials.h"
#include "vmm/probe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Less than this for images and disks is worth a word. */
#define FREE_MIN (1 * GIB)

struct doctor_args {
	char *format;
};

static const struct opt doctor_opts[] = {
	{"format", 0, "FORMAT", opt_string, offsetof(struct doctor_args, format), "json", "json"},
	{0},
};

const struct opt *const doctor_options[] = {doctor_opts, NULL};
const size_t doctor_args_size = sizeof(struct doctor_args);

/* A bad one keeps sandboxes from running; with a poor one something is worse than it could be. */
enum health { HEALTH_GOOD, HEALTH_POOR, HEALTH_BAD };

struct finding {
	enum health health;
	const char *name;
	char *detail, *fix; /* owned; no fix for what is good */
};

#define FINDINGS_MAX 16

struct report {
	struct finding v[FINDINGS_MAX];
	size_t n;
};

/* Takes both texts over. */
static void add(struct report *r, enum health health, const char *name, char *detail, char *fix)
{
	if (r->n < FINDINGS_MAX)
		r->v[r->n++] = (struct finding){health, name, detail, fix};
}

static void add_err(struct report *r, const char *name, const struct err *e)
{
	add(r, HEALTH_BAD, name, xstrdup(e->msg), e->hint[0] ? xstrdup(e->hint) : NULL);
}

static void report_release(struct report *r)
{
	for (size_t i = 0; i < r->n; i++) {
		free(r->v[i].detail);
		free(r->v[i].fix);
	}
}

/* --- what is looked at --------------------------------------------------------------------- */

static void check_installation(struct report *r)
{
	static const struct {
		const char *path;
		int mode;
	} parts[] = {
		{"../lib/msb-monitor", X_OK},    {"../lib/msb-vmm", X_OK},
		{"../lib/msb-image", X_OK},      {"../lib/vmlinux", R_OK},
		{"../lib/initramfs.cpio", R_OK}, {"../lib/upper.ext4", R_OK},
	};
	_cleanup_free_ char *bin = program_relative_path("..");
	char *root;

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		_cleanup_free_ char *path = program_relative_path(parts[i].path);

		if (access(path, parts[i].mode) == 0)
			continue;
		add(r, HEALTH_BAD, "Installation", xasprintf("'%s': %s", path, strerror(errno)),
		    xstrdup("install msb again: make install"));
		return;
	}
	root = realpath(bin, NULL);
	add(r, HEALTH_GOOD, "Installation", root ? root : xstrdup(bin), NULL);
}

static void check_kvm(struct report *r, bool *usable)
{
	char reason[PROBE_REASON_MAX];
	char *fix;

	*usable = probe_kvm(NULL, reason);
	if (*usable) {
		add(r, HEALTH_GOOD, "KVM", xstrdup("usable"), NULL);
		return;
	}
	if (access("/dev/kvm", F_OK) < 0)
		fix = xstrdup("enable virtualisation in the firmware, or nested virtualisation of "
			      "this machine, and load kvm_intel or kvm_amd");
	else if (access("/dev/kvm", R_OK | W_OK) < 0)
		fix = xstrdup("sudo usermod -aG kvm $USER, then log in again");
	else
		fix = xstrdup("ask the provider of this machine for nested virtualisation");
	add(r, HEALTH_POOR, "KVM", xstrdup(reason), fix);
}

static void check_emulation(struct report *r, bool kvm)
{
	char *path = machine_find_qemu();

	if (path)
		add(r, HEALTH_GOOD, "Emulation", path, NULL);
	else
		add(r, kvm ? HEALTH_POOR : HEALTH_BAD, "Emulation",
		    xstrdup(kvm ? "QEMU is not installed; it is not needed where KVM is usable"
				: "QEMU is not installed, and KVM cannot be used"),
		    xstrdup("sudo apt-get install qemu-system-x86"));
}

static void check_landlock(struct report *r)
{
	int abi = landlock_abi();

	if (abi > 0)
		add(r, HEALTH_GOOD, "Confinement", xasprintf("seccomp and Landlock %d", abi), NULL);
	else
		add(r, HEALTH_POOR, "Confinement",
		    xstrdup("seccomp alone: this kernel has no Landlock"),
		    xstrdup("use a kernel from 5.13 on, with lsm=landlock among others"));
}

static void check_home(struct report *r, const struct home *h)
{
	_cleanup_free_ char *space = NULL;
	struct statvfs fs;
	uint64_t available;

	if (access(h->path, R_OK | W_OK | X_OK) < 0 || statvfs(h->path, &fs) < 0) {
		add(r, HEALTH_BAD, "Home", xasprintf("'%s': %s", h->path, strerror(errno)),
		    xstrdup("make it yours, or name another directory by MSB_HOME"));
		return;
	}
	available = (uint64_t)fs.f_bavail * fs.f_frsize;
	space = format_bytes(available);
	if (available < FREE_MIN)
		add(r, HEALTH_POOR, "Home", xasprintf("%s, only %s free", h->path, space),
		    xstrdup("remove what is not needed: msb image prune, msb rm"));
	else
		add(r, HEALTH_GOOD, "Home", xasprintf("%s, %s free", h->path, space), NULL);
}

static void check_database(struct report *r, struct cli *cli)
{
	_cleanup_stmt_ sqlite3_stmt *st = NULL;
	const char *answer;
	struct err e = {0};

	if (cli_open(cli, &e) < 0 ||
	    !(st = db_prepare(&cli->db, &e, "PRAGMA quick_check(1)", "")) ||
	    db_step(&cli->db, st, &e) <= 0) {
		add_err(r, "Database", &e);
		return;
	}
	answer = (const char *)sqlite3_column_text(st, 0);
	if (str_eq(answer, "ok"))
		add(r, HEALTH_GOOD, "Database", xstrdup("whole"), NULL);
	else
		add(r, HEALTH_BAD, "Database", xasprintf("damaged: %s", answer ? answer : ""),
		    xstrdup("move $MSB_HOME/db away to start with an empty one"));
}

static void check_configuration(struct report *r, const struct home *h)
{
	struct credential *logins;
	struct config config;
	struct err e = {0};
	size_t n;

	if (config_load(h, &config, &e) < 0) {
		add_err(r, "Configuration", &e);
		return;
	}
	config_release(&config);
	if (credentials_list(h, &logins, &n, &e) < 0) {
		add_err(r, "Configuration", &e);
		return;
	}
	add(r, HEALTH_GOOD, "Configuration", xasprintf("in order, %zu logins", n), NULL);
	while (n)
		credential_release(&logins[--n]);
	free(logins);
}

/* --- output -------------------------------------------------------------------------------- */

static bool is_well(const struct report *r)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->v[i].health == HEALTH_BAD)
			return false;
	return true;
}

static void print_report(const struct report *r)
{
	static const char *const marks[] = {"✓", "!", "✗"};

	for (size_t i = 0; i < r->n; i++) {
		const struct finding *f = &r->v[i];
		_cleanup_free_ char *detail = str_printable(f->detail);

		printf("%s %-15s%s\n", marks[f->health], f->name, detail);
		if (f->fix)
			printf("  → %s\n", f->fix);
	}
}

static void print_report_json(const struct report *r, const struct home *h)
{
	static const char *const words[] = {"good", "poor", "bad"};
	json_t *checks = json_array();

	for (size_t i = 0; i < r->n; i++)
		json_array_append_new(checks,
				      json_pack("{s:s, s:s, s:s, s:s?}", "name", r->v[i].name,
						"status", words[r->v[i].health], "detail",
						r->v[i].detail, "fix", r->v[i].fix));
	print_json(json_pack("{s:s, s:s?, s:b, s:o}", "version", MSB_VERSION, "home", h->path, "ok",
			     is_well(r), "checks", checks));
}

int cmd_doctor(struct cli *cli, void *args, struct operands *ops, struct err *e)
{
	const struct doctor_args *a = args;
	struct report r = {0};
	struct err home_err = {0};
	bool kvm, well;

	check_installation(&r);
	check_kvm(&r, &kvm);
	check_emulation(&r, kvm);
	check_landlock(&r);
	if (home_init(&cli->home, &home_err) < 0) {
		add_err(&r, "Home", &home_err);
	} else {
		check_home(&r, &cli->home);
		check_database(&r, cli);
		check_configuration(&r, &cli->home);
	}
	if (a->format)
		print_report_json(&r, &cli->home);
	else
		print_report(&r);
	well = is_well(&r);
	report_release(&r);
	return well ? 0 : 1;
}
