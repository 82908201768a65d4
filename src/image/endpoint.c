/* SPDX-License-Identifier: Apache-2.0 */
#include "image/endpoint.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "image/pem.h"
#include "image/reference.h"

#include <fcntl.h>
#include <string.h>

#include <jansson.h>

#define CA_FILE_MAX  (4 * MIB)
#define CA_TOTAL_MAX (16 * MIB)
#define HUB_ADDRESS  "registry-1.docker.io"

/* --- certificates -------------------------------------------------------------------------- */

static int add_ca_file(struct buf *pem, const char *path, struct err *e)
{
	_cleanup_free_ char *text = NULL;
	size_t len;
	int r = read_file(AT_FDCWD, path, CA_FILE_MAX, &text, &len);

	if (r < 0) {
		err_sys(e, -r, "cannot read the CA certificates '%s'", path);
		if (e)
			e->code = ERR_INVALID;
		return -1;
	}
	if (!pem_holds_certificates(text, len))
		return err_set(e, ERR_INVALID, "there are no PEM certificates in '%s'", path);
	if (buf_append(pem, text, len) < 0 || buf_append(pem, "\n", 1) < 0)
		return err_set(e, ERR_INVALID, "the CA certificates are too large");
	return 0;
}

static int read_ca_files(struct endpoint *ep, json_t *files, struct err *e)
{
	const char *system = secure_getenv("SSL_CERT_FILE");
	struct buf pem;
	json_t *file;
	size_t i;
	int r = 0;

	if (!json_array_size(files))
		return 0;
	buf_init(&pem, CA_TOTAL_MAX);
	json_array_foreach (files, i, file)
		if (r == 0)
			r = json_is_string(file)
				    ? add_ca_file(&pem, json_string_value(file), e)
				    : err_set(e, ERR_USAGE, "'ca_certs' is not a list of files");
	/* Given to the TLS library this way, they would take the place of that file. */
	if (r == 0 && system && *system)
		r = add_ca_file(&pem, system, e);
	if (r == 0)
		ep->ca_pem = xstrndup((const char *)buf_data(&pem), buf_len(&pem));
	buf_release(&pem);
	return r;
}

/* --- endpoints ----------------------------------------------------------------------------- */

static void set_server(struct endpoint *ep, const char *server, bool insecure)
{
	ep->server = xstrdup(server);
	ep->address = xstrdup(str_eq(server, REFERENCE_DEFAULT_HOST) ? HUB_ADDRESS : server);
	ep->plain_first = insecure || reference_host_is_loopback(server);
}

static char *copy_text(const char *s)
{
	return s ? xstrdup(s) : NULL;
}

static int parse_endpoint(struct endpoint *ep, json_t *j, struct err *e)
{
	const char *server = NULL, *prefix = "", *scheme = NULL;
	const char *username = NULL, *password = NULL, *token = NULL;
	json_t *ca_certs = NULL;
	int insecure = 0;

	if (json_unpack(j, "{s:s, s?s, s?s, s?b, s?o, s?s, s?s, s?s !}", "server", &server,
			"prefix", &prefix, "scheme", &scheme, "insecure", &insecure, "ca_certs",
			&ca_certs, "username", &username, "password", &password, "identity_token",
			&token) < 0 ||
	    !username != !password)
		return err_set(e, ERR_USAGE, "the list of registries is malformed");
	set_server(ep, server, insecure);
	ep->prefix = xstrdup(prefix);
	ep->plain_only = str_eq(scheme, "http");
	ep->plain_first = ep->plain_only || (!scheme && ep->plain_first);
	ep->username = copy_text(username);
	ep->password = copy_text(password);
	ep->identity_token = copy_text(token);
	return read_ca_files(ep, ca_certs, e);
}

int endpoints_parse(const char *text, size_t len, struct endpoints *ret, struct err *e)
{
	json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	json_t *list = json_object_get(root, "endpoints"), *item;
	size_t n = json_array_size(list), i;
	int r = 0;

	*ret = (struct endpoints){0};
	if (n == 0 || n > ENDPOINTS_MAX) {
		json_decref(root);
		return err_set(e, ERR_USAGE, "the list of registries is malformed");
	}
	ret->items = xcalloc(n, sizeof(*ret->items));
	json_array_foreach (list, i, item) {
		ret->n++;
		if (r == 0)
			r = parse_endpoint(&ret->items[i], item, e);
	}
	json_decref(root);
	if (r < 0)
		endpoints_release(ret);
	return r;
}

void endpoints_default(const char *server, struct endpoints *ret)
{
	ret->items = xcalloc(1, sizeof(*ret->items));
	ret->n = 1;
	set_server(&ret->items[0], server, false);
	ret->items[0].prefix = xstrdup("");
}

void endpoints_release(struct endpoints *es)
{
	for (size_t i = 0; i < es->n; i++) {
		struct endpoint *ep = &es->items[i];

		free(ep->server);
		free(ep->address);
		free(ep->prefix);
		free(ep->ca_pem);
		free(ep->username);
		secret_free(ep->password);
		secret_free(ep->identity_token);
	}
	free(es->items);
	*es = (struct endpoints){0};
}
