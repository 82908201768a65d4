/* SPDX-License-Identifier: Apache-2.0 */
#include "net/options.h"

#include "base/cleanup.h"
#include "base/helper.h"

#include <limits.h>

const char net_options_usage[] =
	"usage: msb-net --rings=FD --wake=FD --call=FD --events=FD --spec=FD [OPTION]...\n"
	"\n"
	"Is the network of one sandbox. FD is the number of an inherited descriptor.\n"
	"\n"
	"  --rings=FD          memory file of the frame rings\n"
	"  --wake=FD           eventfd by which msb-vmm wakes us\n"
	"  --call=FD           eventfd by which we wake msb-vmm\n"
	"  --events=FD         gets a line per event\n"
	"  --spec=FD           file that says what the network is like\n"
	"  --resolv-conf=FD    the host's resolv.conf\n"
	"  --parent=PID        end with this process, the one that started us\n"
	"  --log-level=LEVEL   error, warn, info, debug or trace (warn)\n";

/* The descriptor that an option names; NULL for an option that names none. */
static int *fd_of(struct net_options *o, const char *name)
{
	const struct {
		const char *name;
		int *fd;
	} fds[] = {
		{"--rings", &o->rings_fd}, {"--wake", &o->wake_fd},
		{"--call", &o->call_fd},   {"--events", &o->events_fd},
		{"--spec", &o->spec_fd},   {"--resolv-conf", &o->resolv_conf_fd},
	};

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		if (str_eq(fds[i].name, name))
			return fds[i].fd;
	return NULL;
}

static int parse_one(struct net_options *o, const char *arg, struct err *e)
{
	_cleanup_free_ char *name = NULL;
	const char *value;
	int *fd;

	if (str_eq(arg, "--help")) {
		o->help = true;
		return 0;
	}
	if (helper_option(arg, &name, &value, e) < 0)
		return -1;
	fd = fd_of(o, name);
	if (fd)
		return helper_fd(name, value, fd, e);
	if (str_eq(name, "--parent"))
		return helper_count(name, value, 1, INT_MAX, &o->parent, e);
	if (str_eq(name, "--log-level"))
		return helper_log_level(name, value, &o->log_level, e);
	return err_set(e, ERR_USAGE, "unknown option '%s'", name);
}

static int check_complete(struct net_options *o, struct err *e)
{
	static const char *const needed[] = {"--rings", "--wake", "--call", "--events", "--spec"};

	for (size_t i = 0; i < ARRAY_SIZE(needed); i++)
		if (*fd_of(o, needed[i]) < 0)
			return err_set(e, ERR_USAGE, "%s is missing", needed[i]);
	return 0;
}

int net_options_parse(struct net_options *o, int argc, char **argv, struct err *e)
{
	*o = (struct net_options){
		.rings_fd = -1,
		.wake_fd = -1,
		.call_fd = -1,
		.events_fd = -1,
		.spec_fd = -1,
		.resolv_conf_fd = -1,
		.log_level = LOG_WARN,
	};
	for (int i = 1; i < argc; i++)
		if (parse_one(o, argv[i], e) < 0)
			return -1;
	return o->help ? 0 : check_complete(o, e);
}

void net_options_release(struct net_options *o)
{
	close_fd(&o->rings_fd);
	close_fd(&o->wake_fd);
	close_fd(&o->call_fd);
	close_fd(&o->events_fd);
	close_fd(&o->spec_fd);
	close_fd(&o->resolv_conf_fd);
}
