/* SPDX-License-Identifier: Apache-2.0 */
#include "image/image.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "image/erofs.h"
#include "image/merge.h"
#include "image/users.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

int image_init(struct image *im, struct store *s, const struct digest *digest, const char *manifest,
	       size_t manifest_len, const char *config, size_t config_len, struct err *e)
{
	*im = (struct image){.store = s, .digest = *digest};
	if (manifest_parse(manifest, manifest_len, &im->manifest, e) < 0)
		return -1;
	if (im->manifest.is_index) {
		image_release(im);
		return err_set(e, ERR_CORRUPT, "bad image manifest: an index in its place");
	}
	if (image_config_parse(config, config_len, &im->config, e) < 0) {
		image_release(im);
		return -1;
	}
	if (im->config.n_diff_ids != im->manifest.n_items) {
		err_set(e, ERR_CORRUPT,
			"bad image: the manifest has %zu layers and the config has %zu",
			im->manifest.n_items, im->config.n_diff_ids);
		image_release(im);
		return -1;
	}
	return 0;
}

int image_open(struct image *im, struct store *s, const struct digest *digest, struct err *e)
{
	_cleanup_free_ char *manifest = NULL, *config = NULL;
	size_t manifest_len = 0, config_len = 0;
	struct manifest m;
	int r;

	if (store_get_blob(s, digest, &manifest, &manifest_len, e) < 0 ||
	    manifest_parse(manifest, manifest_len, &m, e) < 0)
		return -1;
	r = m.is_index ? err_set(e, ERR_INVALID, "this is an index of images, not an image")
		       : store_get_blob(s, &m.config.digest, &config, &config_len, e);
	manifest_release(&m);
	if (r < 0)
		return -1;
	return image_init(im, s, digest, manifest, manifest_len, config, config_len, e);
}

void image_release(struct image *im)
{
	manifest_release(&im->manifest);
	image_config_release(&im->config);
	free(im->layers);
	im->layers = NULL;
}

int image_check_platform(const struct image *im, const struct platform *wanted, struct err *e)
{
	char is[PLATFORM_TEXT_LEN], want[PLATFORM_TEXT_LEN];

	if (platform_score(wanted, &im->config.platform) > 0)
		return 0;
	platform_format(&im->config.platform, is);
	platform_format(wanted, want);
	return err_set(e, ERR_UNSUPPORTED, "the image is for %s, not for %s", is, want);
}

static int read_layer_info(struct store *s, const struct digest *diff_id, struct layer_info *ret,
			   struct err *e)
{
	_cleanup_close_ int fd = store_open_file(s, STORE_LAYER_INDEX, diff_id, e);
	struct layer_info info;

	if (fd < 0 || layer_info_read(fd, &info, e) < 0)
		return -1;
	if (!digest_eq(&info.diff_id, diff_id))
		return err_set(e, ERR_CORRUPT, "damaged layer index: of another layer");
	if (info.data_size > 0 &&
	    store_size(s, STORE_LAYER_DATA, diff_id) != (int64_t)info.data_size)
		return err_set(e, ERR_CORRUPT, "damaged layer: its data are missing or cut off");
	*ret = info;
	return 0;
}

bool image_layer_present(struct store *s, const struct digest *diff_id)
{
	struct layer_info info;

	return read_layer_info(s, diff_id, &info, NULL) == 0;
}

static size_t find_part(const struct image *im, const struct digest *diff_id)
{
	size_t i = 0;

	while (i < im->n_parts && !digest_eq(&im->parts[i], diff_id))
		i++;
	return i;
}

int image_scan(struct image *im, struct err *e)
{
	free(im->layers);
	im->layers = xcalloc(im->config.n_diff_ids + 1, sizeof(*im->layers));
	im->n_parts = 0;
	for (size_t i = 0; i < im->config.n_diff_ids; i++) {
		const struct digest *d = &im->config.diff_ids[i];
		size_t part;

		if (read_layer_info(im->store, d, &im->layers[i], e) < 0)
			return -1;
		part = find_part(im, d);
		if (im->layers[i].data_size == 0 || part < im->n_parts)
			continue;
		if (part == IMAGE_PARTS_MAX)
			return err_set(e, ERR_UNSUPPORTED, "the image has more than %d layers",
				       IMAGE_PARTS_MAX);
		im->parts[part] = *d;
		im->part_blocks[part] = im->layers[i].data_size / LAYER_BLOCK;
		im->n_parts++;
	}
	return 0;
}

