/* SPDX-License-Identifier: BSD-3-Clause */
/* main - the waves of a storm, its watchdog, and the account after each wave. See storm.h. */
#include "storm.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#define WORKERS_MAX 256
#define STUCK_SECONDS 90
#define WAVE_NS 4000000000ll
#define LONG_WAVE_NS 20000000000ll /* of storms that take minutes: deeper, and still many */
#define FIRST_WAVE_NS 1000000000ll
#define COUNTS 32

struct kind {
    const char *name;
    void (*run)(uint64_t seed);
};

static const struct kind kinds[] = {{"threads", storm_threads}, {"futex", storm_futex},
                                    {"mmap", storm_mmap},       {"signals", storm_signals},
                                    {"timers", storm_timers},   {"pressure", storm_pressure},
                                    {"sockets", storm_sockets}};
#define KINDS_COUNT (sizeof(kinds) / sizeof(kinds[0]))

unsigned storm_share = 1;
static uint64_t first_seed;
static int64_t wave_end;
static struct worker *workers[WORKERS_MAX]; /* that run now */
static pthread_mutex_t workers_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    const char *what;
    unsigned long n;
} counts[COUNTS];
static pthread_mutex_t counts_lock = PTHREAD_MUTEX_INITIALIZER;

bool on_selkie(void)
{
    return access("/dev/memory_pressure", F_OK) == 0;
}

bool storm_over(void)
{
    return now_ns(CLOCK_MONOTONIC) >= wave_end;
}

void storm_count(const char *what, unsigned long n)
{
    pthread_mutex_lock(&counts_lock);
    for (unsigned i = 0; i < COUNTS; i++) {
        if (!counts[i].what)
            counts[i].what = what;
        if (strcmp(counts[i].what, what) == 0) {
            counts[i].n += n;
            break;
        }
    }
    pthread_mutex_unlock(&counts_lock);
}

/* ---- failures ---- */

