/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * image.c - the parse and plan phases of execve: open the file, follow #! lines, read the ELF head,
 * open the ELF interpreter. No effect outside struct exec_image.
 *
 * Error numbers are Linux's: a script's or program's missing interpreter is -ENOENT, an ELF
 * interpreter that is no good is -ELIBBAD, too many scripts in a row -ELOOP.
 */
#include "proc/image.h"

#include "fs/fcntl.h"
#include "fs/stat.h"
#include "fs/vfs.h"
#include "isa/abi.h"
#include "lib/errno.h"
#include "lib/format.h"
#include "lib/string.h"
#include "mm/kmalloc.h"
#include "mm/mman.h"

#define SCRIPT_LINE_MAX 256 /* BINPRM_BUF_SIZE */
#define HEAD_FIRST 4096     /* enough for the program headers of nearly every file */

/* The reason in one line: before, name, after. */
static int fail(struct exec_image *image, int err, const char *before, const char *name,
                const char *after)
{
    if (image->why_size)
        snprintf(image->why, image->why_size, "%s%s%s", before, name, after);
    return err;
}

static const char *phrase_of(int err)
{
    switch (err) {
    case -ENOENT:
        return " does not exist";
    case -ENOTDIR:
        return ": a part of the path is not a directory";
    case -EACCES:
        return " is not an executable file, or may not be executed";
    case -ELOOP:
        return ": too many symbolic links";
    case -ENOMEM:
        return ": there is not enough memory";
    case -EISDIR:
        return " is a directory";
    default:
        return " cannot be read";
    }
}

/* ---- files ---- */

/* As vfs_open_exec does, for a file that is open already. */
static int check_executable(struct file *file)
{
    if (!file->inode || !inode_is(file->inode, S_IFREG) || !(inode_mode(file->inode) & 0111))
        return -EACCES;
    return inode_permission(proc_cred(), file->inode, MAY_EXEC);
}

static int open_executable(struct exec_image *image, struct fs_context *fs, const char *path,
                           struct file **out)
{
    int err = vfs_open_exec(fs, NULL, path, out);
    if (!err) {
        err = check_executable(*out); /* through a magic link it was open */
        if (err) {
            file_put(*out);
            *out = NULL;
        }
    }
    return err ? fail(image, err, "", path, phrase_of(err)) : 0;
}

/* The first bytes of the file: as many as the ELF headers take. *len may be less than asked for. */
static int read_head(struct file *file, uint8_t **head, size_t *len)
{
    size_t size = HEAD_FIRST;
    uint8_t *buf = kmalloc(size, ALLOC_DEFAULT);
    if (!buf)
        return -ENOMEM;
    long n = file_pread(file, buf, size, 0);
    size_t need = n < 0 ? 0 : elf_head_need(buf, (size_t)n);
    if (need > size) {
        uint8_t *more = krealloc(buf, need, ALLOC_DEFAULT);
        if (!more) {
            kfree(buf);
            return -ENOMEM;
        }
        buf = more;
        n = file_pread(file, buf, need, 0);
    }
    if (n < 0) {
        kfree(buf);
        return (int)n;
    }
    *head = buf;
    *len = (size_t)n;
    return 0;
}

/* ---- scripts ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Split "#! interpreter [argument]" in place. False: not usable. */
static bool script_parse(char *line, size_t len, char **interp, char **arg)
{
    char *end = memchr(line, '\n', len);
    bool cut = !end && len == SCRIPT_LINE_MAX;
    if (!end)
        end = line + len;
    char *p = line + 2;
    while (p < end && is_blank(*p))
        p++;
    char *name = p;
    while (p < end && !is_blank(*p) && *p)
        p++;
    if (p == name || (p == end && cut))
        return false; /* no interpreter, or its name is not complete */
    char *after = p;
    while (p < end && is_blank(*p))
        p++;
    while (end > p && (is_blank(end[-1]) || !end[-1]))
        end--;
    *end = '\0'; /* line has a byte more than len */
    *arg = p < end ? p : NULL;
    *after = '\0';
    *interp = name;
    return true;
}

static char *own_string(struct exec_image *image, const char *s)
{
    char *copy = kstrdup(s, ALLOC_DEFAULT);
    if (copy) {
        CHECK(image->own_count < IMAGE_OWN_MAX);
        image->own[image->own_count++] = copy;
    }
    return copy;
}

static size_t count_strings(char *const *v)
{
    size_t n = 0;
    while (v[n])
        n++;
    return n;
}

/* argv := interp [arg] script argv[1..] */
static int argv_for_script(struct exec_image *image, const char *interp, const char *arg,
                           const char *script)
{
    size_t old = count_strings(image->argv), n = 0;
    char **v = kmalloc_array(old + 4, sizeof *v, ALLOC_DEFAULT);
    if (!v)
        return -ENOMEM;
    v[n++] = own_string(image, interp);
    if (arg)
        v[n++] = own_string(image, arg);
    v[n++] = own_string(image, script);
    for (size_t i = 0; i < n; i++) {
        if (!v[i]) {
            kfree(v);
            return -ENOMEM;
        }
    }
    for (size_t i = 1; i < old; i++)
        v[n++] = image->argv[i];
    v[n] = NULL;
    kfree(image->argv);
    image->argv = v;
    return 0;
}

/* The open file is a script: *path becomes its interpreter's, which is opened. */
static int script_follow(struct exec_image *image, struct fs_context *fs, const uint8_t *head,
                         size_t len, const char **path)
{
    char line[SCRIPT_LINE_MAX + 1];
    char *interp, *arg;
    len = MIN(len, SCRIPT_LINE_MAX);
    memcpy(line, head, len);
    line[len] = '\0';
    if (!script_parse(line, len, &interp, &arg))
        return fail(image, -ENOEXEC, "the #! line of ", *path, " names no interpreter");
    int err = argv_for_script(image, interp, arg, *path);
    if (err)
        return err;
    file_put(image->file);
    image->file = NULL;
    *path = image->argv[0];
    return open_executable(image, fs, *path, &image->file);
}

