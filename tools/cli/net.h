/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * net.h - the guest's network device and what is behind it, for both kinds of backends:
 *   netoptions.c  options
 *   net.c         taps and recordings
 *   netuser.c     user networks
 *   netswitch.c   a switch between Selkies, served by whoever comes first
 *   netshare.c    how two hosted ones exchange frames without it
 *   netframe.c    what its records are on an ordinary wire
 *   simnet.c      a network of `selkie sim`
 *   netcable.c    a bad cable before any of them
 */
#ifndef SELKIE_NET_H
#define SELKIE_NET_H

#include "netfault.h"
#include "util.h"

struct run_options;

struct net_options {
    const char *how;     /* none, user, tap:NAME, switch:PATH, sim; NULL: the default */
    struct list publish; /* ADDRESS:HOST:GUEST/tcp, /udp */
    char *mac;           /* XX:XX:XX:XX:XX:XX; NULL: by chance */
    const char *ip, *pcap;
    const char *needed; /* an option that only a network has a use for; NULL: none was given */
    unsigned mtu;       /* 0: the device does not say */
    struct cable_faults faults;
    const char *device; /* which of QEMU's: virtio, vmxnet3; NULL: virtio */
};

/* Options of `selkie run`: each fails the command if the value is wrong. */
void net_set_how(struct net_options *net, const char *value);
void net_add_publish(struct net_options *net, const char *value);
void net_set_mac(struct net_options *net, const char *value);
/* `option` was given, which only a network has a use for. */
void net_need(struct net_options *net, const char *option, const char *value);
/* What is wrong about them together: options for a network where there is none, a user network with
 * others' addresses, a tap that is not there. */
void net_check(const struct net_options *net);
void net_check_address(const char *option, const char *value, bool prefix);

/* Is there a device at all? Fills in the default: a user network, if it is there and one is wanted
 * `by_default`. */
bool net_wanted(struct run_options *options, bool by_default);
/* Open the outside; the words for selkie-hosted. */
void net_hosted_words(struct run_options *options, struct list *words);
/* The words for QEMU; `device` is the name of its device, with a bus if it needs one. Descriptors
 * that it inherits are left open. */
void net_qemu_words(struct run_options *options, struct list *words, const char *device);

/* Has this been built with libslirp? */
bool net_user_there(void);
/* The wire of a user network, a socket that keeps records: `header` bytes of a virtio header and a
 * frame. Adds its addresses to the boot line. */
int net_user_start(struct run_options *options, size_t header);

/* A port of the switch at this path: a socket that keeps records, each a virtio header and a frame.
 * If there is no switch, one is started, which ends with its last port. */
int switch_join(const char *path);
/* For QEMU, which speaks streams of frames behind their lengths (-netdev socket): one end of such a
 * stream, and a process that carries frames between it and a socket that keeps records. Closes
 * `port`. */
int net_stream(int port);
/* A process that joins `wire`, a tap or a socket that keeps records, to the socket that is
 * returned, which keeps records, too. Closes `wire`. */
int cable_lay(int wire, bool is_tap, const struct cable_faults *faults, bool tells);
/* Room in a socket for some hundred frames. */
void socket_enlarge(int fd);
/* The word for selkie-hosted whose wire are messages to `selkie sim`. */
char *sim_net_word(const struct run_options *options);

#endif
