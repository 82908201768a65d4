/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/restored.h"

#include "base/clock.h"

#include <errno.h>
#include <linux/random.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#define ENTROPY_MIN 16
#define ENTROPY_MAX 256

struct entropy {
	struct rand_pool_info info;
	uint8_t data[ENTROPY_MAX];
};

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int decode(const char *hex, struct entropy *ret)
{
	size_t n = hex ? strlen(hex) : 0;

	if (n % 2 || n / 2 < ENTROPY_MIN || n / 2 > ENTROPY_MAX)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		int digit = hex_digit(hex[i]);

		if (digit < 0)
			return -EINVAL;
		ret->data[i / 2] = (uint8_t)(ret->data[i / 2] << 4 | digit);
	}
	ret->info.buf_size = (int)(n / 2);
	ret->info.entropy_count = (int)(n / 2 * 8);
	return 0;
}

/*
 * Adding alone would take effect only when the kernel's generator is seeded again by itself, which
 * may be a minute later.
 */
static int stir(int random_fd, const struct entropy *entropy)
{
	if (ioctl(random_fd, RNDADDENTROPY, &entropy->info) < 0 ||
	    ioctl(random_fd, RNDRESEEDCRNG) < 0)
		return -errno;
	return 0;
}

int restored(json_t *request, int random_fd, struct err *e)
{
	json_t *time = json_object_get(request, "time_ns");
	json_int_t ns = json_integer_value(time);
	struct entropy entropy = {};
	struct timespec ts = {
		.tv_sec = (time_t)(ns / (json_int_t)NSEC_PER_SEC),
		.tv_nsec = (long)(ns % (json_int_t)NSEC_PER_SEC),
	};
	int r;

	if (ns <= 0)
		return err_set(e, ERR_INVALID, "malformed message: 'time_ns' is no time");
	if (decode(json_string_value(json_object_get(request, "entropy")), &entropy) < 0)
		return err_set(e, ERR_INVALID,
			       "malformed message: 'entropy' must be %d to %d bytes in hex",
			       ENTROPY_MIN, ENTROPY_MAX);
	if (clock_settime(CLOCK_REALTIME, &ts) < 0)
		return err_sys(e, errno, "cannot set the clock");
	r = stir(random_fd, &entropy);
	return r < 0 ? err_sys(e, -r, "cannot add entropy") : 0;
}
