/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: mm kernel/drv/pkt.c kernel/lib/checksum.c kernel/net/bpf.c */
/* covers: kernel/net/bpf.c */
/* lines: 95 */
/* length: 400 */
/* runs: 20000 */
/*
 * bpf_fuzz.c - a classic BPF program and a packet in two pieces behind a made-up header.
 *
 * Input: how the instructions are written (0: as they are, 8 bytes; else 4 bytes, the code chosen
 * from those that there are, so that most programs are good ones), how many, where the packet is
 * cut, the instructions, the packet. What the checker has passed must end within as many steps as
 * it has instructions (jumps lead forward), say the same again, and whatever it does not read must
 * not matter: it runs on copies with other bytes behind the packet's end.
 */
#include <string.h>

#include "core/random.h"
#include "machine.h"
#include "net/bpf.h"

#define COUNT_MAX 64u
STATIC_ASSERT(sizeof(struct bpf_program) <= 16 * sizeof(uint64_t));
#define AD_RANDOM 0xfffff038u

static const uint8_t codes[] = {
    0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x0c, 0x14, 0x15, 0x16, 0x1c,
    0x1d, 0x20, 0x24, 0x25, 0x28, 0x2c, 0x2d, 0x30, 0x34, 0x35, 0x3c, 0x3d, 0x40,
    0x44, 0x45, 0x48, 0x4c, 0x4d, 0x50, 0x54, 0x5c, 0x60, 0x61, 0x64, 0x6c, 0x74,
    0x7c, 0x80, 0x81, 0x84, 0x87, 0x94, 0x9c, 0xa4, 0xac, 0xb1,
};

uint64_t random_u64(void)
{
    return 4;
}

static struct bpf_insn insn_from(struct fuzz_input *in, bool easy)
{
    struct bpf_insn i;
    if (!easy) {
        i.code = fuzz_u16(in);
        i.jump_true = fuzz_u8(in);
        i.jump_false = fuzz_u8(in);
        i.k = fuzz_u32(in);
        return i;
    }
    i.code = codes[fuzz_u8(in) % sizeof(codes)];
    i.jump_true = fuzz_u8(in) % 4;
    i.jump_false = fuzz_u8(in) % 4;
    uint8_t k = fuzz_u8(in);
    /* Small ones, ends of the range, and the three windows of negative offsets. */
    i.k = k < 0x80   ? k % 40
          : k < 0xa0 ? 0xfffff000u + (k - 0x80u) * 4
          : k < 0xb0 ? 0xfff00000u + (k - 0xa0u)
          : k < 0xc0 ? 0xffe00000u + (k - 0xb0u)
                     : (uint32_t)(int8_t)k;
    return i;
}

/* `len` bytes in two pieces, each with a byte of room behind its end that says `beyond`. */
static struct pkt *packet(const uint8_t *data, uint32_t len, uint32_t cut, uint8_t beyond)
{
    struct pkt *pkt = pkt_alloc(0, cut + 1, 0), *more = pkt_alloc(0, len - cut + 1, 0);
    FUZZ_CHECK(pkt && more);
    memset(pkt->data, beyond, cut + 1);
    memset(more->data, beyond, len - cut + 1);
    memcpy(pkt_put(pkt, cut), data, cut);
    memcpy(pkt_put(more, len - cut), data + cut, len - cut);
    pkt_append(pkt, more);
    return pkt;
}

static uint32_t run(const struct bpf_program *program, const uint8_t *data, uint32_t len,
                    uint32_t cut, uint8_t beyond)
{
    static const uint8_t head[14] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 8};
    struct pkt *pkt = packet(data, len, cut, beyond);
    const struct bpf_view view = {
        .head = head,
        .pkt = pkt,
        .head_len = cut & 1 ? sizeof(head) : 0,
        .len = len + (cut & 1 ? (uint32_t)sizeof(head) : 0),
        .begin = cut & 2 ? MIN(len, 14u) : 0,
        .network = MIN(len, 14u),
        .device = 1,
        .protocol = 0x800,
    };
    uint32_t keep = bpf_run(program, &view);
    pkt_free(pkt);
    return keep;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint64_t memory[16 + COUNT_MAX];
    struct bpf_program *program = (struct bpf_program *)memory;
    struct fuzz_input in = {data, size, 0};
    machine_packets_start();
    bool easy = fuzz_u8(&in) != 0, random = false;
    uint32_t count = fuzz_u8(&in) % (COUNT_MAX + 1), cut = fuzz_u8(&in);
    program->count = count;
    for (uint32_t i = 0; i < count; i++) {
        program->insn[i] = insn_from(&in, easy);
        random |= program->insn[i].k == AD_RANDOM;
    }
    if (bpf_check(program->insn, count) != 0)
        return 0;
    FUZZ_CHECK(count > 0 && (program->insn[count - 1].code & 7) == 6);
    uint32_t len = (uint32_t)(in.at < size ? size - in.at : 0);
    cut = len ? cut % (len + 1) : 0;
    uint32_t keep = run(program, data + size - len, len, cut, 0);
    FUZZ_CHECK(random || keep == run(program, data + size - len, len, cut, 0xff));
    return 0;
}
