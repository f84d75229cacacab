/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: kernel/core/cmdline.c kernel/lib/strutil.c */
/* length: 192 */
/* runs: 20000 */
/* compares: not traced; the dictionary has the words */
/* covers: kernel/core/cmdline.c */
/* lines: 95 */
/*
 * cmdline_fuzz.c - the boot command line, in a block of just the size that cmdline_size says.
 * All strings must end inside the block; the options that cmdline_option finds must be those that
 * cmdline_parse found; and what was parsed, written again word by word, must parse to the same.
 */
#include <string.h>

#include "core/cmdline.h"
#include "fuzz.h"
#include "lib/errno.h"
#include "lib/string.h"

struct parsed {
    struct cmdline line;
    char *memory;
    size_t size;
    int err;
};

static struct parsed parse(const char *text)
{
    struct parsed p = {.size = cmdline_size(text)};

    p.memory = malloc(p.size);
    FUZZ_CHECK(p.memory);
    p.err = cmdline_parse(text, p.memory, &p.line);
    FUZZ_CHECK(p.err == 0 || p.err == -EINVAL);
    return p;
}

static void check_array(const struct parsed *p, char **array, size_t count)
{
    FUZZ_CHECK(array[count] == NULL);
    for (size_t i = 0; i < count; i++) {
        FUZZ_CHECK(array[i] >= p->memory && array[i] < p->memory + p->size);
        FUZZ_CHECK(strlen(array[i]) < p->size);
    }
}

static char *put(char *out, const char *text)
{
    size_t len = strlen(text);

    memcpy(out, text, len);
    return out + len;
}

/* A word of the line that means these bytes: what would mean something else, and some of the others
 * as %XX. Without sprintf, which would be most of what a run takes. */
static char *quote(char *out, const char *prefix, const char *word)
{
    static const char digits[] = "0123456789abcdef";

    out = put(out, prefix);
    for (; *word; word++) {
        uint8_t c = (uint8_t)*word;

        if (c > ' ' && c != '"' && c != '%' && c % 4) {
            *out++ = *word;
        } else {
            *out++ = '%';
            *out++ = digits[c >> 4];
            *out++ = digits[c & 15];
        }
    }
    return put(out, "\"\" ");
}

/* Arguments and environment go through a second pass unchanged. */
static void check_again(const struct parsed *p, size_t text_len)
{
    char *again = malloc(3 * text_len + 16 * (p->line.argc + p->line.envc) + 64), *end = again;

    FUZZ_CHECK(again);
    for (size_t i = 0; i < p->line.envc; i++)
        end = quote(end, "env=", p->line.envp[i]);
    end = put(end, "-- ");
    for (size_t i = 0; i < p->line.argc; i++)
        end = quote(end, "", p->line.argv[i]);
    *end = 0;
    struct parsed q = parse(again);
    FUZZ_CHECK(q.err == 0 && q.line.argc == p->line.argc && q.line.envc == p->line.envc);
    for (size_t i = 0; i < q.line.argc; i++)
        FUZZ_CHECK(strcmp(q.line.argv[i], p->line.argv[i]) == 0);
    for (size_t i = 0; i < q.line.envc; i++)
        FUZZ_CHECK(strcmp(q.line.envp[i], p->line.envp[i]) == 0);
    free(q.memory);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const keys[] = {"loglevel", "env", ""};
    char *text = malloc(size + 1);

    FUZZ_CHECK(text);
    memcpy(text, data, size);
    text[size] = 0;
    for (size_t i = 0; i < ARRAY_COUNT(keys); i++) {
        char value[8] = "1234567";
        bool found = cmdline_option(text, keys[i], value, sizeof(value) - 1);

        FUZZ_CHECK(value[7] == 0 && (found || strcmp(value, "1234567") == 0));
        FUZZ_CHECK(!found || memchr(value, 0, 7));
    }
    struct parsed p = parse(text);
    if (p.err == 0) {
        check_array(&p, p.line.argv, p.line.argc);
        check_array(&p, p.line.envp, p.line.envc);
        FUZZ_CHECK(p.line.cwd && (p.line.program || p.line.argc == 0));
        FUZZ_CHECK(p.line.loglevel <= 3);
        check_again(&p, strlen(text));
    }
    free(p.memory);
    free(text);
    return 0;
}
