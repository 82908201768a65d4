/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/kvm/saved.h"

#include "base/crc32c.h"
#include "base/io.h"
#include "vmm/machine.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC       "msb-vm\r\n"
#define VERSION     1
#define RECORDS_MAX (8 * MIB)
#define RAM_ALIGN   (2 * MIB)
#define CRC_START   16 /* of the header */
#define ALIGNMENT   8
#define PAGE        4096ULL
#define CHUNK       (64 * KIB)
#define DEVICES_MAX 64

static_assert(sizeof(struct saved_header) == 64, "as drawn");

struct record {
	uint32_t type;
	uint32_t index;
	uint32_t size;
	uint32_t zero;
};

/* --- Writing. */

void saved_init(struct buf *records)
{
	buf_init(records, RECORDS_MAX);
}

int saved_add(struct buf *records, enum saved_record type, unsigned int index, const void *data,
	      size_t size)
{
	static const uint8_t zeroes[ALIGNMENT];
	struct record r = {(uint32_t)type, index, (uint32_t)size, 0};
	int error = buf_append(records, &r, sizeof(r));

	if (error == 0)
		error = buf_append(records, data, size);
	if (error == 0)
		error = buf_append(records, zeroes, ALIGN_UP(size, ALIGNMENT) - size);
	return error;
}

static bool is_zero(const uint8_t *p, size_t size)
{
	return p[0] == 0 && memcmp(p, p + 1, size - 1) == 0;
}

/* Neighbouring chunks go out together; the holes are what ftruncate left. */
static int write_ram(int fd, uint64_t offset, const struct ram *ram)
{
	uint64_t start = 0, end = 0; /* to be written */

	for (uint64_t at = 0; at < ram->size; at += CHUNK) {
		uint64_t size = MIN(CHUNK, ram->size - at);
		int r;

		if (is_zero(ram->host + at, (size_t)size))
			continue;
		if (at != end && end > start) {
			r = pwrite_full(fd, ram->host + start, (size_t)(end - start),
					offset + start);
			if (r < 0)
				return r;
		}
		if (at != end)
			start = at;
		end = at + size;
	}
	return end > start
		       ? pwrite_full(fd, ram->host + start, (size_t)(end - start), offset + start)
		       : 0;
}

/* #syscalls:kvm ftruncate pwrite64 */
int saved_write(int fd, const struct buf *records, const struct saved_machine *m, struct err *e)
{
	struct saved_header h = {
		.magic = MAGIC,
		.version = VERSION,
		.records_size = buf_len(records),
		.ram_offset = ALIGN_UP(sizeof(h) + buf_len(records), RAM_ALIGN),
		.ram_size = m->ram->size,
		.n_vcpus = m->n_vcpus,
		.n_devices = m->n_devices,
		.pit = m->pit,
	};
	int r;

	h.crc = crc32c(~0U, (uint8_t *)&h + CRC_START, sizeof(h) - CRC_START);
	h.crc = crc32c(h.crc, buf_data(records), buf_len(records));
	if (ftruncate(fd, (off_t)(h.ram_offset + h.ram_size)) < 0)
		return err_sys(e, errno, "the machine cannot be saved");
	r = write_ram(fd, h.ram_offset, m->ram);
	if (r == 0)
		r = pwrite_full(fd, buf_data(records), buf_len(records), sizeof(h));
	/* Last, so that a file that was not finished is none. */
	if (r == 0)
		r = pwrite_full(fd, &h, sizeof(h), 0);
	return r < 0 ? err_sys(e, -r, "the machine cannot be saved") : 0;
}

/* --- Reading. */

static int check_header(const struct saved_header *h, int fd, struct err *e)
{
	struct stat st;

	if (memcmp(h->magic, MAGIC, sizeof(h->magic)) != 0)
		return err_set(e, ERR_INVALID, "this is not a saved machine");
	if (h->version != VERSION)
		return err_set(e, ERR_UNSUPPORTED,
			       "the machine was saved by another version (format %u, not %u)",
			       h->version, VERSION);
	if (fstat(fd, &st) < 0)
		return err_sys(e, errno, "the saved machine cannot be read");
	if (h->records_size > RECORDS_MAX || h->ram_offset % RAM_ALIGN ||
	    h->ram_offset < sizeof(*h) + h->records_size || h->ram_size == 0 ||
	    h->ram_size % PAGE || h->ram_size > (uint64_t)st.st_size ||
	    h->ram_offset > (uint64_t)st.st_size - h->ram_size || h->n_vcpus == 0 ||
	    h->n_vcpus > MACHINE_CPUS_MAX || h->n_devices > DEVICES_MAX || h->pit > 1)
		return err_set(e, ERR_CORRUPT, "the saved machine is damaged");
	return 0;
}

/* Every record lies within the whole; afterwards they can be walked without looking. */
static bool valid_records(const struct saved *s)
{
	uint64_t left = s->head.records_size;
	const uint8_t *p = s->records;

	while (left) {
		struct record r;
		uint64_t total;

		if (left < sizeof(r))
			return false;
		memcpy(&r, p, sizeof(r));
		total = sizeof(r) + ALIGN_UP((uint64_t)r.size, ALIGNMENT);
		if (total > left)
			return false;
		p += total;
		left -= total;
	}
	return true;
}

int saved_open(struct saved *s, int fd, struct err *e)
{
	struct saved_header *h = &s->head;
	uint32_t crc;
	ssize_t n;

	*s = (struct saved){};
	n = pread_full(fd, h, sizeof(*h), 0);
	if (n < 0)
		return err_sys(e, (int)-n, "the saved machine cannot be read");
	if (n < (ssize_t)sizeof(*h))
		return err_set(e, ERR_INVALID, "this is not a saved machine");
	if (check_header(h, fd, e) < 0)
		return -1;
	s->records = malloc((size_t)h->records_size + 1);
	if (!s->records)
		return err_sys(e, ENOMEM, "the saved machine cannot be read");
	n = pread_full(fd, s->records, (size_t)h->records_size, sizeof(*h));
	if (n < 0)
		return err_sys(e, (int)-n, "the saved machine cannot be read");
	crc = crc32c(~0U, (uint8_t *)h + CRC_START, sizeof(*h) - CRC_START);
	if ((uint64_t)n < h->records_size || crc32c(crc, s->records, (size_t)n) != h->crc ||
	    !valid_records(s))
		return err_set(e, ERR_CORRUPT, "the saved machine is damaged");
	return 0;
}

void saved_release(struct saved *s)
{
	free(s->records);
	*s = (struct saved){};
}

const void *saved_get_any(const struct saved *s, enum saved_record type, unsigned int index,
			  size_t max, size_t *ret_size, struct err *e)
{
	const uint8_t *p = s->records, *end = p + s->head.records_size;
	struct record r;

	for (; p < end; p += sizeof(r) + ALIGN_UP((size_t)r.size, ALIGNMENT)) {
		memcpy(&r, p, sizeof(r));
		if (r.type != (uint32_t)type || r.index != index)
			continue;
		if (r.size > max)
			break;
		*ret_size = r.size;
		return p + sizeof(r);
	}
	err_set(e, ERR_CORRUPT, "the saved machine lacks a part (%d, %u)", type, index);
	return NULL;
}

const void *saved_get(const struct saved *s, enum saved_record type, unsigned int index,
		      size_t size, struct err *e)
{
	size_t found;
	const void *p = saved_get_any(s, type, index, size, &found, e);

	if (p && found != size) {
		err_set(e, ERR_CORRUPT, "the saved machine has a part of a wrong size (%d, %u)",
			type, index);
		return NULL;
	}
	return p;
}
