/* SPDX-License-Identifier: Apache-2.0 */
/* The cubin cache on disk: what is stored comes back or nothing does, whatever happens to the files. */
#include <dirent.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/time.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "cuda/cubin_cache.h"
#include "scratch.h"

static listener heard;
static fl4__log log_ = {listen_fn, &heard, FL4_LOG_DEBUG};
static const fl4__cache_key key_a = {0x0123456789abcdef, 42}, key_b = {0xfedcba9876543210, 43};

static fl4__cubin_cache *open_cache(int64_t limit)
{
  fl4__cubin_cache *cache;
  memset(&heard, 0, sizeof heard);
  ck_assert_fl4(fl4__cubin_cache_open(&log_, in_scratch("cache"), limit, &cache));
  return cache;
}

static const char *entry_path(const fl4__cache_key *key)
{
  return in_scratch("cache/%016llx%016llx.cubin", (unsigned long long)key->high, (unsigned long long)key->low);
}

/* What a key's cubin is in these tests: bytes, size and resources all follow from the key. */
static fl4__cubin cubin_of(const fl4__cache_key *key, size_t size)
{
  fl4__cubin cubin = {malloc(size), size, {(int)key->low, (int)(key->low >> 8), (int)size, (int)key->low % 7}};
  for (size_t i = 0; i < size; i++) ((uint8_t *)cubin.data)[i] = (uint8_t)(key->low * 31 + i * 7 + i / 251);
  return cubin;
}

static bool is_cubin_of(const fl4__cubin *got, const fl4__cache_key *key)
{
  fl4__cubin want = cubin_of(key, (size_t)got->resources.smem_static);
  bool same = got->size == want.size && memcmp(got->data, want.data, want.size) == 0 &&
              memcmp(&got->resources, &want.resources, sizeof got->resources) == 0;
  fl4__cubin_free(&want);
  return same;
}

static void store(fl4__cubin_cache *cache, const fl4__cache_key *key, size_t size)
{
  fl4__cubin cubin = cubin_of(key, size);
  fl4__cubin_cache_store(cache, key, &cubin);
  fl4__cubin_free(&cubin);
}

/* Loads, and checks that what comes is right. */
static bool loads(fl4__cubin_cache *cache, const fl4__cache_key *key)
{
  fl4__cubin cubin;
  if (!fl4__cubin_cache_load(cache, key, &cubin)) {
    ck_assert_ptr_null(cubin.data);
    return false;
  }
  ck_assert(is_cubin_of(&cubin, key));
  fl4__cubin_free(&cubin);
  return true;
}

/* Number of files in the cache folder whose names begin with `prefix`. */
static int count_files(const char *prefix)
{
  int n = 0;
  DIR *files = opendir(in_scratch("cache"));
  if (!files) return -1;
  for (struct dirent *d; (d = readdir(files));) n += strncmp(d->d_name, prefix, strlen(prefix)) == 0;
  closedir(files);
  return n;
}

static int open_descriptors(void)
{
  int n = 0;
  DIR *files = opendir("/proc/self/fd");
  while (readdir(files)) n++;
  closedir(files);
  return n;
}

START_TEST(round_trip)
{
  static const size_t sizes[] = {1, 100, 4096, 1000003};
  int descriptors = open_descriptors();
  fl4__cubin_cache *cache = open_cache(0);
  ck_assert(!loads(cache, &key_a));
  for (int i = 0; i < 4; i++) {
    store(cache, &key_a, sizes[i]);
    ck_assert(loads(cache, &key_a));
    ck_assert(!loads(cache, &key_b));
  }
  struct stat s;
  ck_assert_int_eq(stat(entry_path(&key_a), &s), 0);
  ck_assert_int_eq(s.st_mode & 07777, 0600);
  ck_assert_int_eq(stat(in_scratch("cache"), &s), 0);
  ck_assert_int_eq(s.st_mode & 07777, 0700);
  ck_assert_int_eq(count_files(".tmp-"), 0);
  fl4__cubin_cache_close(cache);

  cache = open_cache(0); /* another process would see the same */
  ck_assert(loads(cache, &key_a));
  fl4__cubin_cache_remove(cache, &key_a);
  ck_assert(!loads(cache, &key_a));
  fl4__cubin_cache_close(cache);
  ck_assert_int_eq(open_descriptors(), descriptors);
  ck_assert_int_eq(heard.count[FL4_LOG_WARN], 0);
}
END_TEST

