/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "net/sniff.h"

/* Each fills `ret`. */
void sniff_tls(const uint8_t *data, size_t len, struct sniff *ret);
void sniff_http(const uint8_t *data, size_t len, struct sniff *ret);
/* May it be part of a method or of a header's name? */
bool sniff_is_token(uint8_t c);
