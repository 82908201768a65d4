/* SPDX-License-Identifier: Apache-2.0 */
/* Archives of ours, as libarchive reads them. */
#include "../testing.h"

#include "image/tar_writer.h"

#include <archive.h>
#include <archive_entry.h>

static struct archive *open_archive(const char *path)
{
	struct archive *a = archive_read_new();

	archive_read_support_format_tar(a);
	assert_int_equal(archive_read_open_filename(a, path, 10240), ARCHIVE_OK);
	return a;
}

static struct archive_entry *next_file(struct archive *a, const char *name, int64_t size)
{
	struct archive_entry *ae;

	assert_int_equal(archive_read_next_header(a, &ae), ARCHIVE_OK);
	assert_string_equal(archive_entry_pathname(ae), name);
	assert_int_equal(archive_entry_size(ae), size);
	assert_int_equal(archive_entry_filetype(ae), AE_IFREG);
	assert_int_equal(archive_entry_perm(ae), 0644);
	assert_int_equal(archive_entry_mtime(ae), 0);
	assert_int_equal(archive_entry_uid(ae), 0);
	return ae;
}

static void test_files(void **state)
{
	static const size_t sizes[] = {0, 1, 511, 512, 513, 3 * 1024 * 1024 + 7};
	_cleanup_free_ char *path = xasprintf("%s/archive", (char *)*state);
	_cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	struct tar_writer *w = tar_writer_new(fd);
	_cleanup_free_ uint8_t *data = xcalloc(4, MIB), *found = xcalloc(4, MIB);
	char longest[TAR_NAME_MAX + 1];
	struct archive_entry *none;
	struct archive *a;
	struct stat st;
	struct err e = {0};

	for (size_t i = 0; i < 4 * MIB; i++)
		data[i] = (uint8_t)(i * 2654435761U >> 13);
	memset(longest, 'n', TAR_NAME_MAX);
	longest[TAR_NAME_MAX] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		_cleanup_free_ char *name = xasprintf("folder/%zu", i);

		assert_int_equal(tar_writer_begin(w, name, sizes[i], &e), 0);
		assert_int_equal(tar_writer_add(w, data, sizes[i] / 3, &e), 0);
		assert_int_equal(
			tar_writer_add(w, data + sizes[i] / 3, sizes[i] - sizes[i] / 3, &e), 0);
	}
	assert_int_equal(tar_writer_begin(w, longest, 0, &e), 0);
	assert_int_equal(tar_writer_finish(w, &e), 0);
	tar_writer_free(w);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size % 512, 0);

	a = open_archive(path);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		_cleanup_free_ char *name = xasprintf("folder/%zu", i);

		next_file(a, name, (int64_t)sizes[i]);
		assert_int_equal(archive_read_data(a, found, 4 * MIB), sizes[i]);
		assert_memory_equal(found, data, sizes[i]);
	}
	next_file(a, longest, 0);
	assert_int_equal(archive_read_next_header(a, &none), ARCHIVE_EOF);
	archive_read_free(a);
}

/* Sizes that have no room in eleven octal digits; of the files only the beginning is written. */
static void test_large_files(void **state)
{
	static const uint64_t sizes[] = {8 * GIB - 1, 8 * GIB, 64 * GIB + 12345};
	_cleanup_free_ char *path = xasprintf("%s/archive", (char *)*state);
	_cleanup_free_ uint8_t *data = xcalloc(2, MIB);
	struct err e = {0};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		_cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		struct tar_writer *w = tar_writer_new(fd);
		struct archive *a;

		assert_int_equal(tar_writer_begin(w, "large", sizes[i], &e), 0);
		assert_int_equal(tar_writer_add(w, data, 2 * MIB, &e), 0);
		tar_writer_free(w);
		a = open_archive(path);
		next_file(a, "large", (int64_t)sizes[i]);
		archive_read_free(a);
	}
}

static void test_full_disk(void **state)
{
	_cleanup_close_ int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	struct tar_writer *w = tar_writer_new(fd);
	struct err e = {0};

	assert_int_equal(tar_writer_begin(w, "x", 0, &e), 0);
	assert_int_equal(tar_writer_finish(w, &e), -1);
	assert_int_equal(e.code, ERR_NO_SPACE);
	tar_writer_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		temp_test(test_files),
		temp_test(test_large_files),
		temp_test(test_full_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
