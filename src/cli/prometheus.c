/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/prometheus.h"

#include "base/cleanup.h"
#include "base/clock.h"

#include <string.h>

enum value_kind { VALUE_PLAIN, VALUE_NANOSECONDS, VALUE_OF_EACH_DISK };

static const struct family {
	const char *name;
	const char *type;
	const char *help;
	const char *key; /* of the object; of a disk's for VALUE_OF_EACH_DISK */
	enum value_kind kind;
} families[] = {
	{"msb_uptime_seconds", "gauge", "Time since the sandbox was started", "uptime_secs",
	 VALUE_PLAIN},
	{"msb_cpus", "gauge", "Virtual processors", "cpus", VALUE_PLAIN},
	{"msb_cpu_seconds_total", "counter", "Processor time of the machine", "vcpu_time_ns",
	 VALUE_NANOSECONDS},
	{"msb_memory_bytes", "gauge", "Guest memory that is there on the host", "memory_bytes",
	 VALUE_PLAIN},
	{"msb_memory_limit_bytes", "gauge", "Memory that the guest has", "memory_limit_bytes",
	 VALUE_PLAIN},
	{"msb_memory_freed_bytes_total", "counter", "Memory that the guest gave back to the host",
	 "balloon_freed_bytes", VALUE_PLAIN},
	{"msb_disk_read_bytes_total", "counter", "Bytes read", "read_bytes", VALUE_OF_EACH_DISK},
	{"msb_disk_written_bytes_total", "counter", "Bytes written", "write_bytes",
	 VALUE_OF_EACH_DISK},
	{"msb_disk_reads_total", "counter", "Requests to read", "reads", VALUE_OF_EACH_DISK},
	{"msb_disk_writes_total", "counter", "Requests to write", "writes", VALUE_OF_EACH_DISK},
	{"msb_network_receive_bytes_total", "counter", "Bytes received", "net_rx_bytes",
	 VALUE_PLAIN},
	{"msb_network_transmit_bytes_total", "counter", "Bytes sent", "net_tx_bytes", VALUE_PLAIN},
	{"msb_upper_size_bytes", "gauge", "Size of the writable disk", "upper_size_bytes",
	 VALUE_PLAIN},
	{"msb_upper_allocated_bytes", "gauge", "What the writable disk occupies on the host",
	 "upper_host_allocated_bytes", VALUE_PLAIN},
};

static const char *const disks[] = {"image", "upper"};

static void add_value_text(FILE *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '\n')
			fputs("\\n", out);
		else if (*text == '"' || *text == '\\')
			fprintf(out, "\\%c", *text);
		else
			fputc(*text, out);
	}
}

/* A key as the name of a label: a prefix of ours, so that it can be none of ours. */
static char *label_name(const char *key)
{
	char *name = xasprintf("label_%s", key);

	for (char *p = name; *p; p++)
		if (!(*p >= 'a' && *p <= 'z') && !(*p >= 'A' && *p <= 'Z') &&
		    !(*p >= '0' && *p <= '9'))
			*p = '_';
	return name;
}

/* Different keys can have the same name; a name may occur but once, so the first one has it. */
static void add_labels(FILE *out, json_t *labels)
{
	json_t *value, *seen = json_object();
	const char *key;

	json_object_foreach (labels, key, value) {
		_cleanup_free_ char *name = label_name(key);

		if (!json_string_value(value) || json_object_get(seen, name))
			continue;
		json_object_set_new(seen, name, json_true());
		fprintf(out, ",%s=\"", name);
		add_value_text(out, json_string_value(value));
		fputs("\"", out);
	}
	json_decref(seen);
}

/* Everything of a line but its value; `key` and `value` are one more label, or NULL. */
static void add_series(FILE *out, const char *name, json_t *sandbox, const char *key,
		       const char *value)
{
	const char *its_name = json_string_value(json_object_get(sandbox, "name"));

	fprintf(out, "%s{name=\"", name);
	add_value_text(out, its_name ? its_name : "");
	fputs("\"", out);
	if (key) {
		fprintf(out, ",%s=\"", key);
		add_value_text(out, value);
		fputs("\"", out);
	}
	add_labels(out, json_object_get(sandbox, "labels"));
	fputs("} ", out);
}

static void add_number(FILE *out, json_t *number, enum value_kind kind)
{
	uint64_t n = (uint64_t)json_integer_value(number);

	if (kind == VALUE_NANOSECONDS)
		fprintf(out, "%llu.%09llu\n", (unsigned long long)(n / NSEC_PER_SEC),
			(unsigned long long)(n % NSEC_PER_SEC));
	else
		fprintf(out, "%llu\n", (unsigned long long)n);
}

static void add_head(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP %s %s.\n# TYPE %s %s\n", name, help, name, type);
}

static void add_sandbox(FILE *out, const struct family *f, json_t *sandbox)
{
	json_t *number = json_object_get(sandbox, f->key);

	if (f->kind != VALUE_OF_EACH_DISK) {
		/* One that does not answer has none. */
		if (!json_is_integer(number))
			return;
		add_series(out, f->name, sandbox, NULL, NULL);
		add_number(out, number, f->kind);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(disks); i++) {
		json_t *disk = json_object_get(json_object_get(sandbox, "disks"), disks[i]);

		number = json_object_get(disk, f->key);
		if (!json_is_integer(number))
			continue;
		add_series(out, f->name, sandbox, "disk", disks[i]);
		add_number(out, number, f->kind);
	}
}

void prometheus_write(json_t *list, FILE *out)
{
	static const char state_metric[] = "msb_sandbox_state";
	json_t *sandbox;
	size_t i;

	add_head(out, state_metric, "gauge", "1, with the sandbox's state as a label");
	json_array_foreach (list, i, sandbox) {
		const char *state = json_string_value(json_object_get(sandbox, "state"));

		add_series(out, state_metric, sandbox, "state", state ? state : "");
		fputs("1\n", out);
	}
	for (size_t f = 0; f < ARRAY_SIZE(families); f++) {
		add_head(out, families[f].name, families[f].type, families[f].help);
		json_array_foreach (list, i, sandbox)
			add_sandbox(out, &families[f], sandbox);
	}
}
