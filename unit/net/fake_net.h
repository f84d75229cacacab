/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fake_net.h - what the scheduler gives to the network, for tests of one thread: works, timers and
 * RCU calls wait in lists until the test runs them, on the clock fake_now_ns.
 */
#ifndef SELKIE_UNIT_FAKE_NET_H
#define SELKIE_UNIT_FAKE_NET_H

#include <stdint.h>

void fake_net_reset(void);
/* All works, then what RCU has to free, until there is nothing more. */
void fake_net_run(void);
/* The same, as time goes on by ns: timers fire at their time. */
void fake_net_advance(uint64_t ns);

#endif
