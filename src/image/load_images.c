/* SPDX-License-Identifier: Apache-2.0 */
/* From what was found in an archive to images: index.json of OCI, manifest.json of docker save. */
#include "base/cleanup.h"
#include "base/log.h"
#include "image/load_internal.h"
#include "image/hash.h"
#include "image/image.h"
#include "image/reference.h"

#include <string.h>

#define OCI_INDEX       "index.json"
#define DOCKER_MANIFEST "manifest.json"
#define IMAGES_MAX      256

/* An image with its names; the documents belong to the items or to the list. */
struct found {
	struct digest digest;
	char *manifest; /* owned */
	size_t manifest_len;
	const struct load_item *config;
	struct strv names;
};

struct found_list {
	struct found v[IMAGES_MAX];
	size_t n;
};

static struct found *add_found(struct found_list *list, struct err *e)
{
	if (list->n < IMAGES_MAX)
		return &list->v[list->n++];
	err_set(e, ERR_INVALID, "the archive has more than %d images", IMAGES_MAX);
	return NULL;
}

/* An image has an entry in the index for each of its names. */
static struct found *find_same(struct found_list *list, const struct digest *d)
{
	for (size_t i = 0; i < list->n; i++)
		if (digest_eq(&list->v[i].digest, d))
			return &list->v[i];
	return NULL;
}

static void found_release(struct found_list *list)
{
	for (size_t i = 0; i < list->n; i++) {
		free(list->v[i].manifest);
		strv_release(&list->v[i].names);
	}
}

static const struct load_item *find_text(const struct load_items *a, const char *path,
					 struct err *e)
{
	const struct load_item *item = load_find(a, path);

	if (item && item->type == LOAD_TEXT)
		return item;
	err_set(e, ERR_CORRUPT, "the image archive has no document '%.200s'", path ? path : "");
	return NULL;
}

/* A document in an OCI layout, with the digest that it is named by. */
static const struct load_item *find_blob_text(const struct load_items *a, const struct digest *d,
					      struct err *e)
{
	char hex[2 * DIGEST_LEN + 1];
	_cleanup_free_ char *path = NULL;
	const struct load_item *item;

	digest_format_hex(d, hex);
	path = xasprintf("blobs/sha256/%s", hex);
	item = find_text(a, path, e);
	if (item && !digest_eq(&item->layer.blob_digest, d)) {
		err_set(e, ERR_CORRUPT, "'%s' does not match its digest", path);
		return NULL;
	}
	return item;
}

/* --- names --------------------------------------------------------------------------------- */

static void add_name(struct found *f, const char *name)
{
	struct reference ref;
	struct err e = {0};

	for (size_t i = 0; i < f->names.n; i++)
		if (str_eq(f->names.v[i], name))
			return;
	if (reference_parse(name, &ref, &e) < 0) {
		log_warn("ignoring a name in the archive: %s", e.msg);
		return;
	}
	reference_release(&ref);
	strv_add(&f->names, name);
}

static void add_repo_tags(struct found *f, const json_t *entry)
{
	const json_t *tags = json_object_get(entry, "RepoTags");
	size_t i;
	json_t *tag;

	json_array_foreach (tags, i, tag)
		if (json_is_string(tag))
			add_name(f, json_string_value(tag));
}

/* --- OCI layout ---------------------------------------------------------------------------- */

static char *canonical(const char *name)
{
	struct reference ref;
	struct err e = {0};
	char *text;

	if (reference_parse(name, &ref, &e) < 0)
		return NULL;
	text = reference_format(&ref);
	reference_release(&ref);
	return text;
}

/* A name as the user knows it: docker save has it spelt like that in its own manifest. */
static const char *docker_spelling(const json_t *docker, const char *name)
{
	_cleanup_free_ char *wanted = canonical(name);
	json_t *entry, *tag;
	size_t i, k;

	json_array_foreach (docker, i, entry) {
		json_array_foreach (json_object_get(entry, "RepoTags"), k, tag) {
			const char *text = json_string_value(tag);
			_cleanup_free_ char *found = text ? canonical(text) : NULL;

			if (wanted && str_eq(found, wanted))
				return text;
		}
	}
	return name;
}

/* docker save writes both; one that leaves the index without names has them in its own manifest. */
static void add_docker_names(const struct load_items *a, const json_t *docker, struct found *f)
{
	size_t i;
	json_t *entry;

	json_array_foreach (docker, i, entry) {
		const char *path = json_string_value(json_object_get(entry, "Config"));

		if (path && load_find(a, path) == f->config)
			add_repo_tags(f, entry);
	}
}

/* Follows nested indexes to a manifest for the platform. NULL with the error set. */
static const struct load_item *find_manifest(const struct load_items *a, const struct digest *first,
					     struct manifest *ret, struct err *e)
{
	struct digest d = *first;

