/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * time.c - the clock (TSC), the one-shot timer (TSC deadline or local APIC), wall time, entropy.
 *
 * The TSC's rate comes from the first of: CPUID 0x15; the hypervisor's timing leaf 0x40000010;
 * kvmclock; a measurement against the ACPI power-management timer, or PIT channel 2 if there is
 * none. A measurement reads a free-running counter over a few milliseconds with reads whose own
 * duration is bounded by the TSC on both sides, three times; it needs no one-shot timer and no
 * interrupt, and a pause of the virtual CPU spoils one sample at most. The local APIC timer is
 * measured against the TSC in the same windows.
 *
 * All CPUs' TSCs are taken to run together (invariant, synchronised), as every hypervisor and
 * emulator we boot on provides.
 */
#include "lib/errno.h"
#include "lib/string.h"
#include "x64.h"

#define MSR_TSC_DEADLINE 0x6e0
#define MSR_KVM_WALL_CLOCK 0x4b564d00
#define MSR_KVM_SYSTEM_TIME 0x4b564d01
#define KVM_FEATURE_CLOCKSOURCE2 (1u << 3)
#define HYPERVISOR_LEAF 0x40000000u
#define TIMING_LEAF 0x40000010u

#define PM_TIMER_HZ 3579545u
#define PIT_HZ 1193182u
#define WINDOW_NS (1000 * NS_PER_US)
#define WINDOW_COUNT 3
#define BRACKET_TRIES 3
#define RTC_POLLS 20000u
#define ASSUMED_HZ 1000000000ull

static struct {
    uint64_t tsc_hz, apic_hz;
    uint64_t base;    /* TSC at time 0 */
    uint64_t mult;    /* ns per tick << 32 */
    uint64_t inverse; /* ticks per ns << 32 */
    uint64_t apic_inverse;
    uint64_t wall_base_ns;
    bool deadline; /* TSC-deadline mode */
} clock;

static uint64_t scale(uint64_t value, uint64_t mult)
{
    return (uint64_t)((unsigned __int128)value * mult >> 32);
}

/* (a << 32) / b without a 128-bit division (libgcc is not linked). a < 2^34, b > 0. */
static uint64_t ratio(uint64_t a, uint64_t b)
{
    uint64_t quotient, rest;

    __asm__("divq %4" : "=a"(quotient), "=d"(rest) : "0"(a << 32), "1"(a >> 32), "r"(b) : "cc");
    return quotient;
}

/* ---- rates that the machine tells ---- */

struct kvm_time { /* struct pvclock_vcpu_time_info */
    uint32_t version, pad;
    uint64_t tsc, system_ns;
    uint32_t mult;
    int8_t shift;
    uint8_t flags, pad2[2];
};
STATIC_ASSERT(sizeof(struct kvm_time) == 32);
struct kvm_wall {
    uint32_t version, sec, nsec;
};

static volatile struct kvm_time kvm_time __attribute__((aligned(64)));
static volatile struct kvm_wall kvm_wall __attribute__((aligned(64)));
static bool have_kvm_time;

static uint64_t rate_from_cpuid(void)
{
    struct x64_cpuid r;

    if (x64_features.interpreted || x64_cpuid(0, 0).eax < 0x15)
        return 0;
    r = x64_cpuid(0x15, 0);
    if (r.eax == 0 || r.ebx == 0 || r.ecx == 0)
        return 0;
    return (uint64_t)r.ecx * r.ebx / r.eax;
}

static uint64_t rate_from_hypervisor(void)
{
    struct x64_cpuid r;

    if (x64_features.interpreted || !x64_features.hypervisor ||
        x64_cpuid(HYPERVISOR_LEAF, 0).eax < TIMING_LEAF)
        return 0;
    r = x64_cpuid(TIMING_LEAF, 0);
    clock.apic_hz = (uint64_t)r.ebx * 1000;
    return (uint64_t)r.eax * 1000;
}

/* Let KVM write its clock parameters once. ns = (ticks << shift) * mult >> 32. */
static uint64_t rate_from_kvm(void)
{
    struct x64_cpuid r;
    uint64_t hz;

    if (!x64_features.hypervisor)
        return 0;
    r = x64_cpuid(HYPERVISOR_LEAF, 0);
    if (r.ebx != 0x4b4d564b || r.ecx != 0x564b4d56 || r.edx != 0x4d) /* "KVMKVMKVM" */
        return 0;
    if (!(x64_cpuid(HYPERVISOR_LEAF + 1, 0).eax & KVM_FEATURE_CLOCKSOURCE2))
        return 0;
    x64_wrmsr(MSR_KVM_SYSTEM_TIME, hal_virt_to_phys((const void *)&kvm_time) | 1);
    x64_wrmsr(MSR_KVM_WALL_CLOCK, hal_virt_to_phys((const void *)&kvm_wall));
    x64_wrmsr(MSR_KVM_SYSTEM_TIME, 0);
    if (kvm_time.mult == 0 || kvm_time.shift > 31 || kvm_time.shift < -31)
        return 0;
    have_kvm_time = true;
    hz = ratio(NS_PER_SEC, kvm_time.mult);
    return kvm_time.shift >= 0 ? hz >> kvm_time.shift : hz << -kvm_time.shift;
}

