/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file version.h
 * @brief Library and ABI version. meson reads these numbers, they stand nowhere else.
 */
#ifndef FLASHL4_VERSION_H
#define FLASHL4_VERSION_H

#include <flashl4/export.h>

FL4_BEGIN_DECLS

/** Release of the library (semantic versioning). */
#define FL4_VERSION_MAJOR 0
/** Second number of the release. */
#define FL4_VERSION_MINOR 1
/** Third number of the release. */
#define FL4_VERSION_PATCH 0

/**
 * Version of the binary interface, and the number in the SONAME.
 * It changes only when a program built against older headers would break.
 */
#define FL4_ABI_VERSION 0

/** The release as one number that can be compared: 0xMMmmpp. */
#define FL4_VERSION ((FL4_VERSION_MAJOR << 16) | (FL4_VERSION_MINOR << 8) | FL4_VERSION_PATCH)

/**
 * Release of the library that is loaded, as ::FL4_VERSION; compare it with the macro to find out
 * whether the headers and the library belong together.
 *
 * Thread-safety: safe. Since: 0.1.
 */
FL4_API int fl4_version(void);

/** The same as text, "0.1.0". The string is static. Thread-safety: safe. Since: 0.1. */
FL4_API const char *fl4_version_string(void);

FL4_END_DECLS

#endif /* FLASHL4_VERSION_H */
