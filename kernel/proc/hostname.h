/* SPDX-License-Identifier: BSD-3-Clause */
/* hostname.h - the two names that uname(2) reports and programs may set. */
#ifndef SELKIE_PROC_HOSTNAME_H
#define SELKIE_PROC_HOSTNAME_H

enum hostname_kind { HOSTNAME_NODE, HOSTNAME_DOMAIN };
#define HOSTNAME_SIZE 65 /* with the NUL */
/* out: HOSTNAME_SIZE bytes. */
void hostname_get(enum hostname_kind kind, char *out);
void hostname_set(enum hostname_kind kind, const char *name);

#endif
