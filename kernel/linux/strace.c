/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * strace.c - system calls as text, in strace(1)'s manner: decoded by the argument types of
 * syscalls.def, each of which has a printing function in `types`. User memory is read for strings,
 * buffers and structures after the call, so what it filled in can be shown; what cannot be read is
 * shown as an address.
 */
#include "linux/strace.h"

#include "core/log.h"
#include "fs/console.h"
#include "fs/fcntl.h"
#include "isa/abi.h"
#include "lib/format.h"
#include "lib/string.h"
#include "linux/strace_args.h"
#include "linux/strace_names.h"
#include "mm/usercopy.h"
#include "proc/process.h"

bool syscall_trace;

#define TRACE_LINE_MAX 1024
#define TEXT_MAX 64  /* characters of a string or buffer */
#define ITEMS_MAX 4u /* of an array */

void put_hex(struct strbuf *sb, uint64_t value)
{
    strbuf_printf(sb, "%#llx", (unsigned long long)value);
}

void put_address(struct strbuf *sb, const struct trace_arg *a)
{
    if (a->value)
        put_hex(sb, a->value);
    else
        strbuf_printf(sb, "NULL");
}

/* Read a structure; if that fails the address is shown. */
static bool fetch(struct strbuf *sb, const struct trace_arg *a, void *to, size_t size)
{
    if (a->value && copyin(to, uaddr(a->value), size) == 0)
        return true;
    put_address(sb, a);
    return false;
}

/* ---- text ---- */

void put_quoted(struct strbuf *sb, const char *text, size_t len, bool cut)
{
    strbuf_printf(sb, "\"");
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '\n')
            strbuf_printf(sb, "\\n");
        else if (c == '"' || c == '\\')
            strbuf_printf(sb, "\\%c", c);
        else if (c >= ' ' && c < 127)
            strbuf_append(sb, &c, 1);
        else
            strbuf_printf(sb, "\\%o", c);
    }
    strbuf_printf(sb, cut ? "\"..." : "\"");
}

static void put_text_at(struct strbuf *sb, uint64_t addr)
{
    char text[TEXT_MAX + 1];
    long len = addr ? copyin_str(text, uaddr(addr), sizeof text) : -1;
    if (len >= 0)
        put_quoted(sb, text, (size_t)len, false);
    else if (addr && copyin(text, uaddr(addr), TEXT_MAX) == 0)
        put_quoted(sb, text, TEXT_MAX, true); /* too long: its beginning */
    else if (addr)
        put_hex(sb, addr);
    else
        strbuf_printf(sb, "NULL");
}

static void put_string(struct strbuf *sb, const struct trace_arg *a)
{
    put_text_at(sb, a->value);
}

static void put_buffer(struct strbuf *sb, uint64_t addr, uint64_t len)
{
    char text[TEXT_MAX / 2];
    size_t n = MIN(len, sizeof text);
    if (addr && copyin(text, uaddr(addr), n) == 0)
        put_quoted(sb, text, n, len > n);
    else
        put_hex(sb, addr);
}

static void put_buf_in(struct strbuf *sb, const struct trace_arg *a)
{
    put_buffer(sb, a->value, a->size);
}

/* The result says how much is there. */
static void put_buf_out(struct strbuf *sb, const struct trace_arg *a)
{
    if (trace_failed(a))
        put_hex(sb, a->value);
    else
        put_buffer(sb, a->value, MIN(a->size, (uint64_t)*a->result));
}

static void put_argv(struct strbuf *sb, const struct trace_arg *a)
{
    uint64_t text;
    strbuf_printf(sb, "[");
    for (unsigned i = 0; i < 8; i++) {
        if (copyin(&text, uaddr(a->value + i * 8), sizeof text) || !text)
            break;
        if (i)
            strbuf_printf(sb, ", ");
        if (i == 7)
            strbuf_printf(sb, "...");
        else
            put_text_at(sb, text);
    }
    strbuf_printf(sb, "]");
}

/* ---- numbers ---- */

static void put_int(struct strbuf *sb, const struct trace_arg *a)
{
    strbuf_printf(sb, "%d", (int)a->value);
}

