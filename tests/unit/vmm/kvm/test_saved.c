/* SPDX-License-Identifier: Apache-2.0 */
#include "../../testing.h"

#include "base/crc32c.h"
#include "vmm/kvm/saved.h"

#include <sys/mman.h>

#define PAGE   4096ULL
#define CHUNK  (64 * KIB)
#define RAM_AT (2 * MIB) /* in the file of few records */

static void fill(struct ram *ram, uint64_t start, uint64_t end)
{
	for (uint64_t i = start; i < end; i++)
		ram->host[i] = (uint8_t)(i * 11 + (i >> 12) + 1);
}

static void add_text(struct buf *records, enum saved_record type, unsigned int index,
		     const char *text)
{
	assert_int_equal(saved_add(records, type, index, text, strlen(text)), 0);
}

static int new_file(void)
{
	int fd = memfd_create("saved", MFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

/* A machine of `size` bytes with some records, saved. */
static int save(const struct ram *ram)
{
	struct buf records;
	int fd = new_file();

	saved_init(&records);
	add_text(&records, SAVED_REGS, 0, "registers");
	add_text(&records, SAVED_REGS, 1, "of the other");
	add_text(&records, SAVED_PIT, 0, "12345678");
	add_text(&records, SAVED_CLOCK, 0, "");
	assert_int_equal(saved_write(fd, &records, &(struct saved_machine){ram, 2, 3, true}, NULL),
			 0);
	buf_release(&records);
	return fd;
}

static int save_small(void)
{
	struct ram ram;
	int fd;

	assert_int_equal(ram_map(&ram, CHUNK, -1, 0, NULL), 0);
	fd = save(&ram);
	ram_release(&ram);
	return fd;
}

static struct saved open_saved(int fd)
{
	struct saved s;
	struct err e = {};

	assert_int_equal(saved_open(&s, fd, &e), 0);
	return s;
}

/* --- Memory. */

/* How much of the memory in the file is not a hole. */
static uint64_t data_in(int fd, uint64_t start)
{
	uint64_t sum = 0;
	off_t at = (off_t)start, end;

	while ((at = lseek(fd, at, SEEK_DATA)) >= 0) {
		end = lseek(fd, at, SEEK_HOLE);
		sum += (uint64_t)(end - at);
		at = end;
	}
	return sum;
}

static void check_memory(uint64_t size, const uint64_t (*used)[2], unsigned int n, uint64_t data)
{
	struct ram ram, copy;
	struct saved s;
	uint8_t first;
	int fd;

	assert_int_equal(ram_map(&ram, size, -1, 0, NULL), 0);
	for (unsigned int i = 0; i < n; i++)
		fill(&ram, used[i][0], used[i][1]);
	fd = save(&ram);
	s = open_saved(fd);
	assert_int_equal(s.head.ram_size, size);
	assert_int_equal(s.head.ram_offset, RAM_AT);
	assert_int_equal(lseek(fd, 0, SEEK_END), RAM_AT + size);
	assert_int_equal(data_in(fd, RAM_AT), data);
	assert_int_equal(ram_map(&copy, size, fd, s.head.ram_offset, NULL), 0);
	assert_memory_equal(copy.host, ram.host, (size_t)size);
	/* It is a copy: the machine's writes do not reach the file. */
	copy.host[0] ^= 1;
	assert_int_equal(pread_full(fd, &first, 1, RAM_AT), 1);
	assert_int_equal(first, ram.host[0]);
	ram_release(&copy);
	ram_release(&ram);
	saved_release(&s);
	close(fd);
}

static void test_memory(void **state)
{
	static const uint64_t size = 20 * CHUNK;

	check_memory(size, NULL, 0, 0);
	check_memory(size, (const uint64_t[][2]){{0, 20 * CHUNK}}, 1, size);
	/* A hole at the start, in the middle, at the end. */
	check_memory(size, (const uint64_t[][2]){{3 * CHUNK, size}}, 1, 17 * CHUNK);
	check_memory(size, (const uint64_t[][2]){{0, CHUNK}, {5 * CHUNK, size}}, 2, 16 * CHUNK);
	check_memory(size, (const uint64_t[][2]){{0, 2 * CHUNK}}, 1, 2 * CHUNK);
	check_memory(size, (const uint64_t[][2]){{CHUNK, 2 * CHUNK}, {3 * CHUNK, 4 * CHUNK}}, 2,
		     2 * CHUNK);
	/* A single byte is enough, the first or the last. */
	check_memory(size, (const uint64_t[][2]){{0, 1}}, 1, CHUNK);
	check_memory(size, (const uint64_t[][2]){{size - 1, size}}, 1, CHUNK);
	check_memory(size, (const uint64_t[][2]){{4 * CHUNK - 1, 4 * CHUNK + 1}}, 1, 2 * CHUNK);
}

/* Any number of pages, not only whole chunks. */
static void test_odd_memory(void **state)
{
	check_memory(PAGE, NULL, 0, 0);
	check_memory(PAGE, (const uint64_t[][2]){{0, PAGE}}, 1, PAGE);
	check_memory(CHUNK + PAGE, (const uint64_t[][2]){{0, CHUNK + PAGE}}, 1, CHUNK + PAGE);
	check_memory(CHUNK + PAGE, (const uint64_t[][2]){{0, 1}}, 1, CHUNK);
	check_memory(3 * CHUNK - PAGE,
		     (const uint64_t[][2]){{3 * CHUNK - PAGE - 1, 3 * CHUNK - PAGE}}, 1,
		     CHUNK - PAGE);
}

/* --- Records. */

static void test_records(void **state)
{
	struct err e = {};
	int fd = save_small();
	struct saved s = open_saved(fd);
	size_t size;
	const void *p;

	assert_int_equal(s.head.n_vcpus, 2);
	assert_int_equal(s.head.n_devices, 3);
	assert_int_equal(s.head.pit, 1);
	assert_memory_equal(saved_get(&s, SAVED_REGS, 0, 9, &e), "registers", 9);
	assert_memory_equal(saved_get(&s, SAVED_REGS, 1, 12, &e), "of the other", 12);
	assert_memory_equal(saved_get(&s, SAVED_PIT, 0, 8, &e), "12345678", 8);
	p = saved_get_any(&s, SAVED_REGS, 1, 100, &size, &e);
	assert_int_equal(size, 12);
	assert_memory_equal(p, "of the other", 12);
	/* There, but empty. */
	assert_non_null(saved_get(&s, SAVED_CLOCK, 0, 0, &e));
	assert_non_null(saved_get_any(&s, SAVED_CLOCK, 0, 100, &size, &e));
	assert_int_equal(size, 0);
	assert_int_equal(e.code, ERR_NONE);
	saved_release(&s);
	close(fd);
}

static void test_records_that_are_not_there(void **state)
{
	static const struct {
		enum saved_record type;
		unsigned int index;
		size_t size;
		const char *says;
	} cases[] = {
		{SAVED_REGS, 2, 9, "lacks a part"},   {SAVED_SREGS, 0, 9, "lacks a part"},
		{SAVED_REGS, 0, 8, "lacks a part"},   {SAVED_REGS, 0, 10, "wrong size"},
		{SAVED_REGS, 0, 0, "lacks a part"},   {SAVED_CLOCK, 0, 1, "wrong size"},
		{SAVED_REGS, UINT32_MAX, 9, "lacks"},
	};
	int fd = save_small();
	struct saved s = open_saved(fd);

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct err e = {};

		assert_null(saved_get(&s, cases[i].type, cases[i].index, cases[i].size, &e));
		assert_int_equal(e.code, ERR_CORRUPT);
		assert_non_null(strstr(e.msg, cases[i].says));
	}
	saved_release(&s);
	close(fd);
}

static void test_too_many_records(void **state)
{
	static uint8_t big[5 * MIB];
	struct buf records;

	saved_init(&records);
	assert_int_equal(saved_add(&records, SAVED_MSRS, 0, big, sizeof(big)), 0);
	assert_int_equal(saved_add(&records, SAVED_MSRS, 1, big, sizeof(big)), -ENOBUFS);
	buf_release(&records);
}

static void test_cannot_write(void **state)
{
	struct buf records;
	struct ram ram;
	struct err e = {};
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	saved_init(&records);
	add_text(&records, SAVED_PIT, 0, "x");
	assert_int_equal(ram_map(&ram, CHUNK, -1, 0, NULL), 0);
	assert_int_equal(saved_write(fd, &records, &(struct saved_machine){&ram, 1, 1, false}, &e),
			 -1);
	assert_true(str_starts_with(e.msg, "the machine cannot be saved"));
	ram_release(&ram);
	buf_release(&records);
	close(fd);
}

/* --- Damaged files. */

static enum err_code try_open(int fd)
{
	struct saved s;
	struct err e = {};
	int r = saved_open(&s, fd, &e);

	saved_release(&s);
	assert_int_equal(r, e.code ? -1 : 0);
	return e.code;
}

/* Whatever bit of the header and the records is wrong is seen. */
static void test_every_byte(void **state)
{
	int fd = save_small();
	struct saved s = open_saved(fd);
	uint64_t end = sizeof(s.head) + s.head.records_size;

	for (uint64_t at = 0; at < end; at++) {
		uint8_t byte, wrong;

		assert_int_equal(pread_full(fd, &byte, 1, at), 1);
		wrong = byte ^ (uint8_t)(1U << at % 8);
		assert_int_equal(pwrite_full(fd, &wrong, 1, at), 0);
		assert_int_equal(try_open(fd), at < 8    ? ERR_INVALID
					       : at < 12 ? ERR_UNSUPPORTED
							 : ERR_CORRUPT);
		assert_int_equal(pwrite_full(fd, &byte, 1, at), 0);
	}
	assert_int_equal(try_open(fd), ERR_NONE);
	saved_release(&s);
	close(fd);
}

/* Writes header and records with a checksum that fits. */
static void rewrite(int fd, struct saved_header *h, const void *records, size_t size)
{
	h->crc = crc32c(~0U, (uint8_t *)h + 16, sizeof(*h) - 16);
	h->crc = crc32c(h->crc, records, size);
	assert_int_equal(pwrite_full(fd, h, sizeof(*h), 0), 0);
	assert_int_equal(pwrite_full(fd, records, size, sizeof(*h)), 0);
}

#define FIELD(f) offsetof(struct saved_header, f), sizeof(((struct saved_header *)0)->f)

/* Values that would be a trap although the checksum fits. */
static void test_hostile_header(void **state)
{
	static const struct {
		size_t offset, size;
		uint64_t value;
		enum err_code code;
	} cases[] = {
		{FIELD(records_size), 8 * MIB + 8, ERR_CORRUPT},
		{FIELD(records_size), UINT64_MAX, ERR_CORRUPT},
		{FIELD(records_size), RAM_AT - 56, ERR_CORRUPT},
		{FIELD(ram_offset), 0, ERR_CORRUPT},
		{FIELD(ram_offset), PAGE, ERR_CORRUPT},
		{FIELD(ram_offset), 2 * RAM_AT, ERR_CORRUPT},
		{FIELD(ram_offset), -RAM_AT, ERR_CORRUPT},
		{FIELD(ram_size), 0, ERR_CORRUPT},
		{FIELD(ram_size), 1, ERR_CORRUPT},
		{FIELD(ram_size), CHUNK - 1, ERR_CORRUPT},
		{FIELD(ram_size), CHUNK + PAGE, ERR_CORRUPT},
		{FIELD(ram_size), -RAM_AT, ERR_CORRUPT},
		{FIELD(ram_size), -PAGE, ERR_CORRUPT},
		{FIELD(n_vcpus), 0, ERR_CORRUPT},
		{FIELD(n_vcpus), 33, ERR_CORRUPT},
		{FIELD(n_vcpus), UINT32_MAX, ERR_CORRUPT},
		{FIELD(n_devices), 65, ERR_CORRUPT},
		{FIELD(n_devices), UINT32_MAX, ERR_CORRUPT},
		{FIELD(pit), 2, ERR_CORRUPT},
		{FIELD(pit), UINT32_MAX, ERR_CORRUPT},
		{FIELD(pit), 0, ERR_NONE},
		{FIELD(n_devices), 0, ERR_NONE},
		{FIELD(n_vcpus), 32, ERR_NONE},
		{FIELD(ram_size), PAGE, ERR_NONE},
	};
	int fd = save_small();
	struct saved s = open_saved(fd);

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct saved_header h = s.head;

		memcpy((uint8_t *)&h + cases[i].offset, &cases[i].value, cases[i].size);
		rewrite(fd, &h, s.records, (size_t)s.head.records_size);
		if (try_open(fd) != cases[i].code)
			fail_msg("case %u", i);
	}
	saved_release(&s);
	close(fd);
}

