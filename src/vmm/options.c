/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/options.h"

#include "base/cleanup.h"
#include "base/helper.h"

#include <ctype.h>
#include <limits.h>
#include <string.h>

#define MEMORY_MIN  32
#define MEMORY_MAX  (1024 * 1024)
#define CID_DEFAULT 3
/* What IPv6 needs, and what the length field of a packet allows. */
#define NET_MTU_MIN 1280
#define NET_MTU_MAX 65535
/* A bound for arguments, not for kernels: those are checked by the machine. */
#define CMDLINE_MAX 2000

const char options_usage[] =
	"usage: msb-vmm --kernel=FD|--load=FD --events=FD [OPTION]...\n"
	"\n"
	"Runs one virtual machine until its guest ends. FD is the number of an inherited\n"
	"descriptor.\n"
	"\n"
	"  --machine=auto|kvm|qemu   where the vCPUs run (auto)\n"
	"  --parent=PID              end with this process, the one that started us\n"
	"  --cpus=N                  number of vCPUs (1)\n"
	"  --memory=MIB              memory (512)\n"
	"  --kernel=FD               ELF vmlinux; for kvm also a bzImage\n"
	"  --initrd=FD               initramfs\n"
	"  --cmdline=TEXT            added to the kernel's command line\n"
	"  --disk=ro|rw,serial=NAME,fd=FD[,fd=FD]...\n"
	"                            a disk; several files are seen as one (ro only)\n"
	"  --share=fd=FD[,file][,ro][,quota=BYTES][,size=BYTES][,uid=N,gid=N]\n"
	"          [,virt=relaxed|strict|off][,perms=private|mirror]\n"
	"                            a directory or file for the guest, called 0, 1, ... in the\n"
	"                            file system 'msb'; quota: what may be added, size: in all\n"
	"  --vsock=LISTENFD,OFFERSFD[,cid=N]\n"
	"                            sockets between host and guest; '-' for no descriptor\n"
	"  --rng                     entropy for the guest\n"
	"  --net=mac=XX:XX:XX:XX:XX:XX,mtu=N,rings=FD,wake=FD,call=FD\n"
	"                            a network: file of frame rings, eventfds to wake its other\n"
	"                            end and to be woken by it\n"
	"  --pit                     kvm: an interval timer, for kernels other than ours\n"
	"  --console=FD              gets the guest's serial output\n"
	"  --events=FD               gets a line per event\n"
	"  --load=FD                 go on with a saved machine instead of booting a kernel\n"
	"  --control=FD              socket for commands: pause, resume, save\n"
	"  --stats=FD                file of a page in which the machine's work is counted\n"
	"  --qemu=PATH               the emulator (found in PATH)\n"
	"  --log-level=LEVEL         error, warn, info, debug or trace (warn)\n";

static int parse_serial(struct option_disk *d, const char *s, struct err *e)
{
	size_t n = strlen(s);

	if (n == 0 || n > OPTIONS_DISK_SERIAL_MAX)
		return err_set(e, ERR_USAGE, "--disk: serial '%s' must have 1 to %d characters", s,
			       OPTIONS_DISK_SERIAL_MAX);
	for (const char *p = s; *p; p++)
		if (*p <= ' ' || *p > '~')
			return err_set(e, ERR_USAGE, "--disk: serial '%s' is not plain text", s);
	memcpy(d->serial, s, n + 1);
	return 0;
}

static int parse_disk_field(struct options *o, struct option_disk *d, const char *s, struct err *e)
{
	int fd = -1;

	if (str_starts_with(s, "serial="))
		return parse_serial(d, s + strlen("serial="), e);
	if (!str_starts_with(s, "fd="))
		return err_set(e, ERR_USAGE, "--disk: unknown field '%s'", s);
	if (helper_fd("--disk", s + strlen("fd="), &fd, e) < 0)
		return -1;
	d->fds = xreallocarray(d->fds, d->n_fds + 1, sizeof(*d->fds));
	d->fds[d->n_fds++] = fd;
	return 0;
}

