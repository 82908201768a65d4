/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of saved machines. An input is u8 flags, the size of the file (u16, in 64 KiB), and what it
 * starts with: the header and the records. Checksums do not come about by chance, so they are put
 * right if the flags say so.
 */
#include "fuzz.h"

#include "base/crc32c.h"
#include "vmm/kvm/saved.h"

#include <sys/mman.h>

#define MEND 1 /* magic, version, checksum */

#define INDEX_MAX     3
#define SIZE_MAX_HERE 256

static void mend(uint8_t *file, size_t n)
{
	struct saved_header *h = (struct saved_header *)file;

	memcpy(h->magic, "msb-vm\r\n", sizeof(h->magic));
	h->version = 1;
	if (h->records_size > n - sizeof(*h))
		h->records_size = n - sizeof(*h);
	h->crc = crc32c(~0U, file + 16, sizeof(*h) - 16 + h->records_size);
}

static void check_record(const struct saved *s, enum saved_record type, unsigned int index)
{
	const uint8_t *end = s->records + s->head.records_size, *p;
	struct err e = {};
	size_t size;

	p = saved_get_any(s, type, index, SIZE_MAX_HERE, &size, &e);
	if (!p) {
		CHECK(e.code == ERR_CORRUPT);
		CHECK(!saved_get(s, type, index, SIZE_MAX_HERE, NULL));
		return;
	}
	CHECK(e.code == ERR_NONE && size <= SIZE_MAX_HERE);
	CHECK(p > s->records && p <= end && size <= (size_t)(end - p));
	CHECK(saved_get(s, type, index, size, NULL) == p);
	CHECK(!saved_get(s, type, index, size + 1, NULL));
}

static void check(const struct saved *s, uint64_t file_size)
{
	const struct saved_header *h = &s->head;

	CHECK(h->ram_size && h->ram_size % 4096 == 0 && h->ram_size <= file_size);
	CHECK(h->ram_offset % (2 * MIB) == 0 && h->ram_offset <= file_size - h->ram_size);
	CHECK(h->ram_offset >= sizeof(*h) + h->records_size);
	CHECK(h->n_vcpus > 0 && h->n_vcpus <= 32 && h->pit <= 1);
	for (unsigned int type = 0; type <= SAVED_MP_STATE + 1; type++)
		for (unsigned int index = 0; index <= INDEX_MAX; index++)
			check_record(s, (enum saved_record)type, index);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct input in = {data, n};
	uint8_t flags = take8(&in), *file;
	uint64_t size = take16(&in) * 64 * KIB;
	struct err e = {};
	struct saved s;
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	n = in.n;
	file = malloc(n + 1);
	CHECK(fd >= 0 && file);
	take(&in, file, n);
	if ((flags & MEND) && n >= sizeof(struct saved_header))
		mend(file, n);
	CHECK(pwrite(fd, file, n, 0) == (ssize_t)n);
	CHECK(ftruncate(fd, (off_t)size) == 0);
	if (saved_open(&s, fd, &e) == 0)
		check(&s, size);
	else
		CHECK(e.code != ERR_NONE && e.msg[0]);
	saved_release(&s);
	CHECK(!s.records);
	free(file);
	close(fd);
	return 0;
}
