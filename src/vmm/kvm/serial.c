/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/kvm/serial.h"

#include "base/io.h"

#include <errno.h>
#include <linux/serial_reg.h>
#include <poll.h>
#include <unistd.h>

#define MSR_ALWAYS (UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS)
#define MCR_MASK   0x1f
#define IER_MASK   0x0f

/* The signal that comes with `cancelled` may be there before the wait, and does not end it then. */
#define LOOK_AGAIN_MS 50

/* False when there is no room and nobody wants it to wait any longer. */
static bool wait_for_room(const struct serial *s)
{
	struct pollfd out = {.fd = s->out_fd, .events = POLLOUT};

	while (poll(&out, 1, s->cancelled ? 0 : LOOK_AGAIN_MS) <= 0)
		if (s->cancelled)
			return false;
	return true;
}

/*
 * Waits for a slow reader, which then slows the guest down, as a real line would. A pipe that can
 * be written has room for all of a line.
 *
 * #syscalls:vcpu poll write
 * #syscalls?:kvm poll write -- a console that stops within a line
 */
static void write_out(struct serial *s, const char *p, size_t n)
{
	while (n && s->out_fd >= 0 && wait_for_room(s)) {
		ssize_t w = write(s->out_fd, p, n);

		/* Without a reader the rest of the output is nobody's. */
		if (w < 0 && errno != EINTR && errno != EAGAIN)
			s->out_fd = -1;
		if (w > 0) {
			p += w;
			n -= (size_t)w;
		}
	}
}

void serial_flush(struct serial *s)
{
	write_out(s, s->line, s->line_len);
	s->line_len = 0;
}

static void put_byte(struct serial *s, char c)
{
	s->line[s->line_len++] = c;
	if (c == '\n') {
		size_t n = s->line_len - 1;

		write_out(s, s->line, s->line_len);
		while (n && s->line[n - 1] == '\r')
			n--;
		s->line[n] = '\0';
		if (n && s->on_line)
			s->on_line(s->ctx, s->line);
		s->line_len = 0;
	} else if (s->line_len == SERIAL_LINE - 1) {
		serial_flush(s);
	}
}

/* The holding register is always empty: what is written is gone at once. */
static void update_irq(struct serial *s)
{
	if ((s->state.ier & UART_IER_THRI) && s->state.thr_empty_pending)
		event_signal(s->irq_fd);
}

static bool divisor_latch(const struct serial *s)
{
	return s->state.lcr & UART_LCR_DLAB;
}

static uint8_t read_iir(struct serial *s)
{
	uint8_t fifo = s->state.fcr & UART_FCR_ENABLE_FIFO ? 0xc0 : 0;

	if (!(s->state.ier & UART_IER_THRI) || !s->state.thr_empty_pending)
		return fifo | UART_IIR_NO_INT;
	s->state.thr_empty_pending = false;
	return fifo | UART_IIR_THRI;
}

/* In loop mode the modem's inputs are our own outputs: the driver finds the port by that. */
static uint8_t read_msr(const struct serial *s)
{
	uint8_t msr = 0;

	if (!(s->state.mcr & UART_MCR_LOOP))
		return MSR_ALWAYS;
	if (s->state.mcr & UART_MCR_RTS)
		msr |= UART_MSR_CTS;
	if (s->state.mcr & UART_MCR_DTR)
		msr |= UART_MSR_DSR;
	if (s->state.mcr & UART_MCR_OUT1)
		msr |= UART_MSR_RI;
	if (s->state.mcr & UART_MCR_OUT2)
		msr |= UART_MSR_DCD;
	return msr;
}

uint8_t serial_read(struct serial *s, unsigned int reg)
{
	switch (reg) {
	case UART_RX:
		return divisor_latch(s) ? s->state.dll : 0;
	case UART_IER:
		return divisor_latch(s) ? s->state.dlm : s->state.ier;
	case UART_IIR:
		return read_iir(s);
	case UART_LCR:
		return s->state.lcr;
	case UART_MCR:
		return s->state.mcr;
	case UART_LSR:
		return UART_LSR_THRE | UART_LSR_TEMT;
	case UART_MSR:
		return read_msr(s);
	default:
		return s->state.scr;
	}
}

void serial_write(struct serial *s, unsigned int reg, uint8_t value)
{
	switch (reg) {
	case UART_TX:
		if (divisor_latch(s)) {
			s->state.dll = value;
			break;
		}
		if (!(s->state.mcr & UART_MCR_LOOP))
			put_byte(s, (char)value);
		s->state.thr_empty_pending = true;
		update_irq(s);
		break;
	case UART_IER:
		if (divisor_latch(s)) {
			s->state.dlm = value;
			break;
		}
		if (!(s->state.ier & UART_IER_THRI) && (value & UART_IER_THRI))
			s->state.thr_empty_pending = true;
		s->state.ier = value & IER_MASK;
		update_irq(s);
		break;
	case UART_FCR:
		s->state.fcr = value;
		break;
	case UART_LCR:
		s->state.lcr = value;
		break;
	case UART_MCR:
		s->state.mcr = value & MCR_MASK;
		break;
	case UART_SCR:
		s->state.scr = value;
		break;
	default:
		break;
	}
}
