/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests, indexes and configs of images. An input is a document, read as each of them. */
#include "image.h"

#include "image/manifest.h"

static json_t *descriptor_json(const struct descriptor *d)
{
	char digest[DIGEST_TEXT_LEN];
	json_t *j = json_object(), *platform = json_object();

	digest_format(&d->digest, digest);
	json_object_set_new(j, "digest", json_string(digest));
	json_object_set_new(j, "size", json_integer((json_int_t)d->size));
	if (d->media_type)
		json_object_set_new(j, "mediaType", json_string(d->media_type));
	json_object_set_new(platform, "os", json_string(d->platform.os));
	json_object_set_new(platform, "architecture", json_string(d->platform.architecture));
	json_object_set_new(platform, "variant", json_string(d->platform.variant));
	json_object_set_new(j, "platform", platform);
	return j;
}

static void check_same(const struct descriptor *a, const struct descriptor *b)
{
	CHECK(digest_eq(&a->digest, &b->digest) && a->size == b->size);
	CHECK(str_eq(a->media_type, b->media_type));
	CHECK(strcmp(a->platform.os, b->platform.os) == 0);
	CHECK(strcmp(a->platform.architecture, b->platform.architecture) == 0);
	CHECK(strcmp(a->platform.variant, b->platform.variant) == 0);
}

/* Written again, it means the same. */
static void check_round_trip(const struct manifest *m)
{
	json_t *root = json_object(), *list = json_array();
	struct manifest again;
	struct err e = {0};
	char *text;

	for (size_t i = 0; i < m->n_items; i++)
		json_array_append_new(list, descriptor_json(&m->items[i]));
	json_object_set_new(root, m->is_index ? "manifests" : "layers", list);
	if (!m->is_index)
		json_object_set_new(root, "config", descriptor_json(&m->config));
	text = json_dumps(root, JSON_COMPACT);
	CHECK(text && manifest_parse(text, strlen(text), &again, &e) == 0);
	CHECK(again.is_index == m->is_index && again.n_items == m->n_items);
	for (size_t i = 0; i < m->n_items; i++)
		check_same(&m->items[i], &again.items[i]);
	check_same(&m->config, &again.config);
	manifest_release(&again);
	json_decref(root);
	free(text);
}

static void check_selection(const struct manifest *m)
{
	for (size_t i = 0; i <= m->n_items; i++) {
		struct platform wanted;
		const struct descriptor *d;
		struct err e = {0};

		platform_set(&wanted, "linux", "amd64", NULL);
		if (i < m->n_items)
			wanted = m->items[i].platform;
		d = manifest_select(m, &wanted, &e);
		if (d)
			CHECK(d >= m->items && d < m->items + m->n_items);
		else
			CHECK(e.code == ERR_NOT_FOUND && e.msg[0]);
		/* What is asked for by its own name is found. */
		if (i < m->n_items && *wanted.os && *wanted.architecture)
			CHECK(d && platform_score(&wanted, &d->platform) > 0);
	}
}

static void check_manifest(const char *text, size_t n)
{
	struct manifest m = {0};
	struct err e = {0};

	if (manifest_parse(text, n, &m, &e) < 0) {
		check_error(&e);
		CHECK(!m.items);
		return;
	}
	CHECK(m.n_items <= MANIFEST_LAYERS_MAX && m.config.size <= MANIFEST_MAX);
	CHECK(manifest_layers_size(&m) <= INT64_MAX);
	for (size_t i = 0; i < m.n_items; i++)
		CHECK(m.items[i].size <= INT64_MAX && (m.is_index || m.items[i].media_type));
	check_round_trip(&m);
	if (m.is_index)
		check_selection(&m);
	manifest_release(&m);
	CHECK(!m.items);
}

static void check_config(const char *text, size_t n)
{
	struct image_config c = {0};
	struct err e = {0};

	if (image_config_parse(text, n, &c, &e) < 0) {
		check_error(&e);
		CHECK(!c.json && !c.diff_ids);
		return;
	}
	CHECK(json_is_object(c.json) && c.n_diff_ids <= MANIFEST_LAYERS_MAX);
	image_config_release(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t n)
{
	uint8_t *text = exact_copy(input, n);

	check_manifest((const char *)text, n);
	check_config((const char *)text, n);
	free(text);
	return 0;
}
