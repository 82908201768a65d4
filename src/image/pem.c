/* SPDX-License-Identifier: Apache-2.0 */
/* Apart from the rest, because OpenSSL and base/err.h both have an ERR_STATE. */
#include "image/pem.h"

#include <limits.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

bool pem_holds_certificates(const char *text, size_t len)
{
	BIO *bio = len <= INT_MAX ? BIO_new_mem_buf(text, (int)len) : NULL;
	unsigned long why;
	size_t n = 0;
	X509 *cert;

	if (!bio)
		return false;
	ERR_clear_error();
	while ((cert = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
		X509_free(cert);
		n++;
	}
	why = ERR_peek_last_error();
	ERR_clear_error();
	BIO_free(bio);
	/* At the end there is no further line that begins one; anything else is damage. */
	return n && ERR_GET_LIB(why) == ERR_LIB_PEM && ERR_GET_REASON(why) == PEM_R_NO_START_LINE;
}
