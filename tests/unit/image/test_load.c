/* SPDX-License-Identifier: Apache-2.0 */
#include "erofs_reader.h"

#include "image/image.h"
#include "image/load.h"

/* The parts of an image; layers are gzip when asked. */
struct sample {
	struct buf layer[2], blob[2];
	struct digest diff_id[2], blob_digest[2], config_digest, manifest_digest;
	char *config, *manifest;
};

static char *digest_text(const struct digest *d)
{
	char text[DIGEST_TEXT_LEN];

	digest_format(d, text);
	return xstrdup(text);
}

static const char *host_architecture(void)
{
	static struct platform host;

	platform_host(&host);
	return host.architecture;
}

static void sample_init(struct sample *s, bool gzip)
{
	_cleanup_free_ char *d0 = NULL, *d1 = NULL, *b0 = NULL, *b1 = NULL, *c = NULL;

	*s = (struct sample){0};
	for (int i = 0; i < 2; i++) {
		_cleanup_free_ char *text = text_of(i ? 8000 : 3000, (unsigned int)i);

		buf_init(&s->layer[i], MIB);
		buf_init(&s->blob[i], MIB);
		TAR(&s->layer[i], .name = i ? "two" : "one", .data = i ? "2" : "1");
		TAR(&s->layer[i], .name = "same", .data = i ? "new" : "old");
		TAR(&s->layer[i], .name = i ? "long-two" : "long-one", .data = text);
		tar_end(&s->layer[i]);
		if (gzip)
			gzip_append(&s->blob[i], buf_data(&s->layer[i]), buf_len(&s->layer[i]));
		else
			buf_append(&s->blob[i], buf_data(&s->layer[i]), buf_len(&s->layer[i]));
		hash_bytes(buf_data(&s->layer[i]), buf_len(&s->layer[i]), &s->diff_id[i]);
		hash_bytes(buf_data(&s->blob[i]), buf_len(&s->blob[i]), &s->blob_digest[i]);
	}
	d0 = digest_text(&s->diff_id[0]);
	d1 = digest_text(&s->diff_id[1]);
	b0 = digest_text(&s->blob_digest[0]);
	b1 = digest_text(&s->blob_digest[1]);
	s->config = xasprintf("{\"architecture\":\"%s\",\"os\":\"linux\",\"config\":{\"Cmd\":"
			      "[\"sh\"],\"User\":null},\"rootfs\":{\"type\":\"layers\","
			      "\"diff_ids\":[\"%s\",\"%s\"]}}",
			      host_architecture(), d0, d1);
	hash_bytes(s->config, strlen(s->config), &s->config_digest);
	c = digest_text(&s->config_digest);
	s->manifest = xasprintf(
		"{\"schemaVersion\":2,\"config\":{\"mediaType\":\"" MEDIA_OCI_CONFIG
		"\",\"digest\":\"%s\",\"size\":%zu},\"layers\":[{\"mediaType\":\"" MEDIA_OCI_LAYER
		"%s\",\"digest\":\"%s\",\"size\":%zu},{\"mediaType\":\"" MEDIA_OCI_LAYER
		"%s\",\"digest\":\"%s\",\"size\":%zu}]}",
		c, strlen(s->config), gzip ? "+gzip" : "", b0, buf_len(&s->blob[0]),
		gzip ? "+gzip" : "", b1, buf_len(&s->blob[1]));
	hash_bytes(s->manifest, strlen(s->manifest), &s->manifest_digest);
}

static void sample_release(struct sample *s)
{
	for (int i = 0; i < 2; i++) {
		buf_release(&s->layer[i]);
		buf_release(&s->blob[i]);
	}
	free(s->config);
	free(s->manifest);
}

static void add_blob(struct buf *tar, const struct digest *d, const void *data, size_t n)
{
	char hex[2 * DIGEST_LEN + 1];
	_cleanup_free_ char *path = NULL;

	digest_format_hex(d, hex);
	path = xasprintf("blobs/sha256/%s", hex);
	TAR(tar, .name = path, .data = data, .len = n);
}

static void add_oci(struct buf *tar, const struct sample *s, const char *annotation)
{
	_cleanup_free_ char *m = digest_text(&s->manifest_digest), *index = NULL;

	for (int i = 0; i < 2; i++)
		add_blob(tar, &s->blob_digest[i], buf_data(&s->blob[i]), buf_len(&s->blob[i]));
	add_blob(tar, &s->config_digest, s->config, strlen(s->config));
	add_blob(tar, &s->manifest_digest, s->manifest, strlen(s->manifest));
	index = xasprintf("{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":\"" MEDIA_OCI_MANIFEST
			  "\",\"digest\":\"%s\",\"size\":%zu,\"annotations\":{%s}}]}",
			  m, strlen(s->manifest), annotation);
	TAR(tar, .name = "index.json", .data = index);
	TAR(tar, .name = "oci-layout", .data = "{\"imageLayoutVersion\":\"1.0.0\"}");
	tar_end(tar);
}