START_TEST(null_is_off)
{
  fl4_cache_info info = FL4_CACHE_INFO_INIT;
  info.bytes = info.nvrtc_version = 7;
  store(NULL, &key_a, 10);
  ck_assert(!loads(NULL, &key_a));
  fl4__cubin_cache_remove(NULL, &key_a);
  fl4__cubin_cache_describe(NULL, &info);
  ck_assert_int_eq(info.bytes, 0);
  fl4__cubin_cache_close(NULL);
}
END_TEST

START_TEST(describe)
{
  fl4_cache_info info = FL4_CACHE_INFO_INIT;
  fl4__cubin_cache *cache = open_cache(1 << 20);
  store(cache, &key_a, 1000);
  store(cache, &key_b, 2000);
  write_file(in_scratch("cache/other"), "other", 5);
  fl4__cubin_cache_describe(cache, &info);
  ck_assert_str_eq(info.dir, in_scratch("cache"));
  ck_assert_str_eq(info.why_off, "");
  ck_assert_int_eq(info.entries, 2);
  ck_assert_int_eq(info.bytes, 3000 + 2 * 72);
  ck_assert_int_eq(info.limit_bytes, 1 << 20);
  fl4__cubin_cache_close(cache);
}
END_TEST

/* ---- damage ---- */

/* The entry of key_a replaced by these bytes is refused, removed and talked about. */
static void check_damaged(fl4__cubin_cache *cache, const char *data, size_t size, const char *what, size_t at)
{
  write_file(entry_path(&key_a), data, size);
  heard.count[FL4_LOG_WARN] = 0;
  ck_assert_msg(!loads(cache, &key_a), "%s %zu", what, at);
  ck_assert_msg(!exists(entry_path(&key_a)), "%s %zu: not removed", what, at);
  ck_assert_int_eq(heard.count[FL4_LOG_WARN], 1);
  ck_assert_ptr_nonnull(strstr(heard.last[FL4_LOG_WARN], "damaged"));
}

START_TEST(truncated_and_longer)
{
  size_t size;
  fl4__cubin_cache *cache = open_cache(0);
  umask(077);
  store(cache, &key_a, 200);
  char *data = read_file(entry_path(&key_a), &size);
  for (size_t n = 0; n < size; n++) check_damaged(cache, data, n, "cut to", n);
  check_damaged(cache, data, size + 1, "grown to", size + 1);
  write_file(entry_path(&key_a), data, size); /* the test itself writes good files */
  ck_assert(loads(cache, &key_a));
  free(data);
  fl4__cubin_cache_close(cache);
}
END_TEST

START_TEST(flipped_bits)
{
  size_t size;
  fl4__cubin_cache *cache = open_cache(0);
  umask(077);
  store(cache, &key_a, 200);
  char *data = read_file(entry_path(&key_a), &size);
  for (size_t bit = 0; bit < 8 * size; bit++) {
    data[bit / 8] ^= (char)(1 << bit % 8);
    check_damaged(cache, data, size, "flipped bit", bit);
    data[bit / 8] ^= (char)(1 << bit % 8);
  }
  free(data);
  fl4__cubin_cache_close(cache);
}
END_TEST

/* Another version's entry, or a size that is not the file's, under a checksum that is right. */
START_TEST(wrong_but_summed)
{
  static const size_t fields[] = {24, 28, 48}; /* version, header size, cubin size */
  size_t size;
  fl4__cubin_cache *cache = open_cache(0);
  umask(077);
  store(cache, &key_a, 200);
  char *data = read_file(entry_path(&key_a), &size);
  for (int i = -1; i < 3; i++) {
    if (i >= 0) data[fields[i]]++;
    XXH128_hash_t sum = XXH3_128bits(data + 24, size - 24);
    memcpy(data + 8, &sum.high64, 8);
    memcpy(data + 16, &sum.low64, 8);
    if (i >= 0) {
      check_damaged(cache, data, size, "field at", fields[i]);
      data[fields[i]]--;
    } else { /* the test sums as the library does */
      write_file(entry_path(&key_a), data, size);
      ck_assert(loads(cache, &key_a));
    }
  }
  free(data);
  fl4__cubin_cache_close(cache);
}
END_TEST

