/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/start.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "cli/guest_options.h"
#include "cli/image_tool.h"
#include "cli/machine.h"
#include "cli/mounts.h"
#include "cli/network_boot.h"
#include "cli/turn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* In the order in which the monitor gives them to the machine. */
#define IMAGE_DISK "/dev/vda"
#define UPPER_DISK "/dev/vdb"

/* --- commands ------------------------------------------------------------------------------ */

void sandbox_resolve_command(const struct sandbox_row *row, const struct strv *command,
			     struct strv *ret)
{
	json_add_strings(ret, json_object_get(row->config, "entrypoint"));
	if (command->n == 0)
		json_add_strings(ret, json_object_get(row->config, "cmd"));
	for (size_t i = 0; i < command->n; i++)
		strv_add(ret, command->v[i]);
}

int sandbox_no_command(struct err *e)
{
	return err_set(e, ERR_INVALID, "the image has no command: give one after '--'");
}

void sandbox_run_request(const struct sandbox_row *row, bool running, const struct strv *command,
			 struct exec_request *ret)
{
	struct exec_request init = {0};
	struct strv words = {0};
	bool join;

	sandbox_resolve_command(row, command, &words);
	join = guest_has_init(row->config) && guest_init_request(row->config, &words, &init);
	if (join && !running) {
		ret->join = true;
		ret->argv = init.argv;
		ret->env = init.env;
		strv_release(&words);
		return;
	}
	exec_request_release(&init);
	if (join) {
		/* Its entrypoint is process 1 already and must not be started a second time. */
		strv_release(&words);
		words = (struct strv){0};
		for (size_t i = 0; i < command->n; i++)
			strv_add(&words, command->v[i]);
	}
	ret->argv = words;
}

char *sandbox_command_text(const struct sandbox_row *row)
{
	const struct strv none = {0};
	struct strv words = {0};
	char *text = xstrdup("");

	sandbox_resolve_command(row, &none, &words);
	for (size_t i = 0; i < words.n; i++) {
		char *longer = xasprintf("%s%s%s", text, i ? " " : "", words.v[i]);

		free(text);
		text = longer;
	}
	strv_release(&words);
	return text;
}

const char *sandbox_shell(const struct sandbox_row *row)
{
	const char *shell = json_string_value(json_object_get(row->config, "shell"));

	return shell ? shell : SANDBOX_SHELL_DEFAULT;
}

/* --- creating ------------------------------------------------------------------------------ */

static int get_image(struct cli *cli, const struct sandbox_options *o, const char *image,
		     json_t **ret, struct err *e)
{
	struct image_fetch f;
	struct image_row row;

	if (sandbox_fetch_options(o, &f, e) < 0)
		return -1;
	if (o->pull && strcmp(o->pull, "always") == 0)
		return image_pull(cli, image, &f, ret, e);
	if (image_find(cli, image, &row, e) == 0) {
		*ret = json_incref(row.record);
		image_row_release(&row);
		if (!o->platform || image_is_for(*ret, o->platform))
			return 0;
		json_decref(*ret);
		err_set(e, ERR_NOT_FOUND, "the image is for another platform");
	}
	if (e->code != ERR_NOT_FOUND)
		return -1;
	if (o->pull && strcmp(o->pull, "never") == 0)
		return err_set(e, ERR_NOT_FOUND, "image error: image not cached: %s", image);
	return image_pull(cli, image, &f, ret, e);
}

static int make_root_from_dir(struct cli *cli, const char *dir, const struct sandbox_row *row,
			      struct err *e)
{
	_cleanup_free_ char *out = home_path(&cli->home, "sandboxes/%s/root.erofs", row->name);

	return image_from_dir(cli, dir, out, e);
}

/* Ends and deletes the sandbox whose place the new one takes. 0 or -1. */
static int remove_old(struct cli *cli, const struct sandbox_row *old, uint64_t grace_ms,
		      struct err *e)
{
	/* Nothing of it is kept, so its programs can have the time that it takes to write to disks.
	 */
	const struct stop_grace grace = {.ms = grace_ms, .programs_ms = grace_ms};
	_cleanup_close_ int lock = -1;

	if (sandbox_is_up(old) && stop_running(cli, old, &grace, e) < 0)
		return -1;
	lock = sandboxes_lock_wait(&cli->home, old, e);
	return lock < 0 ? -1 : sandboxes_delete(&cli->db, &cli->home, old, e);
}

