/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * time.c - the clock and the one-shot timer (generic timer), wall time (PL031), entropy.
 *
 * The virtual counter and timer are used: they work whether we were entered at EL1 (a hypervisor
 * keeps the physical ones) or at EL2 (boot.S sets the offset to 0). The counter is one for all
 * CPUs (DDI 0487, D11.1.2).
 */
#include "aarch64.h"
#include "lib/errno.h"
#include "lib/string.h"

#define DEFAULT_TIMER_INTID 27u /* PPI 11 */
#define TIMER_VIRTUAL_INDEX 2u  /* of "interrupts": secure, physical, virtual, hypervisor */
#define CTL_ENABLE 1ull
#define RTC_DATA 0x00
#define ASSUMED_HZ 62500000ull

unsigned aarch64_timer_intid = DEFAULT_TIMER_INTID;

static struct {
    uint64_t base;    /* counter at time 0 */
    uint64_t mult;    /* ns per tick << 32 */
    uint64_t inverse; /* ticks per ns << 32 */
    uint64_t wall_base_ns;
} clock;

/* Not before earlier instructions: the counter may be read speculatively. */
static uint64_t counter_rough(void)
{
    return a64_read(cntvct_el0);
}

static uint64_t counter(void)
{
    a64_isb();
    return counter_rough();
}

static uint64_t scale(uint64_t value, uint64_t mult)
{
    return (uint64_t)((unsigned __int128)value * mult >> 32);
}

static void wall_init(const struct dtb *dtb)
{
    dtb_node node = dtb_compatible(dtb, DTB_NONE, "arm,pl031");
    uint64_t base, size;

    if (node == DTB_NONE || !dtb_reg(dtb, node, 0, &base, &size))
        return;
    clock.wall_base_ns =
        a64_mmio_get(aarch64_mmio_map(base, HAL_PAGE_SIZE), RTC_DATA) * NS_PER_SEC - hal_clock_ns();
}

void aarch64_time_init(const struct dtb *dtb)
{
    dtb_node node = dtb_compatible(dtb, DTB_NONE, "arm,armv8-timer");
    uint64_t hz = a64_read(cntfrq_el0);

    /* The register is set by firmware; 32 bits of it count, so the shifts below fit. */
    hz = hz & UINT32_MAX ? hz & UINT32_MAX : ASSUMED_HZ;
    clock.base = counter();
    clock.mult = (NS_PER_SEC << 32) / hz;
    clock.inverse = (hz << 32) / NS_PER_SEC;
    (void)aarch64_irq_of(dtb, node, TIMER_VIRTUAL_INDEX, &aarch64_timer_intid);
    wall_init(dtb);
}

void aarch64_time_init_cpu(void)
{
    a64_write(cntv_ctl_el0, 0);
    aarch64_irq_enable(aarch64_timer_intid);
}

static uint64_t clock_at(uint64_t count)
{
    return HAL_CLOCK_START_NS + (clock.mult ? scale(count - clock.base, clock.mult) : 0);
}

uint64_t hal_clock_ns(void)
{
    return clock_at(counter());
}

uint64_t hal_clock_rough_ns(void)
{
    return clock_at(counter_rough());
}

uint64_t hal_wall_base_ns(void)
{
    return clock.wall_base_ns;
}

void hal_clock_params(struct hal_clock_params *out)
{
    *out = (struct hal_clock_params){
        .kind = HAL_CLOCK_CNTVCT,
        .shift = 32,
        .mult = clock.mult,
        .base = clock.base,
        .base_ns = HAL_CLOCK_START_NS,
    };
}

uint64_t hal_stolen_ns(void)
{
    return 0; /* nobody says so */
}

/* ---- the timer ---- */

/* A value in the past fires at once. One tick more, because the multiplication rounds down. */
static void timer_program(uint64_t deadline_ns)
{
    uint64_t ns = deadline_ns - MIN(deadline_ns, HAL_CLOCK_START_NS);
    unsigned __int128 at = ((unsigned __int128)ns * clock.inverse >> 32) + clock.base + 1;

    a64_write(cntv_cval_el0, at > INT64_MAX ? (uint64_t)INT64_MAX : (uint64_t)at);
    a64_write(cntv_ctl_el0, CTL_ENABLE);
    a64_isb();
}