static int parse_disk(struct options *o, const char *value, struct err *e)
{
	_cleanup_free_ char *copy = xstrdup(value);
	struct option_disk *d;
	char *rest = copy, *field = strsep(&rest, ",");

	if (o->n_disks == ARRAY_SIZE(o->disks))
		return err_set(e, ERR_USAGE, "--disk: at most %d devices", MACHINE_DEVICES_MAX);
	d = &o->disks[o->n_disks];
	*d = (struct option_disk){.writable = str_eq(field, "rw")};
	if (!d->writable && !str_eq(field, "ro"))
		return err_set(e, ERR_USAGE, "--disk: '%s' is neither ro nor rw", field);
	/* Counted from here on, so that its descriptors are released. */
	o->n_disks++;
	while ((field = strsep(&rest, ",")))
		if (parse_disk_field(o, d, field, e) < 0)
			return -1;
	if (!d->serial[0] || d->n_fds == 0)
		return err_set(e, ERR_USAGE, "--disk: needs serial= and fd=");
	if (d->writable && d->n_fds > 1)
		return err_set(e, ERR_USAGE, "--disk: a writable disk has one fd=");
	return 0;
}

/* One of several words; sets *ret to its index. */
static int parse_word(const char *field, const char *value, const char *const *words,
		      unsigned int *ret, struct err *e)
{
	for (unsigned int i = 0; words[i]; i++) {
		if (str_eq(value, words[i])) {
			*ret = i;
			return 0;
		}
	}
	return err_set(e, ERR_USAGE, "--share: unknown %s '%s'", field, value);
}

static int parse_number(const char *value, uint64_t max, uint64_t *ret, struct err *e)
{
	if (parse_u64(value, max, ret) < 0)
		return err_set(e, ERR_USAGE, "--share: '%s' is no number up to %llu", value,
			       (unsigned long long)max);
	return 0;
}

static int parse_share_field(struct share_config *c, char *s, struct err *e)
{
	static const char *const virt[] = {"relaxed", "strict", "off", NULL};
	static const char *const perms[] = {"private", "mirror", NULL};
	char *value = strchr(s, '=');
	unsigned int word = 0;
	uint64_t id = 0;

	if (str_eq(s, "file") || str_eq(s, "ro")) {
		*(str_eq(s, "ro") ? &c->read_only : &c->file) = true;
		return 0;
	}
	if (value)
		*value++ = '\0';
	if (value && str_eq(s, "fd"))
		return helper_fd("--share", value, &c->fd, e);
	if (value && (str_eq(s, "quota") || str_eq(s, "size")))
		return parse_number(value, INT64_MAX, str_eq(s, "size") ? &c->size : &c->quota, e);
	if (value && (str_eq(s, "uid") || str_eq(s, "gid"))) {
		/* The last number is no owner but means that there is none. */
		if (parse_number(value, UINT32_MAX - 1, &id, e) < 0)
			return -1;
		*(str_eq(s, "uid") ? &c->uid : &c->gid) = (uint32_t)id;
		return 0;
	}
	if (value && str_eq(s, "virt")) {
		if (parse_word(s, value, virt, &word, e) < 0)
			return -1;
		c->virt = (enum share_virt)word;
		return 0;
	}
	if (value && str_eq(s, "perms")) {
		if (parse_word(s, value, perms, &word, e) < 0)
			return -1;
		c->mirror = word == 1;
		return 0;
	}
	return err_set(e, ERR_USAGE, "--share: unknown field '%s'", s);
}

static int parse_share(struct options *o, const char *value, struct err *e)
{
	_cleanup_free_ char *copy = xstrdup(value);
	char *rest = copy, *field;
	struct share_config *c;

	if (o->n_shares == ARRAY_SIZE(o->shares))
		return err_set(e, ERR_USAGE, "--share: at most %d", SHARES_MAX);
	c = &o->shares[o->n_shares++];
	*c = (struct share_config){.fd = -1};
	while ((field = strsep(&rest, ",")))
		if (parse_share_field(c, field, e) < 0)
			return -1;
	if (c->fd < 0)
		return err_set(e, ERR_USAGE, "--share: needs fd=");
	return 0;
}

