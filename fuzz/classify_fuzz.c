/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: kernel/net/classify.c kernel/lib/checksum.c */
/* covers: kernel/net/classify.c */
/* lines: 95 */
/* length: 200 */
/* runs: 20000 */
/*
 * classify_fuzz.c - bytes of a frame: what the classifier promises (classify.h). The first byte of
 * the input says whether there is a link header, whether the IPv4 checksum is put right, and how
 * much of the frame lies together. The rest is a block of just its size, so that a byte too many is
 * found. More of the same frame may change CLASSIFY_SHORT only, and what lies behind the packet's
 * end nothing at all.
 */
#include <string.h>

#include "fuzz.h"
#include "lib/bytes.h"
#include "lib/checksum.h"
#include "net/classify.h"

enum { LINK = 1, RIGHT = 2, PART = 4 };

/* The IPv4 header's checksum, behind a link header and up to two tags. */
static void put_right(uint8_t *frame, size_t len, bool link)
{
    size_t at = 0;
    if (link)
        for (at = 14; at <= 22 && at <= len && frame[at - 2] == 0x81 && frame[at - 1] == 0;)
            at += 4;
    if (at + 20 > len || frame[at] >> 4 != 4)
        return;
    size_t header = (frame[at] & 0xfu) * 4u;
    if (header < 20 || header > len - at)
        return;
    frame[at + 10] = frame[at + 11] = 0;
    uint16_t sum = (uint16_t)~checksum_add(frame + at, header, 0);
    memcpy(frame + at + 10, &sum, 2);
}

static bool has_offsets(enum classify_verdict verdict)
{
    return verdict <= CLASSIFY_FRAGMENT;
}

static void promises(const uint8_t *frame, uint32_t len, uint32_t total, bool link,
                     enum classify_verdict verdict, const struct classified *out)
{
    FUZZ_CHECK(verdict <= CLASSIFY_BAD_ADDRESS);
    if (!has_offsets(verdict))
        return;
    FUZZ_CHECK(out->network >= (link ? 14u : 0) && out->network <= 22);
    FUZZ_CHECK(out->transport > out->network && out->transport <= len);
    FUZZ_CHECK(out->end >= out->transport && out->end <= total);
    bool v4 = frame[out->network] >> 4 == 4;
    FUZZ_CHECK(net_addr_is_v4(&out->key.local) == v4 && net_addr_is_v4(&out->key.remote) == v4);
    if (verdict != CLASSIFY_FLOW)
        return;
    bool tcp = out->key.protocol == IPPROTO_TCP;
    FUZZ_CHECK(tcp || out->key.protocol == IPPROTO_UDP);
    FUZZ_CHECK(out->transport + (tcp ? 20u : 8u) <= len && out->end <= total);
    FUZZ_CHECK(memcmp(frame + out->transport, &out->key.remote_port, 2) == 0);
    FUZZ_CHECK(memcmp(frame + out->transport + 2, &out->key.local_port, 2) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct classified out, again;
    if (size < 2)
        return 0;
    uint8_t how = data[0];
    uint32_t total = (uint32_t)size - 1, len = total;
    if (how & PART)
        len = total * (how >> 3) / 32;
    bool link = how & LINK;
    uint8_t *whole = malloc(total), *part = malloc(len ? len : 1);
    FUZZ_CHECK(whole && part);
    memcpy(whole, data + 1, total);
    if (how & RIGHT)
        put_right(whole, total, link);
    memcpy(part, whole, len);
    memset(&out, 0, sizeof(out));
    memset(&again, 0, sizeof(again));
    enum classify_verdict verdict = classify(part, len, total, link, &out);
    promises(part, len, total, link, verdict, &out);
    enum classify_verdict all = classify(whole, total, total, link, &again);
    FUZZ_CHECK(verdict == all || (verdict == CLASSIFY_SHORT && len < total));
    if (has_offsets(verdict)) {
        FUZZ_CHECK(memcmp(&out.key, &again.key, sizeof(out.key)) == 0);
        for (uint32_t i = out.end; i < total; i++)
            whole[i] ^= 0xff;
        FUZZ_CHECK(classify(whole, total, total, link, &again) == all);
        FUZZ_CHECK(memcmp(&out.key, &again.key, sizeof(out.key)) == 0 && out.end == again.end);
    }
    free(whole);
    free(part);
    return 0;
}
