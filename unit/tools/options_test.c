/* SPDX-License-Identifier: BSD-3-Clause */
/* clang-format off */
/* sources: tools/cli/options.c tools/cli/netoptions.c tools/cli/netfault.c tools/cli/wirefault.c tools/cli/cmdline.c tools/cli/tree.c tools/cli/util.c kernel/core/cmdline.c kernel/lib/strutil.c */
/* clang-format on */
/* include: tools/cli */
/* options_test.c - the options of `selkie run`, and that the kernel reads the boot command line
 * made from them as it was meant. */
#include "tool_test.h"

#include "core/cmdline.h"
#include "run.h"

const char *const backend_names[BACKEND_COUNT] = {"hosted", "x64", "aarch64"};

struct
try {
    const char *words;
    struct run_options options;
};

static void parse(void *arg)
{
    struct try *try = arg;
    struct list argv = {0};

    list_split(&argv, text("run %s", try->words), " ");
    run_parse((int)argv.count, argv.items, &try->options);
    if (try->options.net.how)
        net_check(&try->options.net);
}

static struct run_options parsed(const char *words)
{
    struct try try = {.words = words};

    parse(&try);
    return try.options;
}

static void good_ones(void **state)
{
    struct run_options o =
        parsed("--on x64 --cpus 4 --memory=256M --machine q35 --accel tcg "
               "--package a --package b --file x:y --root /r --env A=1 --env B= "
               "--cwd /w --strace --verbose --gdb --build x64-debug prog -a --on z");

    (void)state;
    assert_int_equal(o.backend, BACKEND_X64);
    assert_int_equal(o.cpus, 4);
    assert_int_equal(o.memory, 256 << 20);
    assert_string_equal(o.machine, "q35");
    assert_string_equal(o.accel, "tcg");
    assert_int_equal(o.packages.count, 2);
    assert_string_equal(o.files.items[0], "x:y");
    assert_string_equal(o.root, "/r");
    assert_string_equal(o.env.items[1], "B=");
    assert_string_equal(o.cwd, "/w");
    assert_true(o.strace && o.verbose && o.gdb);
    assert_string_equal(o.build, "x64-debug");
    /* From the program on, words are its own. */
    assert_int_equal(o.argc, 4);
    assert_string_equal(o.argv[0], "prog");
    assert_string_equal(o.argv[3], "z");
    assert_string_equal(parsed("-- --verbose").argv[0], "--verbose");
    assert_false(parsed("prog --verbose").verbose);
    assert_string_equal(parsed("--net user --ip 10.0.2.77/24 prog").net.ip, "10.0.2.77/24");
    assert_string_equal(parsed("--net switch:/s --ip 10.9.0.7/24 prog").net.ip, "10.9.0.7/24");
    assert_int_equal(parsed("--net tap:lo,down=1s..2s,down=3s..4s prog").net.faults.wire.down_count,
                     2);
    o = parsed("--publish 8080:80 --publish 0.0.0.0:53:5353/udp prog");
    assert_int_equal(o.net.publish.count, 2);
    assert_string_equal(o.net.publish.items[0], "127.0.0.1:8080:80/tcp");
    assert_string_equal(o.net.publish.items[1], "0.0.0.0:53:5353/udp");
}

static void bad_ones(void **state)
{
    static const char *const table[][2] = {
        {"--frobnicate prog", "--frobnicate"},
        {"--on mars prog", "--on mars"},
        {"--cpus 0 prog", "--cpus 0"},
        {"--cpus 257 prog", "--cpus 257"},
        {"--cpus 2x prog", "--cpus 2x"},
        {"--cpus -1 prog", "--cpus -1"},
        {"--memory lots prog", "--memory lots"},
        {"--machine pdp11 prog", "--machine pdp11"},
        {"--machine pc prog", "--machine pc"},
        {"--on x64 --machine virt prog", "--machine virt"},
        {"--on aarch64 --machine pc prog", "--machine pc"},
        {"--accel warp prog", "--accel warp"},
        {"--accel kvm prog", "--accel kvm"},
        {"--env NOVALUE prog", "--env NOVALUE"},
        {"--env =x prog", "--env =x"},
        {"--cwd relative prog", "--cwd relative"},
        {"--build ../x prog", "--build ../x"},
        {"--net bridge prog", "--net bridge"},
        {"--net tap: prog", "--net tap:"},
        {"--publish 80 prog", "--publish 80"},
        {"--publish 80:0 prog", "--publish 80:0"},
        {"--publish 80:65536 prog", "--publish 80:65536"},
        {"--publish nowhere:80:80 prog", "--publish nowhere:80:80"},
        {"--publish 80:80/sctp prog", "--publish 80:80/sctp"},
        {"--mac 01:00:00:00:00:01 prog", "--mac 01:00:00:00:00:01"},
        {"--mac 2:0:0:0:0:1 prog", "--mac 2:0:0:0:0:1"},
        {"--ip 10.0.0.2 prog", "--ip 10.0.0.2"},
        {"--ip 10.0.0.2/33 prog", "--ip 10.0.0.2/33"},
        {"--net none --ip 10.0.2.77/24 prog", "--ip 10.0.2.77/24"},
        {"--net none --pcap f prog", "--pcap f: there is no network"},
        {"--net tap:selkie-none prog", "no such device"},
        {"--net user --ip 10.1.0.2/24 prog", "10.0.2.0/24"},
        {"--net user --ip fd00::2/64 prog", "fec0::/64"},
        {"--net tap:tap0,loss=1,delay=1ms,loss=2 prog", "loss=2: given twice"},
        {"--net tap:tap0,seed=1,seed=2 prog", "seed=2: given twice"},
        {"--gateway 10.0.0 prog", "--gateway 10.0.0"},
        {"--memory", "--memory"},
        {"--strace", "PROGRAM"},
        {"", "PROGRAM"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct try try = {.words = table[i][0]};
        char said[1000];

        if (status_of(parse, &try, said, sizeof(said)) != EXIT_TOOL)
            complain("%s: was taken", table[i][0]);
        /* One line, which names the mistake. */
        if (!strstr(said, table[i][1]) || strchr(said, '\n') != said + strlen(said) - 1)
            complain("%s: said: %s", table[i][0], said);
    }
}

/* The text that --help shows: every option, and examples. */
static void help_text(void **state)
{
    struct bytes out = {0};
    int pipes[2], status;
    pid_t pid;

    (void)state;
    assert_int_equal(pipe(pipes), 0);
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        dup2(pipes[1], STDOUT_FILENO);
        close(pipes[0]);
        parsed("--help");
        _exit(1);
    }
    close(pipes[1]);
    assert_true(fd_read(pipes[0], &out));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_non_null(strstr(out.data, "Usage: "));
    assert_non_null(strstr(out.data, "--strace"));
    assert_non_null(strstr(out.data, "Examples:"));
}

