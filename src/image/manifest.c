/* SPDX-License-Identifier: Apache-2.0 */
#include "image/manifest.h"

#include "base/cleanup.h"

#include <string.h>

#define NAME_ANNOTATION "io.containerd.image.name"
#define TAG_ANNOTATION  "org.opencontainers.image.ref.name"

static int corrupt(struct err *e, const char *what)
{
	return err_set(e, ERR_CORRUPT, "bad image manifest: %s", what);
}

static char *dup_string(const json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s ? xstrdup(s) : NULL;
}

static void platform_from_json(const json_t *j, struct platform *ret)
{
	platform_set(ret, json_string_value(json_object_get(j, "os")),
		     json_string_value(json_object_get(j, "architecture")),
		     json_string_value(json_object_get(j, "variant")));
}

static void descriptor_release(struct descriptor *d)
{
	free(d->media_type);
	free(d->name);
	*d = (struct descriptor){0};
}

static int parse_descriptor(const json_t *j, struct descriptor *ret, struct err *e)
{
	const json_t *size = json_object_get(j, "size");
	const json_t *platform = json_object_get(j, "platform");
	const json_t *notes = json_object_get(j, "annotations");
	const char *digest = json_string_value(json_object_get(j, "digest"));
	struct descriptor d = {0};

	if (!digest)
		return corrupt(e, "a descriptor has no digest");
	if (digest_parse(digest, &d.digest) < 0)
		return err_set(e, ERR_UNSUPPORTED, "unsupported digest '%.100s' in the manifest",
			       digest);
	if (!json_is_integer(size) || json_integer_value(size) < 0)
		return corrupt(e, "a descriptor has no size");
	d.size = (uint64_t)json_integer_value(size);
	d.media_type = dup_string(j, "mediaType");
	d.has_platform = json_is_object(platform);
	platform_from_json(platform, &d.platform);
	/* Some tools put the whole name there, as users know it, others just the tag. */
	d.name = dup_string(notes, TAG_ANNOTATION);
	d.name_is_tag = d.name && !strpbrk(d.name, "/:");
	if (!d.name || (d.name_is_tag && json_object_get(notes, NAME_ANNOTATION))) {
		free(d.name);
		d.name = dup_string(notes, NAME_ANNOTATION);
		d.name_is_tag = false;
	}
	*ret = d;
	return 0;
}

