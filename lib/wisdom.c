/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store. Two tables lead to pieces: by the problem as it is, and by the key that problems share. Lookups
 * only load atomics, so they wait for nobody; whoever changes something holds the lock. Tables that were
 * outgrown and pieces that were replaced stay until the store closes, since a lookup may be reading them.
 */
#include "wisdom.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "log.h"
#include "wisdom_store.h"

/* Open addressing. A key stands forever; what it leads to changes. */
typedef struct slot {
  _Atomic uint64_t key; /* 0: free */
  const fl4__piece *_Atomic piece;
} slot;

typedef struct table {
  struct table *outgrown; /* the one before */
  size_t size, used;      /* size is a power of two */
  slot slots[];
} table;

enum { FIRST_SIZE = 256 };

/* In the table by keys: there is no piece for it. NULL: not known yet. */
static const fl4__piece nothing;

typedef struct holding {
  fl4__piece *piece;
  unsigned text; /* the text that it was read in last, by number */
  bool unsaved;  /* a file is still to have it */
} holding;

struct fl4__wisdom {
  const struct fl4__log *log;
  pthread_mutex_t lock, saving;
  table *_Atomic exact, *_Atomic alike;
  atomic_size_t n_here; /* pieces of this device */
  fl4_device_info device;
  char device_key[64]; /* "": no device yet */
  holding *held;       /* in the order in which they came; a better one takes the place of the other */
  size_t n, room;
  struct {
    size_t *index; /* 1 + that of a piece in held, by problem and device; 0: free */
    size_t size;
  } places;
  fl4__piece *replaced;
  unsigned texts; /* read so far; 0 is none */
  bool keep;
};

/* ---------------------------------------------------------------- tables */

static table *make_table(size_t size)
{
  table *t = calloc(1, sizeof *t + size * sizeof(slot));
  if (t) t->size = size;
  return t;
}

static void free_tables(table *t)
{
  for (table *before; t; t = before) before = t->outgrown, free(t);
}

/* The slot of the key, or the free one where it would be. */
static slot *find_slot(table *t, uint64_t key)
{
  for (size_t i = (size_t)(key * 0x9e3779b97f4a7c15u >> 20);; i++) {
    slot *s = &t->slots[i & (t->size - 1)];
    const uint64_t there = atomic_load_explicit(&s->key, memory_order_acquire);
    if (there == key || there == 0) return s;
  }
}

static const fl4__piece *look(table *t, uint64_t key)
{
  slot *s = find_slot(t, key);
  if (atomic_load_explicit(&s->key, memory_order_acquire) != key) return NULL;
  return atomic_load_explicit(&s->piece, memory_order_acquire);
}

/* With the lock held, and room in the table. The key comes last: who sees it sees the piece. */
static void put(table *t, uint64_t key, const fl4__piece *piece)
{
  slot *s = find_slot(t, key);
  atomic_store_explicit(&s->piece, piece, memory_order_release);
  if (atomic_load_explicit(&s->key, memory_order_relaxed) == key) return;
  atomic_store_explicit(&s->key, key, memory_order_release);
  t->used++;
}

/* Room for one more key, half of the slots staying free. False: no memory. */
static bool make_room(table *_Atomic *where)
{
  table *t = atomic_load_explicit(where, memory_order_relaxed);
  if (t && 2 * (t->used + 1) <= t->size) return true;
  table *larger = make_table(t ? 2 * t->size : FIRST_SIZE);
  if (!larger) return false;
  for (size_t i = 0; t && i < t->size; i++) {
    const uint64_t key = atomic_load_explicit(&t->slots[i].key, memory_order_relaxed);
    if (key) put(larger, key, atomic_load_explicit(&t->slots[i].piece, memory_order_relaxed));
  }
  larger->outgrown = t;
  atomic_store_explicit(where, larger, memory_order_release);
  return true;
}

/* Makes all that a table leads to unknown. */
static void blank(table *_Atomic *where)
{
  table *t = atomic_load_explicit(where, memory_order_relaxed);
  for (size_t i = 0; t && i < t->size; i++) atomic_store_explicit(&t->slots[i].piece, NULL, memory_order_release);
}

/* ---------------------------------------------------------------- opening and closing */

