/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_driver.h"

#include "virtio/blk.h"

#include <linux/virtio_blk.h>
#include <sys/eventfd.h>

#define QUEUE_GPA  RAM_GPA
#define HEADER_GPA (RAM_GPA + MIB)
#define STATUS_GPA (RAM_GPA + MIB + 64)
#define DATA_GPA   (RAM_GPA + 2 * MIB)

struct fixture {
	struct fake_ram ram;
	struct fake_queue q;
	struct virtio_device *dev;
	unsigned int notified;
	unsigned int broken;
};

static void on_notify(void *ctx, unsigned int queue)
{
	((struct fixture *)ctx)->notified++;
}

static void on_broken(void *ctx, unsigned int queue)
{
	((struct fixture *)ctx)->broken++;
}

static const struct virtio_transport_ops transport = {on_notify, on_broken};

static int make_file(const void *data, size_t n, int flags)
{
	const char *base = secure_getenv("TMPDIR");
	int fd = open(base ? base : "/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600), again;
	char path[64];

	assert_true(fd >= 0);
	assert_int_equal(write_full(fd, data, n), 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, flags | O_CLOEXEC);
	assert_true(again >= 0);
	close(fd);
	return again;
}

static void start(struct fixture *f, struct disk *disk)
{
	assert_non_null(disk);
	ram_init(&f->ram);
	fq_init(&f->q, &f->ram, QUEUE_GPA, 64);
	f->dev = blk_new(disk, "serial");
	assert_non_null(f->dev);
	f->dev->transport = &transport;
	f->dev->transport_ctx = f;
	f->dev->acked = f->dev->features;
	assert_int_equal(virtio_device_start_queue(f->dev, 0, &f->ram.table, &f->q.cfg, -1), 0);
}

static void stop(struct fixture *f)
{
	virtio_device_free(f->dev);
	ram_release(&f->ram);
}

/* Sends a request with `len` bytes of data at DATA_GPA; returns the status byte. */
static int request(struct fixture *f, uint32_t type, uint64_t sector, uint32_t len, bool in)
{
	struct virtio_blk_outhdr *h = ram_at(&f->ram, HEADER_GPA);
	uint8_t *status = ram_at(&f->ram, STATUS_GPA);
	struct fake_part parts[] = {
		{HEADER_GPA, sizeof(*h), false}, {DATA_GPA, len, in}, {STATUS_GPA, 1, true}};
	uint32_t head, used;

	if (len == 0)
		parts[1] = parts[2];
	*h = (struct virtio_blk_outhdr){.type = type, .sector = sector};
	*status = 0xee;
	fq_add(&f->q, parts, len ? 3 : 2);
	virtio_device_kick(f->dev, 0);
	assert_true(fq_take_used(&f->q, &head, &used));
	return *status;
}

static void fill(uint8_t *p, size_t n, unsigned int seed)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(i * 31 + i / 256 + seed);
}

