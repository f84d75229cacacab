/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * accounts - who has the memory: a known load on each owner (heap, the stacks of threads, a file,
 * page tables, pipes, sockets), and the figures in /proc rise by that much and come back when it is
 * gone. Of sockets and pipes a figure may be up to twice what is queued: that is what holds it.
 *
 * Figures of the process are compared on Linux, too; those of the machine only here, where nobody
 * else is. "accounts dump" goes on, with loads in place, until the memory is used up: the table
 * looks for them in what the kernel says about the death.
 */
#include "guest.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "procfile.h"

#define PAGE 4096
#define STATUS "/proc/self/status"
#define MEMINFO "/proc/meminfo"
#define HEAP_KB (64 << 10)
#define FILE_KB (32 << 10)
#define STACK_KB (4 << 10)
#define TABLES 256
#define THREADS 200
#define THREAD_KB 128
#define TOUCHED_KB 96 /* of it, by each thread; what is around it may come with it */
#define PIPES 64
#define PIPE_KB 64
#define SOCKETS 64
#define QUEUED_KB 48 /* in each */

static int ours; /* not a Linux */

static long status(const char *key)
{
    return (long)number_in(STATUS, key);
}

/* Of the whole machine. */
static long meminfo(const char *key)
{
    return ours ? (long)number_in(MEMINFO, key) : 0;
}

/* Likewise: what one of the kernel's accounts has, in whole pages. */
static long account_kb(const char *name)
{
    char line[512], key[64];
    long slabs, found = -1;
    FILE *file = ours ? fopen("/proc/slabinfo", "r") : NULL;
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line,
                   "%63s %*d %*d %*d %*d %*d : tunables %*d %*d %*d : "
                   "slabdata %ld",
                   key, &slabs) == 2 &&
            strcmp(key, name) == 0)
            found = slabs * (PAGE / 1024);
    if (file)
        fclose(file);
    REQUIRE(!ours || found >= 0);
    return ours ? found : 0;
}

/* What is not free. */
static long used(const char *unused)
{
    return meminfo("MemTotal:") - meminfo("MemFree:");
}

/* Figures that are followed through a load and its end. */
struct figure {
    const char *name;
    long (*read)(const char *name);
    long before;
};

static void begin(struct figure *f)
{
    f->before = f->read(f->name);
}

static long rss_of_files(const char *unused)
{
    return status("VmRSS:") - status("RssAnon:");
}

/* What else changes by the way: libc's buffers, pages that come with others; of the kernel's
 * objects those that the machine makes by itself. A Linux counts resident pages by CPU and has huge
 * pages. */
static long slack(const struct figure *f, long load)
{
    return !ours ? 4096 + load / 16 : f->read == account_kb ? 64 : 256;
}

static void between(const struct figure *f, long rise, long least, long most)
{
    if (rise >= least - slack(f, least) && rise <= most + slack(f, most))
        return;
    printf("FAIL %s %ld kB more, wanted %ld to %ld\n", f->name, rise, least, most);
    fflush(stdout);
    _exit(1);
}

static int followed(const struct figure *f)
{
    return ours || f->read == status || f->read == rss_of_files;
}

static void rose(const struct figure *f, long least, long most)
{
    if (followed(f))
        between(f, f->read(f->name) - f->before, least, most);
}

/* What ends a little later may take minutes on a busy machine. */
static void left(const struct figure *f, long most)
{
    long now = 0;
    for (int i = 0; i < 10000 && followed(f); i++) {
        now = f->read(f->name) - f->before;
        if (now <= most + slack(f, most))
            break;
        usleep(10000);
    }
    between(f, now, 0, most);
}

static void came_back(const struct figure *f)
{
    left(f, 0);
}

static char *map(size_t kb, int fd)
{
    char *p = mmap(NULL, kb << 10, PROT_READ | PROT_WRITE,
                   fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, fd, 0);
    REQUIRE(p != MAP_FAILED);
    return p;
}

