/* SPDX-License-Identifier: BSD-3-Clause */
/* syscall.c - the tables made of syscalls.def and the ISA's sysnr.def. */
#include "linux/syscall.h"

const struct syscall_info syscall_infos[SC_COUNT] = {
    [SC_none] = {.name = "?", .args = "", .note = "", .status = SYSCALL_ABSENT},
#define DONE(name_, args_, note_) \
    [SC_##name_] = {.name = #name_, \
                    .args = args_, \
                    .note = note_, \
                    .status = SYSCALL_DONE, \
                    .handler = sys_##name_},
#define IGNORED(name_, args_, result_, note_) \
    [SC_##name_] = {.name = #name_, \
                    .args = args_, \
                    .note = note_, \
                    .status = SYSCALL_IGNORED, \
                    .result = result_},
#define ABSENT(name_, args_, note_) \
    [SC_##name_] = {.name = #name_, .args = args_, .note = note_, .status = SYSCALL_ABSENT},
#include "linux/syscalls.def"
#undef DONE
#undef IGNORED
#undef ABSENT
};

static const uint16_t numbers[] = {
#define NR(number, name) [number] = SC_##name,
#include "isa/sysnr.def"
#undef NR
};
STATIC_ASSERT(SC_COUNT <= UINT16_MAX);

enum syscall_id syscall_of_number(uint64_t nr)
{
    return nr < ARRAY_COUNT(numbers) ? numbers[nr] : SC_none;
}
