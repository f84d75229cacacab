/* SPDX-License-Identifier: BSD-3-Clause */
/* util.c - see util.h. */
#include "util.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void __attribute__((format(printf, 1, 0))) line(const char *format, va_list args)
{
    fputs("selkie: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
}

void fail(int status, const char *format, ...)
{
    va_list args;

    fflush(stdout);
    va_start(args, format);
    line(format, args);
    va_end(args);
    exit(status);
}

void warn(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    line(format, args);
    va_end(args);
}

void say(const char *format, ...)
{
    va_list args;

    if (getenv("SELKIE_QUIET"))
        return;
    va_start(args, format);
    line(format, args);
    va_end(args);
}

void *must_alloc(void *p)
{
    if (!p)
        fail(EXIT_TOOL, "out of memory");
    return p;
}

char *text(const char *format, ...)
{
    va_list args;
    char *out;

    va_start(args, format);
    if (vasprintf(&out, format, args) < 0)
        fail(EXIT_TOOL, "out of memory");
    va_end(args);
    return out;
}

bool text_starts(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool text_ends(const char *s, const char *suffix)
{
    size_t len = strlen(s), n = strlen(suffix);

    return len >= n && strcmp(s + len - n, suffix) == 0;
}

void list_add(struct list *list, const char *item)
{
    if (list->count + 2 > list->space) {
        list->space = list->space ? list->space * 2 : 16;
        list->items = must_alloc(reallocarray(list->items, list->space, sizeof(*list->items)));
    }
    list->items[list->count++] = must_alloc(strdup(item));
    list->items[list->count] = NULL;
}

bool list_has(const struct list *list, const char *item)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i], item) == 0)
            return true;
    return false;
}

void list_split(struct list *list, const char *s, const char *separators)
{
    while (*s) {
        size_t len = strcspn(s, separators);

        if (len > 0) {
            char *part = must_alloc(strndup(s, len));

            list_add(list, part);
            free(part);
        }
        s += len;
        s += *s != 0;
    }
}

static void bytes_reserve(struct bytes *bytes, size_t more)
{
    if (bytes->len + more + 1 <= bytes->space)
        return;
    bytes->space = (bytes->len + more + 1) * 2;
    bytes->data = must_alloc(realloc(bytes->data, bytes->space));
}

void bytes_add(struct bytes *bytes, const void *data, size_t len)
{
    bytes_reserve(bytes, len);
    if (len > 0)
        memcpy(bytes->data + bytes->len, data, len);
    bytes->len += len;
    bytes->data[bytes->len] = 0;
}

void bytes_print(struct bytes *bytes, const char *format, ...)
{
    va_list args;
    char *s;
    int len;

    va_start(args, format);
    len = vasprintf(&s, format, args);
    va_end(args);
    if (len < 0)
        fail(EXIT_TOOL, "out of memory");
    bytes_add(bytes, s, (size_t)len);
    free(s);
}

bool fd_read(int fd, struct bytes *out)
{
    for (;;) {
        ssize_t n;

        bytes_reserve(out, 65536);
        n = read(fd, out->data + out->len, out->space - out->len - 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            out->data[out->len] = 0;
            return n == 0;
        }
        out->len += (size_t)n;
    }
}

bool file_read(const char *path, struct bytes *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int saved;
    bool ok;

    if (fd < 0)
        return false;
    ok = fd_read(fd, out);
    saved = errno;
    close(fd);
    errno = saved;
    return ok;
}

bool file_write(const char *path, const void *data, size_t len)
{
    FILE *file = fopen(path, "we");
    bool ok;

    if (!file)
        return false;
    ok = fwrite(data, 1, len, file) == len;
    return (fclose(file) == 0) && ok;
}

bool file_exists(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

void make_dirs(const char *path)
{
    char *copy = must_alloc(strdup(path));

    for (char *p = copy + 1;; p++) {
        char c = *p;

        if (c != '/' && c != 0)
            continue;
        *p = 0;
        if (mkdir(copy, 0777) < 0 && errno != EEXIST)
            fail(EXIT_TOOL, "%s: cannot be created: %s", copy, strerror(errno));
        *p = c;
        if (c == 0)
            break;
    }
    free(copy);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path) == 0 || errno == ENOENT ? 0 : -1;
}

void remove_tree(const char *folder)
{
    if (file_exists(folder) && nftw(folder, remove_entry, 64, FTW_DEPTH | FTW_PHYS) < 0)
        fail(EXIT_TOOL, "%s: cannot be removed: %s", folder, strerror(errno));
}

uint64_t hash_add(uint64_t hash, const void *data, size_t len)
{
    const unsigned char *p = data;

    for (size_t i = 0; i < len; i++)
        hash = (hash ^ p[i]) * 0x100000001b3ull;
    return hash;
}

uint64_t hash_text(uint64_t hash, const char *s)
{
    return hash_add(hash, s, strlen(s) + 1);
}

double now_seconds(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

const char *top_dir(void)
{
    static char *top;

    if (!top) {
        char exe[4096];
        ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
        char *slash;

        if (n < 0)
            fail(EXIT_TOOL, "/proc/self/exe: %s", strerror(errno));
        exe[n] = 0;
        /* TOP/build/tools/selkie */
        for (int i = 0; i < 3; i++) {
            slash = strrchr(exe, '/');
            if (!slash)
                fail(EXIT_TOOL, "%s: not in the build tree of Selkie", exe);
            *slash = 0;
        }
        top = must_alloc(strdup(exe));
    }
    return top;
}

const char *cache_dir(void)
{
    static char *cache;

    if (!cache) {
        const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");

        if (xdg && xdg[0] == '/')
            cache = text("%s/selkie", xdg);
        else if (home && home[0] == '/')
            cache = text("%s/.cache/selkie", home);
        else
            cache = text("/tmp/selkie-cache-%u", (unsigned)getuid());
        make_dirs(cache);
    }
    return cache;
}

bool parse_size(const char *s, uint64_t *out)
{
    static const char units[] = "KMGT";
    unsigned long long value;
    const char *unit;
    unsigned shift = 0;
    char *end;

    if (*s < '0' || *s > '9')
        return false;
    errno = 0;
    value = strtoull(s, &end, 10);
    if (errno)
        return false;
    if (*end) {
        unit = strchr(units, *end >= 'a' ? *end - 'a' + 'A' : *end);
        if (!unit)
            return false;
        shift = 10 * ((unsigned)(unit - units) + 1);
        end++;
        if (*end == 'i')
            end++;
        if (*end == 'B')
            end++;
    }
    if (*end || value > UINT64_MAX >> shift)
        return false;
    *out = value << shift;
    return true;
}

uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}
