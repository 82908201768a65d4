/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Confinement of the emulator, which runs the guest's code and is not ours. It comes on top of
 * QEMU's own -sandbox, which takes away privileges, new programs and obsolete calls, but neither
 * files nor sockets.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * For the child that is about to execute `program`; it has no_new_privs. From then on it can read
 * what is installed on the system, `program` itself and the open `files`, write no file, and reach
 * no socket and no other process. With `connected`, standard input is a connected stream socket,
 * and connecting by a name gives that one, whatever the name. 0 or -errno.
 */
int qemu_confine(const char *program, const int *files, size_t n_files, bool connected);
