/* SPDX-License-Identifier: Apache-2.0 */
/* The whole user space of a guest whose boot is measured: says that it is up and ends. */
#include <stdio.h>
#include <sys/reboot.h>

int main(void)
{
	puts("guest: up");
	fflush(stdout);
	reboot(RB_AUTOBOOT);
	return 1;
}
