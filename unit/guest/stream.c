/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * stream.c - streams of bytes that everybody knows, over a network that may do anything to them
 * (tools/tests/sim, faults; docs/testing.md):
 *
 *   stream                                      both ends over lo, in small
 *   stream recv PORT [WORD=N...]                receive
 *   stream send HOST PORT BYTES [WORD=N...]     connect, send so much, be told what has arrived
 *
 *   streams=N    so many connections at once, both sides (1)
 *   die=BYTES    SIGKILL after so many bytes, which is the end of this machine
 *   cut=1        the other side may go in the middle; the errno that tells (0: the end) and
 *                the time are printed
 *   keepalive=S  SO_KEEPALIVE: after S idle seconds 3 probes, 2 seconds apart
 *   user=MS      TCP_USER_TIMEOUT
 *   slow=US      the reader sleeps so long after each 16 KiB
 *   pause=MS     the reader sleeps so long once, in the middle
 *   read=BYTES   SO_RCVBUF of the reader
 *   seed=N       of the sender's bytes
 *
 * The receiver compares each byte with the one that belongs there, so what arrives arrives once and
 * in order, and answers with the count and the SHA-256 of all; the sender compares these with what
 * it has sent. Each says how long it waited at most for the next bytes, or for room. At the end the
 * kernel's accounts of sockets and packets (on Selkie) are no more than in the beginning; not
 * looked at over lo.
 */
#include "procfile.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <time.h>

#define PIECE 16384u
#define STREAMS_MAX 16
#define ANSWER 40
#define LEFT_TRIES 3000 /* tenths of a second: orphans and TIME-WAIT have their time */

struct words {
    uint64_t streams, die, cut, keepalive, user, slow, pause, read, seed;
};

struct hello {
    uint64_t seed, length;
};

struct stream {
    const struct words *words;
    const char *host;
    int fd;
    uint16_t port;
    struct hello hello;
};

static bool quiet;

/* ---- SHA-256 (FIPS 180-4) ---- */

struct sha {
    uint32_t h[8];
    uint64_t len;
    uint8_t block[64];
};

static const uint32_t sha_k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t turn(uint32_t x, unsigned n)
{
    return x >> n | x << (32 - n);
}

static void sha_block(struct sha *s, const uint8_t *p)
{
    uint32_t w[64], v[8];
    for (unsigned i = 0; i < 16; i++, p += 4)
        w[i] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    for (unsigned i = 16; i < 64; i++) {
        uint32_t a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + (turn(a, 7) ^ turn(a, 18) ^ a >> 3) + w[i - 7] +
               (turn(b, 17) ^ turn(b, 19) ^ b >> 10);
    }
    memcpy(v, s->h, sizeof v);
    for (unsigned i = 0; i < 64; i++) {
        uint32_t e = v[4], a = v[0];
        uint32_t one = v[7] + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) +
                       ((e & v[5]) ^ (~e & v[6])) + sha_k[i] + w[i];
        uint32_t two =
            (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));
        memmove(v + 1, v, 7 * sizeof *v);
        v[4] += one;
        v[0] = one + two;
    }
    for (unsigned i = 0; i < 8; i++)
        s->h[i] += v[i];
}

static void sha_start(struct sha *s)
{
    *s = (struct sha){.h = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c,
                            0x1f83d9ab, 0x5be0cd19}};
}

static void sha_add(struct sha *s, const uint8_t *p, size_t n)
{
    for (; n > 0;) {
        size_t at = s->len % 64, take = n < 64 - at ? n : 64 - at;
        memcpy(s->block + at, p, take);
        s->len += take;
        p += take;
        n -= take;
        if (s->len % 64 == 0)
            sha_block(s, s->block);
    }
}

static void sha_end(struct sha *s, uint8_t out[32])
{
    static const uint8_t pad[64] = {0x80};
    uint8_t bits[8];
    for (unsigned i = 0; i < 8; i++)
        bits[i] = (uint8_t)(s->len * 8 >> (56 - 8 * i));
    sha_add(s, pad, 1 + (119 - s->len % 64) % 64);
    sha_add(s, bits, 8);
    for (unsigned i = 0; i < 32; i++)
        out[i] = (uint8_t)(s->h[i / 4] >> (24 - 8 * (i % 4)));
}

/* ---- bytes, time ---- */

/* The bytes of a stream from `at` on, which is a multiple of 8. */
static void bytes_at(uint64_t seed, uint64_t at, uint8_t *out, size_t n)
{
    for (size_t i = 0; i < n; i += 8) {
        uint64_t z = (seed ^ (at + i)) * 0x9e3779b97f4a7c15 + 0x7f4a7c15;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
        z ^= z >> 27;
        memcpy(out + i, &z, n - i < 8 ? n - i : 8);
    }
}

