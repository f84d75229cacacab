/* SPDX-License-Identifier: BSD-3-Clause */
/* sources: kernel/net/dhcpmsg.c */
/* length: 600 */
/* runs: 20000 */
/* covers: kernel/net/dhcpmsg.c */
/* lines: 95 */
/*
 * dhcp_fuzz.c - what a DHCP server says: bytes, the first of which are put right (a reply,
 * Ethernet, the cookie), so that most inputs get as far as the options. What is read stays within
 * its limits, and a domain may be written into a file.
 */
#include <string.h>

#include "fuzz.h"
#include "net/dhcp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dhcp_message m;
    uint8_t *bytes = malloc(size ? size : 1);
    FUZZ_CHECK(bytes);
    memcpy(bytes, data, size);
    (void)!dhcp_parse(bytes, size, &m);
    if (size >= 240) {
        memcpy(bytes, "\2\1\6", 3);
        memcpy(bytes + 236, "\x63\x82\x53\x63", 4);
    }
    if (dhcp_parse(bytes, size, &m)) {
        FUZZ_CHECK(m.type >= DHCP_OFFER && m.type <= DHCP_NAK);
        FUZZ_CHECK(m.prefix <= 32 && m.server_count <= DHCP_SERVERS_MAX);
        FUZZ_CHECK(m.route_count <= DHCP_ROUTES_MAX);
        for (unsigned i = 0; i < m.route_count; i++)
            FUZZ_CHECK(m.routes[i].prefix <= 32);
        FUZZ_CHECK(memchr(m.domain, 0, sizeof m.domain));
        for (const char *c = m.domain; *c; c++)
            FUZZ_CHECK(*c > ' ' && *c < 127);
    }
    free(bytes);
    return 0;
}
