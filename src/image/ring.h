/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bounded byte queue between one writing and one reading thread, without copies: the writer fills
 * the memory that ring_reserve gives, the reader uses what ring_peek gives. Either side may hang
 * up.
 */
#pragma once

#include "base/util.h"

struct ring;

struct ring *ring_new(size_t size);
struct ring *ring_free(struct ring *r);

/* Waits for free space and returns how much lies at *ret; 0 when the reader has hung up. */
size_t ring_reserve(struct ring *r, uint8_t **ret);
void ring_commit(struct ring *r, size_t n);
/* The writer ends: the reader gets what is queued, then the end. */
void ring_close_write(struct ring *r);

/* Copies everything in; false when the reader has hung up. */
bool ring_write(struct ring *r, const void *data, size_t n);

/* Waits for data and returns how much lies at *ret; 0 at the end. */
size_t ring_peek(struct ring *r, const uint8_t **ret);
void ring_consume(struct ring *r, size_t n);
/* The reader ends: what is queued and what follows is dropped. */
void ring_close_read(struct ring *r);
