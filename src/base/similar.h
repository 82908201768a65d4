/* SPDX-License-Identifier: Apache-2.0 */
/* How near two words are, to tell people what they may have meant. */
#pragma once

#include <stddef.h>

/*
 * How many letters have to be changed, added, dropped or swapped with their neighbour to get from
 * one word to the other; SIZE_MAX for words that are too long to be looked at.
 */
size_t edit_distance(const char *a, size_t a_len, const char *b, size_t b_len);
/*
 * The word of the list (words with spaces between) that `s` comes near to, by two letters at most
 * or as its start: where it begins, with *ret_len; NULL: none.
 */
const char *similar_word(const char *list, const char *s, size_t *ret_len);