	for (int depth = 0; depth < 3; depth++) {
		const struct load_item *item = find_blob_text(a, &d, e);
		const struct descriptor *chosen;

		if (!item || manifest_parse(item->text, item->layer.blob_size, ret, e) < 0)
			return NULL;
		if (!ret->is_index)
			return item;
		chosen = manifest_select(ret, &a->o->platform, e);
		if (chosen)
			d = chosen->digest;
		manifest_release(ret);
		if (!chosen)
			return NULL;
	}
	err_set(e, ERR_CORRUPT, "bad image archive: an index of indexes");
	return NULL;
}

static bool other_platform(const struct load_items *a, const struct descriptor *d)
{
	return d->has_platform && platform_score(&a->o->platform, &d->platform) == 0;
}

static int find_oci_image(const struct load_items *a, const struct descriptor *d,
			  const json_t *docker, struct found_list *list, struct err *e)
{
	struct manifest m;
	const struct load_item *item = find_manifest(a, &d->digest, &m, e), *config;
	struct found *f;

	if (!item)
		return -1;
	config = find_blob_text(a, &m.config.digest, e);
	manifest_release(&m);
	if (!config)
		return -1;
	f = find_same(list, &item->layer.blob_digest);
	if (!f) {
		f = add_found(list, e);
		if (!f)
			return -1;
		*f = (struct found){.digest = item->layer.blob_digest, .config = config};
		f->manifest_len = item->layer.blob_size;
		f->manifest = xstrndup(item->text, f->manifest_len);
	}
	if (d->name && !d->name_is_tag)
		add_name(f, docker_spelling(docker, d->name));
	else
		add_docker_names(a, docker, f);
	return 0;
}

static int no_image_for(const struct load_items *a, const struct manifest *index, struct err *e)
{
	char wanted[PLATFORM_TEXT_LEN], there[PLATFORM_TEXT_LEN];

	platform_format(&a->o->platform, wanted);
	platform_format(&index->items[0].platform, there);
	err_set(e, ERR_NOT_FOUND, "the archive has no image for %s", wanted);
	return err_hint(e, "it has one for %s: choose it with --platform %s", there, there);
}

static int find_oci_images(const struct load_items *a, const struct load_item *index,
			   const json_t *docker, struct found_list *list, struct err *e)
{
	struct manifest m;
	int r = 0;

	if (manifest_parse(index->text, index->layer.blob_size, &m, e) < 0)
		return -1;
	if (!m.is_index)
		r = err_set(e, ERR_CORRUPT, "bad image archive: '%s' is no index", OCI_INDEX);
	for (size_t i = 0; r == 0 && i < m.n_items; i++) {
		if (!other_platform(a, &m.items[i]))
			r = find_oci_image(a, &m.items[i], docker, list, e);
	}
	if (r == 0 && list->n == 0 && m.n_items > 0)
		r = no_image_for(a, &m, e);
	manifest_release(&m);
	return r;
}

/* --- docker save --------------------------------------------------------------------------- */

static json_t *descriptor_json(const char *media_type, const struct digest *d, uint64_t size)
{
	char text[DIGEST_TEXT_LEN];
	json_t *j = json_object();

	digest_format(d, text);
	json_object_set_new(j, "mediaType", json_string(media_type));
	json_object_set_new(j, "digest", json_string(text));
	json_object_set_new(j, "size", json_integer((json_int_t)size));
	return j;
}

static const char *layer_media_type(enum inflate_format format)
{
	if (format == INFLATE_GZIP)
		return MEDIA_OCI_LAYER_GZIP;
	return format == INFLATE_ZSTD ? MEDIA_OCI_LAYER_ZSTD : MEDIA_OCI_LAYER;
}

/* The layers of an entry of manifest.json as descriptors; NULL with the error set. */
static json_t *docker_layers(const struct load_items *a, const json_t *entry, struct err *e)
{
	const json_t *paths = json_object_get(entry, "Layers");
	json_t *list = json_array(), *p;
	size_t i;

	json_array_foreach (paths, i, p) {
		const char *path = json_string_value(p);
		const struct load_item *item = load_find(a, path);

		if (item && item->type == LOAD_BAD)
			*e = *item->err;
		else if (!item || item->type != LOAD_LAYER)
			err_set(e, ERR_CORRUPT, "the image archive has no layer '%.200s'",
				path ? path : "");
		if (!item || item->type != LOAD_LAYER) {
			json_decref(list);
			return NULL;
		}
		json_array_append_new(list, descriptor_json(layer_media_type(item->layer.format),
							    &item->layer.blob_digest,
							    item->layer.blob_size));
	}
	return list;
}

/*
 * Docker's archive has no manifest to take a digest of: one is made up. Its keys are in a fixed
 * order and there is no white space, so that an image gets the same digest each time.
 */
static int find_docker_image(const struct load_items *a, const json_t *entry,
			     struct found_list *list, struct err *e)
{
	const char *path = json_string_value(json_object_get(entry, "Config"));
	const struct load_item *config = find_text(a, path, e);
	json_t *layers = config ? docker_layers(a, entry, e) : NULL, *root;
	struct found *f = layers ? add_found(list, e) : NULL;

