/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sim.c - deterministic simulation: virtual CPUs take turns on one host thread, time is counted
 * (docs/simulation.md). Only in builds with SELKIE_SIM.
 *
 * One CPU is `current`; its struct vcpu is what %gs points to. Another can take over only in
 * turn(), which is called at points. A CPU is runnable if it has been started and is not idle, or
 * idle with something pending.
 *
 * With the knob `slow` a few places of the kernel's code, by the seed, are slow: a CPU that comes
 * to one may have to stay there for a while (`sim_held`), during which all others go on. A bug that
 * takes several threads held at certain places each at its time, over and over again, is one seed
 * away from being certain, where chance would have to hit each of them at each time.
 */
#include "sim.h"

#include "lib/errno.h"
#include "lib/string.h"

#if SELKIE_SIM

#define POINT_NS 20
#define STAY_NS 1000
#define RELAX_NS 1000
#define THREAD_SLOTS 1024
#define FIRST_PRIORITY (1ull << 63) /* below it who was put behind all others, */
#define LAST_PRIORITY (3ull << 62)  /* and from here on who was put before them */
#define PASSED_OVER_NS 100000000
#define HOLD_SPREAD 12 /* powers of two */

struct sim {
    uint64_t now;       /* ns */
    uint64_t next_due;  /* the least of all CPUs' sim_due */
    uint64_t horizon;   /* until then nothing comes from other kernels that is not here */
    uint64_t next_look; /* no later than the two above */
    uint64_t countdown; /* points until the next change over */
    uint64_t points, events;
    uint64_t order, entropy, skew; /* the states of the generators */
    uint64_t changes;              /* of priorities, still to come */
    uint64_t stays;                /* in user code, so far */
    uint64_t boot;                 /* points before the first of them */
    uint64_t torn;                 /* of these, interrupted at no particular place */
    uint32_t inside;               /* no points now */
    bool on;
    bool strict;         /* at every point the CPU of the highest priority goes on */
    uint32_t slow_below; /* a place whose hash is below it is slow */
    /* With the knob `depth`: threads put behind or before all others, a cache by hash. */
    struct {
        const void *thread;
        uint64_t priority;
    } moved[THREAD_SLOTS];
    uint64_t lowest;  /* counts down */
    uint64_t highest; /* counts up */
    uint64_t salt;    /* of the threads' first priorities */
};
static struct sim sim;

