/* SPDX-License-Identifier: BSD-3-Clause */
/* packetsock.c - AF_PACKET sockets on lo and classic BPF filters, as packet(7) and socket(7) say.
 * All captures are filtered by ports or types of the test's own: other programs use lo, too. Needs
 * root.
 */
#include "guest.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

#define TYPE 0x88b5 /* IEEE 802: for experiments */
#define LEN(a) (sizeof(a) / sizeof((a)[0]))
enum { UDP_AT = 14 + 20, HEADERS = 14 + 20 + 8 };

static unsigned lo;
static uint16_t port; /* of `sink`, network order */
static int sink, source;

static int number(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof value);
}

static int attach_code(int fd, struct sock_filter *code, size_t count)
{
    struct sock_fprog program = {(unsigned short)count, code};
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

/* Frames to this run's own address: on Linux another one may be at work at the same time. */
static void attach_own(int fd)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 4),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, getpid() & 0xffff, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0x40000),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    REQUIRE(attach_code(fd, code, LEN(code)) == 0);
}

/* Datagrams to the test's port, `keep` bytes of them; base: where the IP header is. */
static void attach(int fd, unsigned base, unsigned keep)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, base),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x45, 0, 6),
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, base + 9),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 0, 4),
        BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, base),
        BPF_STMT(BPF_LD | BPF_H | BPF_IND, base + 2),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ntohs(port), 0, 1),
        BPF_STMT(BPF_RET | BPF_K, keep),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    REQUIRE(attach_code(fd, code, LEN(code)) == 0);
}

static int open_packet(int type, int protocol)
{
    struct sockaddr_ll a = {
        .sll_family = AF_PACKET, .sll_protocol = htons((uint16_t)protocol), .sll_ifindex = (int)lo};
    int fd = socket(AF_PACKET, type, 0); /* nothing is received until it is bound */
    REQUIRE(fd >= 0);
    if (protocol == ETH_P_ALL || protocol == ETH_P_IP)
        attach(fd, type == SOCK_RAW ? 14 : 0, 0x40000);
    else
        attach_own(fd);
    REQUIRE(bind(fd, (struct sockaddr *)&a, sizeof a) == 0);
    return fd;
}

static void say(const char *text)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    REQUIRE(sendto(source, text, strlen(text), 0, (struct sockaddr *)&to, sizeof to) ==
            (long)strlen(text));
    char got[64];
    REQUIRE(recv(sink, got, sizeof got, 0) == (long)strlen(text));
}

static void silent(int fd)
{
    char byte;
    REQUIRE_ERRNO(recv(fd, &byte, 1, MSG_DONTWAIT), EAGAIN);
}

static struct sockaddr_ll name_of(int fd)
{
    struct sockaddr_ll a;
    socklen_t len = sizeof a;
    REQUIRE(getsockname(fd, (struct sockaddr *)&a, &len) == 0 && len == 18);
    return a;
}

/* ---- what is captured ---- */

