/* SPDX-License-Identifier: BSD-3-Clause */
/* shm - System V shared memory: keys, sizes, attaching twice and in parts, the life of a removed
 * segment, rights, errors; holes made in shared memory while others use it. */
#include "guest.h"

#include <pthread.h>
#include <sched.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>

#define PAGE 4096

static key_t key;

static struct shmid_ds status(int id)
{
    struct shmid_ds ds;
    REQUIRE(shmctl(id, IPC_STAT, &ds) == 0);
    return ds;
}

static void finding(void)
{
    int id = shmget(key, 5000, IPC_CREAT | IPC_EXCL | 0640);
    REQUIRE(id >= 0);
    REQUIRE(shmget(key, 0, 0) == id && shmget(key, 5000, IPC_CREAT | 0600) == id);
    REQUIRE_ERRNO(shmget(key, 5000, IPC_CREAT | IPC_EXCL | 0600), EEXIST);
    REQUIRE_ERRNO(shmget(key, 5001, 0), EINVAL);
    struct shmid_ds ds = status(id);
    REQUIRE(ds.shm_segsz == 5000 && ds.shm_nattch == 0 && ds.shm_cpid == getpid());
    REQUIRE((ds.shm_perm.mode & 0777) == 0640 && ds.shm_perm.__key == key && ds.shm_atime == 0 &&
            ds.shm_ctime != 0);
    ds.shm_perm.mode = 0600;
    REQUIRE(shmctl(id, IPC_SET, &ds) == 0 && (status(id).shm_perm.mode & 0777) == 0600);
    REQUIRE(shmctl(id, IPC_RMID, NULL) == 0);
    REQUIRE_ERRNO(shmctl(id, IPC_STAT, &ds), EINVAL);
    REQUIRE_ERRNO(shmget(key, 0, 0), ENOENT);
    REQUIRE_ERRNO(shmget(IPC_PRIVATE, 0, IPC_CREAT | 0600), EINVAL);
    REQUIRE_ERRNO(shmctl(-1, IPC_RMID, NULL), EINVAL);
    REQUIRE_ERRNO(shmctl(id, 12345, NULL), EINVAL);
}

static void attaching(void)
{
    int id = shmget(IPC_PRIVATE, 4 * PAGE, IPC_CREAT | 0600);
    REQUIRE(id >= 0);
    char *a = shmat(id, NULL, 0), *b = shmat(id, NULL, SHM_RDONLY);
    REQUIRE(a != (void *)-1 && b != (void *)-1 && a != b);
    struct shmid_ds ds = status(id);
    REQUIRE(ds.shm_nattch == 2 && ds.shm_lpid == getpid() && ds.shm_atime != 0);
    for (int i = 0; i < 4 * PAGE; i += 512) {
        REQUIRE(b[i] == 0);
        a[i] = (char)(i >> 9);
        REQUIRE(b[i] == (char)(i >> 9));
    }
    REQUIRE_ERRNO(mprotect(b, PAGE, PROT_READ | PROT_WRITE), EACCES);
    REQUIRE_ERRNO((long)shmat(id, a + 1, 0), EINVAL);
    REQUIRE_ERRNO((long)shmat(id, a, 0), EINVAL); /* something is there */
    REQUIRE_ERRNO((long)shmat(id, NULL, SHM_REMAP), EINVAL);
    /* The same place another time: on Linux the next place may be somebody else's. */
    REQUIRE_ERRNO((long)shmat(id ^ 1 << 30, NULL, 0), EINVAL);
    REQUIRE(shmat(id, b + 5, SHM_RND | SHM_REMAP) == b); /* replaces b */
    b[3] = 77;
    REQUIRE(a[3] == 77 && status(id).shm_nattch == 2);
    /* An attachment in pieces goes as a whole. */
    REQUIRE(munmap(a + PAGE, PAGE) == 0);
    REQUIRE(status(id).shm_nattch == 3);
    REQUIRE_ERRNO(shmdt(a + PAGE), EINVAL);
    REQUIRE_ERRNO(shmdt(a + 1), EINVAL);
    REQUIRE(shmdt(a) == 0 && status(id).shm_nattch == 1);
    REQUIRE_ERRNO(shmdt(a), EINVAL);
    /* Removed: it lives until the last detach. */
    REQUIRE(shmctl(id, IPC_RMID, NULL) == 0);
    REQUIRE(status(id).shm_perm.mode & SHM_DEST);
    a = shmat(id, NULL, 0);
    REQUIRE(a != (void *)-1 && a[3] == 77);
    REQUIRE(shmdt(a) == 0 && shmdt(b) == 0);
    REQUIRE_ERRNO(shmctl(id, IPC_STAT, &ds), EINVAL);
    REQUIRE_ERRNO((long)shmat(id, NULL, 0), EINVAL);
}

