/* SPDX-License-Identifier: BSD-3-Clause */
/* exec - a program replaces itself: arguments, environment, descriptors, signal state, other
 * threads gone; errors. */
#include "procfile.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* Named after the process, which execve does not change: several may run on one host. */
static char bad_path[40], script_path[40];

static void *idle(void *arg)
{
    for (;;)
        pause();
    return arg;
}

static void write_file(const char *path, const char *text, int mode)
{
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    REQUIRE(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) &&
            fchmod(fd, (mode_t)mode) == 0 && close(fd) == 0);
}

static void handler(int signo)
{
    (void)signo;
}

static int second(char **argv)
{
    sigset_t mask;
    struct sigaction sa;
    REQUIRE(strcmp(argv[2], "two words") == 0 && strcmp(argv[3], "") == 0 && argv[6] == NULL);
    REQUIRE(getenv("SELKIE_TEST") && strcmp(getenv("SELKIE_TEST"), "yes") == 0 && !getenv("HOME"));
    REQUIRE_ERRNO(fcntl(atoi(argv[4]), F_GETFD), EBADF); /* close-on-exec */
    REQUIRE(fcntl(atoi(argv[5]), F_GETFD) == 0);
    REQUIRE(sigaction(SIGUSR1, NULL, &sa) == 0 && sa.sa_handler == SIG_DFL);
    REQUIRE(sigaction(SIGUSR2, NULL, &sa) == 0 && sa.sa_handler == SIG_IGN);
    REQUIRE(sigprocmask(SIG_BLOCK, NULL, &mask) == 0 && sigismember(&mask, SIGTERM) == 1);
    char *script[] = {script_path, "arg", NULL}, *env[] = {"STAGE=3", NULL};
    char line[4200];
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    REQUIRE(n > 0);
    self[n] = 0;
    if (n > 100)
        return guest_pass("exec"); /* the first line of a script is limited */
    snprintf(line, sizeof(line), "#! %s third stage\n", self);
    write_file(script_path, line, 0755);
    execve(script[0], script, env);
    REQUIRE(!"execve of a script");
    return 1;
}

/* Programs that follow each other, each with its memory: it goes with them. */
static int again(const char *left, int before)
{
    struct rusage usage;
    REQUIRE(getrusage(RUSAGE_SELF, &usage) == 0);
    /* The most memory is that of the process, and that of the program that runs now. */
    REQUIRE(!before ||
            (usage.ru_maxrss >= 8 << 10 && number_in("/proc/self/status", "VmHWM:") < 8 << 10));
    char *args[] = {"exec", "again", (char *)left, NULL}, *none[] = {NULL};
    volatile char *memory = malloc(8 << 20);
    REQUIRE(memory);
    for (size_t i = 0; i < 8 << 20; i += 4096)
        memory[i] = 1;
    execve("/proc/self/exe", args, none);
    REQUIRE(!"execve again");
    return 1;
}

/* Far more than the machine has memory: refused before it is copied. */
static void too_long(void)
{
    enum { STRINGS = 4000, LENGTH = 100000 };
    char *text = malloc(LENGTH + 1), **args = calloc(STRINGS + 1, sizeof(*args)), *none[] = {NULL};
    REQUIRE(text && args);
    memset(text, 'x', LENGTH);
    text[LENGTH] = 0;
    for (int i = 0; i < STRINGS; i++)
        args[i] = text;
    REQUIRE_ERRNO(execve("/proc/self/exe", args, none), E2BIG);
    REQUIRE_ERRNO(execve("/proc/self/exe", none, args), E2BIG);
    free(args);
    free(text);
}

int main(int argc, char **argv)
{
    snprintf(bad_path, sizeof(bad_path), "/tmp/exec.%d.bad", (int)getpid());
    snprintf(script_path, sizeof(script_path), "/tmp/exec.%d.sh", (int)getpid());
    if (argc > 1 && strcmp(argv[1], "second") == 0)
        return second(argv);
    if (argc > 1 && strncmp(argv[1], "third", 5) == 0) {
        REQUIRE(argc == 4 && strcmp(argv[1], "third stage") == 0 &&
                strcmp(argv[2], script_path) == 0);
        REQUIRE(strcmp(argv[3], "arg") == 0 && strcmp(getenv("STAGE"), "3") == 0 &&
                unlink(script_path) == 0);
        return again("12", 0);
    }
    if (argc > 1 && strcmp(argv[1], "again") == 0) {
        char left[16];
        snprintf(left, sizeof(left), "%d", atoi(argv[2]) - 1);
        return atoi(argv[2]) > 0 ? again(left, 1) : guest_pass("exec");
    }
    char closing[16], staying[16], *none[] = {NULL};
    REQUIRE_ERRNO(execve("/missing", argv, none), ENOENT);
    REQUIRE_ERRNO(execve("/tmp", argv, none), EACCES);
    write_file(bad_path, "not a program", 0755);
    REQUIRE_ERRNO(execve(bad_path, argv, none), ENOEXEC);
    write_file(bad_path, "\177ELF truncated", 0755);
    REQUIRE_ERRNO(execve(bad_path, argv, none), ENOEXEC);
    write_file(bad_path, "#!/missing/interpreter\n", 0755);
    REQUIRE_ERRNO(execve(bad_path, argv, none), ENOENT);
    char loop[64];
    snprintf(loop, sizeof(loop), "#!%s\n", bad_path);
    write_file(bad_path, loop, 0755);
    REQUIRE_ERRNO(execve(bad_path, argv, none), ELOOP);
    write_file(bad_path, "x", 0644);
    REQUIRE_ERRNO(execve(bad_path, argv, none), EACCES);
    REQUIRE(unlink(bad_path) == 0);
    too_long();

    int a = open("/dev/null", O_RDONLY | O_CLOEXEC), b = open("/dev/null", O_RDONLY);
    snprintf(closing, sizeof(closing), "%d", a);
    snprintf(staying, sizeof(staying), "%d", b);
    signal(SIGUSR1, handler);
    signal(SIGUSR2, SIG_IGN);
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGTERM);
    pthread_t t;
    for (int i = 0; i < 3; i++)
        REQUIRE(pthread_create(&t, NULL, idle, NULL) == 0);
    REQUIRE(sigprocmask(SIG_BLOCK, &mask, NULL) == 0);
    char *args[] = {argv[0], "second", "two words", "", closing, staying, NULL};
    char *env[] = {"SELKIE_TEST=yes", NULL};
    execve("/proc/self/exe", args, env);
    REQUIRE(!"execve");
}