/* Bytes of all kinds in arguments, variables and the folder arrive in the kernel. */
static void command_line_round_trip(void **state)
{
    char all[256];
    char *argv[] = {(char[]){"prog"},      all,
                    (char[]){""},          (char[]){"--"},
                    (char[]){"a b\"c"},    (char[]){"%41"},
                    (char[]){"key=value"}, NULL};
    struct run_options options = {
        .argv = argv, .argc = 7, .cwd = "/a b", .strace = true, .verbose = true};
    struct cmdline got;
    char *line;

    (void)state;
    for (int i = 0; i < 255; i++)
        all[i] = (char)(i + 1);
    all[255] = 0;
    unsetenv("TERM");
    list_add(&options.env, text("X=%s", all));
    list_add(&options.env, "PATH=/only here");
    line = cmdline_make(&options, "conframe=1 winsize=25x80", "/bin/my prog");
    assert_int_equal(cmdline_parse(line, must_alloc(malloc(cmdline_size(line))), &got), 0);
    assert_int_equal(got.argc, 7);
    assert_string_equal(got.argv[0], "/bin/my prog");
    assert_string_equal(got.program, "/bin/my prog");
    for (int i = 1; i < 7; i++)
        assert_string_equal(got.argv[i], argv[i]);
    assert_string_equal(got.cwd, "/a b");
    assert_true(got.strace);
    assert_int_equal(got.loglevel, 3);
    assert_int_equal(got.envc, 3);
    assert_string_equal(got.envp[0], "HOME=/root");
    assert_string_equal(got.envp[1], text("X=%s", all));
    assert_string_equal(got.envp[2], "PATH=/only here");
}

/* argv[0] is what was typed wherever the program would find itself by that. */
static void name_of_the_program(void **state)
{
    static const struct {
        const char *typed, *program, *cwd, *env, *name;
    } table[] = {
        {"ls", "/bin/ls", NULL, NULL, "ls"},
        {"ls", "/usr/bin/ls", "/work", NULL, "ls"},
        {"ls", "/opt/ls", NULL, NULL, "/opt/ls"},
        {"ls", "/opt/ls", NULL, "PATH=/bin:/opt", "ls"},
        {"ls", "/bin/ls", NULL, "PATH=/opt", "/bin/ls"},
        {"s", "/bin/ls", NULL, NULL, "/bin/ls"},
        {"java", "/usr/lib/jvm/bin/java", NULL, NULL, "/usr/lib/jvm/bin/java"},
        {"./prog", "/work/prog", "/work", NULL, "./prog"},
        {"./prog", "/far/away/prog", NULL, NULL, "/far/away/prog"},
        {"../bin//ls", "/bin/ls", "/usr", NULL, "../bin//ls"},
        {"/bin/../bin/ls", "/bin/ls", NULL, NULL, "/bin/../bin/ls"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        char *argv[] = {must_alloc(strdup(table[i].typed)), NULL};
        struct run_options options = {.argv = argv, .argc = 1, .cwd = table[i].cwd};
        struct cmdline got;
        char *line;

        if (table[i].env)
            list_add(&options.env, table[i].env);
        line = cmdline_make(&options, "", table[i].program);
        assert_int_equal(cmdline_parse(line, must_alloc(malloc(cmdline_size(line))), &got), 0);
        if (strcmp(got.argv[0], table[i].name) != 0 || strcmp(got.program, table[i].program) != 0)
            complain("%s in %s: %s", table[i].typed, table[i].program, line);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_ones),           cmocka_unit_test(bad_ones),
        cmocka_unit_test(help_text),           cmocka_unit_test(command_line_round_trip),
        cmocka_unit_test(name_of_the_program),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
