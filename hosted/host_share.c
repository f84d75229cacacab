/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * host_share.c - the outer half of frames in shared memory (net_share.h): what the switch says of
 * other machines, and a thread that hears their bells while no virtual CPU looks.
 *
 * The switch's messages come on a socket that host_net.c's thread watches. The memory of a pair
 * must be sealed, so that nobody can take pages of it away (SIGBUS). The thread for the bells
 * begins with the first peer. It sleeps on all bells at once (futex_waitv); a bell is a count, so
 * one that rings between the look and the sleep ends the sleep. It holds `places` while it looks,
 * so nothing is unmapped under it; asleep it touches nothing.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "net_share.h"
#include "outer.h"
#include "receive.h"

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW)

static pthread_mutex_t places = PTHREAD_MUTEX_INITIALIZER;
static int control = -1;

/* ---- bells ---- */

static void raise_events(uint32_t events)
{
    __atomic_fetch_or(&hosted_net_events[0], events, __ATOMIC_RELEASE);
    hosted_raise(__atomic_load_n(&hosted_net_cpu, __ATOMIC_RELAXED), HOSTED_IRQ_NET);
}

static void bells_change(void)
{
    __atomic_fetch_add(&hosted_bells_changed, 1, __ATOMIC_RELEASE);
    syscall(SYS_futex, &hosted_bells_changed, FUTEX_WAKE_PRIVATE, 1);
}

/* What to sleep on: how many words. *rung: a bell says something else than `heard`. */
static unsigned collect(struct futex_waitv waiters[], uint32_t heard[], bool *rung)
{
    unsigned n = 1;

    *rung = false;
    pthread_mutex_lock(&places);
    waiters[0] = (struct futex_waitv){
        .val = __atomic_load_n(&hosted_bells_changed, __ATOMIC_ACQUIRE),
        .uaddr = (uintptr_t)&hosted_bells_changed,
        .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG,
    };
    for (unsigned i = 0; i < SHARE_PORTS; i++) {
        const uint32_t *bell = hosted_peer_bell(i);
        uint32_t now = bell ? __atomic_load_n(bell, __ATOMIC_ACQUIRE) : 0;

        if (now != heard[i] && bell)
            *rung = true;
        heard[i] = now;
        if (bell)
            waiters[n++] =
                (struct futex_waitv){.val = now, .uaddr = (uintptr_t)bell, .flags = FUTEX_32};
    }
    pthread_mutex_unlock(&places);
    return n;
}

static void *hear(void *arg)
{
    static struct futex_waitv waiters[SHARE_PORTS + 1];
    static uint32_t heard[SHARE_PORTS];

    for (;;) {
        bool rung;
        unsigned n = collect(waiters, heard, &rung);
        /* After the count of changes, which a sender raises behind its flag: either this sees the
         * flag, or the sleep ends at once. */
        bool waits = __atomic_load_n(&hosted_sender_waits, __ATOMIC_ACQUIRE);
        struct timespec limit;

        if (rung) {
            /* Records, or room for them. */
            raise_events(EPOLLPRI | EPOLLOUT);
            continue;
        }
        clock_gettime(CLOCK_MONOTONIC, &limit);
        limit.tv_sec += SHARE_PATIENCE_NS / 1000000000u;
        if (syscall(SYS_futex_waitv, waiters, n, 0, waits ? &limit : NULL, CLOCK_MONOTONIC) < 0 &&
            errno == ETIMEDOUT) {
            (void)__atomic_exchange_n(&hosted_sender_waits, 0, __ATOMIC_ACQ_REL);
            raise_events(EPOLLOUT);
        }
    }
    return arg;
}

/* ---- the switch's messages ---- */

static void place_free(unsigned port)
{
    void *region;

    pthread_mutex_lock(&places);
    region = hosted_peer_close(port);
    if (region)
        munmap(region, SHARE_SIZE);
    pthread_mutex_unlock(&places);
}

/* False: it cannot be used, which costs speed only. */
static bool place_open(unsigned port, unsigned side, int fd)
{
    static bool listening;
    pthread_t thread;
    struct stat st;
    void *region;

    int seals = fcntl(fd, F_GET_SEALS); /* -1, all bits: not even a memfd */

    if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &st) < 0 || st.st_size != SHARE_SIZE)
        return false;
    region = mmap(NULL, SHARE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (region == MAP_FAILED)
        return false;
    if (!listening && pthread_create(&thread, NULL, hear, NULL) != 0) {
        munmap(region, SHARE_SIZE);
        return false;
    }
    listening = true;
    place_free(port);
    pthread_mutex_lock(&places);
    hosted_peer_open(port, region, side);
    pthread_mutex_unlock(&places);
    /* From now on the bell is heard, and what was written before is looked at. */
    bells_change();
    raise_events(EPOLLPRI);
    return true;
}

static void peer_gone(unsigned port)
{
    hosted_peer_gone(port);
    raise_events(EPOLLPRI | EPOLLOUT); /* what it left behind; who waits for it */
}

static void handle(const struct share_message *m, int fd)
{
    if (m->port >= SHARE_PORTS)
        return;
    if (m->kind == SHARE_PEER && fd >= 0 && m->side < 2)
        place_open(m->port, m->side, fd);
    else if (m->kind == SHARE_GONE)
        peer_gone(m->port);
    else if (m->kind == SHARE_ADDRESS)
        hosted_address_set(m->mac, m->port);
    else if (m->kind == SHARE_FORGET)
        hosted_address_forget(m->mac);
}

void host_share_event(void)
{
    struct share_message m;
    ssize_t n;
    int fd;

    while ((n = receive_with(control, &m, sizeof(m), &fd)) > 0) {
        if (n == sizeof(m))
            handle(&m, fd);
        if (fd >= 0)
            close(fd);
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    /* The switch has gone. */
    epoll_ctl(hosted_config.net.epoll_fd, EPOLL_CTL_DEL, control, NULL);
    for (unsigned i = 0; i < SHARE_PORTS; i++)
        peer_gone(i);
}

void host_share_start(int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = HOST_SHARE_EVENT};

    control = fd;
    if (epoll_ctl(hosted_config.net.epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
        host_fail("--net: share=%d: %s", fd, strerror(errno));
}
