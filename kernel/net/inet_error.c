/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inet_error.c - the error queue: IP_RECVERR and MSG_ERRQUEUE (ip(7)).
 *
 * An ICMP error about a packet of ours waits in a short list until the program reads it, with the
 * address that the packet went to and who complained. So do refusals of our own, of packets longer
 * than the way takes, and completions of MSG_ZEROCOPY (zerocopy.c). The socket's lock guards the
 * list.
 */
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/account.h"
#include "mm/usercopy.h"
#include "net/inet.h"

#define ERRORS_MAX 32u
#define PAYLOAD_MAX 64u
enum { IP_RECVERR = 11, IPV6_RECVERR = 25 };
enum { ORIGIN_LOCAL = 1, ORIGIN_ICMP = 2, ORIGIN_ICMP6 = 3, ORIGIN_ZEROCOPY = 5 };
enum { CODE_COPIED = 1 };

struct inet_error {
    struct inet_error *next;
    uint8_t origin; /* ORIGIN_* */
    bool copied;    /* ORIGIN_ZEROCOPY, and the next two: the sends */
    uint32_t low, high;
    struct ip_error about; /* its payload is below */
    uint32_t len;
    uint8_t payload[PAYLOAD_MAX];
};

/* struct sock_extended_err of user code, followed by the offender's address. */
struct extended_error {
    uint32_t error;
    uint8_t origin, type, code, pad;
    uint32_t info, data;
};
STATIC_ASSERT(sizeof(struct extended_error) == 16);

static uint8_t origin_of(const struct net_addr *offender)
{
    if (net_addr_is_any(offender))
        return ORIGIN_LOCAL;
    return net_addr_is_v4(offender) ? ORIGIN_ICMP : ORIGIN_ICMP6;
}

static bool is_icmp(const struct inet_error *error)
{
    return error->origin == ORIGIN_ICMP || error->origin == ORIGIN_ICMP6;
}

static void append(struct inet_sock *sock, struct inet_error *new)
{
    struct inet_error **link = &sock->errors;
    while (*link)
        link = &(*link)->next;
    *link = new;
    sock->error_count++;
}

void inet_error_add(struct inet_sock *sock, const struct ip_error *error)
{
    if (sock->error_count >= ERRORS_MAX)
        return;
    struct inet_error *new = owner_alloc(OWNER_SOCKET, sizeof(*new));
    if (!new)
        return; /* SO_ERROR has it all the same */
    new->about = *error;
    new->origin = origin_of(&error->offender);
    new->len = MIN(error->payload_len, PAYLOAD_MAX);
    if (new->len)
        memcpy(new->payload, error->payload, new->len);
    append(sock, new);
}

static bool is_wanted(const struct inet_sock *sock)
{
    return __atomic_load_n(&sock->options, __ATOMIC_RELAXED) & (INET_RECVERR | INET_RECVERR6);
}

void inet_dgram_error(struct inet_sock *sock, const struct ip_error *error)
{
    if (is_wanted(sock))
        inet_error_add(sock, error);
    else if (!sock->connected || !error->hard)
        return; /* RFC 1122, 4.1.3.3; udp(7) */
    inet_set_error(sock, error->error);
    inet_wake(sock, POLLERR);
}

int inet_sent(struct inet_sock *sock, const struct inet_name *to, int err)
{
    const struct ip_error error = {
        .key = {.remote = to->address, .remote_port = to->port},
        .error = EMSGSIZE,
        .mtu = net_addr_is_v4(&to->address) ? MIN(sock->route.mtu, 65535u) : sock->route.mtu,
    };
    if (err == -EMSGSIZE && is_wanted(sock)) {
        inet_error_add(sock, &error);
        inet_wake(sock, POLLERR);
    }
    return err;
}

struct inet_error *inet_error_new(void)
{
    return owner_alloc(OWNER_SOCKET, sizeof(struct inet_error));
}

void inet_error_free(struct inet_error *error)
{
    if (error)
        owner_free(OWNER_SOCKET, error, sizeof(*error));
}