static void captures(void)
{
    uint8_t frame[256];
    int fd = open_packet(SOCK_RAW, ETH_P_ALL);
    struct sockaddr_ll a = name_of(fd), from;
    REQUIRE(a.sll_ifindex == (int)lo && a.sll_protocol == htons(ETH_P_ALL));
    REQUIRE(a.sll_hatype == 772 && a.sll_halen == 6);
    silent(fd);
    say("hello");
    for (int i = 0; i < 2; i++) { /* on its way out, and in */
        socklen_t len = sizeof from;
        memset(&from, 0xee, sizeof from);
        REQUIRE(recvfrom(fd, frame, sizeof frame, MSG_PEEK, NULL, NULL) == HEADERS + 5);
        REQUIRE(recvfrom(fd, frame, sizeof frame, 0, (struct sockaddr *)&from, &len) ==
                HEADERS + 5);
        REQUIRE(len == 20 && from.sll_family == AF_PACKET && from.sll_ifindex == (int)lo);
        REQUIRE(from.sll_protocol == htons(ETH_P_IP) && from.sll_hatype == 772);
        REQUIRE(from.sll_pkttype == (i ? PACKET_HOST : PACKET_OUTGOING) && from.sll_halen == 6);
        REQUIRE(memcmp(frame, "\0\0\0\0\0\0\0\0\0\0\0\0\x08", 14) == 0);
        REQUIRE(frame[14] == 0x45 && memcmp(frame + UDP_AT + 2, &port, 2) == 0);
        REQUIRE(memcmp(frame + HEADERS, "hello", 5) == 0);
    }
    silent(fd);
    REQUIRE(number(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1) == 0);
    say("cut");
    REQUIRE(recv(fd, frame, 20, MSG_TRUNC) == HEADERS + 3);
    silent(fd);
    attach(fd, 14, 40); /* what the filter keeps is all there is */
    say("longer than that");
    REQUIRE(recv(fd, frame, sizeof frame, MSG_TRUNC) == 40);
    close(fd);
    fd = open_packet(SOCK_DGRAM, ETH_P_IP); /* incoming only, from the IP header on */
    say("again");
    REQUIRE(recv(fd, frame, sizeof frame, 0) == HEADERS + 5 - 14 && frame[0] == 0x45);
    silent(fd);
    close(fd);
}

static void tells(void)
{
    struct {
        _Alignas(struct cmsghdr) char bytes[256];
    } control;
    char data[256];
    struct iovec io = {data, sizeof data};
    struct msghdr msg = {
        .msg_iov = &io, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    struct tpacket_auxdata aux;
    struct timespec stamp = {0}, now;
    struct timeval old;
    int fd = open_packet(SOCK_RAW, ETH_P_IP), waiting = 0, found = 0;
    REQUIRE_ERRNO(ioctl(fd, SIOCGSTAMP, &old), ENOENT);
    REQUIRE(number(fd, SOL_PACKET, PACKET_AUXDATA, 1) == 0);
    REQUIRE(number(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1) == 0);
    attach(fd, 14, 30);
    say("told");
    REQUIRE(ioctl(fd, FIONREAD, &waiting) == 0 && waiting == 30);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    REQUIRE(poll(&p, 1, 0) == 1 && p.revents == POLLIN);
    REQUIRE(recvmsg(fd, &msg, 0) == 30);
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
        if (c->cmsg_level == SOL_PACKET && c->cmsg_type == PACKET_AUXDATA) {
            memcpy(&aux, CMSG_DATA(c), sizeof aux);
            REQUIRE(c->cmsg_len == CMSG_LEN(20) && aux.tp_len == HEADERS + 4);
            REQUIRE(aux.tp_snaplen == 30 && aux.tp_mac == 0 && aux.tp_net == 14);
            REQUIRE(aux.tp_status & TP_STATUS_USER);
            found++;
        } else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
            memcpy(&stamp, CMSG_DATA(c), sizeof stamp);
            found++;
        }
    }
    clock_gettime(CLOCK_REALTIME, &now);
    REQUIRE(found == 2 && stamp.tv_sec <= now.tv_sec && stamp.tv_sec + 100 > now.tv_sec);
    REQUIRE_ERRNO(ioctl(fd, SIOCGSTAMP, &old), ENOENT); /* it was told already */
    REQUIRE(number(fd, SOL_SOCKET, SO_TIMESTAMPNS, 0) == 0);
    say("once more");
    REQUIRE(recv(fd, data, sizeof data, 0) == 30);
    REQUIRE(ioctl(fd, SIOCGSTAMP, &old) == 0 && old.tv_sec >= stamp.tv_sec);
    close(fd);
}

