/* SPDX-License-Identifier: BSD-3-Clause */
/* gather.h - what gather.c (the program) and closure.c (its libraries) share. */
#ifndef SELKIE_GATHER_H
#define SELKIE_GATHER_H

#include "run.h"

struct object;

struct gather {
    const struct run_options *options;
    struct tree *tree;
    struct list *inputs;
    const char *packages; /* the folder of --package's trees; NULL: none */
    bool host_ok;         /* the host's files are of the backend's architecture */

    /* closure.c */
    struct list done;                    /* guest paths of ELF files whose needs have been met */
    struct list names;                   /* DT_NEEDED names that the program's own closure has */
    struct list default_dirs, conf_dirs; /* where the interpreter looks */
    const struct object *program;
    bool musl;      /* the program's interpreter is musl's */
    bool unwinder;  /* something may load libgcc_s.so.1 */
    bool iconv;     /* something may load modules that convert character sets */
    bool odd_place; /* a library was found only through ld.so.conf */
};

unsigned backend_machine(enum backend backend);

/* The node a guest path leads to; a host file is brought in if the layers do not have it. */
const struct node *gather_find(struct gather *g, const char *path);

/* This is the program's interpreter: its kind decides where libraries are looked for. */
void closure_start(struct gather *g, const struct node *interpreter);
/* Bring in all that the program needs; fails the command if something is not there. */
void closure_program(struct gather *g, const struct node *program);
/* The same for an object that the program may load: what is not there is passed over. */
void closure_plugin(struct gather *g, const struct node *plugin);
/* What is loaded without being named. */
void closure_end(struct gather *g);

#endif
