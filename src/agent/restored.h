/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine goes on from a saved state: what the agent must put right in the guest, so that its
 * clock is the host's again and its random numbers are not those of the machine's twins.
 */
#pragma once

#include "proto/message.h"

/*
 * Carries out the request `restored`; `random_fd` is the kernel's random device. 0, or -1 with an
 * error; nothing is changed by a malformed request.
 */
int restored(json_t *request, int random_fd, struct err *e);