static void counts(void)
{
    struct tpacket_stats stats;
    socklen_t len = sizeof stats;
    char data[64];
    int fd = open_packet(SOCK_RAW, ETH_P_IP), got = 0;
    REQUIRE(number(fd, SOL_SOCKET, SO_RCVBUF, 1) == 0); /* the least there is */
    for (int i = 0; i < 50; i++)
        say("one of many");
    while (recv(fd, data, sizeof data, MSG_DONTWAIT) > 0)
        got++;
    REQUIRE(getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len) == 0 && len == 8);
    REQUIRE(got > 0 && got < 50 && stats.tp_packets == 50);
    REQUIRE(stats.tp_drops == 50 - (unsigned)got);
    REQUIRE(getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len) == 0);
    REQUIRE(stats.tp_packets == 0 && stats.tp_drops == 0);
    close(fd);
}

/* ---- what is sent ---- */

static void sends(void)
{
    uint8_t frame[64] = "\1\2\3\4\5\6\7\7\7\7\7\7\x88\xb5 by hand", got[64];
    struct sockaddr_ll to = {.sll_family = AF_PACKET,
                             .sll_ifindex = (int)lo,
                             .sll_protocol = htons(TYPE),
                             .sll_halen = 6,
                             .sll_addr = "\6\5\4\3"};
    const struct sockaddr *at = (struct sockaddr *)&to;
    to.sll_addr[4] = frame[4] = (uint8_t)(getpid() >> 8);
    to.sll_addr[5] = frame[5] = (uint8_t)getpid();
    int ear = open_packet(SOCK_RAW, TYPE), raw = open_packet(SOCK_RAW, TYPE);
    int cooked = socket(AF_PACKET, SOCK_DGRAM, 0);
    REQUIRE(send(raw, frame, 22, 0) == 22); /* it is bound: no name is needed */
    REQUIRE(recv(ear, got, sizeof got, 0) == 22 && memcmp(got, frame, 22) == 0);
    REQUIRE(recv(raw, got, sizeof got, 0) == 22); /* on lo what it sends comes back */
    silent(raw);
    REQUIRE(sendto(cooked, "cooked", 6, 0, at, sizeof to) == 6);
    REQUIRE(recv(ear, got, sizeof got, 0) == 20);
    REQUIRE(memcmp(got, to.sll_addr, 6) == 0 && memcmp(got + 12,
                                                       "\x88\xb5"
                                                       "cooked",
                                                       8) == 0);
    silent(ear);
    REQUIRE_ERRNO(send(cooked, "x", 1, 0), ENXIO);
    REQUIRE_ERRNO(sendto(cooked, "x", 1, 0, at, 11), EINVAL);
    to.sll_ifindex = 4711;
    REQUIRE_ERRNO(sendto(cooked, "x", 1, 0, at, sizeof to), ENXIO);
    REQUIRE_ERRNO(bind(cooked, at, sizeof to), ENODEV);
    REQUIRE_ERRNO(bind(cooked, at, 5), EINVAL);
    REQUIRE_ERRNO(send(raw, frame, 13, 0), EINVAL);
    static char huge[70000];
    REQUIRE_ERRNO(send(raw, huge, sizeof huge, 0), EMSGSIZE);
    close(ear), close(raw), close(cooked);
}

/* ---- filters ---- */

static void refuses(int fd, struct sock_filter *code, size_t count)
{
    REQUIRE_ERRNO(attach_code(fd, code, count), EINVAL);
}

