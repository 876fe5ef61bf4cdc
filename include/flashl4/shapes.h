/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file shapes.h
 * @brief Built-in sets of problems, to check and to time.
 */
#ifndef FLASHL4_SHAPES_H
#define FLASHL4_SHAPES_H

#include <stddef.h>

#include <flashl4/export.h>

FL4_BEGIN_DECLS

/**
 * Name of built-in set number `index`, "canonical"; NULL behind the last. Static. Since: 0.1.
 */
FL4_API const char *fl4_shapes_name(size_t index);

/** What a set is for, in a line; NULL if there is no such set. Static. Since: 0.1. */
FL4_API const char *fl4_shapes_what(const char *set);

/** Number of problems in a set; 0 if there is no such set. Since: 0.1. */
FL4_API size_t fl4_shapes_count(const char *set);

/**
 * Problem number `index` of a set, as a line that fl4_problem_parse() reads and fl4_problem_format()
 * writes alike; NULL if out of range. Static. Since: 0.1.
 */
FL4_API const char *fl4_shapes_line(const char *set, size_t index);

/**
 * What problem number `index` of a set is known for, such as a model and where its sizes are
 * published; "" for most; NULL if out of range. Static. Since: 0.1.
 */
FL4_API const char *fl4_shapes_note(const char *set, size_t index);

FL4_END_DECLS

#endif /* FLASHL4_SHAPES_H */