static void put_uint(struct strbuf *sb, const struct trace_arg *a)
{
    if ((uint32_t)a->value == UINT32_MAX)
        strbuf_printf(sb, "-1");
    else
        strbuf_printf(sb, "%u", (unsigned)a->value);
}

static void put_long(struct strbuf *sb, const struct trace_arg *a)
{
    strbuf_printf(sb, "%lld", (long long)a->value);
}

static void put_ulong(struct strbuf *sb, const struct trace_arg *a)
{
    strbuf_printf(sb, "%llu", (unsigned long long)a->value);
}

static void put_number(struct strbuf *sb, const struct trace_arg *a)
{
    put_hex(sb, a->value);
}

static void put_fd(struct strbuf *sb, const struct trace_arg *a)
{
    if ((int)a->value == AT_FDCWD)
        strbuf_printf(sb, "AT_FDCWD");
    else
        put_int(sb, a);
}

static void put_mode(struct strbuf *sb, const struct trace_arg *a)
{
    strbuf_printf(sb, "%#o", (unsigned)a->value);
}

static void put_signal_number(struct strbuf *sb, uint64_t signo)
{
    if (signo >= SIGRTMIN && signo <= NSIG)
        strbuf_printf(sb, "SIGRT_%u", (unsigned)(signo - SIGRTMIN));
    else if (signo == 0)
        strbuf_printf(sb, "0");
    else
        put_name(sb, NAME_SIGNAL, signo);
}

static void put_signal(struct strbuf *sb, const struct trace_arg *a)
{
    put_signal_number(sb, (uint32_t)a->value);
}

/* Few signals by name; nearly all as the complement, "~[...]". */
static void put_set(struct strbuf *sb, uint64_t set)
{
    unsigned count = 0;
    for (uint64_t rest = set; rest; rest &= rest - 1)
        count++;
    bool most = count > 32;
    const char *between = "";
    strbuf_printf(sb, most ? "~[" : "[");
    for (unsigned signo = 1; signo <= NSIG; signo++) {
        if (((set >> (signo - 1)) & 1) == most)
            continue;
        strbuf_printf(sb, "%s", between);
        if (!put_known(sb, NAME_SIGNAL, signo, false)) /* without SIG */
            strbuf_printf(sb, "RT_%u", signo - SIGRTMIN);
        between = " ";
    }
    strbuf_printf(sb, "]");
}

static void put_open_flags(struct strbuf *sb, const struct trace_arg *a)
{
    uint32_t flags = isa_open_flags_in((uint32_t)a->value);
    if ((flags & O_ACCMODE) == O_RDONLY)
        strbuf_printf(sb, flags ? "O_RDONLY|" : "O_RDONLY");
    if (flags)
        put_bits(sb, NAME_OFLAGS, flags);
}

static void put_prot(struct strbuf *sb, const struct trace_arg *a)
{
    if (a->value)
        put_bits(sb, NAME_PROT, a->value);
    else
        strbuf_printf(sb, "PROT_NONE");
}

static void put_access(struct strbuf *sb, const struct trace_arg *a)
{
    if (a->value)
        put_bits(sb, NAME_MODE_ACCESS, a->value);
    else
        strbuf_printf(sb, "F_OK");
}

static void put_futex(struct strbuf *sb, const struct trace_arg *a)
{
    put_name(sb, NAME_FUTEX, a->value & 127);
    if (a->value & 128)
        strbuf_printf(sb, "_PRIVATE");
    if (a->value & 256)
        strbuf_printf(sb, "|FUTEX_CLOCK_REALTIME");
}

/* The low byte is the signal at the end of the child. */
static void put_clone(struct strbuf *sb, const struct trace_arg *a)
{
    put_bits(sb, NAME_CLONE, a->value & ~255ull);
    if (a->value & 255) {
        strbuf_printf(sb, "|");
        put_signal_number(sb, a->value & 255);
    }
}

#define PUT_NAME(function, kind) \
    static void function(struct strbuf *sb, const struct trace_arg *a) \
    { \
        put_name(sb, kind, (uint32_t)a->value); \
    }