static void programs(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct sock_filter ok[] = {BPF_STMT(BPF_RET | BPF_K, 1)};
    struct sock_filter endless[] = {BPF_STMT(BPF_LD | BPF_IMM, 0)};
    struct sock_filter far[] = {BPF_JUMP(BPF_JMP | BPF_JA, 1, 0, 0), BPF_STMT(BPF_RET | BPF_K, 0)};
    struct sock_filter back[] = {BPF_JUMP(BPF_JMP | BPF_JA, -1U, 0, 0),
                                 BPF_STMT(BPF_RET | BPF_K, 0)};
    struct sock_filter beyond[] = {BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1),
                                   BPF_STMT(BPF_RET | BPF_K, 0)};
    struct sock_filter zero[] = {BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 0),
                                 BPF_STMT(BPF_RET | BPF_K, 0)};
    struct sock_filter shift[] = {BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 32),
                                  BPF_STMT(BPF_RET | BPF_K, 0)};
    struct sock_filter word[] = {BPF_STMT(BPF_ST, 16), BPF_STMT(BPF_RET | BPF_K, 0)};
    struct sock_filter unwritten[] = {BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1),
                                      BPF_STMT(BPF_ST, 3), BPF_STMT(BPF_LD | BPF_MEM, 3),
                                      BPF_STMT(BPF_RET | BPF_A, 0)};
    struct sock_filter unknown[] = {BPF_STMT(0xff, 0), BPF_STMT(BPF_RET | BPF_K, 0)};
    struct sock_fprog many = {4097, ok};
    REQUIRE_ERRNO(number(fd, SOL_SOCKET, SO_DETACH_FILTER, 0), ENOENT);
    refuses(fd, ok, 0);
    refuses(fd, endless, 1);
    refuses(fd, far, 2);
    refuses(fd, back, 2);
    refuses(fd, beyond, 2);
    refuses(fd, zero, 2);
    refuses(fd, shift, 2);
    refuses(fd, word, 2);
    refuses(fd, unwritten, 4);
    refuses(fd, unknown, 2);
    REQUIRE_ERRNO(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &many, sizeof many), EINVAL);
    REQUIRE_ERRNO(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &many, 8), EINVAL);
    many = (struct sock_fprog){1, (void *)8};
    REQUIRE_ERRNO(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &many, sizeof many), EFAULT);
    REQUIRE(attach_code(fd, ok, 1) == 0 && attach_code(fd, ok, 1) == 0);
    REQUIRE(number(fd, SOL_SOCKET, SO_DETACH_FILTER, 0) == 0);
    REQUIRE(attach_code(fd, ok, 1) == 0 && number(fd, SOL_SOCKET, SO_LOCK_FILTER, 1) == 0);
    REQUIRE_ERRNO(attach_code(fd, ok, 1), EPERM);
    REQUIRE_ERRNO(number(fd, SOL_SOCKET, SO_DETACH_FILTER, 0), EPERM);
    REQUIRE_ERRNO(number(fd, SOL_SOCKET, SO_LOCK_FILTER, 0), EPERM);
    close(fd);
}

/* The UDP header is what a filter of a UDP socket sees first. */
static void filtered(void)
{
    struct sock_filter first[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 8),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 'y', 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 8 + 3),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    char got[16];
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    REQUIRE(bind(fd, (struct sockaddr *)&a, sizeof a) == 0);
    REQUIRE(getsockname(fd, (struct sockaddr *)&a, &len) == 0);
    REQUIRE(attach_code(fd, first, LEN(first)) == 0);
    REQUIRE(sendto(source, "no", 2, 0, (struct sockaddr *)&a, len) == 2);
    REQUIRE(sendto(source, "yes please", 10, 0, (struct sockaddr *)&a, len) == 10);
    REQUIRE(recv(fd, got, sizeof got, 0) == 3 && memcmp(got, "yes", 3) == 0);
    silent(fd);
    close(fd);
}

/* ---- rings ---- */

enum { BLOCK = 8192, BLOCKS = 4, FRAME = 512 };