static json_t *load_bytes(struct fixture *f, const void *data, size_t n, struct strv *tags)
{
	struct strv none = {0};
	struct load_options o = {.tags = tags ? tags : &none, .max_size = GIB};
	_cleanup_free_ char *path = xasprintf("%s/archive", f->dir);
	struct progress *p = progress_new(-1);
	json_t *images;
	int fd;

	platform_host(&o.platform);
	assert_int_equal(write_file_atomic(AT_FDCWD, path, data, n, 0600), 0);
	fd = open(path, O_RDONLY);
	f->e = (struct err){0};
	images = load_archive(&f->store, fd, &o, p, &f->e);
	close(fd);
	progress_free(p);
	assert_int_equal(count_files(f, "layers", ".tmp-"), 0);
	return images;
}

static json_t *load_tar(struct fixture *f, struct strv *tags)
{
	json_t *images = load_bytes(f, buf_data(&f->tar), buf_len(&f->tar), tags);

	buf_consume(&f->tar, buf_len(&f->tar));
	return images;
}

static const char *field(const json_t *images, size_t i, const char *key)
{
	return json_string_value(json_object_get(json_array_get(images, i), key));
}

/* Puts the disk of a record together and looks into it. */
static void check_disk(struct fixture *f, const json_t *images)
{
	const json_t *disk = json_object_get(json_array_get(images, 0), "disk");
	struct image_file im = {0};

	for (size_t i = 0; i < json_array_size(disk); i++) {
		_cleanup_free_ char *path = xasprintf("%s/cache/%s", f->dir,
						      json_string_value(json_array_get(disk, i)));
		_cleanup_free_ char *part = NULL;
		size_t n;

		assert_int_equal(read_file(AT_FDCWD, path, GIB, &part, &n), 0);
		assert_int_equal(n % 4096, 0);
		im.bytes = xreallocarray(im.bytes, im.len + n, 1);
		memcpy(im.bytes + im.len, part, n);
		im.len += n;
	}
	assert_int_equal(json_array_size(disk), 3);
	assert_content(&im, "one", "1");
	assert_content(&im, "two", "2");
	assert_content(&im, "same", "new");
	for (int i = 0; i < 2; i++) {
		_cleanup_free_ char *text = text_of(i ? 8000 : 3000, (unsigned int)i);

		assert_content(&im, i ? "long-two" : "long-one", text);
	}
	free(im.bytes);
}

static void test_oci(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *want = NULL;
	json_t *images, *record;
	struct sample s;

	sample_init(&s, true);
	add_oci(&f->tar, &s, "\"org.opencontainers.image.ref.name\":\"foo/bar:v1\"");
	images = load_tar(f, NULL);
	assert_ok(images ? 0 : -1, &f->e);
	want = digest_text(&s.manifest_digest);
	assert_string_equal(field(images, 0, "manifest_digest"), want);
	assert_string_equal(field(images, 0, "reference"), "foo/bar:v1");
	record = json_array_get(images, 0);
	assert_int_equal(json_integer_value(json_object_get(record, "layer_count")), 2);
	assert_int_equal(json_integer_value(json_object_get(record, "size_bytes")),
			 buf_len(&s.blob[0]) + buf_len(&s.blob[1]));
	assert_non_null(json_object_get(json_object_get(record, "config"), "Cmd"));
	assert_null(json_object_get(json_object_get(record, "config"), "User"));
	check_disk(f, images);
	json_decref(images);
	sample_release(&s);
}

static void test_names(void **state)
{
	struct fixture *f = *state;
	struct strv tags = {0};
	json_t *images;
	struct sample s;

	sample_init(&s, false);
	add_oci(&f->tar, &s, "\"org.opencontainers.image.ref.name\":\"latest\"");
	assert_null(load_tar(f, NULL));
	assert_err(-1, &f->e, ERR_INVALID, "called");
	strv_add(&tags, "mine:1");
	strv_add(&tags, "mine:2");
	add_oci(&f->tar, &s, "");
	images = load_tar(f, &tags);
	assert_int_equal(json_array_size(images), 2);
	assert_string_equal(field(images, 1, "reference"), "mine:2");
	json_decref(images);
	add_oci(&f->tar, &s,
		"\"io.containerd.image.name\":\"docker.io/library/x:1\","
		"\"org.opencontainers.image.ref.name\":\"1\"");
	images = load_tar(f, NULL);
	assert_string_equal(field(images, 0, "reference"), "docker.io/library/x:1");
	json_decref(images);
	strv_release(&tags);
	sample_release(&s);
}

