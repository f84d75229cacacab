/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bench/segments - `segments tcp|udp|bulk COUNT`: so many messages over lo, written and read by one
 * thread; prints PASS. For counting instructions: `selkie bench net-segments` runs it with two
 * counts and takes the difference.
 *
 *   tcp, udp   a byte in a segment of its own, written and read
 *   bulk       64 KiB of a TCP stream, written and read
 */
#include "lo.h"

int main(int argc, char **argv)
{
    static char buffer[65536];
    struct sockaddr_in name;
    int from, to;
    bool udp = argc == 3 && strcmp(argv[1], "udp") == 0;
    size_t size = argc == 3 && strcmp(argv[1], "bulk") == 0 ? sizeof buffer : 1;
    if (argc != 3)
        return fprintf(stderr, "usage: segments tcp|udp|bulk COUNT\n"), 2;
    int bound = on_lo(udp ? SOCK_DGRAM : SOCK_STREAM, &name);
    from = socket(AF_INET, udp ? SOCK_DGRAM : SOCK_STREAM, 0);
    if (!udp && listen(bound, 1) < 0)
        fail("listen");
    connect_to(from, &name);
    to = udp ? bound : accept(bound, NULL, NULL);
    if (!udp)
        no_delay(from);
    for (long i = strtol(argv[2], NULL, 10); i > 0; i--) {
        if (write(from, buffer, size) != (ssize_t)size)
            fail("write");
        for (size_t got = 0; got < size;) {
            ssize_t n = read(to, buffer, sizeof buffer);
            if (n <= 0)
                fail("read");
            got += (size_t)n;
        }
    }
    puts("PASS segments");
    return 0;
}
