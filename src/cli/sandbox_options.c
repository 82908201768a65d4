/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/sandbox_options.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "cli/guest_options.h"
#include "cli/machine.h"
#include "image/reference.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define DEFAULT_MEMORY (512 * MIB)
#define DEFAULT_CPUS   1

/* What an ext4 with a journal needs, and what the guest still makes in good time. */
#define ROOT_DISK_MIN (128 * MIB)
#define ROOT_DISK_MAX (1024 * GIB)

/* How long a sandbox has to end that is replaced, and at most. */
#define REPLACE_GRACE     (10 * UINT64_C(1000))
#define REPLACE_GRACE_MAX (86400 * UINT64_C(1000))

/* --- options ------------------------------------------------------------------------------- */

#define FIELD(name) offsetof(struct sandbox_options, name)

static opt_parse_fn opt_root_disk;

const struct opt sandbox_opts[] = {
	{"name", 'n', "NAME", opt_string, FIELD(name),
	 "Name the sandbox; a named one is kept when it stops"},
	{"replace", 0, NULL, NULL, FIELD(replace),
	 "Stop and remove an existing sandbox of that name first"},
	{"replace-with-grace", 0, "DURATION", opt_replace_grace, FIELD(replace_grace),
	 "The same; its programs are killed after this time, e.g. 0, 500ms, 2m [default: 10s]"},
	{"replace-with-timeout", 0, "DURATION", opt_replace_grace, FIELD(replace_grace), NULL},
	{"memory", 'm', "SIZE", opt_memory, FIELD(memory),
	 "Memory, e.g. 512M or 2G [default: 512M]"},
	{"root-disk", 0, "SIZE", opt_root_disk, FIELD(root_disk),
	 "Size of the disk that takes what is written to the root [default: 4G]"},
	{"rw-root", 0, NULL, NULL, FIELD(rw_root),
	 "Write to the folder that is the root, not to a disk of the sandbox"},
	{"oci-upper-size", 0, "SIZE", opt_root_disk, FIELD(root_disk), NULL},
	{"cpus", 'c', "N", opt_cpus, FIELD(cpus), "Number of virtual CPUs [default: 1]"},
	{"env", 'e', "KEY=VALUE", opt_env, FIELD(env),
	 "Set an environment variable; KEY alone copies the caller's"},
	{"label", 0, "KEY=VALUE", opt_label, FIELD(labels),
	 "Label the sandbox, for --label of other commands"},
	{"workdir", 'w', "PATH", opt_string, FIELD(workdir), "Working directory of commands"},
	{"user", 'u', "USER", opt_string, FIELD(user), "User of commands: name, uid, uid:gid"},
	{"hostname", 'H', "NAME", opt_string, FIELD(hostname),
	 "Host name in the guest [default: the sandbox's name]"},
	{"entrypoint", 0, "COMMAND", opt_string, FIELD(entrypoint),
	 "Replace the image's entrypoint (one word)"},
	{"shell", 0, "PATH", opt_string, FIELD(shell),
	 "Shell for sessions without a command [default: /bin/sh]"},
	{"pull", 0, "WHEN", opt_string, FIELD(pull),
	 "Pull the image: always, if-missing, never [default: if-missing]",
	 "always if-missing never"},
	{"insecure", 0, NULL, NULL, FIELD(insecure), "Allow plain HTTP when pulling"},
	{"ca-certs", 0, "FILE", opt_string, FIELD(ca_certs),
	 "Trust the authorities in this PEM file, too, when pulling"},
	{"platform", 0, "OS/ARCH", opt_string, FIELD(platform),
	 "Choose the image for this platform, e.g. linux/amd64/v3"},
	{"progress", 0, "HOW", opt_string, FIELD(progress),
	 "Show the progress of pulling as bars, lines, or none [default: auto]",
	 "auto bars lines none"},
	{"rlimit", 0, "RESOURCE=SOFT[:HARD]", opt_rlimit, FIELD(rlimits),
	 "Limit a resource of every command, e.g. nofile=1024 or core=0:unlimited"},
	{"script", 0, "NAME=BODY", opt_script, FIELD(scripts),
	 "Put a script of the shell into PATH; \\n, \\t, \\\" ... in BODY are decoded"},
	{"script-raw", 0, "NAME=BODY", opt_script, FIELD(raw_scripts),
	 "The same with exactly this content"},
	{"script-path", 0, "NAME:PATH", opt_script_path, FIELD(script_paths),
	 "The same with the content of a file"},
	{"security", 0, "PROFILE", opt_string, FIELD(security),
	 "restricted: commands gain no privileges and lack CAP_SYS_ADMIN [default: default]",
	 "default restricted"},
	{"init", 0, "PATH", opt_string, FIELD(init),
	 "Run this init as process 1 of the commands; auto: the image's"},
	{"init-arg", 0, "ARG", opt_strings, FIELD(init_args), "Argument of the init"},
	{"init-env", 0, "KEY=VALUE", opt_env, FIELD(init_env),
	 "Environment variable of the init alone; KEY alone copies the caller's"},
	{"machine", 0, "KIND", opt_string, FIELD(machine),
	 "What runs the guest: auto, kvm, qemu [default: auto]", "auto kvm qemu"},
	{"kernel", 0, "FILE", opt_string, FIELD(kernel),
	 "Boot this kernel (ELF vmlinux or bzImage) instead of msb's own"},
	{"max-duration", 0, "DURATION", opt_limit, FIELD(max_duration),
	 "Stop the sandbox when it has run for so long"},
	{"idle-timeout", 0, "DURATION", opt_limit, FIELD(idle_timeout),
	 "Stop the sandbox when nobody has used it for so long"},
	{"log-level", 0, "LEVEL", opt_string, FIELD(log_level),
	 "Detail of the runtime's log: error, warn, info, debug, trace",
	 "error warn info debug trace"},
	{"conf", 0, "FILE", opt_strings, FIELD(conf),
	 "Take options from this YAML or JSON file; those typed here win"},
	{"quiet", 'q', NULL, NULL, FIELD(quiet), "Print no progress and no notices"},
	{0},
};