START_TEST(renamed_entry)
{
  fl4__cubin_cache *cache = open_cache(0);
  store(cache, &key_a, 200);
  ck_assert_int_eq(rename(entry_path(&key_a), entry_path(&key_b)), 0);
  ck_assert(!loads(cache, &key_b));
  ck_assert(!exists(entry_path(&key_b)));
  fl4__cubin_cache_close(cache);
}
END_TEST

/* ---- files that are not ours ---- */

/* Whatever stands at the entry's place is refused without blocking; a new entry takes it if it can. */
static void check_refused(fl4__cubin_cache *cache, bool replaceable)
{
  heard.count[FL4_LOG_WARN] = 0;
  ck_assert(!loads(cache, &key_a));
  ck_assert_int_eq(heard.count[FL4_LOG_WARN], 1);
  ck_assert_ptr_nonnull(strstr(heard.last[FL4_LOG_WARN], "not a private file"));
  store(cache, &key_a, 200);
  ck_assert_int_eq(loads(cache, &key_a), replaceable);
  ck_assert_int_eq(count_files(".tmp-"), 0);
}

START_TEST(writable_by_others)
{
  static const mode_t modes[] = {0620, 0602, 0622, 0666};
  fl4__cubin_cache *cache = open_cache(0);
  for (int i = 0; i < 4; i++) {
    store(cache, &key_a, 200);
    ck_assert_int_eq(chmod(entry_path(&key_a), modes[i]), 0);
    check_refused(cache, true);
  }
  ck_assert_int_eq(chmod(entry_path(&key_a), 0644), 0); /* readable by others is harmless */
  ck_assert(loads(cache, &key_a));
  fl4__cubin_cache_close(cache);
}
END_TEST

START_TEST(symlink_to_entry)
{
  fl4__cubin_cache *cache = open_cache(0);
  store(cache, &key_a, 200);
  ck_assert_int_eq(rename(entry_path(&key_a), in_scratch("elsewhere")), 0);
  ck_assert_int_eq(symlink(in_scratch("elsewhere"), entry_path(&key_a)), 0);
  check_refused(cache, true);
  ck_assert(exists(in_scratch("elsewhere")));

  /* Storing over a link replaces the link, not what it points to. */
  size_t before, after;
  ck_assert_int_eq(symlink(in_scratch("elsewhere"), entry_path(&key_b)), 0);
  free(read_file(in_scratch("elsewhere"), &before));
  store(cache, &key_b, 5000);
  free(read_file(in_scratch("elsewhere"), &after));
  ck_assert_uint_eq(before, after);
  ck_assert(loads(cache, &key_b));
  fl4__cubin_cache_close(cache);
}
END_TEST

START_TEST(fifo_directory_and_giant)
{
  fl4__cubin_cache *cache = open_cache(0);
  ck_assert_int_eq(mkfifo(entry_path(&key_a), 0600), 0);
  check_refused(cache, true);

  unlink(entry_path(&key_a));
  ck_assert_int_eq(mkdir(entry_path(&key_a), 0700), 0);
  check_refused(cache, false);
  ck_assert_int_eq(rmdir(entry_path(&key_a)), 0);

  store(cache, &key_a, 200);
  ck_assert_int_eq(truncate(entry_path(&key_a), (64 << 20) + 1), 0);
  check_refused(cache, true);
  fl4__cubin_cache_close(cache);
}
END_TEST

START_TEST(foreign_owner)
{
  fl4__cubin_cache *cache = open_cache(0);
  store(cache, &key_a, 200);
  ck_assert_int_eq(chown(entry_path(&key_a), 65534, 65534), 0);
  check_refused(cache, true);
  fl4__cubin_cache_close(cache);
}
END_TEST

/* ---- folders and disks that do not take anything ---- */

