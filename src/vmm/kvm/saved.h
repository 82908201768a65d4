/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file of a saved machine. Little-endian:
 *
 *	 0  8	magic "msb-vm\r\n"
 *	 8  4	version
 *	12  4	CRC-32C of what follows, up to the end of the records
 *	16  8	size of the records
 *	24  8	where the guest's memory begins, a multiple of 2 MiB
 *	32  8	size of the guest's memory, a multiple of 4096
 *	40  4	vCPUs
 *	44  4	devices
 *	48  4	1: with an interval timer
 *	52 12	zero
 *	64	records: u32 type, u32 index, u32 size, u32 zero, `size` bytes, zeroes up to a
 *		multiple of 8
 *	...	zeroes
 *		memory from guest-physical 0 up without the device hole; pages of zeroes are holes
 *
 * Contents of records are structures of KVM's interface and fixed ones of ours, so a file belongs
 * to this version of the program and to hosts like the one that wrote it; whatever does not fit is
 * refused when it is loaded. The checksum does not cover memory, which is never read as a whole: it
 * is mapped, and must not change as long as a machine lives that was made from it.
 */
#pragma once

#include "base/buf.h"
#include "vmm/kvm/ram.h"

enum saved_record {
	SAVED_CLOCK = 1,
	SAVED_IRQCHIP, /* index: of KVM's controllers */
	SAVED_PIT,
	SAVED_PORTS,
	SAVED_DEVICE, /* index: of the device */
	/* index: of the vCPU */
	SAVED_CPUID,
	SAVED_TSC_KHZ,
	SAVED_REGS,
	SAVED_SREGS,
	SAVED_XSAVE,
	SAVED_XCRS,
	SAVED_DEBUGREGS,
	SAVED_LAPIC,
	SAVED_MSRS,
	SAVED_EVENTS,
	SAVED_MP_STATE,
};

struct saved_header {
	char magic[8];
	uint32_t version;
	uint32_t crc;
	uint64_t records_size;
	uint64_t ram_offset;
	uint64_t ram_size;
	uint32_t n_vcpus;
	uint32_t n_devices;
	uint32_t pit;
	uint32_t zero[3];
};

/* What the header tells of a machine. */
struct saved_machine {
	const struct ram *ram;
	unsigned int n_vcpus;
	unsigned int n_devices;
	bool pit;
};

/* --- Writing. */

/* Prepares a buffer for records. */
void saved_init(struct buf *records);
/* 0, or -ENOMEM or -ENOBUFS. */
int saved_add(struct buf *records, enum saved_record type, unsigned int index, const void *data,
	      size_t size);
/* Writes the whole file to the empty regular file `fd`. 0, or -1 with an error. */
int saved_write(int fd, const struct buf *records, const struct saved_machine *m, struct err *e);

/* --- Reading. */

struct saved {
	struct saved_header head;
	uint8_t *records;
};

/* Reads and checks everything but the memory. 0, or -1 with an error; saved_release in both cases.
 */
int saved_open(struct saved *s, int fd, struct err *e);
void saved_release(struct saved *s);
/* The data of a record of exactly `size` bytes, or NULL with an error. */
const void *saved_get(const struct saved *s, enum saved_record type, unsigned int index,
		      size_t size, struct err *e);
/* The same for a record of any size up to `max`. */
const void *saved_get_any(const struct saved *s, enum saved_record type, unsigned int index,
			  size_t max, size_t *ret_size, struct err *e);