#define LATER(name, letter, metavar, what)                       \
	{                                                        \
		name, letter, metavar, NULL, 0, NULL, NULL, what \
	}

const struct opt later_opts[] = {
	LATER("snapshot", 0, "NAME", "snapshots"),
	LATER("from-snapshot", 0, "NAME", "snapshots"),
	LATER("vsock", 0, "PATH:PORT", "sockets of the host"),
	LATER("secret", 0, "SPEC", "secrets"),
	LATER("on-secret-violation", 0, "ACTION", "secrets"),
	LATER("tls-intercept", 0, NULL, "TLS interception"),
	LATER("tls-intercept-port", 0, "PORT", "TLS interception"),
	LATER("tls-bypass", 0, "NAME", "TLS interception"),
	LATER("trust-host-cas", 0, NULL, "TLS interception"),
	{0},
};

int opt_env(const char *value, void *field, struct err *e)
{
	size_t len = strcspn(value, "=");
	const char *host;

	if (len == 0)
		return err_set(e, ERR_INVALID, "the variable has no name");
	if (value[len] == '=')
		return opt_strings(value, field, e);
	host = getenv(value);
	if (!host)
		return err_set(e, ERR_INVALID, "environment variable '%s' not set", value);
	strv_take(field, xasprintf("%s=%s", value, host));
	return 0;
}

int opt_limit(const char *value, void *field, struct err *e)
{
	uint64_t ms;

	if (opt_duration(value, &ms, e) < 0)
		return -1;
	if (ms == 0)
		return err_set(e, ERR_INVALID, "must be at least 1 s");
	*(uint64_t *)field = ms;
	return 0;
}

static int opt_root_disk(const char *value, void *field, struct err *e)
{
	uint64_t size;

	if (opt_memory(value, &size, e) < 0)
		return -1;
	if (size < ROOT_DISK_MIN || size > ROOT_DISK_MAX)
		return err_set(e, ERR_INVALID, "the root's disk can have %llu MiB to %llu TiB",
			       ROOT_DISK_MIN / MIB, ROOT_DISK_MAX / GIB / 1024);
	*(uint64_t *)field = size;
	return 0;
}

