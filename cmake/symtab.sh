#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# symtab.sh NM IMAGE BASE - write the function table of IMAGE as assembly for section .symtab_data
# (format: platform/common/symtab.h). BASE is the symbol where the kernel's text begins.
# Needs nothing but nm, sort and awk; equal names share one string.
set -eu
nm=$1 image=$2 base=$3

"$nm" --defined-only "$image" | LC_ALL=C sort | awk -v base="$base" '
$3 == base { start = $1 }
$2 ~ /^[tTwW]$/ && $3 !~ /^\$/ && $3 !~ /^\.L/ && $3 != base && $1 != last {
    addr[++count] = $1; name[count] = $3; last = $1
}
END {
    if (start == "") { print "symtab.sh: no symbol " base > "/dev/stderr"; exit 1 }
    size = 0
    for (i = 1; i <= count; i++) {
        # Symbols before the base (boot code in other sections) are left out.
        if (addr[i] < start) continue
        keep[++kept] = i
        if (!(name[i] in place)) {
            place[name[i]] = size; size += length(name[i]) + 1; order[++names] = name[i]
        }
    }
    print ".section .symtab_data, \"a\""
    print ".balign 8"
    print ".long " kept + 0 ", " size
    for (i = 1; i <= kept; i++) print ".long 0x" addr[keep[i]] " - 0x" start
    for (i = 1; i <= kept; i++) print ".long " place[name[keep[i]]]
    for (i = 1; i <= names; i++) print ".asciz \"" order[i] "\""
    print ".section .note.GNU-stack, \"\", %progbits"
}'
