/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sim_spin.c - what user code does without entering the kernel: it waits in loops for what other
 * threads write; or all of it is stepped (the knob `step`).
 *
 * A host timer ticks. Has user code stayed out for a whole tick, it is stepped: if its registers
 * come back to a state they had, and go through the same states several times more, it is in a
 * cycle that only another thread can end. One time is not enough: a loop may count in memory (an
 * interpreter's does), but then it meets its counter in a register or the flags somewhere on the
 * way, and that state differs from the last round's. The program
 * is left in the cycle's lowest state, which does not depend on when the tick came. The search is
 * Brent's (An improved Monte Carlo factorization algorithm, BIT 20, 1980, section 2), and is done
 * at the 1st, 2nd, 4th, 8th ... tick of a stay, each time for longer.
 *
 * A debugger takes the SIGTRAP of each step for one of its own, stops, and keeps it from us. So
 * when the knob `stop` says that there is one, the first search is made much later, and by the time
 * in which the thread ran: code that only takes long (instructions that a hypervisor emulates;
 * everything, on a busy host) is not stepped then.
 *
 * All of it runs in the signal handler.
 */
#include "sim.h"

#if SELKIE_SIM

#define TICK_NS 1000000ull
#define CLOCK_THREAD_CPUTIME_ID 3
#define WATCHED_TICKS 512 /* without a search; a power of 2 */
#define STEPS 1024
#define ROUNDS 8
#define TSC_NS 20  /* the time that reading the counter takes; the counter runs at 1 GHz */
#define STEP_NS 20 /* an instruction that is stepped, as a point */
#define SPIN_NS 50000
#define TORN_NS 1000000000 /* it may count itself how long it has run */
#define TRAP_DEBUG 1
#define STATE_WORDS 19
#define FXSAVE_WORDS 64
#define FXSAVE_MAGIC_AT 58 /* sw_reserved (uapi asm/sigcontext.h): magic, size */
#define FXSAVE_MAGIC 0x46505853u
#define FP_WORDS_MAX 512
#define RFLAGS_ARITHMETIC 0x8d5ull /* CF PF AF ZF SF OF */

struct state {
    uint64_t word[STATE_WORDS];
};

static struct {
    uint64_t stay;  /* sim_stays() at the last tick */
    uint64_t ticks; /* in this stay */
    uint64_t began; /* the thread's CPU time at the stay's first tick */
    uint64_t steps; /* left */
    enum { QUIET, SEARCH, ROUND, LEAVE, SLICE } phase;
    struct state saved, lowest;
    unsigned since, power; /* steps since `saved`; when to save anew */
    unsigned length;       /* of the cycle */
    unsigned rounds;       /* to go */
    uint64_t sum, last;    /* of the states of this round; of those of the one before */
    enum sim_event why;
    uint64_t slice, length_of_slice; /* instructions to go; of how many (the knob `step`) */
} spin;

/* All vector and x87 registers as one word: what computes in them only is no waiting loop. */
static uint64_t fp_sum(const struct host_ucontext *uc)
{
    uint64_t sum = 0, words = FXSAVE_WORDS;

    if (!uc->fpstate)
        return 0;
    if ((uint32_t)uc->fpstate[FXSAVE_MAGIC_AT] == FXSAVE_MAGIC)
        words = (uc->fpstate[FXSAVE_MAGIC_AT] >> 32) / 8;
    for (uint64_t i = 0; i < MIN(words, (uint64_t)FP_WORDS_MAX); i++) {
        sum = (sum ^ uc->fpstate[i]) * 0x9e3779b97f4a7c15ull;
        sum ^= sum >> 29;
    }
    return sum;
}

static void state_take(struct state *s, const struct host_ucontext *uc)
{
    const uint64_t *registers = &uc->r8; /* r8 to rsp, rip: as in struct host_ucontext */

    s->word[0] = uc->rip;
    for (unsigned i = 0; i < 16; i++)
        s->word[1 + i] = registers[i];
    s->word[17] = uc->rflags & RFLAGS_ARITHMETIC;
    s->word[18] = fp_sum(uc);
}

static int state_compare(const struct state *a, const struct state *b)
{
    for (unsigned i = 0; i < STATE_WORDS; i++)
        if (a->word[i] != b->word[i])
            return a->word[i] < b->word[i] ? -1 : 1;
    return 0;
}

static uint64_t state_sum(uint64_t sum, const struct state *s)
{
    for (unsigned i = 0; i < STATE_WORDS; i++) {
        sum = (sum ^ s->word[i]) * 0x9e3779b97f4a7c15ull;
        sum ^= sum >> 29;
    }
    return sum;
}

static void search_from(const struct state *now)
{
    spin.saved = *now;
    spin.since = 0;
    spin.power = 1;
    spin.phase = SEARCH;
}

static void step_begin(struct host_ucontext *uc)
{
    struct state now;

    state_take(&now, uc);
    search_from(&now);
    spin.steps = STEPS * spin.ticks;
    uc->rflags |= ISA_RFLAGS_TF;
}

static enum sim_verdict step_end(struct host_ucontext *uc, enum sim_verdict verdict)
{
    uc->rflags &= ~ISA_RFLAGS_TF;
    spin.phase = QUIET;
    return verdict;
}

static void search(const struct state *now)
{
    if (state_compare(now, &spin.saved) == 0) {
        spin.length = spin.since;
        spin.lowest = *now;
        spin.since = 0;
        spin.sum = 0;
        spin.rounds = ROUNDS;
        spin.phase = ROUND;
    } else if (spin.since == spin.power) {
        spin.saved = *now;
        spin.since = 0;
        spin.power *= 2;
    }
}

/* Once more round a cycle. */
static void round_step(const struct state *now)
{
    if (state_compare(now, &spin.lowest) < 0)
        spin.lowest = *now;
    spin.sum = state_sum(spin.sum, now);
    if (spin.since < spin.length)
        return;
    if (spin.rounds < ROUNDS && spin.sum != spin.last) {
        search_from(now);
        return;
    }
    spin.last = spin.sum;
    spin.sum = 0;
    spin.since = 0;
    if (--spin.rounds == 0)
        spin.phase = LEAVE;
}

/* One more instruction has been executed. */
static enum sim_verdict step(struct host_ucontext *uc)
{
    struct state now;

    if (spin.steps-- == 0)
        return step_end(uc, SIM_DONE); /* no cycle, or a long one */
    state_take(&now, uc);
    spin.since++;
    if (spin.phase == SEARCH)
        search(&now);
    else if (spin.phase == ROUND)
        round_step(&now);
    if (spin.phase != LEAVE || state_compare(&now, &spin.lowest) != 0)
        return SIM_DONE;
    spin.why = SIM_SPIN;
    return step_end(uc, SIM_TAKE);
}

static uint64_t slices(void)
{
    return hosted_config.sim.knob[HOSTED_KNOB_STEP];
}

void sim_step_begin(struct isa_frame *frame)
{
    if (!slices())
        return;
    if (spin.slice == 0)
        spin.slice = spin.length_of_slice = sim_slice();
    frame->rflags |= ISA_RFLAGS_TF;
    frame->trapped |= FRAME_TRAPPED_FULL;
    spin.phase = SLICE;
}

void sim_step_undo(struct isa_frame *frame)
{
    if (slices())
        frame->rflags &= ~ISA_RFLAGS_TF;
}

static enum sim_verdict slice_step(struct host_ucontext *uc)
{
    if (--spin.slice > 0)
        return SIM_DONE;
    spin.why = SIM_STEP;
    return step_end(uc, SIM_TAKE);
}

/* Time in which the thread ran, not the host's other work. */
static uint64_t cpu_time(void)
{
    struct host_timespec ts = {0, 0};

    (void)host_call3(HOST_clock_gettime, CLOCK_THREAD_CPUTIME_ID, (long)&ts, 0);
    return (uint64_t)ts.sec * NS_PER_SEC + (uint64_t)ts.nsec;
}

static bool search_due(void)
{
    if (spin.ticks & (spin.ticks - 1))
        return false;
    return !hosted_config.sim.knob[HOSTED_KNOB_STOP] ||
           (spin.ticks >= WATCHED_TICKS && cpu_time() - spin.began >= WATCHED_TICKS * TICK_NS);
}

static enum sim_verdict tick(struct host_ucontext *uc, bool user)
{
    uint64_t limit = hosted_config.sim.knob[HOSTED_KNOB_STAY] * NS_PER_SEC;

    if (!user || spin.stay != sim_stays()) {
        spin.stay = sim_stays();
        spin.ticks = 0;
        spin.began = cpu_time();
        return SIM_DONE;
    }
    spin.ticks++;
    if (spin.ticks >= limit / TICK_NS && cpu_time() - spin.began >= limit) {
        spin.why = SIM_TORN;
        return step_end(uc, SIM_TAKE);
    }
    if (search_due())
        step_begin(uc);
    return SIM_DONE;
}

enum sim_verdict sim_signal(int signo, const struct host_siginfo *info, struct host_ucontext *uc,
                            bool user)
{
    bool stepped = signo == HOST_SIGTRAP && uc->trapno == TRAP_DEBUG;

    if (signo == HOSTED_TIMER_SIGNAL)
        return spin.phase == QUIET && !slices() ? tick(uc, user) : SIM_DONE;
    if (sim_cpu_asked(signo, info, uc))
        return SIM_DONE;
    if (spin.phase == QUIET)
        return stepped && !(uc->rflags & ISA_RFLAGS_TF) ? SIM_DONE : SIM_PASS;
    if (stepped && user)
        return spin.phase == SLICE ? slice_step(uc) : step(uc);
    /* It has entered the kernel. The SYSCALL instruction has put the flags into r11. */
    (void)step_end(uc, SIM_DONE);
    sim_step_undo(vcpu_self()->frame); /* if it did not come as far as user code */
    if (signo == HOST_SIGSYS)
        uc->r11 &= ~ISA_RFLAGS_TF;
    return stepped ? SIM_DONE : SIM_PASS;
}

void sim_watch(int timer)
{
    struct host_itimerspec spec = {{0, TICK_NS}, {0, TICK_NS}};

    (void)host_call4(HOST_timer_settime, timer, 0, (long)&spec, 0);
}

void sim_taken(struct isa_frame *frame)
{
    sim_note(spin.why, frame->rip, 0);
    if (spin.why == SIM_STEP) {
        sim_pass(spin.length_of_slice * STEP_NS);
        sim_relax();
    } else {
        sim_wait(spin.why == SIM_SPIN ? SPIN_NS : TORN_NS);
    }
}

#endif
