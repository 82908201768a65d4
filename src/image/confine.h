/* SPDX-License-Identifier: Apache-2.0 */
/*
 * msb-image gives up what it does not need before it looks at anything that comes from others: by
 * Landlock, so as far as the kernel has it.
 */
#pragma once

#include "base/err.h"

/*
 * From here on only files below the directory `cache` (-1: none at all) can be written, only those
 * and the system's own (libraries, configuration, certificates) be read, nothing can be executed,
 * and without `network` no TCP connection be made. Descriptors that are open already are not
 * touched. To be called before there are threads. 0 or -1.
 */
int image_confine(int cache, bool network, struct err *e);
