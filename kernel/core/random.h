/* SPDX-License-Identifier: BSD-3-Clause */
/* random.h - the kernel's random generator: ASLR, AT_RANDOM, getrandom, /dev/urandom. */
#ifndef SELKIE_CORE_RANDOM_H
#define SELKIE_CORE_RANDOM_H

#include "lib/types.h"

/* Seed from hal_entropy. Once, on CPU 0, before the first use. */
void random_init(void);
/* Has there been a seed that nobody can guess? If not, random_init has said so on the log. */
bool random_seeded(void);
/* Another source of the machine. fn(buf, size) gives what it has ready, at most size bytes, and
 * says how many; it is called with interrupts off and the generator's lock held, now and then
 * whenever the generator is seeded again. One. */
void random_source(size_t (*fn)(void *buf, size_t size));
/* Unpredictable bytes. Any context, never blocks. */
void random_bytes(void *buf, size_t len);
uint64_t random_u64(void);
/* Mix outside bytes in (writes to /dev/random); they never make the state worse. */
void random_mix(const void *data, size_t len);

#endif
