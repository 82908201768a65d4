/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "net/sniff.h"

/* Each fills `ret` but for the protocol. */
void sniff_tls(const uint8_t *data, size_t len, struct sniff *ret);
void sniff_http(const uint8_t *data, size_t len, struct sniff *ret);