static void touch(char *p, size_t kb, size_t step)
{
    for (size_t at = 0; at < kb << 10; at += step)
        *(volatile char *)(p + at) = 1;
}

/* ---- the program's memory ---- */

/* Half by brk, half by mmap. */
static void heap(void)
{
    struct figure anon = {"RssAnon:", status, 0}, data = {"VmData:", status, 0},
                  rss = {"VmRSS:", status, 0}, pages = {"AnonPages:", meminfo, 0},
                  taken = {"memory in use", used, 0};
    begin(&anon), begin(&data), begin(&rss), begin(&pages), begin(&taken);
    char *low = sbrk(HEAP_KB / 2 << 10), *high = map(HEAP_KB / 2, -1);
    REQUIRE(low != (char *)-1);
    rose(&data, HEAP_KB, HEAP_KB);
    rose(&anon, 0, 0); /* nothing before it is touched */
    touch(low, HEAP_KB / 2, PAGE);
    touch(high, HEAP_KB / 2, PAGE);
    rose(&data, HEAP_KB, HEAP_KB);
    rose(&anon, HEAP_KB, HEAP_KB);
    rose(&rss, HEAP_KB, HEAP_KB);
    rose(&pages, HEAP_KB, HEAP_KB);
    rose(&taken, HEAP_KB, HEAP_KB + HEAP_KB / 256); /* with its page tables */
    REQUIRE(sbrk(-(HEAP_KB / 2 << 10)) != (void *)-1 && munmap(high, HEAP_KB / 2 << 10) == 0);
    came_back(&anon), came_back(&data), came_back(&rss), came_back(&pages), came_back(&taken);
}

static void __attribute__((noinline)) use_stack(long kb)
{
    char part[16 << 10];
    touch(part, sizeof part >> 10, PAGE);
    if (kb > 16)
        use_stack(kb - 16);
    touch(part, 1, PAGE); /* it is needed until here */
}

/* The main thread's: it grows and stays. */
static void stack(void)
{
    struct figure size = {"VmStk:", status, 0}, anon = {"RssAnon:", status, 0};
    begin(&size), begin(&anon);
    use_stack(STACK_KB);
    rose(&size, STACK_KB - 256, STACK_KB + 64); /* Linux begins with 132 kB */
    rose(&anon, STACK_KB - 256, STACK_KB + 64);
}

/* 4 kB of page table for each 2 MiB with a page. */
static void tables(void)
{
    struct figure anon = {"RssAnon:", status, 0}, table = {"PageTables:", meminfo, 0};
    char *p = map((TABLES + 1) * 2048, -1);
    REQUIRE(madvise(p, (TABLES + 1) * 2048 << 10, MADV_NOHUGEPAGE) == 0 &&
            madvise(p, (TABLES + 1) * 2048 << 10, MADV_RANDOM) == 0);
    begin(&anon), begin(&table);
    touch(p, TABLES * 2048, 2 << 20);
    rose(&anon, TABLES * 4, TABLES * 4);
    rose(&table, TABLES * 4, TABLES * 4);
    REQUIRE(munmap(p, (TABLES + 1) * 2048 << 10) == 0);
    came_back(&anon), came_back(&table);
}

/* ---- threads ---- */

static pthread_barrier_t ready, go;

static void *thread_main(void *arg)
{
    use_stack(TOUCHED_KB);
    pthread_barrier_wait(&ready);
    pthread_barrier_wait(&go);
    return arg;
}

static void threads_start(pthread_t *thread, char *stacks)
{
    pthread_attr_t attr;
    REQUIRE(pthread_barrier_init(&ready, NULL, THREADS + 1) == 0 &&
            pthread_barrier_init(&go, NULL, THREADS + 1) == 0 && pthread_attr_init(&attr) == 0);
    for (int i = 0; i < THREADS; i++) {
        char *at = stacks + (size_t)i * (THREAD_KB << 10);
        REQUIRE(pthread_attr_setstack(&attr, at, THREAD_KB << 10) == 0);
        REQUIRE(pthread_create(&thread[i], &attr, thread_main, NULL) == 0);
    }
    pthread_barrier_wait(&ready);
}

