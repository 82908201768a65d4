/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Whether the text holds certificates in PEM form, and only such as can be read. */
bool pem_holds_certificates(const char *text, size_t len);
