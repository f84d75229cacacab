/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bench/fragment - what an hour of mixed use does to the machine's free memory. Selkie only: it
 * looks at /proc/buddyinfo of the whole machine.
 *
 * Time is counted, not waited for: 3,600 steps of a second. In each the program maps some anonymous
 * regions of 4 KiB to 1 MiB and writes files of up to 64 KiB; most live for seconds, one in ten for
 * an hour. It keeps 70 % of memory in use. Every minute it notes the largest free block and the
 * unusable-free index: of 1,000 free pages, how many lie in blocks smaller than 2 MiB (the
 * definition of Gorman and Whitcroft, "The What, the Why and the Where To of Anti-Fragmentation",
 * 2006). Prints the worst and the last of both, then what a compaction makes of it.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SECONDS 3600
#define SLOTS 65536
#define ORDERS 11
#define ORDER_2M 9

struct item {
    unsigned ends;
    char *mapping; /* NULL: a file */
    size_t len;
};
static struct item items[SLOTS];
static unsigned used[SLOTS], used_count; /* slots in use, no order */
static uint64_t random_state = 88172645463325252ull;

static uint64_t random_next(void) /* xorshift64 */
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

struct free_memory {
    unsigned long pages, in_small;
    int largest; /* order */
};

static struct free_memory look(void)
{
    struct free_memory m = {.largest = -1};
    unsigned long count;
    FILE *file = fopen("/proc/buddyinfo", "r");

    if (!file || fscanf(file, "Node %*d, zone %*s") < 0)
        die("/proc/buddyinfo");
    for (int order = 0; order < ORDERS && fscanf(file, "%lu", &count) == 1; order++) {
        m.pages += count << order;
        if (order < ORDER_2M)
            m.in_small += count << order;
        if (count)
            m.largest = order;
    }
    fclose(file);
    if (m.pages == 0)
        die("/proc/buddyinfo has no figures");
    return m;
}

static unsigned unusable(const struct free_memory *m)
{
    return (unsigned)(m->in_small * 1000 / m->pages);
}

static void file_name(char *name, size_t size, unsigned slot)
{
    snprintf(name, size, "/tmp/fragment.%u", slot);
}

static void make_file(unsigned slot, size_t len)
{
    static char bytes[64 << 10];
    char name[64];
    int fd;

    file_name(name, sizeof(name), slot);
    fd = open(name, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    if (fd < 0 || write(fd, bytes, len) != (ssize_t)len)
        die(name);
    close(fd);
}

static void make_item(unsigned now)
{
    unsigned slot = (unsigned)(random_next() % SLOTS);
    struct item *item = &items[slot];
    size_t pages = 1ull << random_next() % 9;

    if (item->ends)
        return;
    item->ends =
        now + 1 + (random_next() % 10 ? random_next() % 20 : SECONDS / 2 + random_next() % SECONDS);
    pages += random_next() % pages;
    item->len = pages * 4096;
    item->mapping = NULL;
    used[used_count++] = slot;
    if (random_next() % 4 == 0) {
        item->len = 1 + random_next() % (64 << 10);
        make_file(slot, item->len);
        return;
    }
    item->mapping =
        mmap(NULL, item->len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (item->mapping == MAP_FAILED)
        die("mmap");
    for (size_t at = 0; at < item->len; at += 4096)
        item->mapping[at] = (char)slot;
}

static void end_items(unsigned now)
{
    char name[64];

    for (unsigned i = 0; i < used_count; i++) {
        struct item *item = &items[used[i]];

        if (item->ends > now)
            continue;
        if (!item->mapping) {
            file_name(name, sizeof(name), used[i]);
            unlink(name);
        } else {
            for (size_t at = 0; at < item->len; at += 4096)
                if (item->mapping[at] != (char)used[i])
                    die("contents changed");
            munmap(item->mapping, item->len);
        }
        item->ends = 0;
        used[i--] = used[--used_count];
    }
}

static unsigned long compaction_count(const char *name)
{
    char key[64];
    unsigned long value, found = 0;
    FILE *file = fopen("/proc/vmstat", "r");

    while (file && fscanf(file, "%63s %lu", key, &value) == 2)
        if (strcmp(key, name) == 0)
            found = value;
    if (file)
        fclose(file);
    return found;
}

static void report(const char *when, const struct free_memory *m)
{
    printf("%-8s free %lu KiB, largest block %lu KiB, unusable %u of 1000\n", when, m->pages * 4,
           m->largest < 0 ? 0ul : 4ul << m->largest, unusable(m));
}

/* For `selkie bench`: of 1,000 free pages, those in blocks of 2 MiB or more. */
static void row(const char *key, const struct free_memory *m)
{
    printf("fragment-%s %u /1000\n", key, 1000 - unusable(m));
}

int main(void)
{
    struct free_memory start = look(), now = start, worst = start;
    unsigned long keep_free = start.pages / 10 * 3;
    int fd;

    for (unsigned second = 1; second <= SECONDS; second++) {
        end_items(second);
        now = look();
        for (unsigned long room = now.pages; room > keep_free && used_count < SLOTS / 2; room -= 96)
            make_item(second);
        if (second % 60 == 0) {
            now = look();
            if (unusable(&now) > unusable(&worst))
                worst = now;
        }
    }
    report("start", &start);
    report("worst", &worst);
    report("end", &now);
    row("worst", &worst);
    row("end", &now);
    printf("fragment-largest %lu KiB\n", now.largest < 0 ? 0ul : 4ul << now.largest);
    printf("during   %lu runs of compaction, %lu blocks freed, %lu pages moved\n",
           compaction_count("compact_stall"), compaction_count("compact_success"),
           compaction_count("pgmigrate_success"));
    fd = open("/proc/sys/vm/compact_memory", O_WRONLY);
    if (fd < 0 || write(fd, "1", 1) != 1)
        die("compact_memory");
    now = look();
    report("compact", &now);
    row("compact", &now);
    end_items(~0u);
    now = look();
    report("freed", &now);
    return 0;
}