#define PUT_BITS(function, kind) \
    static void function(struct strbuf *sb, const struct trace_arg *a) \
    { \
        put_bits(sb, kind, (uint32_t)a->value); \
    }
PUT_NAME(put_clock, NAME_CLOCK)
PUT_NAME(put_whence, NAME_WHENCE)
PUT_NAME(put_fcntl, NAME_FCNTL)
PUT_NAME(put_ioctl, NAME_IOCTL)
PUT_NAME(put_advice, NAME_MADVISE)
PUT_NAME(put_epoll_op, NAME_EPOLLOP)
PUT_NAME(put_limit, NAME_LIMIT)
PUT_NAME(put_prctl, NAME_PRCTL)
PUT_NAME(put_arch_prctl, NAME_ARCH_PRCTL)
PUT_NAME(put_sighow, NAME_SIGHOW)
PUT_BITS(put_at_flags, NAME_ATFLAGS)
PUT_BITS(put_map_flags, NAME_MAPFLAGS)
PUT_BITS(put_fd_flags, NAME_FDFLAGS)
PUT_BITS(put_inotify_mask, NAME_INMASK)
PUT_BITS(put_flock, NAME_FLOCK)

/* ---- structures ---- */

static void put_timespec(struct strbuf *sb, const struct trace_arg *a)
{
    int64_t ts[2];
    if (fetch(sb, a, ts, sizeof ts))
        strbuf_printf(sb, "{tv_sec=%lld, tv_nsec=%lld}", (long long)ts[0], (long long)ts[1]);
}

static void put_sigset(struct strbuf *sb, const struct trace_arg *a)
{
    uint64_t set;
    if (fetch(sb, a, &set, sizeof set))
        put_set(sb, set);
}

static void put_sigaction(struct strbuf *sb, const struct trace_arg *a)
{
    struct {
        uint64_t handler, flags, restorer, mask;
    } act;
    if (!fetch(sb, a, &act, sizeof act))
        return;
    strbuf_printf(sb, "{sa_handler=");
    if (act.handler == 0)
        strbuf_printf(sb, "SIG_DFL");
    else if (act.handler == 1)
        strbuf_printf(sb, "SIG_IGN");
    else
        put_hex(sb, act.handler);
    strbuf_printf(sb, ", sa_mask=");
    put_set(sb, act.mask);
    strbuf_printf(sb, ", sa_flags=");
    put_bits(sb, NAME_SA, act.flags);
    strbuf_printf(sb, "}");
}

static void put_stat(struct strbuf *sb, const struct trace_arg *a)
{
    struct isa_stat st;
    if (trace_failed(a)) {
        put_address(sb, a);
        return;
    }
    if (!fetch(sb, a, &st, sizeof st))
        return;
    strbuf_printf(sb, "{st_mode=");
    put_name(sb, NAME_FILETYPE, st.mode & S_IFMT);
    strbuf_printf(sb, "|%#o, st_size=%lld, ...}", st.mode & 07777, (long long)st.size);
}

static void put_rlimit(struct strbuf *sb, const struct trace_arg *a)
{
    uint64_t limit[2];
    if (!fetch(sb, a, limit, sizeof limit))
        return;
    for (int i = 0; i < 2; i++) {
        strbuf_printf(sb, i ? ", rlim_max=" : "{rlim_cur=");
        if (limit[i] == UINT64_MAX)
            strbuf_printf(sb, "RLIM64_INFINITY");
        else
            strbuf_printf(sb, "%llu", (unsigned long long)limit[i]);
    }
    strbuf_printf(sb, "}");
}

static void put_fd_pair(struct strbuf *sb, const struct trace_arg *a)
{
    int fd[2];
    if (trace_failed(a))
        put_address(sb, a);
    else if (fetch(sb, a, fd, sizeof fd))
        strbuf_printf(sb, "[%d, %d]", fd[0], fd[1]);
}

