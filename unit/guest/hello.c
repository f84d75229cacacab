/* SPDX-License-Identifier: BSD-3-Clause */
/* hello - arguments, environment, both output streams. */
#include "guest.h"

int main(int argc, char **argv, char **envp)
{
    REQUIRE(argc >= 1 && argv[argc] == NULL);
    REQUIRE(envp != NULL);
    fprintf(stderr, "this is standard error\n");
    return guest_pass("hello");
}
