/* SPDX-License-Identifier: BSD-3-Clause */
/* netshare.h - the switch's part of frames in shared memory: see netshare.c. */
#ifndef SELKIE_NETSHARE_H
#define SELKIE_NETSHARE_H

#include <stdbool.h>
#include <stddef.h>

/* ---- in the switch, whose ports are 0 to SHARE_PORTS - 1 ---- */

/* A record that is no frame, with a descriptor or -1, which it takes. */
void share_hello(int port, const void *record, size_t len, int fd);
/* The port has gone. */
void share_bye(int port);
/* The switch has carried a frame from one port's address to another one's: they may do so
 * themselves from now on. *told_...: who knows of the address, a bit for each port. */
struct share_end {
    int port;
    const unsigned char *mac;
    unsigned long long *told;
};
void share_introduce(const struct share_end *from, const struct share_end *to);
/* The address is somewhere else, or nowhere any more. */
void share_forget(const unsigned char *mac, unsigned long long *told);

/* ---- at a port ---- */

/* Tell the switch at the other end that this machine can: the descriptor for its word `share`; -1:
 * it cannot. */
int share_offer(int port);

#endif