void put_pieces(struct strbuf *sb, uint64_t addr, uint64_t count, uint64_t left)
{
    uint64_t piece[2];
    for (unsigned i = 0; i < count && i < ITEMS_MAX; i++) {
        if (copyin(piece, uaddr(addr + i * sizeof piece), sizeof piece))
            return;
        strbuf_printf(sb, "%s{iov_base=", i ? ", " : "");
        put_buffer(sb, piece[0], MIN(piece[1], left));
        strbuf_printf(sb, ", iov_len=%llu}", (unsigned long long)piece[1]);
        left -= MIN(piece[1], left);
    }
    if (count > ITEMS_MAX)
        strbuf_printf(sb, ", ...");
}

static void put_iov_in(struct strbuf *sb, const struct trace_arg *a)
{
    strbuf_printf(sb, "[");
    put_pieces(sb, a->value, a->size, UINT64_MAX);
    strbuf_printf(sb, "]");
}

static void put_iov_out(struct strbuf *sb, const struct trace_arg *a)
{
    if (trace_failed(a)) {
        put_address(sb, a);
        return;
    }
    strbuf_printf(sb, "[");
    put_pieces(sb, a->value, a->size, (uint64_t)*a->result);
    strbuf_printf(sb, "]");
}

static void put_pollfds(struct strbuf *sb, const struct trace_arg *a)
{
    struct {
        int32_t fd;
        uint16_t events, revents;
    } p;
    strbuf_printf(sb, "[");
    for (unsigned i = 0; i < a->size && i < ITEMS_MAX; i++) {
        if (copyin(&p, uaddr(a->value + i * sizeof p), sizeof p))
            break;
        strbuf_printf(sb, "%s{fd=%d, events=", i ? ", " : "", p.fd);
        put_bits(sb, NAME_POLL, p.events);
        if (!trace_failed(a) && p.revents) {
            strbuf_printf(sb, ", revents=");
            put_bits(sb, NAME_POLL, p.revents);
        }
        strbuf_printf(sb, "}");
    }
    strbuf_printf(sb, a->size > ITEMS_MAX ? ", ...]" : "]");
}

struct epoll_event {
    uint32_t events;
    uint64_t data;
} ISA_EPOLL_PACKED;

static void put_epoll_events(struct strbuf *sb, const struct trace_arg *a, uint64_t count)
{
    struct epoll_event e;
    for (unsigned i = 0; i < count && i < ITEMS_MAX; i++) {
        if (copyin(&e, uaddr(a->value + i * sizeof e), sizeof e))
            break;
        strbuf_printf(sb, "%s{events=", i ? ", " : "");
        put_bits(sb, NAME_POLL, e.events);
        strbuf_printf(sb, ", data=%#llx}", (unsigned long long)e.data);
    }
}

static void put_epoll_in(struct strbuf *sb, const struct trace_arg *a)
{
    if (a->value)
        put_epoll_events(sb, a, 1);
    else
        strbuf_printf(sb, "NULL");
}

static void put_epoll_out(struct strbuf *sb, const struct trace_arg *a)
{
    if (trace_failed(a)) {
        put_address(sb, a);
        return;
    }
    strbuf_printf(sb, "[");
    put_epoll_events(sb, a, (uint64_t)*a->result);
    strbuf_printf(sb, "]");
}

/* ---- lines ---- */

