/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file export.h
 * @brief Linkage and attribute macros used by every flashl4 header.
 */
#ifndef FLASHL4_EXPORT_H
#define FLASHL4_EXPORT_H

#ifdef __cplusplus
#define FL4_BEGIN_DECLS extern "C" {
#define FL4_END_DECLS }
#else
#define FL4_BEGIN_DECLS
#define FL4_END_DECLS
#endif

#if defined(__GNUC__) || defined(__clang__)
/** Marks a symbol that the shared library exports. */
#define FL4_API __attribute__((visibility("default")))
/** Marks a result that must be looked at. */
#define FL4_NODISCARD __attribute__((warn_unused_result))
#else
#define FL4_API
#define FL4_NODISCARD
#endif

#endif /* FLASHL4_EXPORT_H */