	if (!f) {
		json_decref(layers);
		return -1;
	}
	root = json_object();
	json_object_set_new(root, "schemaVersion", json_integer(2));
	json_object_set_new(root, "mediaType", json_string(MEDIA_OCI_MANIFEST));
	json_object_set_new(root, "config",
			    descriptor_json(MEDIA_OCI_CONFIG, &config->layer.blob_digest,
					    config->layer.blob_size));
	json_object_set_new(root, "layers", layers);
	*f = (struct found){.config = config};
	f->manifest = json_dumps(root, JSON_COMPACT);
	json_decref(root);
	if (!f->manifest)
		return err_set(e, ERR_SYSTEM, "out of memory");
	f->manifest_len = strlen(f->manifest);
	hash_bytes(f->manifest, f->manifest_len, &f->digest);
	add_repo_tags(f, entry);
	return 0;
}

static int find_docker_images(const struct load_items *a, const json_t *docker,
			      struct found_list *list, struct err *e)
{
	size_t i;
	json_t *entry;

	json_array_foreach (docker, i, entry)
		if (find_docker_image(a, entry, list, e) < 0)
			return -1;
	return 0;
}

/* --- making images ------------------------------------------------------------------------- */

/* Checks that the archive's layers are what manifest and config say. */
static int check_layers(const struct load_items *a, const struct image *im, struct err *e)
{
	for (size_t i = 0; i < im->manifest.n_items; i++) {
		const struct descriptor *d = &im->manifest.items[i];
		const struct load_item *item = NULL;
		char text[DIGEST_TEXT_LEN];

		digest_format(&d->digest, text);
		for (size_t k = 0; k < a->n; k++)
			if (a->v[k].type == LOAD_LAYER &&
			    digest_eq(&a->v[k].layer.blob_digest, &d->digest))
				item = &a->v[k];
		if (!item) {
			_cleanup_free_ char *path =
				xasprintf("blobs/sha256/%s", text + strlen("sha256:"));
			const struct load_item *bad = load_find(a, path);

			if (bad && bad->type == LOAD_BAD) {
				*e = *bad->err;
				return -1;
			}
			return err_set(e, ERR_CORRUPT, "the image archive lacks layer %s", text);
		}
		if (!digest_eq(&item->layer.diff_id, &im->config.diff_ids[i]))
			return err_set(e, ERR_CORRUPT,
				       "layer %s unpacks to something else than the image's config "
				       "says",
				       text);
	}
	return 0;
}

static int make_image(struct load_items *a, const struct found *f, const struct strv *names,
		      json_t *records, struct err *e)
{
	size_t config_len = f->config->layer.blob_size;
	const char *config = f->config->text;
	struct image im;
	int r;

	if (image_init(&im, a->store, &f->digest, f->manifest, f->manifest_len, config, config_len,
		       e) < 0)
		return -1;
	r = a->o->platform_given ? image_check_platform(&im, &a->o->platform, e) : 0;
	if (r == 0)
		r = check_layers(a, &im, e);
	if (r == 0)
		r = store_put_blob(a->store, &f->digest, f->manifest, f->manifest_len, e);
	if (r == 0)
		r = store_put_blob(a->store, &f->config->layer.blob_digest, config, config_len, e);
	if (r == 0 && image_scan(&im, e) == 0 && image_build(&im, false, e) == 0) {
		for (size_t i = 0; i < names->n; i++)
			json_array_append_new(records, image_record(&im, names->v[i], false));
	} else {
		r = -1;
	}
	image_release(&im);
	return r;
}

static int make_all(struct load_items *a, const struct found_list *list, json_t *records,
		    struct err *e)
{
	const struct strv *tags = a->o->tags;

	if (list->n == 0)
		return err_set(e, ERR_INVALID, "the archive holds no image");
	for (size_t i = 0; i < list->n; i++) {
		const struct strv *names = i == 0 && tags->n ? tags : &list->v[i].names;

		if (names->n == 0) {
			err_set(e, ERR_INVALID,
				"the archive does not say what its image is called");
			return err_hint(e, "name it with --tag");
		}
		if (make_image(a, &list->v[i], names, records, e) < 0)
			return -1;
	}
	return 0;
}

json_t *load_make_images(struct load_items *a, struct err *e)
{
	const struct load_item *index = load_find(a, OCI_INDEX);
	const struct load_item *docker_item = load_find(a, DOCKER_MANIFEST);
	struct found_list *list = xcalloc(1, sizeof(*list));
	json_t *records = json_array(), *docker = NULL;
	int r = 0;

	progress_stage(a->progress, PROGRESS_METADATA);
	if (docker_item && docker_item->type == LOAD_TEXT)
		docker = json_loadb(docker_item->text, docker_item->layer.blob_size, 0, NULL);
	if (index && index->type == LOAD_TEXT)
		r = find_oci_images(a, index, docker, list, e);
	else if (json_is_array(docker))
		r = find_docker_images(a, docker, list, e);
	else
		r = err_set(e, ERR_INVALID,
			    "this is no image archive: neither an OCI layout nor of docker save");
	if (r == 0)
		r = make_all(a, list, records, e);
	found_release(list);
	free(list);
	json_decref(docker);
	if (r < 0) {
		json_decref(records);
		return NULL;
	}
	return records;
}
