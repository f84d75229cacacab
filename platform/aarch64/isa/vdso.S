/* SPDX-License-Identifier: BSD-3-Clause */
/* vdso.S - the linked vDSO (isa/vdso/), embedded page aligned and padded to a page. */
    .section .rodata.vdso, "a", %progbits
    .globl isa_vdso_start, isa_vdso_end
    .balign 4096
isa_vdso_start:
    .incbin "vdso.so"
isa_vdso_end:
    .balign 4096

    .section .note.GNU-stack, "", %progbits
