/* SPDX-License-Identifier: BSD-3-Clause */
/* commands.h - the subcommands; each takes its own name as argv[0] and returns an exit status. */
#ifndef SELKIE_COMMANDS_H
#define SELKIE_COMMANDS_H

#include <argp.h>

/* Parse argv as argp says; a mistake ends the command with one line. */
void command_parse(const struct argp *argp, int argc, char **argv, void *input);
/* For the keys that a parser does not know. */
error_t command_key_default(int key, struct argp_state *state);

int command_test(int argc, char **argv);
int command_bench(int argc, char **argv);
int command_fuzz(int argc, char **argv);
int command_doctor(int argc, char **argv);
int command_unpack(int argc, char **argv);
int command_explore(int argc, char **argv);
int command_sim(int argc, char **argv);
int command_chaos(int argc, char **argv);
int command_sim_diff(int argc, char **argv);
int command_core(int argc, char **argv);

#endif