void hal_timer_arm(uint64_t deadline_ns)
{
    unsigned long irq = hal_irq_save();

    aarch64_this_cpu()->deadline_ns = deadline_ns;
    if (deadline_ns == UINT64_MAX)
        a64_write(cntv_ctl_el0, 0);
    else
        timer_program(deadline_ns);
    a64_isb();
    hal_irq_restore(irq);
}

/* Rounding of `inverse` can make it fire a little early. */
void aarch64_timer_irq(void)
{
    struct aarch64_cpu *cpu = aarch64_this_cpu();

    a64_write(cntv_ctl_el0, 0);
    a64_isb();
    if (cpu->deadline_ns == UINT64_MAX)
        return;
    if (hal_clock_ns() < cpu->deadline_ns) {
        uint64_t left = cpu->deadline_ns - hal_clock_ns();

        a64_write(cntv_cval_el0, counter() + scale(left, clock.inverse) + 1);
        a64_write(cntv_ctl_el0, CTL_ENABLE);
        a64_isb();
        return;
    }
    cpu->deadline_ns = UINT64_MAX;
    kernel_timer();
}

/* ---- entropy ---- */

#define ISAR0_RNDR_SHIFT 60

#define SEED_WORDS 8

static uint64_t pool; /* stirred without a lock: races only add noise */
/* What the boot loader gave, so many bits that they do not go through the narrow pool; each word is
 * used in turn and changed by it. Races only repeat a word beside another pool value. */
static uint64_t seed[SEED_WORDS];
static unsigned seed_next;
static bool seeded;

static uint64_t stir(uint64_t x)
{
    /* splitmix64's finaliser. */
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9;
    x ^= x >> 27;
    x *= 0x94d049bb133111eb;
    return x ^ x >> 31;
}

static bool random_word(uint64_t *out)
{
    uint64_t flags;

    if (!(a64_read(id_aa64isar0_el1) >> ISAR0_RNDR_SHIFT & 15))
        return false;
    for (unsigned i = 0; i < 16; i++) {
        /* RNDR sets Z if it has nothing. */
        __asm__ volatile("mrs %0, s3_3_c2_c4_0; mrs %1, nzcv" : "=r"(*out), "=r"(flags) : : "cc");
        if (!(flags & 1ull << 30))
            return true;
    }
    return false;
}

/* The low bits of the counter between memory accesses, and what the boot loader gave. */
static uint64_t pool_word(void)
{
    uint64_t x = __atomic_load_n(&pool, __ATOMIC_RELAXED), given;
    unsigned at;

    for (unsigned i = 0; i < 32; i++) {
        x = stir((x << 7 | x >> 57) + counter() + i);
        __atomic_store_n(&pool, x, __ATOMIC_RELAXED);
    }
    at = __atomic_fetch_add(&seed_next, 1, __ATOMIC_RELAXED) % SEED_WORDS;
    given = __atomic_load_n(&seed[at], __ATOMIC_RELAXED);
    __atomic_store_n(&seed[at], stir(given + x), __ATOMIC_RELAXED);
    return stir(x + 0x9e3779b97f4a7c15) ^ given;
}

void aarch64_entropy_seed(const struct dtb *dtb)
{
    static const char *const names[] = {"rng-seed", "kaslr-seed"};
    dtb_node chosen = dtb_path(dtb, "/chosen", 7);

    for (unsigned i = 0; i < ARRAY_COUNT(names); i++) {
        uint32_t len;
        const uint8_t *bytes = dtb_prop(dtb, chosen, names[i], &len);

        for (uint32_t at = 0; bytes && at < len; at++) {
            pool = stir(pool ^ (uint64_t)bytes[at] << at % 8 * 8) + at;
            seed[at / 8 % SEED_WORDS] ^= stir(pool) ^ (uint64_t)bytes[at] << at % 8 * 8;
        }
        seeded = seeded || (bytes && len >= 8);
    }
}

int hal_entropy(void *buf, size_t len)
{
    uint8_t *to = buf;
    int result = 0;

    while (len > 0) {
        size_t n = MIN(len, sizeof(uint64_t));
        uint64_t word;

        if (!random_word(&word)) {
            word = pool_word();
            result = seeded ? 0 : -ENODATA;
        }
        memcpy(to, &word, n);
        to += n;
        len -= n;
    }
    return result;
}
