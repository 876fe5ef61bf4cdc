/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file wisdom.h
 * @brief What tuning has learnt, kept: problem and device → variant, with the evidence.
 *
 * A context reads its wisdom when it is created: what is compiled in (system wisdom), then
 * files ending in .wisdom in `flashl4/` of the folders of $XDG_DATA_DIRS, then the files that $FLASHL4_WISDOM names
 * (colon-separated), then the user's, `$XDG_DATA_HOME/flashl4/user.wisdom`. Later ones are preferred
 * where the evidence is equal. `FLASHL4_WISDOM=off` reads none.
 *
 * A file is text, one JSON object a line, each with a checksum, only ever appended to. A line that is
 * damaged, of another version, or of kernels that have changed since is passed over and counted;
 * wisdom can cost speed but never choose a variant that the family refuses.
 *
 * Lengths and batch are keyed by buckets (powers of two), so that no length is tuned anew: wisdom of
 * the same bucket serves all of it, and without any the nearest neighbouring bucket of the same kind. Calls with
 * ::FL4_BATCH_INVARIANT, whose bits must not depend on their sizes, ask for none.
 */
#ifndef FLASHL4_WISDOM_H
#define FLASHL4_WISDOM_H

#include <stddef.h>
#include <stdint.h>

#include <flashl4/context.h>
#include <flashl4/export.h>
#include <flashl4/problem.h>
#include <flashl4/status.h>

FL4_BEGIN_DECLS

/** How well wisdom fits a problem, best first. X(name, text) */
#define FL4_MATCH_MAP(X)                                                                           \
  X(NONE, "none")     /* the built-in choice runs */                                               \
  X(EXACT, "exact")   /* tuned for this very problem on this kind of device */                     \
  X(BUCKET, "bucket") /* for lengths and a batch of the same powers of two */                      \
  X(NEAR, "near")     /* for the nearest other bucket, no size more than a power of two away */

/** How well wisdom fits a problem. */
typedef enum fl4_match {
#define FL4_MATCH_ENUM(name, text) FL4_MATCH_##name,
  FL4_MATCH_MAP(FL4_MATCH_ENUM)
#undef FL4_MATCH_ENUM
  FL4_MATCH_COUNT
} fl4_match;

/** Name of a match, "bucket"; NULL if there is none such. Since: 0.1. */
FL4_API const char *fl4_match_name(fl4_match match);

/** One piece of wisdom. */
typedef struct fl4_wisdom_entry {
  size_t struct_size; /**< set by the FL4_…_INIT */
  char problem[192];     /**< the line that was tuned */
  char device[64];       /**< "sm_90 132SM 60MB": what it was tuned on, as it is keyed */
  char variant[128];     /**< what to run */
  char source[64];       /**< "system", or the file's name */
  char date[24];         /**< UTC, ISO 8601 */
  char mode[16];         /**< how it was timed: "graph" … */
  int32_t budget;        /**< ::fl4_tune_budget of the tuning */
  int32_t evaluations;   /**< that it made */
  int32_t improved;      /**< 0: the built-in choice won */
  int32_t match;         /**< of fl4_wisdom_lookup(): ::fl4_match */
  double p50_us;         /**< of the variant, in the final */
  double default_us;     /**< of the built-in choice, in the final */
  double max_error;      /**< of the variant's output */
  uint64_t kernel_hash;  /**< of its machine code then; recorded, not keyed */
  char driver[32];       /**< recorded, not keyed, like the next */
  int32_t nvrtc;         /**< major × 1000 + minor × 10 */
  int32_t reserved0;     /**< zero */
  uint64_t reserved[4];  /**< zero */
} fl4_wisdom_entry;

/** Initial value of an ::fl4_wisdom_entry. */
#define FL4_WISDOM_ENTRY_INIT                                                                      \
  { sizeof(fl4_wisdom_entry), {0}, {0}, {0}, {0}, {0}, {0}, 0, 0, 0, 0, 0, 0, 0, 0, {0}, 0, 0, {0} }

/** What was read, and what was passed over. */
typedef struct fl4_wisdom_counts {
  size_t struct_size; /**< set by the FL4_…_INIT */
  int64_t used;          /**< lines that count now */
  int64_t replaced;      /**< lines that later or better ones replace */
  int64_t foreign;       /**< lines of other devices: kept, and written on, but not used here */
  int64_t stale;         /**< lines of kernels or parameters that have changed since */
  int64_t damaged;       /**< lines that cannot be read, or whose checksum is wrong */
  uint64_t reserved[4];  /**< zero */
} fl4_wisdom_counts;

