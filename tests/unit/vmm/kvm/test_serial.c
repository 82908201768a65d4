/* SPDX-License-Identifier: Apache-2.0 */
#include "../../testing.h"

#include "vmm/kvm/serial.h"

#include <linux/serial_reg.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>

struct port {
	struct serial s;
	int reader;
	char lines[8][SERIAL_LINE];
	unsigned int n_lines;
};

static void on_line(void *ctx, const char *line)
{
	struct port *p = ctx;

	assert_in_range(strlen(line), 1, SERIAL_LINE - 1);
	if (p->n_lines < ARRAY_SIZE(p->lines))
		snprintf(p->lines[p->n_lines], SERIAL_LINE, "%s", line);
	p->n_lines++;
}

static int setup(void **state)
{
	struct port *p = xcalloc(1, sizeof(*p));
	int fds[2];

	*state = p;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -1;
	p->reader = fds[0];
	p->s = (struct serial){
		.out_fd = fds[1],
		.irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		.on_line = on_line,
		.ctx = p,
	};
	return fd_set_nonblock(p->reader, true);
}

static int teardown(void **state)
{
	struct port *p = *state;

	close_fd(&p->reader);
	close_fd(&p->s.out_fd);
	close(p->s.irq_fd);
	free(p);
	return 0;
}

static void put(struct serial *s, const char *text)
{
	for (; *text; text++)
		serial_write(s, UART_TX, (uint8_t)*text);
}

