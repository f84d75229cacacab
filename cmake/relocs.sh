#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# relocs.sh READELF IMAGE - write, as assembly for section .relocs_data, where an IMAGE linked with
# --emit-relocs holds addresses of itself, so that it can be moved (platform/*/kaslr.c).
#
# Three lists: 64-bit words below *_data_begin and 32-bit words there, both from *_image_begin; and 64-bit words from
# *_data_begin on, from there. (The lists lie in between, and are not there yet when IMAGE is linked for the first time.)
# A list has the distance of each word from the one before as ULEB128, the first one's from the byte before the
# beginning, and ends with 0.
#
# Distances need nothing, nor does a page's or an address's place in its page: the image moves by pages.
# R_X86_64_32 is boot.S's way to write a physical address: no other fits into it.
set -eu
readelf=$1 image=$2

lists=$({ "$readelf" -sW "$image"; "$readelf" -rW "$image"; } | awk '
# All addresses of the image have the same upper half.
function low(hex,    i, value) {
    for (i = 9; i <= 16; i++) value = value * 16 + index("0123456789abcdef", substr(hex, i, 1)) - 1
    return value
}
function die(what) { print "relocs.sh: " what > "/dev/stderr"; failed = 1; exit 1 }
$8 ~ /^(x64|aarch64)_image_begin$/ { begin = $2 }
$8 ~ /^(x64|aarch64)_data_begin$/ { data = $2 }
/^Relocation section/ { skip = $3 ~ /debug|\.note/ }
skip || $3 !~ /^R_(X86_64|AARCH64)_/ { next }
$3 ~ /^R_X86_64_(PC32|PLT32|32)$/ { next }
$3 ~ /^R_AARCH64_(ADR_PREL_|ADD_ABS_LO12_NC$|LDST[0-9]+_ABS_LO12_NC$|CALL26$|JUMP26$|CONDBR19$|TSTBR14$|LD_PREL_LO19$|PREL)/ { next }
substr($4, 1, 8) == "00000000" { next } # a number, like a size
{
    if ($4 < begin) die($0 ": not an address of the image")
    if ($3 ~ /^R_(X86_64_64|AARCH64_ABS64)$/) list = $1 < data ? 1 : 3
    else if ($3 == "R_X86_64_32S" && $1 < data) list = 2
    else die($0 ": not known")
    print list, low($1) - low(list < 3 ? begin : data)
}
END {
    if (failed) exit 1
    if (begin == "" || data == "") die("no symbols")
}')
printf '%s\n' "$lists" | sort -k 1n -k 2n | awk '
BEGIN { print ".section .relocs_data, \"a\""; list = 1; before = -1 }
NF == 2 {
    for (; list < $1; list++) { print ".byte 0"; before = -1 }
    print ".uleb128 " $2 - before
    before = $2
}
END {
    for (; list <= 3; list++) print ".byte 0"
    print ".section .note.GNU-stack, \"\", %progbits"
}'
