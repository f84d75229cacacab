/* SPDX-License-Identifier: BSD-3-Clause */
/* host_vcpu.c - one thread per virtual CPU. They all exist from the start: once the kernel runs, no
 * libc function may be called on their behalf. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "outer.h"

#define STACK_SIZE (1024 * 1024)
#define GUARD_SIZE 4096 /* a page */

struct vcpu_start {
    unsigned cpu;
    uint8_t *stack; /* STACK_SIZE bytes */
    void *memory;   /* signal stacks */
};
static struct vcpu_start starts[HOSTED_CPU_MAX];

static void *vcpu_thread(void *arg)
{
    struct vcpu_start *start = arg;
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    size_t size = here - (uintptr_t)start->stack;
    char name[16];

    /* For debuggers, and for `selkie chaos`, which looks for it. */
    snprintf(name, sizeof(name), "cpu %u", start->cpu);
    pthread_setname_np(pthread_self(), name);
    hosted_vcpu_main(start->cpu, start->memory, start->stack, size);
}

static void guard_set(void *page)
{
    if (mprotect(page, GUARD_SIZE, PROT_NONE) < 0)
        host_fail("no memory for a virtual CPU: %s", strerror(errno));
}

/* Behind a page that nobody may touch. */
static void *anonymous(size_t size)
{
    char *guard = mmap(host_sim_place(GUARD_SIZE + size), GUARD_SIZE + size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (guard == MAP_FAILED)
        host_fail("no memory for a virtual CPU: %s", strerror(errno));
    guard_set(guard);
    return guard + GUARD_SIZE;
}

void host_start_vcpus(void)
{
    /* The first one last: it runs the kernel at once, the others wait for it. So a failure here
     * ends a process in which nothing has happened yet. */
    for (unsigned cpu = SELKIE_SIM ? 1 : hosted_config.cpu_count; cpu-- > 0;) {
        struct vcpu_start *start = &starts[cpu];
        pthread_attr_t attr;
        pthread_t thread;
        int err;

        start->cpu = cpu;
        start->stack = anonymous(STACK_SIZE);
        start->memory = anonymous(HOSTED_ALTSTACK_SIZE + HOSTED_PANIC_STACK_SIZE);
        guard_set((char *)start->memory + HOSTED_ALTSTACK_SIZE);
        pthread_attr_init(&attr);
        pthread_attr_setstack(&attr, start->stack, STACK_SIZE);
        err = pthread_create(&thread, &attr, vcpu_thread, start);
        pthread_attr_destroy(&attr);
        if (err)
            host_fail("cannot create the thread of a virtual CPU: %s", strerror(err));
    }
}
