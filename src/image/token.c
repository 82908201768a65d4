/* SPDX-License-Identifier: Apache-2.0 */
#include "image/token.h"

#include "base/cleanup.h"

#include <string.h>

#include <jansson.h>

#define TOKEN_LEN_MAX (64 * KIB)

/* It becomes part of a header: nothing but visible characters. */
static bool is_token(const char *s)
{
	size_t n = s ? strlen(s) : 0;

	for (const char *p = s; n && *p; p++)
		if (*p <= ' ' || *p > '~')
			return false;
	return n && n <= TOKEN_LEN_MAX;
}

static char *parse_token(const struct http_response *rs)
{
	json_t *root = json_loadb(rs->body, rs->body_len, 0, NULL);
	const char *token = json_string_value(json_object_get(root, "token"));
	char *copy;

	if (!token)
		token = json_string_value(json_object_get(root, "access_token"));
	copy = is_token(token) ? xstrdup(token) : NULL;
	json_decref(root);
	return copy;
}

/* Asks as the identity token's owner. */
static int ask_by_form(struct http *h, const struct token_request *q, struct http_request *rq,
		       const char *query, struct http_response *rs, struct err *e)
{
	_cleanup_secret_ char *refresh = url_escape(q->endpoint->identity_token);
	_cleanup_secret_ char *form =
		xasprintf("grant_type=refresh_token&client_id=msb&refresh_token=%s%s%s", refresh,
			  *query ? "&" : "", query);

	rq->url = q->challenge->realm;
	rq->form = form;
	return http_perform(h, rq, rs, e);
}

static int ask_by_query(struct http *h, const struct token_request *q, struct http_request *rq,
			const char *query, struct http_response *rs, struct err *e)
{
	const char *realm = q->challenge->realm;
	_cleanup_free_ char *url = xasprintf("%s%s%s", realm,
					     !*query              ? ""
					     : strchr(realm, '?') ? "&"
								  : "?",
					     query);

	rq->url = url;
	rq->username = q->endpoint->username;
	rq->password = q->endpoint->password;
	return http_perform(h, rq, rs, e);
}

int token_fetch(struct http *h, const struct token_request *q, char **ret, struct http_response *rs,
		struct err *e)
{
	const char *server = q->endpoint->server, *realm = q->challenge->realm;
	struct http_request rq = {.ca_pem = q->endpoint->ca_pem, .cancel = q->cancel};
	_cleanup_free_ char *scope =
		q->repository ? xasprintf("repository:%s:pull", q->repository) : NULL;
	_cleanup_free_ char *query = challenge_query(q->challenge, scope);
	int r;

	*rs = (struct http_response){0};
	if (!str_starts_with(realm, "https://") && !(q->plain && str_starts_with(realm, "http://")))
		return err_set(e, ERR_NETWORK,
			       "'%s' asks for a login in a way that is not supported", server);
	r = q->endpoint->identity_token ? ask_by_form(h, q, &rq, query, rs, e)
					: ask_by_query(h, q, &rq, query, rs, e);
	if (r < 0)
		return err_wrap(e, "no access token for '%s'", server);
	*ret = rs->status == 200 ? parse_token(rs) : NULL;
	if (*ret)
		return 0;
	rs->transient = rs->status >= 500 || rs->status == 408 || rs->status == 429;
	if (rs->status >= 400 && rs->status < 500 && !rs->transient)
		return err_set(e, ERR_AUTH, "'%s' refuses an access token (status %ld)", server,
			       rs->status);
	return err_set(e, ERR_NETWORK, "'%s' gives no access token (status %ld)", server,
		       rs->status);
}
