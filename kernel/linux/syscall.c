/* SPDX-License-Identifier: BSD-3-Clause */
/* syscall.c - the tables made of syscalls.def. */
#include "linux/syscall.h"

#include "lib/string.h"

/* All names, each with its arguments behind it: pointers to them would take more than they do. */
#define TEXT(name, args) name "\0" args
#define DONE(name_, args_, note_) char text_##name_[sizeof TEXT(#name_, args_)];
#define IGNORED(name_, args_, result_, note_) char text_##name_[sizeof TEXT(#name_, args_)];
#define ABSENT(name_, args_, note_) char text_##name_[sizeof TEXT(#name_, args_)];
static const struct texts {
    char text_none[sizeof TEXT("?", "")];
#include "linux/syscalls.def"
#undef DONE
#undef IGNORED
#undef ABSENT
#define DONE(name_, args_, note_) TEXT(#name_, args_),
#define IGNORED(name_, args_, result_, note_) TEXT(#name_, args_),
#define ABSENT(name_, args_, note_) TEXT(#name_, args_),
} texts = {
    TEXT("?", ""),
#include "linux/syscalls.def"
};
#undef DONE
#undef IGNORED
#undef ABSENT
STATIC_ASSERT(sizeof texts <= UINT16_MAX);

#define DONE(name_, args_, note_) \
    [SC_##name_] = {sys_##name_, offsetof(struct texts, text_##name_), 0, SYSCALL_DONE},
#define IGNORED(name_, args_, result_, note_) \
    [SC_##name_] = {NULL, offsetof(struct texts, text_##name_), result_, SYSCALL_IGNORED},
#define ABSENT(name_, args_, note_) \
    [SC_##name_] = {NULL, offsetof(struct texts, text_##name_), 0, SYSCALL_ABSENT},
const struct syscall_info syscall_infos[SC_COUNT] = {
    [SC_none] = {.status = SYSCALL_ABSENT},
#include "linux/syscalls.def"
};
#undef DONE
#undef IGNORED
#undef ABSENT

const char *syscall_name(const struct syscall_info *info)
{
    return (const char *)&texts + info->text;
}

const char *syscall_arg_types(const struct syscall_info *info)
{
    const char *name = syscall_name(info);

    return name + strlen(name) + 1;
}
