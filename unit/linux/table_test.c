/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: */
/* table_test.c - syscalls.def against the number tables of both architectures: every number names a
 * line, every line has a number somewhere, argument types are known, what is absent says why. */
#include <cmocka.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum id {
    SC_none,
#define DONE(name, args, note) SC_##name,
#define IGNORED(name, args, result, note) SC_##name,
#define ABSENT(name, args, note) SC_##name,
#include "linux/syscalls.def"
#undef DONE
#undef IGNORED
#undef ABSENT
    SC_COUNT,
};
static const struct line {
    const char *name, *args, *note;
    bool absent;
} lines[SC_COUNT] = {
#define DONE(name, args, note) [SC_##name] = {#name, args, note, false},
#define IGNORED(name, args, result, note) [SC_##name] = {#name, args, note, false},
#define ABSENT(name, args, note) [SC_##name] = {#name, args, note, true},
#include "linux/syscalls.def"
#undef DONE
#undef IGNORED
#undef ABSENT
};

/* That these compile is half of the test: an unknown name is an error. */
#define NR(number, name) [number] = SC_##name,
static const unsigned short x64[] = {
#include "x64/isa/sysnr.def"
};
static const unsigned short aarch64[] = {
#include "aarch64/isa/sysnr.def"
};
#undef NR
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void test_numbers(void **state)
{
    (void)state;
    static bool seen[SC_COUNT];
    /* All numbers up to 334 are taken on x86-64; a gap up to 424 follows by design. */
    for (size_t nr = 0; nr <= 334; nr++)
        if (!x64[nr])
            fail_msg("x86-64 number %zu has no name", nr);
    for (size_t nr = 424; nr < COUNT(x64); nr++)
        if (!x64[nr])
            fail_msg("x86-64 number %zu has no name", nr);
    for (size_t nr = 424; nr < COUNT(aarch64); nr++)
        if (!aarch64[nr])
            fail_msg("arm64 number %zu has no name", nr);
    for (size_t nr = 0; nr < COUNT(x64); nr++)
        seen[x64[nr]] = true;
    for (size_t nr = 0; nr < COUNT(aarch64); nr++)
        seen[aarch64[nr]] = true;
    for (unsigned id = 1; id < SC_COUNT; id++)
        if (!seen[id])
            fail_msg("%s has no number on any architecture", lines[id].name);
}

static void test_order(void **state)
{
    (void)state;
    for (unsigned id = 2; id < SC_COUNT; id++)
        if (strcmp(lines[id - 1].name, lines[id].name) >= 0)
            fail_msg("%s stands after %s", lines[id].name, lines[id - 1].name);
}

static bool known_type(const char *word, size_t len)
{
    static const char *const types[] = {
        "int",        "uint",      "long",        "ulong",        "hex",        "size",
        "off",        "fd",        "path",        "str",          "ptr",        "mode",
        "access",     "oflags",    "fdflags",     "prot",         "mapflags",   "atflags",
        "flags",      "sig",       "sighow",      "sigset",       "sigaction",  "clockid",
        "timespec",   "pid",       "uid",         "whence",       "fcntl",      "ioctl",
        "futexop",    "advice",    "cloneflags",  "flockop",      "prctl",      "archprctl",
        "limit",      "rlimit",    "stat",        "fdpair",       "argv",       "epollop",
        "inmask",     "epoll_in",  "epoll_out",   "buf_in",       "buf_out",    "iov_in",
        "iov_out",    "pollfds",   "sockname_in", "sockname_out", "sockfamily", "socktype",
        "sockflags",  "sockproto", "socklevel",   "sockopt",      "msgflags",   "msghdr_in",
        "msghdr_out", "shuthow"};
    if (len > 2 && word[len - 2] == ':') {
        if (word[len - 1] < '0' || word[len - 1] > '5')
            return false;
        len -= 2;
    }
    for (size_t i = 0; i < COUNT(types); i++)
        if (strlen(types[i]) == len && memcmp(types[i], word, len) == 0)
            return true;
    return false;
}

static void test_columns(void **state)
{
    (void)state;
    for (unsigned id = 1; id < SC_COUNT; id++) {
        const struct line *l = &lines[id];
        unsigned count = 0;
        for (const char *p = l->args; *p; count++) {
            size_t len = strcspn(p, ",");
            if (!known_type(p, len))
                fail_msg("%s: unknown argument type in '%s'", l->name, l->args);
            p += len + (p[len] == ',');
        }
        if (count > 6)
            fail_msg("%s has more than six arguments", l->name);
        if (l->absent && !l->note[0])
            fail_msg("%s is absent without a reason", l->name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_columns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
