/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * insn.c - a plugin for QEMU's TCG that counts the guest's instructions, firmware included, and
 * writes the number to the file of its argument out=FILE when QEMU ends.
 *
 * Debian ships no qemu-plugin.h. What the documented interface (QEMU's docs/devel/tcg-plugins,
 * version 1, QEMU 7.2) asks of this plugin is declared here.
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef uint64_t plugin_id; /* qemu_plugin_id_t */
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_info;
enum { INLINE_ADD_U64 = 0 }; /* the only enum qemu_plugin_op */

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id,
                                           void (*translated)(plugin_id, struct qemu_plugin_tb *));
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
void qemu_plugin_register_vcpu_insn_exec_inline(struct qemu_plugin_insn *insn, int op,
                                                void *counter, uint64_t amount);
void qemu_plugin_register_atexit_cb(plugin_id id, void (*ended)(plugin_id, void *), void *data);

extern const int qemu_plugin_version;
const int qemu_plugin_version = 1;
int qemu_plugin_install(plugin_id id, const struct qemu_info *info, int argc, char **argv);

static uint64_t executed; /* one CPU only: the increment is not atomic */
static const char *out_path;

static void count_block(plugin_id id, struct qemu_plugin_tb *tb)
{
    size_t count = qemu_plugin_tb_n_insns(tb);

    (void)id;
    for (size_t i = 0; i < count; i++)
        qemu_plugin_register_vcpu_insn_exec_inline(qemu_plugin_tb_get_insn(tb, i), INLINE_ADD_U64,
                                                   &executed, 1);
}

static void report(plugin_id id, void *data)
{
    FILE *file = out_path ? fopen(out_path, "we") : NULL;

    (void)id;
    (void)data;
    if (!file)
        return;
    fprintf(file, "%" PRIu64 "\n", executed);
    fclose(file);
}

int qemu_plugin_install(plugin_id id, const struct qemu_info *info, int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++)
        if (strncmp(argv[i], "out=", 4) == 0)
            out_path = argv[i] + 4;
    qemu_plugin_register_vcpu_tb_trans_cb(id, count_block);
    qemu_plugin_register_atexit_cb(id, report, NULL);
    return 0;
}
