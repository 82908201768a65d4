/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one page that Prometheus fetches, over HTTP on the loopback interface: GET /metrics, anything
 * else is not found.
 *
 * That is far less than HTTP, which is why there is no library behind it: what is read of a request
 * is its first line, compared with one text, and every answer ends its connection. The library that
 * Debian has for it (libmicrohttpd) comes with GnuTLS and seven more libraries.
 */
#pragma once

#include "base/err.h"

#include <stdio.h>

/*
 * Listens at "127.0.0.1:PORT" or "[::1]:PORT"; other addresses than loopback ones are refused. A
 * descriptor, or -1; `ret_url` gets the page's address with the real port.
 */
int metrics_http_listen(const char *address, char ret_url[80], struct err *e);

/*
 * Serves until SIGINT or SIGTERM comes, and closes `fd`. For each request `write_page` writes the
 * body; -1 from it gives status 500. 0, or -1 when waiting fails.
 */
int metrics_http_serve(int fd, int (*write_page)(void *ctx, FILE *out), void *ctx, struct err *e);
