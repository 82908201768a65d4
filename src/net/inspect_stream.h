/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream in front of another one that does not exist yet: takes the guest's first bytes, finds
 * out which host they name, asks whether that may be, and only then has the real connection made.
 * TLS interception will sit at the same place.
 */
#pragma once

#include "base/loop.h"
#include "net/policy.h"
#include "net/sniff.h"
#include "net/stream.h"

/*
 * The decision: NULL (with errno; EPERM: denied) or the stream to go on with, whose `opened` is yet
 * to come. `claimed` is a name with CLAIM_NAME, otherwise NULL.
 */
typedef struct stream *inspect_decide_fn(void *ctx, enum policy_claim claim, const char *claimed);

/*
 * It is open at once for the guest (opened(0) follows by the loop). `token` is copied
 * (INSPECT_TOKEN_MAX) and handed to `decide` as its ctx. Bytes that take longer than 10 s to name a
 * host count as hidden. NULL: no memory.
 */
#define INSPECT_TOKEN_MAX 64
struct stream *inspect_stream_new(struct loop *loop, inspect_decide_fn *decide, const void *token,
				  size_t token_len);
