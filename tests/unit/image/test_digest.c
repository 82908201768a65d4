/* SPDX-License-Identifier: Apache-2.0 */
#include "../testing.h"

#include "base/crc32c.h"
#include "image/hash.h"
#include "image/store_path.h"

#define ABC "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static void test_text(void **state)
{
	char text[DIGEST_TEXT_LEN];
	struct digest d, other;

	assert_int_equal(digest_parse(ABC, &d), 0);
	digest_format(&d, text);
	assert_string_equal(text, ABC);
	hash_bytes("abc", 3, &other);
	assert_true(digest_eq(&d, &other));
	other.b[31] ^= 1;
	assert_false(digest_eq(&d, &other));
	assert_int_equal(digest_parse(NULL, &d), -EINVAL);
	assert_int_equal(digest_parse("", &d), -EINVAL);
	assert_int_equal(digest_parse(ABC + 7, &d), -EINVAL);
	assert_int_equal(digest_parse(ABC "0", &d), -EINVAL);
	memcpy(text, ABC, sizeof(ABC));
	text[20] = 'F';
	assert_int_equal(digest_parse(text, &d), -EINVAL);
	text[70] = '\0';
	assert_int_equal(digest_parse(text, &d), -EINVAL);
}

static void test_running_hash(void **state)
{
	struct hash *h = hash_new();
	struct digest a, b;

	hash_update(h, "a", 1);
	hash_update(h, "", 0);
	hash_update(h, "bc", 2);
	hash_finish(h, &a);
	hash_bytes("abc", 3, &b);
	assert_true(digest_eq(&a, &b));
	/* It starts over. */
	hash_finish(h, &a);
	hash_bytes("", 0, &b);
	assert_true(digest_eq(&a, &b));
	hash_free(h);
	hash_free(NULL);
}

static void test_crc32c(void **state)
{
	/* The check value of the CRC catalogue, which is inverted at the end. */
	assert_int_equal(~crc32c(~0U, "123456789", 9), 0xe3069283U);
	assert_int_equal(crc32c(crc32c(~0U, "1234", 4), "56789", 5), crc32c(~0U, "123456789", 9));
}

static void test_paths(void **state)
{
	char path[STORE_PATH_LEN];
	struct digest d;

	assert_int_equal(digest_parse(ABC, &d), 0);
	store_path(STORE_LAYER_DATA, &d, path);
	assert_string_equal(path, "layers/sha256_"
				  "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
				  ".data2");
	store_path(STORE_BLOB, &d, path);
	assert_true(str_starts_with(path, "blobs/sha256_ba78"));
	assert_true(str_ends_with(path, "15ad"));
	store_path(STORE_IMAGE, &d, path);
	assert_true(str_starts_with(path, "images/sha256_ba78"));
	assert_true(str_ends_with(path, "15ad.erofs2"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_running_hash),
		cmocka_unit_test(test_crc32c),
		cmocka_unit_test(test_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
