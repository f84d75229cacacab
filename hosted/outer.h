/* SPDX-License-Identifier: BSD-3-Clause */
/* outer.h - what main.c and the host_*.c files share. */
#ifndef SELKIE_HOSTED_OUTER_H
#define SELKIE_HOSTED_OUTER_H

#include "shared.h"

struct host_options {
    uint64_t memory;
    unsigned cpus;
    const char *initrd, *cmdline, *command, *core;
    int log_fd;
    struct host_sim_options {
        const char *seed, *trace, *replay;
        int link; /* -1: none */
        bool report;
    } sim;
};

/* One line on standard error, then exit with HOSTED_EXIT_FAILURE. */
_Noreturn void host_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* host_setup.c */
void host_check(void);
void host_setup_text(void);
void host_setup_memory(const struct host_options *options);
void host_setup_guard(void);
void host_check_windows(char **argv);

/* host_clock.c */
void host_setup_clock(void);

/* host_io.c */
void host_setup_descriptors(void);
void host_setup_io(const struct host_options *options);
void host_start_signals(void);
_Noreturn void host_io_loop(void);

/* host_sim.c; do nothing in other builds */
void host_sim_exact(char **argv);    /* may start the process anew */
void host_sim_set(const char *text); /* NAME=VALUE */
void host_sim_setup(const struct host_options *options);
/* Where to ask the host to map so many bytes whose address the kernel sees; NULL: anywhere. */
void *host_sim_place(size_t size);

/* host_net.c */
void host_net_set(const char *text); /* fd=N,... */
void host_net_start(void);

/* host_share.c: a switch's messages come from this descriptor, as events with this mark */
#define HOST_SHARE_EVENT UINT64_MAX
void host_share_start(int fd);
void host_share_event(void);

/* host_core.c: if the kernel wants it, write a core file */
void host_core_write(void);

/* host_vcpu.c */
void host_start_vcpus(void);

#endif
