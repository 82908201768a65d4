/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Serial port of the 16550A kind: the guest kernel's console, output only. What the guest writes is
 * passed on line by line; a partial line goes out at the end, or when it gets long.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SERIAL_PORT  0x3f8
#define SERIAL_PORTS 8
#define SERIAL_LINE  512

/* The registers; any values are harmless. */
struct serial_state {
	uint8_t ier, lcr, mcr, scr, dll, dlm, fcr;
	uint8_t thr_empty_pending; /* the interrupt for an empty holding register is due */
};

struct serial {
	int out_fd; /* not owned; -1: output is dropped */
	int irq_fd; /* eventfd, not owned */
	/* Told of each line, without its end; the text is the guest's. */
	void (*on_line)(void *ctx, const char *line);
	void *ctx;
	_Atomic bool cancelled; /* a write that has to wait for the reader gives up */
	struct serial_state state;
	char line[SERIAL_LINE];
	size_t line_len;
};

/* One access at register `reg` (0 to 7); the caller serialises. */
uint8_t serial_read(struct serial *s, unsigned int reg);
void serial_write(struct serial *s, unsigned int reg, uint8_t value);
/* Writes out what is left of the last line. */
void serial_flush(struct serial *s);
