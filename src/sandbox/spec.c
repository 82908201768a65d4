/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox/spec.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const machine_names[] = {"auto", "kvm", "qemu"};
static_assert(ARRAY_SIZE(machine_names) == MACHINE_KIND_COUNT, "every machine has a name");

const char *machine_kind_name(enum machine_kind m)
{
	return machine_names[m];
}

int machine_kind_parse(const char *s, enum machine_kind *ret)
{
	for (unsigned i = 0; i < MACHINE_KIND_COUNT; i++) {
		if (strcmp(s, machine_names[i]) == 0) {
			*ret = (enum machine_kind)i;
			return 0;
		}
	}
	return -EINVAL;
}

void launch_spec_release(struct launch_spec *s)
{
	free(s->name);
	free(s->sandbox_dir);
	free(s->run_dir);
	strv_release(&s->image_files);
	for (size_t i = 0; i < s->n_shares; i++)
		share_spec_release(&s->shares[i]);
	for (size_t i = 0; i < s->n_disks; i++)
		disk_spec_release(&s->disks[i]);
	boot_config_release(&s->boot);
	exec_request_release(&s->workload);
	free(s->qemu);
	free(s->kernel);
	free(s->log_level);
	secret_free(s->net);
	*s = (struct launch_spec){0};
}

/* -1 when a path is not UTF-8. */
static int set_mounts(json_t *j, const struct launch_spec *s)
{
	json_t *shares = json_array(), *disks = json_array();
	int r = 0;

	for (size_t i = 0; i < s->n_shares; i++)
		r |= json_array_append_new(shares, share_spec_to_json(&s->shares[i]));
	for (size_t i = 0; i < s->n_disks; i++)
		r |= json_array_append_new(disks, disk_spec_to_json(&s->disks[i]));
	if (s->n_shares)
		json_object_set(j, "shares", shares);
	if (s->n_disks)
		json_object_set(j, "disks", disks);
	json_decref(shares);
	json_decref(disks);
	return r;
}

json_t *launch_spec_to_json(const struct launch_spec *s)
{
	json_t *files = json_array();
	json_t *j;

	for (size_t i = 0; i < s->image_files.n; i++)
		json_array_append_new(files, json_string(s->image_files.v[i]));
	j = json_pack("{s:s, s:s, s:s, s:s, s:b, s:b, s:s, s:i, s:i, s:o, s:o}", "op", "launch",
		      "name", s->name, "sandbox_dir", s->sandbox_dir, "run_dir", s->run_dir,
		      "ephemeral", s->ephemeral, "attached", s->attached, "machine",
		      machine_kind_name(s->machine), "cpus", (int)s->cpus, "memory_mib",
		      (int)s->memory_mib, "image_files", files, "boot",
		      boot_config_to_json(&s->boot));
	if (s->has_workload &&
	    json_object_set_new(j, "workload", exec_request_to_json(&s->workload)) < 0) {
		json_decref(j);
		return NULL;
	}
	if (s->net && json_object_set_new(j, "net", json_string(s->net)) < 0) {
		json_decref(j);
		return NULL;
	}
	if (j && set_mounts(j, s) < 0) {
		json_decref(j);
		return NULL;
	}
	if (s->init_client)
		json_object_set_new(j, "init_client", json_true());
	if (s->qemu)
		json_object_set_new(j, "qemu", json_string(s->qemu));
	if (s->kernel)
		json_object_set_new(j, "kernel", json_string(s->kernel));
	if (s->max_duration_s)
		json_object_set_new(j, "max_duration_secs",
				    json_integer((json_int_t)s->max_duration_s));
	if (s->idle_timeout_s)
		json_object_set_new(j, "idle_timeout_secs",
				    json_integer((json_int_t)s->idle_timeout_s));
	if (s->log_level)
		json_object_set_new(j, "log_level", json_string(s->log_level));
	return j;
}

