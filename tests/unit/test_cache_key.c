/* SPDX-License-Identifier: Apache-2.0 */
/* The cubin cache: which folder it takes, what its keys depend on, and the stamp. Opens no real NVRTC. */
#include "cuda/cubin_cache.h"
#include "cuda/nvrtc_stamp.h"
#include "scratch.h"

static listener heard;
static fl4__log log_ = {listen_fn, &heard, FL4_LOG_DEBUG};

/* ---- the folder ---- */

/* The folder that a cache opened with `dir` uses, or NULL and why not. */
static const char *folder_of(const char *dir, const char **why_off)
{
  static fl4_cache_info info;
  fl4__cubin_cache *cache;
  memset(&heard, 0, sizeof heard);
  ck_assert_fl4(fl4__cubin_cache_open(&log_, dir, 0, &cache));
  fl4__cubin_cache_describe(cache, &info);
  fl4__cubin_cache_close(cache);
  if (why_off) *why_off = info.why_off;
  ck_assert_int_ne(info.dir[0] != '\0', info.why_off[0] != '\0');
  return info.dir[0] ? info.dir : NULL;
}

static void check_off(const char *dir, const char *words)
{
  const char *why_off;
  const char *folder = folder_of(dir, &why_off);
  ck_assert_msg(!folder, "%s is used", folder);
  ck_assert_msg(strstr(why_off, words) != NULL, "\"%s\" does not say \"%s\"", why_off, words);
  ck_assert_int_eq(heard.count[FL4_LOG_WARN], 1);
  ck_assert_ptr_nonnull(strstr(heard.last[FL4_LOG_WARN], words));
}

START_TEST(default_folders)
{
  struct stat s;
  ck_assert_str_eq(folder_of(NULL, NULL), in_scratch(".cache/flashl4"));
  ck_assert_int_eq(stat(in_scratch(".cache"), &s), 0);
  ck_assert_int_eq(s.st_mode & 07777, 0700);
  ck_assert_str_eq(folder_of("", NULL), in_scratch(".cache/flashl4"));
  setenv("XDG_CACHE_HOME", "relative", 1);
  ck_assert_str_eq(folder_of(NULL, NULL), in_scratch(".cache/flashl4"));
  setenv("XDG_CACHE_HOME", in_scratch("xdg"), 1);
  ck_assert_str_eq(folder_of(NULL, NULL), in_scratch("xdg/flashl4"));
  setenv("FLASHL4_CACHE_DIR", in_scratch("own"), 1);
  ck_assert_str_eq(folder_of(NULL, NULL), in_scratch("own"));
  ck_assert_str_eq(folder_of(in_scratch("a/b/c//"), NULL), in_scratch("a/b/c"));
  ck_assert_int_eq(heard.count[FL4_LOG_WARN], 0);
}
END_TEST

START_TEST(no_home)
{
  unsetenv("HOME");
  check_off(NULL, "HOME");
  ck_assert_int_eq(mkdir(in_scratch("file_parent"), 0700), 0);
  write_file(in_scratch("file_parent/file"), "", 0);
  setenv("HOME", in_scratch("file_parent/file"), 1); /* cannot be made, not even by root */
  check_off(NULL, "cannot be opened: Not a directory");
}
END_TEST

START_TEST(turned_off)
{
  const char *why_off;
  setenv("FLASHL4_CACHE", "0", 1);
  ck_assert_ptr_null(folder_of(in_scratch("cache"), &why_off));
  ck_assert_str_eq(why_off, "FLASHL4_CACHE is 0");
  ck_assert_int_eq(heard.count[FL4_LOG_WARN], 0); /* as asked: nothing to warn of */
  ck_assert_int_eq(heard.count[FL4_LOG_INFO], 1);
  ck_assert(!exists(in_scratch("cache")));
  setenv("FLASHL4_CACHE", "1", 1);
  ck_assert_str_eq(folder_of(in_scratch("cache"), NULL), in_scratch("cache"));
}
END_TEST

