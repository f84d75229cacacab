/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: kernel/net/addrtext.c kernel/lib/format.c kernel/lib/strbuf.c kernel/lib/strutil.c */
/* length: 60 */
/* runs: 20000 */
/* covers: kernel/net/addrtext.c */
/* lines: 95 */
/*
 * addrtext_fuzz.c - addresses as text. The host's libc is the model: what inet_pton takes is an
 * address, the same one, and nothing else is; what is written is what inet_ntop writes (but for the
 * dotted ends of IPv6, which RFC 5952 recommends for known prefixes only), and reads back.
 */
#include <string.h>

#include "fuzz.h"
#include "net/netconf.h"

/* Of the host's arpa/inet.h, whose other names are the kernel's, too. */
int inet_pton(int family, const char *text, void *address);
const char *inet_ntop(int family, const void *address, char *text, unsigned size);
#define INET 2
#define INET6 10
#define INET6_TEXT 46u

static void check_format(const struct net_addr *address)
{
    char text[NET_ADDR_TEXT + 1], wanted[INET6_TEXT];
    struct net_addr again;
    bool v4 = net_addr_is_v4(address);

    text[NET_ADDR_TEXT] = 'x';
    net_addr_format(address, text);
    FUZZ_CHECK(text[NET_ADDR_TEXT] == 'x' && memchr(text, 0, NET_ADDR_TEXT));
    FUZZ_CHECK(net_addr_parse(text, strlen(text), &again));
    FUZZ_CHECK(net_addr_equal(address, &again));
    FUZZ_CHECK(
        inet_ntop(v4 ? INET : INET6, address->bytes + (v4 ? 12 : 0), wanted, sizeof(wanted)));
    FUZZ_CHECK((!v4 && strchr(wanted, '.')) || strcmp(text, wanted) == 0);
}

static void check_parse(const uint8_t *data, size_t size)
{
    uint8_t wanted[16] = {[10] = 0xff, [11] = 0xff};
    struct net_addr address;
    char text[64];
    bool ok = net_addr_parse((const char *)data, size, &address), known = !memchr(data, 0, size);

    memcpy(text, data, size);
    text[size] = 0;
    if (known && inet_pton(INET, text, wanted + 12) != 1)
        known = inet_pton(INET6, text, wanted) == 1;
    FUZZ_TRACE("\"%s\": %d, wanted %d\n", text, ok, known);
    FUZZ_CHECK(ok == known);
    if (!ok)
        return;
    FUZZ_CHECK(memcmp(address.bytes, wanted, 16) == 0);
    check_format(&address);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 60)
        return 0;
    check_parse(data, size);
    if (size >= sizeof(struct net_addr)) { /* the same bytes as an address */
        struct net_addr address;

        memcpy(&address, data, sizeof(address));
        check_format(&address);
    }
    return 0;
}
