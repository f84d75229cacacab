/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bpf.h - classic BPF: the programs that sockets filter packets with (SO_ATTACH_FILTER).
 *
 * The language is that of McCanne and Jacobson (USENIX 1993) with Linux's extensions at negative
 * offsets. A program is checked once, when it is attached; what has passed ends (jumps go forward
 * only), reads nothing outside the packet and its own 16 words, and never a word that it has not
 * written.
 */
#ifndef SELKIE_NET_BPF_H
#define SELKIE_NET_BPF_H

#include "core/rcu.h"
#include "drv/pkt.h"

#define BPF_INSNS_MAX 4096u
#define BPF_EXTENSIONS_MAX 64 /* what SO_BPF_EXTENSIONS says: offsets below are known */

struct bpf_insn { /* struct sock_filter of user code */
    uint16_t code;
    uint8_t jump_true, jump_false;
    uint32_t k;
};
STATIC_ASSERT(sizeof(struct bpf_insn) == 8);

struct bpf_program {
    struct rcu_head rcu;
    uint32_t count;
    uint32_t stamp; /* SO_ATTACH_REUSEPORT_CBPF: later ones have higher numbers */
    struct bpf_insn insn[];
};

/* What a program looks at: `head` in front of a packet less its first `skip` bytes, and what is
 * known about it. */
struct bpf_view {
    const uint8_t *head;
    const struct pkt *pkt;
    uint32_t head_len, skip;
    uint32_t len;     /* of all that it sees, and */
    uint32_t begin;   /* where offset 0 is in it: what lies before is reached from `link` only */
    uint32_t network; /* where the network header is */
    uint32_t device, hash;
    uint16_t protocol, hardware; /* Ethernet type; ARPHRD_* */
    uint8_t kind;                /* PACKET_HOST ... */
};
/* Bytes [offset, offset + len) of the view, counted from its very beginning. They must exist. */
void bpf_view_read(const struct bpf_view *view, uint32_t offset, void *to, uint32_t len);

/* May it run? 0, -EINVAL, -ENOMEM. Pure. */
int must_check bpf_check(const struct bpf_insn *insn, uint32_t count);
/* How many bytes from `begin` on are to be kept; 0: none. Any context. */
uint32_t bpf_run(const struct bpf_program *program, const struct bpf_view *view);

/* ---- of sockets (bpf_socket.c) ---- */

struct socket;
/* SO_ATTACH_FILTER (value: struct sock_fprog), SO_DETACH_FILTER, SO_LOCK_FILTER; -ENOPROTOOPT:
 * another option. */
int must_check bpf_set_option(struct socket *socket, int name, uaddr_t value, unsigned len);
/* SO_ATTACH_REUSEPORT_CBPF and SO_DETACH_REUSEPORT_BPF, of sockets with ports (reuseport.c). True:
 * some socket has or had one; atomic. */
#define SO_ATTACH_REUSEPORT_CBPF 51
#define SO_DETACH_REUSEPORT_BPF 68
extern bool bpf_steers;
int must_check bpf_steer_option(struct socket *socket, int name, uaddr_t value, unsigned len);
int must_check bpf_get_option(struct socket *socket, int name, int32_t *out);
int must_check bpf_get_filter(struct socket *socket, uaddr_t value, unsigned *len);
/* bpf_run of the socket's program; UINT32_MAX: it has none. */
uint32_t bpf_filter(const struct socket *socket, const struct bpf_view *view);
/* The same of an IP packet, data at its header; offset 0 is at `begin`. */
uint32_t bpf_filter_ip(const struct socket *socket, const struct pkt *pkt, uint32_t begin);
/* At the end of a socket's life. */
void bpf_free(struct socket *socket);

#endif