fl4_status fl4__wisdom_open(const struct fl4__log *log, fl4__wisdom **wisdom)
{
  fl4__wisdom *w = calloc(1, sizeof *w);
  *wisdom = NULL;
  if (!w) return fl4__fail(FL4_OUT_OF_MEMORY, "wisdom: no memory for %zu bytes", sizeof *w);
  w->log = log;
  if (pthread_mutex_init(&w->lock, NULL) != 0) {
    free(w);
    return fl4__fail(FL4_OUT_OF_MEMORY, "wisdom: no memory for a mutex");
  }
  if (pthread_mutex_init(&w->saving, NULL) != 0) {
    pthread_mutex_destroy(&w->lock);
    free(w);
    return fl4__fail(FL4_OUT_OF_MEMORY, "wisdom: no memory for a mutex");
  }
  *wisdom = w;
  return FL4_OK;
}

static void free_pieces(fl4__piece *piece)
{
  for (fl4__piece *next; piece; piece = next) next = piece->next, free(piece);
}

void fl4__wisdom_close(fl4__wisdom *w)
{
  if (!w) return;
  for (size_t i = 0; i < w->n; i++) free(w->held[i].piece);
  free_pieces(w->replaced);
  free(w->held);
  free(w->places.index);
  free_tables(atomic_load(&w->exact));
  free_tables(atomic_load(&w->alike));
  pthread_mutex_destroy(&w->lock);
  pthread_mutex_destroy(&w->saving);
  free(w);
}

const struct fl4__log *fl4__wisdom_log(const fl4__wisdom *w)
{
  return w->log;
}

void fl4__wisdom_keep(fl4__wisdom *w)
{
  w->keep = true;
}

/* ---------------------------------------------------------------- lookups */

/* What a device is keyed by. */
static bool same_device(const fl4_device_info *a, const fl4_device_info *b)
{
  return a->kind == b->kind && a->multiprocessors == b->multiprocessors && a->l2_bytes == b->l2_bytes &&
         memcmp(a->isa, b->isa, sizeof a->isa) == 0;
}

static bool is_here(const fl4__wisdom *w, const fl4__piece *piece)
{
  return strcmp(piece->entry.device, w->device_key) == 0;
}

/*
 * The piece for a key: the nearest, of equals the best supported. With the lock held. No size is more
 * than one power of two away: what wins on a grid that fills the GPU loses on one that does not, and
 * the built-in choice sees the sizes.
 */
static const fl4__piece *nearest(const fl4__wisdom *w, uint64_t key)
{
  enum { NEIGHBOURS = 1 + 1 + 1 };
  const fl4__piece *best = &nothing;
  int least = 0;
  for (size_t i = 0; i < w->n; i++) {
    const fl4__piece *piece = w->held[i].piece;
    const int distance = fl4__wisdom_distance(piece->key, key);
    if (distance < 0 || distance > NEIGHBOURS || !is_here(w, piece)) continue;
    if (best != &nothing && (distance > least || (distance == least && !fl4__piece_beats(piece, best)))) continue;
    best = piece, least = distance;
  }
  return best;
}

/* Remembers it, so that the pieces are gone through once a key. Without memory that happens again. */
static const fl4__piece *find_alike(fl4__wisdom *w, uint64_t key)
{
  pthread_mutex_lock(&w->lock);
  const fl4__piece *piece = nearest(w, key);
  if (make_room(&w->alike)) put(atomic_load_explicit(&w->alike, memory_order_relaxed), key, piece);
  pthread_mutex_unlock(&w->lock);
  return piece;
}

