/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/kvm/ports.h"

#include "base/clock.h"
#include "vmm/kvm/cmos.h"

/* Of the keyboard controller only what resets the machine: command 0xfe pulses the line. */
#define KEYBOARD_DATA    0x60
#define KEYBOARD_COMMAND 0x64
#define COMMAND_RESET    0xfe

void ports_init(struct ports *p, int console_fd, int serial_irq_fd)
{
	pthread_mutex_init(&p->lock, NULL);
	p->serial = (struct serial){.out_fd = console_fd, .irq_fd = serial_irq_fd};
	p->cmos_index = 0;
}

void ports_release(struct ports *p)
{
	pthread_mutex_destroy(&p->lock);
}

static uint8_t read_byte(struct ports *p, uint16_t port)
{
	if (port >= SERIAL_PORT && port < SERIAL_PORT + SERIAL_PORTS)
		return serial_read(&p->serial, port - SERIAL_PORT);
	switch (port) {
	case CMOS_PORT_DATA:
		return cmos_read(p->cmos_index, (int64_t)(clock_real_ns() / NSEC_PER_SEC));
	case KEYBOARD_DATA:
	case KEYBOARD_COMMAND:
		return 0; /* nothing to read, ready to be written */
	default:
		return 0xff;
	}
}

static bool write_byte(struct ports *p, uint16_t port, uint8_t value)
{
	if (port >= SERIAL_PORT && port < SERIAL_PORT + SERIAL_PORTS)
		serial_write(&p->serial, port - SERIAL_PORT, value);
	else if (port == CMOS_PORT_INDEX)
		p->cmos_index = value;
	return port == KEYBOARD_COMMAND && value == COMMAND_RESET;
}

bool ports_access(struct ports *p, bool write, uint16_t port, uint8_t *data, unsigned int size)
{
	bool reset = false;

	pthread_mutex_lock(&p->lock);
	for (unsigned int i = 0; i < size; i++) {
		uint16_t n = (uint16_t)(port + i);

		if (write)
			reset |= write_byte(p, n, data[i]);
		else
			data[i] = read_byte(p, n);
	}
	pthread_mutex_unlock(&p->lock);
	return reset;
}

void ports_flush(struct ports *p)
{
	pthread_mutex_lock(&p->lock);
	serial_flush(&p->serial);
	pthread_mutex_unlock(&p->lock);
}

void ports_save(struct ports *p, struct ports_state *ret)
{
	pthread_mutex_lock(&p->lock);
	*ret = (struct ports_state){.serial = p->serial.state, .cmos_index = p->cmos_index};
	pthread_mutex_unlock(&p->lock);
}

void ports_load(struct ports *p, const struct ports_state *s)
{
	p->serial.state = s->serial;
	p->cmos_index = s->cmos_index;
}
