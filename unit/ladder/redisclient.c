/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * redisclient - a module for redis-server (--loadmodule) that is its client: a thread connects to
 * the server's socket ./redis.sock, stores and fetches values of several sizes, and in
 * the end asks the server to stop. What it was answered goes to standard output.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define TRIES 3000 /* of 10 ms */
#define VALUE_MAX 1000000

static FILE *stream;

static void say(const char *what, const char *answer)
{
    printf("%s: %s", what, answer);
    fflush(stdout);
}

static int connect_to_server(void)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "./redis.sock"};
    for (int i = 0; i < TRIES; i++) {
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        if (fd >= 0 && connect(fd, (struct sockaddr *)&name, sizeof(name)) == 0)
            return fd;
        if (fd >= 0)
            close(fd);
        usleep(10000);
    }
    say("connect", "no server\n");
    exit(1);
}

/* One line of the answer. */
static void answer(const char *what)
{
    char line[256];
    if (fgets(line, sizeof(line), stream))
        say(what, line);
    else
        say(what, "end of file\n");
}

static void values(void)
{
    static char value[VALUE_MAX], got[VALUE_MAX + 2];
    char line[64];
    for (size_t size = 1; size <= VALUE_MAX; size *= 10) {
        size_t len;
        for (size_t i = 0; i < size; i++)
            value[i] = (char)('a' + (i * 7 + size) % 26);
        fprintf(stream, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%zu\r\n", size);
        fwrite(value, 1, size, stream);
        fprintf(stream, "\r\nGET k\r\n");
        fflush(stream);
        answer("set");
        if (!fgets(line, sizeof(line), stream) || sscanf(line, "$%zu", &len) != 1 || len != size ||
            fread(got, 1, size + 2, stream) != size + 2 || memcmp(got, value, size) != 0)
            say("get", "not what was set\n");
        else
            say("get", line);
    }
}

static void *client(void *arg)
{
    int fd = connect_to_server();
    stream = fdopen(fd, "r+");
    fprintf(stream, "PING\r\n");
    fflush(stream);
    answer("ping");
    values();
    fprintf(stream, "DBSIZE\r\nFLUSHALL\r\nDBSIZE\r\n");
    fflush(stream);
    answer("dbsize");
    answer("flushall");
    answer("dbsize");
    fprintf(stream, "SHUTDOWN NOSAVE\r\n");
    fflush(stream);
    while (fgetc(stream) != EOF) /* the server's end is the program's */
        continue;
    return arg;
}

typedef int (*get_api_fn)(const char *name, void *function);
typedef void (*set_attributes_fn)(void *ctx, const char *name, int version, int api);

/* The first word of the context gives functions by name (redismodule.h). */
int RedisModule_OnLoad(void *ctx, void **argv, int argc)
{
    get_api_fn get_api = *(get_api_fn *)ctx;
    set_attributes_fn set_attributes;
    pthread_t thread;
    (void)argv;
    (void)argc;
    if (get_api("RedisModule_SetModuleAttribs", &set_attributes) != 0)
        return 1;
    set_attributes(ctx, "client", 1, 1);
    return pthread_create(&thread, NULL, client, NULL) == 0 ? 0 : 1;
}