const fl4__piece *fl4__wisdom_piece(const fl4__wisdom *wisdom, const fl4__problem *problem,
                                    const fl4_device_info *device, fl4__variant *variant, fl4_match *match)
{
  fl4__wisdom *w = (fl4__wisdom *)wisdom; /* what it remembers of lookups is no change */
  *match = FL4_MATCH_NONE;
  if (problem->invariant) return NULL; /* what is known goes by size, on which bits must not depend */
  if (!w || atomic_load_explicit(&w->n_here, memory_order_acquire) == 0 || !same_device(device, &w->device))
    return NULL;

  table *exact = atomic_load_explicit(&w->exact, memory_order_acquire);
  const fl4__piece *piece = look(exact, fl4__wisdom_exact(problem));
  if (piece && memcmp(&piece->problem, problem, sizeof *problem) == 0) {
    if (!fl4__variant_fits(&piece->variant, problem, device, variant)) return NULL;
    *match = FL4_MATCH_EXACT;
    return piece;
  }

  const uint64_t key = fl4__wisdom_key(problem);
  table *alike = atomic_load_explicit(&w->alike, memory_order_acquire);
  piece = alike ? look(alike, key) : NULL;
  if (!piece) piece = find_alike(w, key);
  if (piece == &nothing || !fl4__variant_fits(&piece->other, problem, device, variant)) return NULL;
  *match = piece->key == key ? FL4_MATCH_BUCKET : FL4_MATCH_NEAR;
  return piece;
}

bool fl4__wisdom_find(const fl4__wisdom *wisdom, const fl4__problem *problem, const fl4_device_info *device,
                      fl4__variant *variant, fl4_match *match)
{
  return fl4__wisdom_piece(wisdom, problem, device, variant, match) != NULL;
}

/* A piece that may seed a tuning: the nearest first, those of this device before all others. */
typedef struct candidate {
  const fl4__piece *piece;
  int distance, age;
} candidate;

static int by_distance(const void *a, const void *b)
{
  const candidate *x = a, *y = b;
  return x->distance != y->distance ? x->distance - y->distance : x->age - y->age;
}

int fl4__wisdom_seeds(const fl4__wisdom *wisdom, const fl4__problem *problem, const fl4_device_info *device, int n,
                      fl4__variant *variants)
{
  enum { ELSEWHERE = 1 << 12 };
  fl4__wisdom *w = (fl4__wisdom *)wisdom;
  if (!w || n <= 0) return 0;
  const uint64_t key = fl4__wisdom_key(problem);
  char here[64];
  int found = 0;
  fl4__device_key(device, here);
  pthread_mutex_lock(&w->lock);
  size_t n_candidates = 0;
  candidate *candidates = malloc((w->n + 1) * sizeof *candidates);
  for (size_t i = 0; candidates && i < w->n; i++) {
    const fl4__piece *piece = w->held[i].piece;
    const int distance = fl4__wisdom_distance(piece->key, key);
    const int elsewhere = strcmp(piece->entry.device, here) == 0 ? 0 : ELSEWHERE;
    if (distance >= 0) candidates[n_candidates++] = (candidate){piece, distance + elsewhere, (int)i};
  }
  if (n_candidates > 1) qsort(candidates, n_candidates, sizeof *candidates, by_distance);
  for (size_t i = 0; i < n_candidates && found < n; i++) {
    fl4__variant *v = &variants[found];
    bool there = !fl4__variant_fits(&candidates[i].piece->variant, problem, device, v);
    for (int k = 0; k < found && !there; k++) there = memcmp(v, &variants[k], sizeof *v) == 0;
    if (!there) found++;
  }
  free(candidates);
  pthread_mutex_unlock(&w->lock);
  return found;
}

/* ---------------------------------------------------------------- adding; all with the lock held */

/* A store is of one device: the first that it is asked about. */
static void settle(fl4__wisdom *w, const fl4_device_info *device)
{
  if (w->device_key[0]) return;
  w->device = *device;
  fl4__device_key(device, w->device_key);
}

/* Where the piece of the same problem and device is, or would be, in places. */
static size_t *find_place(const fl4__wisdom *w, const fl4__piece *piece)
{
  uint64_t hash = fl4__wisdom_exact(&piece->problem);
  for (const char *c = piece->entry.device; *c; c++) hash = (hash ^ (unsigned char)*c) * 0x100000001b3u;
  for (size_t i = (size_t)(hash >> 16);; i++) {
    size_t *place = &w->places.index[i & (w->places.size - 1)];
    if (*place == 0) return place;
    const fl4__piece *there = w->held[*place - 1].piece;
    if (memcmp(&there->problem, &piece->problem, sizeof there->problem) == 0 &&
        strcmp(there->entry.device, piece->entry.device) == 0)
      return place;
  }
}