/* Since the program's first call. */
static uint64_t now_ms(void)
{
    static uint64_t begin; /* atomic */
    uint64_t none = 0;
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    uint64_t now = (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
    __atomic_compare_exchange_n(&begin, &none, now, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    return none ? now - none : 0;
}

struct stall {
    uint64_t longest, begin;
};

static void stall_begin(struct stall *s)
{
    s->begin = now_ms();
}

static void stall_end(struct stall *s)
{
    uint64_t took = now_ms() - s->begin;
    s->longest = took > s->longest ? took : s->longest;
}

static void sleep_us(uint64_t us)
{
    struct timespec t = {(time_t)(us / 1000000), (long)(us % 1000000) * 1000};
    nanosleep(&t, NULL);
}

static void print_hash(const char *what, uint64_t count, const uint8_t *hash,
                       const struct stall *stall)
{
    char text[65];
    if (quiet)
        return;
    for (unsigned i = 0; i < 32; i++)
        snprintf(text + 2 * i, 3, "%02x", hash[i]);
    printf("%s %llu %s stall %llu ms\n", what, (unsigned long long)count, text,
           (unsigned long long)stall->longest);
    fflush(stdout);
}

/* Under failing allocations what begins may fail, and is tried again; what has begun may not. */
#define AGAIN(call) \
    ({ \
        long got_; \
        while ((got_ = (long)(call)) < 0 && \
               (errno == ENOMEM || errno == EAGAIN || errno == ENOBUFS || errno == ENFILE)) \
            sleep_us(1000); \
        (int)got_; \
    })

static void begin(pthread_t *thread, void *(*work)(void *), void *arg)
{
    int err;
    while ((err = pthread_create(thread, NULL, work, arg)) == EAGAIN || err == ENOMEM)
        sleep_us(1000);
    REQUIRE(err == 0);
}

/* ---- connections ---- */

static void set(int fd, int level, int option, uint64_t value)
{
    int n = (int)value;
    REQUIRE(setsockopt(fd, level, option, &n, sizeof n) == 0);
}

static void prepare(int fd, const struct words *w)
{
    if (w->keepalive) {
        set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
        set(fd, IPPROTO_TCP, TCP_KEEPIDLE, w->keepalive);
        set(fd, IPPROTO_TCP, TCP_KEEPINTVL, 2);
        set(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
    }
    if (w->user)
        set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, w->user);
}

static int listener(uint16_t *port, const struct words *w)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(*port)};
    socklen_t len = sizeof a;
    int fd = AGAIN(socket(AF_INET, SOCK_STREAM, 0));
    REQUIRE(fd >= 0);
    set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (w->read)
        set(fd, SOL_SOCKET, SO_RCVBUF, w->read);
    REQUIRE(AGAIN(bind(fd, (struct sockaddr *)&a, sizeof a)) == 0);
    REQUIRE(AGAIN(listen(fd, STREAMS_MAX)) == 0);
    REQUIRE(getsockname(fd, (struct sockaddr *)&a, &len) == 0);
    *port = ntohs(a.sin_port);
    return fd;
}

/* The other machine may still be starting; on a bad wire its address is asked for in vain at times.
 */
static int call(const char *host, uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    REQUIRE(inet_pton(AF_INET, host, &to.sin_addr) == 1);
    for (int tries = 0;; tries++) {
        int fd = AGAIN(socket(AF_INET, SOCK_STREAM, 0));
        REQUIRE(fd >= 0);
        if (AGAIN(connect(fd, (struct sockaddr *)&to, sizeof to)) == 0)
            return fd;
        REQUIRE((errno == ECONNREFUSED || errno == EHOSTUNREACH) && tries < 100);
        close(fd);
        sleep_us(100000);
    }
}

/* How a stream was cut: fine if that was expected. */
static void cut(const struct stream *s, const char *what, uint64_t at, int error)
{
    if (!s->words->cut)
        printf("FAIL %s %llu of %llu: %s\n", what, (unsigned long long)at,
               (unsigned long long)s->hello.length, error ? strerror(error) : "the end");
    else
        printf("%s cut: %d at %llu ms\n", what, error, (unsigned long long)now_ms());
    fflush(stdout);
    if (!s->words->cut)
        _exit(1);
}

/* ---- receiving ---- */