static void *churn(void *arg)
{
    (void)arg;
    for (int i = 0; i < 300; i++) {
        int id = shmget(key, 2 * PAGE, IPC_CREAT | 0600);
        char *p = id < 0 ? (void *)-1 : shmat(id, NULL, 0);
        if (p != (void *)-1) {
            p[PAGE] = 1;
            REQUIRE(shmdt(p) == 0);
        } else {
            REQUIRE(errno == EINVAL || errno == EIDRM || errno == ENOENT);
        }
        if (id >= 0 && shmctl(id, IPC_RMID, NULL) != 0)
            REQUIRE(errno == EINVAL || errno == EIDRM);
    }
    return NULL;
}

static volatile char *hole; /* shared memory that several threads make holes in */
static int hole_round;

static void *remove_again(void *arg)
{
    (void)arg;
    for (int i = 0; i < 500; i++) {
        hole[0] = 1;
        REQUIRE(madvise((void *)hole, PAGE, MADV_REMOVE) == 0);
    }
    return NULL;
}

static void *touch_hole(void *arg)
{
    (void)arg;
    for (int round = 1; round <= 500; round++) {
        while (__atomic_load_n(&hole_round, __ATOMIC_ACQUIRE) != round)
            sched_yield();
        for (int i = 0; i < 20; i++)
            hole[0] = 1;
        __atomic_store_n(&hole_round, -round, __ATOMIC_RELEASE);
    }
    return NULL;
}

/* Holes made at once by two threads come to an end; a page touched meanwhile is everybody's. */
static void holes(void)
{
    pthread_t threads[2];
    hole = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(hole != MAP_FAILED);
    volatile char *other = mremap((void *)hole, 0, PAGE, MREMAP_MAYMOVE);
    REQUIRE(other != MAP_FAILED && other != hole);
    for (int i = 0; i < 2; i++)
        REQUIRE(pthread_create(&threads[i], NULL, remove_again, NULL) == 0);
    for (int i = 0; i < 2; i++)
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    REQUIRE(pthread_create(&threads[0], NULL, touch_hole, NULL) == 0);
    for (int round = 1; round <= 500; round++) {
        __atomic_store_n(&hole_round, round, __ATOMIC_RELEASE);
        REQUIRE(madvise((void *)hole, PAGE, MADV_REMOVE) == 0);
        while (__atomic_load_n(&hole_round, __ATOMIC_ACQUIRE) != -round)
            sched_yield();
        hole[0] = (char)round;
        REQUIRE(other[0] == (char)round);
    }
    REQUIRE(pthread_join(threads[0], NULL) == 0);
}

int main(void)
{
    pthread_t threads[4];
    key = (key_t)(0x5e1c0000 | (getpid() & 0xffff));
    finding();
    attaching();
    holes();
    for (int i = 0; i < 4; i++)
        REQUIRE(pthread_create(&threads[i], NULL, churn, NULL) == 0);
    for (int i = 0; i < 4; i++)
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    REQUIRE_ERRNO(shmget(key, 0, 0), ENOENT);
    return guest_pass("shm");
}
