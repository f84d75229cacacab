/* SPDX-License-Identifier: BSD-3-Clause */
/* sim.h - deterministic simulation (docs/simulation.md): what the inner files of the hosted backend
 * call. In other builds SELKIE_SIM is 0 and none of it is linked. */
#ifndef SELKIE_HOSTED_SIM_H
#define SELKIE_HOSTED_SIM_H

#include "hosted.h"

#if SELKIE_SIM && SELKIE_SANITIZE
#error "the simulation answers the compiler's sanitizer calls itself"
#endif

/* Events of the trace. */
enum sim_event {
    SIM_BOOT,
    SIM_CALL,  /* number, - */
    SIM_FAULT, /* kind, address */
    SIM_LEAVE, /* to user code */
    SIM_TURN,  /* this CPU goes on */
    SIM_RAISE, /* on CPU, bits */
    SIM_ARM,   /* deadline */
    SIM_DUE,   /* a CPU's timer */
    SIM_IDLE,
    SIM_JUMP, /* the clock moved on by so much */
    SIM_RANDOM,
    SIM_WRITE, /* stream, length */
    SIM_READ,
    SIM_ARRIVE, /* from another kernel: kind of message, length */
    SIM_FRAME,  /* sent: length, hash */
    SIM_HOLD,   /* at this place, for so many ns */
    SIM_STEP,   /* so many instructions of user code were enough */
    SIM_SPIN,   /* a waiting loop of user code at this pc gave the CPU up */
    SIM_TORN,   /* user code was interrupted at no particular place: not repeatable */
    SIM_END,
    SIM_EVENTS,
};

void sim_start(struct vcpu *v);
void sim_cpu_start(struct vcpu *v);
void sim_note(enum sim_event event, uint64_t a, uint64_t b);
uint64_t sim_now(void);
void sim_arm(struct vcpu *v);
void sim_idle(struct vcpu *v);
void sim_raise(unsigned cpu, uint32_t bits);
long sim_read(void *buf, size_t len);
/* How often user code has been entered; and time that passes otherwise. */
uint64_t sim_stays(void);
/* After how many instructions of user code the CPU is taken. */
uint64_t sim_slice(void);
void sim_pass(uint64_t ns);
void sim_wait(uint64_t ns);
void sim_relax(void);
void sim_entropy(void *buf, size_t len);
void sim_finish(int status);
/* No points from here on (1), or again as before (what this returned). */
uint32_t sim_quiet(uint32_t inside);
/* Look for what comes from other kernels at this time, too. */
void sim_look_by(uint64_t time);
/* sim_link.c: this kernel as one of several. */
bool sim_linked(void);
void sim_link_start(void);
/* Wait until this kernel may go on. `next`: when it does so by itself. Returns when it goes on;
 * UINT64_MAX: never. */
uint64_t sim_link_wait(uint64_t next, uint64_t *horizon);
int sim_link_write(enum hal_stream stream, const uint8_t *buf, size_t len);
int sim_link_room(enum hal_stream stream);
long sim_link_read(uint8_t *buf, size_t len);
void sim_link_send(unsigned kind, unsigned port, const void *data, size_t len);
void sim_link_end(int status, uint64_t trace, uint64_t memory);
/* sim_net.c: the network device's wire. */
void sim_net_arrived(const uint8_t *bytes, uint32_t len);
long sim_net_receive(unsigned pair, const struct host_iovec *iov, unsigned count);
long sim_net_send(const struct host_iovec *iov, unsigned count);
uint32_t sim_net_lost(void);
/* sim_cpu.c: an instruction that tells of the host; answered. */
bool sim_cpu_asked(int signo, const struct host_siginfo *info, struct host_ucontext *uc);
/* sim_spin.c */
enum sim_verdict {
    SIM_PASS, /* none of ours */
    SIM_DONE, /* go on where the signal came */
    SIM_TAKE, /* take the CPU from user code, as an interrupt does */
};
enum sim_verdict sim_signal(int signo, const struct host_siginfo *info, struct host_ucontext *uc,
                            bool user);
void sim_watch(int timer);
void sim_taken(struct isa_frame *frame);
/* User code is stepped from here on, if the knob `step` says so; and is not, after all. */
void sim_step_begin(struct isa_frame *frame);
void sim_step_undo(struct isa_frame *frame);

/* From entry.S. */
void hosted_sim_enter(struct isa_frame *frame);
void hosted_sim_leave(struct isa_frame *frame);
_Noreturn void hosted_sim_first(void);
void hosted_call_on(void (*function)(void *), void *argument, void *stack_top);

/* sim_trace.c */
void trace_event(uint64_t number, uint64_t now, unsigned cpu, enum sim_event event, uint64_t a,
                 uint64_t b);
void trace_start(void);
void trace_end(int status, uint64_t events, uint64_t boot, uint64_t points, uint64_t now);

#endif
