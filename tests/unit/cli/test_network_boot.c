/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest is told of its network; the stored configuration is a stub. */
#include "../testing.h"

#include "cli/network_boot.c"

#include <arpa/inet.h>

static bool without_ip4, without_ip6, without_all;

int network_spec_text(json_t *network, unsigned slot, char **ret, struct err *e)
{
	struct net_spec s;

	*ret = NULL;
	if (slot == 0)
		return err_set(e, ERR_STATE, "no slot");
	if (without_all)
		return 0;
	net_spec_init(&s);
	net_spec_set_slot(&s, slot);
	s.v4.on &= !without_ip4;
	s.v6.on &= !without_ip6;
	*ret = net_spec_format(&s);
	net_spec_release(&s);
	return 0;
}

static int setup(void **state)
{
	without_ip4 = without_ip6 = without_all = false;
	return 0;
}

static void test_both_sides_are_told_the_same(void **state)
{
	static const uint8_t mac[6] = {0x02, 0x6d, 0x73, 0x00, 0x03, 0x02};
	struct launch_spec spec = {0};
	const struct boot_network *n = &spec.boot.network;
	struct in6_addr guest, gateway;
	struct err e = {0};

	assert_int_equal(network_launch(NULL, 3, &spec, &e), 0);
	assert_true(spec.boot.has_network);
	assert_non_null(strstr(spec.net, "mac 02:6d:73:00:03:02\n"));
	assert_memory_equal(n->mac, mac, sizeof(mac));
	assert_int_equal(n->mtu, NET_MTU_DEFAULT);
	assert_int_equal(n->ip4.prefix_len, 30);
	assert_memory_equal(n->ip4.gateway, "\xac\x10\x00\x0d", 4);
	assert_memory_equal(n->ip4.address, "\xac\x10\x00\x0e", 4);
	inet_pton(AF_INET6, "fd42:6d73:62:3::2", &guest);
	inet_pton(AF_INET6, "fd42:6d73:62:3::1", &gateway);
	assert_memory_equal(n->ip6.address, &guest, sizeof(guest));
	assert_memory_equal(n->ip6.gateway, &gateway, sizeof(gateway));
	assert_int_equal(n->ip6.prefix_len, 64);
	assert_int_equal(n->nameservers.n, 1);
	assert_string_equal(n->nameservers.v[0], "172.16.0.13");
	launch_spec_release(&spec);
}

static void test_one_family(void **state)
{
	struct launch_spec spec = {0};
	struct err e = {0};

	without_ip4 = true;
	assert_int_equal(network_launch(NULL, 3, &spec, &e), 0);
	assert_int_equal(spec.boot.network.ip4.prefix_len, 0);
	assert_int_equal(spec.boot.network.nameservers.n, 1);
	assert_string_equal(spec.boot.network.nameservers.v[0], "fd42:6d73:62:3::1");
	launch_spec_release(&spec);
	without_ip4 = false;
	without_ip6 = true;
	assert_int_equal(network_launch(NULL, 3, &spec, &e), 0);
	assert_int_equal(spec.boot.network.ip6.prefix_len, 0);
	assert_int_equal(spec.boot.network.nameservers.n, 1);
	assert_string_equal(spec.boot.network.nameservers.v[0], "172.16.0.13");
	launch_spec_release(&spec);
}

static void test_none(void **state)
{
	struct launch_spec spec = {0};
	struct err e = {0};

	without_all = true;
	assert_int_equal(network_launch(NULL, 3, &spec, &e), 0);
	assert_false(spec.boot.has_network);
	assert_null(spec.net);
	assert_int_equal(network_launch(NULL, 0, &spec, &e), -1);
	assert_int_equal(e.code, ERR_STATE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_both_sides_are_told_the_same, setup),
		cmocka_unit_test_setup(test_one_family, setup),
		cmocka_unit_test_setup(test_none, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