static void test_extents(void **state)
{
	static uint8_t disk[5 * 512 + 512 + 3 * 512 + 100 + 8192];
	struct fixture f = {};
	uint8_t *got;
	int fds[3];
	const size_t size = 5 * 512 + 512 + 3 * 512 + 100;

	fill(disk, size, 7);
	fds[0] = make_file(disk, 5 * 512, O_RDONLY);
	fds[1] = make_file(disk + 5 * 512, 512, O_RDONLY);
	fds[2] = make_file(disk + 6 * 512, 3 * 512 + 100, O_RDONLY);
	start(&f, disk_new(fds, 3, false));
	got = ram_at(&f.ram, DATA_GPA);
	/* 4708 bytes become two pages. */
	assert_int_equal(*(uint64_t *)(void *)f.dev->config, 16);
	assert_true(f.dev->features & VIRTIO_BIT(VIRTIO_BLK_F_RO));

	for (uint64_t sector = 0; sector < 16; sector++) {
		for (uint32_t n = 1; n <= 16 - sector; n++) {
			memset(got, 0xcc, 8193);
			assert_int_equal(request(&f, VIRTIO_BLK_T_IN, sector, n * 512, true), 0);
			assert_memory_equal(got, disk + sector * 512, n * 512);
			assert_int_equal(got[n * 512], 0xcc);
		}
	}
	assert_int_equal(request(&f, VIRTIO_BLK_T_IN, 15, 1024, true), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(&f, VIRTIO_BLK_T_IN, 16, 512, true), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(&f, VIRTIO_BLK_T_IN, UINT64_MAX, 512, true), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(&f, VIRTIO_BLK_T_IN, UINT64_MAX / 512, 512, true),
			 VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(&f, VIRTIO_BLK_T_IN, 0, 100, true), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(&f, VIRTIO_BLK_T_OUT, 0, 512, false), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(&f, VIRTIO_BLK_T_FLUSH, 0, 0, false), VIRTIO_BLK_S_OK);
	assert_int_equal(request(&f, 99, 0, 0, false), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(f.broken, 0);
	stop(&f);
}

static void test_write(void **state)
{
	static uint8_t zero[64 * KIB], file[64 * KIB];
	struct fixture f = {};
	uint8_t *data;
	int fd = make_file(zero, sizeof(zero), O_RDWR), keep = dup(fd);

	start(&f, disk_new(&fd, 1, true));
	data = ram_at(&f.ram, DATA_GPA);
	fill(data, 4096, 3);
	assert_int_equal(request(&f, VIRTIO_BLK_T_OUT, 3, 4096, false), 0);
	assert_int_equal(request(&f, VIRTIO_BLK_T_FLUSH, 0, 0, false), 0);
	assert_int_equal(pread_full(keep, file, sizeof(file), 0), sizeof(file));
	assert_memory_equal(file + 3 * 512, data, 4096);
	assert_int_equal(file[3 * 512 - 1], 0);
	/* The last sectors, and past them: the file does not grow. */
	assert_int_equal(request(&f, VIRTIO_BLK_T_OUT, 120, 4096, false), 0);
	assert_int_equal(request(&f, VIRTIO_BLK_T_OUT, 121, 4096, false), VIRTIO_BLK_S_IOERR);
	assert_int_equal(lseek(keep, 0, SEEK_END), sizeof(file));
	assert_int_equal(request(&f, VIRTIO_BLK_T_GET_ID, 0, 20, true), 0);
	assert_memory_equal(data, "serial\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
	close(keep);
	stop(&f);
}

/* Only what was moved counts. */
static void test_counts(void **state)
{
	static uint8_t zero[64 * KIB];
	struct stats_disk counts = {0};
	struct fixture f = {};
	int fd = make_file(zero, sizeof(zero), O_RDWR);

	start(&f, disk_new(&fd, 1, true));
	blk_count(f.dev, &counts);
	assert_int_equal(request(&f, VIRTIO_BLK_T_OUT, 3, 4096, false), 0);
	assert_int_equal(request(&f, VIRTIO_BLK_T_IN, 0, 512, true), 0);
	assert_int_equal(request(&f, VIRTIO_BLK_T_IN, 8, 1024, true), 0);
	assert_int_equal(request(&f, VIRTIO_BLK_T_OUT, 127, 1024, false), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(&f, VIRTIO_BLK_T_IN, 128, 512, true), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(&f, VIRTIO_BLK_T_FLUSH, 0, 0, false), 0);
	assert_int_equal(counts.writes, 1);
	assert_int_equal(counts.written_bytes, 4096);
	assert_int_equal(counts.reads, 2);
	assert_int_equal(counts.read_bytes, 1536);
	stop(&f);
}

static int discard(struct fixture *f, uint32_t type, uint64_t sector, uint32_t n, uint32_t flags)
{
	struct virtio_blk_discard_write_zeroes seg = {sector, n, flags};

	memcpy(ram_at(&f->ram, DATA_GPA), &seg, sizeof(seg));
	return request(f, type, 0, sizeof(seg), false);
}

static void test_discard(void **state)
{
	static uint8_t ones[64 * KIB], file[64 * KIB];
	struct fixture f = {};
	int fd, keep;

	memset(ones, 1, sizeof(ones));
	fd = make_file(ones, sizeof(ones), O_RDWR);
	keep = dup(fd);
	start(&f, disk_new(&fd, 1, true));
	assert_int_equal(discard(&f, VIRTIO_BLK_T_DISCARD, 8, 16, 0), 0);
	assert_int_equal(discard(&f, VIRTIO_BLK_T_WRITE_ZEROES, 40, 8, 0), 0);
	assert_int_equal(
		discard(&f, VIRTIO_BLK_T_WRITE_ZEROES, 64, 8, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP),
		0);
	assert_int_equal(pread_full(keep, file, sizeof(file), 0), sizeof(file));
	assert_int_equal(file[8 * 512 - 1], 1);
	assert_int_equal(file[24 * 512], 1);
	for (size_t i = 8 * 512; i < 24 * 512; i++)
		assert_int_equal(file[i], 0);
	assert_int_equal(file[40 * 512], 0);
	assert_int_equal(file[48 * 512], 1);
	assert_int_equal(file[64 * 512], 0);

	assert_int_equal(discard(&f, VIRTIO_BLK_T_DISCARD, 120, 16, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(discard(&f, VIRTIO_BLK_T_DISCARD, UINT64_MAX, 8, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(discard(&f, VIRTIO_BLK_T_DISCARD, 0, UINT32_MAX, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(discard(&f, VIRTIO_BLK_T_DISCARD, 0, 8, 2), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(discard(&f, VIRTIO_BLK_T_WRITE_ZEROES, 0, 1u << 20, 0),
			 VIRTIO_BLK_S_IOERR);
	/* No segment, part of one, too many. */
	assert_int_equal(request(&f, VIRTIO_BLK_T_DISCARD, 0, 0, false), VIRTIO_BLK_S_IOERR);
	assert_int_equal(request(&f, VIRTIO_BLK_T_DISCARD, 0, 17, false), VIRTIO_BLK_S_IOERR);
	memset(ram_at(&f.ram, DATA_GPA), 0, 4096);
	assert_int_equal(request(&f, VIRTIO_BLK_T_DISCARD, 0, 17 * 16, false), VIRTIO_BLK_S_IOERR);
	close(keep);
	stop(&f);
}

/* Header, data and status cut in the least convenient way. */
static void test_odd_buffers(void **state)
{
	static uint8_t content[4096];
	struct fixture f = {};
	struct virtio_blk_outhdr h = {.type = VIRTIO_BLK_T_IN, .sector = 1};
	struct fake_part parts[4 + 8];
	uint32_t head, used;
	uint8_t *got;
	int fd;

	fill(content, sizeof(content), 1);
	fd = make_file(content, sizeof(content), O_RDONLY);
	start(&f, disk_new(&fd, 1, false));
	memcpy(ram_at(&f.ram, HEADER_GPA), &h, sizeof(h));
	for (unsigned int i = 0; i < 4; i++)
		parts[i] = (struct fake_part){HEADER_GPA + i * 4, 4, false};
	/* 1024 bytes of data and the status in one piece with the last part. */
	for (unsigned int i = 0; i < 8; i++)
		parts[4 + i] = (struct fake_part){DATA_GPA + i * 128, i < 7 ? 128 : 129, true};
	fq_add(&f.q, parts, ARRAY_SIZE(parts));
	virtio_device_kick(f.dev, 0);
	assert_true(fq_take_used(&f.q, &head, &used));
	assert_int_equal(used, 1025);
	got = ram_at(&f.ram, DATA_GPA);
	assert_memory_equal(got, content + 512, 1024);
	assert_int_equal(got[1024], VIRTIO_BLK_S_OK);
	stop(&f);
}

static void test_no_room_for_status(void **state)
{
	static uint8_t content[4096];
	struct fixture f = {};
	const struct fake_part part = {HEADER_GPA, 16, false};
	int fd = make_file(content, sizeof(content), O_RDONLY);

	start(&f, disk_new(&fd, 1, false));
	fq_add(&f.q, &part, 1);
	virtio_device_kick(f.dev, 0);
	assert_int_equal(f.broken, 1);
	/* A queue that is broken is left alone. */
	virtio_device_kick(f.dev, 0);
	assert_int_equal(f.broken, 1);
	stop(&f);
}

static void test_short_header(void **state)
{
	static uint8_t content[4096];
	struct fixture f = {};
	const struct fake_part parts[] = {{HEADER_GPA, 15, false}, {STATUS_GPA, 1, true}};
	uint32_t head, used;
	int fd = make_file(content, sizeof(content), O_RDONLY);

	start(&f, disk_new(&fd, 1, false));
	fq_add(&f.q, parts, 2);
	virtio_device_kick(f.dev, 0);
	assert_true(fq_take_used(&f.q, &head, &used));
	assert_int_equal(*(uint8_t *)ram_at(&f.ram, STATUS_GPA), VIRTIO_BLK_S_IOERR);
	stop(&f);
}

static void test_shrunk_file(void **state)
{
	static uint8_t content[8192];
	struct fixture f = {};
	int fd = make_file(content, sizeof(content), O_RDWR);

	start(&f, disk_new((int[]){dup(fd)}, 1, false));
	assert_int_equal(ftruncate(fd, 4096), 0);
	assert_int_equal(request(&f, VIRTIO_BLK_T_IN, 0, 4096, true), 0);
	assert_int_equal(request(&f, VIRTIO_BLK_T_IN, 4, 4096, true), VIRTIO_BLK_S_IOERR);
	close(fd);
	stop(&f);
}

static void test_bad_files(void **state)
{
	static uint8_t data[1024];
	int pipes[2];

	errno = 0;
	assert_null(disk_new((int[]){make_file(data, 700, O_RDWR)}, 1, true));
	assert_int_equal(errno, EINVAL);
	assert_null(disk_new(
		(int[]){make_file(data, 700, O_RDONLY), make_file(data, 512, O_RDONLY)}, 2, false));
	assert_int_equal(errno, EINVAL);
	assert_null(disk_new((int[]){make_file(data, 0, O_RDONLY)}, 1, false));
	assert_int_equal(errno, EINVAL);
	assert_null(disk_new((int[]){make_file(data, 512, O_RDONLY)}, 1, true));
	assert_int_equal(errno, EBADF);
	assert_null(disk_new((int[]){make_file(data, 512, O_RDWR), make_file(data, 512, O_RDWR)}, 2,
			     true));
	assert_int_equal(errno, EINVAL);
	assert_int_equal(pipe(pipes), 0);
	assert_null(disk_new(pipes, 1, false));
	assert_int_equal(errno, EINVAL);
	close(pipes[1]);
}

/* A driver that fills the queue with large requests does not occupy the thread for all of them. */
static void test_turns(void **state)
{
	static uint8_t content[MIB];
	struct fixture f = {};
	struct virtio_blk_outhdr h = {.type = VIRTIO_BLK_T_IN};
	const struct fake_part parts[] = {
		{HEADER_GPA, sizeof(h), false}, {DATA_GPA, MIB, true}, {STATUS_GPA, 1, true}};
	int fd = make_file(content, sizeof(content), O_RDONLY), kick = eventfd(0, EFD_CLOEXEC);
	uint32_t head, used;
	unsigned int first = 0;
	uint64_t n;

	start(&f, disk_new(&fd, 1, false));
	virtio_device_stop_queue(f.dev, 0);
	memcpy(ram_at(&f.ram, HEADER_GPA), &h, sizeof(h));
	for (int i = 0; i < 20; i++)
		fq_add(&f.q, parts, 3);
	assert_int_equal(virtio_device_start_queue(f.dev, 0, &f.ram.table, &f.q.cfg, kick), 0);
	while (fq_take_used(&f.q, &head, &used))
		first++;
	assert_in_range(first, 1, 19);
	/* It comes back by itself for the rest. */
	for (unsigned int left = 20 - first; left;) {
		assert_int_equal(read(kick, &n, sizeof(n)), sizeof(n));
		virtio_device_kick(f.dev, 0);
		while (fq_take_used(&f.q, &head, &used))
			left--;
	}
	stop(&f);
	close(kick);
}

/* No single request is larger than what the driver was told is possible. */
static void test_too_large(void **state)
{
	static uint8_t content[4096];
	const uint64_t size = 256 * MIB;
	struct fixture f = {};
	struct virtio_blk_config config;
	int fd = make_file(content, sizeof(content), O_RDWR);
	void *big = mmap(NULL, size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct virtio_blk_outhdr h = {.type = VIRTIO_BLK_T_OUT};
	struct fake_part parts[] = {
		{HEADER_GPA, sizeof(h), false}, {4 * GIB, 0, false}, {STATUS_GPA, 1, true}};
	uint32_t head, used, max;

	assert_ptr_not_equal(big, MAP_FAILED);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	start(&f, disk_new(&fd, 1, true));
	assert_int_equal(guest_mem_add(&f.ram.table, big, 4 * GIB, size), 0);
	memcpy(&config, f.dev->config, sizeof(config));
	assert_true(f.dev->features & VIRTIO_BIT(VIRTIO_BLK_F_SIZE_MAX));
	max = config.size_max * config.seg_max;
	memcpy(ram_at(&f.ram, HEADER_GPA), &h, sizeof(h));
	for (uint32_t more = 0; more <= 512; more += 512) {
		parts[1].len = max + more;
		fq_add(&f.q, parts, 3);
		virtio_device_kick(f.dev, 0);
		assert_true(fq_take_used(&f.q, &head, &used));
		assert_int_equal(*(uint8_t *)ram_at(&f.ram, STATUS_GPA),
				 more ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK);
	}
	stop(&f);
	munmap(big, size);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_extents),      cmocka_unit_test(test_write),
		cmocka_unit_test(test_counts),       cmocka_unit_test(test_discard),
		cmocka_unit_test(test_odd_buffers),  cmocka_unit_test(test_no_room_for_status),
		cmocka_unit_test(test_short_header), cmocka_unit_test(test_shrunk_file),
		cmocka_unit_test(test_bad_files),    cmocka_unit_test(test_turns),
		cmocka_unit_test(test_too_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
