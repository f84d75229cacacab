/* SPDX-License-Identifier: BSD-3-Clause */
/* cmdline.c - the kernel's boot command line; grammar in docs/boot.md. */
#include <stdlib.h>
#include <string.h>

#include "run.h"

static void add_word(struct bytes *out, const char *key, const char *value)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                "_./:=,+@!-";

    bytes_print(out, "%s%s", out->len ? " " : "", key);
    if (!*key && !*value)
        bytes_add(out, "\"\"", 2);
    for (const unsigned char *p = (const unsigned char *)value; *p; p++) {
        /* "--" alone would be the separator. */
        if (strchr(plain, *p) && !(!*key && strcmp(value, "--") == 0))
            bytes_add(out, p, 1);
        else
            bytes_print(out, "%%%02X", *p);
    }
}

static bool env_given(const struct run_options *options, const char *name)
{
    for (size_t i = 0; i < options->env.count; i++)
        if (text_starts(options->env.items[i], name) && options->env.items[i][strlen(name)] == '=')
            return true;
    return false;
}

char *cmdline_make(const struct run_options *options, const char *machine_words,
                   const char *program)
{
    static const char *const defaults[][2] = {
        {"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
        {"HOME", "/root"},
    };
    struct bytes out = {0};

    bytes_print(&out, "%s", machine_words);
    for (size_t i = 0; i < options->boot.count; i++)
        bytes_print(&out, "%s%s", out.len ? " " : "", options->boot.items[i]);
    if (options->verbose)
        add_word(&out, "loglevel=", "3");
    if (options->strace)
        add_word(&out, "strace=", "1");
    if (options->cwd)
        add_word(&out, "cwd=", options->cwd);
    for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++)
        if (!env_given(options, defaults[i][0]))
            add_word(&out, "env=", text("%s=%s", defaults[i][0], defaults[i][1]));
    if (!env_given(options, "TERM") && getenv("TERM"))
        add_word(&out, "env=", text("TERM=%s", getenv("TERM")));
    for (size_t i = 0; i < options->env.count; i++)
        add_word(&out, "env=", options->env.items[i]);
    bytes_print(&out, "%s--", out.len ? " " : "");
    add_word(&out, "", program);
    for (int i = 1; i < options->argc; i++)
        add_word(&out, "", options->argv[i]);
    return out.data;
}
