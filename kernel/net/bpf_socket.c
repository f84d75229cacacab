/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bpf_socket.c - the filter of a socket (socket(7): SO_ATTACH_FILTER and its neighbours).
 *
 * socket->filter is published with release and read in RCU sections; who replaces it leaves the old
 * one to RCU. Families whose packets go through bpf_filter say so (socket_ops.filters); to others
 * it is an option that they do not have.
 */
#include "drv/netdev.h"
#include "lib/errno.h"
#include "mm/account.h"
#include "mm/usercopy.h"
#include "net/bpf.h"
#include "net/classify.h"
#include "net/socket.h"

enum { SO_ATTACH_FILTER = 26, SO_DETACH_FILTER = 27, SO_LOCK_FILTER = 44, SO_BPF_EXTENSIONS = 48 };

struct sock_fprog { /* of user code */
    uint16_t count;
    uint8_t pad[6];
    uint64_t insn;
};
STATIC_ASSERT(sizeof(struct sock_fprog) == 16);

bool bpf_steers;
static uint32_t last_stamp; /* atomic */

static size_t size_of(uint32_t count)
{
    return sizeof(struct bpf_program) + count * sizeof(struct bpf_insn);
}

static void program_free(struct rcu_head *head)
{
    struct bpf_program *program = container_of(head, struct bpf_program, rcu);
    owner_free(OWNER_SOCKET, program, size_of(program->count));
}

/* NULL: none from now on. True: there was one before. */
static bool replace(struct bpf_program **place, struct bpf_program *with)
{
    /* Acquire: who frees it sees it whole; release: so does who runs the new one. */
    struct bpf_program *old = __atomic_exchange_n(place, with, __ATOMIC_ACQ_REL);
    if (old)
        rcu_call(&old->rcu, program_free);
    return old != NULL;
}

static int attach(struct bpf_program **place, uaddr_t value, unsigned len)
{
    struct sock_fprog said;
    if (len != sizeof(said))
        return -EINVAL;
    int err = copyin(&said, value, sizeof(said));
    if (err)
        return err;
    if (said.count == 0 || said.count > BPF_INSNS_MAX || said.insn == 0)
        return -EINVAL;
    struct bpf_program *program = owner_alloc(OWNER_SOCKET, size_of(said.count));
    if (!program)
        return -ENOMEM;
    program->count = said.count;
    program->stamp = __atomic_add_fetch(&last_stamp, 1, __ATOMIC_RELAXED);
    err = copyin(program->insn, uaddr(said.insn), said.count * sizeof(program->insn[0]));
    if (err == 0)
        err = bpf_check(program->insn, program->count);
    if (err)
        program_free(&program->rcu);
    else
        (void)replace(place, program);
    return err;
}

static int lock(struct socket *socket, uaddr_t value, unsigned len)
{
    int32_t on;
    if (len < sizeof(on))
        return -EINVAL;
    int err = copyin(&on, value, sizeof(on));
    if (err)
        return err;
    if (!on && __atomic_load_n(&socket->filter_locked, __ATOMIC_RELAXED))
        return -EPERM;
    __atomic_store_n(&socket->filter_locked, on != 0, __ATOMIC_RELAXED);
    return 0;
}

int bpf_set_option(struct socket *socket, int name, uaddr_t value, unsigned len)
{
    if (!socket->ops->filters)
        return -ENOPROTOOPT;
    if (name == SO_LOCK_FILTER)
        return lock(socket, value, len);
    if (name != SO_ATTACH_FILTER && name != SO_DETACH_FILTER)
        return -ENOPROTOOPT;
    if (__atomic_load_n(&socket->filter_locked, __ATOMIC_RELAXED))
        return -EPERM;
    if (name == SO_ATTACH_FILTER)
        return attach(&socket->filter, value, len);
    return replace(&socket->filter, NULL) ? 0 : -ENOENT;
}

int bpf_steer_option(struct socket *socket, int name, uaddr_t value, unsigned len)
{
    struct socket_rare *rare = socket_rare(socket);
    if (name == SO_DETACH_REUSEPORT_BPF)
        return rare && replace(&rare->steering, NULL) ? 0 : -ENOENT;
    if (__atomic_load_n(&socket->filter_locked, __ATOMIC_RELAXED))
        return -EPERM;
    rare = socket_rare_make(socket);
    int err = rare ? attach(&rare->steering, value, len) : -ENOMEM;
    if (err == 0)
        __atomic_store_n(&bpf_steers, true, __ATOMIC_RELAXED);
    return err;
}

int bpf_get_option(struct socket *socket, int name, int32_t *out)
{
    if (name == SO_LOCK_FILTER)
        *out = __atomic_load_n(&socket->filter_locked, __ATOMIC_RELAXED);
    else if (name == SO_BPF_EXTENSIONS)
        *out = BPF_EXTENSIONS_MAX;
    else
        return -ENOPROTOOPT;
    return 0;
}

uint32_t bpf_filter(const struct socket *socket, const struct bpf_view *view)
{
    if (!__atomic_load_n(&socket->filter, __ATOMIC_RELAXED)) /* mostly */
        return UINT32_MAX;
    unsigned token = rcu_read_lock();
    const struct bpf_program *program = __atomic_load_n(&socket->filter, __ATOMIC_ACQUIRE);
    uint32_t keep = program ? bpf_run(program, view) : UINT32_MAX;
    rcu_read_unlock(token);
    return keep;
}

uint32_t bpf_filter_ip(const struct socket *socket, const struct pkt *pkt, uint32_t begin)
{
    const struct bpf_view view = {
        .pkt = pkt,
        .len = pkt->total,
        .begin = begin,
        .device = pkt->dev ? pkt->dev->index : 0,
        .hash = pkt->hash,
        .protocol = pkt->len && pkt->data[0] >> 4 == 6 ? ETHERTYPE_IP6 : ETHERTYPE_IP4,
        .hardware = pkt->dev ? pkt->dev->type : 0,
    };
    return bpf_filter(socket, &view);
}

void bpf_free(struct socket *socket)
{
    struct socket_rare *rare = socket_rare(socket);
    (void)replace(&socket->filter, NULL);
    if (rare)
        (void)replace(&rare->steering, NULL);
    socket_rare_free(socket);
}

/* SO_GET_FILTER: *len counts instructions, room and those that there are; only asked for with 0. */
int bpf_get_filter(struct socket *socket, uaddr_t value, unsigned *len)
{
    unsigned token = rcu_read_lock(), room = *len; /* sections may sleep */
    const struct bpf_program *program = __atomic_load_n(&socket->filter, __ATOMIC_ACQUIRE);
    int err = 0;
    *len = program ? program->count : 0;
    if (room && room < *len)
        err = -EINVAL;
    else if (room && *len)
        err = copyout(value, program->insn, *len * sizeof(program->insn[0]));
    rcu_read_unlock(token);
    return err;
}
