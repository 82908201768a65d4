/* SPDX-License-Identifier: Apache-2.0 */
/* Both sides of the rings in one process; where one is hostile, it writes to the control block. */
#include "../testing.h"

#include "base/frame_ring.c"

#include <pthread.h>
#include <sys/eventfd.h>

struct fixture {
	struct frame_rings vmm;
	struct frame_rings net;
};

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	int fd = frame_rings_create();

	*state = f;
	assert_true(fd >= 0);
	assert_int_equal(frame_rings_map(&f->vmm, fd, FRAME_SIDE_VMM), 0);
	assert_int_equal(frame_rings_map(&f->net, fd, FRAME_SIDE_NET), 0);
	close(fd);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	frame_rings_unmap(&f->vmm);
	frame_rings_unmap(&f->net);
	free(f);
	return 0;
}

static bool put(struct frame_ring *r, size_t len, uint8_t first)
{
	uint8_t *p = frame_ring_reserve(r, len);

	if (!p)
		return false;
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(first + i);
	frame_ring_commit(r, len);
	return true;
}

static void get(struct frame_ring *r, size_t len, uint8_t first)
{
	const uint8_t *p;

	assert_int_equal(frame_ring_next(r, &p), len);
	for (size_t i = 0; i < len; i++)
		if (p[i] != (uint8_t)(first + i))
			fail_msg("byte %zu is wrong", i);
	frame_ring_done(r);
}

static void get_none(struct frame_ring *r)
{
	const uint8_t *p;

	assert_int_equal(frame_ring_next(r, &p), 0);
}

/* --- The file. */

