/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Families and variants. A family is one kernel source and one table that says all there is to know
 * about its parameters; nothing outside its file in families/ knows them. A variant is a family with
 * a value for each parameter.
 */
#ifndef FL4_VARIANT_H
#define FL4_VARIANT_H

#include <stdbool.h>

#include "problem.h"

enum { FL4__MAX_PARAMS = 12, FL4__MAX_VALUES = 12, FL4__VARIANT_TEXT = 128 };

/* A parameter that a forced variant does not name: the family chooses it for the problem. */
enum { FL4__UNSET = -1 };

/* One parameter: ordinal values in rising order. */
typedef struct fl4__param {
  const char *name; /* "bm"; kernels see it as -DFL4_BM=… */
  const char *what; /* one line for people */
  int n_values;
  int values[FL4__MAX_VALUES];
  bool categorical; /* neighbouring values are no more alike than others */
} fl4__param;

/* What a variant takes from the device, and how it is launched on a problem. */
typedef struct fl4__geometry {
  int64_t blocks;         /* thread blocks, or tasks on the host */
  int32_t threads;        /* of a block; threads of the host */
  int32_t smem_bytes;     /* of a block */
  int32_t row_tiles;      /* see fl4_fwd_params */
  int32_t section_heads;  /* see fl4_fwd_params */
  int32_t splits, split_keys, split_anchor; /* see fl4_fwd_params */
  int32_t tma_rows[3];    /* rows of q, k and v that the copy engine takes at once; 0: the kernel takes no tensor maps */
  int32_t tma_heads;      /* heads of q whose rows these are, side by side; up to 1: one */
  int32_t tile_rows, tile_keys; /* of a row tile and of a key tile, where kernels take lists of these */
  size_t workspace_bytes;
} fl4__geometry;

typedef struct fl4__family fl4__family;

typedef struct fl4__variant {
  const fl4__family *family;
  int32_t value[FL4__MAX_PARAMS]; /* in the order of family->params, 0 behind the last */
} fl4__variant;

struct fl4__family {
  const char *name;
  fl4_device_kind device; /* emulated GPUs run CUDA families too */
  const char *source;     /* file in kernels/, NULL on the host */
  const char *entry;      /* kernel symbol */
  const fl4__param *params;
  int n_params;
  /*
   * NULL if the variant can run the problem on the device, else why not, written to `why`. With `why` NULL, which is quicker,
   * a text that is the same one (the same pointer) for the same kind of reason.
   */
  const char *(*refuse)(const fl4__variant *, const fl4__problem *, const fl4_device_info *, char *why);
  /* The built-in choice for a problem. */
  void (*choose)(fl4__variant *, const fl4__problem *, const fl4_device_info *);
  /* How it is launched. */
  void (*geometry)(const fl4__variant *, const fl4__problem *, const fl4_device_info *, fl4__geometry *);
  /*
   * Makes a variant that is not refused the one that stands for all that do the same on the problem; what
   * it makes is not refused either. NULL: no two do.
   */
  void (*canonical)(fl4__variant *, const fl4__problem *, const fl4_device_info *);
  /* Whether it is for problems of this kind, and chosen for them if it does not refuse; others it runs if asked for. NULL: all. */
  bool (*is_for)(const fl4__problem *);
  bool takes_lists; /* of key tiles: tile_lists.h */
  /* See fl4__launch_registers(). NULL: any number. */
  int (*launch_registers)(const fl4__variant *);
};

/* All families, ended by NULL, best first on each kind of device. */
extern const fl4__family *const fl4__families[];

/* Reads "family:name=value,…"; parameters not named become FL4__UNSET. */
fl4_status fl4__variant_parse(const char *text, fl4__variant *variant);

/* Writes all parameters that are set; the text is canonical. */
void fl4__variant_format(const fl4__variant *variant, char text[FL4__VARIANT_TEXT]);

/* Value of a parameter by name; aborts nothing: 0 if there is none such. */
int fl4__variant_get(const fl4__variant *variant, const char *name);

/* Registers that each thread must have at the launch at least; 0: any number. */
int fl4__launch_registers(const fl4__variant *variant);

/*
 * Chooses the variant for a problem: `forced` (may be NULL) with gaps filled by the family's
 * choice, else the first family of the device that is for such problems and does not refuse its own choice.
 */
fl4_status fl4__select(const fl4__variant *forced, const fl4__problem *problem, const fl4_device_info *device,
                       fl4__variant *variant);

/* Why a family for this kind of device and problem does not run it by its own choice; else NULL. */
const char *fl4__family_refusal(const fl4__family *family, const fl4__problem *problem, const fl4_device_info *device,
                                char why[160]);

/*
 * The variant `wish` with gaps filled by its family's choice for the problem; false if it is for another
 * kind of device, or the family refuses it. Unlike fl4__select(), says nothing about why.
 */
bool fl4__variant_fits(const fl4__variant *wish, const fl4__problem *problem, const fl4_device_info *device,
                       fl4__variant *variant);

/*
 * What a kernel is compiled for: the variant and the part of the problem that is fixed at compile
 * time. Plain data, compared as bytes.
 */
typedef struct fl4__build {
  fl4__variant variant;
  int32_t dtype, D, mask, aligned, lse, debug;
  int32_t features, bias_type; /* of the problem; mask is NONE where a window says all */
  int32_t skips;               /* see fl4__skips() */
} fl4__build;

/* Whether the variant takes the problem's key tiles from lists, which leave out those that its mask hides. */
bool fl4__skips(const fl4__variant *variant, const fl4__problem *problem);

void fl4__build_from(const fl4__variant *variant, const fl4__problem *problem, bool debug, fl4__build *build);

/* The compiler's options of a build, in a fixed order: "-DFL4_BM=128" … Returns the number written. */
enum { FL4__MAX_OPTIONS = 32, FL4__OPTION_TEXT = 48 };
int fl4__build_options(const fl4__build *build, char options[FL4__MAX_OPTIONS][FL4__OPTION_TEXT]);

#endif