static void threads(void)
{
    static pthread_t thread[THREADS];
    struct figure anon = {"RssAnon:", status, 0}, pages = {"AnonPages:", meminfo, 0},
                  kernel = {"KernelStack:", meminfo, 0}, objects = {"thread", account_kb, 0};
    long count = status("Threads:"), each = ours ? account("thread") : 0;
    begin(&anon), begin(&pages), begin(&kernel), begin(&objects);
    char *stacks = map(THREADS * THREAD_KB, -1);
    threads_start(thread, stacks);
    REQUIRE(status("Threads:") == count + THREADS);
    REQUIRE(!ours || account("thread") >= each + THREADS);
    rose(&anon, THREADS * TOUCHED_KB, THREADS * THREAD_KB);
    rose(&pages, THREADS * TOUCHED_KB, THREADS * THREAD_KB);
    rose(&kernel, (THREADS - 32) * 4, THREADS * 64); /* spare ones are used first; sanitizers */
    rose(&objects, THREADS, THREADS * 8);
    pthread_barrier_wait(&go);
    for (int i = 0; i < THREADS; i++)
        REQUIRE(pthread_join(thread[i], NULL) == 0);
    REQUIRE(munmap(stacks, THREADS * THREAD_KB << 10) == 0);
    came_back(&anon), came_back(&pages), came_back(&objects);
    left(&kernel, 32 * 64); /* spare ones stay */
}

/* ---- files ---- */

static int file_make(long kb)
{
    static char bytes[64 << 10];
    char name[] = "/tmp/accounts.XXXXXX";
    int fd = mkstemp(name);
    REQUIRE(fd >= 0 && unlink(name) == 0);
    memset(bytes, 1, sizeof bytes);
    for (; kb > 0; kb -= 64)
        REQUIRE(write(fd, bytes, sizeof bytes) == sizeof bytes);
    return fd;
}

static void file(void)
{
    struct figure cached = {"Cached:", meminfo, 0}, mapped = {"files in VmRSS", rss_of_files, 0},
                  anon = {"RssAnon:", status, 0};
    begin(&cached), begin(&anon), begin(&mapped);
    int fd = file_make(FILE_KB);
    rose(&cached, FILE_KB, FILE_KB);
    char *p = map(FILE_KB, fd);
    touch(p, FILE_KB, PAGE);
    rose(&mapped, FILE_KB, FILE_KB);
    rose(&cached, FILE_KB, FILE_KB); /* not twice */
    rose(&anon, 0, 0);
    REQUIRE(munmap(p, FILE_KB << 10) == 0);
    came_back(&mapped);
    rose(&cached, FILE_KB, FILE_KB); /* the file has it still */
    REQUIRE(ftruncate(fd, FILE_KB / 2 << 10) == 0);
    rose(&cached, FILE_KB / 2, FILE_KB / 2);
    REQUIRE(close(fd) == 0);
    came_back(&cached);
}

/* ---- pipes and sockets ---- */

static void pipes_fill(int (*fd)[2])
{
    static char data[PIPE_KB << 10];
    for (int i = 0; i < PIPES; i++)
        REQUIRE(pipe(fd[i]) == 0 && write(fd[i][1], data, sizeof data) == sizeof data);
}

