/* SPDX-License-Identifier: Apache-2.0 */
/* What all devices have in common. */
#include "fake_driver.h"

#include "virtio/rng.h"

#include <sys/eventfd.h>

struct fixture {
	struct fake_ram ram;
	struct fake_queue q;
	struct virtio_device *dev;
	unsigned int broken;
};

static void on_notify(void *ctx, unsigned int queue)
{
}

static void on_broken(void *ctx, unsigned int queue)
{
	((struct fixture *)ctx)->broken++;
}

static const struct virtio_transport_ops transport = {on_notify, on_broken};

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	*state = f;
	ram_init(&f->ram);
	fq_init(&f->q, &f->ram, RAM_GPA, 16);
	f->dev = rng_new();
	assert_non_null(f->dev);
	f->dev->transport = &transport;
	f->dev->transport_ctx = f;
	f->dev->acked = f->dev->features;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	virtio_device_free(f->dev);
	ram_release(&f->ram);
	free(f);
	return 0;
}

/* A start that fails leaves nothing behind, least of all a descriptor that somebody will close. */
static void test_failed_start(void **state)
{
	struct fixture *f = *state;
	uint8_t byte = 0;
	int kick = eventfd(0, EFD_CLOEXEC);

	/* A file cannot be waited for. */
	assert_int_equal(virtio_device_start_queue(f->dev, 0, &f->ram.table, &f->q.cfg, f->ram.fd),
			 -EPERM);
	assert_false(virtio_queue(f->dev, 0)->started);
	virtio_device_rekick(f->dev, 0);
	assert_int_equal(pread(f->ram.fd, &byte, 1, 0), 1);
	assert_int_equal(byte, 0);
	assert_int_equal(virtio_device_stop_queue(f->dev, 0), 0);
	f->q.cfg.size = 3;
	assert_int_equal(virtio_device_start_queue(f->dev, 0, &f->ram.table, &f->q.cfg, kick),
			 -EINVAL);
	f->q.cfg.size = 16;
	assert_int_equal(virtio_device_start_queue(f->dev, 0, &f->ram.table, &f->q.cfg, kick), 0);
	assert_int_equal(f->broken, 0);
	virtio_device_stop_queue(f->dev, 0);
	close(kick);
}

static void test_stop_says_where_to_go_on(void **state)
{
	struct fixture *f = *state;
	const struct fake_part part = {RAM_GPA + MIB, 16, true};

	for (int i = 0; i < 3; i++)
		fq_add(&f->q, &part, 1);
	assert_int_equal(virtio_device_start_queue(f->dev, 0, &f->ram.table, &f->q.cfg, -1), 0);
	assert_int_equal(virtio_device_stop_queue(f->dev, 0), 3);
	assert_int_equal(virtio_device_stop_queue(f->dev, 0), 0);
	f->q.cfg.next_avail = 3;
	assert_int_equal(virtio_device_start_queue(f->dev, 0, &f->ram.table, &f->q.cfg, -1), 0);
	fq_add(&f->q, &part, 1);
	/* Told or not, the last look finds it. */
	virtio_device_last_look(f->dev);
	assert_int_equal(f->q.used[1], 4);
	/* A start of a running queue is a new start. */
	f->q.cfg.next_avail = 4;
	assert_int_equal(virtio_device_start_queue(f->dev, 0, &f->ram.table, &f->q.cfg, -1), 0);
	assert_int_equal(f->q.used[1], 4);
}

static void test_config_bounds(void **state)
{
	struct fixture *f = *state;
	uint8_t got[VIRTIO_CONFIG_MAX + 8];

	f->dev->config_size = VIRTIO_CONFIG_MAX;
	f->dev->config_rw_offset = VIRTIO_CONFIG_MAX - 2;
	f->dev->config_rw_size = 2;
	memset(got, 0xee, sizeof(got));
	virtio_device_read_config(f->dev, VIRTIO_CONFIG_MAX - 1, got, 8);
	assert_memory_equal(got, "\0\0\0\0\0\0\0\0\xee", 9);
	virtio_device_read_config(f->dev, UINT32_MAX, got, 8);
	virtio_device_write_config(f->dev, VIRTIO_CONFIG_MAX - 2, "ab", 2);
	virtio_device_write_config(f->dev, VIRTIO_CONFIG_MAX - 1, "xx", 2);
	virtio_device_write_config(f->dev, UINT32_MAX, "xx", 2);
	virtio_device_write_config(f->dev, VIRTIO_CONFIG_MAX - 3, "xx", 2);
	virtio_device_write_config(f->dev, VIRTIO_CONFIG_MAX - 2, "xx", UINT32_MAX);
	virtio_device_read_config(f->dev, VIRTIO_CONFIG_MAX - 4, got, 4);
	assert_memory_equal(got, "\0\0ab", 4);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_failed_start),
		CASE(test_stop_says_where_to_go_on),
		CASE(test_config_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
