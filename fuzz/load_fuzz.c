/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: fs kernel/proc/elf.c kernel/proc/load.c */
/* covers: kernel/proc/elf.c kernel/proc/load.c */
/* length: 1024 */
/* runs: 20000 */
/*
 * load_fuzz.c - an ELF file in a ramfs, validated, mapped and its tails zeroed, in a space of its
 * own. In memory there must be the file's bytes where the segments say, zeroes behind them in what
 * can be written, at an address that fits the alignment; whatever fails leaves nothing behind.
 */
#include <string.h>

#include "fs/fake_fs.h"
#include "machine.h"
#include "mm/area.h"
#include "mm/usercopy.h"
#include "proc/load.h"

static struct space *space;

static int on_fault(vaddr_t addr, enum hal_access access)
{
    return space_fault(space, addr, access, 0);
}

/* Does only segment `i` have something in the page of this address? */
static bool alone(const struct elf_plan *plan, unsigned i, uint64_t addr)
{
    for (unsigned k = 0; k < plan->segment_count; k++) {
        const struct elf_segment *s = &plan->segment[k];

        if (k != i && align_down(s->vaddr, PAGE_SIZE) <= addr &&
            addr < align_up(s->vaddr + s->memsz, PAGE_SIZE))
            return false;
    }
    return true;
}

static void check_byte(const struct elf_plan *plan, unsigned i, uint64_t at, vaddr_t bias, int want)
{
    const struct elf_segment *s = &plan->segment[i];
    uint8_t byte = 0;

    if (!alone(plan, i, at))
        return;
    int err = copyin(&byte, uaddr(at + bias), 1);
    FUZZ_CHECK(err == (s->prot ? 0 : -EFAULT));
    FUZZ_CHECK(err || byte == want);
}

static void check_segment(const struct elf_plan *plan, unsigned i, vaddr_t bias,
                          const uint8_t *data)
{
    const struct elf_segment *s = &plan->segment[i];
    uint64_t end = s->vaddr + s->memsz - 1, file_end = s->vaddr + s->filesz;

    if (s->filesz) {
        check_byte(plan, i, s->vaddr, bias, data[s->off]);
        check_byte(plan, i, file_end - 1, bias, data[s->off + s->filesz - 1]);
    }
    if (s->memsz == s->filesz)
        return;
    if ((s->prot & PROT_WRITE) || s->filesz == 0) {
        check_byte(plan, i, file_end, bias, 0);
        check_byte(plan, i, end, bias, 0);
    } else if (end >= align_up(file_end, PAGE_SIZE)) {
        check_byte(plan, i, end, bias, 0);
    }
}

static void load(const struct elf_plan *plan, struct file *file, const uint8_t *data)
{
    vaddr_t bias = 0, base = data[7] & 1 ? 0x10000000 : 0;

    space = space_create();
    FUZZ_CHECK(space);
    int err = load_map(space, plan, file, base, &bias);
    FUZZ_TRACE("load_map: %d, bias %#lx\n", err, bias);
    FUZZ_CHECK(err == 0 || err == -ENOMEM || err == -ENOEXEC);
    if (err == 0) {
        FUZZ_CHECK(plan->relocatable ? (plan->lo + bias) % plan->align == plan->lo % plan->align
                                     : bias == 0);
        FUZZ_CHECK(area_tree_valid(space));
        fake_user_space = &space->hal;
        fake_user_fault = on_fault;
        err = load_zero_tails(plan, bias);
        FUZZ_CHECK(err == 0);
        for (unsigned i = 0; i < plan->segment_count; i++)
            check_segment(plan, i, bias, data);
        fake_user_space = NULL;
    }
    space_put(space);
}

static void start(void)
{
    fake_hal_init(32u << 20);
    fake_layout.user[0] = (struct hal_user_window){0x10000, 0x40000000};
    fake_layout.user_end = 0x40000000;
    FUZZ_CHECK(fake_fs_boot(NULL, 0) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool started;
    struct elf_plan plan;
    struct file *file;
    const char *why;

    if (!started)
        start();
    started = true;
    if (elf_validate(data, size, size, &plan, &why)) {
        FUZZ_TRACE("%s\n", why);
        return 0;
    }
    struct machine_account before = machine_count();
    FUZZ_CHECK(ramfs_tmpfile(vfs_root->inode->super, NULL, S_IFREG | 0755, O_RDWR, &file) == 0);
    FUZZ_CHECK(file_write(file, data, size) == (long)size);
    load(&plan, file, data);
    file_put(file);
    machine_check(&before);
    return 0;
}