START_TEST(unfit_folders)
{
  const char *dir = in_scratch("cache");
  static const mode_t modes[] = {0770, 0702, 0777};
  ck_assert_int_eq(mkdir(dir, 0700), 0);
  for (int i = 0; i < 3; i++) {
    ck_assert_int_eq(chmod(dir, modes[i]), 0);
    check_off(dir, "written by other users");
  }
  ck_assert_int_eq(chmod(dir, 0755), 0);
  ck_assert_str_eq(folder_of(dir, NULL), dir);

  ck_assert_int_eq(symlink(dir, in_scratch("link")), 0);
  check_off(in_scratch("link"), "symbolic link");
  check_off(in_scratch("link/"), "symbolic link");
  write_file(in_scratch("file"), "", 0);
  check_off(in_scratch("file"), "Not a directory");

  char *name = malloc(PATH_MAX + 1);
  memset(name, 'd', PATH_MAX), name[PATH_MAX] = '\0';
  check_off(name, "too long");
  free(name);
}
END_TEST

START_TEST(foreign_folder)
{
  ck_assert_int_eq(mkdir(in_scratch("cache"), 0700), 0);
  ck_assert_int_eq(chown(in_scratch("cache"), 65534, 65534), 0);
  check_off(in_scratch("cache"), "belongs to another user");
}
END_TEST

static int open_with_other_rights(void *user)
{
  (void)user;
  fl4__cubin_cache *cache;
  fl4_cache_info info = FL4_CACHE_INFO_INIT;
  EXPECT(seteuid(65534) == 0);
  EXPECT(fl4__cubin_cache_open(NULL, in_scratch("cache"), 0, &cache) == FL4_OK);
  fl4__cubin_cache_describe(cache, &info);
  EXPECT(strstr(info.why_off, "another user's rights"));
  EXPECT(!exists(in_scratch("cache")));
  return 0;
}

START_TEST(other_rights)
{
  in_child(open_with_other_rights, NULL);
}
END_TEST

/* ---- keys ---- */

/* A stand-in for NVRTC that only a stamp speaks of: the stamp holds, and opening it fails. */
static fl4__nvrtc_identity write_stamp(int version, int size)
{
  struct stat s;
  fl4__cache_dir folder;
  fl4__nvrtc_identity identity = {.version = version};
  char text[64] = {0};
  snprintf(identity.path, sizeof identity.path, "%s", in_scratch("libnvrtc-stand-in"));
  write_file(identity.path, text, (size_t)size);
  ck_assert_int_eq(stat(identity.path, &s), 0);
  identity.size = s.st_size;
  identity.mtime_ns = (long long)s.st_mtim.tv_sec * 1000000000 + s.st_mtim.tv_nsec;
  setenv("FLASHL4_NVRTC", identity.path, 1);
  ck_assert_fl4(fl4__cache_dir_open(in_scratch("cache"), &folder));
  fl4__nvrtc_stamp_write(&folder, &identity);
  fl4__cache_dir_close(&folder);
  return identity;
}

typedef struct input {
  fl4__source main, headers[2];
  int n_headers;
  const char *options[3];
  int n_options;
  const char *arch;
} input;

static const input base = {
    .main = {"k.cu", "main text"},
    .headers = {{"a.cuh", "text a"}, {"b.cuh", "text b"}},
    .n_headers = 2,
    .options = {"-DFL4_BM=128", "-DFL4_BN=64", "-DFL4_D=80"},
    .n_options = 3,
    .arch = "sm_89",
};

static fl4_status key_of(fl4__cubin_cache *cache, const input *in, fl4__cache_key *key)
{
  return fl4__cubin_cache_key(cache, &in->main, in->headers, in->n_headers, in->options, in->n_options, in->arch, key);
}