/* The first line of a file of the thread's, from the word after the last closing bracket on. */
static void print_file(pid_t tid, const char *name, int len)
{
    char path[64], text[256];
    snprintf(path, sizeof(path), "/proc/self/task/%d/%s", (int)tid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return;
    text[n] = '\0';
    const char *from = strrchr(text, ')');
    from = from ? from + 2 : text;
    n = (ssize_t)strcspn(from, "\n");
    dprintf(1, ", %.*s", n < len ? (int)n : len, from);
}

static void print_workers(void)
{
    for (unsigned i = 0; i < WORKERS_MAX; i++) {
        const struct worker *w = __atomic_load_n(&workers[i], __ATOMIC_ACQUIRE);
        if (!w)
            continue;
        dprintf(1, "  %s %u, thread %d: %lu steps, %s", w->name, w->index, (int)w->tid,
                __atomic_load_n(&w->steps, __ATOMIC_RELAXED), w->doing);
        print_file(w->tid, "stat", 1);
        print_file(w->tid, "wchan", 40);
        print_file(w->tid, "syscall", 60);
        dprintf(1, "\n");
    }
}

_Noreturn void storm_fail(const char *file, int line, const char *what, long a, long b)
{
    static bool failed;
    if (__atomic_exchange_n(&failed, true, __ATOMIC_RELAXED))
        for (;;)
            pause(); /* the first one speaks */
    dprintf(1, "FAIL %s:%d: %s (%ld %#lx, %ld %#lx), thread %ld, seed %llu\n", file, line, what, a,
            (unsigned long)a, b, (unsigned long)b, (long)syscall(SYS_gettid),
            (unsigned long long)first_seed);
    print_workers();
    _exit(1);
}

static bool stands(const struct worker *w, unsigned long *seen)
{
    unsigned long steps = __atomic_load_n(&w->steps, __ATOMIC_RELAXED);
    bool same = steps == *seen;
    *seen = steps;
    return same;
}

/* Look at every worker once a second. Not a worker itself: it lives as long as the program. */
static void *watchdog(void *arg)
{
    static unsigned long seen[WORKERS_MAX];
    static unsigned still[WORKERS_MAX];
    for (;;) {
        sleep(1);
        for (unsigned i = 0; i < WORKERS_MAX; i++) {
            pthread_mutex_lock(&workers_lock);
            const struct worker *w = workers[i];
            still[i] = w && __atomic_load_n(&w->running, __ATOMIC_RELAXED) && stands(w, &seen[i])
                           ? still[i] + 1
                           : 0;
            pthread_mutex_unlock(&workers_lock);
            if (still[i] > STUCK_SECONDS)
                storm_fail(w->name, (int)w->index, "stands still", STUCK_SECONDS, w->tid);
        }
    }
    return arg;
}

/* ---- threads ---- */

void *stack_new(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(p != MAP_FAILED);
    return p;
}

void stack_free(void *stack, size_t size)
{
    CHECK_EQ(munmap(stack, size), 0);
}

static void workers_put(const struct worker *old, struct worker *new)
{
    unsigned i = 0;
    CHECK_EQ(pthread_mutex_lock(&workers_lock), 0);
    while (i < WORKERS_MAX && workers[i] != old)
        i++;
    CHECK(i < WORKERS_MAX);
    __atomic_store_n(&workers[i], new, __ATOMIC_RELEASE);
    CHECK_EQ(pthread_mutex_unlock(&workers_lock), 0);
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    w->tid = (pid_t)syscall(SYS_gettid);
    __atomic_store_n(&w->running, true, __ATOMIC_RELAXED);
    w->run(w);
    __atomic_store_n(&w->running, false, __ATOMIC_RELAXED);
    return w;
}

void storm_start(struct worker *worker, const char *name, unsigned index, uint64_t seed,
                 void (*run)(struct worker *), void *arg)
{
    pthread_attr_t attr;
    *worker = (struct worker){
        .name = name,
        .run = run,
        .arg = arg,
        .index = index,
        .rng = {mix(seed, mix((uintptr_t)name[0] << 8 | (uintptr_t)name[1], index))},
        .doing = "starts",
        .stack = stack_new(STACK_SIZE)};
    workers_put(NULL, worker);
    CHECK(pthread_attr_init(&attr) == 0);
    CHECK_EQ(pthread_attr_setstack(&attr, worker->stack, STACK_SIZE), 0);
    CHECK_EQ(pthread_create(&worker->thread, &attr, worker_main, worker), 0);
    pthread_attr_destroy(&attr);
}

void storm_join(struct worker *worker)
{
    void *result;
    CHECK_EQ(pthread_join(worker->thread, &result), 0);
    CHECK(result == worker);
    workers_put(worker, NULL);
    stack_free(worker->stack, STACK_SIZE);
}

/* ---- the account ---- */

enum entry { THREADS, AREAS, FDS, QUEUED, RSS, FREE, ANON_KIB, SLAB, TABLES, ENTRIES };

struct account {
    long value[ENTRIES];
};

static const char *const entry_names[] = {"threads",        "areas",   "descriptors",
                                          "queued signals", "RssAnon", "MemFree + Cached",
                                          "AnonPages",      "Slab",    "PageTables"};

/*
 * How far an entry may be from its start. Threads, areas, descriptors and queued signals: not at
 * all. Memory of the process: what the library's heap, static data, the watchdog's stack and the
 * stacks that the library keeps of threads that have ended (frames of signals are some KiB each on
 * aarch64) have grown by (one fault may bring 64 KiB), and trampolines. Of the machine: pages that
 * the CPUs' caches and half empty slabs keep, spare kernel stacks, and the page tables of address
 * ranges that were used once: 1/512 of what was mapped, so for twice all memory 1/256 of it. All
 * are bounded, whatever time a storm takes.
 */
static const long tolerance[] = {0, 0, 0, 0, 384, 2048, 384, 1024, 256};

static long tolerated(unsigned entry)
{
    static long tables; /* KiB */
    if (entry != FREE && entry != TABLES)
        return tolerance[entry];
    if (!tables)
        tables = meminfo("MemTotal") / 256;
    return tolerance[entry] + tables;
}

static long number_after(const char *path, const char *key)
{
    char text[4096];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    CHECK(n > 0 && close(fd) == 0);
    text[n] = '\0';
    for (char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, strlen(key)) == 0 && line[strlen(key)] == ':')
            return strtol(line + strlen(key) + 1, NULL, 10);
    }
    return -1;
}

