/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lockrank.h - every class of lock in the kernel, in the order in which they may be
 * taken: a thread holding a lock takes only locks that stand below it here.
 * One line each: what it guards. Sleeping locks (S) stand before spinlocks,
 * because nothing sleeps while it spins.
 */
#ifndef SELKIE_CORE_LOCKRANK_H
#define SELKIE_CORE_LOCKRANK_H

#include "lib/types.h"

enum lock_rank {
    RANK_NONE,
    /* sleeping locks */
    RANK_EXEC,       /* S process: one execve or thread-group change at a time */
    RANK_FUTEX_EXIT, /* S task: while it gives up its futexes at its end */
    RANK_FILE_POS,   /* S struct file: position during read/write/lseek/getdents */
    RANK_EPOLL,      /* S epoll instance: interest tree; which files send SIGIO */
    RANK_SOCK_NAME,  /* S socket: bind, connect, listen, one at a time */
    RANK_RENAME,     /* S file system: directory renames */
    RANK_DIR,        /* S directory inode: entries; parent before child */
    RANK_DIR_CHILD,  /* S second directory of a pair */
    RANK_INODE,      /* S inode: data writes, truncation, attributes */
    RANK_PIPE,       /* S pipe buffer */
    RANK_SOCK_READ,  /* S socket: one reader at a time */
    RANK_SOCK_FILES, /* S files that are on their way through sockets, and the search for lost ones
                      */
    RANK_SOCK,       /* S socket: its state and what it has received */
    RANK_SOCK_TABLE, /* S names of sockets, list of all */
    RANK_NETDEV_UP,  /* S a network device: up and down, mtu */
    RANK_NET_CONFIG, /* S routes, addresses, multicast groups: writers */
    RANK_TTY,        /* S tty: line discipline */
    RANK_HUGETLB,    /* S size of the pool of huge pages; compaction runs under it */
    RANK_SPACE,      /* S address space: area tree and page tables */
    RANK_FAULT,      /* S address space: page-table entries of 2 MiB, among concurrent faults */
    RANK_PAGECACHE,  /* S one page-cache object: filling and truncation */
    RANK_TIMERFDS,   /* S list of the timerfds of the wall clock */
    RANK_SLEEP_LAST, /* S leaf mutexes of small subsystems */
    /* spinlocks */
    RANK_FUTEX,   /* futex hash bucket */
    RANK_FUTEX_2, /* second bucket of a requeue */
    RANK_FDTABLE, /* descriptor table */
    RANK_DENTRY,  /* dentry cache */
    RANK_AREAS,   /* list of the areas that map a vm_object */
    RANK_PORT,    /* the table of ports */
    RANK_FLOW,    /* a stripe of the table of flows */
    RANK_REASS,   /* fragments that wait for the others */
    RANK_NEIGH,   /* table of neighbours */
    RANK_PACKET,  /* what an AF_PACKET socket has received; the list of them */
    RANK_NETDEV,  /* transmit queue of a network device */
    /* from here on: taken with _irqsave, because interrupt handlers take them too */
    RANK_PROCESS,    /* process: thread list, signal state, ids */
    RANK_MUTEX,      /* the inside of a sleeping lock */
    RANK_WAITQ,      /* wait queue */
    RANK_POLL,       /* epoll ready list: taken by callbacks under a wait queue */
    RANK_POLL_WAITQ, /* wait queue of an epoll instance */
    RANK_TIMER,      /* per-CPU timer queue */
    RANK_THREADS,    /* list of all threads */
    RANK_PI,         /* books of priority inheritance */
    RANK_SCHED,      /* who sets or copies a set of CPUs */
    RANK_MEMDEBUG,   /* books of SELKIE_MEMORY_DEBUG */
    RANK_HOTPAGES,   /* one CPU's cache of free pages */
    RANK_PAGE,       /* buddy allocator */
    RANK_KVM,        /* kernel virtual range allocator */
    RANK_DEVICE,     /* a driver's table or input */
    RANK_ENTROPY,    /* random generator */
    RANK_LOG,        /* log ring */
    RANK_COUNT,
};

#endif