static bool read_all(int fd, void *to, size_t len)
{
    for (size_t got = 0; got < len;) {
        ssize_t n = read(fd, (char *)to + got, len - got);
        if (n <= 0) {
            errno = n == 0 ? 0 : errno;
            return false;
        }
        got += (size_t)n;
    }
    return true;
}

static void loiter(const struct words *w, uint64_t before, uint64_t after, uint64_t length)
{
    if (w->slow)
        sleep_us(w->slow);
    if (w->pause && before < length / 2 && after >= length / 2)
        sleep_us(w->pause * 1000);
    if (w->die && after >= w->die)
        raise(SIGKILL);
}

/* False: cut. */
static bool take_bytes(struct stream *s, struct sha *sha, struct stall *stall)
{
    static _Thread_local uint8_t got[PIECE + 8], wanted[PIECE + 8];
    for (uint64_t at = 0;;) {
        stall_begin(stall);
        ssize_t n = read(s->fd, got, PIECE);
        stall_end(stall);
        if (n < 0 || (n == 0 && at < s->hello.length)) {
            cut(s, "receiving", at, n < 0 ? errno : 0);
            return false;
        }
        if (n == 0)
            return true;
        bytes_at(s->hello.seed, at & ~7ull, wanted, (size_t)n + 8);
        REQUIRE(at + (uint64_t)n <= s->hello.length);
        REQUIRE(memcmp(got, wanted + (at & 7), (size_t)n) == 0);
        sha_add(sha, got, (size_t)n);
        at += (uint64_t)n;
        loiter(s->words, at - (uint64_t)n, at, s->hello.length);
    }
}

static void *receive(void *arg)
{
    struct stream *s = arg;
    struct stall stall = {0};
    uint8_t answer[ANSWER];
    struct sha sha;
    sha_start(&sha);
    if (!read_all(s->fd, &s->hello, sizeof s->hello)) {
        cut(s, "receiving", 0, errno);
    } else if (take_bytes(s, &sha, &stall)) {
        memcpy(answer, &sha.len, 8);
        sha_end(&sha, answer + 8);
        memcpy(&sha.len, answer, 8);
        print_hash("received", sha.len, answer + 8, &stall);
        REQUIRE(write(s->fd, answer, ANSWER) == ANSWER);
    }
    REQUIRE(close(s->fd) == 0);
    return NULL;
}

static void receive_streams(int from, const struct words *w)
{
    struct stream streams[STREAMS_MAX];
    pthread_t threads[STREAMS_MAX];
    for (unsigned i = 0; i < w->streams; i++) {
        streams[i] = (struct stream){.words = w, .fd = AGAIN(accept(from, NULL, NULL))};
        REQUIRE(streams[i].fd >= 0);
        prepare(streams[i].fd, w);
        begin(&threads[i], receive, &streams[i]);
    }
    for (unsigned i = 0; i < w->streams; i++)
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    REQUIRE(close(from) == 0);
}

/* ---- sending ---- */

/* False: cut. */
static bool give(struct stream *s, const void *data, size_t len, struct stall *stall)
{
    for (size_t done = 0; done < len;) {
        stall_begin(stall);
        ssize_t n = send(s->fd, (const char *)data + done, len - done, MSG_NOSIGNAL);
        stall_end(stall);
        if (n <= 0)
            return false;
        done += (size_t)n;
    }
    return true;
}

static bool give_bytes(struct stream *s, struct sha *sha, struct stall *stall)
{
    static _Thread_local uint8_t piece[PIECE];
    while (sha->len < s->hello.length) {
        uint64_t left = s->hello.length - sha->len;
        size_t n = left < PIECE ? left : PIECE;
        bytes_at(s->hello.seed, sha->len, piece, n);
        if (!give(s, piece, n, stall))
            return false;
        sha_add(sha, piece, n);
        if (s->words->die && sha->len >= s->words->die)
            raise(SIGKILL);
    }
    return true;
}

static void be_told(struct stream *s, struct sha *sha, struct stall *stall)
{
    uint8_t answer[ANSWER], hash[32];
    uint64_t count = sha->len, told;
    sha_end(sha, hash);
    print_hash("sent", count, hash, stall);
    if (!read_all(s->fd, answer, ANSWER)) {
        cut(s, "answer", count, errno);
        return;
    }
    memcpy(&told, answer, 8);
    REQUIRE(told == count && memcmp(hash, answer + 8, 32) == 0);
    REQUIRE(read(s->fd, answer, 1) == 0);
}