/* The key of an input as a new process with a cache in the scratch folder would find it. */
static fl4_status fresh_key(const input *in, fl4__cache_key *key)
{
  fl4__cubin_cache *cache;
  ck_assert_fl4(fl4__cubin_cache_open(&log_, in_scratch("cache"), 0, &cache));
  fl4_status status = key_of(cache, in, key);
  fl4__cubin_cache_close(cache);
  return status;
}

static bool same(fl4__cache_key a, fl4__cache_key b)
{
  return a.high == b.high && a.low == b.low;
}

START_TEST(each_part_counts)
{
  input inputs[16];
  fl4__cache_key keys[20];
  int n = 0;
  for (int i = 0; i < 16; i++) inputs[i] = base;
  n++; /* 0: the base itself */
  inputs[n++].main.text = "main text ";
  inputs[n++].main.name = "l.cu";
  inputs[n].main.name = "k.cum", inputs[n++].main.text = "ain text"; /* the same bytes, cut elsewhere */
  inputs[n++].headers[1].text = "text B";
  inputs[n++].headers[0].name = "A.cuh";
  inputs[n].headers[0] = base.headers[1], inputs[n++].headers[1] = base.headers[0];
  inputs[n++].n_headers = 1;
  inputs[n++].options[2] = "-DFL4_D=96";
  inputs[n].options[0] = base.options[1], inputs[n++].options[1] = base.options[0];
  inputs[n++].n_options = 2;
  inputs[n].options[0] = "-DFL4_BM=12", inputs[n++].options[1] = "8-DFL4_BN=64";
  inputs[n++].arch = "sm_90";
  inputs[n++].arch = "sm_90a";
  inputs[n].n_options = 2, inputs[n++].arch = base.options[2];
  ck_assert_int_le(n, 16);

  write_stamp(13000, 10);
  for (int i = 0; i < n; i++) ck_assert_fl4(fresh_key(&inputs[i], &keys[i]));
  write_stamp(13010, 10);
  ck_assert_fl4(fresh_key(&base, &keys[n++]));
  write_stamp(13000, 11); /* an update that keeps its version number */
  ck_assert_fl4(fresh_key(&base, &keys[n++]));
  for (int i = 0; i < n; i++)
    for (int j = 0; j < i; j++) ck_assert_msg(!same(keys[i], keys[j]), "inputs %d and %d have the same key", i, j);

  fl4__cache_key again;
  write_stamp(13000, 10);
  ck_assert_fl4(fresh_key(&base, &again));
  ck_assert(same(again, keys[0]));
  ck_assert(!fl4__nvrtc_loaded());
}
END_TEST

/* ---- the stamp ---- */

START_TEST(stamp_describes)
{
  fl4__cubin_cache *cache;
  fl4_cache_info info = FL4_CACHE_INFO_INIT;
  ck_assert_fl4(fl4__cubin_cache_open(&log_, in_scratch("cache"), 0, &cache));
  fl4__cubin_cache_describe(cache, &info);
  ck_assert_int_eq(info.nvrtc_version, 0);
  write_stamp(12090, 10);
  fl4__cubin_cache_describe(cache, &info);
  ck_assert_int_eq(info.nvrtc_version, 12090);
  ck_assert_int_eq(info.entries, 0);
  fl4__cubin_cache_close(cache);
}
END_TEST

START_TEST(no_stamp_and_no_nvrtc)
{
  fl4__cache_key key;
  setenv("FLASHL4_NVRTC", in_scratch("missing.so"), 1);
  ck_assert_fl4_fails(fresh_key(&base, &key), FL4_LIBRARY_MISSING, in_scratch("missing.so"));
  ck_assert_fl4_fails(key_of(NULL, &base, &key), FL4_LIBRARY_MISSING, "FLASHL4_NVRTC");
  ck_assert(!exists(in_scratch("cache/nvrtc")));
  ck_assert(!fl4__nvrtc_loaded());

  fl4__cubin cubin;
  ck_assert_fl4_fails(fl4__nvrtc_compile(NULL, &base.main, NULL, 0, NULL, 0, "sm_89", &cubin), FL4_LIBRARY_MISSING,
                      in_scratch("missing.so"));
  setenv("FLASHL4_NVRTC", "libm.so.6", 1); /* a library, but another one */
  ck_assert_fl4_fails(key_of(NULL, &base, &key), FL4_LIBRARY_MISSING, "has no nvrtcVersion");
}
END_TEST

