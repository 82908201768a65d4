/* SPDX-License-Identifier: Apache-2.0 */
/* Owners and modes: what is kept of them, and what the host's files get. */
#include "../testing.h"

#include "fs/attr.h"

static void test_round_trip(void **state)
{
	const struct override o = {
		.uid = 1000, .gid = 0xfffffffe, .mode = S_IFCHR | 04755, .rdev = 0x103};
	/* The layout is one that other programs know. */
	static const uint8_t bytes[OVERRIDE_SIZE] = {
		1, 0, 0, 0, 0xe8, 3, 0, 0, 0xfe, 0xff, 0xff, 0xff, 0xed, 0x29, 0, 0, 3, 1, 0, 0};
	uint8_t data[OVERRIDE_SIZE];
	struct override back;

	override_encode(&o, data);
	assert_memory_equal(data, bytes, sizeof(data));
	assert_true(override_decode(data, sizeof(data), &back));
	assert_memory_equal(&back, &o, sizeof(o));
}

static void test_not_ours(void **state)
{
	const struct override kinds[] = {
		{.mode = 0644},
		{.mode = S_IFLNK | 0777},
		{.mode = 0170000 | 0644},
		{.mode = S_IFREG | 0x10000u},
	};
	struct override o = {.mode = S_IFREG | 0644}, back;
	uint8_t data[OVERRIDE_SIZE + 1] = {0};

	override_encode(&o, data);
	assert_true(override_decode(data, OVERRIDE_SIZE, &back));
	assert_false(override_decode(data, OVERRIDE_SIZE - 1, &back));
	assert_false(override_decode(data, OVERRIDE_SIZE + 1, &back));
	data[0] = 2;
	assert_false(override_decode(data, OVERRIDE_SIZE, &back));
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		override_encode(&kinds[i], data);
		assert_false(override_decode(data, OVERRIDE_SIZE, &back));
	}
}

static void test_modes_on_the_host(void **state)
{
	static const struct {
		uint32_t mode, private, mirror, off;
	} cases[] = {
		{S_IFREG | 0644, 0600, 0644, 0644}, {S_IFREG | 0755, 0700, 0755, 0755},
		{S_IFREG | 0, 0600, 0600, 0},       {S_IFREG | 06777, 0700, 0777, 06777},
		{S_IFDIR | 0755, 0700, 0755, 0755}, {S_IFDIR | 01777, 0700, 0777, 01777},
		{S_IFDIR | 0, 0700, 0700, 0},       {S_IFCHR | 0666, 0600, 0600, 0666},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct share s = {0};

		assert_int_equal(attr_host_mode(&s, cases[i].mode), cases[i].private);
		s.config.mirror = true;
		assert_int_equal(attr_host_mode(&s, cases[i].mode), cases[i].mirror);
		s.config.virt = SHARE_VIRT_OFF;
		assert_int_equal(attr_host_mode(&s, cases[i].mode), cases[i].off);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_not_ours),
		cmocka_unit_test(test_modes_on_the_host),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
