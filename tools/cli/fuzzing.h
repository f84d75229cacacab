/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzzing.h - what `selkie fuzz` is made of: fuzz.c (the command, libFuzzer) and fuzzafl.c. */
#ifndef SELKIE_FUZZING_H
#define SELKIE_FUZZING_H

#include "util.h"

#define FUZZ_AFL_PRESET "fuzz-afl"
#define FUZZ_INPUT_SECONDS 20  /* one input that takes longer is a find */
#define FUZZ_STOP_SECONDS 60   /* beyond its time a fuzzer is ended */
#define FUZZ_BRIEF_RUNS "2000" /* if the target says nothing else */

/* The words of a comment such as "covers: ..." at the top of the target. */
void fuzz_source_words(const char *name, const char *key, struct list *out);
/* build/fuzz/KIND/NAME, made. */
char *fuzz_folder(const char *kind, const char *name);
/* The dictionary of the target; NULL. */
char *fuzz_dict(const char *name);
/* What a sanitizer or the fuzzer says of a find. */
void fuzz_print_report(const char *log);
/* How to run this input again, and where to keep it. */
void fuzz_print_again(const char *name, const char *input);

/* The target under AFL++, for so many seconds or (0) its brief run. False: something was found. */
bool fuzz_afl(const char *name, unsigned seconds);

#endif