/* NVRTC gone or changed beyond use: what it was is remembered, so a filled cache serves on. */
START_TEST(stamp_outlives_nvrtc)
{
  fl4__cache_key before, after;
  fl4__nvrtc_identity identity = write_stamp(13000, 10);
  ck_assert_fl4(fresh_key(&base, &before));
  memset(&heard, 0, sizeof heard);
  ck_assert_int_eq(unlink(identity.path), 0);
  ck_assert_fl4(fresh_key(&base, &after));
  ck_assert(same(before, after));
  ck_assert_ptr_nonnull(strstr(heard.last[FL4_LOG_INFO], "using kernels of NVRTC 13.0"));
  write_file(identity.path, "not a library", 13);
  ck_assert_fl4(fresh_key(&base, &after));
  ck_assert(same(before, after));
}
END_TEST

START_TEST(stamp_of_another_choice)
{
  fl4__cache_key key;
  write_stamp(13000, 10);
  ck_assert_fl4(fresh_key(&base, &key));
  setenv("FLASHL4_NVRTC", in_scratch("other.so"), 1);
  ck_assert_fl4_fails(fresh_key(&base, &key), FL4_LIBRARY_MISSING, "other.so");
}
END_TEST

START_TEST(stamp_damaged)
{
  size_t size;
  fl4__cache_key key;
  write_stamp(13000, 10);
  umask(077);
  char *text = read_file(in_scratch("cache/nvrtc"), &size);
  for (size_t i = 0; i < size; i++) {
    text[i] ^= 1;
    write_file(in_scratch("cache/nvrtc"), text, size);
    ck_assert_msg(fresh_key(&base, &key) == FL4_LIBRARY_MISSING, "byte %zu flipped, and believed", i);
    text[i] ^= 1;
    write_file(in_scratch("cache/nvrtc"), text, i);
    ck_assert_msg(fresh_key(&base, &key) == FL4_LIBRARY_MISSING, "cut to %zu bytes, and believed", i);
  }
  write_file(in_scratch("cache/nvrtc"), text, size);
  ck_assert_fl4(fresh_key(&base, &key));
  ck_assert_int_eq(chmod(in_scratch("cache/nvrtc"), 0620), 0);
  ck_assert_int_eq(fresh_key(&base, &key), FL4_LIBRARY_MISSING);
  free(text);
}
END_TEST

static Suite *suite(void)
{
  Suite *s = suite_create("cache_key");
  TCase *t = tcase_create("cache_key");
  tcase_add_checked_fixture(t, scratch_setup, scratch_teardown);
  tcase_add_test(t, default_folders);
  tcase_add_test(t, no_home);
  tcase_add_test(t, turned_off);
  tcase_add_test(t, unfit_folders);
  if (geteuid() == 0) {
    tcase_add_test(t, foreign_folder);
    tcase_add_test(t, other_rights);
  } else {
    fputs("foreign_folder, other_rights: skipped, only root can do these\n", stderr);
  }
  tcase_add_test(t, each_part_counts);
  tcase_add_test(t, stamp_describes);
  tcase_add_test(t, no_stamp_and_no_nvrtc);
  tcase_add_test(t, stamp_outlives_nvrtc);
  tcase_add_test(t, stamp_of_another_choice);
  tcase_add_test(t, stamp_damaged);
  suite_add_tcase(s, t);
  return s;
}

FL4_TEST_MAIN(suite)
