/* SPDX-License-Identifier: Apache-2.0 */
#include "../testing.h"

#include "base/util.h"
#include "virtio/guest_mem.h"

#include <sys/mman.h>

static int make_file(uint64_t size)
{
	int fd = memfd_create("mem", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

static void test_translate(void **state)
{
	_cleanup_close_ int fd = make_file(MIB);
	struct guest_mem m = {};
	char *p;

	assert_int_equal(guest_mem_map(&m, fd, 4096, 0x1000, 8192, 0x7f0000000000), 0);
	assert_int_equal(guest_mem_map(&m, fd, 64 * KIB, GIB, 4096, 0x7f1000000000), 0);
	p = guest_mem_ptr(&m, 0x1000, 8192);
	assert_non_null(p);
	assert_ptr_equal(guest_mem_ptr(&m, 0x1001, 10), p + 1);
	assert_int_equal(pwrite(fd, "x", 1, 4096 + 5), 1);
	assert_int_equal(p[5], 'x');

	assert_null(guest_mem_ptr(&m, 0xfff, 1));
	assert_null(guest_mem_ptr(&m, 0x1000, 8193));
	assert_null(guest_mem_ptr(&m, 0x3000, 1));
	assert_null(guest_mem_ptr(&m, 0x2fff, 2));
	assert_null(guest_mem_ptr(&m, 0x1000, 0));
	assert_null(guest_mem_ptr(&m, 0x1800, UINT64_MAX));
	assert_null(guest_mem_ptr(&m, UINT64_MAX, 1));
	assert_non_null(guest_mem_ptr(&m, GIB + 4095, 1));
	guest_mem_release(&m);
	assert_null(guest_mem_ptr(&m, 0x1000, 1));
}

static void test_refused(void **state)
{
	_cleanup_close_ int fd = make_file(64 * KIB);
	struct guest_mem m = {};

	assert_int_equal(guest_mem_map(&m, fd, 0, 0x10000, 4096, 0), 0);
	/* Empty, wrapping, overlapping in each way, past the end of the file. */
	assert_int_equal(guest_mem_map(&m, fd, 0, 0x20000, 0, 0), -EINVAL);
	assert_int_equal(guest_mem_map(&m, fd, 0, UINT64_MAX - 100, 4096, 0), -EINVAL);
	assert_int_equal(guest_mem_map(&m, fd, 0, 0x20000, 4096, UINT64_MAX - 100), -EINVAL);
	assert_int_equal(guest_mem_map(&m, fd, 0, 0x10000, 4096, 0), -EINVAL);
	assert_int_equal(guest_mem_map(&m, fd, 0, 0xf001, 4096, 0), -EINVAL);
	assert_int_equal(guest_mem_map(&m, fd, 0, 0x10fff, 1, 0), -EINVAL);
	assert_int_equal(guest_mem_map(&m, fd, 0, 0x20000, 64 * KIB + 1, 0), -EINVAL);
	assert_int_equal(guest_mem_map(&m, fd, 61441, 0x20000, 4096, 0), -EINVAL);
	assert_int_equal(guest_mem_map(&m, fd, UINT64_MAX - 4095, 0x20000, 4096, 0), -EINVAL);
	assert_int_equal(guest_mem_map(&m, -1, 0, 0x20000, 4096, 0), -EBADF);
	assert_int_equal(m.n, 1);
	guest_mem_release(&m);
}

static void test_full(void **state)
{
	static char page[4096];
	struct guest_mem m = {};

	for (uint64_t i = 0; i < GUEST_MEM_REGIONS_MAX; i++)
		assert_int_equal(guest_mem_add(&m, page, i * 8192, 4096), 0);
	assert_int_equal(guest_mem_add(&m, page, GIB, 4096), -ENOSPC);
	assert_int_equal(guest_mem_remove(&m, 8192, 4096), 0);
	assert_int_equal(guest_mem_remove(&m, 8192, 4096), -ENOENT);
	assert_null(guest_mem_ptr(&m, 8192, 1));
	assert_ptr_equal(guest_mem_ptr(&m, 16384, 1), page);
	assert_int_equal(guest_mem_add(&m, page, GIB, 4096), 0);
	guest_mem_release(&m);
}

static void test_user_addresses(void **state)
{
	_cleanup_close_ int fd = make_file(8192);
	struct guest_mem m = {};
	uint64_t gpa;

	assert_int_equal(guest_mem_map(&m, fd, 0, GIB, 8192, 0x7f0000000000), 0);
	assert_true(guest_mem_user_to_gpa(&m, 0x7f0000000000, &gpa));
	assert_int_equal(gpa, GIB);
	assert_true(guest_mem_user_to_gpa(&m, 0x7f0000001fff, &gpa));
	assert_int_equal(gpa, GIB + 8191);
	assert_false(guest_mem_user_to_gpa(&m, 0x7f0000002000, &gpa));
	assert_false(guest_mem_user_to_gpa(&m, GIB, &gpa));
	guest_mem_release(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_translate),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_user_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
