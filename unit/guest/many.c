/* SPDX-License-Identifier: BSD-3-Clause */
/* many - ten thousand threads at once (or as many as the argument says): all are alive at the same
 * time, all are woken by one broadcast, all are joined. */
#include "guest.h"
#include <pthread.h>
#include <sys/mman.h>

#ifdef __aarch64__
#define STACK_BYTES 131072 /* PTHREAD_STACK_MIN there */
#else
#define STACK_BYTES 16384
#endif

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER, all_here = PTHREAD_COND_INITIALIZER;
static unsigned here, want, sum;
static int go;

static void *member(void *arg)
{
    pthread_mutex_lock(&mutex);
    if (++here == want)
        pthread_cond_signal(&all_here);
    while (!go)
        pthread_cond_wait(&changed, &mutex);
    sum += (unsigned)(uintptr_t)arg;
    pthread_mutex_unlock(&mutex);
    return arg;
}

int main(int argc, char **argv)
{
    want = argc > 1 ? (unsigned)atoi(argv[1]) : 10000;
    pthread_t *thread = calloc(want, sizeof *thread);
    pthread_attr_t attr;
    char *stacks = mmap(NULL, (size_t)want * STACK_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    REQUIRE(thread && stacks != MAP_FAILED && pthread_attr_init(&attr) == 0);
    for (unsigned i = 0; i < want; i++) {
        REQUIRE(pthread_attr_setstack(&attr, stacks + (size_t)i * STACK_BYTES, STACK_BYTES) == 0);
        int err = pthread_create(&thread[i], &attr, member, (void *)(uintptr_t)i);
        if (err)
            printf("thread %u: %s\n", i, strerror(err));
        REQUIRE(err == 0);
    }
    pthread_mutex_lock(&mutex);
    while (here < want)
        pthread_cond_wait(&all_here, &mutex);
    go = 1;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
    for (unsigned i = 0; i < want; i++) {
        void *got;
        REQUIRE(pthread_join(thread[i], &got) == 0 && got == (void *)(uintptr_t)i);
    }
    REQUIRE(sum == want * (want - 1) / 2);
    return guest_pass("many");
}