static bool room_for_one(fl4__wisdom *w)
{
  if (w->n == w->room) {
    const size_t room = w->room ? 2 * w->room : 64;
    holding *held = realloc(w->held, room * sizeof *held);
    if (!held) return false;
    w->held = held, w->room = room;
  }
  if (2 * (w->n + 1) > w->places.size) {
    const size_t size = w->places.size ? 2 * w->places.size : 2 * FIRST_SIZE;
    size_t *index = calloc(size, sizeof *index);
    if (!index) return false;
    free(w->places.index);
    w->places.index = index, w->places.size = size;
    for (size_t i = 0; i < w->n; i++) *find_place(w, w->held[i].piece) = i + 1;
  }
  return make_room(&w->exact);
}

typedef enum added { ADDED, REPLACED, KNOWN, WORSE, NO_MEMORY } added;

/* Takes the piece over, or frees it. *before: the text that the piece in its place was read in. */
static added add(fl4__wisdom *w, fl4__piece *piece, holding how, bool always, unsigned *before)
{
  added what = ADDED;
  how.piece = piece;
  *before = 0;
  if (!room_for_one(w)) {
    free(piece);
    return NO_MEMORY;
  }
  size_t *place = find_place(w, piece);
  if (*place) {
    holding *there = &w->held[*place - 1];
    *before = there->text;
    const bool known = there->piece->length == piece->length && !memcmp(there->piece->line, piece->line, piece->length);
    if (known || !(always || fl4__piece_beats(piece, there->piece))) {
      free(piece);
      if (known) there->text = how.text;
      return known ? KNOWN : WORSE;
    }
    there->piece->next = w->replaced;
    w->replaced = there->piece;
    *there = how;
    what = REPLACED;
  } else {
    w->held[w->n] = how;
    *place = ++w->n;
  }
  if (!is_here(w, piece)) return what;
  put(atomic_load_explicit(&w->exact, memory_order_relaxed), fl4__wisdom_exact(&piece->problem), piece);
  blank(&w->alike);
  if (what == ADDED) atomic_fetch_add_explicit(&w->n_here, 1, memory_order_release);
  return what;
}

/* One line of text number w->texts. */
static fl4_status take_line(fl4__wisdom *w, const char *line, size_t n, const char *source, fl4_wisdom_counts *counts)
{
  fl4__piece *piece;
  switch (fl4__piece_read(line, n, source, &piece)) {
  case FL4__LINE_GOOD: break;
  case FL4__LINE_EMPTY: return FL4_OK;
  case FL4__LINE_STALE: counts->stale++; return FL4_OK;
  case FL4__LINE_DAMAGED: counts->damaged++; return FL4_OK;
  default: return fl4__fail(FL4_OUT_OF_MEMORY, "wisdom: no memory for a line of %s", source);
  }
  const bool here = is_here(w, piece);
  int64_t *count = here ? &counts->used : &counts->foreign;
  unsigned before;
  const added what = add(w, piece, (holding){.text = w->texts}, false, &before);
  if (what == NO_MEMORY) return fl4__fail(FL4_OUT_OF_MEMORY, "wisdom: no memory for a line of %s", source);
  if (what != WORSE) ++*count;
  if (what == WORSE) counts->replaced++;
  /* What an earlier line of this text counted for is gone, or is the same. */
  if (what != WORSE && before == w->texts) --*count, counts->replaced++;
  return FL4_OK;
}

fl4_status fl4__wisdom_take(fl4__wisdom *w, const fl4_device_info *device, const char *text, size_t size,
                            const char *source, fl4_wisdom_counts *counts)
{
  fl4_wisdom_counts mine = FL4_WISDOM_COUNTS_INIT;
  fl4_status status = FL4_OK;
  const char *line;
  char before[2048]; /* a line that is passed over is no error of the call */
  size_t n;
  strncpy(before, fl4_last_error(), sizeof before - 1)[sizeof before - 1] = '\0';
  pthread_mutex_lock(&w->lock);
  settle(w, device);
  w->texts++;
  while (status == FL4_OK && fl4__wisdom_next(&text, &size, &line, &n)) status = take_line(w, line, n, source, &mine);
  pthread_mutex_unlock(&w->lock);
  if (status == FL4_OK) fl4__fail(FL4_OK, "%s", before);
  if (counts) *counts = mine;
  return status;
}

