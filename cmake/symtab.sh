#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# symtab.sh [-l] NM IMAGE BASE - write the function table of IMAGE as assembly for section .symtab_data
# (format: platform/common/symtab.h). BASE is the symbol where the kernel's text begins.
# With -l only the functions: what the table is made of (that two images have the same is told by this).
# The linker's own pieces of a function are not functions: on AArch64 it moves an instruction that meets an erratum of the
# Cortex-A53 into a veneer, and names that only where it is needed in the end, which goes by how far the data is (e843419@...).
# Needs nothing but nm, sort and awk.
set -eu
list=0
if [ "$1" = -l ]; then list=1; shift; fi
nm=$1 image=$2 base=$3
export LC_ALL=C # a character is a byte

functions() {
    "$nm" --defined-only "$image" | sort | awk -v base="$base" '
    $3 == base { start = $1 }
    $2 ~ /^[tTwW]$/ && $3 !~ /^\$/ && $3 !~ /^\.L|@/ && $3 != base && $1 != last {
        # Without what gcc says of parts and copies of a function.
        sub(/[.](constprop|part|isra|cold)[.0-9a-z]*$/, "", $3)
        addr[++count] = $1; name[count] = $3; last = $1
    }
    END {
        if (start == "") { print "symtab.sh: no symbol " base > "/dev/stderr"; exit 1 }
        before = start
        for (i = 1; i <= count; i++) {
            # Symbols before the base (boot code in other sections) are left out.
            if (addr[i] < start) continue
            print addr[i], before, name[i]
            before = addr[i]
        }
    }'
}

if [ "$list" = 1 ]; then functions; exit; fi

# Names are written in codes: the characters that occur, and then, as long as there are codes, the commonest pair of codes.
functions | awk '
function put(text,    i, line) {
    line = ".byte "
    for (i = 1; i <= length(text); i++) line = line (i > 1 ? "," : "") code[substr(text, i, 1)]
    print line
}
function count_pairs(text, by,    i, pair) {
    for (i = 1; i < length(text); i++) {
        pair = substr(text, i, 2)
        pairs[pair] += by
        if (pairs[pair] == 0) delete pairs[pair]
    }
}
function replace(text, pair, with,    at, done) {
    while ((at = index(text, pair)) > 0) {
        done = done substr(text, 1, at - 1) with
        text = substr(text, at + 2)
    }
    return done text
}
BEGIN {
    # What stands for code n in here: no NUL, no newline. "@" is the end of a name.
    for (n = 1; n <= 253; n++) { symbol[n] = sprintf("%c", n + (n < 10 ? 0 : 1)); }
}
{
    addr[NR] = $1; before[NR] = $2; text[NR] = $3 "@"
    for (i = 1; i <= length(text[NR]); i++) used[substr(text[NR], i, 1)]
}
END {
    print ".section .symtab_data, \"a\""
    for (n = 32; n < 127; n++) {
        c = sprintf("%c", n)
        if (!(c in used)) continue
        to[c] = symbol[++codes]; code[symbol[codes]] = codes
        literals = literals "," (c == "@" ? 0 : n)
    }
    print ".byte " codes literals
    for (i = 1; i <= NR; i++) {
        name = ""
        for (j = 1; j <= length(text[i]); j++) name = name to[substr(text[i], j, 1)]
        text[i] = name
        count_pairs(name, 1)
    }
    letters = codes
    while (codes < 253) {
        most = 0; best = ""
        for (pair in pairs)
            if (pairs[pair] > most || (pairs[pair] == most && pair < best)) { most = pairs[pair]; best = pair }
        if (most < 4) break
        with = symbol[++codes]; code[with] = codes
        rule[codes] = best
        for (i = 1; i <= NR; i++)
            if (index(text[i], best)) {
                count_pairs(text[i], -1)
                text[i] = replace(text[i], best, with)
                count_pairs(text[i], 1)
            }
    }
    print ".byte " codes - letters
    for (n = letters + 1; n <= codes; n++) put(rule[n])
    for (i = 1; i <= NR; i++) {
        print ".uleb128 0x" addr[i] " - 0x" before[i]
        put(text[i])
    }
    print ".section .note.GNU-stack, \"\", %progbits"
}'
