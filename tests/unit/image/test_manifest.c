/* SPDX-License-Identifier: Apache-2.0 */
#include "../testing.h"

#include "image/manifest.h"

#define D1                "sha256:1111111111111111111111111111111111111111111111111111111111111111"
#define D2                "sha256:2222222222222222222222222222222222222222222222222222222222222222"
#define CONF              "\"config\":{\"digest\":\"" D1 "\",\"size\":10,\"mediaType\":\"x\"}"
#define LAYER(type, size) "{\"digest\":\"" D2 "\",\"size\":" size ",\"mediaType\":\"" type "\"}"
#define GZIP              "application/vnd.oci.image.layer.v1.tar+gzip"

static int parse(const char *text, struct manifest *m, struct err *e)
{
	return manifest_parse(text, strlen(text), m, e);
}

static void test_image(void **state)
{
	struct manifest m;
	struct err e = {0};
	char digest[DIGEST_TEXT_LEN];

	assert_int_equal(
		parse("{\"schemaVersion\":2," CONF ",\"layers\":[" LAYER(GZIP, "7") "]}", &m, &e),
		0);
	assert_false(m.is_index);
	assert_int_equal(m.n_items, 1);
	assert_int_equal(m.items[0].size, 7);
	assert_string_equal(m.items[0].media_type, GZIP);
	digest_format(&m.config.digest, digest);
	assert_string_equal(digest, D1);
	manifest_release(&m);
}

static void test_bad(void **state)
{
	static const struct {
		const char *text;
		enum err_code code;
	} cases[] = {
		{"", ERR_CORRUPT},
		{"nonsense", ERR_CORRUPT},
		{"[]", ERR_CORRUPT},
		{"{}", ERR_CORRUPT},
		{"{\"layers\":[]}", ERR_CORRUPT},
		{"{" CONF "}", ERR_CORRUPT},
		{"{" CONF ",\"layers\":[{}]}", ERR_CORRUPT},
		{"{" CONF ",\"layers\":[1]}", ERR_CORRUPT},
		{"{" CONF ",\"layers\":[" LAYER(GZIP, "-1") "]}", ERR_CORRUPT},
		{"{" CONF ",\"layers\":[" LAYER(GZIP, "\"7\"") "]}", ERR_CORRUPT},
		{"{" CONF ",\"layers\":[" LAYER("application/wasm", "7") "]}", ERR_UNSUPPORTED},
		{"{\"schemaVersion\":1,\"fsLayers\":[]}", ERR_UNSUPPORTED},
		{"{\"config\":{\"digest\":\"md5:11\",\"size\":1},\"layers\":[]}", ERR_UNSUPPORTED},
		{"{\"config\":{\"digest\":\"" D1 "\",\"size\":99999999},\"layers\":[]}",
		 ERR_UNSUPPORTED},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct manifest m;
		struct err e = {0};

		if (parse(cases[i].text, &m, &e) == 0)
			fail_msg("accepted: %s", cases[i].text);
		if (e.code != cases[i].code)
			fail_msg("%s: %s", cases[i].text, e.msg);
	}
}

static void test_too_many_layers(void **state)
{
	struct buf b;
	struct manifest m;
	struct err e = {0};

	for (int n = 128; n <= 1024; n *= 8) {
		buf_init(&b, MIB);
		buf_printf(&b, "{" CONF ",\"layers\":[");
		for (int i = 0; i < n; i++)
			buf_printf(&b, "%s%s", i ? "," : "", LAYER(GZIP, "1"));
		buf_printf(&b, "]}");
		assert_int_equal(manifest_parse((const char *)buf_data(&b), buf_len(&b), &m, &e),
				 n == 128 ? 0 : -1);
		if (n == 128)
			manifest_release(&m);
		buf_release(&b);
	}
	assert_int_equal(e.code, ERR_UNSUPPORTED);
}

static const struct descriptor *selected(const struct manifest *m, const char *platform,
					 struct err *e)
{
	struct platform p;

	assert_int_equal(platform_parse(platform, &p, e), 0);
	return manifest_select(m, &p, e);
}