int opt_replace_grace(const char *value, void *field, struct err *e)
{
	struct replace_grace *grace = field;

	if (opt_duration_ms(value, &grace->ms, e) < 0)
		return -1;
	if (grace->ms > REPLACE_GRACE_MAX)
		return err_set(e, ERR_INVALID, "it can be at most a day");
	grace->given = true;
	return 0;
}

bool sandbox_replaces(const struct sandbox_options *o, uint64_t *ret_grace_ms)
{
	*ret_grace_ms = o->replace_grace.given ? o->replace_grace.ms : REPLACE_GRACE;
	return o->replace || o->replace_grace.given;
}

bool image_is_path(const char *image)
{
	return image[0] == '/' || str_starts_with(image, "./") || str_starts_with(image, "../") ||
	       strcmp(image, ".") == 0 || strcmp(image, "..") == 0;
}

static int check_image(const char *image, struct err *e)
{
	struct reference ref;
	struct stat st;

	if (!image_is_path(image)) {
		if (reference_parse(image, &ref, e) < 0)
			return -1;
		reference_release(&ref);
		return 0;
	}
	if (stat(image, &st) < 0)
		return err_sys(e, errno, "cannot use '%s' as root file system", image);
	if (!S_ISDIR(st.st_mode))
		return err_set(e, ERR_UNSUPPORTED,
			       "cannot use '%s' as root file system: not a directory", image);
	return 0;
}

static int check_absolute(const char *what, const char *path, struct err *e)
{
	if (path && path[0] != '/')
		return err_set(e, ERR_INVALID, "%s must be an absolute path: '%s'", what, path);
	return 0;
}

/* A path, or a name that is looked up in PATH. */
static int check_shell(const char *shell, struct err *e)
{
	if (!*shell || strpbrk(shell, " \t\n\r\v\f") || shell[strspn(shell, "/")] == '\0')
		return err_set(e, ERR_INVALID, "invalid shell: '%s'", shell);
	return strchr(shell, '/') ? check_absolute("the shell", shell, e) : 0;
}

/* Whether a file can be a kernel at all; what is wrong inside is found when it is loaded. */
static int check_kernel(const char *path, struct err *e)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	char head[0x206];
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, errno, "cannot use '%s' as kernel", path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_INVALID, "cannot use '%s' as kernel: not a file", path);
	n = read_full(fd, head, sizeof(head));
	if (n < 0)
		return err_sys(e, (int)-n, "cannot use '%s' as kernel", path);
	if (n == sizeof(head) &&
	    (memcmp(head, "\177ELF", 4) == 0 || memcmp(head + 0x202, "HdrS", 4) == 0))
		return 0;
	return err_set(e, ERR_INVALID,
		       "cannot use '%s' as kernel: neither an ELF vmlinux nor a bzImage", path);
}

int sandbox_fetch_options(const struct sandbox_options *o, struct image_fetch *ret, struct err *e)
{
	*ret = (struct image_fetch){.registry = {.insecure = o->insecure, .ca_certs = o->ca_certs},
				    .quiet = o->quiet};
	if (image_fetch_options(o->progress, false, o->platform, ret, e) < 0)
		return -1;
	return o->platform ? platform_check_runnable(o->platform, e) : 0;
}

int sandbox_options_check(const struct sandbox_options *o, const char *image, struct err *e)
{
	struct image_fetch fetch;
	enum machine_kind machine;
	uint64_t grace;

	if (sandbox_replaces(o, &grace) && !o->name)
		return err_set(e, ERR_USAGE,
			       "the following required arguments were not provided: --name <NAME> "
			       "(to say what to replace)");
	if (o->name && sandbox_name_check(o->name, e) < 0)
		return -1;
	if (image && check_image(image, e) < 0)
		return -1;
	if (o->rw_root && image && !image_is_path(image))
		return err_set(e, ERR_USAGE,
			       "'--rw-root' needs a folder as root, not the image '%s'", image);
	if (o->memory && (o->memory < SPEC_MEMORY_MIB_MIN * MIB ||
			  o->memory > (uint64_t)SPEC_MEMORY_MIB_MAX * MIB))
		return err_set(e, ERR_INVALID, "memory must be at least %d MiB",
			       SPEC_MEMORY_MIB_MIN);
	if (check_absolute("the working directory", o->workdir, e) < 0 ||
	    (o->shell && check_shell(o->shell, e) < 0))
		return -1;
	if (o->hostname && (!*o->hostname || strlen(o->hostname) > SANDBOX_HOSTNAME_MAX ||
			    strpbrk(o->hostname, " \t\n/")))
		return err_set(e, ERR_INVALID, "invalid host name: '%s'", o->hostname);
	if (o->entrypoint && !*o->entrypoint)
		return err_set(e, ERR_INVALID, "the entrypoint must not be empty");
	if (mount_options_check(&o->mounts, e) < 0 || guest_options_check(o, e) < 0 ||
	    network_options_check(&o->network, o->quiet, e) < 0)
		return -1;
	if (registry_ca_certs_check(o->ca_certs, e) < 0 || sandbox_fetch_options(o, &fetch, e) < 0)
		return -1;
	if (o->kernel && check_kernel(o->kernel, e) < 0)
		return -1;
	{
		_cleanup_free_ char *qemu = NULL;

		return machine_choose(o->machine, o->quiet, &machine, &qemu, e);
	}
}

