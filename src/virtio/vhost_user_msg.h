/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of the vhost-user protocol, and their transfer over a stream socket. All fields are in
 * host byte order.
 *
 *	u32 request | u32 flags | u32 size | size bytes	(+ descriptors in ancillary data)
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum vhost_user_request {
	VHOST_USER_GET_FEATURES = 1,
	VHOST_USER_SET_FEATURES = 2,
	VHOST_USER_SET_OWNER = 3,
	VHOST_USER_RESET_OWNER = 4,
	VHOST_USER_SET_MEM_TABLE = 5,
	VHOST_USER_SET_VRING_NUM = 8,
	VHOST_USER_SET_VRING_ADDR = 9,
	VHOST_USER_SET_VRING_BASE = 10,
	VHOST_USER_GET_VRING_BASE = 11,
	VHOST_USER_SET_VRING_KICK = 12,
	VHOST_USER_SET_VRING_CALL = 13,
	VHOST_USER_SET_VRING_ERR = 14,
	VHOST_USER_GET_PROTOCOL_FEATURES = 15,
	VHOST_USER_SET_PROTOCOL_FEATURES = 16,
	VHOST_USER_GET_QUEUE_NUM = 17,
	VHOST_USER_SET_VRING_ENABLE = 18,
	VHOST_USER_GET_CONFIG = 24,
	VHOST_USER_SET_CONFIG = 25,
	VHOST_USER_RESET_DEVICE = 34,
	VHOST_USER_GET_MAX_MEM_SLOTS = 36,
	VHOST_USER_ADD_MEM_REG = 37,
	VHOST_USER_REM_MEM_REG = 38,
};

#define VHOST_USER_VERSION         1u
#define VHOST_USER_FLAG_VERSION    3u /* mask */
#define VHOST_USER_FLAG_REPLY      4u
#define VHOST_USER_FLAG_NEED_REPLY 8u

/* Feature bit that announces protocol features, which have bits of their own. */
#define VHOST_USER_F_PROTOCOL_FEATURES        30
#define VHOST_USER_PROTOCOL_F_MQ              0
#define VHOST_USER_PROTOCOL_F_REPLY_ACK       3
#define VHOST_USER_PROTOCOL_F_CONFIG          9
#define VHOST_USER_PROTOCOL_F_RESET_DEVICE    13
#define VHOST_USER_PROTOCOL_F_CONFIGURE_SLOTS 15

/* In the payload of KICK, CALL and ERR: queue index, and whether a descriptor is missing. */
#define VHOST_USER_VRING_INDEX 0xffu
#define VHOST_USER_VRING_NO_FD 0x100u

#define VHOST_USER_REGIONS_MAX 8
#define VHOST_USER_FDS_MAX     8
#define VHOST_USER_CONFIG_MAX  256

struct vhost_user_vring_state {
	uint32_t index;
	uint32_t num;
};

struct vhost_user_vring_addr {
	uint32_t index;
	uint32_t flags;
	uint64_t desc;
	uint64_t used;
	uint64_t avail;
	uint64_t log;
};

struct vhost_user_region {
	uint64_t gpa;
	uint64_t size;
	uint64_t user_addr;
	uint64_t mmap_offset;
};

struct vhost_user_memory {
	uint32_t n;
	uint32_t padding;
	struct vhost_user_region regions[VHOST_USER_REGIONS_MAX];
};

struct vhost_user_mem_reg {
	uint64_t padding;
	struct vhost_user_region region;
};

struct vhost_user_config {
	uint32_t offset;
	uint32_t size;
	uint32_t flags;
	uint8_t data[VHOST_USER_CONFIG_MAX];
};

union vhost_user_payload {
	uint64_t u64;
	struct vhost_user_vring_state state;
	struct vhost_user_vring_addr addr;
	struct vhost_user_memory memory;
	struct vhost_user_mem_reg mem_reg;
	struct vhost_user_config config;
};

struct vhost_user_header {
	uint32_t request;
	uint32_t flags;
	uint32_t size;
};

/* A message on its way in. The descriptors are owned until somebody steals them. */
struct vhost_user_msg {
	struct vhost_user_header h;
	union vhost_user_payload p;
	int fds[VHOST_USER_FDS_MAX];
	unsigned int n_fds;
	size_t got; /* bytes of header and payload so far */
};

void vhost_user_msg_init(struct vhost_user_msg *m);
/* Closes the descriptors and makes the message ready for the next one. */
void vhost_user_msg_reset(struct vhost_user_msg *m);

/*
 * Reads what the non-blocking socket has of the message. 1 when it is complete, 0 when more must
 * come, -ECONNRESET at the end of the stream, -EPROTO for a size, version or number of
 * descriptors that cannot be right.
 */
int vhost_user_msg_read(struct vhost_user_msg *m, int fd);
/* Sends the message's header and `size` bytes of its payload as the reply to itself. */
int vhost_user_msg_reply(struct vhost_user_msg *m, int fd, uint32_t size);
