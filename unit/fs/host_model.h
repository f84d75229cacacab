/* SPDX-License-Identifier: BSD-3-Clause */
/* host_model.h - the host's own tmpfs as the model of ours: the same operations, results as 0 or
 * -errno. */
#ifndef SELKIE_UNIT_HOST_MODEL_H
#define SELKIE_UNIT_HOST_MODEL_H

/* Make an empty directory and go there; 0 if the host has none that fits. */
int host_begin(void);
void host_end(void); /* remove it */
/* Remove all that is here, and in so many folders above it all but "w"; 0, or -errno. */
int host_clean(unsigned above);
int host_mkdir(const char *path, unsigned mode);
int host_rmdir(const char *path);
int host_unlink(const char *path);
int host_rename(const char *from, const char *to, unsigned flags);
int host_link(const char *from, const char *to);
int host_symlink(const char *target, const char *path);
int host_open(const char *path, int flags, unsigned mode); /* closes at once */
int host_truncate(const char *path, long size);
/* "type nlink size" of path without following links, or "-errno". */
void host_stat(const char *path, char *out, unsigned long size);
void host_readlink(const char *path, char *out, unsigned long size);

#endif
