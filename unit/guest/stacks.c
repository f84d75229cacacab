/* SPDX-License-Identifier: BSD-3-Clause */
/* stacks - what kernel stacks cost: a thread that waits holds one page of its kernel stack and no
 * more, and what ended threads had comes back. Where stacks are mapped whole (sanitizers, Linux) a
 * thread holds all of at least four pages. On Linux, where the figure is of all programs, the load
 * alone runs. */
#include "guest.h"

#include <pthread.h>

#define THREADS 300
#define SPARE_KB 512 /* stacks kept for the next threads, and what CPUs have in reserve */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int waiting, go;

static long stacks_kb(void)
{
    char line[128];
    long kb = -1;
    FILE *f = fopen("/proc/meminfo", "r");
    REQUIRE(f);
    while (kb < 0 && fgets(line, sizeof line, f))
        sscanf(line, "KernelStack: %ld kB", &kb);
    fclose(f);
    REQUIRE(kb >= 0);
    return kb;
}

static void *body(void *arg)
{
    pthread_mutex_lock(&mutex);
    waiting++;
    pthread_cond_broadcast(&cond);
    while (!go)
        pthread_cond_wait(&cond, &mutex);
    pthread_mutex_unlock(&mutex);
    return arg;
}

int main(void)
{
    static pthread_t threads[THREADS];
    int ours = access("/dev/memory_pressure", F_OK) == 0; /* not on a Linux */
    long before = stacks_kb(), each;
    for (int i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, body, NULL) == 0);
    pthread_mutex_lock(&mutex);
    while (waiting < THREADS)
        pthread_cond_wait(&cond, &mutex);
    each = (stacks_kb() - before) / THREADS;
    go = 1;
    pthread_cond_broadcast(&cond);
    pthread_mutex_unlock(&mutex);
    for (int i = 0; i < THREADS; i++)
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    if (!ours)
        return guest_pass("stacks");
    if (each >= 6 && each < 15) {
        printf("FAIL a waiting thread has %ld kB of kernel stack\n", each);
        return 1;
    }
    for (int i = 0; stacks_kb() > before + SPARE_KB + (each >= 15 ? 32 * each : 0); i++) {
        REQUIRE(i < 2000); /* only there to end what hangs */
        usleep(50000);
    }
    return guest_pass("stacks");
}