static void *transmit(void *arg)
{
    struct stream *s = arg;
    struct stall stall = {0};
    struct sha sha;
    sha_start(&sha);
    s->fd = call(s->host, s->port);
    prepare(s->fd, s->words);
    if (!give(s, &s->hello, sizeof s->hello, &stall) || !give_bytes(s, &sha, &stall) ||
        shutdown(s->fd, SHUT_WR) != 0)
        cut(s, "sending", sha.len, errno);
    else
        be_told(s, &sha, &stall);
    REQUIRE(close(s->fd) == 0);
    return NULL;
}

static void send_streams(const char *host, uint16_t port, uint64_t length, const struct words *w)
{
    struct stream streams[STREAMS_MAX];
    pthread_t threads[STREAMS_MAX];
    for (unsigned i = 0; i < w->streams; i++) {
        streams[i] =
            (struct stream){.words = w, .host = host, .port = port, .hello = {w->seed + i, length}};
        begin(&threads[i], transmit, &streams[i]);
    }
    for (unsigned i = 0; i < w->streams; i++)
        REQUIRE(pthread_join(threads[i], NULL) == 0);
}

/* ---- what is left ---- */

static void nothing_is_left(long sockets, long packets)
{
    long s = 0, p = 0;
    for (int tries = 0; tries < LEFT_TRIES; tries++) {
        s = account("sock");
        p = account("net");
        if (s <= sockets && p <= packets)
            return;
        sleep_us(100000);
    }
    printf("FAIL left: sockets %ld -> %ld, packets %ld -> %ld\n", sockets, s, packets, p);
    fflush(stdout);
    _exit(1);
}

/* ---- both ends over lo ---- */

struct both {
    int listener;
    struct words words;
};

static void *lo_receive(void *arg)
{
    struct both *both = arg;
    receive_streams(both->listener, &both->words);
    return NULL;
}

static void over_lo(struct words words, uint64_t length)
{
    struct both both = {.words = words};
    uint16_t port = 0;
    pthread_t thread;
    both.listener = listener(&port, &words);
    begin(&thread, lo_receive, &both);
    send_streams("127.0.0.1", port, length, &words);
    REQUIRE(pthread_join(thread, NULL) == 0);
}

static void check_sha(void)
{
    static const uint8_t abc[] = {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea};
    uint8_t out[32];
    struct sha sha;
    sha_start(&sha);
    sha_add(&sha, (const uint8_t *)"abc", 3);
    sha_end(&sha, out);
    REQUIRE(memcmp(out, abc, sizeof abc) == 0);
}

/* ---- words ---- */

static struct words words_of(char **at)
{
    struct words w = {.streams = 1, .seed = 1};
    const struct {
        const char *name;
        uint64_t *to;
    } known[] = {{"streams", &w.streams},     {"die", &w.die},   {"cut", &w.cut},
                 {"keepalive", &w.keepalive}, {"user", &w.user}, {"slow", &w.slow},
                 {"pause", &w.pause},         {"read", &w.read}, {"seed", &w.seed}};
    for (; *at; at++) {
        const char *value = strchr(*at, '=');
        bool found = false;
        for (size_t i = 0; value && i < sizeof known / sizeof *known; i++)
            if (strlen(known[i].name) == (size_t)(value - *at) &&
                strncmp(known[i].name, *at, (size_t)(value - *at)) == 0) {
                *known[i].to = strtoull(value + 1, NULL, 10);
                found = true;
            }
        REQUIRE(found);
    }
    REQUIRE(w.streams >= 1 && w.streams <= STREAMS_MAX);
    return w;
}

int main(int argc, char **argv)
{
    long sockets = account("sock"), packets = account("net");
    (void)now_ms(); /* begins */
    check_sha();
    if (argc >= 3 && strcmp(argv[1], "recv") == 0) {
        struct words words = words_of(argv + 3);
        uint16_t port = (uint16_t)atoi(argv[2]);
        receive_streams(listener(&port, &words), &words);
    } else if (argc >= 5 && strcmp(argv[1], "send") == 0) {
        struct words words = words_of(argv + 5);
        send_streams(argv[2], (uint16_t)atoi(argv[3]), strtoull(argv[4], NULL, 10), &words);
    } else {
        REQUIRE(argc == 1);
        quiet = true;
        alarm(170);
        over_lo((struct words){.streams = 3, .seed = 7}, 2000003);
        over_lo((struct words){.streams = 2, .slow = 2000, .pause = 300, .read = 8192}, 400001);
    }
    if (argc > 1) /* waits for TIME-WAIT, which is for virtual time; over lo flowstorm looks */
        nothing_is_left(sockets, packets);
    return guest_pass("stream");
}
