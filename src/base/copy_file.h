/* SPDX-License-Identifier: Apache-2.0 */
/* Copying a file that is mostly holes. */
#pragma once

/*
 * Makes the empty file `to` a copy of `from`: sharing its blocks where the file system can, else
 * of its data alone, so that holes stay holes. 0 or -errno.
 */
int copy_file_sparse(int from, int to);