static int parse_vsock(struct options *o, const char *value, struct err *e)
{
	_cleanup_free_ char *copy = xstrdup(value);
	char *rest = copy;
	const char *listen_fd = strsep(&rest, ","), *offers_fd = strsep(&rest, ","),
		   *cid = strsep(&rest, ",");

	if (o->vsock)
		return err_set(e, ERR_USAGE, "--vsock is given twice");
	if (!offers_fd || rest)
		return err_set(e, ERR_USAGE, "--vsock: needs LISTENFD,OFFERSFD[,cid=N]");
	o->vsock = true;
	if (!str_eq(listen_fd, "-") && helper_fd("--vsock", listen_fd, &o->vsock_listen_fd, e) < 0)
		return -1;
	if (!str_eq(offers_fd, "-") && helper_fd("--vsock", offers_fd, &o->vsock_offers_fd, e) < 0)
		return -1;
	if (!cid)
		return 0;
	if (!str_starts_with(cid, "cid=") ||
	    parse_u64(cid + strlen("cid="), UINT32_MAX - 1, &o->vsock_cid) < 0 ||
	    o->vsock_cid < CID_DEFAULT)
		return err_set(e, ERR_USAGE, "--vsock: '%s' is no context id (3 or more)", cid);
	return 0;
}

static const uint8_t no_mac[6];

/* Six bytes in hexadecimal; not of a group, and not all zero. */
static int parse_mac(struct options *o, const char *s, struct err *e)
{
	uint8_t mac[6];
	bool ok = strlen(s) == 17;

	for (int i = 0; ok && i < 6; i++) {
		const char *part = s + (size_t)i * 3;

		ok = isxdigit((unsigned char)part[0]) && isxdigit((unsigned char)part[1]) &&
		     (part[2] == ':' || i == 5);
		if (ok)
			mac[i] = (uint8_t)strtoul(part, NULL, 16);
	}
	if (!ok || mac[0] & 1 || memcmp(mac, no_mac, sizeof(mac)) == 0)
		return err_set(e, ERR_USAGE, "--net: '%s' is no address of a network card", s);
	memcpy(o->net_mac, mac, sizeof(mac));
	return 0;
}

static int parse_net_field(struct options *o, const char *s, struct err *e)
{
	const char *value = strchr(s, '=');

	value = value ? value + 1 : "";
	if (str_starts_with(s, "mac="))
		return parse_mac(o, value, e);
	if (str_starts_with(s, "mtu="))
		return helper_count("--net", value, NET_MTU_MIN, NET_MTU_MAX, &o->net_mtu, e);
	if (str_starts_with(s, "rings="))
		return helper_fd("--net", value, &o->net_rings_fd, e);
	if (str_starts_with(s, "wake="))
		return helper_fd("--net", value, &o->net_wake_fd, e);
	if (str_starts_with(s, "call="))
		return helper_fd("--net", value, &o->net_call_fd, e);
	return err_set(e, ERR_USAGE, "--net: unknown field '%s'", s);
}

static int parse_net(struct options *o, const char *value, struct err *e)
{
	_cleanup_free_ char *copy = xstrdup(value);
	char *rest = copy;
	const char *field;

	if (o->net)
		return err_set(e, ERR_USAGE, "--net is given twice");
	o->net = true;
	while ((field = strsep(&rest, ",")))
		if (parse_net_field(o, field, e) < 0)
			return -1;
	if (memcmp(o->net_mac, no_mac, sizeof(no_mac)) == 0 || !o->net_mtu || o->net_rings_fd < 0 ||
	    o->net_wake_fd < 0 || o->net_call_fd < 0)
		return err_set(e, ERR_USAGE, "--net: needs mac=, mtu=, rings=, wake= and call=");
	return 0;
}

static int parse_cmdline(struct options *o, const char *s, struct err *e)
{
	if (strlen(s) > CMDLINE_MAX)
		return err_set(e, ERR_USAGE, "--cmdline is too long");
	for (const char *p = s; *p; p++)
		if (*p < ' ' || *p > '~')
			return err_set(e, ERR_USAGE, "--cmdline is not plain text");
	o->cmdline = s;
	return 0;
}