static char *map_ring(int fd, int version, int timeout_ms)
{
    struct tpacket_req3 req = {.tp_block_size = BLOCK,
                               .tp_block_nr = BLOCKS,
                               .tp_frame_size = FRAME,
                               .tp_frame_nr = BLOCK / FRAME * BLOCKS,
                               .tp_retire_blk_tov = (unsigned)timeout_ms};
    struct tpacket_req3 bad = req;
    socklen_t len = version == TPACKET_V3 ? sizeof req : sizeof(struct tpacket_req);
    int header = version;
    socklen_t header_len = sizeof header;
    REQUIRE(number(fd, SOL_PACKET, PACKET_VERSION, version) == 0);
    REQUIRE(getsockopt(fd, SOL_PACKET, PACKET_HDRLEN, &header, &header_len) == 0);
    REQUIRE(header == (version == TPACKET_V3 ? 48 : 32));
    REQUIRE(number(fd, SOL_PACKET, PACKET_RESERVE, 4) == 0);
    REQUIRE(mmap(NULL, BLOCK, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EINVAL);
    bad.tp_block_size = 5000;
    REQUIRE_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &bad, len), EINVAL);
    bad = req, bad.tp_frame_nr++;
    REQUIRE_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &bad, len), EINVAL);
    bad = req, bad.tp_frame_size = 40;
    REQUIRE_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &bad, len), EINVAL);
    REQUIRE_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &req, 8), EINVAL);
    REQUIRE(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &req, len) == 0);
    REQUIRE_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &req, len), EBUSY);
    REQUIRE_ERRNO(number(fd, SOL_PACKET, PACKET_VERSION, version), EBUSY);
    char *ring = mmap(NULL, BLOCK * BLOCKS, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    REQUIRE(ring != MAP_FAILED);
    req.tp_block_nr = req.tp_frame_nr = 0;
    REQUIRE_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &req, len), EBUSY);
    return ring;
}

/* "N: the rest", N the number of the packet. */
static void check_packet(const char *frame, unsigned mac, unsigned net, unsigned kept, int n)
{
    char text[32];
    sprintf(text, "%d: the rest", n);
    REQUIRE(net == mac + 14 && kept == HEADERS + strlen(text));
    REQUIRE(memcmp(frame + mac + HEADERS, text, strlen(text)) == 0);
    REQUIRE(frame[net] == 0x45);
}

static void say_number(int n)
{
    char text[32];
    sprintf(text, "%d: the rest", n);
    say(text);
}

static void frames(int version)
{
    int fd = open_packet(SOCK_RAW, ETH_P_IP), slots = BLOCK / FRAME * BLOCKS, n = 0;
    char *ring = map_ring(fd, version, 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    struct tpacket_stats stats;
    socklen_t len = sizeof stats;
    REQUIRE(poll(&p, 1, 0) == 0);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < slots / 2; i++)
            say_number(n + i);
        REQUIRE(poll(&p, 1, 1000) == 1 && p.revents == POLLIN);
        for (int i = 0; i < slots / 2; i++, n++) {
            char *frame = ring + n % slots * FRAME;
            struct tpacket_hdr *one = (void *)frame;
            struct tpacket2_hdr *two = (void *)frame;
            struct sockaddr_ll *from = (void *)(frame + 32);
            REQUIRE(__atomic_load_n(&two->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER);
            REQUIRE(from->sll_ifindex == (int)lo && from->sll_protocol == htons(ETH_P_IP));
            if (version == TPACKET_V1)
                check_packet(frame, one->tp_mac, one->tp_net, one->tp_snaplen, n);
            else
                check_packet(frame, two->tp_mac, two->tp_net, two->tp_snaplen, n);
            REQUIRE(two->tp_sec > 1000000 || version == TPACKET_V1);
            __atomic_store_n(&two->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
        }
    }
    for (int i = 0; i < slots + 5; i++) /* the last five find no room */
        say_number(i);
    REQUIRE(getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len) == 0);
    REQUIRE(stats.tp_drops == 5 && stats.tp_packets == (unsigned)(n + slots + 5));
    close(fd);
    ring[0]++; /* it stays mapped */
    REQUIRE(munmap(ring, BLOCK * BLOCKS) == 0);
}

/* Is the block handed over? Then its packets, of which the first is number `n`, are checked; how
 * many they are. */
