/* SPDX-License-Identifier: BSD-3-Clause */
/* child.c - see child.h. */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

bool child_fork(struct child *child, double seconds, bool tied)
{
    pid_t parent = getpid();

    fflush(NULL);
    *child =
        (struct child){.group = seconds > 0, .deadline = seconds > 0 ? now_seconds() + seconds : 0};
    child->pid = fork();
    if (child->pid < 0)
        fail(EXIT_TOOL, "fork: %s", strerror(errno));
    if (child->pid == 0) {
        if (child->group)
            setpgid(0, 0);
        if (tied && (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent))
            _exit(EXIT_TOOL); /* the parent died before it could be heard of */
        return true;
    }
    if (child->group)
        setpgid(child->pid, child->pid); /* whoever comes first: it must be so before a kill */
    child->fd = pidfd_open(child->pid, 0);
    if (child->fd < 0)
        fail(EXIT_TOOL, "pidfd_open: %s", strerror(errno));
    return false;
}

bool child_detach(void)
{
    pid_t pid;
    int null;

    fflush(NULL);
    pid = fork();
    if (pid < 0)
        fail(EXIT_TOOL, "fork: %s", strerror(errno));
    if (pid > 0) {
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
        return false;
    }
    setsid();
    if (fork() != 0)
        _exit(0);
    null = open("/dev/null", O_RDWR);
    for (int i = 0; i < 3; i++)
        dup2(null, i);
    return true;
}

void child_kill(const struct child *child)
{
    kill(child->group ? -child->pid : child->pid, SIGKILL);
}

int child_take(struct child *child)
{
    int status;

    /* Not reaped yet, its number still names the group. */
    if (child->group)
        child_kill(child);
    while (waitpid(child->pid, &status, 0) < 0)
        if (errno != EINTR)
            fail(EXIT_TOOL, "waitpid: %s", strerror(errno));
    close(child->fd);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int child_wait(struct child *child, bool *late)
{
    struct pollfd wait = {.fd = child->fd, .events = POLLIN};

    for (;;) {
        double left = child->deadline - now_seconds();
        int ready;

        if (child->deadline > 0 && left <= 0) {
            if (late)
                *late = true;
            break;
        }
        ready = poll(&wait, 1, child->deadline > 0 ? (int)(left * 1000) + 1 : -1);
        if (ready > 0)
            break;
        if (ready < 0 && errno != EINTR)
            fail(EXIT_TOOL, "poll: %s", strerror(errno));
    }
    return child_take(child);
}

/* ---- a command's outcome ---- */

/* A nameless file with this content. Not a pipe: nobody has to read it while the command runs. */
static int nameless_file(const char *content)
{
    const char *set = getenv("TMPDIR"), *folder = set ? set : "/tmp";
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    size_t len = content ? strlen(content) : 0;

    if (fd < 0)
        fail(EXIT_TOOL, "%s: %s", folder, strerror(errno));
    if (len > 0 && write(fd, content, len) != (ssize_t)len)
        fail(EXIT_TOOL, "%s: %s", folder, strerror(errno));
    lseek(fd, 0, SEEK_SET);
    return fd;
}

static void read_back(int fd, struct bytes *out)
{
    *out = (struct bytes){0};
    bytes_add(out, "", 0);
    lseek(fd, 0, SEEK_SET);
    if (!fd_read(fd, out))
        fail(EXIT_TOOL, "a command's output cannot be read back: %s", strerror(errno));
    close(fd);
}

static _Noreturn void exec_line(const struct command_line *line, const int fds[3])
{
    char **words = line->words->items;

    for (int i = 0; i < 3; i++)
        dup2(fds[i], i);
    if (line->folder && chdir(line->folder) < 0) {
        dprintf(STDERR_FILENO, "%s: %s\n", line->folder, strerror(errno));
        _exit(EXIT_TOOL);
    }
    if (line->env)
        execvpe(words[0], words, line->env->items);
    else
        execvp(words[0], words);
    dprintf(STDERR_FILENO, "%s: %s\n", words[0], strerror(errno));
    _exit(EXIT_NOT_FOUND);
}

void outcome_get(struct outcome *outcome, const struct command_line *line)
{
    int fds[3] = {nameless_file(line->input), nameless_file(NULL), nameless_file(NULL)};
    struct child child;

    *outcome = (struct outcome){0};
    if (child_fork(&child, line->seconds, true))
        exec_line(line, fds);
    outcome->status = child_wait(&child, &outcome->late);
    close(fds[0]);
    read_back(fds[1], &outcome->out);
    read_back(fds[2], &outcome->err);
}

int run_quiet(const char *const argv[], struct bytes *out, int log_fd)
{
    struct child child;
    int pipes[2];

    if (out && pipe2(pipes, O_CLOEXEC) < 0)
        fail(EXIT_TOOL, "pipe: %s", strerror(errno));
    if (child_fork(&child, 0, false)) {
        if (out)
            dup2(pipes[1], STDOUT_FILENO);
        if (log_fd >= 0) {
            dup2(log_fd, STDERR_FILENO);
            if (!out)
                dup2(log_fd, STDOUT_FILENO);
        }
        execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(EXIT_NOT_FOUND);
    }
    if (out) {
        close(pipes[1]);
        bytes_add(out, "", 0);
        fd_read(pipes[0], out);
        close(pipes[0]);
    }
    return child_wait(&child, NULL);
}
