/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * replay.c - runs a fuzz target without a fuzzer: over every file named on the command line, and
 * every file of the folders named there. Each input lies in a block of just its size, so that the
 * address sanitizer sees the first byte read beyond it.
 *
 * Compiled by AFL++'s compiler and started without files it is AFL++'s driver: one process takes
 * one input after the other.
 */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"

static unsigned count;

#ifdef __AFL_LOOP
#define AFL_RUNS 10000 /* of one process; then a fresh one */

__AFL_FUZZ_INIT();

static void serve_afl(void)
{
    const uint8_t *shared;

    __AFL_INIT();
    shared = __AFL_FUZZ_TESTCASE_BUF; /* is there only now */
    while (__AFL_LOOP(AFL_RUNS)) {
        size_t size = (size_t)__AFL_FUZZ_TESTCASE_LEN;
        uint8_t *data = malloc(size ? size : 1);

        if (!data)
            abort();
        memcpy(data, shared, size);
        LLVMFuzzerTestOneInput(data, size);
        free(data);
    }
    exit(0);
}
#endif

static void replay_file(const char *path, size_t size)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(size ? size : 1);

    if (!file || !data || fread(data, 1, size, file) != size) {
        fprintf(stderr, "%s: cannot be read\n", path);
        exit(125);
    }
    fclose(file);
    fprintf(stderr, "%s\n", path); /* the last line before a report */
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    count++;
}

static void replay(const char *path)
{
    struct dirent **entries;
    struct stat st;
    int n;

    if (stat(path, &st) != 0) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        exit(125);
    }
    if (!S_ISDIR(st.st_mode)) {
        replay_file(path, (size_t)st.st_size);
        return;
    }
    n = scandir(path, &entries, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        char name[4096];

        snprintf(name, sizeof(name), "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.')
            replay(name);
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
}

int main(int argc, char **argv)
{
#ifdef __AFL_LOOP
    if (argc == 1)
        serve_afl();
#endif
    for (int i = 1; i < argc; i++)
        replay(argv[i]);
    if (count == 0) {
        fprintf(stderr, "usage: %s FILE-OR-FOLDER...: there was no input\n", argv[0]);
        return 125;
    }
    printf("%u inputs\n", count);
    return 0;
}