static uint64_t data_blocks(const struct image *im)
{
	uint64_t n = 0;

	for (size_t i = 0; i < im->n_parts; i++)
		n += im->part_blocks[i];
	return n;
}

static int check_metadata(struct image *im, struct err *e)
{
	_cleanup_close_ int fd = store_open_file(im->store, STORE_IMAGE, &im->digest, e);
	struct stat st;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0)
		return err_sys(e, errno, "cannot read a file system image");
	if (st.st_size % EROFS_BLOCK != 0)
		return err_set(e, ERR_CORRUPT, "damaged file system image: wrong size");
	return erofs_check(fd, (uint64_t)st.st_size / EROFS_BLOCK + data_blocks(im), e);
}

bool image_has_metadata(struct image *im)
{
	return check_metadata(im, NULL) == 0;
}

/* Merges the layers and writes the file system to an empty file. */
static int write_metadata(struct image *im, int fd, struct err *e)
{
	struct erofs_options o = {.parts = im->part_blocks, .n_parts = im->n_parts};
	size_t n = im->config.n_diff_ids, n_open = 0;
	struct layer_index *ix = xcalloc(n + 1, sizeof(*ix));
	uint64_t blocks;
	struct tree t;
	int r;

	memcpy(o.uuid, im->digest.b, sizeof(o.uuid));
	r = tree_init(&t, e);
	for (size_t i = 0; r == 0 && i < n; i++) {
		const struct digest *d = &im->config.diff_ids[i];
		_cleanup_close_ int in = store_open_file(im->store, STORE_LAYER_INDEX, d, e);

		r = in < 0 ? -1 : layer_index_open(&ix[i], in, e);
		if (r < 0)
			break;
		n_open++;
		r = merge_layer(&t, &ix[i], (uint32_t)find_part(im, d), e);
		if (r < 0) {
			char text[DIGEST_TEXT_LEN];

			digest_format(&im->manifest.items[i].digest, text);
			err_wrap(e, "layer %s cannot be applied", text);
		}
	}
	if (r == 0)
		r = erofs_write(&t, &o, fd, &blocks, e);
	tree_release(&t);
	while (n_open)
		layer_index_release(&ix[--n_open]);
	free(ix);
	return r;
}

int image_build(struct image *im, bool force, struct err *e)
{
	struct store_temp t = STORE_TEMP_INIT;
	int lock, r = 0;

	if (!force && image_has_metadata(im))
		return 0;
	lock = store_lock(im->store, STORE_IMAGE, &im->digest, e);
	if (lock < 0)
		return -1;
	if (force || !image_has_metadata(im)) {
		r = store_temp_open(im->store, STORE_IMAGE, &t, e);
		if (r == 0)
			r = write_metadata(im, t.fd, e);
		if (r == 0)
			r = store_temp_publish(im->store, &t, STORE_IMAGE, &im->digest,
					       STORE_SYNC_ALL, e);
		store_temp_drop(im->store, &t);
	}
	store_unlock(im->store, STORE_IMAGE, &im->digest, lock);
	return r;
}

/* --- verification -------------------------------------------------------------------------- */

static int compare_files(int a, int b, struct err *e)
{
	uint8_t x[16 * KIB], y[16 * KIB];

	for (uint64_t pos = 0;; pos += sizeof(x)) {
		ssize_t n = pread_full(a, x, sizeof(x), pos), m = pread_full(b, y, sizeof(y), pos);

		if (n < 0 || m < 0)
			return err_sys(e, (int)(n < 0 ? -n : -m),
				       "cannot read a file system image");
		if (n != m || memcmp(x, y, (size_t)n) != 0)
			return err_set(e, ERR_CORRUPT,
				       "damaged file system image: it is not what the layers give");
		if (n == 0)
			return 0;
	}
}

