/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page in which msb-vmm counts what a machine does, for its monitor:
 *
 *	  0  image: reads, bytes read, writes, bytes written
 *	 64  the writable disk: the same
 *	128  bytes that the balloon gave back to the host
 *	192  the network: frames and bytes that the guest received, frames and bytes that it sent
 *
 * All are u64 in the host's byte order, begin at 0 and only grow. They are read while threads of
 * msb-vmm count, each by itself: two of them need not belong to the same moment. Whoever reads the
 * page must take each value once and expect any, because msb-vmm is not trusted.
 */
#pragma once

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

struct stats_disk {
	uint64_t reads;
	uint64_t read_bytes;
	uint64_t writes;
	uint64_t written_bytes;
};

struct stats_net {
	uint64_t rx_frames;
	uint64_t rx_bytes; /* without the virtio_net_hdr */
	uint64_t tx_frames;
	uint64_t tx_bytes;
};

/* Each device has a cache line of its own, because it has a thread of its own. */
struct stats_page {
	struct stats_disk image; /* of all read-only disks */
	uint64_t gap0[4];
	struct stats_disk upper; /* of all writable ones */
	uint64_t gap1[4];
	uint64_t balloon_bytes;
	uint64_t gap2[7];
	struct stats_net net;
};

static_assert(offsetof(struct stats_page, upper) == 64, "the layout is as drawn");
static_assert(offsetof(struct stats_page, balloon_bytes) == 128, "the layout is as drawn");
static_assert(offsetof(struct stats_page, net) == 192, "the layout is as drawn");

static inline void stats_add(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

static inline uint64_t stats_read(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}