/* Makes what a sandbox is made of; until all is there it would go with this process. 0 or -1. */
static int make_from_dir(struct cli *cli, const struct sandbox_options *o, const char *dir,
			 bool ephemeral, json_t *config, struct sandbox_row *ret, int *ret_lock,
			 struct err *e)
{
	if (sandboxes_create(&cli->db, &cli->home, o->name, dir, true, config, &o->labels, ret,
			     ret_lock, e) < 0)
		return -1;
	if (make_root_from_dir(cli, dir, ret, e) == 0 &&
	    (ephemeral || sandboxes_keep(&cli->db, ret, e) == 0))
		return 0;
	sandbox_discard(cli, ret, ret_lock);
	sandbox_row_release(ret);
	return -1;
}

/* The sandbox may be started from another directory. */
static int store_root_dir(const char *dir, json_t *config, struct err *e)
{
	_cleanup_free_ char *path = realpath(dir, NULL);

	if (!path)
		return err_sys(e, errno, "cannot use '%s' as root file system", dir);
	return json_object_set_new(config, "root_dir", json_string(path)) < 0
		       ? err_set(e, ERR_INVALID, "options must be valid UTF-8")
		       : 0;
}

/* The configuration of a new sandbox, owned, for which the image is brought in. Or NULL. */
static json_t *make_config(struct cli *cli, const struct sandbox_options *o, const char *image,
			   struct err *e)
{
	json_t *record = NULL, *config = NULL;

	if (!image_is_path(image) && get_image(cli, o, image, &record, e) < 0)
		return NULL;
	if (image_is_path(image) || image_check_runnable(image, record, e) == 0) {
		config = sandbox_config_build(o, record);
		if (!config)
			err_set(e, ERR_INVALID, "options must be valid UTF-8");
	}
	json_decref(record);
	if (config && o->rw_root && store_root_dir(image, config, e) < 0) {
		json_decref(config);
		return NULL;
	}
	if (config && (guest_options_store(o, config, e) < 0 ||
		       mount_options_store(&o->mounts, config, e) < 0 ||
		       network_options_store(&o->network, config, e) < 0)) {
		json_decref(config);
		config = NULL;
	}
	return config;
}

/* 0, or -1 when there is nothing to run. */
static int check_command(json_t *config, const struct strv *command, struct err *e)
{
	const struct sandbox_row row = {.config = config};
	struct strv argv = {0};
	size_t n;

	sandbox_resolve_command(&row, command, &argv);
	n = argv.n;
	strv_release(&argv);
	return n ? 0 : sandbox_no_command(e);
}

int sandbox_create(struct cli *cli, const struct sandbox_options *o, const char *image,
		   bool ephemeral, const struct strv *command, struct sandbox_row *ret,
		   int *ret_lock, struct err *e)
{
	struct sandbox_row old = {0};
	_cleanup_close_ int cache_lock = -1;
	json_t *config = NULL;
	struct strv volumes = {0};
	uint64_t grace_ms;
	bool replaces = sandbox_replaces(o, &grace_ms), exists;
	int r = -1;

	/* Found out before the image is pulled. */
	exists = o->name && sandboxes_get(&cli->db, &cli->home, o->name, &old, e) == 0;
	if (exists && !replaces)
		err_set(e, ERR_EXISTS, "sandbox already exists: %s", o->name);
	else /* Until the row names it, nothing else keeps the image's content from being collected.
	      */
		cache_lock = lock_cache(cli, false, o->quiet, e);
	if (cache_lock >= 0 && mounts_check_volumes(cli, &o->mounts, e) == 0) {
		if (!o->quiet)
			mounts_warn(cli, &o->mounts);
		config = make_config(cli, o, image, e);
	}
	if (config && (!command || check_command(config, command, e) == 0) &&
	    (!exists || remove_old(cli, &old, grace_ms, e) == 0) &&
	    mounts_make_volumes(cli, &o->mounts, &volumes, e) == 0) {
		if (image_is_path(image) && !o->rw_root)
			r = make_from_dir(cli, o, image, ephemeral, config, ret, ret_lock, e);
		else
			r = sandboxes_create(&cli->db, &cli->home, o->name, image, ephemeral,
					     config, &o->labels, ret, ret_lock, e);
	}
	if (r < 0)
		mounts_remove_volumes(cli, &volumes);
	strv_release(&volumes);
	json_decref(config);
	sandbox_row_release(&old);
	return r;
}

