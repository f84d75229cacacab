/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: mm kernel/drv/pkt.c kernel/lib/checksum.c kernel/net/reass.c */
/* length: 400 */
/* runs: 20000 */
/* covers: kernel/net/reass.c */
/* lines: 95 */
/*
 * reass_fuzz.c - fragments of four datagrams, in any order, twice, overlapping, too long, as time
 * goes on and memory ends, against a model that marks each unit of 8 bytes: what must be whole is,
 * with the right bytes in it; what overlaps is gone; nothing leaks.
 */
#include <string.h>

#include "drv/pkt.h"
#include "fake.h"
#include "fuzz.h"
#include "mm/account.h"
#include "mm/kmalloc.h"
#include "net/reass.h"

#define KEYS 4u
#define UNITS 64u /* of 8 bytes, that a fragment may begin at; and some at the end of the range */

struct fragment {
    uint32_t offset, len;
    bool more;
};
static struct model {
    struct fragment fragments[512];
    unsigned count;
    uint64_t since_ns;
} models[KEYS];
static struct reass reass;
static uint64_t now_ns;

static uint8_t byte_at(unsigned key, uint32_t offset)
{
    return (uint8_t)(offset * 7 + offset / 256 * 3 + key * 31);
}

static struct reass_key key_of(unsigned key)
{
    struct reass_key k = {.id = key / 2, .protocol = 17 | 4u << 8};
    k.source = net_addr_v4(key % 2 ? 0x0100000a : 0x0200000a);
    k.dest = net_addr_v4(0x0900000a);
    return k;
}

static struct pkt *make(unsigned key, uint32_t offset, uint32_t len)
{
    struct pkt *pkt = NULL;
    for (uint32_t done = 0; done < len || !pkt;) {
        uint32_t part = len - done < 1500 ? len - done : 1500;
        struct pkt *p = pkt_alloc(20, part, 0);
        FUZZ_CHECK(p);
        uint8_t *to = pkt_put(p, part);
        for (uint32_t i = 0; i < part; i++)
            to[i] = byte_at(key, offset + done + i);
        done += part;
        if (pkt)
            pkt_append(pkt, p);
        else
            pkt = p;
        if (len == 0)
            break;
    }
    return pkt;
}

static enum reass_result expect(const struct model *m, const struct fragment *f, uint32_t room)
{
    uint32_t have = f->len, end = f->more ? 0 : f->offset + f->len;
    if (f->len == 0 || (f->more && f->len % 8) || f->offset + f->len > 65535 - room)
        return REASS_BAD;
    for (unsigned i = 0; i < m->count; i++) {
        const struct fragment *o = &m->fragments[i];
        uint32_t o_end = o->offset + o->len, f_end = f->offset + f->len;
        if (o->offset == f->offset && o->len == f->len && o->more == f->more)
            return REASS_REPEAT;
        if (o->offset < f_end && f->offset < o_end)
            return REASS_OVERLAP;
        if ((!f->more && o_end > f_end) || (!o->more && f_end > o_end) || (!f->more && !o->more))
            return REASS_OVERLAP;
        have += o->len;
        if (!o->more)
            end = o_end;
    }
    return end && have == end ? REASS_DONE : REASS_WAIT;
}

static void check_whole(unsigned key, const struct model *m, const struct fragment *f,
                        struct pkt *whole)
{
    uint32_t total = f->len;
    for (unsigned i = 0; i < m->count; i++)
        total += m->fragments[i].len;
    FUZZ_CHECK(whole && whole->total == total && !whole->next);
    for (uint32_t at = 0; at < total; at += 64) {
        uint8_t bytes[64];
        uint32_t n = total - at < 64 ? total - at : 64;
        pkt_read(whole, at, bytes, n);
        for (uint32_t i = 0; i < n; i++)
            FUZZ_CHECK(bytes[i] == byte_at(key, at + i));
    }
    pkt_free(whole);
}