/* ---- rates by measurement ---- */

static struct {
    uint32_t port; /* PM timer, or 0 for the PIT */
    uint32_t mask, hz;
} ref;

static uint32_t ref_read(void)
{
    uint32_t count;

    if (ref.port)
        return x64_in32((uint16_t)ref.port) & ref.mask;
    x64_out8(0x43, 0x80); /* latch channel 2 */
    count = x64_in8(0x42);
    count |= (uint32_t)x64_in8(0x42) << 8;
    return -count & ref.mask; /* it counts down */
}

static bool ref_advances(void)
{
    uint32_t start = ref_read();

    for (unsigned i = 0; i < 1000; i++)
        if (ref_read() != start)
            return true;
    return false;
}

static bool ref_choose(const struct acpi_info *acpi)
{
    if (acpi->pm_timer && acpi->pm_timer <= 0xffff) {
        ref.port = acpi->pm_timer;
        ref.mask = acpi->pm_timer_32 ? 0xffffffff : 0xffffff;
        ref.hz = PM_TIMER_HZ;
        if (ref_advances())
            return true;
    }
    ref.port = 0;
    ref.mask = 0xffff;
    ref.hz = PIT_HZ;
    x64_out8(0x61, (x64_in8(0x61) & ~2u) | 1); /* gate on, speaker off */
    x64_out8(0x43, 0xb4);                      /* channel 2, two bytes, rate generator */
    x64_out8(0x42, 0);
    x64_out8(0x42, 0);
    return ref_advances();
}

struct sample {
    uint64_t tsc;
    uint32_t ref, apic;
};

/* Read all counters at one moment: the try with the shortest bracket. */
static struct sample take_sample(void)
{
    struct sample best = {0};
    uint64_t shortest = UINT64_MAX;

    for (unsigned i = 0; i < BRACKET_TRIES; i++) {
        uint64_t before = x64_rdtsc();
        uint32_t count = ref_read();
        uint64_t after = x64_rdtsc();
        uint32_t apic = x64_apic_timer_count();

        if (after - before < shortest) {
            shortest = after - before;
            best = (struct sample){before + (after - before) / 2, count, apic};
        }
    }
    return best;
}

static uint64_t median3(const uint64_t *v)
{
    return MAX(MIN(v[0], v[1]), MIN(MAX(v[0], v[1]), v[2]));
}

static uint64_t ticks_per_sec(uint64_t ticks, uint64_t ref_ticks)
{
    return ref_ticks ? ticks * ref.hz / ref_ticks : 0;
}

/* The rate over the whole time, unless one window was disturbed: then the median window's. */
static uint64_t choose_rate(const uint64_t *window, uint64_t whole)
{
    uint64_t middle = median3(window);
    uint64_t off = whole > middle ? whole - middle : middle - whole;

    return off < middle / 256 ? whole : middle;
}

static void measure(void)
{
    uint32_t window = ref.hz / (uint32_t)(NS_PER_SEC / WINDOW_NS), whole = 0;
    uint64_t tsc[WINDOW_COUNT], apic[WINDOW_COUNT];
    struct sample first, last, now;

    x64_apic_timer_start(UINT32_MAX);
    first = last = take_sample();
    for (unsigned i = 0; i < WINDOW_COUNT; i++) {
        uint32_t passed;

        /* An emulator leaves its translated code at each pause: much time for few instructions. */
        while (((ref_read() - last.ref) & ref.mask) < window)
            __asm__ volatile("pause; pause; pause; pause; pause; pause; pause; pause");
        now = take_sample();
        passed = (now.ref - last.ref) & ref.mask;
        tsc[i] = ticks_per_sec(now.tsc - last.tsc, passed);
        apic[i] = ticks_per_sec(last.apic - now.apic, passed);
        whole += passed;
        last = now;
    }
    x64_apic_timer_start(0);
    clock.tsc_hz = choose_rate(tsc, ticks_per_sec(last.tsc - first.tsc, whole));
    clock.apic_hz = choose_rate(apic, ticks_per_sec(first.apic - last.apic, whole));
}

/* The TSC is known: measure the APIC timer against it alone. The TSC is read outside of the timer's
 * start and reading, so whatever comes between makes the rate too low, never too high: a timer that
 * fires early is armed again, one that fires late is late. The highest of some tries counts. */
