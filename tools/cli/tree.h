/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tree.h - the files of an image, by guest path, before they are written as a cpio archive.
 *
 * A tree holds directories, files (their bytes stay where they are on the host until the archive is
 * written), short texts made up by the tool, and symbolic links. Parents come into being by
 * themselves. What was added last under a path wins, except that a directory stays a directory.
 */
#ifndef SELKIE_TREE_H
#define SELKIE_TREE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "util.h"

enum node_kind { NODE_DIR, NODE_FILE, NODE_TEXT, NODE_LINK };

struct node {
    char *path; /* in the guest: absolute, no "." or "..", no slash at the end; "/" is the root */
    enum node_kind kind;
    char *source; /* FILE: host path; TEXT: the bytes; LINK: the target */
    size_t len;   /* FILE, TEXT */
    mode_t mode;
    int64_t mtime;
    bool derived; /* DIR: mtime is that of the latest file below */
};

struct tree {
    void *nodes; /* tsearch */
    size_t count;
    uint64_t file_bytes; /* sum of the lengths of files */
};

void tree_dir(struct tree *tree, const char *path);
/* With the mode and time of st. */
void tree_dir_like(struct tree *tree, const char *path, const struct stat *st);
void tree_text(struct tree *tree, const char *path, const char *content, mode_t mode);
void tree_link(struct tree *tree, const char *path, const char *target);
/* The host file (links followed) as guest file `path`. */
void tree_file(struct tree *tree, const char *path, const char *host);

/*
 * Add guest path `path` as it is below the host directory `root` ("" is the host's own root): a
 * file, a link, or an empty directory; links among the parents and the final link are added as
 * links together with what they lead to. Returns the guest path of what they lead to, or NULL if it
 * is not there.
 */
char *tree_copy(struct tree *tree, const char *root, const char *path);
/* The same for all that is below path; `keep` says what to take (NULL: everything). */
void tree_copy_all(struct tree *tree, const char *root, const char *path,
                   bool (*keep)(const char *guest_path));

const struct node *tree_find(struct tree *tree, const char *path);
/* The node that path leads to, links followed; NULL if there is none. */
const struct node *tree_resolve(struct tree *tree, const char *path);

void tree_each(struct tree *tree, void (*visit)(const struct node *node, void *arg), void *arg);

/* path made absolute (against base) with "." and ".." folded. */
char *path_clean(const char *base, const char *path);
char *path_dir(const char *path); /* all but the last part */

#endif