void sandbox_discard(struct cli *cli, const struct sandbox_row *row, int *lock_fd)
{
	sandboxes_delete(&cli->db, &cli->home, row, NULL);
	close_fd(lock_fd);
}

/* --- starting ------------------------------------------------------------------------------ */

static int image_files(struct cli *cli, const struct sandbox_row *row, struct strv *ret,
		       struct err *e)
{
	json_t *disk, *item;
	size_t i;

	if (json_string_of(row->config, "root_dir"))
		return 0;
	if (json_is_null(json_object_get(row->config, "image"))) {
		strv_take(ret, home_path(&cli->home, "sandboxes/%s/root.erofs", row->name));
		return 0;
	}
	disk = json_object_get(json_object_get(row->config, "image"), "disk");
	json_array_foreach (disk, i, item) {
		char *path = home_path(&cli->home, "cache/%s", json_string_value(item));

		strv_take(ret, path);
		if (access(path, R_OK) < 0) {
			err_sys(e, errno, "image content is missing: '%s'", path);
			return err_hint(e, "pull the image again: msb pull -f %s", row->image);
		}
	}
	if (ret->n == 0)
		return err_set(e, ERR_CORRUPT, "damaged image record of '%s'", row->image);
	return 0;
}

static void boot_strings(const struct sandbox_row *row, struct boot_config *boot)
{
	const char *workdir = json_string_value(json_object_get(row->config, "workdir"));
	const char *user = json_string_value(json_object_get(row->config, "user"));
	const char *hostname = json_string_value(json_object_get(row->config, "hostname"));

	boot->hostname = xstrndup(hostname ? hostname : row->name, SANDBOX_HOSTNAME_MAX);
	boot->workdir = workdir ? xstrdup(workdir) : NULL;
	boot->user = user ? xstrdup(user) : NULL;
	if (!json_string_of(row->config, "root_dir")) {
		boot->image_disk = xstrdup(IMAGE_DISK);
		boot->upper_disk = xstrdup(UPPER_DISK);
		boot->upper_size = json_number_of(row->config, "root_disk_bytes");
	}
	json_add_strings(&boot->env, json_object_get(row->config, "env"));
}

static uint64_t config_seconds(const struct sandbox_row *row, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(row->config, key));
}

/* A copy by way of its wire form. */
static int copy_request(const struct exec_request *from, struct exec_request *ret, struct err *e)
{
	json_t *j = exec_request_to_json(from);
	int r = j ? exec_request_from_json(j, ret, e)
		  : err_set(e, ERR_INVALID, "the command must be valid UTF-8");

	json_decref(j);
	return r;
}

static int boot_init(const struct sandbox_row *row, const struct exec_request *command,
		     struct boot_config *boot, struct err *e)
{
	const struct strv none = {0};
	struct strv words = {0};

	if (!guest_has_init(row->config))
		return 0;
	boot->has_init = true;
	if (command && command->join) {
		if (copy_request(command, &boot->init, e) < 0)
			return -1;
		/* These are of who joins it. */
		boot->init.join = false;
		boot->init.timeout_ms = 0;
		return 0;
	}
	sandbox_resolve_command(row, &none, &words);
	guest_init_request(row->config, &words, &boot->init);
	strv_release(&words);
	return 0;
}

static int build_spec(struct cli *cli, const struct sandbox_row *row, bool attached,
		      const struct exec_request *command, const char *log_level,
		      struct launch_spec *s, struct err *e)
{
	const char *kernel = json_string_value(json_object_get(row->config, "kernel"));

