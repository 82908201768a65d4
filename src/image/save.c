/* SPDX-License-Identifier: Apache-2.0 */
#include "image/save.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "image/hash.h"
#include "image/image.h"
#include "image/kept_blob.h"
#include "image/reference.h"
#include "image/tar_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define CHUNK_LEN (256 * KIB)

/* An image with its documents as they are in the store. */
struct source {
	struct image image;
	char *manifest, *config;
	size_t manifest_len, config_len;
};

struct saver {
	struct store *store;
	const struct save_options *o;
	struct progress *progress;
	struct source *sources; /* one for each image of the options */
	size_t n_sources;
	struct digest *written; /* blobs that are in the archive */
	size_t n_written;
	struct tar_writer *tar;
	uint8_t chunk[CHUNK_LEN];
};

/* --- what there is to save ----------------------------------------------------------------- */

/* An image that was pulled can be pulled again; the first name will do. */
static int bad_layer(const struct save_image *im, const struct digest *layer, enum err_code code,
		     const char *what, struct err *e)
{
	char text[DIGEST_TEXT_LEN];

	digest_format(layer, text);
	err_set(e, code, "layer %s of '%s' is %s in the image cache", text, im->names.v[0], what);
	return err_hint(e, "fetch it again: msb pull -f %s", im->names.v[0]);
}

static int open_source(struct saver *s, const struct save_image *im, struct err *e)
{
	struct source *src = &s->sources[s->n_sources];
	const struct manifest *m = &src->image.manifest;

	if (image_open(&src->image, s->store, &im->digest, e) < 0)
		return err_wrap(e, "image '%s'", im->names.v[0]);
	s->n_sources++;
	if (store_get_blob(s->store, &im->digest, &src->manifest, &src->manifest_len, e) < 0 ||
	    store_get_blob(s->store, &m->config.digest, &src->config, &src->config_len, e) < 0)
		return -1;
	for (size_t i = 0; i < m->n_items; i++) {
		struct kept_reader *r = kept_reader_open(s->store, &m->items[i].digest, e);

		if (!r && e->code == ERR_NOT_FOUND)
			return bad_layer(im, &m->items[i].digest, ERR_NOT_FOUND, "not kept", e);
		if (!r)
			return -1;
		kept_reader_free(r);
	}
	return 0;
}

static void saver_release(struct saver *s)
{
	for (size_t i = 0; i < s->n_sources; i++) {
		image_release(&s->sources[i].image);
		free(s->sources[i].manifest);
		free(s->sources[i].config);
	}
	free(s->sources);
	free(s->written);
	tar_writer_free(s->tar);
}

/* --- documents ----------------------------------------------------------------------------- */

static json_t *digest_json(const struct digest *d)
{
	char text[DIGEST_TEXT_LEN];

	digest_format(d, text);
	return json_string(text);
}

static char *blob_path(const struct digest *d)
{
	char hex[2 * DIGEST_LEN + 1];

	digest_format_hex(d, hex);
	return xasprintf("blobs/sha256/%s", hex);
}

/* What the manifest calls itself; those of OCI need not say it. */
static json_t *manifest_type(const struct source *src)
{
	json_t *root = json_loadb(src->manifest, src->manifest_len, 0, NULL);
	const char *type = json_string_value(json_object_get(root, "mediaType"));
	json_t *j = json_string(type ? type : MEDIA_OCI_MANIFEST);

	json_decref(root);
	return j;
}

static json_t *platform_json(const struct platform *p)
{
	json_t *j = json_object();

	json_object_set_new(j, "architecture", json_string(p->architecture));
	json_object_set_new(j, "os", json_string(p->os));
	if (*p->variant)
		json_object_set_new(j, "variant", json_string(p->variant));
	return j;
}

/* The name as Docker writes it, owned; NULL when there is no tag. */
static char *familiar_name(const char *name)
{
	struct reference ref;
	struct err e = {0};
	char *text = NULL;

	if (reference_parse(name, &ref, &e) < 0)
		return NULL;
	if (ref.tag && !str_eq(ref.host, REFERENCE_DEFAULT_HOST))
		text = xasprintf("%s/%s:%s", ref.host, ref.path, ref.tag);
	else if (ref.tag)
		text = xasprintf("%s:%s",
				 ref.path + (str_starts_with(ref.path, "library/") ? 8 : 0),
				 ref.tag);
	reference_release(&ref);
	return text;
}