/* ---- ELF ---- */

static int plan_file(struct exec_image *image, struct file *file, const uint8_t *head, size_t len,
                     struct elf_plan **out)
{
    const char *why;
    *out = kmalloc(sizeof **out, ALLOC_DEFAULT);
    if (!*out)
        return -ENOMEM;
    int err = elf_validate(head, len, file_size(file), *out, &why);
    return err ? fail(image, err, why, "", "") : 0;
}

/* Code that promises landing pads is mapped so that they are checked: that of the file the kernel
 * starts. A program that has an interpreter is that one's business (Linux, arch_elf_adjust_prot).
 */
static int landing_pads(struct exec_image *image, struct file *file, struct elf_plan *plan)
{
    bool landing = false;
    if (!isa_prot_landing() || plan->property_len == 0)
        return 0;
    uint8_t *note = kmalloc(ELF_PROPERTY_MAX, ALLOC_DEFAULT);
    if (!note)
        return -ENOMEM;
    size_t len = MIN(plan->property_len, (uint64_t)ELF_PROPERTY_MAX);
    long n = file_pread(file, note, len, (off64_t)plan->property_off);
    int err = n < 0 ? (int)n
              : plan->property_len > len || (size_t)n != len
                  ? -ENOEXEC
                  : elf_property_landing(note, len, &landing);
    kfree(note);
    for (unsigned i = 0; landing && !err && i < plan->segment_count; i++)
        if (plan->segment[i].prot & PROT_EXEC)
            plan->segment[i].prot |= isa_prot_landing();
    return err == -ENOEXEC ? fail(image, err, "its ELF properties are malformed", "", "") : err;
}

static int interp_open(struct exec_image *image, struct fs_context *fs)
{
    const struct elf_plan *plan = image->plan;
    uint8_t *head;
    size_t len;
    char *path = kmalloc(plan->interp_len, ALLOC_DEFAULT);
    if (!path)
        return -ENOMEM;
    image->interp_path = path;
    long n = file_pread(image->file, path, plan->interp_len, (off64_t)plan->interp_off);
    if (n < 0)
        return (int)n;
    if ((uint64_t)n != plan->interp_len || path[n - 1] != '\0')
        return fail(image, -ENOEXEC, "the path of its ELF interpreter has no end", "", "");
    int err = open_executable(image, fs, path, &image->interp);
    if (err)
        return fail(image, err, "its interpreter ", path, " is missing or not executable");
    err = read_head(image->interp, &head, &len);
    if (err)
        return err;
    err = plan_file(image, image->interp, head, len, &image->interp_plan);
    kfree(head);
    if (!err)
        err = landing_pads(image, image->interp, image->interp_plan);
    if (err == -ENOEXEC)
        return fail(image, -ELIBBAD, "its interpreter ", path, " is not a usable ELF file");
    return err;
}

/* One file: 1 if it was a script and another file is open now, 0 if it is planned, or an error. */
static int image_step(struct exec_image *image, struct fs_context *fs, unsigned depth,
                      const char **path)
{
    uint8_t *head;
    size_t len;
    int err = read_head(image->file, &head, &len);
    if (err)
        return fail(image, err, "", *path, phrase_of(err));
    if (len >= 2 && head[0] == '#' && head[1] == '!') {
        if (depth == IMAGE_SCRIPT_DEPTH)
            err =
                fail(image, -ELOOP, "", *path, ": too many scripts are each other's interpreters");
        else
            err = script_follow(image, fs, head, len, path);
        kfree(head);
        return err ? err : 1;
    }
    err = plan_file(image, image->file, head, len, &image->plan);
    kfree(head);
    return err;
}

static int argv_copy(struct exec_image *image, char *const *argv)
{
    static char *const none[] = {NULL};
    if (!argv)
        argv = none;
    size_t n = count_strings(argv);
    image->argv = kmalloc_array(n + 2, sizeof *image->argv, ALLOC_DEFAULT);
    if (!image->argv)
        return -ENOMEM;
    memcpy(image->argv, argv, n * sizeof *argv);
    if (n == 0) { /* Linux 5.18: an empty list becomes one empty string */
        image->argv[n] = own_string(image, "");
        if (!image->argv[n])
            return -ENOMEM;
        n++;
    }
    image->argv[n] = NULL;
    return 0;
}

int image_open(struct exec_image *image, struct fs_context *fs, const char *path,
               struct file *given, char *const *argv)
{
    int err = argv_copy(image, argv);
    if (err)
        return err;
    if (given) {
        err = check_executable(given);
        if (err)
            return fail(image, err, "", path, phrase_of(err));
        file_get(given);
        image->file = given;
    } else {
        err = open_executable(image, fs, path, &image->file);
        if (err)
            return err;
    }
    int step = 1;
    for (unsigned depth = 0; step == 1; depth++)
        step = image_step(image, fs, depth, &path);
    if (step < 0)
        return step;
    return image->plan->interp_len ? interp_open(image, fs)
                                   : landing_pads(image, image->file, image->plan);
}

void image_close(struct exec_image *image)
{
    if (image->file)
        file_put(image->file);
    if (image->interp)
        file_put(image->interp);
    kfree(image->plan);
    kfree(image->interp_plan);
    kfree(image->interp_path);
    kfree(image->argv);
    for (unsigned i = 0; i < image->own_count; i++)
        kfree(image->own[i]);
}
