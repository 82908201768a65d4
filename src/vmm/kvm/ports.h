/* SPDX-License-Identifier: Apache-2.0 */
/* The I/O ports of the machine: serial port, real-time clock, and the line that resets it. */
#pragma once

#include "vmm/kvm/serial.h"

#include <pthread.h>

struct ports {
	pthread_mutex_t lock; /* any vCPU may use any port */
	struct serial serial;
	uint8_t cmos_index;
};

void ports_init(struct ports *p, int console_fd, int serial_irq_fd);
void ports_release(struct ports *p);

/*
 * An access of `size` (1, 2 or 4) bytes, which are as many consecutive ports. Ports where nothing
 * is read as ones. True when the guest asked for a reset by it.
 */
bool ports_access(struct ports *p, bool write, uint16_t port, uint8_t *data, unsigned int size);
/* Passes on what the console has of its last line. */
void ports_flush(struct ports *p);

/* What the guest sees of it, as it is kept in a saved machine. */
struct ports_state {
	struct serial_state serial;
	uint8_t cmos_index;
	uint8_t zero[7];
};

void ports_save(struct ports *p, struct ports_state *ret);
void ports_load(struct ports *p, const struct ports_state *s);
