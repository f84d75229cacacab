/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * guess.c - what a stranger might guess who has seen the connections and datagrams to one peer, of
 * those to the next: initial sequence numbers (RFC 6528), ports (RFC 6056) and IP identifiers (RFC
 * 7739, which holds for IPv4 as well). He guesses that they are near those that he has seen last.
 * Chance lets more than RIGHT of his guesses be right once in a hundred million runs. Needs root.
 */
#include "guest.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

enum { PEERS = 24, RIGHT = 4, NEAR = 32, NEAR_SEQUENCE = 1 << 20 };
enum { DEST_AT = 16, HEADER = 20, SYN = 2, ACK = 16 };

static int tap;

/* A loopback address of this run's own: on Linux others are at work at the same time. */
static uint32_t peer(unsigned n)
{
    return 127u << 24 | 1u << 22 | ((unsigned)getpid() & 0x3fff) << 8 | (n + 1);
}

static void listen_in(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, DEST_AT),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xffffff00),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, peer(0) & 0xffffff00, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0x40000),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog program = {sizeof code / sizeof code[0], code};
    struct sockaddr_ll a = {.sll_family = AF_PACKET,
                            .sll_protocol = htons(ETH_P_IP),
                            .sll_ifindex = (int)if_nametoindex("lo")};
    tap = socket(AF_PACKET, SOCK_DGRAM, 0); /* nothing is received until it is bound */
    REQUIRE(tap >= 0);
    REQUIRE(setsockopt(tap, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0);
    REQUIRE(bind(tap, (struct sockaddr *)&a, sizeof a) == 0);
}

static uint16_t half(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}
static uint32_t whole(const uint8_t *at)
{
    return (uint32_t)half(at) << 16 | half(at + 2);
}

/* What goes to the peer next: a datagram or a SYN. */
static void take(unsigned n, uint8_t protocol, uint8_t packet[128])
{
    struct sockaddr_ll from;
    socklen_t len;
    do {
        len = sizeof from;
        REQUIRE(recvfrom(tap, packet, 128, 0, (struct sockaddr *)&from, &len) >= HEADER + 8);
        REQUIRE(packet[0] == 0x45);
    } while (from.sll_pkttype != PACKET_HOST || packet[9] != protocol ||
             whole(packet + DEST_AT) != peer(n) ||
             (protocol == IPPROTO_TCP && (packet[HEADER + 13] & (SYN | ACK)) != SYN));
}

static struct sockaddr_in name(unsigned n)
{
    /* Nobody is there. */
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(peer(n))};
}

static void call(unsigned n, uint32_t *sequence, uint32_t *port)
{
    struct sockaddr_in to = name(n);
    uint8_t packet[128];
    int s = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE_ERRNO(connect(s, (struct sockaddr *)&to, sizeof to), ECONNREFUSED);
    close(s);
    take(n, IPPROTO_TCP, packet);
    *port = half(packet + HEADER);
    *sequence = whole(packet + HEADER + 4);
}

static uint32_t datagram(int s, unsigned n)
{
    struct sockaddr_in to = name(n);
    uint8_t packet[128];
    REQUIRE(sendto(s, "x", 1, 0, (struct sockaddr *)&to, sizeof to) == 1);
    take(n, IPPROTO_UDP, packet);
    return half(packet + 4);
}

/* How many numbers are at most `near` away from the one before; they have so many bits. */
static unsigned guessed(const uint32_t *numbers, unsigned count, unsigned bits, uint32_t near)
{
    unsigned right = 0;
    for (unsigned i = 1; i < count; i++) {
        uint32_t away = (numbers[i] - numbers[i - 1] + near) << (32 - bits) >> (32 - bits);
        right += away <= 2 * near;
    }
    return right;
}

int main(void)
{
    uint32_t sequence[2 * PEERS], port[PEERS], id[PEERS], unused;
    int s = socket(AF_INET, SOCK_DGRAM, 0), never = IP_PMTUDISC_DONT;
    listen_in();
    /* So that it may be in pieces: what may not needs no identifier (RFC 6864). */
    REQUIRE(setsockopt(s, IPPROTO_IP, IP_MTU_DISCOVER, &never, sizeof never) == 0);
    for (unsigned i = 0; i < PEERS; i++) {
        call(i, &sequence[2 * i], &port[i]);
        call(i, &sequence[2 * i + 1], &unused); /* a port that its own peer may well guess */
        id[i] = datagram(s, i);
    }
    REQUIRE(guessed(sequence, 2 * PEERS, 32, NEAR_SEQUENCE) <= RIGHT);
    REQUIRE(guessed(port, PEERS, 16, NEAR) <= RIGHT);
    REQUIRE(guessed(id, PEERS, 16, NEAR) <= RIGHT);
    return guest_pass("guess");
}
