/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * kmalloc_bench.c - the kernel's allocator against mimalloc and glibc's malloc, in one process.
 *
 * Each workload is run in turn by each allocator, ROUNDS times; the best time counts, because what
 * disturbs only adds. Times are the threads' CPU times per object (one allocation and one
 * free). `cross`: one thread allocates, another frees, in batches, not at the same time.
 *
 *     kmalloc_bench [--count WORKLOAD ALLOCATOR]   once, without a clock: for callgrind
 */
#define _GNU_SOURCE
#include "bench/kmalloc_bench.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define ROUNDS 15
#define OBJECTS 200000
#define BATCH 1000
#define RAM ((size_t)256 << 20)
#define RAM_ALIGN ((size_t)4 << 20)

struct allocator {
    const char *name;
    void *(*alloc)(size_t size, unsigned flags); /* the flags are kmalloc's */
    void (*free)(void *block);
};
/* mimalloc is loaded, not linked: a program linked with it has no other malloc. */
static struct allocator allocators[] = {
    {"selkie", kmalloc, kfree},
    {"mimalloc", NULL, NULL},
    {"glibc", NULL, free},
};
#define ALLOCATORS (sizeof allocators / sizeof allocators[0])

static void *slots[BATCH];
static uint16_t sizes[4096], places[4096]; /* random, the same for all */

void bench_fail(const char *why)
{
    fprintf(stderr, "kmalloc_bench: kernel panic: %s\n", why);
    exit(1);
}

static void touch(void *block)
{
    if (!block)
        bench_fail("no memory");
    *(volatile char *)block = 1;
}

static void pairs(const struct allocator *a)
{
    for (int i = 0; i < OBJECTS; i++) {
        void *block = a->alloc(64, 0);
        touch(block);
        a->free(block);
    }
}

static void batches(const struct allocator *a)
{
    for (int i = 0; i < OBJECTS / BATCH; i++) {
        for (int k = 0; k < BATCH; k++)
            touch(slots[k] = a->alloc(64, 0));
        for (int k = 0; k < BATCH; k++)
            a->free(slots[k]);
    }
}

/* A set of 1,000 objects of 16 to 1,024 bytes, small ones more often, of which random ones are
 * replaced. */
static void random_set(const struct allocator *a)
{
    memset(slots, 0, sizeof slots);
    for (int i = 0; i < OBJECTS; i++) {
        void **slot = &slots[places[i % 4096]];
        if (*slot)
            a->free(*slot);
        touch(*slot = a->alloc(sizes[i * 7 % 4096], 0));
    }
    for (int k = 0; k < BATCH; k++) {
        if (slots[k])
            a->free(slots[k]);
    }
}

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

/* ---- two CPUs: the second thread frees ---- */

static pthread_barrier_t barrier;
static const struct allocator *freeing; /* NULL: the end */
static double free_time;

static void *free_thread(void *arg)
{
    (void)arg;
    bench_cpu_enter(1);
    for (;;) {
        pthread_barrier_wait(&barrier);
        if (!freeing)
            return NULL;
        double start = now();
        for (int k = 0; k < BATCH; k++)
            freeing->free(slots[k]);
        free_time += now() - start;
        pthread_barrier_wait(&barrier);
    }
}

/* The time of both threads. */
static double cross(const struct allocator *a)
{
    double spent = 0;
    free_time = 0;
    freeing = a;
    for (int i = 0; i < OBJECTS / BATCH; i++) {
        double start = now();
        for (int k = 0; k < BATCH; k++)
            touch(slots[k] = a->alloc(64, 0));
        spent += now() - start;
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
    }
    return spent + free_time;
}

/* ---- all ---- */

static const struct {
    const char *name;
    void (*run)(const struct allocator *a);
} workloads[] = {{"pairs", pairs}, {"batches", batches}, {"random", random_set}, {"cross", NULL}};
#define WORKLOADS (sizeof workloads / sizeof workloads[0])

static double measure(size_t w, const struct allocator *a)
{
    if (!workloads[w].run)
        return cross(a);
    double start = now();
    workloads[w].run(a);
    return now() - start;
}

static void compare(void)
{
    printf("%-10s %10s %10s %10s   ns per object; the first against the second\n", "",
           allocators[0].name, allocators[1].name, allocators[2].name);
    for (size_t w = 0; w < WORKLOADS; w++) {
        double best[ALLOCATORS];
        for (int round = 0; round < ROUNDS; round++)
            for (size_t i = 0; i < ALLOCATORS; i++) {
                double ns = measure(w, &allocators[i]) / OBJECTS;
                best[i] = round == 0 || ns < best[i] ? ns : best[i];
            }
        printf("%-10s %10.2f %10.2f %10.2f   %.2f\n", workloads[w].name, best[0], best[1], best[2],
               best[0] / best[1]);
    }
}

static int count(const char *workload, const char *allocator)
{
    for (size_t w = 0; w < WORKLOADS; w++)
        for (size_t i = 0; i < ALLOCATORS; i++)
            if (!strcmp(workloads[w].name, workload) && !strcmp(allocators[i].name, allocator)) {
                (void)measure(w, &allocators[i]);
                return 0;
            }
    fprintf(stderr, "kmalloc_bench: no workload %s of %s\n", workload, allocator);
    return 2;
}

static void load_others(void)
{
    void *library = dlopen("libmimalloc.so.2.0", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        library = dlopen("libmimalloc.so", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        bench_fail("libmimalloc is not installed");
    /* Called as they are: the second argument lies in a register that they do not look at. */
    *(void **)&allocators[1].alloc = dlsym(library, "mi_malloc");
    *(void **)&allocators[1].free = dlsym(library, "mi_free");
    *(void **)&allocators[2].alloc = dlsym(RTLD_DEFAULT, "malloc");
}

int main(int argc, char **argv)
{
    pthread_t thread;
    int status = 0;
    char *raw = mmap(NULL, RAM + RAM_ALIGN, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (raw == MAP_FAILED)
        bench_fail("mmap");
    bench_machine((void *)(((uintptr_t)raw + RAM_ALIGN - 1) & ~(RAM_ALIGN - 1)), RAM);
    load_others();
    srand(1);
    for (int i = 0; i < 4096; i++) {
        sizes[i] = (uint16_t)(16 + rand() % (rand() % 4 ? 112 : 1009));
        places[i] = (uint16_t)(rand() % BATCH);
    }
    pthread_barrier_init(&barrier, NULL, 2);
    if (pthread_create(&thread, NULL, free_thread, NULL))
        bench_fail("pthread_create");
    if (argc == 4 && !strcmp(argv[1], "--count"))
        status = count(argv[2], argv[3]);
    else
        compare();
    freeing = NULL;
    pthread_barrier_wait(&barrier);
    pthread_join(thread, NULL);
    return status;
}
