/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels' source code: built into the library, or read from a folder by people who work on it. */
#ifndef FL4_SOURCES_H
#define FL4_SOURCES_H

#include "nvrtc.h"

/* The files of kernels/, sorted by name; made by kernels/embed.py. */
extern const fl4__source fl4__embedded_sources[];
extern const int fl4__n_embedded_sources;

/* A kernel's main file, and all headers there are, sorted by name. */
typedef struct fl4__sources {
  fl4__source main;
  fl4__source *headers;
  int n_headers;
  bool read_from_folder; /* then the texts belong to this struct */
} fl4__sources;

/*
 * Gives the source `main_name` ("fwd_mma.cu") with every built-in header. With a `kernel_dir` the
 * same files are read from there: FL4_IO_ERROR names the one that cannot be. A warning is logged
 * once per process that sources are overridden. FL4_INTERNAL: there is no such source.
 */
fl4_status fl4__sources_load(const fl4__log *log, const char *kernel_dir, const char *main_name, fl4__sources *sources);
void fl4__sources_free(fl4__sources *sources);

#endif
