/* SPDX-License-Identifier: BSD-3-Clause */
/* panic.h - what others ask about a panic, and add to its report; panic() itself is in assert.h. */
#ifndef SELKIE_CORE_PANIC_H
#define SELKIE_CORE_PANIC_H

#include "lib/types.h"

struct isa_frame;

/* Is this machine going down? Then locks are no longer waited for. */
bool panic_active(void);

/* panic() of a fault: `what` happened at pc with frame pointer fp. `regs`: all registers there, for
 * good, or NULL. */
_Noreturn void panic_at(const struct isa_frame *regs, uintptr_t pc, uintptr_t fp, const char *fmt,
                        ...) printf_like(4, 5);

/*
 * A part of the report, printed behind the back trace in the order of registration. It takes no
 * lock, allocates nothing, and its loops have limits. Whatever it finds broken costs the rest
 * of this part only: a panic inside goes on with the next one.
 */
void panic_add(void (*part)(void));
/* For parts: a line, or a piece of one, to the LOG stream. */
void panic_say(const char *fmt, ...) printf_like(1, 2);
/* The symbols of a call chain in one line, without the first `skip`, at most `count`. */
void panic_say_chain(uintptr_t pc, uintptr_t fp, unsigned skip, unsigned count);

/* The registers of the fault that this panic is about; NULL: it is no fault. */
const struct isa_frame *panic_registers(void);
/* What another CPU was doing when it was stopped; NULL: it could not be stopped, or has told
 * nothing. */
const struct isa_frame *panic_stopped(unsigned cpu);

#endif