struct head {
	uint32_t type, index, size, zero;
};

static void test_hostile_records(void **state)
{
	/* One record with 16 bytes of content, and how long it says it is. */
	static const struct {
		uint32_t claim;
		uint64_t all;
		enum err_code code;
	} cases[] = {
		{16, 32, ERR_NONE},
		{9, 32, ERR_NONE},
		{17, 32, ERR_CORRUPT},
		{UINT32_MAX, 32, ERR_CORRUPT},
		{UINT32_MAX - 7, 32, ERR_CORRUPT},
		{UINT32_MAX - 15, 32, ERR_CORRUPT},
		{0x80000000, 32, ERR_CORRUPT},
		/* An end that is too short for another record. */
		{8, 32, ERR_CORRUPT},
		{0, 31, ERR_CORRUPT},
		{16, 31, ERR_CORRUPT},
		{0, 15, ERR_CORRUPT},
		{0, 1, ERR_CORRUPT},
		/* A second one that is all zeroes, and none at all. */
		{0, 32, ERR_NONE},
		{0, 0, ERR_NONE},
	};
	int fd = save_small();
	struct saved s = open_saved(fd);

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		uint8_t records[32] = {};
		struct saved_header h = s.head;
		struct head r = {.type = SAVED_PIT, .size = cases[i].claim};

		memcpy(records, &r, sizeof(r));
		h.records_size = cases[i].all;
		rewrite(fd, &h, records, (size_t)h.records_size);
		if (try_open(fd) != cases[i].code)
			fail_msg("case %u", i);
	}
	saved_release(&s);
	close(fd);
}

