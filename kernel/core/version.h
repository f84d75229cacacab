/* SPDX-License-Identifier: BSD-3-Clause */
/* version.h - what uname(2) and /proc say: the Linux version whose ABI the kernel implements. */
#ifndef SELKIE_CORE_VERSION_H
#define SELKIE_CORE_VERSION_H

#define SELKIE_OSTYPE "Linux"
#define SELKIE_OSRELEASE "6.1.0-selkie"
#define SELKIE_OSVERSION "#1 SMP PREEMPT Selkie"
#define SELKIE_HOSTNAME "selkie" /* until sethostname */

#endif