/* Others may give way to the limit of bytes: what the model knows of them then is not true. */
static void recount(void)
{
    unsigned count = 0;
    for (unsigned k = 0; k < KEYS; k++)
        count += models[k].count > 0;
    FUZZ_CHECK(reass.count == count);
}

static void add(struct fuzz_input *in, unsigned key)
{
    struct model *m = &models[key];
    struct pkt *whole = NULL, *dropped = NULL;
    uint8_t where = fuzz_u8(in), size = fuzz_u8(in);
    struct fragment f = {.offset = where % UNITS * 8u, .more = size & 1};
    uint32_t room = where & 0x40 ? 60 : 20;
    if (where & 0x80)
        f.offset = 65536 - (where % 16 + 1) * 8u;
    f.len = size & 0x80 ? (size & 0x7e) * 4u : (size & 0x7e) / 2 * 8u - (size >> 6 & 1);
    f.len = f.len > 20000 ? 8 : f.len;
    enum reass_result wanted = expect(m, &f, room);
    bool fails = fuzz_u8(in) == 99;
    struct reass_key k = key_of(key);
    struct pkt *pkt = make(key, f.offset, f.len);
    if (fails)
        alloc_fail_nth(1);
    enum reass_result got =
        reass_add(&reass, &k, pkt, f.offset, f.more, room, now_ns, &whole, &dropped);
    alloc_fail_nth(0);
    FUZZ_TRACE("key %u offset %u len %u more %d: %d, wanted %d\n", key, f.offset, f.len, f.more,
               got, wanted);
    pkt_free_list(dropped);
    if (fails && got == REASS_FULL && m->count == 0)
        return;
    FUZZ_CHECK(got == wanted);
    if (got == REASS_DONE)
        check_whole(key, m, &f, whole);
    if (got == REASS_WAIT) {
        if (m->count == 0)
            m->since_ns = now_ns;
        m->fragments[m->count++] = f;
    } else if (got == REASS_DONE || got == REASS_OVERLAP) {
        m->count = 0;
    }
    recount();
}

static void pass(uint64_t ns)
{
    struct pkt *expired = NULL, *dropped = NULL;
    unsigned timeouts, gone = 0, firsts = 0;
    now_ns += ns;
    uint64_t next = reass_expire(&reass, now_ns, &expired, &timeouts, &dropped);
    for (unsigned k = 0; k < KEYS; k++) {
        struct model *m = &models[k];
        if (m->count == 0 || m->since_ns + REASS_TIME_NS > now_ns)
            continue;
        gone++;
        for (unsigned i = 0; i < m->count; i++)
            firsts += m->fragments[i].offset == 0;
        m->count = 0;
    }
    FUZZ_CHECK(timeouts == gone);
    for (const struct pkt *pkt = expired; pkt; pkt = pkt->next)
        firsts--;
    FUZZ_CHECK(firsts == 0);
    recount();
    FUZZ_CHECK((next == UINT64_MAX) == (reass.count == 0));
    FUZZ_CHECK(next > now_ns);
    pkt_free_list(expired);
    pkt_free_list(dropped);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint64_t secret[2] = {1, 2};
    static bool booted;
    struct fuzz_input in = {data, size, 0};
    if (!booted) {
        fake_hal_init(64u << 20);
        page_init();
        kmalloc_init();
        pkt_init();
        booted = true;
    }
    memset(models, 0, sizeof models);
    reass_init(&reass, secret);
    now_ns = NS_PER_SEC;
    for (unsigned step = 0; fuzz_more(&in) && step < 130; step++) {
        uint8_t op = fuzz_u8(&in);
        if (op >= 0xf0)
            pass((op & 0xfu) * 2 * NS_PER_SEC);
        else
            add(&in, op % KEYS);
    }
    pass(2 * REASS_TIME_NS);
    FUZZ_CHECK(reass.count == 0 && reass.bytes == 0);
    FUZZ_CHECK(owner_get(OWNER_PACKET).objects == 0 && owner_get(OWNER_PACKET).bytes == 0);
    return 0;
}
