/* SPDX-License-Identifier: Apache-2.0 */
/* Runs another program without a shell, keeps what it says, and ends it when its time is over. */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum { KEEP = 16 << 20 }; /* bytes of each stream; far more than any profiler says about one launch */

/* One of the two streams. The memory is asked for once: pages that are not written cost nothing. */
typedef struct stream {
  int read_end, write_end; /* -1: closed */
  char *text;
  size_t size;
} stream;

static volatile sig_atomic_t asked_to_end;

static void on_signal(int number)
{
  asked_to_end = number;
}

static double now(void)
{
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void close_end(int *fd)
{
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

static int open_stream(stream *s)
{
  int ends[2];
  s->text = malloc(KEEP + 1);
  if (!s->text) return ENOMEM;
  if (pipe2(ends, O_CLOEXEC) != 0) return errno;
  s->read_end = ends[0], s->write_end = ends[1];
  return 0;
}

/* Reads what is there; what is more than KEEP is dropped, so that the program never blocks on us. */
static void read_stream(stream *s, bool *cut)
{
  char rest[4096];
  size_t room = KEEP - s->size;
  ssize_t n = room ? read(s->read_end, s->text + s->size, room) : read(s->read_end, rest, sizeof rest);
  if (n > 0 && room) s->size += (size_t)n;
  if (n > 0 && !room) *cut = true;
  if (n == 0 || (n < 0 && errno != EINTR)) close_end(&s->read_end);
}

/* Its input is empty, its signals are as ours were, and its group is its own: none can be a leftover of another. */
static int spawn(const char *const *argv, const stream *out, const stream *err, const sigset_t *mask, pid_t *pid)
{
  posix_spawn_file_actions_t files;
  posix_spawnattr_t how;
  posix_spawn_file_actions_init(&files);
  posix_spawnattr_init(&how);
  posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&files, out->write_end, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&files, err->write_end, STDERR_FILENO);
  posix_spawnattr_setflags(&how, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
  posix_spawnattr_setpgroup(&how, 0);
  posix_spawnattr_setsigmask(&how, mask);
  int error = posix_spawn(pid, argv[0], &files, &how, (char *const *)argv, environ);
  posix_spawnattr_destroy(&how);
  posix_spawn_file_actions_destroy(&files);
  return error;
}

/* Has it ended? It stays a zombie, so that the number of its group cannot become another's yet. */
static bool has_ended(pid_t pid)
{
  siginfo_t info = {.si_pid = 0};
  return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid;
}

static void wait_for(pid_t pid, stream *out, stream *err, double seconds, const sigset_t *mask, cli_process *p)
{
  const struct timespec tick = {0, 20 * 1000 * 1000};
  const double grace = 0.5; /* for what a grandchild still writes after the program ended */
  double deadline = now() + seconds;
  bool ended = false;
  while (!ended || out->read_end >= 0 || err->read_end >= 0) {
    struct pollfd fds[2] = {{out->read_end, POLLIN, 0}, {err->read_end, POLLIN, 0}};
    if (ppoll(fds, 2, &tick, mask) > 0) {
      if (fds[0].revents) read_stream(out, &p->cut);
      if (fds[1].revents) read_stream(err, &p->cut);
    }
    if (asked_to_end) {
      p->interrupted = asked_to_end;
      break;
    }
    if (!ended && has_ended(pid)) {
      ended = true;
      deadline = now() + grace;
    }
    if (now() >= deadline) {
      p->timed_out = !ended;
      break;
    }
  }
  kill(-pid, SIGKILL);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
  p->exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int cli_process_run(const char *const *argv, double seconds, cli_process *p)
{
  static const int ending[] = {SIGINT, SIGTERM, SIGHUP};
  enum { N_ENDING = sizeof ending / sizeof ending[0] };
  *p = (cli_process){0};
  stream out = {-1, -1, NULL, 0}, err = {-1, -1, NULL, 0};
  pid_t pid = 0;
  int error = open_stream(&out);
  if (!error) error = open_stream(&err);

  /* The signals come through only while ppoll() waits, so none can be missed between two waits. */
  struct sigaction action = {.sa_handler = on_signal}, old[N_ENDING];
  sigset_t blocked, mask;
  sigemptyset(&blocked);
  for (int i = 0; i < N_ENDING; i++) sigaddset(&blocked, ending[i]);
  sigprocmask(SIG_BLOCK, &blocked, &mask);
  asked_to_end = 0;
  for (int i = 0; i < N_ENDING; i++) {
    sigaction(ending[i], NULL, &old[i]);
    if (old[i].sa_handler != SIG_IGN) sigaction(ending[i], &action, NULL); /* nohup stays nohup */
  }

  if (!error) error = spawn(argv, &out, &err, &mask, &pid);
  close_end(&out.write_end);
  close_end(&err.write_end);
  if (!error) wait_for(pid, &out, &err, seconds, &mask, p);

  for (int i = 0; i < N_ENDING; i++) sigaction(ending[i], &old[i], NULL);
  sigprocmask(SIG_SETMASK, &mask, NULL);
  close_end(&out.read_end);
  close_end(&err.read_end);
  if (error) {
    free(out.text);
    free(err.text);
    return error;
  }
  out.text[out.size] = err.text[err.size] = '\0';
  p->out = out.text, p->err = err.text;
  return 0;
}

void cli_process_free(cli_process *p)
{
  free(p->out);
  free(p->err);
  *p = (cli_process){0};
}