static void test_select(void **state)
{
	static const char text[] =
		"{\"manifests\":["
		"{\"digest\":\"" D1 "\",\"size\":1,\"platform\":{\"os\":\"unknown\","
		"\"architecture\":\"unknown\"}},"
		"{\"digest\":\"" D1 "\",\"size\":2,\"platform\":{\"os\":\"linux\","
		"\"architecture\":\"arm64\"}},"
		"{\"digest\":\"" D2 "\",\"size\":3,\"platform\":{\"os\":\"linux\","
		"\"architecture\":\"amd64\"}}]}";
	static const char lone[] = "{\"manifests\":[{\"digest\":\"" D1 "\",\"size\":1}]}";
	struct manifest m;
	struct err e = {0};

	assert_int_equal(parse(text, &m, &e), 0);
	assert_true(m.is_index);
	assert_ptr_equal(selected(&m, "linux/amd64", &e), &m.items[2]);
	assert_ptr_equal(selected(&m, "linux/arm64", &e), &m.items[1]);
	assert_null(selected(&m, "windows/amd64", &e));
	assert_int_equal(e.code, ERR_NOT_FOUND);
	assert_string_equal(e.hint, "it is available for linux/arm64, linux/amd64");
	manifest_release(&m);
	assert_int_equal(parse(lone, &m, &e), 0);
	assert_ptr_equal(selected(&m, "linux/amd64", &e), &m.items[0]);
	manifest_release(&m);
}

#define VARIANT(n, arch, variant)                                                \
	"{\"digest\":\"" D1 "\",\"size\":" #n ",\"platform\":{\"os\":\"linux\"," \
	"\"architecture\":\"" arch "\",\"variant\":\"" variant "\"}}"

/* The best of the variants that do, whatever their order. */
static void test_select_variant(void **state)
{
	static const char text[] =
		"{\"manifests\":[" VARIANT(0, "arm", "v5") "," VARIANT(1, "arm", "v7") "," VARIANT(
			2, "arm",
			"v6") "," VARIANT(3, "amd64",
					  "v3") "," VARIANT(4, "amd64",
							    "") "," VARIANT(5, "arm64",
									    "v8") "," VARIANT(6,
											      "amd6"
											      "4",
											      "v2") "]}";
	static const struct {
		const char *wanted;
		int item;
	} cases[] = {
		{"linux/arm/v7", 1},       {"linux/arm", 1},      {"linux/arm/v6", 2},
		{"linux/arm/v8", 1},       {"linux/arm/v5", 0},   {"linux/amd64", 4},
		{"linux/amd64/v1", 4},     {"linux/amd64/v2", 6}, {"linux/amd64/v4", 3},
		{"linux/x86_64/v3", 3},    {"linux/arm64", 5},    {"linux/aarch64/v8", 5},
		{"linux/arm64/v9", 5},     {"linux/arm/v4", -1},  {"linux/386", -1},
		{"linux/arm/strange", -1},
	};
	struct manifest m;
	struct err e = {0};

	assert_int_equal(parse(text, &m, &e), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct descriptor *d = selected(&m, cases[i].wanted, &e);

		if (d != (cases[i].item < 0 ? NULL : &m.items[cases[i].item]))
			fail_msg("%s: item %d", cases[i].wanted, d ? (int)(d - m.items) : -1);
	}
	manifest_release(&m);
}

static void test_config(void **state)
{
	static const char text[] = "{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":"
				   "{\"diff_ids\":[\"" D1 "\",\"" D2 "\"]}}";
	static const struct {
		const char *text;
		enum err_code code;
	} bad[] = {
		{"", ERR_CORRUPT},
		{"[]", ERR_CORRUPT},
		{"{}", ERR_UNSUPPORTED},
		{"{\"rootfs\":{\"diff_ids\":[1]}}", ERR_CORRUPT},
		{"{\"rootfs\":{\"diff_ids\":[\"sha256:zz\"]}}", ERR_CORRUPT},
	};
	struct image_config c;
	struct err e = {0};

	assert_int_equal(image_config_parse(text, strlen(text), &c, &e), 0);
	assert_int_equal(c.n_diff_ids, 2);
	assert_string_equal(c.platform.architecture, "amd64");
	assert_null(c.created);
	image_config_release(&c);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(image_config_parse(bad[i].text, strlen(bad[i].text), &c, &e), -1);
		assert_int_equal(e.code, bad[i].code);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_image),           cmocka_unit_test(test_bad),
		cmocka_unit_test(test_too_many_layers), cmocka_unit_test(test_select),
		cmocka_unit_test(test_select_variant),  cmocka_unit_test(test_config),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
