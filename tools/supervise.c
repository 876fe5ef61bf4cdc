/* SPDX-License-Identifier: Apache-2.0 */
/* A command that runs itself a second time and outlives its crashes. */
#include "supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

/* "RESTARTS:PIPE:PARENT:FOLDER" makes a process the child. */
static const char variable[] = "FL4_SUPERVISED";
enum { MOST_RESTARTS = 20, ALIVE = 'a', IDLE = 'i' };

/* The child */

bool supervised_open(supervised *child)
{
  const char *text = getenv(variable);
  int parent, at = 0;
  *child = (supervised){.pipe = -1};
  if (!text || sscanf(text, "%d:%d:%d:%n", &child->restarts, &child->pipe, &parent, &at) < 3 || at == 0) return false;
  snprintf(child->folder, sizeof child->folder, "%s", text + at);
  unsetenv(variable); /* whom it starts is no child of the supervisor */
  fcntl(child->pipe, F_SETFD, FD_CLOEXEC);
  /* A child that nobody watches would still hold the log when it is resumed. */
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) raise(SIGKILL);
  signal(SIGPIPE, SIG_IGN);
  return true;
}

static void tell(const supervised *child, char sign)
{
  if (write(child->pipe, &sign, 1) < 0) return; /* then nobody is there to be told */
}

void supervised_alive(const supervised *child)
{
  tell(child, ALIVE);
}

void supervised_idle(const supervised *child)
{
  tell(child, IDLE);
}

static FILE *open_left(const supervised *child, const char *mode)
{
  char name[PATH_MAX + 8];
  snprintf(name, sizeof name, "%s/left", child->folder);
  return fopen(name, mode);
}

int supervised_leave(const supervised *child, const json_t *object)
{
  FILE *file = open_left(child, "a");
  bool good = file && json_dumpf(object, file, JSON_COMPACT | JSON_REAL_PRECISION(17)) == 0 && fputc('\n', file) > 0;
  if (file && fclose(file) != 0) good = false;
  return good ? CLI_GOOD : cli_fail(CLI_DEVICE, "cannot write into %s: %s", child->folder, strerror(errno));
}

json_t *supervised_left(const supervised *child)
{
  json_t *all = cli_array(), *object;
  FILE *file = open_left(child, "r");
  while (file && (object = json_loadf(file, JSON_DISABLE_EOF_CHECK, NULL))) cli_append(all, object);
  if (file) fclose(file);
  return all;
}

/* The supervisor */

static volatile sig_atomic_t signals;

static void on_signal(int number)
{
  (void)number;
  signals++;
}

static double now(void)
{
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static const char *const names[] = {"log", "left"};

static void path_of(const char *folder, const char *name, char path[PATH_MAX + 8])
{
  snprintf(path, PATH_MAX + 8, "%s/%s", folder, name);
}

static int make_folder(char folder[PATH_MAX])
{
  const char *where = getenv("TMPDIR");
  snprintf(folder, PATH_MAX, "%s/fl4-XXXXXX", where && *where ? where : "/tmp");
  if (mkdtemp(folder)) return CLI_GOOD;
  return cli_fail(CLI_DEVICE, "cannot make a folder like %s: %s", folder, strerror(errno));
}

static void remove_folder(const char *folder)
{
  char path[PATH_MAX + 8];
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    path_of(folder, names[i], path);
    unlink(path);
  }
  rmdir(folder);
}

/* Standard input can be read once, but a child may have to read it again. */
static int keep_input(bool wanted, FILE **kept)
{
  char block[4096];
  size_t n;
  *kept = wanted ? tmpfile() : fopen("/dev/null", "r");
  if (!*kept) return cli_fail(CLI_DEVICE, "cannot keep standard input: %s", strerror(errno));
  while (wanted && (n = fread(block, 1, sizeof block, stdin)) > 0) fwrite(block, 1, n, *kept);
  if (wanted && ferror(stdin)) return cli_fail(CLI_UNUSABLE, "standard input: cannot be read");
  if (fflush(*kept) == 0) return CLI_GOOD;
  return cli_fail(CLI_DEVICE, "cannot keep standard input: %s", strerror(errno));
}

typedef struct job {
  const supervise *settings;
  FILE *input;
  sigset_t mask; /* signals that were blocked before */
  char folder[PATH_MAX];
} job;

/*
 * The child stays in our process group, so that Ctrl-Z stops both; it ignores Ctrl-C and ends when we
 * tell it to by SIGTERM.
 */
static int spawn(const job *j, int restarts, pid_t *pid, int *pipe_end)
{
  char text[PATH_MAX + 64];
  int ends[2];
  if (pipe(ends) != 0) return errno;
  fcntl(ends[0], F_SETFD, FD_CLOEXEC);
  fcntl(ends[1], F_SETFL, O_NONBLOCK); /* a stopped supervisor must not stop the child */
  lseek(fileno(j->input), 0, SEEK_SET);
  snprintf(text, sizeof text, "%d:%d:%d:%s", restarts, ends[1], (int)getpid(), j->folder);
  setenv(variable, text, 1);

  posix_spawn_file_actions_t files;
  posix_spawnattr_t how;
  posix_spawn_file_actions_init(&files);
  posix_spawnattr_init(&how);
  posix_spawn_file_actions_adddup2(&files, fileno(j->input), STDIN_FILENO);
  posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK);
  posix_spawnattr_setsigmask(&how, &j->mask);
  int error = posix_spawn(pid, "/proc/self/exe", &files, &how, j->settings->options->argv, environ);
  posix_spawnattr_destroy(&how);
  posix_spawn_file_actions_destroy(&files);
  unsetenv(variable);
  close(ends[1]);
  if (error) close(ends[0]);
  *pipe_end = ends[0];
  return error;
}

