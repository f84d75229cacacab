/* SPDX-License-Identifier: BSD-3-Clause */
/* xattr.h - extended attributes of inodes (xattr(7)): names with values of any bytes. */
#ifndef SELKIE_FS_XATTR_H
#define SELKIE_FS_XATTR_H

#include "fs/vfs.h"

#define XATTR_NAME_MAX 255
#define XATTR_VALUE_MAX 65536u /* of a value, and of the list of names */
#define XATTR_CREATE 1u
#define XATTR_REPLACE 2u

/* All check permission for cred. Namespaces user, trusted and security; others are -EOPNOTSUPP. */
/* Length of the value; -ENODATA, -ERANGE if size is too small. size 0: only the length. */
long must_check xattr_get(const struct fs_cred *cred, struct inode *inode, const char *name,
                          void *value, size_t size);
int must_check xattr_set(const struct fs_cred *cred, struct inode *inode, const char *name,
                         const void *value, size_t size, unsigned flags);
int must_check xattr_remove(const struct fs_cred *cred, struct inode *inode, const char *name);
/* Names, each with its NUL; length, -ERANGE as above. */
long must_check xattr_list(const struct fs_cred *cred, struct inode *inode, char *list,
                           size_t size);
/* inode_put: nobody else has the inode. */
void xattr_free_all(struct inode *inode);

#endif
