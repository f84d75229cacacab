/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bench/mappings - how costs grow with the number of mappings, N of one page each with a hole
 * behind each:
 *
 *   mappings-fault-N  ns of the first touch of a page of its own mapping, all over them
 *   mappings-map-N    ns of mapping one page more, in a hole between two
 *   mappings-unmap-N  ns of unmapping it
 *
 * More than vm.max_map_count need that it is raised, which takes root; where that fails, there is
 * no figure. It is put back at the end.
 */
#include <fcntl.h>

#include "bench.h"

#define PAGE 4096ul
#define LIMIT_FILE "/proc/sys/vm/max_map_count"

enum { TOUCHES = 50, BATCHES = 20 };
enum what { FAULT, MAP, UNMAP, WHATS };
struct figures {
    bool done;
    double ns[WHATS];
};

static long limit_read(void)
{
    long limit = -1;
    FILE *file = fopen(LIMIT_FILE, "r");
    if (!file || fscanf(file, "%ld", &limit) != 1)
        limit = -1;
    if (file)
        fclose(file);
    return limit;
}

static bool limit_write(long limit)
{
    FILE *file = fopen(LIMIT_FILE, "w");
    bool done = file && fprintf(file, "%ld", limit) > 0;
    return file && fclose(file) == 0 && done;
}

/* Each page once, all over the area. */
static double touch_some(char *area, unsigned count)
{
    size_t step = count / (TOUCHES * BATCHES) * 2 * PAGE;
    int64_t best = INT64_MAX;
    for (int batch = 0; batch < BATCHES; batch++) {
        int64_t begin = now();
        for (int i = 0; i < TOUCHES; i++, area += step)
            *(volatile char *)area = 1;
        int64_t took = now() - begin;
        best = took < best ? took : best;
    }
    return (double)best / TOUCHES;
}

/* What cannot be joined with its neighbours: they may be written. */
static bool map_some(double *map_ns, double *unmap_ns)
{
    static void *pages[TOUCHES];
    int64_t best_map = INT64_MAX, best_unmap = INT64_MAX;
    for (int batch = 0; batch < BATCHES; batch++) {
        int64_t begin = now();
        for (int i = 0; i < TOUCHES; i++)
            pages[i] = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        int64_t between = now();
        for (int i = 0; i < TOUCHES; i++)
            if (pages[i] == MAP_FAILED || munmap(pages[i], PAGE))
                return false;
        int64_t end = now();
        best_map = between - begin < best_map ? between - begin : best_map;
        best_unmap = end - between < best_unmap ? end - between : best_unmap;
    }
    *map_ns = (double)best_map / TOUCHES;
    *unmap_ns = (double)best_unmap / TOUCHES;
    return true;
}

static bool measure_among(unsigned count, double *ns)
{
    size_t len = count * 2 * PAGE;
    char *area = mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    bool good = area != MAP_FAILED && munmap(area, len) == 0;
    if (!good)
        return false;
    for (unsigned i = 0; i < count && good; i++)
        good = mmap(area + i * 2 * PAGE, PAGE, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != MAP_FAILED;
    if (good)
        ns[FAULT] = touch_some(area, count);
    good = good && map_some(&ns[MAP], &ns[UNMAP]);
    munmap(area, len);
    return good;
}

/* All three figures for a number are had at once. */
static double figure(struct figures *f, unsigned count, enum what what)
{
    long limit = limit_read(), need = count + 1000;
    if (!f->done) {
        bool raised = limit < need && limit_write(need);
        f->done = true;
        if ((limit < need && !raised) || !measure_among(count, f->ns))
            f->ns[FAULT] = f->ns[MAP] = f->ns[UNMAP] = -1;
        if (raised)
            limit_write(limit);
    }
    return f->ns[what];
}

#define ROWS(n) \
    static struct figures figures##n; \
    static double fault##n(void) \
    { \
        return figure(&figures##n, n, FAULT); \
    } \
    static double map##n(void) \
    { \
        return figure(&figures##n, n, MAP); \
    } \
    static double unmap##n(void) \
    { \
        return figure(&figures##n, n, UNMAP); \
    }
ROWS(1000)
ROWS(10000)
ROWS(100000)
ROWS(1000000)

int main(int argc, char **argv)
{
    static const struct bench_row rows[] = {
        {"mappings-fault-1000", "ns", fault1000},
        {"mappings-fault-10000", "ns", fault10000},
        {"mappings-fault-100000", "ns", fault100000},
        {"mappings-fault-1000000", "ns", fault1000000},
        {"mappings-map-1000", "ns", map1000},
        {"mappings-map-10000", "ns", map10000},
        {"mappings-map-100000", "ns", map100000},
        {"mappings-map-1000000", "ns", map1000000},
        {"mappings-unmap-1000", "ns", unmap1000},
        {"mappings-unmap-10000", "ns", unmap10000},
        {"mappings-unmap-100000", "ns", unmap100000},
        {"mappings-unmap-1000000", "ns", unmap1000000},
    };
    return bench_main(argc, argv, rows, sizeof rows / sizeof rows[0]);
}