static int get_mounts(json_t *j, struct launch_spec *s)
{
	json_t *shares = json_object_get(j, "shares"), *disks = json_object_get(j, "disks");
	json_t *item;
	size_t i;

	if ((shares && !json_is_array(shares)) || (disks && !json_is_array(disks)) ||
	    json_array_size(shares) > SPEC_SHARES_MAX || json_array_size(disks) > SPEC_DISKS_MAX)
		return -1;
	json_array_foreach (shares, i, item) {
		if (share_spec_from_json(item, &s->shares[i]) < 0)
			return -1;
		s->n_shares++;
	}
	json_array_foreach (disks, i, item) {
		if (disk_spec_from_json(item, &s->disks[i]) < 0)
			return -1;
		s->n_disks++;
	}
	return 0;
}

static bool valid_duration(json_int_t seconds)
{
	return seconds >= 0 && (uint64_t)seconds <= SPEC_DURATION_MAX_S;
}

int launch_spec_from_json(json_t *j, struct launch_spec *ret, struct err *e)
{
	const char *name, *sandbox_dir, *run_dir, *machine, *qemu = NULL, *log_level = NULL;
	const char *kernel = NULL, *net = NULL;
	json_t *files, *boot, *workload = NULL, *item;
	struct launch_spec s = {0};
	int ephemeral, attached, cpus, memory, init_client = 0;
	json_int_t max_duration = 0, idle_timeout = 0;
	size_t i;

	if (json_unpack(j,
			"{s:s, s:s, s:s, s:b, s:b, s:s, s:i, s:i, s:o, s:o, s?o, s?s, s?s, s?s, "
			"s?I, s?I, s?b, s?s}",
			"name", &name, "sandbox_dir", &sandbox_dir, "run_dir", &run_dir,
			"ephemeral", &ephemeral, "attached", &attached, "machine", &machine, "cpus",
			&cpus, "memory_mib", &memory, "image_files", &files, "boot", &boot,
			"workload", &workload, "qemu", &qemu, "log_level", &log_level, "kernel",
			&kernel, "max_duration_secs", &max_duration, "idle_timeout_secs",
			&idle_timeout, "init_client", &init_client, "net", &net) < 0 ||
	    machine_kind_parse(machine, &s.machine) < 0 || cpus < 1 || cpus > SPEC_CPUS_MAX ||
	    memory < SPEC_MEMORY_MIB_MIN || memory > SPEC_MEMORY_MIB_MAX || !json_is_array(files) ||
	    !valid_duration(max_duration) || !valid_duration(idle_timeout))
		return err_set(e, ERR_INVALID, "malformed launch spec");
	s.name = xstrdup(name);
	s.sandbox_dir = xstrdup(sandbox_dir);
	s.run_dir = xstrdup(run_dir);
	s.ephemeral = ephemeral;
	s.attached = attached;
	s.init_client = init_client;
	s.cpus = (unsigned)cpus;
	s.memory_mib = (unsigned)memory;
	s.max_duration_s = (uint64_t)max_duration;
	s.idle_timeout_s = (uint64_t)idle_timeout;
	s.qemu = qemu ? xstrdup(qemu) : NULL;
	s.kernel = kernel ? xstrdup(kernel) : NULL;
	s.log_level = log_level ? xstrdup(log_level) : NULL;
	s.net = net ? xstrdup(net) : NULL;
	json_array_foreach (files, i, item) {
		if (!json_is_string(item)) {
			err_set(e, ERR_INVALID, "malformed launch spec");
			goto fail;
		}
		strv_add(&s.image_files, json_string_value(item));
	}
	if (boot_config_from_json(boot, &s.boot, e) < 0)
		goto fail;
	if ((s.net != NULL) != s.boot.has_network || get_mounts(j, &s) < 0) {
		err_set(e, ERR_INVALID, "malformed launch spec");
		goto fail;
	}
	if (workload) {
		if (exec_request_from_json(workload, &s.workload, e) < 0)
			goto fail;
		s.has_workload = true;
	}
	*ret = s;
	return 0;
fail:
	launch_spec_release(&s);
	return -1;
}
