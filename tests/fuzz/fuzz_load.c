/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Archives of images. An input is u8 flags and an archive, plain or compressed: bit 0 puts the
 * checksums of tar headers right, bit 1 gives the image a name of ours. The store is in memory
 * and new each time.
 */
#include "image.h"

#include "base/io.h"
#include "base/log.h"
#include "image/image.h"
#include "image/load.h"

#include <dirent.h>
#include <fcntl.h>

#define MEND 1
#define TAG  2

/* Content is whole or not there, and nothing unfinished stays. */
static void check_folder(struct store *s, const char *folder)
{
	int fd = openat(s->root, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fdopendir(fd);
	struct dirent *de;

	CHECK(d);
	while ((de = readdir(d))) {
		struct layer_index ix;
		struct err e = {0};
		int file;

		CHECK(!str_starts_with(de->d_name, STORE_TEMP_PREFIX));
		if (!str_ends_with(de->d_name, ".index"))
			continue;
		file = openat(fd, de->d_name, O_RDONLY | O_CLOEXEC);
		CHECK(file >= 0 && layer_index_open(&ix, file, &e) == 0);
		layer_index_release(&ix);
		close(file);
	}
	closedir(d);
}

static void check_images(struct store *s, const json_t *images)
{
	size_t i;
	json_t *record;

	CHECK(json_array_size(images) > 0);
	json_array_foreach (images, i, record) {
		const char *text = json_string_value(json_object_get(record, "manifest_digest"));
		struct err e = {0};
		struct digest d;
		struct image im;

		CHECK(text && digest_parse(text, &d) == 0);
		CHECK(image_open(&im, s, &d, &e) == 0);
		CHECK(image_scan(&im, &e) == 0 && image_verify(&im, &e) == 0);
		image_release(&im);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t n)
{
	char home[] = "/dev/shm/msb-fuzz-XXXXXX";
	struct input in = {input, n};
	uint8_t flags = take8(&in), *tar = exact_copy(in.p, in.n);
	struct strv tags = {0};
	struct load_options o = {.tags = &tags, .max_size = MIB};
	int before = next_fd(), fd;
	struct progress *progress = progress_new(-1);
	struct err e = {0};
	json_t *images;
	struct store s;

	log_setup("fuzz", LOG_ERROR);
	platform_set(&o.platform, "linux", "amd64", NULL);
	if (flags & MEND)
		mend_tar(tar, in.n);
	if (flags & TAG)
		strv_add(&tags, "tag");
	CHECK(mkdtemp(home) && store_open(&s, home, &e) == 0);
	fd = memory_file(tar, in.n);
	lseek(fd, 0, SEEK_SET);
	images = load_archive(&s, fd, &o, progress, &e);
	if (images)
		check_images(&s, images);
	else
		check_error(&e);
	check_folder(&s, "blobs");
	check_folder(&s, "layers");
	check_folder(&s, "images");
	json_decref(images);
	store_close(&s);
	close(fd);
	CHECK(next_fd() == before);
	CHECK(remove_tree(AT_FDCWD, home) == 0);
	progress_free(progress);
	strv_release(&tags);
	free(tar);
	return 0;
}