/* Two sockets, and at the second one QUEUED_KB that nobody reads. */
static void pair_fill(int fd[2], int family, int type)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    if (family == AF_UNIX) {
        REQUIRE(socketpair(AF_UNIX, type, 0, fd) == 0);
    } else {
        int first = socket(AF_INET, type, 0);
        REQUIRE(bind(first, (struct sockaddr *)&at, sizeof at) == 0 &&
                (type == SOCK_DGRAM || listen(first, 1) == 0) &&
                getsockname(first, (struct sockaddr *)&at, &len) == 0);
        fd[0] = socket(AF_INET, type, 0);
        REQUIRE(connect(fd[0], (struct sockaddr *)&at, sizeof at) == 0);
        fd[1] = type == SOCK_DGRAM ? first : accept(first, NULL, NULL);
        REQUIRE(fd[1] >= 0 && (fd[1] == first || close(first) == 0));
    }
    static const char data[1024];
    for (int i = 0; i < QUEUED_KB; i++)
        REQUIRE(send(fd[0], data, sizeof data, 0) == sizeof data);
}

static void close_all(int (*fd)[2], int count)
{
    for (int i = 0; i < count; i++)
        REQUIRE(close(fd[i][0]) == 0 && close(fd[i][1]) == 0);
}

static void pipes(void)
{
    struct figure pipe = {"pipe", account_kb, 0};
    int fd[PIPES][2];
    begin(&pipe);
    pipes_fill(fd);
    rose(&pipe, PIPES * PIPE_KB, PIPES * PIPE_KB);
    close_all(fd, PIPES);
    came_back(&pipe);
}

static long tcp_kb(const char *unused)
{
    char text[4096], *at;
    int fd = open("/proc/net/sockstat", O_RDONLY);
    ssize_t n = read(fd, text, sizeof text - 1);
    REQUIRE(n > 0 && close(fd) == 0);
    text[n] = 0;
    at = strstr(text, "\nTCP:");
    REQUIRE(at && (at = strstr(at, " mem ")));
    return strtol(at + 5, NULL, 10) * (PAGE / 1024);
}

static void sockets(const char *account, int family, int type)
{
    struct figure bytes = {account, account_kb, 0}, tcp = {"TCP in sockstat", tcp_kb, 0};
    int fd[SOCKETS][2];
    begin(&bytes), begin(&tcp);
    for (int i = 0; i < SOCKETS; i++)
        pair_fill(fd[i], family, type);
    rose(&bytes, SOCKETS * QUEUED_KB, 2 * SOCKETS * QUEUED_KB);
    if (family == AF_INET && type == SOCK_STREAM)
        rose(&tcp, SOCKETS * QUEUED_KB, 2 * SOCKETS * QUEUED_KB);
    close_all(fd, SOCKETS);
    came_back(&bytes), came_back(&tcp);
}

/* ---- the kernel's own words ---- */

static void dump(void)
{
    static pthread_t thread[THREADS];
    static int pipe[PIPES][2], local[SOCKETS][2], inet[SOCKETS][2];
    threads_start(thread, map(THREADS * THREAD_KB, -1));
    (void)file_make(FILE_KB);
    pipes_fill(pipe);
    for (int i = 0; i < SOCKETS; i++) {
        pair_fill(local[i], AF_UNIX, SOCK_STREAM);
        pair_fill(inet[i], AF_INET, SOCK_DGRAM);
    }
    printf("until the end\n");
    fflush(stdout);
    for (;;)
        touch(map(1024, -1), 1024, PAGE);
}

int main(int argc, char **argv)
{
    ours = access("/dev/memory_pressure", F_OK) == 0;
    if (argc > 1)
        dump();
    /* Their code is in memory then, and what the kernel makes when they are first read. */
    (void)(status("VmRSS:") + used(NULL) + account_kb("sock") + tcp_kb(NULL));
    heap();
    stack();
    tables();
    threads();
    file();
    pipes();
    sockets("sock", AF_UNIX, SOCK_STREAM);
    sockets("sock", AF_UNIX, SOCK_DGRAM);
    sockets("net", AF_INET, SOCK_DGRAM);
    sockets("net", AF_INET, SOCK_STREAM);
    return guest_pass("accounts");
}
