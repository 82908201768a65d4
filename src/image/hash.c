/* SPDX-License-Identifier: Apache-2.0 */
#include "image/hash.h"

#include "base/util.h"

#include <stdio.h>
#include <stdlib.h>

#include <openssl/evp.h>

struct hash {
	EVP_MD_CTX *ctx;
};

/* OpenSSL fails here only without memory or without its default provider: nothing to go on with. */
static void check(int ok)
{
	if (ok == 1)
		return;
	fputs("msb-image: SHA-256 is not available\n", stderr);
	abort();
}

struct hash *hash_new(void)
{
	struct hash *h = xmalloc(sizeof(*h));

	h->ctx = EVP_MD_CTX_new();
	check(h->ctx != NULL);
	check(EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL));
	return h;
}

struct hash *hash_free(struct hash *h)
{
	if (h)
		EVP_MD_CTX_free(h->ctx);
	free(h);
	return NULL;
}

void hash_update(struct hash *h, const void *data, size_t n)
{
	check(EVP_DigestUpdate(h->ctx, data, n));
}

void hash_finish(struct hash *h, struct digest *ret)
{
	check(EVP_DigestFinal_ex(h->ctx, ret->b, NULL));
	check(EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL));
}

void hash_bytes(const void *data, size_t n, struct digest *ret)
{
	check(EVP_Digest(data, n, ret->b, NULL, EVP_sha256(), NULL));
}