/* An entry of index.json under one of the image's names. */
static json_t *index_entry(const struct source *src, const char *name)
{
	const struct platform *p = &src->image.config.platform;
	_cleanup_free_ char *familiar = familiar_name(name);
	json_t *j = json_object();

	json_object_set_new(j, "mediaType", manifest_type(src));
	json_object_set_new(j, "digest", digest_json(&src->image.digest));
	json_object_set_new(j, "size", json_integer((json_int_t)src->manifest_len));
	/* skopeo and podman go by the second, containerd and Docker by the first. */
	json_object_set_new(j, "annotations",
			    json_pack("{s:s, s:s}", "io.containerd.image.name", name,
				      "org.opencontainers.image.ref.name",
				      familiar ? familiar : name));
	if (*p->os && *p->architecture)
		json_object_set_new(j, "platform", platform_json(p));
	return j;
}

static json_t *index_json(const struct saver *s)
{
	json_t *list = json_array();

	for (size_t i = 0; i < s->n_sources; i++)
		for (size_t k = 0; k < s->o->images[i].names.n; k++)
			json_array_append_new(
				list, index_entry(&s->sources[i], s->o->images[i].names.v[k]));
	return json_pack("{s:i, s:s, s:o}", "schemaVersion", 2, "mediaType", MEDIA_OCI_INDEX,
			 "manifests", list);
}

static json_t *docker_entry(const struct source *src, const struct strv *names)
{
	_cleanup_free_ char *config = blob_path(&src->image.manifest.config.digest);
	json_t *tags = json_array(), *layers = json_array();

	for (size_t i = 0; i < names->n; i++) {
		_cleanup_free_ char *name = familiar_name(names->v[i]);

		if (name)
			json_array_append_new(tags, json_string(name));
	}
	for (size_t i = 0; i < src->image.manifest.n_items; i++) {
		_cleanup_free_ char *path = blob_path(&src->image.manifest.items[i].digest);

		json_array_append_new(layers, json_string(path));
	}
	return json_pack("{s:s, s:o, s:o}", "Config", config, "RepoTags", tags, "Layers", layers);
}

static json_t *docker_json(const struct saver *s)
{
	json_t *list = json_array();

	for (size_t i = 0; i < s->n_sources; i++)
		json_array_append_new(list, docker_entry(&s->sources[i], &s->o->images[i].names));
	return list;
}

/* --- the archive --------------------------------------------------------------------------- */

static int add_file(struct saver *s, const char *path, const void *data, size_t n, struct err *e)
{
	return tar_writer_begin(s->tar, path, n, e) < 0 ? -1 : tar_writer_add(s->tar, data, n, e);
}

/* Takes the document over. */
static int add_json(struct saver *s, const char *path, json_t *j, struct err *e)
{
	_cleanup_free_ char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;

	json_decref(j);
	if (!text)
		return err_set(e, ERR_SYSTEM, "out of memory");
	return add_file(s, path, text, strlen(text), e);
}

/* Whether a blob is there already, as those are that images share; else it is from now on. */
static bool seen(struct saver *s, const struct digest *d)
{
	for (size_t i = 0; i < s->n_written; i++)
		if (digest_eq(&s->written[i], d))
			return true;
	if ((s->n_written & (s->n_written - 1)) == 0)
		s->written = xreallocarray(s->written, s->n_written ? s->n_written * 2 : 1,
					   sizeof(*s->written));
	s->written[s->n_written++] = *d;
	return false;
}

static int add_document(struct saver *s, const struct digest *d, const char *text, size_t len,
			struct err *e)
{
	_cleanup_free_ char *path = blob_path(d);

	return seen(s, d) ? 0 : add_file(s, path, text, len, e);
}

/* Copies what a reader gives, which checks the digest at its end. */
static int copy_layer(struct saver *s, struct kept_reader *r, const struct descriptor *d,
		      struct progress_layer *pl, struct err *e)
{
	uint64_t done = 0;
	ssize_t n;

	while ((n = kept_read(r, s->chunk, sizeof(s->chunk), e)) > 0) {
		if ((uint64_t)n > d->size - done)
			return err_set(e, ERR_CORRUPT, "too long");
		if (tar_writer_add(s->tar, s->chunk, (size_t)n, e) < 0)
			return -1;
		done += (uint64_t)n;
		progress_layer(s->progress, pl, PROGRESS_DOWNLOADING, done);
	}
	if (n < 0)
		return -1;
	return done == d->size ? 0 : err_set(e, ERR_CORRUPT, "too short");
}

static int add_layer(struct saver *s, const struct save_image *im, const struct descriptor *d,
		     struct err *e)
{
	_cleanup_free_ char *path = blob_path(&d->digest);
	struct progress_layer pl = {.digest = d->digest, .total = d->size};
	struct kept_reader *r;
	int status;

