/* SPDX-License-Identifier: BSD-3-Clause */
/* fploop - a loop that computes in vector registers only: all others are the same in each turn, but
 * it is no waiting loop. For the simulation, which looks for those. */
#include "guest.h"

int main(void)
{
    double x = 0;
    while (x < 1e8)
        x += 1;
    REQUIRE(x == 1e8);
    return guest_pass("fploop");
}
