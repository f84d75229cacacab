/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * netuser.c - `--net user`: the router with address translation (selkie-slirp, ../net/slirp.c), one
 * for each Selkie, whichever backend that runs on.
 *
 * Most programs never use a network, so it costs them a process that sleeps: the addresses that the
 * router would give stand on the boot line, and a process of this command waits for the first frame
 * that is for somebody, which it leaves on the wire and becomes the router. What a kernel says by
 * itself when a device comes up (who has my address? where are routers? I listen to this group) is
 * for nobody there, and thrown away until then.
 *
 * The router starts at once if ports are published, because others may speak first, and if the
 * addresses are to be asked for (--boot ip=dhcp), because then routers are, too.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "child.h"
#include "net.h"
#include "run.h"

#define ETHER 14u
#define IP6 40u
enum { NEXT_HOP_BY_HOP = 0, NEXT_ICMP6 = 58 };
enum { ROUTER_SOLICIT = 133, NEIGHBOUR_SOLICIT = 135, NEIGHBOUR_ADVERT = 136 };

static char *slirp_path(void)
{
    return text("%s/build/tools/selkie-slirp", top_dir());
}

bool net_user_there(void)
{
    return file_exists(slirp_path());
}

/* ---- addresses ---- */

static bool has_word(const struct list *words, const char *key)
{
    for (size_t i = 0; i < words->count; i++)
        if (text_starts(words->items[i], key))
            return true;
    return false;
}

/* Those of selkie-slirp, unless others are given. */
static bool add_addresses(struct list *boot)
{
    bool ours = !has_word(boot, "ip="), four = ours || has_word(boot, "ip=10.0.2."),
         six = ours || has_word(boot, "ip=fec0::");

    if (ours) {
        list_add(boot, "ip=10.0.2.15/24");
        list_add(boot, "ip=fec0::15/64");
    }
    if (has_word(boot, "ip=dhcp") || has_word(boot, "ip=none"))
        return false;
    if (!has_word(boot, "gateway=")) {
        if (four)
            list_add(boot, "gateway=10.0.2.2");
        if (six)
            list_add(boot, "gateway=fec0::2");
    }
    if (four && !has_word(boot, "nameserver="))
        list_add(boot, "nameserver=10.0.2.3");
    return true;
}

/* ---- the process ---- */

/* Is it what a kernel says without being asked? MLD's messages are the ones with hop-by-hop
 * options; a neighbour solicitation without a source looks for duplicates. */
static bool is_idle_talk(const unsigned char *frame, size_t len)
{
    static const unsigned char nobody[16];
    const unsigned char *ip = frame + ETHER, *icmp = ip + IP6;

    if (len < ETHER + IP6 + 1 || frame[12] != 0x86 || frame[13] != 0xdd || !(frame[0] & 1))
        return false;
    if (ip[6] == NEXT_HOP_BY_HOP)
        return true;
    return ip[6] == NEXT_ICMP6 &&
           (icmp[0] == ROUTER_SOLICIT || icmp[0] == NEIGHBOUR_ADVERT ||
            (icmp[0] == NEIGHBOUR_SOLICIT && memcmp(ip + 8, nobody, sizeof(nobody)) == 0));
}

/* Until there is a frame for the router. It ends if the kernel does. */
static void wait_for_frame(int wire, size_t header)
{
    for (;;) {
        unsigned char frame[256];
        ssize_t n = recv(wire, frame, sizeof(frame), MSG_PEEK);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            _exit(0);
        if ((size_t)n > header && !is_idle_talk(frame + header, (size_t)n - header))
            return;
        (void)recv(wire, frame, sizeof(frame), 0);
    }
}

static _Noreturn void slirp_exec(const struct list *words, int wire, int ready)
{
    fcntl(wire, F_SETFD, 0);
    fcntl(ready, F_SETFD, 0);
    execv(words->items[0], words->items);
    dprintf(ready, "%s: %s", words->items[0], strerror(errno));
    _exit(1);
}

int net_user_start(struct run_options *options, size_t header)
{
    const struct net_options *net = &options->net;
    struct list words = {0};
    struct bytes complaint = {0};
    int wire[2], ready[2];
    bool wait = add_addresses(&options->boot) && net->publish.count == 0;

    if (!net_user_there())
        fail(EXIT_TOOL, "--net user: built without libslirp (install libslirp-dev)");
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, wire) < 0 ||
        pipe2(ready, O_CLOEXEC) < 0)
        fail(EXIT_TOOL, "--net user: %s", strerror(errno));
    list_add(&words, slirp_path());
    list_add(&words, text("%d", wire[1]));
    list_add(&words, text("%d", ready[1]));
    list_add(&words, text("%zu", header));
    list_add(&words, net->ip ? text("%.*s", (int)strcspn(net->ip, "/"), net->ip) : "");
    for (size_t i = 0; i < net->publish.count; i++)
        list_add(&words, net->publish.items[i]);
    if (child_detach()) {
        close(wire[0]);
        if (wait)
            wait_for_frame(wire[1], header);
        slirp_exec(&words, wire[1], ready[1]);
    }
    close(wire[1]);
    close(ready[1]);
    /* Ports that cannot be had are told before the program runs. */
    if (net->publish.count > 0 && fd_read(ready[0], &complaint) && complaint.len > 0)
        fail(EXIT_TOOL, "--publish: %s", complaint.data);
    close(ready[0]);
    fcntl(wire[0], F_SETFD, 0);
    return wire[0];
}