static int use_read_only_folder(void *user)
{
  (void)user;
  fl4__cubin_cache *cache;
  fl4__cubin cubin = cubin_of(&key_a, 200), got;
  EXPECT(become_ordinary_user() == 0);
  EXPECT(fl4__cubin_cache_open(&log_, in_scratch("cache"), 0, &cache) == FL4_OK);
  fl4__cubin_cache_store(cache, &key_a, &cubin);
  EXPECT(fl4__cubin_cache_load(cache, &key_a, &got));
  EXPECT(chmod(in_scratch("cache"), 0500) == 0);
  EXPECT(fl4__cubin_cache_load(cache, &key_a, &got)); /* what is there still serves */
  heard.count[FL4_LOG_WARN] = 0;
  fl4__cubin_cache_store(cache, &key_b, &cubin);
  fl4__cubin_cache_store(cache, &key_b, &cubin);
  EXPECT(heard.count[FL4_LOG_WARN] == 1); /* once, not for every kernel */
  EXPECT(strstr(heard.last[FL4_LOG_WARN], "cannot be written: Permission denied"));
  EXPECT(!fl4__cubin_cache_load(cache, &key_b, &got));
  return 0;
}

START_TEST(read_only_folder)
{
  in_child(use_read_only_folder, NULL);
}
END_TEST

/* A limit on the size of files makes write() fail in the middle, as a full disk does. */
static int use_full_disk(void *user)
{
  fl4__cubin_cache *cache = user;
  fl4__cubin cubin = cubin_of(&key_b, 5000), got;
  signal(SIGXFSZ, SIG_IGN);
  EXPECT(setrlimit(RLIMIT_FSIZE, &(struct rlimit){1000, 1000}) == 0);
  heard.count[FL4_LOG_WARN] = 0;
  fl4__cubin_cache_store(cache, &key_b, &cubin);
  EXPECT(heard.count[FL4_LOG_WARN] == 1 && strstr(heard.last[FL4_LOG_WARN], "cannot be written: File too large"));
  EXPECT(!fl4__cubin_cache_load(cache, &key_b, &got));
  EXPECT(fl4__cubin_cache_load(cache, &key_a, &got));
  return 0;
}

START_TEST(full_disk)
{
  fl4__cubin_cache *cache = open_cache(0);
  store(cache, &key_a, 200);
  in_child(use_full_disk, cache);
  ck_assert(!exists(entry_path(&key_b)));
  ck_assert_int_eq(count_files(".tmp-"), 0);
  fl4__cubin_cache_close(cache);
}
END_TEST

START_TEST(folder_vanishes)
{
  fl4__cubin_cache *cache = open_cache(0);
  ck_assert_int_eq(rmdir(in_scratch("cache")), 0);
  store(cache, &key_a, 200);
  ck_assert(!loads(cache, &key_a));
  ck_assert_int_eq(heard.count[FL4_LOG_WARN], 1);
  fl4__cubin_cache_close(cache);
}
END_TEST

/* ---- the limit ---- */

START_TEST(prune_keeps_the_recently_used)
{
  enum { SIZE = 1000, FILE_SIZE = SIZE + 72 };
  fl4__cubin_cache *cache = open_cache(3 * FILE_SIZE);
  fl4__cache_key keys[5];
  for (int i = 0; i < 5; i++) keys[i] = (fl4__cache_key){(uint64_t)(i * 7919) << 40, (uint64_t)(100 - i)};
  for (int i = 0; i < 3; i++) store(cache, &keys[i], SIZE);
  ck_assert(loads(cache, &keys[0])); /* now 1 is the one used longest ago */
  store(cache, &keys[3], SIZE);
  ck_assert(!exists(entry_path(&keys[1])));
  for (int i = 0; i < 4; i++) ck_assert_int_eq(exists(entry_path(&keys[i])), i != 1);
  ck_assert(loads(cache, &keys[2]));
  store(cache, &keys[4], SIZE);
  for (int i = 0; i < 5; i++) ck_assert_int_eq(exists(entry_path(&keys[i])), i == 2 || i == 3 || i == 4);

  store(cache, &keys[0], 3 * FILE_SIZE); /* would throw out all others and still not fit */
  ck_assert(!exists(entry_path(&keys[0])));
  ck_assert_int_eq(count_files(".tmp-"), 0);
  for (int i = 2; i < 5; i++) ck_assert(loads(cache, &keys[i]));
  fl4__cubin_cache_close(cache);
}
END_TEST