/* What has come out so far. */
static const char *output(const struct port *p)
{
	static char text[16 * 1024];
	ssize_t n = read(p->reader, text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

/* Was the interrupt line pulsed since the last call? */
static bool interrupted(const struct serial *s)
{
	uint64_t n;

	return read(s->irq_fd, &n, sizeof(n)) == sizeof(n);
}

/* --- How Linux's driver finds out what it has (drivers/tty/serial/8250/8250_port.c). */

static void test_autodetection(void **state)
{
	struct serial *s = &((struct port *)*state)->s;

	/* Is there anything? */
	serial_write(s, UART_IER, 0);
	assert_int_equal(serial_read(s, UART_IER) & 0x0f, 0);
	serial_write(s, UART_IER, 0x0f);
	assert_int_equal(serial_read(s, UART_IER) & 0x0f, 0x0f);
	serial_write(s, UART_IER, 0);
	/* Loop mode: OUT2 and RTS come back as DCD and CTS. */
	serial_write(s, UART_MCR, UART_MCR_LOOP | UART_MCR_OUT2 | UART_MCR_RTS);
	assert_int_equal(serial_read(s, UART_MSR) & 0xf0, UART_MSR_DCD | UART_MSR_CTS);
	serial_write(s, UART_MCR, 0);
	/* A 16550A says so by both bits for its FIFOs, once they are on. */
	serial_write(s, UART_LCR, UART_LCR_CONF_MODE_B);
	serial_write(s, UART_EFR, 0);
	serial_write(s, UART_LCR, 0);
	assert_int_equal(serial_read(s, UART_IIR) >> 6, 0);
	serial_write(s, UART_FCR, UART_FCR_ENABLE_FIFO);
	assert_int_equal(serial_read(s, UART_IIR) >> 6, 3);
	/* No extended features behind either way of asking for them: not a 16650. */
	serial_write(s, UART_LCR, UART_LCR_CONF_MODE_A);
	assert_int_not_equal(serial_read(s, UART_EFR), 0);
	serial_write(s, UART_LCR, UART_LCR_CONF_MODE_B);
	assert_int_not_equal(serial_read(s, UART_EFR), 0);
	/* Register 2 of bank 2 does not follow the MCR: not from National Semiconductor. */
	serial_write(s, UART_LCR, 0xe0);
	assert_false((serial_read(s, 2) ^ serial_read(s, UART_MCR)) & UART_MCR_LOOP);
	serial_write(s, UART_LCR, 0);
	/* No FIFOs of 64 bytes: not a 16750. */
	serial_write(s, UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR7_64BYTE);
	assert_int_equal(serial_read(s, UART_IIR) >> 5, 6);
	serial_write(s, UART_LCR, UART_LCR_CONF_MODE_A);
	serial_write(s, UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR7_64BYTE);
	assert_int_equal(serial_read(s, UART_IIR) >> 5, 6);
	serial_write(s, UART_LCR, 0);
	/* No unit enable bit: not an XScale. */
	serial_write(s, UART_IER, UART_IER_UUE);
	assert_int_equal(serial_read(s, UART_IER), 0);
}

static void test_loop_mode(void **state)
{
	static const struct {
		uint8_t mcr, msr;
	} cases[] = {
		{0, 0},
		{UART_MCR_DTR, UART_MSR_DSR},
		{UART_MCR_RTS, UART_MSR_CTS},
		{UART_MCR_OUT1, UART_MSR_RI},
		{UART_MCR_OUT2, UART_MSR_DCD},
		{0xff, UART_MSR_DSR | UART_MSR_CTS | UART_MSR_RI | UART_MSR_DCD},
	};
	struct port *p = *state;

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		serial_write(&p->s, UART_MCR, UART_MCR_LOOP | cases[i].mcr);
		assert_int_equal(serial_read(&p->s, UART_MSR), cases[i].msr);
	}
	assert_int_equal(serial_read(&p->s, UART_MCR), 0x1f);
	/* What is sent to oneself is not sent to anybody. */
	put(&p->s, "secret\n");
	assert_string_equal(output(p), "");
	serial_write(&p->s, UART_MCR, 0);
	put(&p->s, "open\n");
	assert_string_equal(output(p), "open\n");
	/* A line that is always up. */
	assert_int_equal(serial_read(&p->s, UART_MSR), UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS);
}

static void test_divisor_latch(void **state)
{
	struct port *p = *state;

	serial_write(&p->s, UART_IER, UART_IER_RDI);
	serial_write(&p->s, UART_LCR, UART_LCR_DLAB | UART_LCR_WLEN8);
	serial_write(&p->s, UART_DLL, 'a');
	serial_write(&p->s, UART_DLM, 0xff);
	assert_int_equal(serial_read(&p->s, UART_DLL), 'a');
	assert_int_equal(serial_read(&p->s, UART_DLM), 0xff);
	assert_int_equal(serial_read(&p->s, UART_LCR), UART_LCR_DLAB | UART_LCR_WLEN8);
	serial_write(&p->s, UART_LCR, UART_LCR_WLEN8);
	assert_int_equal(serial_read(&p->s, UART_IER), UART_IER_RDI);
	assert_int_equal(serial_read(&p->s, UART_RX), 0);
	serial_flush(&p->s);
	assert_string_equal(output(p), "");
}

static void test_plain_registers(void **state)
{
	struct serial *s = &((struct port *)*state)->s;

	serial_write(s, UART_SCR, 0x5a);
	assert_int_equal(serial_read(s, UART_SCR), 0x5a);
	/* Always ready to send, never anything received; neither can be written. */
	serial_write(s, UART_LSR, 0);
	serial_write(s, UART_MSR, 0);
	assert_int_equal(serial_read(s, UART_LSR), UART_LSR_THRE | UART_LSR_TEMT);
	assert_int_equal(serial_read(s, UART_MSR), UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS);
}

/* Whatever a saved machine has in them. */
static void test_any_state(void **state)
{
	struct port *p = *state;

	p->s.out_fd = -1;
	for (unsigned int start = 0; start < 256; start++) {
		memset(&p->s.state, (int)start, sizeof(p->s.state));
		for (unsigned int reg = 0; reg < SERIAL_PORTS; reg++) {
			serial_read(&p->s, reg);
			serial_write(&p->s, reg, (uint8_t)~start);
			serial_read(&p->s, reg);
		}
		assert_in_range(p->s.line_len, 0, SERIAL_LINE - 1);
	}
}

/* --- The interrupt for an empty holding register. */

static uint8_t reason(struct serial *s)
{
	return serial_read(s, UART_IIR) & 0x0f;
}

static void test_interrupts(void **state)
{
	struct serial *s = &((struct port *)*state)->s;

	put(s, "x");
	assert_false(interrupted(s));
	assert_int_equal(reason(s), UART_IIR_NO_INT);
	/* It is due as soon as it is allowed, each time. */
	for (int i = 0; i < 2; i++) {
		serial_write(s, UART_IER, 0);
		assert_false(interrupted(s));
		serial_write(s, UART_IER, UART_IER_THRI);
		assert_true(interrupted(s));
		assert_int_equal(reason(s), UART_IIR_THRI);
		assert_int_equal(reason(s), UART_IIR_NO_INT);
	}
	/* Allowing it once more is no news. */
	serial_write(s, UART_IER, UART_IER_THRI);
	assert_false(interrupted(s));
	put(s, "y");
	assert_true(interrupted(s));
	assert_int_equal(reason(s), UART_IIR_THRI);
	/* It waits while it is not allowed. */
	put(s, "z");
	serial_write(s, UART_IER, UART_IER_RDI | UART_IER_RLSI | UART_IER_MSI);
	assert_true(interrupted(s));
	assert_int_equal(reason(s), UART_IIR_NO_INT);
	assert_false(interrupted(s));
}

/* --- Lines. */

static void test_lines(void **state)
{
	struct port *p = *state;

	put(&p->s, "one\r\n\n\r\ntwo\nthr");
	assert_string_equal(output(p), "one\r\n\n\r\ntwo\n");
	assert_int_equal(p->n_lines, 2);
	assert_string_equal(p->lines[0], "one");
	assert_string_equal(p->lines[1], "two");
	serial_flush(&p->s);
	assert_string_equal(output(p), "thr");
	serial_flush(&p->s);
	assert_string_equal(output(p), "");
	put(&p->s, "ee\n");
	assert_string_equal(output(p), "ee\n");
}

static void test_long_lines(void **state)
{
	struct port *p = *state;
	char text[3 * SERIAL_LINE];

	memset(text, 'x', sizeof(text));
	text[SERIAL_LINE - 2] = '\n';
	text[SERIAL_LINE - 1] = '\0';
	put(&p->s, text);
	assert_string_equal(output(p), text);
	assert_int_equal(strlen(p->lines[0]), SERIAL_LINE - 2);
	/* One byte longer: it goes out in pieces. */
	memset(text, 'y', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	put(&p->s, text);
	put(&p->s, "\n");
	assert_int_equal(strspn(output(p), "y"), sizeof(text) - 1);
}

static void test_binary_output(void **state)
{
	struct port *p = *state;
	char got[8];

	serial_write(&p->s, UART_TX, 'a');
	serial_write(&p->s, UART_TX, 0);
	serial_write(&p->s, UART_TX, 0xff);
	serial_write(&p->s, UART_TX, '\n');
	assert_int_equal(read(p->reader, got, sizeof(got)), 4);
	assert_memory_equal(got, "a\0\xff\n", 4);
}

/* --- Readers. */

static void test_nobody_listens(void **state)
{
	struct port *p = *state;

	close_fd(&p->s.out_fd);
	put(&p->s, "one\ntwo");
	serial_flush(&p->s);
	assert_int_equal(p->n_lines, 1);
}

static void test_reader_is_gone(void **state)
{
	struct port *p = *state;
	int writer = p->s.out_fd;

	close_fd(&p->reader);
	put(&p->s, "one\ntwo\n");
	assert_int_equal(p->s.out_fd, -1);
	/* What the lines say still counts. */
	assert_int_equal(p->n_lines, 2);
	assert_string_equal(p->lines[1], "two");
	p->s.out_fd = writer;
}

static void fill(const struct serial *s)
{
	static const char zeroes[4096];

	assert_int_equal(fd_set_nonblock(s->out_fd, true), 0);
	while (write(s->out_fd, zeroes, sizeof(zeroes)) > 0)
		;
	assert_int_equal(fd_set_nonblock(s->out_fd, false), 0);
}

/* Empties the pipe; true when nothing was written since it was filled. */
static bool only_fill(const struct port *p)
{
	char data[4096];
	ssize_t n;
	int r = 0;

	while ((n = read(p->reader, data, sizeof(data))) > 0)
		for (ssize_t i = 0; i < n; i++)
			r |= data[i];
	return r == 0;
}

static void *write_line(void *arg)
{
	put(arg, "line\n");
	return NULL;
}

/* A kick may come before the write waits, and is then lost: the flag alone must do. */
static void test_cancelled_before(void **state)
{
	struct port *p = *state;

	fill(&p->s);
	p->s.cancelled = true;
	put(&p->s, "lost\npart");
	serial_flush(&p->s);
	assert_int_equal(p->n_lines, 1);
	assert_true(only_fill(p));
	put(&p->s, "kept\n");
	assert_string_equal(output(p), "kept\n");
}

static void test_cancelled_while_waiting(void **state)
{
	struct port *p = *state;
	pthread_t t;

	fill(&p->s);
	assert_int_equal(pthread_create(&t, NULL, write_line, &p->s), 0);
	p->s.cancelled = true;
	pthread_kill(t, SIGUSR1);
	assert_int_equal(pthread_join(t, NULL), 0);
	assert_int_equal(p->n_lines, 1);
}

/* Neither a signal nor a descriptor that others made non-blocking loses anything. */
static void wait_for_reader(struct port *p, bool nonblock)
{
	static char all[256 * KIB];
	size_t n = 0;
	pthread_t t;

	fill(&p->s);
	assert_int_equal(fd_set_nonblock(p->s.out_fd, nonblock), 0);
	assert_int_equal(fd_set_nonblock(p->reader, false), 0);
	assert_int_equal(pthread_create(&t, NULL, write_line, &p->s), 0);
	pthread_kill(t, SIGUSR1);
	while (n < 5 || memcmp(all + n - 5, "line\n", 5) != 0) {
		ssize_t r = read(p->reader, all + n, sizeof(all) - n);

		assert_true(r > 0);
		n += (size_t)r;
	}
	assert_int_equal(pthread_join(t, NULL), 0);
	assert_int_equal(p->n_lines, 1);
}

static void test_slow_reader(void **state)
{
	wait_for_reader(*state, false);
}

static void test_nonblocking_output(void **state)
{
	wait_for_reader(*state, true);
}

static void on_signal(int signal)
{
}

#define port_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		port_test(test_autodetection),
		port_test(test_loop_mode),
		port_test(test_divisor_latch),
		port_test(test_plain_registers),
		port_test(test_any_state),
		port_test(test_interrupts),
		port_test(test_lines),
		port_test(test_long_lines),
		port_test(test_binary_output),
		port_test(test_nobody_listens),
		port_test(test_reader_is_gone),
		port_test(test_cancelled_before),
		port_test(test_cancelled_while_waiting),
		port_test(test_slow_reader),
		port_test(test_nonblocking_output),
	};

	signal(SIGPIPE, SIG_IGN);
	sigaction(SIGUSR1, &(struct sigaction){.sa_handler = on_signal}, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