int image_verify(struct image *im, struct err *e)
{
	_cleanup_close_ int fd = -1;
	struct store_temp t = STORE_TEMP_INIT;
	int r;

	if (check_metadata(im, e) < 0)
		return -1;
	fd = store_open_file(im->store, STORE_IMAGE, &im->digest, e);
	if (fd < 0 || store_temp_open(im->store, STORE_IMAGE, &t, e) < 0)
		return -1;
	/* Reading the layers for it checks their digests. */
	r = write_metadata(im, t.fd, e);
	if (r == 0)
		r = compare_files(fd, t.fd, e);
	store_temp_drop(im->store, &t);
	return r;
}

/* --- the record ---------------------------------------------------------------------------- */

static json_t *digest_json(const struct digest *d)
{
	char text[DIGEST_TEXT_LEN];

	digest_format(d, text);
	return json_string(text);
}

static json_t *path_json(enum store_kind kind, const struct digest *d)
{
	char path[STORE_PATH_LEN];

	store_path(kind, d, path);
	return json_string(path);
}

static json_t *config_json(const struct image *im)
{
	static const char *const keys[] = {"Env",  "Entrypoint", "Cmd",       "WorkingDir",
					   "User", "Labels",     "StopSignal"};
	const json_t *from = json_object_get(im->config.json, "config");
	json_t *to = json_object();

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		json_t *value = json_object_get(from, keys[i]);

		if (value && !json_is_null(value))
			json_object_set(to, keys[i], value);
	}
	return to;
}

json_t *image_record(const struct image *im, const char *reference, bool cached)
{
	json_t *rec = json_object(), *layers = json_array(), *disk = json_array();
	json_t *users = image_passwd(im);
	uint64_t total = 0;

	json_array_append_new(disk, path_json(STORE_IMAGE, &im->digest));
	for (size_t i = 0; i < im->n_parts; i++)
		json_array_append_new(disk, path_json(STORE_LAYER_DATA, &im->parts[i]));
	for (size_t i = 0; i < im->manifest.n_items; i++) {
		const struct descriptor *d = &im->manifest.items[i];
		const struct digest *id = &im->config.diff_ids[i];
		json_t *layer = json_object();
		uint64_t bytes = im->layers[i].data_size;

		total += d->size;
		json_object_set_new(layer, "digest", digest_json(&d->digest));
		json_object_set_new(layer, "diff_id", digest_json(id));
		json_object_set_new(layer, "media_type", json_string(d->media_type));
		json_object_set_new(layer, "size", json_integer((json_int_t)d->size));
		json_object_set_new(layer, "data_bytes", json_integer((json_int_t)bytes));
		json_object_set_new(layer, "data",
				    bytes ? path_json(STORE_LAYER_DATA, id) : json_null());
		json_array_append_new(layers, layer);
	}
	json_object_set_new(rec, "reference", reference ? json_string(reference) : json_null());
	json_object_set_new(rec, "manifest_digest", digest_json(&im->digest));
	json_object_set_new(rec, "config_digest", digest_json(&im->manifest.config.digest));
	json_object_set_new(rec, "architecture", json_string(im->config.platform.architecture));
	json_object_set_new(rec, "os", json_string(im->config.platform.os));
	json_object_set_new(rec, "variant", json_string(im->config.platform.variant));
	json_object_set_new(rec, "created",
			    im->config.created ? json_string(im->config.created) : json_null());
	json_object_set_new(rec, "size_bytes", json_integer((json_int_t)total));
	json_object_set_new(rec, "layer_count", json_integer((json_int_t)im->manifest.n_items));
	json_object_set_new(rec, "config", config_json(im));
	json_object_set_new(rec, "layers", layers);
	json_object_set_new(rec, "erofs", path_json(STORE_IMAGE, &im->digest));
	json_object_set_new(rec, "disk", disk);
	if (users)
		json_object_set_new(rec, "users", users);
	if (cached)
		json_object_set_new(rec, "cached", json_true());
	return rec;
}

void image_record_resolved(json_t *record, const struct digest *d)
{
	json_object_set_new(record, "resolved_digest", digest_json(d));
}
