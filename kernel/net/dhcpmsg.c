/* SPDX-License-Identifier: BSD-3-Clause */
/* dhcpmsg.c - reading what a DHCP server says: RFC 2131, 2; options of RFC 2132. */
#include "lib/bytes.h"
#include "lib/string.h"
#include "net/dhcp.h"

enum { SNAME = 44, FILE = 108, COOKIE = 236, OPTIONS = 240 };
enum {
    OPTION_PAD = 0,
    OPTION_MASK = 1,
    OPTION_ROUTER = 3,
    OPTION_DNS = 6,
    OPTION_DOMAIN = 15,
    OPTION_MTU = 26,
    OPTION_LEASE = 51,
    OPTION_OVERLOAD = 52,
    OPTION_TYPE = 53,
    OPTION_SERVER = 54,
    OPTION_RENEW = 58,
    OPTION_REBIND = 59,
    OPTION_ROUTES = 121,
    OPTION_END = 255,
};

static uint32_t word_at(const uint8_t *p)
{
    uint32_t word;
    memcpy(&word, p, sizeof(word));
    return word;
}

/* A mask whose ones come first. */
static uint8_t prefix_of(uint32_t mask)
{
    uint8_t prefix = mask == 0 ? 0 : (uint8_t)__builtin_clz(~mask ? ~mask : 1);
    if (mask == UINT32_MAX)
        return 32;
    return mask << prefix == 0 ? prefix : 0;
}

/* RFC 3442: prefix, the bytes of the destination that it covers, router. */
static void routes(struct dhcp_message *out, const uint8_t *p, unsigned len)
{
    unsigned at = 0;
    while (at < len && out->route_count < DHCP_ROUTES_MAX) {
        uint8_t prefix = p[at++];
        unsigned bytes = (prefix + 7u) / 8;
        if (prefix > 32 || len - at < bytes + 4)
            return;
        uint32_t dest = 0;
        memcpy(&dest, p + at, bytes);
        out->routes[out->route_count].prefix = prefix;
        out->routes[out->route_count].dest = dest;
        out->routes[out->route_count++].gateway = word_at(p + at + bytes);
        at += bytes + 4;
    }
}

/* A name that may stand in a file: letters, digits, dots, hyphens. */
static void domain(struct dhcp_message *out, const uint8_t *p, unsigned len)
{
    if (len > 0 && p[len - 1] == 0)
        len--;
    if (len >= sizeof(out->domain))
        return;
    for (unsigned i = 0; i < len; i++) {
        bool ok = (p[i] >= 'a' && p[i] <= 'z') || (p[i] >= 'A' && p[i] <= 'Z') ||
                  (p[i] >= '0' && p[i] <= '9') || p[i] == '.' || p[i] == '-' || p[i] == '_';
        if (!ok)
            return;
    }
    memcpy(out->domain, p, len);
    out->domain[len] = 0;
}

static void option(struct dhcp_message *out, uint8_t code, const uint8_t *p, unsigned len,
                   uint8_t *overload)
{
    if (code == OPTION_TYPE && len == 1)
        out->type = p[0];
    else if (code == OPTION_OVERLOAD && len == 1)
        *overload = p[0];
    else if (code == OPTION_MTU && len == 2)
        out->mtu = get_be16(p);
    else if (code == OPTION_ROUTES)
        routes(out, p, len);
    else if (code == OPTION_DOMAIN)
        domain(out, p, len);
    if (len < 4)
        return;
    if (code == OPTION_MASK)
        out->prefix = prefix_of(get_be32(p));
    else if (code == OPTION_ROUTER)
        out->gateway = word_at(p);
    else if (code == OPTION_SERVER)
        out->server = word_at(p);
    else if (code == OPTION_LEASE)
        out->lease_s = get_be32(p);
    else if (code == OPTION_RENEW)
        out->renew_s = get_be32(p);
    else if (code == OPTION_REBIND)
        out->rebind_s = get_be32(p);
    for (unsigned at = 0; code == OPTION_DNS && len - at >= 4; at += 4)
        if (out->server_count < DHCP_SERVERS_MAX)
            out->servers[out->server_count++] = word_at(p + at);
}

static void options(struct dhcp_message *out, const uint8_t *p, size_t len, uint8_t *overload)
{
    for (size_t at = 0; at < len && p[at] != OPTION_END;) {
        if (p[at] == OPTION_PAD) {
            at++;
            continue;
        }
        if (len - at < 2 || p[at + 1] > len - at - 2)
            return;
        option(out, p[at], p + at + 2, p[at + 1], overload);
        at += p[at + 1] + 2u;
    }
}

bool dhcp_parse(const uint8_t *bytes, size_t len, struct dhcp_message *out)
{
    static const uint8_t head[3] = {2, 1, 6}; /* a reply, Ethernet */
    static const uint8_t cookie[4] = {99, 130, 83, 99};
    uint8_t overload = 0, again = 0;
    memset(out, 0, sizeof(*out));
    if (len < OPTIONS || memcmp(bytes, head, sizeof(head)) != 0 ||
        memcmp(bytes + COOKIE, cookie, sizeof(cookie)) != 0)
        return false;
    out->xid = get_be32(bytes + 4);
    out->address = word_at(bytes + 16);
    memcpy(out->ether, bytes + 28, ETHER_ADDR_LEN);
    options(out, bytes + OPTIONS, len - OPTIONS, &overload);
    if (overload & 1)
        options(out, bytes + FILE, COOKIE - FILE, &again);
    if (overload & 2)
        options(out, bytes + SNAME, FILE - SNAME, &again);
    return out->type >= DHCP_OFFER && out->type <= DHCP_NAK;
}
