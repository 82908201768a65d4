/* SPDX-License-Identifier: Apache-2.0 */
/* The lines of an answer's head. */
#pragma once

#include "image/http.h"

/* Takes one line, with or without its end; what is not known or makes no sense is passed over. */
void http_header_line(struct http_response *r, const char *line, size_t n);

/*
 * How long Retry-After means from `now` on, both in seconds: a number or a date. 0 for nonsense
 * and for what has passed; bounded by a year.
 */
uint64_t http_retry_after(const char *value, int64_t now);

/* Makes bytes that would do something to a terminal blanks. Returns its argument. */
char *http_clean_text(char *s);