/* One option with a value. */
static int parse_value(struct options *o, const char *name, const char *v, struct err *e)
{
	if (str_eq(name, "--machine")) {
		o->machine = v;
		return 0;
	}
	if (str_eq(name, "--qemu")) {
		o->qemu = v;
		return 0;
	}
	if (str_eq(name, "--parent"))
		return helper_count(name, v, 1, INT_MAX, &o->parent, e);
	if (str_eq(name, "--cpus"))
		return helper_count(name, v, 1, MACHINE_CPUS_MAX, &o->cpus, e);
	if (str_eq(name, "--memory"))
		return helper_count(name, v, MEMORY_MIN, MEMORY_MAX, &o->memory_mib, e);
	if (str_eq(name, "--kernel"))
		return helper_fd(name, v, &o->kernel_fd, e);
	if (str_eq(name, "--initrd"))
		return helper_fd(name, v, &o->initrd_fd, e);
	if (str_eq(name, "--console"))
		return helper_fd(name, v, &o->console_fd, e);
	if (str_eq(name, "--events"))
		return helper_fd(name, v, &o->events_fd, e);
	if (str_eq(name, "--load"))
		return helper_fd(name, v, &o->load_fd, e);
	if (str_eq(name, "--control"))
		return helper_fd(name, v, &o->control_fd, e);
	if (str_eq(name, "--stats"))
		return helper_fd(name, v, &o->stats_fd, e);
	if (str_eq(name, "--cmdline"))
		return parse_cmdline(o, v, e);
	if (str_eq(name, "--disk"))
		return parse_disk(o, v, e);
	if (str_eq(name, "--share"))
		return parse_share(o, v, e);
	if (str_eq(name, "--vsock"))
		return parse_vsock(o, v, e);
	if (str_eq(name, "--net"))
		return parse_net(o, v, e);
	if (str_eq(name, "--log-level"))
		return helper_log_level(name, v, &o->log_level, e);
	return err_set(e, ERR_USAGE, "unknown option '%s'", name);
}

static int parse_one(struct options *o, const char *arg, struct err *e)
{
	_cleanup_free_ char *name = NULL;
	const char *value;

	if (str_eq(arg, "--help")) {
		o->help = true;
		return 0;
	}
	if (str_eq(arg, "--rng")) {
		o->rng = true;
		return 0;
	}
	if (str_eq(arg, "--pit")) {
		o->pit = true;
		return 0;
	}
	if (helper_option(arg, &name, &value, e) < 0)
		return -1;
	return parse_value(o, name, value, e);
}

int options_parse(struct options *o, int argc, char **argv, struct err *e)
{
	*o = (struct options){
		.machine = "auto",
		.cpus = 1,
		.memory_mib = 512,
		.kernel_fd = -1,
		.initrd_fd = -1,
		.console_fd = -1,
		.events_fd = -1,
		.load_fd = -1,
		.control_fd = -1,
		.stats_fd = -1,
		.vsock_listen_fd = -1,
		.vsock_offers_fd = -1,
		.net_rings_fd = -1,
		.net_wake_fd = -1,
		.net_call_fd = -1,
		.vsock_cid = CID_DEFAULT,
		.log_level = LOG_WARN,
	};
	for (int i = 1; i < argc; i++)
		if (parse_one(o, argv[i], e) < 0)
			return -1;
	if (o->help)
		return 0;
	if (o->kernel_fd < 0 && o->load_fd < 0)
		return err_set(e, ERR_USAGE, "--kernel is missing");
	if (o->load_fd >= 0 && (o->kernel_fd >= 0 || o->initrd_fd >= 0 || o->cmdline))
		return err_set(e, ERR_USAGE, "a saved machine has its kernel already");
	if (o->events_fd < 0)
		return err_set(e, ERR_USAGE, "--events is missing");
	if (o->n_disks + (o->n_shares > 0) + o->vsock + o->rng + o->net > MACHINE_DEVICES_MAX)
		return err_set(e, ERR_USAGE, "at most %d devices", MACHINE_DEVICES_MAX);
	return 0;
}

void options_release(struct options *o)
{
	close_fd(&o->kernel_fd);
	close_fd(&o->initrd_fd);
	close_fd(&o->console_fd);
	close_fd(&o->events_fd);
	close_fd(&o->load_fd);
	close_fd(&o->control_fd);
	close_fd(&o->stats_fd);
	close_fd(&o->vsock_listen_fd);
	close_fd(&o->vsock_offers_fd);
	close_fd(&o->net_rings_fd);
	close_fd(&o->net_wake_fd);
	close_fd(&o->net_call_fd);
	for (unsigned int i = 0; i < o->n_shares; i++)
		close_fd(&o->shares[i].fd);
	for (unsigned int i = 0; i < o->n_disks; i++) {
		for (unsigned int k = 0; k < o->disks[i].n_fds; k++)
			close_fd(&o->disks[i].fds[k]);
		free(o->disks[i].fds);
	}
	o->n_disks = 0;
}