static const struct {
    const char *type; /* of syscalls.def, without ":N" */
    void (*put)(struct strbuf *sb, const struct trace_arg *a);
} types[] = {
    {"int", put_int},
    {"uint", put_uint},
    {"long", put_long},
    {"ulong", put_ulong},
    {"hex", put_number},
    {"size", put_ulong},
    {"off", put_long},
    {"fd", put_fd},
    {"path", put_string},
    {"str", put_string},
    {"buf_in", put_buf_in},
    {"buf_out", put_buf_out},
    {"ptr", put_address},
    {"mode", put_mode},
    {"oflags", put_open_flags},
    {"prot", put_prot},
    {"mapflags", put_map_flags},
    {"atflags", put_at_flags},
    {"sig", put_signal},
    {"sigset", put_sigset},
    {"clockid", put_clock},
    {"timespec", put_timespec},
    {"pid", put_int},
    {"uid", put_uint},
    {"flags", put_number},
    {"access", put_access},
    {"fdflags", put_fd_flags},
    {"whence", put_whence},
    {"fcntl", put_fcntl},
    {"ioctl", put_ioctl},
    {"futexop", put_futex},
    {"advice", put_advice},
    {"epollop", put_epoll_op},
    {"epoll_in", put_epoll_in},
    {"epoll_out", put_epoll_out},
    {"limit", put_limit},
    {"rlimit", put_rlimit},
    {"flockop", put_flock},
    {"prctl", put_prctl},
    {"archprctl", put_arch_prctl},
    {"sighow", put_sighow},
    {"sigaction", put_sigaction},
    {"cloneflags", put_clone},
    {"stat", put_stat},
    {"fdpair", put_fd_pair},
    {"iov_in", put_iov_in},
    {"iov_out", put_iov_out},
    {"pollfds", put_pollfds},
    {"argv", put_argv},
    {"inmask", put_inotify_mask},
    {"sockname_in", put_name_in},
    {"sockname_out", put_name_out},
    {"sockfamily", put_family},
    {"socktype", put_socket_type},
    {"sockflags", put_socket_flags},
    {"sockproto", put_int},
    {"socklevel", put_level},
    {"sockopt", put_option},
    {"msgflags", put_msg_flags},
    {"msghdr_in", put_msghdr_in},
    {"msghdr_out", put_msghdr_out},
    {"shuthow", put_shut_how},
};

/* type[0..len): a word of `types`, perhaps with the index of another argument. */
static void put_arg(struct strbuf *sb, const char *type, size_t len, struct trace_arg *a)
{
    if (len > 2 && type[len - 2] == ':') {
        unsigned index = (unsigned)(type[len - 1] - '0');
        a->size = index < 6 ? a->arg[index] : 0;
        len -= 2;
    }
    for (size_t i = 0; i < ARRAY_COUNT(types); i++) {
        if (strlen(types[i].type) == len && memcmp(types[i].type, type, len) == 0) {
            types[i].put(sb, a);
            return;
        }
    }
    put_hex(sb, a->value);
}

static void put_args(struct strbuf *sb, const char *words, const uint64_t *arg, const long *result)
{
    for (unsigned i = 0; i < 6 && *words; i++) {
        const char *comma = strchr(words, ',');
        size_t len = comma ? (size_t)(comma - words) : strlen(words);
        struct trace_arg a = {arg, arg[i], 0, result, i};
        if (i)
            strbuf_printf(sb, ", ");
        put_arg(sb, words, len, &a);
        words += len + (comma != NULL);
    }
}

static void put_result(struct strbuf *sb, long result)
{
    if (result < 0 && result >= -4095) {
        size_t len = sb->len;

        strbuf_printf(sb, "-1 ");
        if (put_known(sb, NAME_ERRNO, (uint64_t)-result, true)) {
            strbuf_printf(sb, "\n");
            return;
        }
        sb->len = len;
    }
    if (result < 0 && result >= -4095) /* the kernel's own: the call starts again */
        strbuf_printf(sb, "? (errno %ld)\n", -result);
    else if (result > 0xffff || result < 0)
        strbuf_printf(sb, "%#lx\n", (unsigned long)result);
    else
        strbuf_printf(sb, "%ld\n", result);
}

void strace_log(const struct syscall_info *info, uint64_t nr, const uint64_t *arg,
                const long *result)
{
    char line[TRACE_LINE_MAX];
    struct strbuf sb = {.buf = line, .size = sizeof line};
    const char *name = syscall_name(info);
    strbuf_printf(&sb, "[%d] %s", task_current()->tid, name);
    if (name[0] == '?')
        strbuf_printf(&sb, "%llu", (unsigned long long)nr);
    strbuf_printf(&sb, "(");
    put_args(&sb, syscall_arg_types(info), arg, result);
    strbuf_printf(&sb, ") = ");
    if (result)
        put_result(&sb, *result);
    else
        strbuf_printf(&sb, "?\n");
    size_t len = MIN(sb.len, sizeof line - 1);
    line[len - 1] = '\n';
    console_log_wait(); /* as strace(1) does, rather than losing lines */
    log_stream(line, len);
}
