/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Real-time clock of the MC146818 kind: tells the host's time (UTC, BCD, 24 hours), cannot be set
 * and has no alarm. Kernels look for it at boot, and one that never says "no update in progress"
 * costs Linux seconds.
 */
#pragma once

#include <stdint.h>

#define CMOS_PORT_INDEX 0x70
#define CMOS_PORT_DATA  0x71

/* The register `index` at the time `now` (seconds since 1970, not before). */
uint8_t cmos_read(uint8_t index, int64_t now);
