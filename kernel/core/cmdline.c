/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cmdline.c - parsing the boot command line.
 *
 * One scanner takes a word at a time from the text and decodes quotes and %XX on the way; the three
 * public functions are loops around it. Decoding never makes a word longer, so the length of the
 * text bounds all memory.
 */
#include "core/cmdline.h"

#include "lib/errno.h"
#include "lib/string.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/*
 * Scan one word: *text is advanced past it, at most size-1 decoded bytes and a NUL go to buf (which
 * may be NULL). Returns 1 for a word, 0 at the end of the text, -EINVAL for a bad one. *plain: the
 * word was written without quotes or %, so it may be the separator.
 */
static int word_scan(const char **text, char *buf, size_t size, bool *plain)
{
    const char *s = *text;
    size_t n = 0;
    bool quoted = false;
    *plain = true;
    while (is_blank(*s))
        s++;
    if (!*s) {
        *text = s;
        return 0;
    }
    for (; *s && (quoted || !is_blank(*s)); s++) {
        char c = *s;
        if (c == '"') {
            quoted = !quoted;
            *plain = false;
            continue;
        }
        if (c == '%' && hex_value(s[1]) >= 0 && hex_value(s[2]) >= 0) {
            c = (char)(hex_value(s[1]) << 4 | hex_value(s[2]));
            s += 2;
            *plain = false;
            if (!c)
                return -EINVAL;
        }
        if (buf && n + 1 < size)
            buf[n++] = c;
    }
    if (buf && size)
        buf[n] = 0;
    *text = s;
    return quoted ? -EINVAL : 1;
}

static bool is_separator(const char *word, bool plain)
{
    return plain && strcmp(word, "--") == 0;
}

/* The value if word is "key=value" or "key" (then ""), else NULL. */
static const char *option_value(const char *word, const char *key)
{
    size_t len = strlen(key);
    if (!str_starts(word, key))
        return NULL;
    if (word[len] == '=')
        return word + len + 1;
    return word[len] == 0 ? word + len : NULL;
}

bool cmdline_option(const char *text, const char *key, char *buf, size_t size)
{
    return cmdline_option_nth(text, key, 0, buf, size);
}

bool cmdline_option_nth(const char *text, const char *key, unsigned nth, char *buf, size_t size)
{
    char word[128]; /* long options are not for early use */
    bool plain;
    while (word_scan(&text, word, sizeof word, &plain) > 0 && !is_separator(word, plain)) {
        const char *value = option_value(word, key);
        if (value && nth-- == 0) {
            strlcpy(buf, value, size);
            return true;
        }
    }
    return false;
}

/* Words in the text, bad ones included: an upper bound for both arrays. */
static size_t word_count(const char *text)
{
    size_t count = 0;
    bool plain;
    while (word_scan(&text, NULL, 0, &plain) > 0)
        count++;
    return count;
}

size_t cmdline_size(const char *text)
{
    /* Two arrays with their NULLs, and the decoded words with a NUL each, which the blank or the
     * end of the text behind every word pays for. */
    return 2 * (word_count(text) + 1) * sizeof(char *) + strlen(text) + 1;
}

static int parse_number(const char *value, uint64_t max, uint64_t *out)
{
    int err = str_to_u64(value, NULL, out);
    return err == 0 && *out > max ? -EINVAL : err;
}

static int parse_option(struct cmdline *out, char *word)
{
    const char *value;
    uint64_t number;
    int err = 0;
    if ((value = option_value(word, "loglevel"))) {
        err = parse_number(value, 3, &out->loglevel);
    } else if ((value = option_value(word, "strace"))) {
        err = *value ? parse_number(value, 1, &number) : 0;
        out->strace = err == 0 && (!*value || number);
    } else if ((value = option_value(word, "cwd"))) {
        out->cwd = value;
    } else if ((value = option_value(word, "program"))) {
        out->program = value;
    } else if (str_starts(word, "env=")) {
        out->envp[out->envc++] = word + strlen("env=");
    } /* others are the HAL's or a device's */
    return err;
}

int cmdline_parse(const char *text, void *memory, struct cmdline *out)
{
    size_t slots = word_count(text) + 1;
    char *store = (char *)memory + 2 * slots * sizeof(char *);
    size_t room = strlen(text) + 1;
    *out = (struct cmdline){.cwd = "/", .argv = memory, .envp = (char **)memory + slots};

    bool program = false; /* behind the separator */
    bool plain;
    int got;
    while ((got = word_scan(&text, store, room, &plain)) > 0) {
        if (!program && is_separator(store, plain)) {
            program = true;
            continue;
        }
        size_t used = strlen(store) + 1;
        if (program) {
            out->argv[out->argc++] = store;
        } else {
            int err = parse_option(out, store);
            if (err)
                return err == -ERANGE ? -EINVAL : err;
        }
        store += used;
        room -= used;
    }
    out->argv[out->argc] = NULL;
    if (!out->program)
        out->program = out->argv[0];
    out->envp[out->envc] = NULL;
    return got;
}
