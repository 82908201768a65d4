/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/password.h"

#include "base/cleanup.h"
#include "base/io.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>

/* Checks what was read and takes the ends of line away. */
static char *finish(char *text, size_t len, struct err *e)
{
	while (len && (text[len - 1] == '\n' || text[len - 1] == '\r'))
		len--;
	text[len] = '\0';
	if (len == 0)
		err_set(e, ERR_INVALID, "password/token cannot be empty");
	else if (strlen(text) != len)
		err_set(e, ERR_INVALID, "the password or token has a NUL byte in it");
	else
		return text;
	explicit_bzero(text, len);
	free(text);
	return NULL;
}

static char *read_all(struct err *e)
{
	char *text = xcalloc(1, PASSWORD_MAX + 2);
	ssize_t n = read_full(STDIN_FILENO, text, PASSWORD_MAX + 1);

	if (n >= 0 && n <= (ssize_t)PASSWORD_MAX)
		return finish(text, (size_t)n, e);
	if (n < 0)
		err_sys(e, (int)-n, "cannot read the password from standard input");
	else
		err_set(e, ERR_INVALID, "the password or token is too long");
	explicit_bzero(text, PASSWORD_MAX);
	free(text);
	return NULL;
}

/* --- the terminal -------------------------------------------------------------------------- */

/* These end the program; the one that stops it has to wait meanwhile. */
static const int ending[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

/* For the signal handler, which has no other way to get at them. */
static struct termios terminal;

static void restore_and_die(int signum)
{
	static const char newline = '\n';
	struct sigaction plain = {.sa_handler = SIG_DFL};

	tcsetattr(STDIN_FILENO, TCSAFLUSH, &terminal);
	if (write(STDERR_FILENO, &newline, 1) < 0) {
		/* nothing that could be done about it */
	}
	sigaction(signum, &plain, NULL);
	raise(signum);
}

static char *read_line(struct err *e)
{
	char *text = xcalloc(1, PASSWORD_MAX + 1);
	ssize_t n;

	do
		n = read(STDIN_FILENO, text, PASSWORD_MAX);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return finish(text, (size_t)n, e);
	err_sys(e, errno, "cannot read the password");
	free(text);
	return NULL;
}

static char *ask(struct err *e)
{
	struct sigaction old[ARRAY_SIZE(ending)], old_stop;
	struct sigaction handle = {.sa_handler = restore_and_die}, ignore = {.sa_handler = SIG_IGN};
	struct termios quiet;
	char *text;

	if (tcgetattr(STDIN_FILENO, &terminal) < 0) {
		err_set(e, ERR_USAGE, "standard input is not a terminal");
		err_hint(e, "give the password or token with --password-stdin");
		return NULL;
	}
	for (size_t i = 0; i < ARRAY_SIZE(ending); i++) {
		sigaction(ending[i], &handle, &old[i]);
		if (old[i].sa_handler == SIG_IGN)
			sigaction(ending[i], &old[i], NULL);
	}
	sigaction(SIGTSTP, &ignore, &old_stop);
	quiet = terminal;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	quiet.c_lflag |= ICANON | ISIG;
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
	fputs("Password/token: ", stderr);
	text = read_line(e);
	fputc('\n', stderr);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &terminal);
	for (size_t i = 0; i < ARRAY_SIZE(ending); i++)
		sigaction(ending[i], &old[i], NULL);
	sigaction(SIGTSTP, &old_stop, NULL);
	return text;
}

char *password_read(bool from_stdin, struct err *e)
{
	return from_stdin ? read_all(e) : ask(e);
}
