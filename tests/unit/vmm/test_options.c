/* SPDX-License-Identifier: Apache-2.0 */
#include "../testing.h"

#include "vmm/options.h"

#define ARGS_MAX 16
#define FD_MAX   8

/* In arguments, a letter after '@' stands for a descriptor of its own that is open. */
struct parsed {
	struct options o;
	struct err e;
	int r;
	char *argv[ARGS_MAX + 1];
	int fds[FD_MAX];
};

static char *expand(struct parsed *p, const char *arg)
{
	char out[256];
	size_t n = 0;

	for (; *arg && n < sizeof(out) - 12; arg++) {
		if (*arg == '@') {
			int i = *++arg - 'a';

			if (p->fds[i] <= 0)
				p->fds[i] = open("/dev/null", O_RDWR);
			n += (size_t)snprintf(out + n, sizeof(out) - n, "%d", p->fds[i]);
		} else {
			out[n++] = *arg;
		}
	}
	out[n] = '\0';
	return xstrdup(out);
}

static struct parsed *parse(const char *const *args)
{
	struct parsed *p = xcalloc(1, sizeof(*p));
	int argc = 0;

	p->argv[argc++] = xstrdup("msb-vmm");
	for (; *args; args++)
		p->argv[argc++] = expand(p, *args);
	p->r = options_parse(&p->o, argc, p->argv, &p->e);
	return p;
}

static void parsed_free(struct parsed *p)
{
	options_release(&p->o);
	for (int i = 0; p->argv[i]; i++)
		free(p->argv[i]);
	/* Those that an error left unclaimed. */
	for (int i = 0; i < FD_MAX; i++)
		if (p->fds[i] > 0)
			close(p->fds[i]);
	free(p);
}

#define PARSE(...) parse((const char *const[]){__VA_ARGS__, NULL})

static void test_all(void **state)
{
	struct parsed *p =
		PARSE("--machine=qemu", "--cpus=2", "--memory=1024", "--kernel=@a", "--initrd=@b",
		      "--cmdline=a=b c", "--disk=ro,serial=image,fd=@c,fd=@d",
		      "--disk=rw,serial=upper,fd=@e", "--vsock=-,@f,cid=9", "--rng", "--events=@g",
		      "--log-level=debug", "--qemu=/bin/true");
	const struct options *o = &p->o;

	assert_int_equal(p->r, 0);
	assert_string_equal(o->machine, "qemu");
	assert_int_equal(o->cpus, 2);
	assert_int_equal(o->memory_mib, 1024);
	assert_int_equal(o->kernel_fd, p->fds[0]);
	assert_int_equal(o->initrd_fd, p->fds[1]);
	assert_string_equal(o->cmdline, "a=b c");
	assert_int_equal(o->n_disks, 2);
	assert_false(o->disks[0].writable);
	assert_int_equal(o->disks[0].n_fds, 2);
	assert_int_equal(o->disks[0].fds[1], p->fds[3]);
	assert_true(o->disks[1].writable);
	assert_string_equal(o->disks[1].serial, "upper");
	assert_true(o->vsock && o->rng);
	assert_int_equal(o->vsock_listen_fd, -1);
	assert_int_equal(o->vsock_offers_fd, p->fds[5]);
	assert_int_equal(o->vsock_cid, 9);
	assert_int_equal(o->log_level, LOG_DEBUG);
	/* Whatever we start does not get them by accident. */
	assert_int_equal(fcntl(o->kernel_fd, F_GETFD), FD_CLOEXEC);
	parsed_free(p);
}

static void test_defaults(void **state)
{
	struct parsed *p = PARSE("--kernel=@a", "--events=@b");

	assert_int_equal(p->r, 0);
	assert_string_equal(p->o.machine, "auto");
	assert_int_equal(p->o.cpus, 1);
	assert_int_equal(p->o.initrd_fd, -1);
	assert_int_equal(p->o.console_fd, -1);
	assert_int_equal(p->o.stats_fd, -1);
	parsed_free(p);
	p = PARSE("--kernel=@a", "--events=@b", "--stats=@c");
	assert_int_equal(p->r, 0);
	assert_int_equal(p->o.stats_fd, p->fds[2]);
	parsed_free(p);
	p = PARSE("--kernel=@a", "--events=@b", "--stats=@b");
	assert_int_equal(p->r, -1);
	parsed_free(p);
}