fl4_status fl4__wisdom_add_own(fl4__wisdom *w, const fl4_device_info *device, const fl4_wisdom_entry *entry)
{
  fl4_wisdom_entry e = *entry;
  fl4__piece *piece;
  unsigned before;
  e.struct_size = sizeof e;
  fl4__device_key(device, e.device);
  snprintf(e.source, sizeof e.source, "memory");
  FL4_TRY(fl4__piece_make(&e, &piece));
  pthread_mutex_lock(&w->lock);
  settle(w, device);
  const added what = add(w, piece, (holding){.unsaved = !w->keep}, strcmp(e.mode, "hand") == 0, &before);
  pthread_mutex_unlock(&w->lock);
  return what == NO_MEMORY ? fl4__fail(FL4_OUT_OF_MEMORY, "wisdom: no memory for a piece") : FL4_OK;
}

fl4_status fl4__wisdom_learn(fl4__wisdom *w, const fl4_device_info *device, const fl4_wisdom_entry *entry)
{
  return fl4__wisdom_add_own(w, device, entry);
}

/* ---------------------------------------------------------------- all that there is */

size_t fl4__wisdom_size(fl4__wisdom *w)
{
  pthread_mutex_lock(&w->lock);
  const size_t n = w->n;
  pthread_mutex_unlock(&w->lock);
  return n;
}

bool fl4__wisdom_at(fl4__wisdom *w, size_t index, fl4_wisdom_entry *entry)
{
  pthread_mutex_lock(&w->lock);
  const bool there = index < w->n;
  if (there) *entry = w->held[index].piece->entry;
  pthread_mutex_unlock(&w->lock);
  return there;
}

void fl4__wisdom_clear(fl4__wisdom *w)
{
  pthread_mutex_lock(&w->lock);
  atomic_store_explicit(&w->n_here, 0, memory_order_release);
  blank(&w->exact);
  blank(&w->alike);
  for (size_t i = 0; i < w->n; i++) {
    w->held[i].piece->next = w->replaced;
    w->replaced = w->held[i].piece;
  }
  w->n = 0;
  if (w->places.index) memset(w->places.index, 0, w->places.size * sizeof *w->places.index);
  pthread_mutex_unlock(&w->lock);
}

fl4_status fl4__wisdom_text(fl4__wisdom *w, bool unsaved, fl4__text *text)
{
  fl4_status status = FL4_OK;
  pthread_mutex_lock(&w->lock);
  for (size_t i = 0; i < w->n && status == FL4_OK; i++) {
    if (unsaved && !w->held[i].unsaved) continue;
    status = fl4__text_add(text, w->held[i].piece->line, w->held[i].piece->length);
    if (status == FL4_OK) status = fl4__text_add(text, "\n", 1);
  }
  pthread_mutex_unlock(&w->lock);
  return status;
}

/* Nothing that is learnt meanwhile may be taken for saved: what was written is found again by its line. */
static void mark_saved(fl4__wisdom *w, const char *text, size_t size)
{
  const char *line;
  size_t n, i = 0;
  pthread_mutex_lock(&w->lock);
  while (fl4__wisdom_next(&text, &size, &line, &n)) {
    for (; i < w->n; i++) {
      const fl4__piece *piece = w->held[i].piece;
      if (!w->held[i].unsaved || piece->length != n || memcmp(piece->line, line, n) != 0) continue;
      w->held[i++].unsaved = false;
      break;
    }
    if (i == w->n) i = 0; /* replaced meanwhile */
  }
  pthread_mutex_unlock(&w->lock);
}

fl4_status fl4__wisdom_write(fl4__wisdom *w, const char *file)
{
  fl4__text text = {0};
  pthread_mutex_lock(&w->saving);
  fl4_status status = fl4__wisdom_text(w, true, &text);
  if (status == FL4_OK && text.n > 0) status = fl4__wisdom_append(file, text.data, text.n);
  if (status == FL4_OK) mark_saved(w, text.data, text.n);
  pthread_mutex_unlock(&w->saving);
  free(text.data);
  return status;
}