typedef struct watch {
  pid_t pid;
  int pipe;      /* -1: the child has closed it */
  bool alive;    /* it has said so, at least once */
  bool watching; /* it works; silence counts */
  bool killed;   /* for its silence */
  int told;      /* signals passed on */
  double silent; /* seconds since; those in which we were stopped ourselves do not count */
  const char *log;
  off_t size; /* of the log */
} watch;

static void listen_to(watch *w)
{
  char signs[256];
  ssize_t n = read(w->pipe, signs, sizeof signs);
  if (n > 0) {
    w->silent = 0;
    w->watching = signs[n - 1] == ALIVE;
    w->alive |= memchr(signs, ALIVE, (size_t)n) != NULL;
  } else if (n == 0 || errno != EINTR) {
    close(w->pipe);
    w->pipe = -1;
  }
}

static void look_at_log(watch *w)
{
  struct stat found;
  if (stat(w->log, &found) != 0 || found.st_size == w->size) return;
  w->size = found.st_size;
  w->silent = 0;
}

/* Until it ends; gives its status as waitpid() does. */
static int wait_for(watch *w, double patience, const sigset_t *mask)
{
  const struct timespec tick = {0, 50 * 1000 * 1000};
  const double most = 0.5; /* that a turn may count */
  double before = now();
  int status = 0;
  while (waitpid(w->pid, &status, WNOHANG) == 0) {
    struct pollfd fd = {w->pipe, POLLIN, 0};
    bool said = ppoll(&fd, 1, &tick, mask) > 0;
    const double turn = now() - before;
    before += turn;
    w->silent += turn < most ? turn : most;
    if (said) listen_to(w);
    look_at_log(w);
    if (signals > w->told) kill(w->pid, ++w->told == 1 ? SIGTERM : SIGKILL);
    if (w->watching && !w->killed && w->silent > patience) {
      w->killed = true;
      kill(w->pid, SIGKILL);
    }
  }
  if (w->pipe >= 0) listen_to(w); /* what it said last */
  if (w->pipe >= 0) close(w->pipe);
  return status;
}

/* Why it has to run again, in words; NULL: it need not. */
static const char *why_again(const watch *w, int status, double patience, char why[128])
{
  if (w->killed)
    snprintf(why, 128, "did nothing for %.3g s and was killed", patience);
  else if (WIFSIGNALED(status))
    snprintf(why, 128, "was ended by signal %d, %s", WTERMSIG(status), strsignal(WTERMSIG(status)));
  else if (WEXITSTATUS(status) == SUPERVISED_AGAIN)
    snprintf(why, 128, "met a device error");
  else if (WEXITSTATUS(status) != CLI_GOOD && WEXITSTATUS(status) != CLI_UNUSABLE && WEXITSTATUS(status) != CLI_DEVICE)
    snprintf(why, 128, "ended with exit code %d", WEXITSTATUS(status)); /* a sanitizer's, or that of some library */
  else
    return NULL;
  return why;
}

static int run_all(const job *j)
{
  const supervise *s = j->settings;
  char log[PATH_MAX + 8], why[128];
  path_of(j->folder, "log", log);
  for (int restarts = 0;; restarts++) {
    watch w = {.log = s->log ? s->log : log};
    int error = spawn(j, restarts, &w.pid, &w.pipe);
    if (error) return cli_fail(CLI_DEVICE, "cannot run this program again: %s", strerror(error));
    int status = wait_for(&w, s->patience, &j->mask);
    const char *again = why_again(&w, status, s->patience, why);
    if (!again) return WEXITSTATUS(status);
    if (signals) return cli_fail(CLI_UNUSABLE, "interrupted");
    if (!w.alive) return cli_fail(CLI_DEVICE, "the process that does the work %s before it began", again);
    if (restarts == MOST_RESTARTS)
      return cli_fail(CLI_DEVICE, "the process that does the work %s, after %d restarts", again, restarts);
    cli_fail(0, "the process that does the work %s; started again, what it was trying counts as failed", again);
  }
}

/* The signals come through only while ppoll() waits, so none can be missed between two waits. */
static int run_with_signals(job *j)
{
  static const int ending[] = {SIGINT, SIGTERM, SIGHUP};
  enum { N_ENDING = sizeof ending / sizeof ending[0] };
  struct sigaction action = {.sa_handler = on_signal}, old[N_ENDING];
  sigset_t blocked;
  sigemptyset(&blocked);
  for (int i = 0; i < N_ENDING; i++) sigaddset(&blocked, ending[i]);
  sigprocmask(SIG_BLOCK, &blocked, &j->mask);
  signals = 0;
  for (int i = 0; i < N_ENDING; i++) {
    sigaction(ending[i], NULL, &old[i]);
    if (old[i].sa_handler != SIG_IGN) sigaction(ending[i], &action, NULL); /* nohup stays nohup */
  }
  int code = run_all(j);
  for (int i = 0; i < N_ENDING; i++) sigaction(ending[i], &old[i], NULL);
  sigprocmask(SIG_SETMASK, &j->mask, NULL);
  return code;
}

int supervise_run(const supervise *settings)
{
  job j = {.settings = settings};
  int code = keep_input(settings->input, &j.input);
  if (code == CLI_GOOD) code = make_folder(j.folder);
  if (code == CLI_GOOD) {
    code = run_with_signals(&j);
    remove_folder(j.folder);
  }
  if (j.input) fclose(j.input);
  return code;
}