static int take_block(char *ring, unsigned number, int n)
{
    struct tpacket_block_desc *desc = (void *)(ring + number % BLOCKS * BLOCK);
    struct tpacket_hdr_v1 *head = &desc->hdr.bh1;
    if (!(__atomic_load_n(&head->block_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER))
        return 0;
    REQUIRE(desc->version == TPACKET_V3 && head->seq_num == number + 1);
    REQUIRE(head->num_pkts > 0 && head->blk_len <= BLOCK);
    char *frame = (char *)desc + head->offset_to_first_pkt;
    int count = (int)head->num_pkts;
    for (int i = 0; i < count; i++) {
        struct tpacket3_hdr *three = (void *)frame;
        check_packet(frame, three->tp_mac, three->tp_net, three->tp_snaplen, n + i);
        REQUIRE((three->tp_next_offset == 0) == (i + 1 == count));
        frame += three->tp_next_offset;
    }
    __atomic_store_n(&head->block_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
    return count;
}

static void blocks(void)
{
    int fd = open_packet(SOCK_RAW, ETH_P_IP), n = 0, got;
    char *ring = map_ring(fd, TPACKET_V3, 20);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    unsigned number = 0;
    /* More than one block holds; on a slow machine more blocks are handed over by time than there
     * are, so what is there is taken at once. */
    for (int i = 0; i < 100; i++) {
        say_number(i);
        got = take_block(ring, number, n);
        n += got, number += got > 0;
    }
    while (n < 100) {
        while (!(got = take_block(ring, number, n)))
            REQUIRE(poll(&p, 1, 20000) == 1); /* the last one is handed over by time */
        n += got, number++;
    }
    struct tpacket_stats_v3 stats;
    socklen_t len = sizeof stats;
    REQUIRE(getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len) == 0 && len == 12);
    REQUIRE(stats.tp_packets == 100 && stats.tp_drops == 0);
    REQUIRE(munmap(ring, BLOCK * BLOCKS) == 0);
    close(fd);
}

/* ---- devices ---- */

static void members(void)
{
    struct packet_mreq mreq = {.mr_ifindex = (int)lo, .mr_type = PACKET_MR_PROMISC};
    struct ifreq req = {.ifr_name = "lo"};
    int fd = socket(AF_PACKET, SOCK_RAW, htons(TYPE));
    socklen_t len = sizeof mreq;
    REQUIRE(setsockopt(fd, SOL_PACKET, PACKET_DROP_MEMBERSHIP, &mreq, len) == 0); /* never was */
    REQUIRE(setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &mreq, len) == 0);
    REQUIRE(setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &mreq, len) == 0);
    REQUIRE(ioctl(fd, SIOCGIFFLAGS, &req) == 0 && !(req.ifr_flags & IFF_PROMISC));
    REQUIRE(setsockopt(fd, SOL_PACKET, PACKET_DROP_MEMBERSHIP, &mreq, len) == 0);
    REQUIRE(setsockopt(fd, SOL_PACKET, PACKET_DROP_MEMBERSHIP, &mreq, len) == 0);
    REQUIRE(setsockopt(fd, SOL_PACKET, PACKET_DROP_MEMBERSHIP, &mreq, len) == 0); /* never was */
    mreq.mr_ifindex = 4711;
    REQUIRE_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &mreq, len), ENODEV);
    REQUIRE_ERRNO(setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &mreq, 8), EINVAL);
    REQUIRE_ERRNO(number(fd, SOL_PACKET, 4711, 1), ENOPROTOOPT);
    REQUIRE_ERRNO(shutdown(fd, SHUT_RDWR), EOPNOTSUPP);
    REQUIRE_ERRNO(listen(fd, 1), EOPNOTSUPP);
    REQUIRE_ERRNO(socket(AF_PACKET, SOCK_STREAM, 0), ESOCKTNOSUPPORT);
    close(fd);
}

int main(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    alarm(60);
    lo = if_nametoindex("lo");
    sink = socket(AF_INET, SOCK_DGRAM, 0);
    source = socket(AF_INET, SOCK_DGRAM, 0);
    REQUIRE(lo && bind(sink, (struct sockaddr *)&a, len) == 0);
    REQUIRE(getsockname(sink, (struct sockaddr *)&a, &len) == 0);
    port = a.sin_port;
    captures();
    tells();
    counts();
    sends();
    programs();
    filtered();
    frames(TPACKET_V1);
    frames(TPACKET_V2);
    blocks();
    members();
    return guest_pass("packetsock");
}