long meminfo(const char *key)
{
    return number_after("/proc/meminfo", key);
}

struct maps {
    char text[8192];
    size_t len;
};

static struct maps maps_start, maps_now;

/* How many areas there are; the list is kept for a report. Trampolines do not count: Selkie makes
 * them when a system call instruction is met for the first time, so there is an end to them. */
static long areas(struct maps *maps)
{
    long lines = 0;
    ssize_t n;
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    maps->len = 0;
    while ((n = read(fd, maps->text + maps->len, sizeof(maps->text) - 1 - maps->len)) > 0)
        maps->len += (size_t)n;
    maps->text[maps->len] = '\0';
    CHECK(close(fd) == 0);
    for (size_t i = 0; i < maps->len; i++)
        lines += maps->text[i] == '\n';
    for (const char *at = maps->text; (at = strstr(at, "[trampolines]")); at++)
        lines--;
    return lines;
}

static long open_fds(void)
{
    long n = 0;
    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void account_take(struct account *a, struct maps *maps)
{
    a->value[THREADS] = number_after("/proc/self/status", "Threads");
    a->value[AREAS] = areas(maps);
    a->value[FDS] = open_fds();
    a->value[QUEUED] = number_after("/proc/self/status", "SigQ");
    a->value[RSS] = number_after("/proc/self/status", "RssAnon");
    /* The rest of a machine that is not ours alone tells nothing. */
    a->value[FREE] = on_selkie() ? meminfo("MemFree") + meminfo("Cached") : 0;
    a->value[ANON_KIB] = on_selkie() ? meminfo("AnonPages") : 0;
    a->value[SLAB] = on_selkie() ? meminfo("Slab") : 0;
    a->value[TABLES] = on_selkie() ? meminfo("PageTables") : 0;
}

/* Less memory in use than at the start is no loss: pages of files may have been evicted. */
static bool account_same(const struct account *a, const struct account *start)
{
    for (unsigned i = 0; i < ENTRIES; i++) {
        long more = a->value[i] - start->value[i];
        if (i == FREE)
            more = -more;
        if (more > tolerated(i) || (i < RSS && more != 0))
            return false;
    }
    return true;
}

/* What is exact stands still: a joined thread may still be there for a moment. */
static void account_start(struct account *start)
{
    struct account before;
    account_take(start, &maps_start);
    do {
        before = *start;
        usleep(300000);
        account_take(start, &maps_start);
    } while (memcmp(&before, start, RSS * sizeof(long)) != 0);
}

/* Joined threads are still being taken away, caches trimmed: wait for what is to come back. */
static void account_check(struct account *start, bool first)
{
    struct account now;
    int64_t until = now_ns(CLOCK_MONOTONIC) + 20000000000ll;
    if (first) {
        account_start(start);
        return;
    }
    account_take(&now, &maps_now);
    while (!account_same(&now, start) && now_ns(CLOCK_MONOTONIC) < until) {
        usleep(10000);
        account_take(&now, &maps_now);
    }
    if (account_same(&now, start))
        return;
    for (unsigned i = 0; i < ENTRIES; i++)
        dprintf(1, "  %s: %ld at the start, %ld now\n", entry_names[i], start->value[i],
                now.value[i]);
    if (start->value[AREAS] != now.value[AREAS])
        dprintf(1, "%.*s--- now\n%.*s", (int)maps_start.len, maps_start.text, (int)maps_now.len,
                maps_now.text);
    storm_fail(__FILE__, __LINE__, "something was lost or left over", 0, 0);
}

/* ---- waves ---- */

static uint64_t wave_seed;

static void *run_kind(void *arg)
{
    ((const struct kind *)arg)->run(wave_seed);
    return arg;
}

static void wave_all(void)
{
    pthread_t thread[KINDS_COUNT];
    void *stack[KINDS_COUNT];
    storm_share = KINDS_COUNT;
    for (unsigned i = 0; i < KINDS_COUNT; i++) {
        pthread_attr_t attr;
        stack[i] = stack_new(STACK_SIZE);
        CHECK(pthread_attr_init(&attr) == 0 &&
              pthread_attr_setstack(&attr, stack[i], STACK_SIZE) == 0);
        CHECK_EQ(pthread_create(&thread[i], &attr, run_kind, (void *)(uintptr_t)&kinds[i]), 0);
        pthread_attr_destroy(&attr);
    }
    for (unsigned i = 0; i < KINDS_COUNT; i++) {
        CHECK_EQ(pthread_join(thread[i], NULL), 0);
        stack_free(stack[i], STACK_SIZE);
    }
}

static void block_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    for (int signo = SIGRTMIN; signo <= SIG_KICK; signo++)
        sigaddset(&set, signo);
    sigaddset(&set, SIGUSR1);
    CHECK_EQ(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
}

static void on_kick(int signo)
{
}

static void prepare(void)
{
    static struct sigaction kick = {.sa_handler = on_kick};
    pthread_t dog;
#ifdef __GLIBC__
    mallopt(M_ARENA_MAX, 1); /* an arena for each thread would stay */
#endif
    setvbuf(stdout, NULL, _IONBF, 0);
    block_signals();
    CHECK_EQ(sigaction(SIG_KICK, &kick, NULL), 0);
    CHECK_EQ(pthread_create(&dog, NULL, watchdog, NULL), 0);
}

static void storm(const struct kind *kind, double seconds)
{
    struct account start;
    int64_t end = now_ns(CLOCK_MONOTONIC) + (int64_t)(seconds * 1e9);
    int64_t wave_len = seconds < 120 ? WAVE_NS : LONG_WAVE_NS;
    struct rng rng = {first_seed};
    for (unsigned wave = 0; wave < 2 || now_ns(CLOCK_MONOTONIC) < end; wave++) {
        int64_t now = now_ns(CLOCK_MONOTONIC), len = wave ? wave_len : FIRST_WAVE_NS;
        if (now + len > end)
            len = end - now > 100000000 ? end - now : 100000000;
        wave_seed = rng_next(&rng);
        wave_end = now + len;
        if (kind)
            kind->run(wave_seed);
        else
            wave_all();
        account_check(&start, wave == 0);
    }
}

int main(int argc, char **argv)
{
    const struct kind *kind = NULL;
    char name[32];
    for (unsigned i = 0; argc > 1 && i < KINDS_COUNT; i++)
        if (strcmp(argv[1], kinds[i].name) == 0)
            kind = &kinds[i];
    if (argc < 3 || argc > 4 || (!kind && strcmp(argv[1], "all") != 0)) {
        printf("usage: storm threads|futex|mmap|signals|timers|pressure|all SECONDS [SEED]\n");
        return 2;
    }
    first_seed = argc > 3 ? strtoull(argv[3], NULL, 0) : (uint64_t)now_ns(CLOCK_REALTIME);
    prepare();
    storm(kind, strtod(argv[2], NULL));
    for (unsigned i = 0; i < COUNTS && counts[i].what; i++)
        fprintf(stderr, "%lu %s\n", counts[i].n, counts[i].what);
    snprintf(name, sizeof(name), "storm %s", argv[1]);
    return guest_pass(name);
}
