/* SPDX-License-Identifier: Apache-2.0 */
/* Scope-bound cleanup and visible transfer of ownership. */
#pragma once

#include "base/util.h"

#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(fn) __attribute__((cleanup(fn)))

static inline void cleanup_freep(void *p)
{
	free(*(void **)p);
}

static inline void cleanup_secretp(char **s)
{
	secret_free(*s);
}

static inline void cleanup_closep(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

#define _cleanup_free_   _cleanup_(cleanup_freep)
#define _cleanup_secret_ _cleanup_(cleanup_secretp)
#define _cleanup_close_  _cleanup_(cleanup_closep)

/* Takes the value out of an owning variable, which then owns nothing. */
#define steal_ptr(pp)                       \
	({                                  \
		__typeof__(pp) pp_ = (pp);  \
		__typeof__(*pp_) p_ = *pp_; \
		*pp_ = NULL;                \
		p_;                         \
	})

static inline int steal_fd(int *fd)
{
	int r = *fd;

	*fd = -1;
	return r;
}

/* Closes a descriptor that may be -1 and marks it closed. */
static inline void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}