/* --- configuration ------------------------------------------------------------------------- */

/* -1 when the value is not UTF-8. */
static int set_string(json_t *j, const char *key, const char *value)
{
	return value && *value ? json_object_set_new(j, key, json_string(value)) : 0;
}

static const char *image_string(json_t *image_config, const char *key)
{
	return json_string_value(json_object_get(image_config, key));
}

static int set_seconds(json_t *j, const char *key, uint64_t ms)
{
	return ms ? json_object_set_new(j, key, json_integer((json_int_t)(ms / 1000))) : 0;
}

/* Image variables first, the user's over them: the last assignment of a name wins in the guest. */
static json_t *merged_env(json_t *image_config, const struct strv *env)
{
	json_t *a = json_array(), *own = message_strings(env), *item;
	size_t i;
	int r;

	json_array_foreach (json_object_get(image_config, "Env"), i, item)
		if (json_is_string(item) && strchr(json_string_value(item), '='))
			json_array_append(a, item);
	r = json_array_extend(a, own);
	json_decref(own);
	if (r == 0)
		return a;
	json_decref(a); /* one of the user's is not UTF-8 */
	return NULL;
}

json_t *sandbox_config_build(const struct sandbox_options *o, json_t *record)
{
	/* The sandbox may be started from another directory. */
	_cleanup_free_ char *kernel = o->kernel ? realpath(o->kernel, NULL) : NULL;
	json_t *image = json_object_get(record, "config"), *entrypoint, *j;

	if (o->entrypoint) {
		entrypoint = json_pack("[s]", o->entrypoint);
		if (!entrypoint)
			return NULL;
	} else if (o->conf_entrypoint) {
		entrypoint = json_incref(o->conf_entrypoint);
	} else {
		entrypoint = json_incref(json_object_get(image, "Entrypoint"));
	}
	j = json_pack("{s:O?, s:i, s:I, s:s, s:o, s:o*, s:O*}", "image", record, "cpus",
		      (int)(o->cpus ? o->cpus : DEFAULT_CPUS), "memory_mib",
		      (json_int_t)((o->memory ? o->memory : DEFAULT_MEMORY) / MIB), "machine",
		      o->machine ? o->machine : "auto", "env", merged_env(image, &o->env),
		      "entrypoint", entrypoint, "cmd",
		      o->conf_cmd ? o->conf_cmd : json_object_get(image, "Cmd"));
	if (j && o->root_disk)
		json_object_set_new(j, "root_disk_bytes", json_integer((json_int_t)o->root_disk));
	if (!j ||
	    set_string(j, "workdir", o->workdir ? o->workdir : image_string(image, "WorkingDir")) <
		    0 ||
	    set_string(j, "user", o->user ? o->user : image_string(image, "User")) < 0 ||
	    set_string(j, "hostname", o->hostname) < 0 || set_string(j, "shell", o->shell) < 0 ||
	    set_string(j, "kernel", kernel) < 0 ||
	    set_seconds(j, "max_duration_secs", o->max_duration) < 0 ||
	    set_seconds(j, "idle_timeout_secs", o->idle_timeout) < 0) {
		json_decref(j);
		return NULL;
	}
	return j;
}
