/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * shared.h - what the two worlds of the hosted backend say to each other.
 *
 * The outer world (main.c, host_*.c) is ordinary C with libc. It prepares everything, starts one
 * thread per virtual CPU and then waits for input and signals. The inner world (the other files,
 * the ISA code, the kernel) runs on those threads and never calls libc: a program's FS base and
 * vector registers are live there. This header needs neither world's other headers.
 */
#ifndef SELKIE_HOSTED_SHARED_H
#define SELKIE_HOSTED_SHARED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HOSTED_STREAM_COUNT 3   /* HAL_STREAM_COUNT */
#define HOSTED_CPU_MAX 256      /* HAL_CPU_MAX */
#define HOSTED_EXIT_FAILURE 125 /* HAL_EXIT_PANIC */
/* A virtual CPU's thread shall look at its pending interrupts. From other threads: SIGURG, because
 * one of them pending is enough and sending it cannot fail; the host has a limit to queued
 * real-time signals. From the thread's host timer: one that is queued, for it says so. */
#define HOSTED_IRQ_SIGNAL 23
#define HOSTED_TIMER_SIGNAL 40
#define HOSTED_ALTSTACK_SIZE (64 * 1024)
#define HOSTED_PANIC_STACK_SIZE (64 * 1024)

/* Interrupt bits of a virtual CPU. */
#define HOSTED_IRQ_IPI 1u
#define HOSTED_IRQ_TIMER 2u /* the host timer has expired */
#define HOSTED_IRQ_CONSOLE 4u
#define HOSTED_IRQ_SHUTDOWN 8u
#define HOSTED_IRQ_ARM 16u /* not an interrupt: the host timer must be programmed */
#define HOSTED_IRQ_DUE 32u /* the deadline has passed without the host timer's help */
#define HOSTED_IRQ_NET 64u /* the network device, or what it waits for (dev_net.c) */

/* Terminal state as the kernel's termios has it (uapi asm-generic/termbits.h). */
struct hosted_termios {
    uint32_t iflag, oflag, cflag, lflag;
    uint8_t line, cc[19];
};

/* What the host can map at once: RAM_BASE, the direct map and file offsets are aligned to it. */
#define HOSTED_LARGE_PAGE ((uintptr_t)2 << 20)

/* Deterministic simulation (docs/simulation.md); only in builds with SELKIE_SIM. */
enum hosted_knob {
    HOSTED_KNOB_SWITCH,
    HOSTED_KNOB_DEPTH,
    HOSTED_KNOB_LENGTH,
    HOSTED_KNOB_MEMORY,
    HOSTED_KNOB_SKEW,
    HOSTED_KNOB_STAY,
    HOSTED_KNOB_NOMEM,
    HOSTED_KNOB_DEVICES,
    HOSTED_KNOB_STEP,
    HOSTED_KNOB_SLOW,
    HOSTED_KNOB_HOLD,
    HOSTED_KNOB_ENTROPY,
    HOSTED_KNOB_STOP, /* the last: belongs to who watches, not to the run */
    HOSTED_KNOBS,
};
extern const char *const hosted_knob_names[HOSTED_KNOBS];
struct hosted_sim {
    uint64_t seed;
    uint64_t knob[HOSTED_KNOBS];
    int trace_fd;        /* -1: none */
    bool report;         /* the last line of the trace on the log as well */
    const char *compare; /* a recorded trace to compare with, or NULL */
    size_t compare_size;
    const uint8_t *input; /* all of standard input */
    size_t input_size;
    bool cpuid; /* the host can fault CPUID */
    /* One of several kernels (sim_wire.h). */
    int link_fd;         /* -1: it is alone */
    unsigned link_flags; /* HOSTED_LINK_* */
    uint64_t link_delay; /* the least of any message */
};
#define HOSTED_LINK_IN 1u
#define HOSTED_LINK_OUT 2u

/* The network device's outside. */
#define HOSTED_NET_PAIRS 8
struct hosted_net {
    unsigned pairs; /* of queues, and descriptors; 0: no device */
    int fd[HOSTED_NET_PAIRS], fd_out[HOSTED_NET_PAIRS]; /* the same ones, for epoll */
    int epoll_fd;                                       /* looked at by host_net.c */
    int pcap_fd;                                        /* -1: none */
    int share_fd;      /* a switch's messages (host_share.c); -1: none */
    uint64_t offloads; /* virtio's feature bits: what the outside can do */
    unsigned mtu;      /* 0: it does not say */
    uint8_t mac[6];
};

