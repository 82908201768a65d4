/* SPDX-License-Identifier: Apache-2.0 */
/*
 *	floating pointer	16 bytes, found by its signature in the last KiB of low memory
 *	table header		44 bytes
 *	a processor each	20 bytes
 *	bus (ISA)		 8 bytes
 *	I/O APIC		 8 bytes
 *	an interrupt each	 8 bytes: ISA line n is pin n; the devices use the pins above 15
 *	local interrupts	 8 bytes each: LINT0 takes the old controller, LINT1 the NMI
 */
#include "vmm/kvm/mptable.h"

#include "base/util.h"
#include "vmm/kvm/layout.h"
#include "vmm/machine.h"

#include <assert.h>
#include <string.h>

#define LAPIC_VERSION  0x14
#define IOAPIC_VERSION 0x11
#define CPU_ENABLED    1
#define CPU_BOOT       2
#define APIC_USABLE    1
#define ALL_APICS      0xff

#define LOCAL_INTERRUPTS 2

enum entry_type { ENTRY_CPU, ENTRY_BUS, ENTRY_IOAPIC, ENTRY_INTERRUPT, ENTRY_LOCAL_INTERRUPT };
enum interrupt_type { INTERRUPT_INT = 0, INTERRUPT_NMI = 1, INTERRUPT_EXTINT = 3 };

struct floating_pointer {
	char signature[4];
	uint32_t table;
	uint8_t length; /* in units of 16 bytes */
	uint8_t revision;
	uint8_t checksum;
	uint8_t features[5];
};

struct table_header {
	char signature[4];
	uint16_t length;
	uint8_t revision;
	uint8_t checksum;
	char oem[8];
	char product[12];
	uint32_t oem_table;
	uint16_t oem_size;
	uint16_t entries;
	uint32_t lapic;
	uint16_t extended_length;
	uint8_t extended_checksum;
	uint8_t reserved;
};

struct cpu_entry {
	uint8_t type;
	uint8_t apic_id;
	uint8_t apic_version;
	uint8_t flags;
	uint32_t signature;
	uint32_t features;
	uint32_t reserved[2];
};

struct bus_entry {
	uint8_t type;
	uint8_t id;
	char name[6];
};

struct ioapic_entry {
	uint8_t type;
	uint8_t id;
	uint8_t version;
	uint8_t flags;
	uint32_t address;
};

struct interrupt_entry {
	uint8_t type;
	uint8_t kind;
	uint16_t flags; /* 0: as the bus has it, which for ISA is edge, active high */
	uint8_t bus;
	uint8_t line;
	uint8_t apic_id;
	uint8_t pin;
};

static_assert(sizeof(struct floating_pointer) == 16, "as in the specification");
static_assert(sizeof(struct table_header) == 44, "as in the specification");
static_assert(sizeof(struct cpu_entry) == 20, "as in the specification");
static_assert(sizeof(struct interrupt_entry) == 8, "as in the specification");

static_assert(sizeof(struct floating_pointer) + sizeof(struct table_header) +
			      MACHINE_CPUS_MAX * sizeof(struct cpu_entry) +
			      sizeof(struct bus_entry) + sizeof(struct ioapic_entry) +
			      (IOAPIC_PINS + LOCAL_INTERRUPTS) * sizeof(struct interrupt_entry) <=
		      GUEST_MPTABLE_SIZE,
	      "the largest table fits");

struct writer {
	uint8_t *start;
	size_t length;
	uint16_t entries;
};

static void append(struct writer *w, const void *entry, size_t size)
{
	memcpy(w->start + w->length, entry, size);
	w->length += size;
	w->entries++;
}

static uint8_t checksum(const void *data, size_t size)
{
	const uint8_t *p = data;
	uint8_t sum = 0;

	while (size--)
		sum = (uint8_t)(sum + *p++);
	return (uint8_t)-sum;
}

static void append_interrupts(struct writer *w, uint8_t ioapic_id)
{
	static const uint8_t local[LOCAL_INTERRUPTS] = {INTERRUPT_EXTINT, INTERRUPT_NMI};

	for (uint8_t pin = 0; pin < IOAPIC_PINS; pin++)
		append(w,
		       &(struct interrupt_entry){
			       .type = ENTRY_INTERRUPT,
			       .kind = INTERRUPT_INT,
			       .line = pin,
			       .apic_id = ioapic_id,
			       .pin = pin,
		       },
		       sizeof(struct interrupt_entry));
	for (uint8_t lint = 0; lint < LOCAL_INTERRUPTS; lint++)
		append(w,
		       &(struct interrupt_entry){
			       .type = ENTRY_LOCAL_INTERRUPT,
			       .kind = local[lint],
			       .apic_id = local[lint] == INTERRUPT_NMI ? ALL_APICS : 0,
			       .pin = lint,
		       },
		       sizeof(struct interrupt_entry));
}

void mptable_write(uint8_t *p, unsigned int cpus, uint32_t signature, uint32_t features)
{
	uint8_t ioapic_id = (uint8_t)cpus;
	struct floating_pointer fp = {
		.signature = "_MP_",
		.table = (uint32_t)GUEST_MPTABLE + sizeof(fp),
		.length = 1,
		.revision = 4,
	};
	struct table_header h = {
		.signature = "PCMP",
		.revision = 4,
		.oem = "MICROSBX",
		.product = "SANDBOX     ",
		.lapic = GUEST_LAPIC,
	};
	struct writer w = {.start = p + sizeof(fp), .length = sizeof(h)};

	for (unsigned int i = 0; i < cpus; i++)
		append(&w,
		       &(struct cpu_entry){
			       .type = ENTRY_CPU,
			       .apic_id = (uint8_t)i,
			       .apic_version = LAPIC_VERSION,
			       .flags = (uint8_t)(CPU_ENABLED | (i == 0 ? CPU_BOOT : 0)),
			       .signature = signature,
			       .features = features,
		       },
		       sizeof(struct cpu_entry));
	append(&w, &(struct bus_entry){.type = ENTRY_BUS, .name = "ISA   "},
	       sizeof(struct bus_entry));
	append(&w,
	       &(struct ioapic_entry){
		       .type = ENTRY_IOAPIC,
		       .id = ioapic_id,
		       .version = IOAPIC_VERSION,
		       .flags = APIC_USABLE,
		       .address = GUEST_IOAPIC,
	       },
	       sizeof(struct ioapic_entry));
	append_interrupts(&w, ioapic_id);
	h.length = (uint16_t)w.length;
	h.entries = w.entries;
	memcpy(w.start, &h, sizeof(h));
	h.checksum = checksum(w.start, w.length);
	memcpy(w.start, &h, sizeof(h));
	fp.checksum = checksum(&fp, sizeof(fp));
	memcpy(p, &fp, sizeof(fp));
}