static int sealed(off_t size, int seals)
{
	int fd = memfd_create("other", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static void test_file(void **state)
{
	const struct {
		off_t size;
		int seals;
		int result;
	} cases[] = {
		{FILE_SIZE, F_SEAL_SHRINK, 0},
		{FILE_SIZE, 0, -EINVAL},
		{FILE_SIZE, F_SEAL_GROW, -EINVAL},
		{FILE_SIZE - 1, F_SEAL_SHRINK, -EINVAL},
		{FILE_SIZE + 1, F_SEAL_SHRINK, -EINVAL},
		{FILE_SIZE, F_SEAL_SHRINK | F_SEAL_WRITE, -EPERM},
	};
	struct frame_rings r;
	int fd = frame_rings_create(), p[2];

	assert_true(fd >= 0);
	/* Nobody can change the file's size, or what can be changed about it. */
	assert_true(ftruncate(fd, 0) < 0);
	assert_true(ftruncate(fd, 2 * FILE_SIZE) < 0);
	assert_true(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) < 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		fd = sealed(cases[i].size, cases[i].seals);
		assert_int_equal(frame_rings_map(&r, fd, FRAME_SIDE_NET), cases[i].result);
		assert_true((r.map != NULL) == (cases[i].result == 0));
		frame_rings_unmap(&r);
		close(fd);
	}
	assert_int_equal(pipe(p), 0);
	assert_true(frame_rings_map(&r, p[0], FRAME_SIDE_NET) < 0);
	close(p[0]);
	close(p[1]);
	assert_true(frame_rings_map(&r, -1, FRAME_SIDE_NET) < 0);
}

/* --- Frames. */

static void test_both_directions(void **state)
{
	struct fixture *f = *state;

	assert_true(put(&f->vmm.out, 60, 1));
	assert_true(put(&f->net.out, 90, 2));
	/* Nothing is seen before it is published. */
	get_none(&f->net.in);
	frame_ring_publish(&f->vmm.out);
	frame_ring_publish(&f->net.out);
	get(&f->net.in, 60, 1);
	get(&f->vmm.in, 90, 2);
	get_none(&f->net.in);
	get_none(&f->vmm.in);
}

static void test_frame_stays(void **state)
{
	struct fixture *f = *state;
	const uint8_t *p, *again;

	put(&f->vmm.out, 100, 1);
	put(&f->vmm.out, 1, 7);
	frame_ring_publish(&f->vmm.out);
	assert_int_equal(frame_ring_next(&f->net.in, &p), 100);
	assert_int_equal(frame_ring_next(&f->net.in, &again), 100);
	assert_ptr_equal(p, again);
	frame_ring_done(&f->net.in);
	/* Once more does nothing. */
	frame_ring_done(&f->net.in);
	get(&f->net.in, 1, 7);
}

static void test_commit_less(void **state)
{
	struct fixture *f = *state;
	uint8_t *p = frame_ring_reserve(&f->vmm.out, FRAME_MAX);

	assert_non_null(p);
	p[0] = 5;
	frame_ring_commit(&f->vmm.out, 1);
	assert_true(put(&f->vmm.out, 2, 6));
	frame_ring_publish(&f->vmm.out);
	get(&f->net.in, 1, 5);
	get(&f->net.in, 2, 6);
	assert_null(frame_ring_reserve(&f->vmm.out, FRAME_MAX + 1));
}

/* Begins all positions of the first direction at `position`, as if that many bytes had passed. */
static void begin_at(struct fixture *f, uint32_t position)
{
	struct frame_ring *out = &f->vmm.out, *in = &f->net.in;

	out->mine = out->published = out->theirs = position;
	in->mine = in->published = in->theirs = position;
	out->shared->head = out->shared->tail = position;
	out->shared->frame_event = out->shared->room_event = position;
}

static void test_around(void **state)
{
	struct fixture *f = *state;
	static const size_t lengths[] = {1, FRAME_MAX, 60, 4, 5, 12345, 1514, 65536, 8, 3};
	size_t sent = 0, got = 0;

	/* Over the end of the data many times, and over the end of the numbers. */
	begin_at(f, UINT32_MAX - 3 * DATA_SIZE + 1);
	while (got < 1000) {
		while (sent < 1000 && put(&f->vmm.out, lengths[sent % 10], (uint8_t)sent))
			sent++;
		frame_ring_publish(&f->vmm.out);
		for (size_t stop = got + 1 + sent % 7; got < sent && got < stop; got++)
			get(&f->net.in, lengths[got % 10], (uint8_t)got);
		frame_ring_release(&f->net.in);
	}
	get_none(&f->net.in);
	assert_false(f->vmm.out.broken || f->net.in.broken);
}

static void test_each_offset(void **state)
{
	struct fixture *f = *state;

	/* The rest at the end is anything from a bare word up. */
	for (uint32_t rest = 8; rest <= 256; rest += 8) {
		begin_at(f, DATA_SIZE - rest);
		assert_true(put(&f->vmm.out, 100, 3));
		frame_ring_publish(&f->vmm.out);
		get(&f->net.in, 100, 3);
		get_none(&f->net.in);
		assert_int_equal(f->net.in.mine, f->vmm.out.mine);
	}
}

/* A frame that was prepared at the beginning of the data and then not sent. */
static void test_wrap_without_frame(void **state)
{
	struct fixture *f = *state;

	begin_at(f, DATA_SIZE - 64);
	assert_non_null(frame_ring_reserve(&f->vmm.out, 1000));
	assert_non_null(frame_ring_reserve(&f->vmm.out, 1000));
	frame_ring_publish(&f->vmm.out);
	get_none(&f->net.in);
	assert_false(frame_ring_await_frame(&f->net.in));
	put(&f->vmm.out, 1000, 9);
	assert_true(frame_ring_publish(&f->vmm.out));
	get(&f->net.in, 1000, 9);
}

/* --- Waking up. */

static void test_wake_for_frames(void **state)
{
	struct fixture *f = *state;

	/* The first frame of all wakes; the next does not, as nobody asked. */
	put(&f->vmm.out, 60, 0);
	assert_true(frame_ring_publish(&f->vmm.out));
	assert_false(frame_ring_publish(&f->vmm.out));
	put(&f->vmm.out, 60, 1);
	assert_false(frame_ring_publish(&f->vmm.out));
	/* There are frames: no reason to sleep. */
	assert_true(frame_ring_await_frame(&f->net.in));
	get(&f->net.in, 60, 0);
	assert_true(frame_ring_await_frame(&f->net.in));
	get(&f->net.in, 60, 1);
	assert_false(frame_ring_await_frame(&f->net.in));
	/* Asked for: one wake-up for however many frames. */
	put(&f->vmm.out, 60, 2);
	put(&f->vmm.out, 60, 3);
	assert_true(frame_ring_publish(&f->vmm.out));
	put(&f->vmm.out, 60, 4);
	assert_false(frame_ring_publish(&f->vmm.out));
	/* A frame between the last look and the question is seen by the latter. */
	for (uint8_t i = 2; i <= 4; i++)
		get(&f->net.in, 60, i);
	get_none(&f->net.in);
	put(&f->vmm.out, 60, 5);
	assert_false(frame_ring_publish(&f->vmm.out));
	assert_true(frame_ring_await_frame(&f->net.in));
	get(&f->net.in, 60, 5);
}

static unsigned int fill(struct frame_ring *r, size_t len)
{
	unsigned int n = 0;

	while (put(r, len, 0))
		n++;
	frame_ring_publish(r);
	return n;
}

static void test_wake_for_room(void **state)
{
	struct fixture *f = *state;
	unsigned int n = fill(&f->vmm.out, 1020);

	assert_int_equal(n, DATA_SIZE / 1024);
	assert_true(frame_ring_release(&f->net.in) == false);
	assert_false(frame_ring_await_room(&f->vmm.out));
	/* Woken exactly once: when half is free. */
	for (unsigned int i = 1; i <= n; i++) {
		get(&f->net.in, 1020, 0);
		assert_true(frame_ring_release(&f->net.in) == (i == n / 2));
	}
	assert_true(frame_ring_await_room(&f->vmm.out));
	assert_true(put(&f->vmm.out, FRAME_MAX, 0));
	assert_false(frame_ring_release(&f->net.in));
}

/* Whoever is told that there is room gets the largest frame in, wherever the end of the data is. */
static void test_room_suffices(void **state)
{
	struct fixture *f = *state;

	for (uint32_t at = 0; at < DATA_SIZE; at += 5000 * 8) {
		unsigned int n = 0;

		begin_at(f, at);
		n = fill(&f->vmm.out, 60);
		for (unsigned int i = 0; i < n && !frame_ring_await_room(&f->vmm.out); i++) {
			get(&f->net.in, 60, 0);
			frame_ring_release(&f->net.in);
		}
		assert_true(put(&f->vmm.out, FRAME_MAX, 0));
	}
}

static void test_drained(void **state)
{
	struct fixture *f = *state;

	assert_true(frame_ring_drained(&f->vmm.out));
	put(&f->vmm.out, 60, 0);
	assert_false(frame_ring_drained(&f->vmm.out));
	frame_ring_publish(&f->vmm.out);
	get(&f->net.in, 60, 0);
	assert_false(frame_ring_drained(&f->vmm.out));
	frame_ring_release(&f->net.in);
	assert_true(frame_ring_drained(&f->vmm.out));
}

/* --- A hostile other side. */

static void consumer_breaks(struct frame_ring *r)
{
	const uint8_t *p;

	assert_int_equal(frame_ring_next(r, &p), -EPROTO);
	assert_true(r->broken);
	/* For good, even if the other side repents. */
	r->shared->head = r->mine;
	assert_int_equal(frame_ring_next(r, &p), -EPROTO);
	assert_false(frame_ring_await_frame(r));
	r->mine += 8;
	assert_false(frame_ring_release(r));
}

static void test_hostile_head(void **state)
{
	struct fixture *f = *state;
	struct frame_ring *in = &f->net.in;
	const uint32_t heads[] = {1, 4, 12, DATA_SIZE + 8, UINT32_MAX, 0x80000000u, (uint32_t)-8};

	for (size_t i = 0; i < ARRAY_SIZE(heads); i++) {
		*in = (struct frame_ring){.shared = in->shared, .data = in->data};
		in->shared->head = heads[i];
		consumer_breaks(in);
	}
	/* Back behind what it had shown; up to the limit behind what was not given back. */
	for (unsigned int i = 0; i < 2; i++) {
		*in = (struct frame_ring){.shared = in->shared, .data = in->data};
		in->mine = 64;
		in->theirs = 64;
		in->shared->head = i ? DATA_SIZE + 8 : 32;
		consumer_breaks(in);
	}
	*in = (struct frame_ring){.shared = in->shared, .data = in->data, .theirs = 64};
	in->shared->head = 32;
	assert_false(frame_ring_await_frame(in));
	assert_true(in->broken);
}

static void test_hostile_length(void **state)
{
	struct fixture *f = *state;
	struct frame_ring *in = &f->net.in;
	const struct {
		uint32_t offset, full, length;
	} cases[] = {
		{0, 8, 0},
		{0, 8, 5}, /* a byte more than is full */
		{0, DATA_SIZE, FRAME_MAX + 1},
		{0, DATA_SIZE, UINT32_MAX - 1},
		{0, DATA_SIZE, UINT32_MAX},            /* WRAP at the beginning */
		{DATA_SIZE - 64, 128, 61},             /* over the end */
		{DATA_SIZE - 64, 56, UINT32_MAX},      /* WRAP over what is not full */
		{DATA_SIZE - 8, DATA_SIZE, UINT32_MAX} /* WRAP and then what is at 0: WRAP */
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		*in = (struct frame_ring){.shared = in->shared, .data = in->data};
		in->mine = in->published = in->theirs = cases[i].offset;
		in->shared->head = cases[i].offset + cases[i].full;
		store(word_at(in, 0), WRAP);
		store(word_at(in, cases[i].offset), cases[i].length);
		consumer_breaks(in);
	}
}

/* The largest that is right, next to what is not. */
static void test_length_bounds(void **state)
{
	struct fixture *f = *state;
	struct frame_ring *in = &f->net.in;
	const uint8_t *p;

	in->shared->head = RECORD_MAX;
	store(word_at(in, 0), FRAME_MAX);
	assert_int_equal(frame_ring_next(in, &p), FRAME_MAX);
	in->mine = in->published = in->theirs = DATA_SIZE - 64;
	in->shared->head = DATA_SIZE;
	store(word_at(in, DATA_SIZE - 64), 60);
	assert_int_equal(frame_ring_next(in, &p), 60);
	frame_ring_done(in);
	/* All of the data at once. */
	in->shared->head = DATA_SIZE - 64 + DATA_SIZE;
	store(word_at(in, 0), 1);
	assert_int_equal(frame_ring_next(in, &p), 1);
}

static void test_hostile_tail(void **state)
{
	struct fixture *f = *state;
	struct frame_ring *out = &f->vmm.out;
	const uint32_t tails[] = {1, 4, 1024 + 8, DATA_SIZE + 8, UINT32_MAX, (uint32_t)-8};

	for (size_t i = 0; i < ARRAY_SIZE(tails); i++) {
		*out = (struct frame_ring){.shared = out->shared, .data = out->data};
		out->mine = DATA_SIZE;
		out->published = 1024;
		out->shared->tail = tails[i];
		assert_null(frame_ring_reserve(out, 60));
		assert_true(out->broken);
		out->shared->tail = 1024;
		assert_null(frame_ring_reserve(out, 60));
		assert_false(frame_ring_await_room(out));
		assert_false(frame_ring_publish(out));
		assert_true(frame_ring_drained(out));
	}
	*out = (struct frame_ring){.shared = out->shared, .data = out->data};
	out->mine = out->published = 128;
	out->theirs = 64;
	out->shared->tail = 32;
	assert_false(frame_ring_await_room(out));
	assert_true(out->broken);
}

/* Events may say anything. */
static void test_hostile_events(void **state)
{
	struct fixture *f = *state;
	const uint32_t events[] = {1, 63, 64, UINT32_MAX, 0x80000000u};

	for (size_t i = 0; i < ARRAY_SIZE(events); i++) {
		begin_at(f, 0);
		f->vmm.out.shared->frame_event = events[i];
		put(&f->vmm.out, 60, 1);
		assert_true(frame_ring_publish(&f->vmm.out) == (events[i] < 64));
		assert_false(f->vmm.out.broken);
		get(&f->net.in, 60, 1);
	}
}

/* --- Two threads that sleep whenever they may. */

#define STRESS_FRAMES 20000u

struct stress {
	struct frame_ring *out;
	struct frame_ring *in;
	int wake;
	int call;
};

static size_t stress_len(unsigned int i)
{
	return i % 97 == 0 ? FRAME_MAX : 14 + i * 31 % 3000;
}

static void sleep_on(int fd)
{
	uint64_t n;

	assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
}

static void *produce(void *arg)
{
	struct stress *s = arg;
	unsigned int i = 0;

	while (i < STRESS_FRAMES) {
		size_t len = stress_len(i);
		uint8_t *p = frame_ring_reserve(s->out, len);

		if (p) {
			memcpy(p, &i, sizeof(i));
			p[len - 1] = (uint8_t)i;
			frame_ring_commit(s->out, len);
			i++;
			if (i % 5)
				continue;
		}
		if (frame_ring_publish(s->out))
			event_signal(s->wake);
		if (!p && !frame_ring_await_room(s->out))
			sleep_on(s->call);
	}
	if (frame_ring_publish(s->out))
		event_signal(s->wake);
	return NULL;
}

/* A lost wake-up shows as a test that does not end. */
static void test_threads(void **state)
{
	struct fixture *f = *state;
	struct stress s = {&f->vmm.out, &f->net.in, eventfd(0, 0), eventfd(0, 0)};
	pthread_t thread;
	unsigned int i = 0, number;

	assert_int_equal(pthread_create(&thread, NULL, produce, &s), 0);
	while (i < STRESS_FRAMES) {
		const uint8_t *p;
		int len = frame_ring_next(s.in, &p);

		if (len == 0) {
			if (frame_ring_release(s.in))
				event_signal(s.call);
			if (!frame_ring_await_frame(s.in))
				sleep_on(s.wake);
			continue;
		}
		assert_int_equal(len, stress_len(i));
		memcpy(&number, p, sizeof(number));
		assert_int_equal(number, i);
		assert_int_equal(p[len - 1], (uint8_t)i);
		frame_ring_done(s.in);
		i++;
		if (i % 3 == 0 && frame_ring_release(s.in))
			event_signal(s.call);
	}
	pthread_join(thread, NULL);
	get_none(s.in);
	close(s.wake);
	close(s.call);
}

#define ring_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_file),
		ring_test(test_both_directions),
		ring_test(test_frame_stays),
		ring_test(test_commit_less),
		ring_test(test_around),
		ring_test(test_each_offset),
		ring_test(test_wrap_without_frame),
		ring_test(test_wake_for_frames),
		ring_test(test_wake_for_room),
		ring_test(test_room_suffices),
		ring_test(test_drained),
		ring_test(test_hostile_head),
		ring_test(test_hostile_length),
		ring_test(test_length_bounds),
		ring_test(test_hostile_tail),
		ring_test(test_hostile_events),
		ring_test(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
