/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a Linux kernel says on its console about its end. Without ACPI a guest cannot switch itself
 * off, and a panic ends in a reset like an orderly reboot; its words are all there is. They are
 * the guest's: they decide nothing but how its own end is called.
 */
#pragma once

#include <stdbool.h>

/* The reason if the line is that of a kernel panic, otherwise NULL. */
const char *console_panic(const char *line);
/* True when it says that the system is halted, or would be off if it could. */
bool console_halted(const char *line);
