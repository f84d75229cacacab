/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * handoff ROUNDS PRODUCERS - threads that wake one another all the time and have no time-outs: each
 * wake-up that the kernel loses ends in a deadlock. A consumer waits for each of some producers in
 * turn, who have room for one item. The calls that they make in between often take about as long as
 * an idle CPU waits before it halts.
 */
#include "guest.h"

#include <pthread.h>
#include <semaphore.h>

#define PRODUCERS_MAX 8
#define CALLS 200

struct producer {
    sem_t items, room;
    pthread_t thread;
    unsigned long state;
    int made;
};

static struct producer producers[PRODUCERS_MAX];
static int rounds;

static void *produce(void *arg)
{
    struct producer *self = arg;

    for (int i = 0; i < rounds; i++) {
        self->state = self->state * 6364136223846793005ul + 1442695040888963407ul;
        if (self->state >> 63)
            for (unsigned n = (self->state >> 40) % CALLS; n > 0; n--)
                getppid();
        REQUIRE(sem_wait(&self->room) == 0);
        self->made++;
        REQUIRE(sem_post(&self->items) == 0);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    int count = argc > 2 ? atoi(argv[2]) : 2;

    rounds = argc > 1 ? atoi(argv[1]) : 200;
    REQUIRE(count >= 1 && count <= PRODUCERS_MAX);
    for (int i = 0; i < count; i++) {
        producers[i].state = (unsigned long)i;
        REQUIRE(sem_init(&producers[i].items, 0, 0) == 0);
        REQUIRE(sem_init(&producers[i].room, 0, 1) == 0);
        REQUIRE(pthread_create(&producers[i].thread, NULL, produce, &producers[i]) == 0);
    }
    for (int i = 0; i < count * rounds; i++) {
        REQUIRE(sem_wait(&producers[i % count].items) == 0);
        REQUIRE(sem_post(&producers[i % count].room) == 0);
    }
    for (int i = 0; i < count; i++) {
        REQUIRE(pthread_join(producers[i].thread, NULL) == 0);
        REQUIRE(producers[i].made == rounds);
    }
    return guest_pass("handoff");
}
