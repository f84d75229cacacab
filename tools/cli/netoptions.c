/* SPDX-License-Identifier: BSD-3-Clause */
/* netoptions.c - the options of the guest's network: what may be said. See net.h. */
#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net.h"
#include "run.h"

/* HOW[,FAULT=...]: what comes behind a comma is a bad cable's (netfault.h). */
void net_set_how(struct net_options *net, const char *value)
{
    char *how = text("%s", value), *comma = strchr(how, ','), *wrong;

    if (comma)
        *comma++ = 0;
    wrong = cable_parse(comma ? comma : "", &net->faults);
    if (strcmp(how, "none") != 0 && strcmp(how, "user") != 0 &&
        (!text_starts(how, "tap:") || !how[4] || strlen(how + 4) >= IFNAMSIZ) &&
        (!text_starts(how, "switch:") || !how[7]))
        fail(EXIT_TOOL, "--net %s: none, user, tap:NAME or switch:PATH is wanted", value);
    if (wrong)
        fail(EXIT_TOOL, "--net %s: %s", value, wrong);
    if (net->faults.wire.mtu)
        net->mtu = net->faults.wire.mtu; /* the device says so */
    net->how = how;
}

static unsigned port_of(const char *option, const char *text_of, const char *digits, char end)
{
    char *behind;
    unsigned long n = strtoul(digits, &behind, 10);

    if (*digits < '0' || *digits > '9' || *behind != end || n < 1 || n > 65535)
        fail(EXIT_TOOL, "%s %s: a port is a number from 1 to 65535", option, text_of);
    return (unsigned)n;
}

/* [ADDRESS:]HOST:GUEST[/udp] */
void net_add_publish(struct net_options *net, const char *value)
{
    char *copy = text("%s", value), *slash = strchr(copy, '/'), *guest = strrchr(copy, ':');
    const char *kind = slash ? slash + 1 : "tcp", *address = "127.0.0.1", *host = copy;
    struct in_addr parsed;
    char *colon;

    if (slash)
        *slash = 0;
    if (!guest || (strcmp(kind, "tcp") != 0 && strcmp(kind, "udp") != 0))
        fail(EXIT_TOOL, "--publish %s: [ADDRESS:]HOST:GUEST[/udp] is wanted", value);
    *guest++ = 0;
    colon = strrchr(copy, ':');
    if (colon) {
        *colon = 0;
        address = copy;
        host = colon + 1;
    }
    if (!inet_aton(address, &parsed))
        fail(EXIT_TOOL, "--publish %s: %s is no IPv4 address", value, address);
    list_add(&net->publish, text("%s:%u:%u/%s", address, port_of("--publish", value, host, 0),
                                 port_of("--publish", value, guest, 0), kind));
}

void net_set_mac(struct net_options *net, const char *value)
{
    unsigned m[6];
    char end;

    if (sscanf(value, "%2x:%2x:%2x:%2x:%2x:%2x%c", m, m + 1, m + 2, m + 3, m + 4, m + 5, &end) !=
            6 ||
        strlen(value) != 17 || (m[0] & 1))
        fail(EXIT_TOOL, "--mac %s: an address of one station, such as 02:00:00:00:00:01, is wanted",
             value);
    net->mac = text("%s", value);
}

void net_check_address(const char *option, const char *value, bool prefix)
{
    char *copy = text("%s", value), *slash = prefix ? strchr(copy, '/') : NULL, *end;
    unsigned char parsed[16];
    int family = strchr(value, ':') ? AF_INET6 : AF_INET;
    unsigned long bits = 0;

    if (slash) {
        *slash = 0;
        bits = strtoul(slash + 1, &end, 10);
    }
    if (inet_pton(family, copy, parsed) != 1 || (prefix && !slash) ||
        (slash &&
         (slash[1] < '0' || slash[1] > '9' || *end || bits > (family == AF_INET ? 32u : 128u))))
        fail(EXIT_TOOL, "%s %s: an address%s is wanted", option, value,
             prefix ? " with the length of its network's prefix, such as 10.0.0.2/24," : "");
}

void net_need(struct net_options *net, const char *option, const char *value)
{
    net->needed = text("--%s %s", option, value);
}

void net_check(const struct net_options *net)
{
    const char *tap = text_starts(net->how, "tap:") ? net->how + 4 : NULL;

    if (net->needed && strcmp(net->how, "none") == 0)
        fail(EXIT_TOOL, "%s: there is no network (--net)", net->needed);
    if (net->ip && strcmp(net->how, "user") == 0 && !text_starts(net->ip, "10.0.2.") &&
        !text_starts(net->ip, "fec0::"))
        fail(EXIT_TOOL, "--ip %s: a user network has addresses of 10.0.2.0/24 and fec0::/64 only",
             net->ip);
    /* The kernel would make one that nobody is connected to. */
    if (tap && !if_nametoindex(tap))
        fail(EXIT_TOOL, "--net %s: no such device; ip tuntap add %s mode tap makes it", net->how,
             tap);
}