/* Filled by the outer world before any virtual CPU starts; constant afterwards unless noted. */
struct hosted_config {
    unsigned cpu_count;
    int ram_fd;
    uint64_t ram_base, ram_size; /* physical */
    uintptr_t direct_map;        /* address of physical address 0 */
    const void *initrd;
    size_t initrd_size;
    const char *cmdline;
    const char *command;        /* for reports; may be NULL */
    const char *core;           /* where a core file goes; NULL: nowhere */
    uintptr_t text_lo, text_hi; /* of this executable */
    uintptr_t data_lo, data_hi;
    uintptr_t load_bias; /* address minus address in the file */
    uintptr_t kernel_lo, kernel_hi;
    int fd_in, fd_out, fd_err, fd_log;
    bool in_tty, out_tty, err_tty;
    bool out_file, err_file, log_file; /* writing takes as long as it takes */
    uint32_t window;                   /* atomic: rows << 16 | columns */
    bool in_ours;                      /* atomic: in the foreground, so that input may be read */
    bool restore_tty;                  /* atomic: the terminal is as we want it, not as in `tty` */
    struct hosted_termios tty;
    int wake_fd;       /* eventfd that the outer world listens to */
    bool exit_outside; /* leave through exit(3), so that run-time libraries finish */
    /* Clock: TSC if tsc_mult is not 0. */
    uint64_t tsc_base, tsc_mult;
    uint32_t tsc_shift;
    uint64_t clock_base_ns; /* CLOCK_MONOTONIC at boot */
    uint64_t wall_base_ns;
    struct hosted_net net;
    struct hosted_sim sim;
};
extern struct hosted_config hosted_config;

/* Atomic words between the worlds. */
extern int32_t hosted_exit_status;       /* -1 until the machine is off (exit_outside) */
extern uint32_t hosted_shutdown_signals; /* bit n: Linux signal n + 1 has been asked for, or: */
#define HOSTED_NOT_STOPPED (1u << 31)    /* the job that was to stop has not */
extern uint32_t hosted_input_idle;       /* 1: the kernel has been told of input and has not yet
                                            drained it, so nobody watches fd_in */
extern uint32_t hosted_job;              /* HOSTED_JOB_*: what the kernel asks for */
#define HOSTED_JOB_READ 1u               /* a program waits for the terminal's input */
#define HOSTED_JOB_STOP 2u               /* it is stopped, so stop the process */
extern uint32_t hosted_room_wanted;      /* bit n: stream n (enum hal_stream) had no room */

extern uint32_t hosted_net_events[HOSTED_NET_PAIRS]; /* EPOLLIN, EPOLLOUT: what has happened */

/* A core file, written by the outer world when the kernel panics. */
#define HOSTED_CORE_REGISTERS 27 /* ISA_CORE_REGISTERS */
struct hosted_core_cpu {
    int32_t tid;
    uint64_t registers[HOSTED_CORE_REGISTERS];
};
extern struct hosted_core_cpu hosted_core_cpus[HOSTED_CPU_MAX];
#define HOSTED_CORE_FP_MAX 4096    /* bytes of vector registers */
extern unsigned hosted_core_first; /* that panicked */
enum { HOSTED_CORE_WANTED = 1, HOSTED_CORE_WRITTEN };
extern uint32_t hosted_core_state; /* atomic: one of these, 0 before */

/* Inner functions that the outer world calls. */
extern uintptr_t __stack_chk_guard;
/* Once, when hosted_config is complete and before any virtual CPU runs. */
void hosted_inner_init(void);
/* The user windows, for the outer world to check: false if there is no window `i`. */
bool hosted_window(unsigned i, uintptr_t *lo, uintptr_t *hi);
/* Turn the calling thread into virtual CPU `cpu`; [stack, stack+size) is the stack it is
 * on. Never returns. `memory`: ALTSTACK_SIZE + PANIC_STACK_SIZE bytes. */
_Noreturn void hosted_vcpu_main(unsigned cpu, void *memory, void *stack, size_t size);
void hosted_raise(unsigned cpu, uint32_t bits);
/* isa_core_fp of the thread that a CPU executes; out has HOSTED_CORE_FP_MAX bytes. */
size_t hosted_core_fp(unsigned cpu, unsigned i, uint32_t *type, const char **name, void *out);

#endif
