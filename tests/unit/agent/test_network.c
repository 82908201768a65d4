/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's interface, played by a tap device in a network namespace of the test's own, and the
 * files for programs.
 */
#include "../testing.h"

#include "agent/network.c"

#include <arpa/inet.h>
#include <sched.h>

#include <linux/if_tun.h>

#define CANNOT 77

static struct boot_network network(void)
{
	struct boot_network n = {
		.mac = {0x02, 0x6d, 0x73, 0x00, 0x01, 0x02},
		.mtu = 1400,
		.ip4.prefix_len = 30,
		.ip6.prefix_len = 64,
	};

	inet_pton(AF_INET, "172.16.0.6", n.ip4.address);
	inet_pton(AF_INET, "172.16.0.5", n.ip4.gateway);
	inet_pton(AF_INET6, "fd42:6d73:62:1::2", n.ip6.address);
	inet_pton(AF_INET6, "fd42:6d73:62:1::1", n.ip6.gateway);
	return n;
}

/* A device with the MAC address, in a new namespace; false where that is not allowed. */
static bool make_tap(const uint8_t mac[6])
{
	struct ifreq ifr = {.ifr_name = "nic0", .ifr_flags = IFF_TAP | IFF_NO_PI};
	int fd, s;

	if (unshare(geteuid() == 0 ? CLONE_NEWNET : CLONE_NEWUSER | CLONE_NEWNET) < 0)
		return false;
	fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr) < 0)
		return false;
	s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ifr.ifr_hwaddr.sa_family = 1; /* Ethernet */
	memcpy(ifr.ifr_hwaddr.sa_data, mac, 6);
	return s >= 0 && ioctl(s, SIOCSIFHWADDR, &ifr) == 0;
}

/* The kernel's own view; in the child, where a wrong one is its exit status. */
static bool shows(const char *path, const char *text)
{
	_cleanup_free_ char *all = NULL;

	return read_file(AT_FDCWD, path, MIB, &all, NULL) == 0 && strstr(all, text);
}

static void expect(bool ok, int status)
{
	if (!ok)
		_exit(status);
}

static _Noreturn void bring_up(const struct boot_network *n)
{
	struct ifreq ifr = {.ifr_name = "nic0"};
	struct err e = {0};
	int s;

	expect(make_tap(n->mac), CANNOT);
	expect(network_up(n, &e) == 0, 1);
	s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	expect(ioctl(s, SIOCGIFMTU, &ifr) == 0 && ifr.ifr_mtu == 1400, 2);
	expect(ioctl(s, SIOCGIFFLAGS, &ifr) == 0 && (ifr.ifr_flags & IFF_UP), 3);
	/* Destination, gateway (as numbers of this machine), flags: up, and by a gateway. */
	expect(shows("/proc/self/net/route", "nic0\t00000000\t050010AC\t0003") ==
		       (n->ip4.prefix_len != 0),
	       4);
	expect(shows("/proc/self/net/route", "nic0\t040010AC\t00000000\t0001") ==
		       (n->ip4.prefix_len != 0),
	       5);
	if (path_exists("/proc/self/net/if_inet6")) {
		/* Index, length, scope, flags: permanent, and not looked for (2), nor tentative. */
		expect(shows("/proc/self/net/if_inet6",
			     "fd426d73006200010000000000000002 02 40 00 82") ==
			       (n->ip6.prefix_len != 0),
		       6);
		expect(shows("/proc/self/net/ipv6_route",
			     "00000000000000000000000000000000 00 "
			     "00000000000000000000000000000000 00 "
			     "fd426d73006200010000000000000001") == (n->ip6.prefix_len != 0),
		       7);
	}
	/* Again is fine: the addresses are there already. */
	expect(network_up(n, &e) == 0, 8);
	_exit(0);
}

static void check_up(const struct boot_network *n)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		bring_up(n);
	status = child_status(pid);
	if (status == CANNOT)
		skip();
	assert_int_equal(status, 0);
}