/* A record that claims more than the caller takes is not handed out. */
static void test_larger_than_wanted(void **state)
{
	struct err e = {};
	int fd = save_small();
	struct saved s = open_saved(fd);
	size_t size = 77;

	assert_null(saved_get_any(&s, SAVED_REGS, 0, 8, &size, &e));
	assert_int_equal(size, 77);
	assert_int_equal(e.code, ERR_CORRUPT);
	assert_non_null(saved_get_any(&s, SAVED_REGS, 0, 9, &size, &e));
	saved_release(&s);
	close(fd);
}

/* Saving that was interrupted leaves no header; a file that was cut has too little behind it. */
static void test_cut_files(void **state)
{
	static const struct {
		off_t size;
		enum err_code code;
	} cases[] = {
		{RAM_AT + CHUNK - 1, ERR_CORRUPT},
		{RAM_AT, ERR_CORRUPT},
		{100, ERR_CORRUPT},
		{63, ERR_INVALID},
		{0, ERR_INVALID},
	};
	static const uint8_t zeroes[sizeof(struct saved_header)];
	int fd = save_small();

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(ftruncate(fd, cases[i].size), 0);
		assert_int_equal(try_open(fd), cases[i].code);
	}
	close(fd);
	fd = save_small();
	assert_int_equal(pwrite_full(fd, zeroes, sizeof(zeroes), 0), 0);
	assert_int_equal(try_open(fd), ERR_INVALID);
	close(fd);
}

static void test_no_files(void **state)
{
	int fds[2];
	int dir = open("/", O_RDONLY | O_CLOEXEC);

	assert_int_equal(try_open(dir), ERR_SYSTEM);
	close(dir);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_int_equal(try_open(fds[0]), ERR_SYSTEM);
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_odd_memory),
		cmocka_unit_test(test_records),
		cmocka_unit_test(test_records_that_are_not_there),
		cmocka_unit_test(test_too_many_records),
		cmocka_unit_test(test_cannot_write),
		cmocka_unit_test(test_every_byte),
		cmocka_unit_test(test_hostile_header),
		cmocka_unit_test(test_hostile_records),
		cmocka_unit_test(test_larger_than_wanted),
		cmocka_unit_test(test_cut_files),
		cmocka_unit_test(test_no_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
