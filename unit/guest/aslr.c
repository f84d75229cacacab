/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * aslr - where a program's parts lie is drawn anew at each execve, with the entropy that
 * docs/processes.md promises (Linux has no less on x86-64): the program executes itself 64 times
 * and keeps the addresses in a file.
 *
 * Of n = 64 draws of something that is uniform in b bits,
 * - each bit should have both values. One that has not: 2 * 2^-64. All bits of all parts, fewer
 *   than 200: less than 2e-17.
 * - few values should come twice. k draws, given which, all repeat one before them with probability
 *   (63 / 2^b)^k at most, so that k of the 64 do with C(64, k) (63 / 2^b)^k at most. The least k
 * for which that is below 1e-11 is a failure: at 28 and 24 bits 3, at 22 bits 4, at 13 bits 11. So
 * a right kernel fails this test less than once in 1e10 runs: six parts, 1e-11 each.
 *
 * A number that is uniform modulo 2^b stays so if anything independent is added: it does not matter
 * how far libc has come, or how long the names on the stack are.
 */
#include <elf.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/personality.h>

#include "guest.h"

#define DRAWS 64
#define NO_RANDOMIZE 0x0040000

extern const char __ehdr_start[] __attribute__((visibility("hidden")));
extern const char _end[];

struct draw {
    uint64_t image, stack, mmap, gap, vdso;
};

static bool relocatable(void)
{
    return ((const Elf64_Ehdr *)(const void *)__ehdr_start)->e_type == ET_DYN;
}

/* Of the image's place: what its file asks for is not random. */
static unsigned image_shift(void)
{
    const Elf64_Phdr *h = (const void *)getauxval(AT_PHDR);
    unsigned shift = 12;
    for (unsigned long i = 0; i < getauxval(AT_PHNUM); i++)
        while (h[i].p_type == PT_LOAD && h[i].p_align >> shift > 1)
            shift++;
    return shift;
}

static void check(const char *name, const uint64_t v[DRAWS], unsigned shift, unsigned bits)
{
    uint64_t mask = (1ull << bits) - 1, varies = 0;
    unsigned twice = 0, k = 0;
    for (unsigned i = 0; i < DRAWS; i++) {
        unsigned j = 0;
        varies |= (v[i] ^ v[0]) >> shift & mask;
        while (j < i && ((v[i] ^ v[j]) >> shift & mask) != 0)
            j++;
        twice += j < i;
    }
    for (double p = 1; p > 1e-11; k++)
        p *= (double)(DRAWS - k) / (k + 1) * (DRAWS - 1) / (double)(mask + 1);
    if (varies == mask && twice < k)
        return;
    printf("FAIL %s: of %u bits from bit %u these vary: %llx; %u of %u values came again\n", name,
           bits, shift, (unsigned long long)varies, twice, DRAWS);
    for (unsigned i = 0; i < DRAWS; i++)
        printf("%016llx\n", (unsigned long long)v[i]);
    fflush(stdout);
    _exit(1);
}

#define CHECK(name, expression, shift, bits) \
    do { \
        uint64_t v_[DRAWS]; \
        for (unsigned i = 0; i < DRAWS; i++) { \
            const struct draw *d = &draw[i]; \
            v_[i] = (expression); \
        } \
        check(name, v_, shift, bits); \
    } while (0)

static void judge(const struct draw draw[DRAWS])
{
    CHECK("stack", d->stack, 12, 22);
    CHECK("mmap", d->mmap, 12, 28);
    CHECK("from mmap to stack", d->stack - d->mmap, 12, 28);
    CHECK("heap behind the program", d->gap, 12, 13);
    if (relocatable())
        CHECK("program", d->image, image_shift(), 40 - image_shift());
    bool beside = true;
    for (unsigned i = 0; i < DRAWS; i++)
        beside &= draw[i].vdso - draw[i].mmap + (1u << 30) < 1u << 31;
    if (beside) /* one draw for both */
        CHECK("vdso", d->vdso, 12, 28);
    else if (draw[0].vdso) /* older Linux: above the stack, evenly only from 2 MiB to 2 MiB */
        CHECK("vdso", d->vdso, 21, 13);
}

static struct draw draw_now(void)
{
    void *map = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(map != MAP_FAILED);
    return (struct draw){
        .image = (uintptr_t)__ehdr_start,
        .stack = getauxval(AT_EXECFN),
        .mmap = (uintptr_t)map,
        .gap = (uintptr_t)sbrk(0) - ((uintptr_t)_end & ~4095ul),
        .vdso = getauxval(AT_SYSINFO_EHDR),
    };
}

static int open_draws(void)
{
    char path[] = "/tmp/aslrXXXXXX";
    int fd = mkstemp(path), was = personality(0xffffffff);
    REQUIRE(fd >= 0 && unlink(path) == 0);
    if (was != -1 && (was & NO_RANDOMIZE))
        REQUIRE(personality((unsigned long)was & ~(unsigned long)NO_RANDOMIZE) != -1);
    return fd;
}

int main(int argc, char **argv)
{
    struct draw draws[DRAWS];
    char sysctl[4] = "", number[16], *args[] = {argv[0], number, NULL}, *none[] = {NULL};
    int fd = open("/proc/sys/kernel/randomize_va_space", O_RDONLY);
    REQUIRE(fd >= 0 && read(fd, sysctl, sizeof sysctl) > 0 && close(fd) == 0);
    if (sysctl[0] != '2')
        return guest_pass("aslr"); /* a Linux that has been told not to */
    if (argc == 1) {
        fd = open_draws();
    } else {
        struct draw d = draw_now();
        fd = atoi(argv[1]);
        REQUIRE(write(fd, &d, sizeof d) == sizeof d);
        if (lseek(fd, 0, SEEK_CUR) == sizeof draws) {
            REQUIRE(pread(fd, draws, sizeof draws, 0) == sizeof draws);
            judge(draws);
            return guest_pass("aslr");
        }
    }
    snprintf(number, sizeof number, "%d", fd);
    execve("/proc/self/exe", args, none);
    REQUIRE(!"execve");
    return 1;
}