START_TEST(prune_many_and_leave_others_alone)
{
  enum { SIZE = 100, N = 700 };
  fl4__cubin_cache *cache = open_cache(0);
  write_file(in_scratch("cache/notes.txt"), "mine", 4);
  for (uint64_t i = 0; i < N; i++) store(cache, &(fl4__cache_key){i, i}, SIZE);
  fl4__cubin_cache_close(cache);
  cache = open_cache(2 * (SIZE + 72));
  store(cache, &key_a, SIZE);
  ck_assert(exists(entry_path(&key_a)));
  ck_assert(exists(entry_path(&(fl4__cache_key){N - 1, N - 1})));
  ck_assert_int_eq(count_files("0"), 2); /* both names begin with a zero */
  ck_assert(exists(in_scratch("cache/notes.txt")));
  fl4__cubin_cache_close(cache);
}
END_TEST

START_TEST(stale_temporary_files)
{
  fl4__cubin_cache *cache = open_cache(0);
  struct timeval old[2], now;
  gettimeofday(&now, NULL);
  old[0] = old[1] = (struct timeval){now.tv_sec - 2 * 3600, 0};
  write_file(in_scratch("cache/.tmp-1-1"), "old", 3);
  write_file(in_scratch("cache/.tmp-1-2"), "new", 3);
  ck_assert_int_eq(utimes(in_scratch("cache/.tmp-1-1"), old), 0);
  store(cache, &key_a, 100);
  ck_assert(!exists(in_scratch("cache/.tmp-1-1")));
  ck_assert(exists(in_scratch("cache/.tmp-1-2")));
  fl4__cubin_cache_close(cache);
}
END_TEST

/* ---- several processes ---- */

/* Stores and loads shared and own keys at random; whatever is loaded must be right. */
static int hammer(void *user)
{
  int64_t limit = *(int64_t *)user;
  fl4__cubin_cache *cache;
  unsigned seed = (unsigned)getpid();
  int hits = 0;
  EXPECT(fl4__cubin_cache_open(&log_, in_scratch("cache"), limit, &cache) == FL4_OK);
  for (int i = 0; i < 300; i++) {
    int which = rand_r(&seed) % 6;
    fl4__cache_key key = {(uint64_t)which, which < 5 ? (uint64_t)which : (uint64_t)getpid()};
    fl4__cubin cubin = cubin_of(&key, 3000 + 500 * (size_t)(rand_r(&seed) % 5)), got;
    if (rand_r(&seed) % 2) fl4__cubin_cache_store(cache, &key, &cubin);
    if (fl4__cubin_cache_load(cache, &key, &got)) {
      EXPECT(is_cubin_of(&got, &key));
      fl4__cubin_free(&got);
      hits++;
    }
    fl4__cubin_free(&cubin);
  }
  EXPECT(hits > 30);
  EXPECT(heard.count[FL4_LOG_WARN] == 0); /* nobody ever saw half a file */
  fl4__cubin_cache_close(cache);
  return 0;
}

START_TEST(eight_processes)
{
  static const int64_t limits[] = {0, 20000};
  int64_t limit = limits[_i];
  pid_t children[8];
  memset(&heard, 0, sizeof heard);
  for (int i = 0; i < 8; i++) children[i] = start_child(hammer, &limit);
  for (int i = 0; i < 8; i++) wait_child(children[i]);
  ck_assert_int_eq(count_files(".tmp-"), 0);
}
END_TEST

static Suite *suite(void)
{
  Suite *s = suite_create("cubin_cache");
  TCase *t = tcase_create("cubin_cache");
  tcase_set_timeout(t, 60);
  tcase_add_checked_fixture(t, scratch_setup, scratch_teardown);
  tcase_add_test(t, round_trip);
  tcase_add_test(t, null_is_off);
  tcase_add_test(t, describe);
  tcase_add_test(t, truncated_and_longer);
  tcase_add_test(t, flipped_bits);
  tcase_add_test(t, wrong_but_summed);
  tcase_add_test(t, renamed_entry);
  tcase_add_test(t, writable_by_others);
  tcase_add_test(t, symlink_to_entry);
  tcase_add_test(t, fifo_directory_and_giant);
  if (geteuid() == 0)
    tcase_add_test(t, foreign_owner);
  else
    fputs("foreign_owner: skipped, only root can give a file away\n", stderr);
  tcase_add_test(t, read_only_folder);
  tcase_add_test(t, full_disk);
  tcase_add_test(t, folder_vanishes);
  tcase_add_test(t, prune_keeps_the_recently_used);
  tcase_add_test(t, prune_many_and_leave_others_alone);
  tcase_add_test(t, stale_temporary_files);
  tcase_add_loop_test(t, eight_processes, 0, 2);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN(suite)