static void measure_apic(void)
{
    for (unsigned i = 0; i < WINDOW_COUNT; i++) {
        uint64_t start = x64_rdtsc(), now;
        uint32_t count;

        x64_apic_timer_start(UINT32_MAX);
        do {
            __asm__ volatile("pause");
            count = UINT32_MAX - x64_apic_timer_count();
            now = x64_rdtsc();
        } while (now - start < clock.tsc_hz / 2000);
        clock.apic_hz =
            MAX(clock.apic_hz,
                (uint64_t)((unsigned __int128)count * ratio(clock.tsc_hz, now - start) >> 32));
    }
    x64_apic_timer_start(0);
}

/* ---- wall clock ---- */

static uint8_t cmos_read(uint8_t index)
{
    x64_out8(0x70, 0x80 | index); /* NMI stays masked at the RTC, as nothing uses it */
    return x64_in8(0x71);
}

static unsigned from_bcd(uint8_t value, bool bcd)
{
    return bcd ? (value >> 4) * 10u + (value & 15u) : value;
}

/* Days since 1970 of a Gregorian date: count from March, so that leap days come last. */
static uint64_t days_from_date(unsigned year, unsigned month, unsigned day)
{
    unsigned y = year - (month <= 2), m = (month + 9) % 12;

    return 365ull * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

/* MC146818 registers 0..9 and the century. 0 if there is no clock or it makes no sense. */
static uint64_t rtc_seconds(uint8_t century_index)
{
    uint8_t status = cmos_read(0x0b), hour_raw;
    bool bcd = !(status & 4), half_day = !(status & 2);
    unsigned sec, min, hour, day, month, year, tries = 3;

    if (status == 0xff)
        return 0;
    do {
        /* Update in progress: at most 2 ms; the limit is for a clock that is stuck. */
        for (unsigned i = 0; i < RTC_POLLS && (cmos_read(0x0a) & 0x80); i++)
            __asm__ volatile("pause");
        sec = from_bcd(cmos_read(0), bcd);
        min = from_bcd(cmos_read(2), bcd);
        hour_raw = cmos_read(4);
        day = from_bcd(cmos_read(7), bcd);
        month = from_bcd(cmos_read(8), bcd);
        year = from_bcd(cmos_read(9), bcd);
    } while (from_bcd(cmos_read(0), bcd) != sec && --tries);
    hour = from_bcd(hour_raw & 0x7f, bcd);
    if (half_day)
        hour = hour % 12 + ((hour_raw & 0x80) ? 12 : 0);
    year += century_index ? from_bcd(cmos_read(century_index), bcd) * 100 : 2000;
    if (sec > 59 || min > 59 || hour > 23 || day < 1 || day > 31 || month < 1 || month > 12 ||
        year < 1970 || year > 2200)
        return 0;
    return ((days_from_date(year, month, day) * 24 + hour) * 60 + min) * 60 + sec;
}

/* The wall clock at boot. kvmclock: wall time when its system time was 0, and that system time at a
 * TSC value. */
static uint64_t kvm_wall_ns(void)
{
    uint64_t at_zero = kvm_wall.sec * NS_PER_SEC + kvm_wall.nsec;

    return at_zero + kvm_time.system_ns + scale(clock.base - kvm_time.tsc, clock.mult);
}

static void wall_init(const struct acpi_info *acpi)
{
    uint64_t now = hal_clock_ns();

    if (have_kvm_time && kvm_wall.sec != 0) {
        clock.wall_base_ns = kvm_wall_ns() - HAL_CLOCK_START_NS;
        return;
    }
    clock.wall_base_ns = rtc_seconds(acpi->rtc_century) * NS_PER_SEC;
    if (clock.wall_base_ns > now)
        clock.wall_base_ns -= now;
}

uint64_t hal_wall_base_ns(void)
{
    return clock.wall_base_ns;
}

/* ---- set-up ---- */

rarely void x64_time_init(const struct acpi_info *acpi)
{
    clock.base = x64_rdtsc();
    clock.deadline = x64_features.tsc_deadline;
    x64_apic_timer_mode(false);
    clock.tsc_hz = rate_from_cpuid();
    if (!clock.tsc_hz)
        clock.tsc_hz = rate_from_hypervisor();
    if (!clock.tsc_hz)
        clock.tsc_hz = rate_from_kvm();
    if (!clock.tsc_hz && ref_choose(acpi))
        measure();
    if (!clock.tsc_hz)
        clock.tsc_hz = ASSUMED_HZ;
    if (!clock.deadline && !clock.apic_hz)
        measure_apic();
    clock.mult = ratio(NS_PER_SEC, clock.tsc_hz);
    clock.inverse = ratio(clock.tsc_hz, NS_PER_SEC);
    clock.apic_inverse = ratio(clock.apic_hz, NS_PER_SEC);
    wall_init(acpi);
    x64_time_init_cpu();
}

void x64_time_init_cpu(void)
{
    x64_apic_timer_mode(clock.deadline);
}

/* Another CPU's counter may be behind the first one's by a hair. */
static uint64_t clock_at(uint64_t tsc)
{
    return HAL_CLOCK_START_NS + (tsc > clock.base ? scale(tsc - clock.base, clock.mult) : 0);
}

uint64_t hal_clock_ns(void)
{
    return clock_at(x64_rdtsc_ordered());
}

uint64_t hal_clock_rough_ns(void)
{
    return clock_at(x64_rdtsc());
}

void hal_clock_params(struct hal_clock_params *out)
{
    *out = (struct hal_clock_params){
        .kind = HAL_CLOCK_TSC,
        .shift = 32,
        .mult = clock.mult,
        .base = clock.base,
        .base_ns = HAL_CLOCK_START_NS,
    };
}

void x64_spin_ns(uint64_t ns)
{
    uint64_t start = x64_rdtsc(), ticks = scale(ns, clock.inverse);

    while (x64_rdtsc() - start < ticks)
        __asm__ volatile("pause");
}

uint64_t hal_stolen_ns(void)
{
    return 0; /* nobody says so */
}

/* ---- the timer ---- */

static void timer_off(void)
{
    if (clock.deadline)
        x64_wrmsr(MSR_TSC_DEADLINE, 0);
    else
        x64_apic_timer_start(0);
}

static void timer_program(uint64_t deadline_ns)
{
    uint64_t now, ticks;

    if (clock.deadline) {
        uint64_t ns = deadline_ns - MIN(deadline_ns, HAL_CLOCK_START_NS);
        unsigned __int128 at = ((unsigned __int128)ns * clock.inverse >> 32) + clock.base;

        /* A deadline in the past fires at once. */
        x64_wrmsr(MSR_TSC_DEADLINE, at + 1 > UINT64_MAX ? UINT64_MAX : (uint64_t)at + 1);
        return;
    }
    now = hal_clock_ns();
    ticks = deadline_ns > now
                ? scale(MIN(deadline_ns - now, 3600 * NS_PER_SEC), clock.apic_inverse) + 1
                : 1;
    x64_apic_timer_start((uint32_t)MIN(ticks, UINT32_MAX));
}

void hal_timer_arm(uint64_t deadline_ns)
{
    unsigned long irq = hal_irq_save();

    x64_this_cpu()->deadline_ns = deadline_ns;
    if (deadline_ns == UINT64_MAX)
        timer_off();
    else
        timer_program(deadline_ns);
    hal_irq_restore(irq);
}

/* The count-down is limited to 32 bits and its rate is a measurement: it may fire early. */
void x64_timer_irq(void)
{
    struct x64_cpu *cpu = x64_this_cpu();

    if (cpu->deadline_ns == UINT64_MAX)
        return;
    if (hal_clock_ns() < cpu->deadline_ns) {
        timer_program(cpu->deadline_ns);
        return;
    }
    cpu->deadline_ns = UINT64_MAX;
    kernel_timer();
}

/* ---- entropy ---- */

static bool random_word(uint64_t *out)
{
    unsigned char ok = 0;

    if (x64_features.rdseed)
        for (unsigned i = 0; i < 16 && !ok; i++)
            __asm__ volatile("rdseed %0; setc %1; pause" : "=r"(*out), "=q"(ok) : : "cc");
    if (!ok && x64_features.rdrand)
        for (unsigned i = 0; i < 16 && !ok; i++)
            __asm__ volatile("rdrand %0; setc %1" : "=r"(*out), "=q"(ok) : : "cc");
    return ok;
}

/* No generator: the low bits of the TSC between memory accesses, stirred (splitmix64's finaliser).
 * Weak, and reported as such. */
static uint64_t jitter_word(void)
{
    static volatile uint64_t pool;
    uint64_t x = pool;

    for (unsigned i = 0; i < 32; i++) {
        x = (x << 7 | x >> 57) ^ x64_rdtsc();
        pool = x;
        x ^= x >> 30;
        x *= 0xbf58476d1ce4e5b9;
        x ^= x >> 27;
    }
    pool = x;
    return x;
}

int hal_entropy(void *buf, size_t len)
{
    uint8_t *to = buf;
    int result = 0;

    while (len > 0) {
        size_t n = MIN(len, sizeof(uint64_t));
        uint64_t word;

        if (!random_word(&word)) {
            word = jitter_word();
            result = -ENODATA;
        }
        memcpy(to, &word, n);
        to += n;
        len -= n;
    }
    return result;
}