static bool layer_type_known(const char *type)
{
	static const char *const known[] = {
		MEDIA_OCI_LAYER,
		(MEDIA_OCI_LAYER_GZIP),
		(MEDIA_OCI_LAYER_ZSTD),
		"application/vnd.oci.image.layer.nondistributable.v1.tar",
		"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
		"application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
		"application/vnd.docker.image.rootfs.diff.tar",
		"application/vnd.docker.image.rootfs.diff.tar.gzip",
		"application/vnd.docker.image.rootfs.diff.tar.zstd",
		"application/vnd.docker.image.rootfs.foreign.diff.tar",
		"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (strcmp(type, known[i]) == 0)
			return true;
	return false;
}

static int check_layers(const struct manifest *m, struct err *e)
{
	for (size_t i = 0; i < m->n_items; i++) {
		const char *type = m->items[i].media_type;

		/* The bytes tell the compression; the type tells whether it is a layer at all. */
		if (!type || !layer_type_known(type))
			return err_set(
				e, ERR_UNSUPPORTED,
				"this is not a container image: a layer has the type '%.200s'",
				type ? type : "");
	}
	return 0;
}

static int parse_items(const json_t *list, struct manifest *m, struct err *e)
{
	size_t n = json_array_size(list);

	if (n > MANIFEST_LAYERS_MAX)
		return err_set(e, ERR_UNSUPPORTED, "the manifest has %zu entries; %d are supported",
			       n, MANIFEST_LAYERS_MAX);
	m->items = xcalloc(n + 1, sizeof(*m->items));
	for (size_t i = 0; i < n; i++) {
		if (parse_descriptor(json_array_get(list, i), &m->items[i], e) < 0)
			return -1;
		m->n_items++;
	}
	return 0;
}

static int parse_manifest(const json_t *root, struct manifest *m, struct err *e)
{
	const json_t *layers = json_object_get(root, "layers");
	const json_t *manifests = json_object_get(root, "manifests");

	if (!json_is_object(root))
		return corrupt(e, "not a JSON object");
	if (json_integer_value(json_object_get(root, "schemaVersion")) == 1)
		return err_set(e, ERR_UNSUPPORTED, "Docker schema 1 manifests are not supported");
	if (json_is_array(manifests) && !layers) {
		m->is_index = true;
		return parse_items(manifests, m, e);
	}
	if (!json_is_array(layers) || !json_is_object(json_object_get(root, "config")))
		return corrupt(e, "neither layers nor manifests");
	if (parse_descriptor(json_object_get(root, "config"), &m->config, e) < 0 ||
	    parse_items(layers, m, e) < 0)
		return -1;
	if (m->config.size > MANIFEST_MAX)
		return err_set(e, ERR_UNSUPPORTED, "the image's config is larger than 4 MiB");
	return check_layers(m, e);
}

int manifest_parse(const char *text, size_t len, struct manifest *ret, struct err *e)
{
	struct manifest m = {0};
	json_error_t je;
	json_t *root = json_loadb(text, len, 0, &je);
	int r;

	if (!root)
		return err_set(e, ERR_CORRUPT, "bad image manifest: %s", je.text);
	r = parse_manifest(root, &m, e);
	json_decref(root);
	if (r < 0) {
		manifest_release(&m);
		return -1;
	}
	*ret = m;
	return 0;
}

void manifest_release(struct manifest *m)
{
	descriptor_release(&m->config);
	for (size_t i = 0; i < m->n_items; i++)
		descriptor_release(&m->items[i]);
	free(m->items);
	*m = (struct manifest){0};
}

uint64_t manifest_layers_size(const struct manifest *m)
{
	uint64_t n = 0;

	for (size_t i = 0; i < m->n_items; i++)
		if (__builtin_add_overflow(n, m->items[i].size, &n))
			return INT64_MAX;
	return MIN(n, (uint64_t)INT64_MAX);
}

/* What an index has to offer, for a hint; owned. */
static char *platforms_text(const struct manifest *index)
{
	char *all = xstrdup(""), text[PLATFORM_TEXT_LEN];

	for (size_t i = 0; i < index->n_items && strlen(all) < 200; i++) {
		const struct descriptor *d = &index->items[i];
		char *longer;

		/* Attestations are listed as unknown/unknown. */
		if (!*d->platform.os || !*d->platform.architecture ||
		    str_eq(d->platform.os, "unknown"))
			continue;
		platform_format(&d->platform, text);
		longer = xasprintf("%s%s%s", all, *all ? ", " : "", text);
		free(all);
		all = longer;
	}
	return all;
}

const struct descriptor *manifest_select(const struct manifest *index,
					 const struct platform *wanted, struct err *e)
{
	_cleanup_free_ char *all = NULL;
	const struct descriptor *best = NULL;
	char text[PLATFORM_TEXT_LEN];
	unsigned best_score = 0;

	for (size_t i = 0; i < index->n_items; i++) {
		const struct descriptor *d = &index->items[i];
		unsigned score = 0;

		if (*d->platform.os && *d->platform.architecture)
			score = platform_score(wanted, &d->platform);
		if (score > best_score) {
			best = d;
			best_score = score;
		}
	}
	/* An index of one image without a platform means that image. */
	if (!best && index->n_items == 1 && !*index->items[0].platform.os)
		best = &index->items[0];
	if (best)
		return best;
	platform_format(wanted, text);
	all = platforms_text(index);
	err_set(e, ERR_NOT_FOUND, "the image has no variant for %s", text);
	if (*all)
		err_hint(e, "it is available for %s", all);
	return NULL;
}

static int parse_diff_ids(const json_t *list, struct image_config *c, struct err *e)
{
	size_t n = json_array_size(list);

	if (!json_is_array(list))
		return err_set(e, ERR_UNSUPPORTED,
			       "this is not a container image: its config lists no layers");
	if (n > MANIFEST_LAYERS_MAX)
		return err_set(e, ERR_UNSUPPORTED, "the image has %zu layers; %d are supported", n,
			       MANIFEST_LAYERS_MAX);
	c->diff_ids = xcalloc(n + 1, sizeof(*c->diff_ids));
	c->n_diff_ids = n;
	for (size_t i = 0; i < n; i++) {
		const char *s = json_string_value(json_array_get(list, i));

		if (!s || digest_parse(s, &c->diff_ids[i]) < 0)
			return err_set(e, ERR_CORRUPT, "bad image config: bad diff_id");
	}
	return 0;
}

int image_config_parse(const char *text, size_t len, struct image_config *ret, struct err *e)
{
	struct image_config c = {0};
	json_error_t je;

	c.json = json_loadb(text, len, 0, &je);
	if (!json_is_object(c.json)) {
		image_config_release(&c);
		return err_set(e, ERR_CORRUPT, "bad image config: %s",
			       je.text[0] ? je.text : "not a JSON object");
	}
	platform_from_json(c.json, &c.platform);
	c.created = json_string_value(json_object_get(c.json, "created"));
	if (parse_diff_ids(json_object_get(json_object_get(c.json, "rootfs"), "diff_ids"), &c, e) <
	    0) {
		image_config_release(&c);
		return -1;
	}
	*ret = c;
	return 0;
}

void image_config_release(struct image_config *c)
{
	json_decref(c->json);
	free(c->diff_ids);
	*c = (struct image_config){0};
}