static void test_errors(void **state)
{
	static const struct {
		const char *arg;
		const char *message; /* a part of it */
	} bad[] = {
		{"--cpus=0", "--cpus"},
		{"--cpus=33", "--cpus"},
		{"--cpus=1x", "--cpus"},
		{"--cpus=", "--cpus"},
		{"--memory=31", "--memory"},
		{"--memory=99999999999999999999", "--memory"},
		{"--initrd=-1", "no descriptor number"},
		{"--initrd=x", "no descriptor number"},
		{"--initrd=9999", "not open"},
		{"--initrd=@a", "used twice"},
		{"--kernel=@c", "given twice"},
		{"--disk=", "neither ro nor rw"},
		{"--disk=rx,fd=@c", "neither ro nor rw"},
		{"--disk=ro,fd=@c", "needs serial="},
		{"--disk=ro,serial=x", "fd="},
		{"--disk=ro,serial=,fd=@c", "serial"},
		{"--disk=ro,serial=123456789012345678901,fd=@c", "serial"},
		{"--disk=ro,serial=a b,fd=@c", "plain text"},
		{"--disk=ro,serial=x,fd=@c,fd=@c", "used twice"},
		{"--disk=ro,serial=x,fd=@c,size=3", "unknown field"},
		{"--disk=rw,serial=x,fd=@c,fd=@d", "one fd="},
		{"--vsock=@c", "needs LISTENFD"},
		{"--vsock=@c,@d,cid=3,", "needs LISTENFD"},
		{"--vsock=@c,@c", "used twice"},
		{"--vsock=-,", "no descriptor number"},
		{"--vsock=-,@c,cid=2", "context id"},
		{"--vsock=-,@c,4", "context id"},
		{"--net=", "unknown field"},
		{"--net=mac=02:00:00:00:00:01,mtu=1500,rings=@c,wake=@d", "needs mac="},
		{"--net=mac=02:00:00:00:00:01,mtu=1500,rings=@c,call=@d", "needs mac="},
		{"--net=mac=02:00:00:00:00:01,mtu=1500,wake=@c,call=@d", "needs mac="},
		{"--net=mac=02:00:00:00:00:01,rings=@c,wake=@d,call=@e", "needs mac="},
		{"--net=mtu=1500,rings=@c,wake=@d,call=@e", "needs mac="},
		{"--net=mac=02:00:00:00:00:01,rings=@c,rings=@d", "given twice"},
		{"--net=rings=@c,wake=@c", "used twice"},
		{"--net=rings=@a", "used twice"},
		{"--net=mtu=1279", "1280"},
		{"--net=mtu=65536", "65535"},
		{"--net=mac=", "no address"},
		{"--net=mac=02:00:00:00:00", "no address"},
		{"--net=mac=02:00:00:00:00:0", "no address"},
		{"--net=mac=02:00:00:00:00:01:", "no address"},
		{"--net=mac=02:00:00:00:00-01", "no address"},
		{"--net=mac=02:00:00:00:00:0g", "no address"},
		{"--net=mac=02:00:00:00:00:+1", "no address"},
		{"--net=mac=03:00:00:00:00:01", "no address"}, /* of a group */
		{"--net=mac=00:00:00:00:00:00", "no address"},
		{"--net=fd=@c", "unknown field"},
		{"--cmdline=a\nb", "plain text"},
		{"--log-level=loud", "unknown level"},
		{"--rng=1", "unknown option"},
		{"--frobnicate", "unknown option"},
		{"--frobnicate=1", "unknown option '--frobnicate'"},
		{"kernel", "unexpected argument"},
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
		struct parsed *p = PARSE("--kernel=@a", "--events=@b", bad[i].arg);

		assert_int_equal(p->r, -1);
		assert_int_equal(p->e.code, ERR_USAGE);
		if (!strstr(p->e.msg, bad[i].message))
			fail_msg("'%s' gives '%s'", bad[i].arg, p->e.msg);
		parsed_free(p);
	}
}

static void test_net(void **state)
{
	struct parsed *p = PARSE("--kernel=@a", "--events=@b",
				 "--net=mac=02:0a:B0:00:00:fF,mtu=1280,rings=@c,wake=@d,call=@e");

	assert_int_equal(p->r, 0);
	assert_true(p->o.net);
	assert_memory_equal(p->o.net_mac, "\x02\x0a\xb0\0\0\xff", 6);
	assert_int_equal(p->o.net_mtu, 1280);
	assert_int_equal(p->o.net_rings_fd, p->fds[2]);
	assert_int_equal(p->o.net_wake_fd, p->fds[3]);
	assert_int_equal(p->o.net_call_fd, p->fds[4]);
	parsed_free(p);
	/* There is one network. */
	p = PARSE("--kernel=@a", "--events=@b",
		  "--net=mac=02:00:00:00:00:01,mtu=1280,rings=@c,wake=@d,call=@e",
		  "--net=mtu=1280");
	assert_int_equal(p->r, -1);
	assert_non_null(strstr(p->e.msg, "given twice"));
	parsed_free(p);
}

static void test_missing(void **state)
{
	struct parsed *p = PARSE("--events=@a");

	assert_int_equal(p->r, -1);
	assert_non_null(strstr(p->e.msg, "--kernel"));
	parsed_free(p);
	p = PARSE("--kernel=@a");
	assert_int_equal(p->r, -1);
	assert_non_null(strstr(p->e.msg, "--events"));
	parsed_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all),     cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_errors),  cmocka_unit_test(test_net),
		cmocka_unit_test(test_missing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
