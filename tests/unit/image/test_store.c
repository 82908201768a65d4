/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

static void test_blobs(void **state)
{
	struct fixture *f = *state;
	char path[STORE_PATH_LEN], *text;
	_cleanup_free_ char *full = NULL;
	struct digest d;
	size_t len;

	hash_bytes("hello", 5, &d);
	assert_err(store_get_blob(&f->store, &d, &text, &len, &f->e), &f->e, ERR_NOT_FOUND,
		   "missing");
	assert_ok(store_put_blob(&f->store, &d, "hello", 5, &f->e), &f->e);
	assert_ok(store_put_blob(&f->store, &d, "hello", 5, &f->e), &f->e);
	assert_ok(store_get_blob(&f->store, &d, &text, &len, &f->e), &f->e);
	assert_int_equal(len, 5);
	assert_string_equal(text, "hello");
	free(text);
	/* Damage is found and can be mended. */
	store_path(STORE_BLOB, &d, path);
	full = xasprintf("%s/cache/%s", f->dir, path);
	put_file(full, "hallo");
	assert_err(store_get_blob(&f->store, &d, &text, &len, &f->e), &f->e, ERR_CORRUPT,
		   "damaged");
	assert_ok(store_put_blob(&f->store, &d, "hello", 5, &f->e), &f->e);
	put_file(full, "hallo");
	assert_ok(store_put_blob(&f->store, &d, "hello", 5, &f->e), &f->e);
	assert_ok(store_get_blob(&f->store, &d, &text, &len, &f->e), &f->e);
	free(text);
}

static void test_temps(void **state)
{
	struct fixture *f = *state;
	struct store_temp mine = STORE_TEMP_INIT, other = STORE_TEMP_INIT;
	struct store second;
	int ready[2];
	pid_t pid;
	char c;

	/* A process with an unfinished file gets killed. */
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		if (store_temp_open(&f->store, STORE_IMAGE, &other, &f->e) == 0 &&
		    write(other.fd, "x", 1) == 1)
			(void)!write(ready[1], "r", 1);
		pause();
		_exit(1);
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	close(ready[1]);
	assert_ok(store_temp_open(&f->store, STORE_LAYER_DATA, &mine, &f->e), &f->e);
	assert_int_equal(count_files(f, "images", ".tmp-"), 1);
	/* While it lives the file stays. */
	assert_ok(store_open(&second, f->dir, &f->e), &f->e);
	store_close(&second);
	assert_int_equal(count_files(f, "images", ".tmp-"), 1);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_ok(store_open(&second, f->dir, &f->e), &f->e);
	store_close(&second);
	assert_int_equal(count_files(f, "images", ".tmp-"), 0);
	/* Ours is in use all the time. */
	assert_int_equal(count_files(f, "layers", ".tmp-"), 1);
	store_temp_drop(&f->store, &mine);
	store_temp_drop(&f->store, &mine);
	assert_int_equal(count_files(f, "layers", ".tmp-"), 0);
}

static void test_publish(void **state)
{
	struct fixture *f = *state;
	struct store_temp t = STORE_TEMP_INIT;
	struct digest d;
	int fd;

	hash_bytes("x", 1, &d);
	assert_int_equal(store_size(&f->store, STORE_IMAGE, &d), -1);
	assert_ok(store_temp_open(&f->store, STORE_IMAGE, &t, &f->e), &f->e);
	assert_int_equal(write_full(t.fd, "1234", 4), 0);
	assert_ok(store_temp_publish(&f->store, &t, STORE_IMAGE, &d, STORE_SYNC_ALL, &f->e), &f->e);
	assert_int_equal(t.fd, -1);
	assert_int_equal(store_size(&f->store, STORE_IMAGE, &d), 4);
	assert_int_equal(count_files(f, "images", ".tmp-"), 0);
	fd = store_open_file(&f->store, STORE_IMAGE, &d, &f->e);
	assert_true(fd >= 0);
	close(fd);
	hash_bytes("y", 1, &d);
	assert_err(store_open_file(&f->store, STORE_IMAGE, &d, &f->e), &f->e, ERR_NOT_FOUND,
		   "missing");
}

struct contest {
	struct fixture *f;
	struct digest d;
	/* Guarded by the lock that is tested, which thread checkers do not know for one. */
	atomic_int inside, worst;
};

static void *contend(void *arg)
{
	struct contest *c = arg;
	struct timespec ts = {.tv_nsec = 1000000};
	struct err e = {0};

	for (int i = 0; i < 20; i++) {
		int fd = store_lock(&c->f->store, STORE_LAYER_INDEX, &c->d, &e);

		if (fd < 0)
			return arg;
		if (++c->inside > c->worst)
			c->worst = c->inside;
		nanosleep(&ts, NULL);
		c->inside--;
		store_unlock(&c->f->store, STORE_LAYER_INDEX, &c->d, fd);
	}
	return NULL;
}

static void test_locks(void **state)
{
	struct contest c = {.f = *state};
	pthread_t threads[4];

	hash_bytes("x", 1, &c.d);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, contend, &c), 0);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
		void *failed;

		pthread_join(threads[i], &failed);
		assert_null(failed);
	}
	assert_int_equal(c.worst, 1);
	/* Nothing is left of the locks. */
	assert_int_equal(count_files(c.f, "locks", ""), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(test_blobs),
		store_test(test_temps),
		store_test(test_publish),
		store_test(test_locks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
