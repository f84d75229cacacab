/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * image.h - from a path to files and plans: scripts resolved, interpreter found, nothing changed
 * yet.
 */
#ifndef SELKIE_PROC_IMAGE_H
#define SELKIE_PROC_IMAGE_H

#include "fs/context.h"
#include "proc/elf.h"

#define IMAGE_SCRIPT_DEPTH 5 /* interpreters that are scripts themselves: as Linux */
#define IMAGE_OWN_MAX (3 * (IMAGE_SCRIPT_DEPTH + 1))

struct exec_image {
    struct file *file, *interp; /* references; interp NULL: none */
    struct elf_plan *plan, *interp_plan;
    char **argv; /* NULL-terminated; changed by #! */
    char *interp_path;
    /* Strings that argv refers to and the image owns. */
    char *own[IMAGE_OWN_MAX];
    unsigned own_count;
    char *why; /* one line on failure */
    size_t why_size;
};

/* `given`: an open file to execute instead of path, or NULL. image->why, why_size are set by the
 * caller; image_close in any case. */
int must_check image_open(struct exec_image *image, struct fs_context *fs, const char *path,
                          struct file *given, char *const *argv);
void image_close(struct exec_image *image);

#endif