void inet_error_zerocopy(struct inet_sock *sock, struct inet_error *entry, uint32_t id, bool copied)
{
    struct inet_error *last = sock->errors;
    while (last && last->next)
        last = last->next;
    /* As on Linux, what the first of a range says of copying is said of all. */
    if (last && last->origin == ORIGIN_ZEROCOPY && last->high + 1 == id) {
        last->high = id;
        sock->zerocopy_pending--;
        inet_error_free(entry);
        return;
    }
    *entry =
        (struct inet_error){.origin = ORIGIN_ZEROCOPY, .copied = copied, .low = id, .high = id};
    append(sock, entry);
}

static struct inet_error *take(struct inet_sock *sock)
{
    struct inet_error *first = sock->errors;
    if (first) {
        sock->errors = first->next;
        sock->error_count--;
        sock->zerocopy_pending -= first->origin == ORIGIN_ZEROCOPY;
    }
    return first;
}

void inet_error_purge(struct inet_sock *sock)
{
    struct inet_error *error;
    while ((error = take(sock)) != NULL)
        inet_error_free(error);
}

/* The cmsg of a completion: no address is in it, and none beside it. */
static void tell_zerocopy(const struct inet_sock *sock, struct socket_msg *msg,
                          const struct inet_error *entry)
{
    bool six = sock->base.family == AF_INET6;
    struct {
        struct extended_error error;
        uint8_t offender[INADDR6_NAME_LEN];
    } out = {.error = {
                 .origin = ORIGIN_ZEROCOPY,
                 .code = entry->copied ? CODE_COPIED : 0,
                 .info = entry->low,
                 .data = entry->high,
             }};
    if (msg->name)
        msg->name->len = 0;
    control_add(msg, six ? SOL_IPV6 : SOL_IP, six ? IPV6_RECVERR : IP_RECVERR, &out,
                sizeof(out.error) + (six ? INADDR6_NAME_LEN : INADDR_NAME_LEN));
}

static void tell(const struct inet_sock *sock, struct socket_msg *msg,
                 const struct inet_error *entry)
{
    const struct ip_error *about = &entry->about;
    struct {
        struct extended_error error;
        uint8_t offender[INADDR6_NAME_LEN];
    } out = {.error = {
                 .error = (uint32_t)about->error,
                 .origin = entry->origin,
                 .type = about->type,
                 .code = about->code,
                 .info = about->mtu,
             }};
    struct socket_name offender;
    inet_name_put(sock, &about->offender, 0, about->device, &offender);
    if (is_icmp(entry))
        memcpy(out.offender, offender.bytes, MIN(offender.len, (unsigned)sizeof(out.offender)));
    bool six = sock->base.family == AF_INET6;
    control_add(msg, six ? SOL_IPV6 : SOL_IP, six ? IPV6_RECVERR : IP_RECVERR, &out,
                sizeof(out.error) + offender.len);
}

long inet_error_recv(struct inet_sock *sock, struct socket_msg *msg)
{
    inet_lock(sock);
    struct inet_error *error = take(sock);
    /* What is pending is the next one's, or nothing any more; an error that no message is about is
     * somebody else's to report. */
    if (error && sock->errors && is_icmp(sock->errors))
        inet_set_error(sock, sock->errors->about.error);
    else if (error && is_icmp(error))
        inet_set_error(sock, 0);
    inet_unlock(sock);
    if (!error)
        return -EAGAIN;
    msg->result |= MSG_ERRQUEUE;
    if (error->origin == ORIGIN_ZEROCOPY) {
        tell_zerocopy(sock, msg, error);
        inet_error_free(error);
        return 0;
    }
    if (msg->name)
        inet_name_put(sock, &error->about.key.remote, error->about.key.remote_port,
                      error->about.device, msg->name);
    tell(sock, msg, error);
    long n = (long)MIN((size_t)error->len, msg->data->left);
    if (n < (long)error->len)
        msg->result |= MSG_TRUNC;
    if (n > 0 && iov_copy_to(msg->data, error->payload, (size_t)n) != n)
        n = -EFAULT;
    inet_error_free(error);
    return n;
}
