/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * run.h - `selkie run`: the options, and the steps from them to a running kernel:
 *   gather (gather.c)  program, interpreter, libraries, packages, /etc -> a tree
 *   image (image.c)    tree -> cpio archive, kept in the cache
 *   start              hosted.c executes the kernel as a process; qemu.c starts a machine and
 *                      console.c carries its streams
 */
#ifndef SELKIE_RUN_H
#define SELKIE_RUN_H

#include "net.h"
#include "tree.h"
#include "util.h"

enum backend { BACKEND_HOSTED, BACKEND_X64, BACKEND_AARCH64, BACKEND_COUNT };
extern const char *const backend_names[BACKEND_COUNT];

struct run_options {
    enum backend backend;
    unsigned cpus;
    uint64_t memory;
    const char *memory_text; /* as the user wrote it, for messages */
    struct list packages, files, env, boot;
    const char *root, *cwd, *machine, *accel;
    const char *build; /* the preset to run instead of the backend's usual one */
    const char *sim, *sim_trace, *sim_replay; /* seed, files; NULL: not asked for */
    struct list sim_set;                      /* NAME=VALUE */
    const char *sim_link; /* descriptor of `selkie sim`; NULL: a single machine */
    bool gdb, strace, verbose;
    struct net_options net;
    const char *hosts;   /* lines for /etc/hosts; NULL: none */
    const char *core;    /* where a core file goes if the kernel panics; NULL: nowhere */
    const char *command; /* all of it as a shell would take it, for reports */
    char **argv;         /* the program and its arguments */
    int argc;
};

/* The options of a command line; fails the command if something is wrong with them. */
void run_parse(int argc, char **argv, struct run_options *options);
/* `selkie run`: does not return. */
_Noreturn void run_main(struct run_options *options);

/* Fails the command if an image of this size cannot run in the memory that the options give. */
void run_check_memory(const struct run_options *options, uint64_t image_bytes);

struct image {
    char *path;    /* the archive */
    uint64_t size; /* its length */
    char *program; /* the guest path that the kernel shall execute */
};

/* The image for these options, from the cache or made now. Fails the command with a clear line. */
struct image image_get(const struct run_options *options);
/* Fill in what was not given; make the image. */
struct image run_prepare(struct run_options *options);
/* Write the tree as a cpio (newc) archive to path. */
void image_write(struct tree *tree, const char *path);

/* Fill tree with everything the program needs. Returns the program's guest path. Host files that
 * the result depends on are added to `inputs`. */
char *gather(const struct run_options *options, struct tree *tree, struct list *inputs);

/* The architecture's Debian name: amd64, arm64. */
const char *backend_debian_arch(enum backend backend);

/* A directory tree holding the packages and all that they depend on, from the cache or fetched now.
 */
const char *packages_tree(const struct list *packages, const char *arch);
/* The same for `package` and, of what it depends on, only packages whose names begin with prefix.
 */
const char *packages_one(const char *package, const char *prefix, const char *arch);
/* Does guest path (of a package's tree) belong into an image at all? Documentation does not. */
bool package_keep(const char *guest_path);

/* The installed Debian package that owns this path (links are not followed); NULL if none does. */
char *dpkg_owner(const char *path);
/* The package and its source's other packages that are installed. False if there is none. */
bool dpkg_family(const char *package, struct list *names);
/* Add the data (no programs, no libraries that are found by name) of the package, its source's
 * other packages and their dependencies, as installed on the host. False if there is none. */
bool dpkg_add_data(struct tree *tree, const char *package);

/* The preset to build and run, and its kernel, built now if it is missing or older than a source.
 */
char *build_preset(const struct run_options *options);
char *build_kernel(const struct run_options *options);
/* Make sure that a preset is built; `what` a file in its directory. Returns the path of it. */
char *build_need(const char *preset, const char *what);
/* The same of this one file: the rest of the preset is left alone. */
char *build_one(const char *preset, const char *what);
/* Have the packages of a group of tools/packages.txt installed. */
void build_packages(const char *group);

/* The guest's PATH if --env sets no other. */
#define GUEST_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
/* The value of a variable that --env sets; NULL. */
const char *env_value(const struct run_options *options, const char *name);

/* The boot command line. `machine_words` stand before the program's. */
char *cmdline_make(const struct run_options *options, const char *machine_words,
                   const char *program);

_Noreturn void hosted_start(struct run_options *options, const struct image *image);
_Noreturn void qemu_start(struct run_options *options, const struct image *image);

/* Carry the streams of a framed console on `line`, and `port` if that is not -1, until the machine
 * ends. Returns the exit status that the kernel announced, 128 + signal if the user gave up, -1 if
 * the line closed without one. What QEMU writes to `errors` is gathered in `complaint`, what a
 * panicking kernel sends of a core file in `core`. */
int console_carry(int line, int port, int errors, struct bytes *complaint, struct bytes *core);
/* --core: QEMU's words for a machine whose RAM is a memory file of ours, *ram. */
void core_machine_words(const struct run_options *options, struct list *words, int *ram);
/* What the kernel has sent, if anything, and the RAM become the core file. */
void core_write(const struct run_options *options, const struct bytes *head, int ram);
/* `stdio=...` and `winsize=...` for the kernel's command line. */
char *console_words(void);

#endif
