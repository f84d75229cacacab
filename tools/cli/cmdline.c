/* SPDX-License-Identifier: BSD-3-Clause */
/* cmdline.c - the kernel's boot command line; grammar in docs/boot.md. */
#include <stdlib.h>
#include <string.h>

#include "run.h"

#define COMMAND_MAX 1000 /* so that the kernel's command line does not get too long by it */

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

const char *env_value(const struct run_options *options, const char *name)
{
    size_t len = strlen(name);

    for (size_t i = options->env.count; i-- > 0;)
        if (strncmp(options->env.items[i], name, len) == 0 && options->env.items[i][len] == '=')
            return options->env.items[i] + len + 1;
    return NULL;
}

/* argv[0] as a shell would give it: what the user typed - if it leads to the program in the guest
 * too, because programs look for themselves by it. */
static const char *name_typed(const struct run_options *options, const char *program)
{
    const char *typed = options->argv[0];
    const char *path = env_value(options, "PATH");
    struct list dirs = {0};
    char *dir = path_dir(program);

    if (strchr(typed, '/'))
        return strcmp(path_clean(options->cwd ? options->cwd : "/", typed), program) == 0 ? typed
                                                                                          : program;
    list_split(&dirs, path ? path : GUEST_PATH, ":");
    return text_ends(program, text("/%s", typed)) && list_has(&dirs, dir) ? typed : program;
}

char *cmdline_make(const struct run_options *options, const char *machine_words,
                   const char *program)
{
    static const char *const defaults[][2] = {
        {"PATH", GUEST_PATH},
        {"HOME", "/root"},
    };
    const char *name = name_typed(options, program);
    struct bytes out = {0};

    bytes_print(&out, "%s", machine_words);
    for (size_t i = 0; i < options->boot.count; i++)
        bytes_print(&out, "%s%s", out.len ? " " : "", options->boot.items[i]);
    /* Hosted has a better place for it: there it must not change the kernel's memory. */
    if (options->backend != BACKEND_HOSTED && strlen(options->command) <= COMMAND_MAX)
        add_word(&out, "command=", options->command);
    if (options->verbose)
        add_word(&out, "loglevel=", "3");
    if (options->strace)
        add_word(&out, "strace=", "1");
    if (options->cwd)
        add_word(&out, "cwd=", options->cwd);
    for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++)
        if (!env_value(options, defaults[i][0]))
            add_word(&out, "env=", text("%s=%s", defaults[i][0], defaults[i][1]));
    if (!env_value(options, "TERM") && getenv("TERM"))
        add_word(&out, "env=", text("TERM=%s", getenv("TERM")));
    for (size_t i = 0; i < options->env.count; i++)
        add_word(&out, "env=", options->env.items[i]);
    if (strcmp(name, program) != 0)
        add_word(&out, "program=", program);
    bytes_print(&out, "%s--", out.len ? " " : "");
    add_word(&out, "", name);
    for (int i = 1; i < options->argc; i++)
        add_word(&out, "", options->argv[i]);
    return out.data;
}