/* splitmix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014). */
static uint64_t draw(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static uint64_t below(uint64_t *state, uint64_t bound)
{
    return (uint64_t)((unsigned __int128)draw(state) * bound >> 64);
}

static uint64_t knob(enum hosted_knob which)
{
    return hosted_config.sim.knob[which];
}

uint64_t sim_now(void)
{
    return sim.now;
}

uint32_t sim_quiet(uint32_t inside)
{
    uint32_t before = sim.inside;

    sim.inside = inside;
    return before;
}

/* Not a point, even where the trace uses the kernel's library. */
void sim_note(enum sim_event event, uint64_t a, uint64_t b)
{
    uint32_t inside = sim.inside;

    sim.inside = 1;
    sim.torn += event == SIM_TORN;
    trace_event(++sim.events, sim.now, vcpu_self()->id, event, a, b);
    if (sim.events == knob(HOSTED_KNOB_STOP))
        __asm__ volatile("int3"); /* for the debugger */
    sim.inside = inside;
}

/* ---- whose turn it is ---- */

static bool runnable(const struct vcpu *v)
{
    return v->started && (!v->idle || v->pending);
}

static bool can_go_on(const struct vcpu *v)
{
    return runnable(v) && v->sim_held <= sim.now;
}

/* When the first of the others that stand still goes on. */
static uint64_t next_held(const struct vcpu *self)
{
    uint64_t next = UINT64_MAX;

    for (unsigned i = 0; i < hosted_config.cpu_count; i++)
        if (&hosted_vcpus[i] != self && runnable(&hosted_vcpus[i]))
            next = MIN(next, hosted_vcpus[i].sim_held);
    return next;
}

static uint64_t next_countdown(void)
{
    uint64_t mean = knob(HOSTED_KNOB_SWITCH);

    if (knob(HOSTED_KNOB_DEPTH))
        mean = knob(HOSTED_KNOB_LENGTH) / knob(HOSTED_KNOB_DEPTH);
    return 1 + below(&sim.order, mean * 2);
}

/* Another CPU that can run, by chance; NULL if there is none. */
static struct vcpu *other(const struct vcpu *self)
{
    unsigned n = 0, chosen;

    for (unsigned i = 0; i < hosted_config.cpu_count; i++)
        n += &hosted_vcpus[i] != self && can_go_on(&hosted_vcpus[i]);
    if (n == 0)
        return NULL;
    chosen = (unsigned)below(&sim.order, n);
    for (unsigned i = 0;; i++)
        if (&hosted_vcpus[i] != self && can_go_on(&hosted_vcpus[i]) && chosen-- == 0)
            return &hosted_vcpus[i];
}

/* ---- priorities (Burckhardt et al., see docs/simulation.md) ---- */

static uint64_t hash(const void *thread)
{
    uint64_t state = (uintptr_t)thread ^ sim.salt;

    return draw(&state);
}

/* Of the thread that a CPU executes, the higher the sooner: by chance, unless it was put behind or
 * before all others. Idle threads are first, for what comes next may be any thread's. */
static uint64_t priority_of(const struct vcpu *v)
{
    uint64_t word = hash(v->thread);

    if (v->thread == v->sim_idle_self)
        return UINT64_MAX;
    if (sim.moved[word % THREAD_SLOTS].thread == v->thread)
        return sim.moved[word % THREAD_SLOTS].priority;
    return word >> 2 | FIRST_PRIORITY;
}

static struct vcpu *first_of(bool held)
{
    struct vcpu *best = NULL;

    for (unsigned i = 0; i < hosted_config.cpu_count; i++) {
        struct vcpu *v = &hosted_vcpus[i];

        if ((held ? runnable(v) : can_go_on(v)) && (!best || priority_of(v) > priority_of(best)))
            best = v;
    }
    return best;
}

/* The runnable CPU of the highest priority; those that wait in a loop only if there is no other. */
static struct vcpu *first(void)
{
    struct vcpu *best = first_of(false);

    return best ? best : first_of(true);
}

static void move(const struct vcpu *v, uint64_t priority)
{
    uint64_t slot = hash(v->thread) % THREAD_SLOTS;

    if (v->thread == v->sim_idle_self)
        return;
    sim.moved[slot].thread = v->thread;
    sim.moved[slot].priority = priority;
}

/* Who could go on and was passed over for so long goes before all others: they may wait for it in a
 * loop of the program's own, which has no end by itself. */
static void look_for_passed_over(const struct vcpu *self)
{
    for (unsigned i = 0; i < hosted_config.cpu_count; i++) {
        struct vcpu *v = &hosted_vcpus[i];

        if (v == self || !can_go_on(v)) {
            v->sim_passed_over = sim.now;
        } else if (sim.now - v->sim_passed_over > PASSED_OVER_NS) {
            v->sim_passed_over = sim.now;
            move(v, ++sim.highest);
        }
    }
}

/* As hal_ctx_switch does for contexts: what the machine holds for user code is given up. */
static void turn(struct vcpu *from, struct vcpu *to)
{
    if (from->ctx && from->ctx->fp_live)
        hal_ctx_fp_sync(from->ctx);
    from->fp_owner = NULL;
    from->sim_fs = fs_base_read();
    __asm__ volatile("wrgsbase %0" : : "r"(to));
    fs_base_write(to->sim_fs);
    sim_note(SIM_TURN, 0, 0);
    hosted_switch(&from->sim_sp, to->sim_sp);
    /* `from` again; whoever came before has set %gs. */
}

/* First code of a CPU, at the end of its stack. */
_Noreturn void hosted_sim_first(void)
{
    struct vcpu *v = vcpu_self();

    sim.inside = 0;
    hosted_start_on(v->start_stack_top, v->id);
}

/* ---- time ---- */

static void timers_look(void)
{
    uint64_t next = UINT64_MAX;

    for (unsigned i = 0; i < hosted_config.cpu_count; i++) {
        struct vcpu *v = &hosted_vcpus[i];

        if (v->sim_due <= sim.now) {
            v->sim_due = UINT64_MAX;
            v->pending |= HOSTED_IRQ_DUE;
            sim_note(SIM_DUE, i, 0);
        }
        next = MIN(next, v->sim_due);
    }
    sim.next_due = next;
    sim.next_look = MIN(next, sim.horizon);
}

/* What has arrived, and how far to go now. `next`: when this kernel goes on by itself. Returns when
 * it goes on. */
static uint64_t others_look(uint64_t next)
{
    uint64_t at = sim_link_wait(next, &sim.horizon);

    sim.next_look = MIN(sim.next_due, sim.horizon);
    return at;
}

/* The clock has come to next_look. */
static void look(void)
{
    while (sim.now >= sim.horizon)
        (void)others_look(sim.now);
    if (sim.now >= sim.next_due)
        timers_look();
}

void sim_look_by(uint64_t time)
{
    sim.horizon = MIN(sim.horizon, time);
    sim.next_look = MIN(sim.next_look, time);
}

void sim_arm(struct vcpu *v)
{
    uint64_t late = knob(HOSTED_KNOB_SKEW);

    if (v->deadline_ns == UINT64_MAX) {
        v->sim_due = UINT64_MAX;
        return; /* next_due may be too early: it is looked up then */
    }
    /* The simulation's time begins at 0. */
    v->sim_due = v->deadline_ns - MIN(v->deadline_ns, HAL_CLOCK_START_NS);
    v->sim_due += late ? below(&sim.skew, late + 1) : 0;
    sim.next_due = MIN(sim.next_due, v->sim_due);
    sim.next_look = MIN(sim.next_look, v->sim_due);
    sim_note(SIM_ARM, v->sim_due, 0);
}

/* ---- points ---- */

extern const char __executable_start[]; /* the linker's */

/* As in the executable's symbol table, wherever it lies. */
static uint64_t offset_of(const void *place)
{
    return (uintptr_t)place - (uintptr_t)__executable_start;
}

static bool is_slow(const void *place)
{
    uint64_t word = (offset_of(place) ^ sim.salt) * 0x9e3779b97f4a7c15;

    return (uint32_t)(word >> 32) < sim.slow_below && sim.boot > 0;
}

/* Every other time; as often for some nanoseconds as for microseconds. */
static void hold(struct vcpu *self, const void *place)
{
    uint64_t longest = knob(HOSTED_KNOB_HOLD), time;

    if (draw(&sim.order) & 1)
        return;
    longest >>= below(&sim.order, HOLD_SPREAD);
    time = 1 + longest / 2 + below(&sim.order, longest / 2 + 1);
    self->sim_held = sim.now + time;
    sim_note(SIM_HOLD, offset_of(place), time);
}

static void point_slow(const void *slow)
{
    struct vcpu *self = vcpu_self(), *to;

    sim.inside = 1;
    if (sim.now >= sim.next_look)
        look();
    if (slow)
        hold(self, slow);
    to = NULL;
    if (knob(HOSTED_KNOB_DEPTH)) {
        if (sim.countdown == 0 && sim.changes > 0) {
            sim.changes--;
            move(self, --sim.lowest);
        }
        look_for_passed_over(self);
        to = first();
    } else if (sim.countdown == 0 || self->sim_held > sim.now) {
        to = other(self);
    }
    if (sim.countdown == 0)
        sim.countdown = next_countdown();
    if (to && to != self)
        turn(self, to);
    self->sim_held = 0; /* also if there is nobody else */
    sim.inside = 0;
}

void hosted_sim_point_at(const void *place)
{
    if (!sim.on || sim.inside || hosted_halted)
        return;
    const void *slow = sim.slow_below && is_slow(place) ? place : NULL;
    sim.points++;
    sim.now += POINT_NS;
    if (--sim.countdown == 0 || sim.now >= sim.next_look || sim.strict || slow)
        point_slow(slow);
}

void hosted_sim_point(void)
{
    hosted_sim_point_at(__builtin_return_address(0));
}

/* A waiting loop of the kernel: others must run before it can go on. */
void sim_relax(void)
{
    struct vcpu *self = vcpu_self(), *to;

    if (!sim.on || sim.inside || hosted_halted)
        return;
    sim.inside = 1;
    sim.points++;
    sim.now += POINT_NS;
    if (sim.now >= sim.next_look)
        look();
    if (knob(HOSTED_KNOB_DEPTH)) {
        self->sim_held = sim.now + RELAX_NS;
        to = first();
    } else {
        to = other(self);
    }
    if (to && to != self)
        turn(self, to);
    else
        sim.now += RELAX_NS;
    sim.inside = 0;
}

_Noreturn static void nothing_left(void)
{
    static const char text[] = "selkie: simulation: every CPU is idle and no timer is set: "
                               "nothing can ever happen again\n";

    (void)hal_console_write(HAL_STREAM_LOG, text, sizeof(text) - 1);
    hal_poweroff(HAL_EXIT_PANIC);
}

void sim_idle(struct vcpu *v)
{
    uint64_t next;

    sim.inside = 1;
    v->idle = 1;
    v->sim_idle_self = v->thread;
    sim_note(SIM_IDLE, 0, 0);
    while (!v->pending) {
        struct vcpu *to = knob(HOSTED_KNOB_DEPTH) ? first() : other(v);

        if (to) {
            turn(v, to);
            continue;
        }
        if (next_held(v) != UINT64_MAX) {
            sim.now = MAX(sim.now, MIN(next_held(v), sim.next_look));
            if (sim.now >= sim.next_look)
                look();
            continue;
        }
        kernel_all_idle();
        next = sim_linked() ? others_look(MAX(sim.next_due, sim.now)) : sim.next_due;
        if (next == UINT64_MAX)
            nothing_left();
        if (next > sim.now) {
            sim_note(SIM_JUMP, next - sim.now, 0);
            sim.now = next;
        }
        timers_look();
    }
    v->idle = 0;
    sim.inside = 0;
}

/* ---- the way in and out ---- */

void hosted_sim_enter(struct isa_frame *frame)
{
    sim.now += STAY_NS;
    sim.stays++;
    if (frame->orig_rax != ISA_NO_SYSCALL)
        sim_note(SIM_CALL, frame->orig_rax, frame->rdi);
    hosted_sim_point();
}

void hosted_sim_leave(struct isa_frame *frame)
{
    if (!sim.boot) {
        sim.boot = sim.points;
        sim.countdown = next_countdown();
    }
    hosted_sim_point();
    sim_note(SIM_LEAVE, frame->rip, 0);
    sim_step_begin(frame);
}

uint64_t sim_slice(void)
{
    return 1 + below(&sim.order, knob(HOSTED_KNOB_STEP) * 2);
}

uint64_t sim_stays(void)
{
    return sim.stays;
}

/* User code waits in a loop. If it is the only one that does anything, it waits for a timer, or for
 * another kernel. */
void sim_wait(uint64_t ns)
{
    uint64_t next = MIN(MIN(sim.next_due, sim.horizon), next_held(vcpu_self()));

    if (!other(vcpu_self()) && next != UINT64_MAX)
        sim.now = MAX(sim.now, next);
    else
        sim.now += ns;
    sim_relax();
}

void sim_pass(uint64_t ns)
{
    sim.now += ns;
}

void sim_raise(unsigned cpu, uint32_t bits)
{
    hosted_vcpus[cpu].pending |= bits;
    sim_note(SIM_RAISE, cpu, bits);
    hosted_sim_point();
}

/* What was read before the machine started; at its end no more comes. */
long sim_read(void *buf, size_t len)
{
    struct hosted_sim *s = &hosted_config.sim;
    long n = (long)MIN(len, s->input_size);

    if (sim_linked()) {
        n = sim_link_read(buf, len);
    } else if (n > 0) {
        memcpy(buf, s->input, (size_t)n);
        s->input += n;
        s->input_size -= (size_t)n;
    } else {
        n = -EPIPE;
    }
    if (n > 0)
        sim_note(SIM_READ, (uint64_t)n, 0);
    return n;
}

void sim_entropy(void *buf, size_t len)
{
    uint8_t *p = buf;

    for (size_t i = 0; i < len; i++)
        p[i] = (uint8_t)draw(&sim.entropy);
    sim_note(SIM_RANDOM, len, 0);
}

/* ---- begin and end ---- */

void sim_cpu_start(struct vcpu *v)
{
    uintptr_t *sp = (uintptr_t *)((uintptr_t)v->start_stack_top & ~(uintptr_t)15);

    v->self = v;
    v->id = (uint32_t)(v - hosted_vcpus);
    v->irq_off = 1;
    v->deadline_ns = UINT64_MAX;
    v->sim_due = UINT64_MAX;
    v->host_fs = hosted_vcpus[0].host_fs;
    v->sim_fs = v->host_fs;
    v->panic_stack_top = hosted_vcpus[0].panic_stack_top;
    /* As hosted_switch wants it: the function's own return address would be at sp[0]. */
    *--sp = 0;
    *--sp = (uintptr_t)hosted_sim_first;
    for (unsigned i = 0; i < 6; i++)
        *--sp = 0;
    v->sim_sp = (uintptr_t)sp;
    v->started = 1;
}

void sim_start(struct vcpu *v)
{
    uint64_t seed = hosted_config.sim.seed;

    v->started = 1;
    for (unsigned i = 0; i < hosted_config.cpu_count; i++)
        hosted_vcpus[i].sim_due = UINT64_MAX;
    sim.order = seed;
    sim.entropy = draw(&sim.order) ^ knob(HOSTED_KNOB_ENTROPY);
    sim.skew = draw(&sim.order);
    sim.salt = draw(&sim.order);
    sim.lowest = FIRST_PRIORITY;
    sim.highest = LAST_PRIORITY;
    sim.strict = knob(HOSTED_KNOB_DEPTH);
    sim.slow_below = knob(HOSTED_KNOB_SLOW) ? UINT32_MAX / (uint32_t)knob(HOSTED_KNOB_SLOW) : 0;
    sim.changes = knob(HOSTED_KNOB_DEPTH);
    /* The few changes of priority are for the program, not for the kernel's start. */
    sim.countdown = sim.changes ? UINT64_MAX : next_countdown();
    sim.next_due = UINT64_MAX;
    sim.horizon = sim_linked() ? 0 : UINT64_MAX; /* the first point asks */
    sim.next_look = sim.horizon;
    sim_link_start();
    trace_start();
    sim_note(SIM_BOOT, seed, hosted_config.cpu_count);
    v->pending = HOSTED_IRQ_CONSOLE; /* all input is there */
    sim.on = true;
}

void sim_finish(int status)
{
    static const char torn[] = "selkie: simulation: the program computed for too long without a "
                               "system call and was interrupted: this run is not repeatable\n";

    sim.on = false;
    if (sim.torn > 0)
        (void)hal_console_write(HAL_STREAM_LOG, torn, sizeof(torn) - 1);
    sim_note(SIM_END, (uint64_t)(unsigned)status, 0);
    trace_end(status, sim.events, sim.boot, sim.points, sim.now);
}

#endif