/** Initial value of an ::fl4_wisdom_counts. */
#define FL4_WISDOM_COUNTS_INIT { sizeof(fl4_wisdom_counts), 0, 0, 0, 0, 0, {0} }

/**
 * What the context would run for a problem, and on which evidence.
 * @param ctx      has device and wisdom
 * @param problem  what would run
 * @param entry    filled; with `match` ::FL4_MATCH_NONE only that and `variant`, the built-in choice
 * @return ::FL4_INVALID_ARGUMENT, ::FL4_UNSUPPORTED. Thread-safety: safe. Since: 0.1.
 */
FL4_API FL4_NODISCARD fl4_status fl4_wisdom_lookup(fl4_context *ctx, const fl4_problem *problem, fl4_wisdom_entry *entry);

/** Number of pieces of wisdom that the context holds, of other devices too. Thread-safety: safe. Since: 0.1. */
FL4_API size_t fl4_wisdom_count(fl4_context *ctx);

/** Piece number `index`, in a fixed order. @return ::FL4_INVALID_ARGUMENT. Thread-safety: safe. Since: 0.1. */
FL4_API FL4_NODISCARD fl4_status fl4_wisdom_get(fl4_context *ctx, size_t index, fl4_wisdom_entry *entry);

/**
 * Adds a piece by hand: `variant` shall run for `problem` on this kind of device. It must be valid there.
 * @return ::FL4_INVALID_ARGUMENT, ::FL4_UNSUPPORTED (refused, with the reason), ::FL4_OUT_OF_MEMORY. Since: 0.1.
 */
FL4_API FL4_NODISCARD fl4_status fl4_wisdom_set(fl4_context *ctx, const fl4_problem *problem, const char *variant);

/**
 * Reads a file into the context: what is better supported wins (a larger budget, then the faster, then the newer).
 * @param ctx     receives the wisdom
 * @param file    its name
 * @param counts  NULL, or filled with what this file held
 * @return ::FL4_INVALID_ARGUMENT, ::FL4_IO_ERROR, ::FL4_OUT_OF_MEMORY. Damaged lines are no error. Since: 0.1.
 */
FL4_API FL4_NODISCARD fl4_status fl4_wisdom_load(fl4_context *ctx, const char *file, fl4_wisdom_counts *counts);

/**
 * Appends all that this context has learnt itself since it was created or last saved (not what it read).
 * Two processes may do so at the same time.
 * @param ctx   has the wisdom
 * @param file  NULL: the user's file, made if need be
 * @return ::FL4_INVALID_ARGUMENT, ::FL4_IO_ERROR. Since: 0.1.
 */
FL4_API FL4_NODISCARD fl4_status fl4_wisdom_save(fl4_context *ctx, const char *file);

/** Forgets all, also what is compiled in, until something is loaded. Files stay. Since: 0.1. */
FL4_API fl4_status fl4_wisdom_forget(fl4_context *ctx);

/**
 * Writes all pieces as text, as a file has them.
 * @param ctx     has the wisdom
 * @param buffer  NULL, or receives text and a final zero
 * @param size    in: bytes in `buffer`; out: bytes needed
 * @return ::FL4_INVALID_ARGUMENT (too small). Since: 0.1.
 */
FL4_API FL4_NODISCARD fl4_status fl4_wisdom_export(fl4_context *ctx, char *buffer, size_t *size);

/** Reads what fl4_wisdom_export() wrote; as fl4_wisdom_load(). Since: 0.1. */
FL4_API FL4_NODISCARD fl4_status fl4_wisdom_import(fl4_context *ctx, const char *text, fl4_wisdom_counts *counts);

/**
 * Merges files into one: every key's best line, of all devices.
 * The result is written beside and then renamed, so no reader sees half of it.
 * @param files   their names
 * @param n       how many
 * @param to      the one to write; may be one of them
 * @param prune   1: damaged and stale lines are dropped
 * @param counts  NULL, or filled
 * @return ::FL4_INVALID_ARGUMENT, ::FL4_IO_ERROR, ::FL4_OUT_OF_MEMORY. Thread-safety: safe. Since: 0.1.
 */
FL4_API FL4_NODISCARD fl4_status fl4_wisdom_merge(const char *const *files, size_t n, const char *to, int32_t prune,
                                                  fl4_wisdom_counts *counts);

FL4_END_DECLS

#endif /* FLASHL4_WISDOM_H */