static void test_both_families(void **state)
{
	struct boot_network n = network();

	check_up(&n);
}

static void test_ipv4_only(void **state)
{
	struct boot_network n = network();

	n.ip6.prefix_len = 0;
	check_up(&n);
}

static void test_ipv6_only(void **state)
{
	struct boot_network n = network();

	n.ip4.prefix_len = 0;
	check_up(&n);
}

static void test_no_interface(void **state)
{
	struct boot_network n = network();
	struct err e = {0};

	n.mac[0] = 0x06;
	n.mac[5] = 0xff;
	assert_int_equal(network_up(&n, &e), -1);
	assert_int_equal(e.code, ERR_BOOT);
}

/* What the kernel refuses is named. */
static void test_refused(void **state)
{
	struct boot_network n = network();
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct err e = {0};

		expect(make_tap(n.mac), CANNOT);
		inet_pton(AF_INET, "192.0.2.1", n.ip4.gateway); /* not on the link */
		expect(network_up(&n, &e) == -1 && strstr(e.msg, "the IPv4 route"), 1);
		_exit(0);
	}
	status = child_status(pid);
	if (status == CANNOT)
		skip();
	assert_int_equal(status, 0);
}

static void test_resolv_conf(void **state)
{
	struct boot_network n = network();
	_cleanup_free_ char *path = xasprintf("%s/resolv.conf", (char *)*state);
	_cleanup_free_ char *other = xasprintf("%s/other", (char *)*state);
	_cleanup_free_ char *text = NULL, *kept = NULL;
	struct stat st;

	/* Without a name server what is there stays. */
	assert_int_equal(network_write_resolv_conf(path, &n), 0);
	assert_false(path_exists(path));
	strv_add(&n.nameservers, "172.16.0.5");
	strv_add(&n.nameservers, "fd42:6d73:62:1::1");
	/* A link is replaced, and what it leads to is left alone. */
	put_file(other, "precious");
	assert_int_equal(symlink(other, path), 0);
	assert_int_equal(network_write_resolv_conf(path, &n), 0);
	text = get_file(path);
	assert_string_equal(text, "nameserver 172.16.0.5\nnameserver fd42:6d73:62:1::1\n");
	kept = get_file(other);
	assert_string_equal(kept, "precious");
	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISREG(st.st_mode));
	/* And once more over the file. */
	free(text);
	strv_release(&n.nameservers);
	strv_add(&n.nameservers, "172.16.0.9");
	assert_int_equal(network_write_resolv_conf(path, &n), 0);
	text = get_file(path);
	assert_string_equal(text, "nameserver 172.16.0.9\n");
	strv_release(&n.nameservers);
}

static void test_resolv_conf_in_the_way(void **state)
{
	struct boot_network n = network();
	_cleanup_free_ char *path = xasprintf("%s/resolv.conf", (char *)*state);

	strv_add(&n.nameservers, "172.16.0.5");
	assert_int_equal(mkdir(path, 0700), 0);
	assert_true(network_write_resolv_conf(path, &n) < 0);
	strv_release(&n.nameservers);
}

static void test_ping(void **state)
{
	_cleanup_free_ char *path = xasprintf("%s/ping_group_range", (char *)*state);
	_cleanup_free_ char *text = NULL;

	network_allow_ping(path); /* a kernel without it */
	assert_false(path_exists(path));
	put_file(path, "");
	network_allow_ping(path);
	text = get_file(path);
	assert_string_equal(text, "0 2147483647\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_families),   cmocka_unit_test(test_ipv4_only),
		cmocka_unit_test(test_ipv6_only),       cmocka_unit_test(test_no_interface),
		cmocka_unit_test(test_refused),         temp_test(test_resolv_conf),
		temp_test(test_resolv_conf_in_the_way), temp_test(test_ping),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