	if (seen(s, &d->digest))
		return 0;
	r = kept_reader_open(s->store, &d->digest, e);
	if (!r)
		return -1;
	status = tar_writer_begin(s->tar, path, d->size, e);
	if (status == 0)
		status = copy_layer(s, r, d, &pl, e);
	kept_reader_free(r);
	if (status < 0 && e->code == ERR_CORRUPT)
		return bad_layer(im, &d->digest, ERR_CORRUPT, "damaged", e);
	if (status == 0)
		progress_layer(s->progress, &pl, PROGRESS_DONE, d->size);
	return status;
}

static int add_sources(struct saver *s, struct err *e)
{
	for (size_t i = 0; i < s->n_sources; i++) {
		const struct source *src = &s->sources[i];

		if (add_document(s, &src->image.digest, src->manifest, src->manifest_len, e) < 0 ||
		    add_document(s, &src->image.manifest.config.digest, src->config,
				 src->config_len, e) < 0)
			return -1;
	}
	for (size_t i = 0; i < s->n_sources; i++) {
		const struct manifest *m = &s->sources[i].image.manifest;

		for (size_t k = 0; k < m->n_items; k++)
			if (add_layer(s, &s->o->images[i], &m->items[k], e) < 0)
				return -1;
	}
	return 0;
}

static int write_archive(struct saver *s, struct err *e)
{
	static const char layout[] = "{\"imageLayoutVersion\":\"1.0.0\"}";

	if (add_file(s, "oci-layout", layout, strlen(layout), e) < 0 ||
	    add_json(s, "index.json", index_json(s), e) < 0)
		return -1;
	if (s->o->docker && add_json(s, "manifest.json", docker_json(s), e) < 0)
		return -1;
	if (add_sources(s, e) < 0)
		return -1;
	return tar_writer_finish(s->tar, e);
}

int save_archive(struct store *store, int fd, const struct save_options *o, struct progress *p,
		 struct err *e)
{
	struct saver *s = xcalloc(1, sizeof(*s));
	int r = 0;

	s->store = store;
	s->o = o;
	s->progress = p;
	s->tar = tar_writer_new(fd);
	s->sources = xcalloc(o->n_images, sizeof(*s->sources));
	for (size_t i = 0; r == 0 && i < o->n_images; i++)
		r = open_source(s, &o->images[i], e);
	if (r == 0)
		r = write_archive(s, e);
	saver_release(s);
	free(s);
	return r;
}

/* --- files --------------------------------------------------------------------------------- */

/*
 * A file that is to take the place of `path`. Without a name of its own where the file system can
 * do that: whatever kills us, nothing is left. `ret_temp` is the name for later or now.
 */
static int open_temp(const char *path, char **ret_temp, bool *ret_nameless, struct err *e)
{
	_cleanup_free_ char *dir = xstrdup(path);
	char *slash = strrchr(dir, '/');
	int fd;

	if (slash)
		slash[slash == dir ? 1 : 0] = '\0';
	*ret_temp = xasprintf("%s.msb-%d", path, (int)getpid());
	fd = open(slash ? dir : ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
	*ret_nameless = fd >= 0;
	if (fd < 0)
		fd = open(*ret_temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	return fd < 0 ? err_sys(e, errno, "cannot create '%s'", path) : fd;
}

static int give_name(int fd, const char *name)
{
	char self[32];

	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	return linkat(AT_FDCWD, self, AT_FDCWD, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

static int replace_file(struct store *s, const char *path, const struct save_options *o,
			struct progress *p, struct err *e)
{
	_cleanup_free_ char *temp = NULL;
	bool nameless;
	_cleanup_close_ int fd = open_temp(path, &temp, &nameless, e);
	int r;

	if (fd < 0)
		return -1;
	r = save_archive(s, fd, o, p, e);
	if (r == 0) {
		r = fsync(fd) < 0 ? -errno : 0;
		if (r == 0 && nameless)
			r = give_name(fd, temp);
		if (r == 0 && rename(temp, path) < 0)
			r = -errno;
		if (r < 0)
			r = err_sys(e, -r, "cannot write '%s'", path);
	}
	if (r < 0)
		unlink(temp);
	return r;
}

int save_file(struct store *s, const char *path, const struct save_options *o, struct progress *p,
	      struct err *e)
{
	/* What a link leads to is meant, not the link. */
	_cleanup_free_ char *target = realpath(path, NULL);
	_cleanup_close_ int fd = -1;
	struct stat st;

	if (!target || stat(target, &st) < 0 || S_ISREG(st.st_mode))
		return replace_file(s, target ? target : path, o, p, e);
	if (S_ISDIR(st.st_mode))
		return err_sys(e, EISDIR, "cannot write '%s'", path);
	/* A device or a named pipe. */
	fd = open(target, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return err_sys(e, errno, "cannot write '%s'", path);
	return save_archive(s, fd, o, p, e);
}