	boot_strings(row, &s->boot);
	s->name = xstrdup(row->name);
	s->sandbox_dir = sandbox_dir(&cli->home, row->name);
	s->run_dir = sandbox_run_dir(&cli->home, row->id);
	s->ephemeral = row->ephemeral;
	s->attached = attached;
	s->cpus = (unsigned)json_integer_value(json_object_get(row->config, "cpus"));
	s->memory_mib = (unsigned)json_integer_value(json_object_get(row->config, "memory_mib"));
	s->max_duration_s = config_seconds(row, "max_duration_secs");
	s->idle_timeout_s = config_seconds(row, "idle_timeout_secs");
	s->log_level = log_level ? xstrdup(log_level) : NULL;
	s->kernel = kernel ? xstrdup(kernel) : NULL;
	if (guest_boot(row->config, &s->boot, e) < 0)
		return err_wrap(e, "damaged configuration of '%s'", row->name);
	if (mounts_launch(cli, row->config, s, e) < 0)
		return -1;
	if (network_launch(json_object_get(row->config, "network"), row->net_slot, s, e) < 0 ||
	    boot_init(row, command, &s->boot, e) < 0)
		return -1;
	s->init_client = attached && command && command->join;
	if (command && !attached) {
		if (copy_request(command, &s->workload, e) < 0)
			return -1;
		s->has_workload = true;
	}
	if (machine_choose(json_string_value(json_object_get(row->config, "machine")), true,
			   &s->machine, &s->qemu, e) < 0)
		return -1;
	return image_files(cli, row, &s->image_files, e);
}

int sandbox_start(struct cli *cli, const struct sandbox_row *row, int lock_fd, bool attached,
		  const struct exec_request *command, const char *log_level, struct launch *ret,
		  struct err *e)
{
	struct launch_spec spec = {0};
	int r = build_spec(cli, row, attached, command, log_level, &spec, e);

	sandboxes_unmark(&cli->home, row);
	if (r == 0)
		r = sandboxes_set_status(&cli->db, row, SANDBOX_RUNNING, NULL, e);
	if (r == 0) {
		r = launch_start(&cli->home, row, lock_fd, &spec, ret, e);
		if (r < 0)
			sandboxes_set_status(&cli->db, row, SANDBOX_FAILED, e->msg, NULL);
	}
	launch_spec_release(&spec);
	return r;
}

int sandbox_find(struct cli *cli, const char *name, bool quiet, struct name_lock *turn,
		 struct sandbox_row *ret, struct err *e)
{
	int r = sandboxes_get(&cli->db, &cli->home, name, ret, e);

	if (r < 0 || sandbox_is_up(ret))
		return r;
	sandbox_row_release(ret);
	if (take_turn(cli, name, quiet, turn, e) < 0)
		return -1;
	r = sandboxes_get(&cli->db, &cli->home, name, ret, e);
	if (r < 0 || sandbox_is_up(ret))
		name_lock_release(turn);
	return r;
}

int sandbox_enter(struct cli *cli, const struct sandbox_row *row, struct name_lock *turn,
		  struct launch *ret, struct err *e)
{
	_cleanup_close_ int lock = -1;

	*ret = (struct launch){.fd = -1};
	if (sandbox_check_not_paused(row, e) < 0)
		return -1;
	if (sandbox_is_up(row))
		return 0;
	lock = sandboxes_lock_wait(&cli->home, row, e);
	if (lock < 0 || sandbox_start(cli, row, lock, true, NULL, NULL, ret, e) < 0)
		return -1;
	name_lock_release(turn);
	return 0;
}

/* Waits until it is down. Reading the row then repairs it: it is dropped, or its end noted down. */
static void end_launch(struct cli *cli, const struct sandbox_row *row, struct launch *l,
		       struct launch_outcome *ret)
{
	struct sandbox_row now;

	launch_end(l, ret);
	if (sandboxes_get(&cli->db, &cli->home, row->name, &now, NULL) == 0)
		sandbox_row_release(&now);
}

int sandbox_leave(struct cli *cli, const struct sandbox_row *row, struct launch *l,
		  struct launch_times *ret_times, int status, struct err *e)
{
	struct launch_outcome end;
	struct err boot;

	if (l->fd < 0)
		return status;
	/* If it never came up, the reason is worth more than that the command broke. */
	if ((status >= 0 || e->code != ERR_CANCELLED) &&
	    launch_wait_ready(l, ret_times, &boot) < 0 && status < 0) {
		*e = boot;
		err_wrap(e, "failed to start '%s'", row->name);
	}
	end_launch(cli, row, l, &end);
	/* Its programs were ended with it, which says less. */
	if (status >= 0 && launch_check_outcome(&end, e) < 0)
		status = -1;
	return status;
}

int sandbox_wait_up(struct cli *cli, const struct sandbox_row *row, struct launch *l,
		    struct launch_times *ret_times, struct err *e)
{
	if (launch_wait_ready(l, ret_times, e) == 0) {
		launch_release(l);
		return 0;
	}
	end_launch(cli, row, l, NULL);
	return err_wrap(e, "failed to start '%s'", row->name);
}