static void add_docker(struct buf *tar, const struct sample *s)
{
	TAR(tar, .name = "aa/VERSION", .data = "1.0");
	TAR(tar, .name = "aa/layer.tar", .data = (const char *)buf_data(&s->layer[0]),
	    .len = buf_len(&s->layer[0]));
	TAR(tar, .name = "bb.tar", .data = (const char *)buf_data(&s->layer[1]),
	    .len = buf_len(&s->layer[1]));
	TAR(tar, .name = "bb/layer.tar", .type = '2', .link = "../bb.tar");
	TAR(tar, .name = "config.json", .data = s->config);
	TAR(tar, .name = "manifest.json",
	    .data = "[{\"Config\":\"config.json\",\"RepoTags\":[\"x:1\",\"y:2\"],"
		    "\"Layers\":[\"aa/layer.tar\",\"bb/layer.tar\"]}]");
	tar_end(tar);
}

static void test_docker_save(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *first = NULL;
	struct buf gz, zs;
	json_t *images;
	struct sample s;

	sample_init(&s, false);
	add_docker(&f->tar, &s);
	buf_init(&gz, MIB);
	buf_init(&zs, MIB);
	gzip_append(&gz, buf_data(&f->tar), buf_len(&f->tar));
	zstd_append(&zs, buf_data(&f->tar), buf_len(&f->tar));
	images = load_tar(f, NULL);
	assert_ok(images ? 0 : -1, &f->e);
	assert_int_equal(json_array_size(images), 2);
	assert_string_equal(field(images, 0, "reference"), "x:1");
	assert_string_equal(field(images, 1, "reference"), "y:2");
	first = xstrdup(field(images, 0, "manifest_digest"));
	check_disk(f, images);
	json_decref(images);
	/* Compressed, the image is the same. */
	images = load_bytes(f, buf_data(&gz), buf_len(&gz), NULL);
	assert_ok(images ? 0 : -1, &f->e);
	assert_string_equal(field(images, 0, "manifest_digest"), first);
	json_decref(images);
	images = load_bytes(f, buf_data(&zs), buf_len(&zs), NULL);
	assert_ok(images ? 0 : -1, &f->e);
	assert_string_equal(field(images, 0, "manifest_digest"), first);
	json_decref(images);
	for (size_t cut = 1; cut < buf_len(&gz); cut += 131)
		if (load_bytes(f, buf_data(&gz), buf_len(&gz) - cut, NULL))
			fail_msg("accepted without the last %zu bytes", cut);
	buf_release(&gz);
	buf_release(&zs);
	sample_release(&s);
}

/* Changes one part of an OCI archive; the load must fail and say why. */
static void test_oci_damage(void **state)
{
	static const struct {
		const char *what;
		enum err_code code;
		const char *message;
	} cases[] = {
		{"layer", ERR_CORRUPT, "does not match its digest"},
		{"config", ERR_CORRUPT, "does not match its digest"},
		{"manifest", ERR_CORRUPT, "does not match its digest"},
		{"missing layer", ERR_CORRUPT, "lacks layer"},
		{"missing config", ERR_CORRUPT, "no document"},
		{"diff_id", ERR_CORRUPT, "something else"},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *what = cases[i].what;
		_cleanup_free_ char *index = NULL, *m = NULL;
		struct sample s;

		sample_init(&s, true);
		if (strcmp(what, "layer") == 0)
			s.blob[1].mem[s.blob[1].start + 40] ^= 1;
		else if (strcmp(what, "config") == 0)
			s.config[strlen(s.config) - 2] = ' ';
		else if (strcmp(what, "manifest") == 0)
			s.manifest[strlen(s.manifest) - 1] = ' ';
		if (strcmp(what, "diff_id") == 0) {
			/* Two layers change places, and the blobs are right. */
			struct digest d = s.blob_digest[0];
			struct sample t;
			_cleanup_free_ char *c = NULL, *b0 = NULL, *b1 = NULL;

			sample_init(&t, true);
			sample_release(&s);
			s = t;
			s.blob_digest[0] = s.blob_digest[1];
			s.blob_digest[1] = d;
			c = digest_text(&s.config_digest);
			b0 = digest_text(&s.blob_digest[0]);
			b1 = digest_text(&s.blob_digest[1]);
			free(s.manifest);
			s.manifest = xasprintf(
				"{\"schemaVersion\":2,\"config\":{\"digest\":\"%s\",\"size\":%zu},"
				"\"layers\":[{\"mediaType\":\"" MEDIA_OCI_LAYER
				"\",\"digest\":\"%s\",\"size\":1},{\"mediaType\":\"" MEDIA_OCI_LAYER
				"\",\"digest\":\"%s\",\"size\":1}]}",
				c, strlen(s.config), b0, b1);
			hash_bytes(s.manifest, strlen(s.manifest), &s.manifest_digest);
			s.blob_digest[1] = s.blob_digest[0];
			s.blob_digest[0] = d;
		}
		for (int k = 0; k < 2; k++)
			if (k == 0 || strcmp(what, "missing layer") != 0)
				add_blob(&f->tar, &s.blob_digest[k], buf_data(&s.blob[k]),
					 buf_len(&s.blob[k]));
		if (strcmp(what, "missing config") != 0)
			add_blob(&f->tar, &s.config_digest, s.config, strlen(s.config));
		add_blob(&f->tar, &s.manifest_digest, s.manifest, strlen(s.manifest));
		m = digest_text(&s.manifest_digest);
		index = xasprintf("{\"manifests\":[{\"digest\":\"%s\",\"size\":1,\"annotations\":"
				  "{\"io.containerd.image.name\":\"x:%zu\"}}]}",
				  m, i);
		TAR(&f->tar, .name = "index.json", .data = index);
		tar_end(&f->tar);
		if (load_tar(f, NULL))
			fail_msg("accepted: %s", what);
		assert_err(-1, &f->e, cases[i].code, cases[i].message);
		assert_int_equal(count_files(f, "images", ""), 0);
		sample_release(&s);
	}
}

