/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the wisdom share: pieces, lines, keys. */
#ifndef FL4_WISDOM_STORE_H
#define FL4_WISDOM_STORE_H

#include "wisdom.h"

/* One piece, which never changes once it is made. */
typedef struct fl4__piece {
  fl4_wisdom_entry entry;
  fl4__problem problem; /* of the line that was tuned */
  fl4__variant variant; /* gaps are FL4__UNSET */
  fl4__variant other;   /* for problems like it: the same, or, where the built-in choice won, that again */
  uint64_t key;         /* fl4__wisdom_key() of the problem */
  struct fl4__piece *next;
  size_t length;
  char line[]; /* as a file has it, without the newline; zero-terminated */
} fl4__piece;

/* ---------------------------------------------------------------- wisdom_key.c */

/* A public problem as plans see it. */
fl4_status fl4__wisdom_problem(const fl4_problem *problem, fl4__problem *canonical);

/*
 * Problems of one key share wisdom: dtype, D, mask, alignment and Hq/Hkv are the same, and so are the powers
 * of two that are nearest to Sq, Sk and B × Hq. Never 0.
 */
uint64_t fl4__wisdom_key(const fl4__problem *problem);
/* Of two keys: how far apart the powers of two are, squared; −1: another kind of problem, or too far. */
int fl4__wisdom_distance(uint64_t a, uint64_t b);
/* Of the problem as it is. Never 0. */
uint64_t fl4__wisdom_exact(const fl4__problem *problem);

/* ---------------------------------------------------------------- wisdom_line.c */

typedef enum fl4__line {
  FL4__LINE_GOOD,
  FL4__LINE_EMPTY,   /* blank, or a file's first line */
  FL4__LINE_STALE,   /* of another version, or of kernels or parameters that are no more */
  FL4__LINE_DAMAGED, /* cannot be read */
  FL4__LINE_NO_MEMORY,
} fl4__line;

/* The first line of a file, with its newline. */
extern const char fl4__wisdom_header[];

/* Reads one line of n bytes. A piece that is good belongs to the caller: free(). */
fl4__line fl4__piece_read(const char *line, size_t n, const char *source, fl4__piece **piece);

/* Makes a piece as if it had been read: entry->problem, device, variant and evidence are given. */
fl4_status fl4__piece_make(const fl4_wisdom_entry *entry, fl4__piece **piece);

/* Whether `a` is better supported than `b`: by hand, of a larger budget, faster, newer. Both of one problem. */
bool fl4__piece_beats(const fl4__piece *a, const fl4__piece *b);

/* ---------------------------------------------------------------- wisdom_file.c */

/* A text that grows. */
typedef struct fl4__text {
  char *data; /* not zero-terminated */
  size_t n, room;
} fl4__text;

fl4_status fl4__text_add(fl4__text *text, const char *data, size_t n);

/* A regular file as a whole; free(text->data). FL4_IO_ERROR names it. */
fl4_status fl4__wisdom_read(const char *file, fl4__text *text);

/*
 * Appends lines at once, behind a header if the file is new, on a line of their own whatever another
 * process left there; all or nothing.
 */
fl4_status fl4__wisdom_append(const char *file, const char *lines, size_t n);

/* Takes the first line off a text; false at its end. */
bool fl4__wisdom_next(const char **text, size_t *size, const char **line, size_t *n);

/* ---------------------------------------------------------------- wisdom_layers.c */

/* The system wisdom, compiled in. */
extern const char fl4__system_wisdom[];

fl4_status fl4__wisdom_load_file(fl4__wisdom *wisdom, const fl4_device_info *device, const char *file,
                                 fl4_wisdom_counts *counts);

/* $XDG_DATA_HOME/flashl4/user.wisdom; false: there is no home. */
bool fl4__wisdom_user_file(char *path, size_t size);

/* ---------------------------------------------------------------- wisdom.c */

/* Reads the lines of a text. `counts` may be NULL; fails only for want of memory. */
fl4_status fl4__wisdom_take(fl4__wisdom *wisdom, const fl4_device_info *device, const char *text, size_t size,
                            const char *source, fl4_wisdom_counts *counts);
/* As fl4__wisdom_find(), with the piece: NULL if there is none. */
const fl4__piece *fl4__wisdom_piece(const fl4__wisdom *wisdom, const fl4__problem *problem,
                                    const fl4_device_info *device, fl4__variant *variant, fl4_match *match);
/* Adds a piece made here, which is saved later; one set by hand (mode "hand") whatever is known already. */
fl4_status fl4__wisdom_add_own(fl4__wisdom *wisdom, const fl4_device_info *device, const fl4_wisdom_entry *entry);
/* What is learnt from now on is not saved: the kernels are not the library's. */
void fl4__wisdom_keep(fl4__wisdom *wisdom);

size_t fl4__wisdom_size(fl4__wisdom *wisdom);
bool fl4__wisdom_at(fl4__wisdom *wisdom, size_t index, fl4_wisdom_entry *entry);
void fl4__wisdom_clear(fl4__wisdom *wisdom);
/* All lines; only those that are not saved yet, if `unsaved`. */
fl4_status fl4__wisdom_text(fl4__wisdom *wisdom, bool unsaved, fl4__text *text);
/* Appends what is not saved yet to the file. */
fl4_status fl4__wisdom_write(fl4__wisdom *wisdom, const char *file);
const struct fl4__log *fl4__wisdom_log(const fl4__wisdom *wisdom);

#endif
