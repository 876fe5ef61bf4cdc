/* SPDX-License-Identifier: Apache-2.0 */
/* Files of evaluations, read whole; jansson parses, zlib unpacks and reads what is not packed too. */
#include "tune/results.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "error.h"

enum { ROOM = 1 << 16, MOST = 1 << 30 }; /* bytes */

/* ---------------------------------------------------------------- bytes */

typedef struct text {
  char *data;
  size_t size, room;
} text;

static fl4_status read_all(const char *file, gzFile in, text *t)
{
  for (;;) {
    if (t->size == t->room) {
      if (t->room >= MOST) return fl4__fail(FL4_IO_ERROR, "%s: is larger than %d bytes", file, MOST);
      const size_t room = t->room ? 2 * t->room : ROOM;
      char *data = realloc(t->data, room);
      if (!data) return fl4__fail(FL4_OUT_OF_MEMORY, "%s: no memory for %zu bytes", file, room);
      t->data = data, t->room = room;
    }
    const int got = gzread(in, t->data + t->size, (unsigned)(t->room - t->size));
    if (got > 0) t->size += (size_t)got;
    if (got > 0) continue;
    int code;
    const char *why = gzerror(in, &code);
    /* Packed data that end too early are an error of the buffer. */
    if (got == 0 && code == Z_OK) return FL4_OK;
    return fl4__fail(FL4_IO_ERROR, "%s: byte %zu: %s", file, t->size, code == Z_ERRNO ? strerror(errno) : why);
  }
}

static fl4_status read_file(const char *file, text *t)
{
  errno = 0;
  gzFile in = gzopen(file, "rbe");
  if (!in && errno == 0) return fl4__fail(FL4_OUT_OF_MEMORY, "%s: no memory to unpack it", file);
  if (!in) return fl4__fail(FL4_IO_ERROR, "%s: cannot be read: %s", file, strerror(errno));
  fl4_status status = read_all(file, in, t);
  (void)gzclose_r(in);
  if (status == FL4_OK && t->size == 0) status = fl4__fail(FL4_IO_ERROR, "%s: is empty", file);
  return status;
}

/* ---------------------------------------------------------------- T4 */

static fl4_status take_t4(const char *file, const text *t, size_t end, json_t *results, fl4__results *r)
{
  while (end < t->size && memchr(" \t\r\n", t->data[end], 4)) end++;
  if (end < t->size) return fl4__fail(FL4_IO_ERROR, "%s: byte %zu: something follows the results", file, end);
  if (!json_is_array(results)) return fl4__fail(FL4_IO_ERROR, "%s: \"results\": is not a list", file);
  for (size_t i = 0; i < json_array_size(results); i++)
    if (!json_is_object(json_object_get(json_array_get(results, i), "configuration")))
      return fl4__fail(FL4_IO_ERROR, "%s: results[%zu]: has no object \"configuration\"", file, i);
  r->array = json_incref(results);
  return FL4_OK;
}

/* ---------------------------------------------------------------- logs */

/* The evaluation of a line: its outcome, or that it begins, which is one that failed until an outcome follows. */
static json_t *evaluation_of(json_t *line)
{
  json_t *begin = json_object_get(line, "begin");
  json_t *result = json_is_object(begin) ? begin : line;
  return json_is_object(json_object_get(result, "configuration")) ? result : NULL;
}

typedef struct log_reader {
  const char *file;
  fl4__results *results;
  json_t *tuning; /* what is tuned, as the first line about it says */
  int64_t tuning_line;
  size_t room; /* for results */
} log_reader;

static fl4_status take_tuning(log_reader *r, json_t *tuning, int64_t line)
{
  if (!r->tuning) {
    r->tuning = json_incref(tuning);
    r->tuning_line = line;
  } else if (!json_equal(r->tuning, tuning)) {
    return fl4__fail(FL4_IO_ERROR, "%s: line %" PRId64 ": another tuning than that of line %" PRId64 ", must be one",
                     r->file, line, r->tuning_line);
  }
  return FL4_OK;
}

static fl4_status take_evaluation(log_reader *r, json_t *result, int64_t line)
{
  const size_t n = json_array_size(r->results->array);
  if (n == r->room) {
    const size_t room = n ? 2 * n : 256;
    int64_t *lines = realloc(r->results->line, room * sizeof *lines);
    if (!lines) return fl4__fail(FL4_OUT_OF_MEMORY, "%s: no memory for %zu evaluations", r->file, room);
    r->results->line = lines, r->room = room;
  }
  r->results->line[n] = line;
  if (json_array_append(r->results->array, result) != 0)
    return fl4__fail(FL4_OUT_OF_MEMORY, "%s: no memory for %zu evaluations", r->file, n + 1);
  return FL4_OK;
}

static fl4_status take_line(log_reader *r, json_t *value, int64_t line)
{
  json_t *tuning = json_object_get(value, "tuning"), *result = evaluation_of(value);
  if (tuning) FL4_TRY(take_tuning(r, tuning, line));
  return result ? take_evaluation(r, result, line) : FL4_OK;
}

/* Lines that are no JSON are passed over: what a process wrote last may have been cut off. */
static fl4_status read_lines(const char *file, const text *t, fl4__results *results)
{
  log_reader r = {.file = file, .results = results};
  json_error_t error, first = {.text = ""};
  int64_t line = 0, bad = 0;
  fl4_status status = FL4_OK;
  results->array = json_array();
  if (!results->array) return fl4__fail(FL4_OUT_OF_MEMORY, "%s: no memory", file);
  for (size_t at = 0; at < t->size && status == FL4_OK;) {
    const char *start = t->data + at, *end = memchr(start, '\n', t->size - at);
    const size_t size = end ? (size_t)(end - start) : t->size - at;
    json_t *value = json_loadb(start, size, 0, &error);
    line++;
    if (value)
      status = take_line(&r, value, line);
    else if (size > 0 && !bad)
      bad = line, first = error;
    json_decref(value);
    at += size + 1;
  }
  json_decref(r.tuning);
  if (status == FL4_OK && json_array_size(results->array) == 0)
    status = bad ? fl4__fail(FL4_IO_ERROR, "%s: holds no evaluation; line %" PRId64 ": %s", file, bad, first.text)
                 : fl4__fail(FL4_IO_ERROR, "%s: holds no evaluation", file);
  return status;
}

/* ---------------------------------------------------------------- either */

fl4_status fl4__results_read(const char *file, fl4__results *results)
{
  text t = {0};
  json_error_t error;
  memset(results, 0, sizeof *results);
  fl4_status status = read_file(file, &t);
  if (status == FL4_OK) {
    /* The first line of a log is a whole value; the check for what follows is ours. */
    json_t *value = json_loadb(t.data, t.size, JSON_DISABLE_EOF_CHECK, &error);
    json_t *list = json_object_get(value, "results");
    if (list)
      status = take_t4(file, &t, (size_t)error.position, list, results);
    else
      status = read_lines(file, &t, results);
    json_decref(value);
  }
  free(t.data);
  if (status != FL4_OK) fl4__results_close(results);
  return status;
}

void fl4__results_close(fl4__results *results)
{
  json_decref(results->array);
  free(results->line);
  memset(results, 0, sizeof *results);
}

void fl4__results_place(const fl4__results *results, size_t index, char place[32])
{
  if (results->line)
    snprintf(place, 32, "line %" PRId64, results->line[index]);
  else
    snprintf(place, 32, "results[%zu]", index);
}