static void test_no_archive(void **state)
{
	struct fixture *f = *state;

	assert_null(load_bytes(f, "hello", 5, NULL));
	assert_err(-1, &f->e, ERR_INVALID, "no image archive");
	assert_null(load_bytes(f, "", 0, NULL));
	assert_true(f->e.code != ERR_NONE);
	TAR(&f->tar, .name = "etc/passwd", .data = "root:x:0:0");
	tar_end(&f->tar);
	assert_null(load_tar(f, NULL));
	assert_err(-1, &f->e, ERR_INVALID, "no image archive");
	TAR(&f->tar, .name = "../manifest.json", .data = "[]");
	tar_end(&f->tar);
	assert_null(load_tar(f, NULL));
	assert_err(-1, &f->e, ERR_CORRUPT, "..");
	TAR(&f->tar, .name = "manifest.json", .data = "[]");
	tar_end(&f->tar);
	assert_null(load_tar(f, NULL));
	assert_err(-1, &f->e, ERR_INVALID, "no image");
	/* Links that lead to themselves. */
	TAR(&f->tar, .name = "manifest.json", .type = '2', .link = "manifest.json");
	TAR(&f->tar, .name = "index.json", .type = '2', .link = "../../x");
	tar_end(&f->tar);
	assert_null(load_tar(f, NULL));
	assert_err(-1, &f->e, ERR_INVALID, "no image archive");
}

static void test_verify(void **state)
{
	struct fixture *f = *state;
	_cleanup_free_ char *file = NULL;
	char path[STORE_PATH_LEN];
	struct sample s;
	struct image im;
	int fd;

	sample_init(&s, true);
	add_oci(&f->tar, &s, "\"io.containerd.image.name\":\"x:1\"");
	json_decref(load_tar(f, NULL));
	assert_ok(image_open(&im, &f->store, &s.manifest_digest, &f->e), &f->e);
	assert_ok(image_scan(&im, &f->e), &f->e);
	assert_ok(image_verify(&im, &f->e), &f->e);
	/* A byte of the root inode's time. */
	store_path(STORE_IMAGE, &s.manifest_digest, path);
	file = xasprintf("%s/cache/%s", f->dir, path);
	assert_int_equal(chmod(file, 0600), 0);
	fd = open(file, O_RDWR);
	assert_int_equal(pwrite(fd, "x", 1, 4096 + 32), 1);
	assert_err(image_verify(&im, &f->e), &f->e, ERR_CORRUPT, "not what the layers give");
	assert_int_equal(ftruncate(fd, 4096), 0);
	assert_err(image_verify(&im, &f->e), &f->e, ERR_CORRUPT, "damaged");
	assert_false(image_has_metadata(&im));
	close(fd);
	/* It is mended from the layers. */
	assert_ok(image_build(&im, false, &f->e), &f->e);
	assert_ok(image_verify(&im, &f->e), &f->e);
	store_path(STORE_LAYER_DATA, &s.diff_id[0], path);
	free(file);
	file = xasprintf("%s/cache/%s", f->dir, path);
	assert_true(image_layer_present(&f->store, &s.diff_id[0]));
	assert_int_equal(chmod(file, 0600), 0);
	assert_int_equal(truncate(file, 0), 0);
	assert_false(image_layer_present(&f->store, &s.diff_id[0]));
	assert_err(image_scan(&im, &f->e), &f->e, ERR_CORRUPT, "cut off");
	image_release(&im);
	sample_release(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(test_oci),         store_test(test_names),
		store_test(test_docker_save), store_test(test_oci_damage),
		store_test(test_no_archive),  store_test(test_verify),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
