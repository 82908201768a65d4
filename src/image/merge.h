/* SPDX-License-Identifier: Apache-2.0 */
/* Puts the layers of an image on top of each other; see the theory of operation in merge.c. */
#pragma once

#include "image/layer_index.h"
#include "image/tree.h"

/*
 * Applies a layer on top of what is in the tree; its file contents are in part `part` of the disk.
 * The index must outlive the tree. -1 with ERR_CORRUPT for a layer that cannot be applied.
 */
int merge_layer(struct tree *t, const struct layer_index *ix, uint32_t part, struct err *e);
