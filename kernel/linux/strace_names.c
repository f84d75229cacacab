/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * strace_names.c - tables of names: open(2), mmap(2), clone(2) and so on; the numbers are the
 * kernel's interface and the same on both architectures, except the open flags, which the caller
 * has translated.
 *
 * A table is one text, as pointers and numbers would take more than the names do: what all its
 * names begin with, and then their other parts. "=" with a hexadecimal number before a name says
 * its value; without it the value is the one before plus one (a text that begins with "+", the
 * first is 0) or twice the one before ("*", the first is 1).
 * In a table of bits an entry with several comes before its parts.
 */
#include "linux/strace_names.h"

static const char *const tables[NAME_KINDS] = {
    [NAME_OFLAGS] =
        "*O_ WRONLY RDWR =40 CREAT EXCL NOCTTY TRUNC APPEND NONBLOCK =101000 SYNC =1000 DSYNC "
        "ASYNC DIRECT =410000 TMPFILE =10000 DIRECTORY NOFOLLOW NOATIME CLOEXEC =200000 PATH "
        "=8000 LARGEFILE",
    [NAME_FDFLAGS] = "+ =80000 O_CLOEXEC =800 O_NONBLOCK =1 EFD_SEMAPHORE =4000 O_DIRECT",
    [NAME_PROT] = "*PROT_ READ WRITE EXEC =1000000 GROWSDOWN GROWSUP",
    [NAME_MAPFLAGS] =
        "*MAP_ =3 SHARED_VALIDATE =1 SHARED PRIVATE =10 FIXED ANONYMOUS 32BIT =100 GROWSDOWN "
        "=800 DENYWRITE =2000 LOCKED NORESERVE POPULATE NONBLOCK STACK HUGETLB SYNC "
        "FIXED_NOREPLACE",
    [NAME_ATFLAGS] = "*AT_ =100 SYMLINK_NOFOLLOW REMOVEDIR SYMLINK_FOLLOW NO_AUTOMOUNT EMPTY_PATH",
    [NAME_MODE_ACCESS] = "+ =4 R_OK =2 W_OK =1 X_OK",
    [NAME_CLONE] =
        "*CLONE_ =100 VM FS FILES SIGHAND PIDFD PTRACE VFORK PARENT THREAD NEWNS SYSVSEM "
        "SETTLS PARENT_SETTID CHILD_CLEARTID DETACHED UNTRACED CHILD_SETTID",
    [NAME_POLL] =
        "* POLLIN POLLPRI POLLOUT POLLERR POLLHUP POLLNVAL POLLRDNORM POLLRDBAND POLLWRNORM "
        "POLLWRBAND =2000 POLLRDHUP =10000000 EPOLLEXCLUSIVE EPOLLWAKEUP EPOLLONESHOT EPOLLET",
    [NAME_SA] =
        "*SA_ NOCLDSTOP NOCLDWAIT SIGINFO =4000000 RESTORER ONSTACK RESTART =40000000 NODEFER "
        "RESETHAND",
    [NAME_SIGNAL] =
        "+SIG =1 HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT "
        "CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS",
    [NAME_SIGHOW] = "+SIG_ BLOCK UNBLOCK SETMASK",
    [NAME_CLOCK] = "+CLOCK_ REALTIME MONOTONIC PROCESS_CPUTIME_ID THREAD_CPUTIME_ID MONOTONIC_RAW "
                   "REALTIME_COARSE MONOTONIC_COARSE BOOTTIME REALTIME_ALARM BOOTTIME_ALARM",
    [NAME_WHENCE] = "+SEEK_ SET CUR END DATA HOLE",
    [NAME_FCNTL] =
        "+F_ DUPFD GETFD SETFD GETFL SETFL GETLK SETLK SETLKW SETOWN GETOWN SETSIG GETSIG =f "
        "SETOWN_EX GETOWN_EX =24 OFD_GETLK OFD_SETLK OFD_SETLKW =400 SETLEASE GETLEASE NOTIFY "
        "=406 DUPFD_CLOEXEC SETPIPE_SZ GETPIPE_SZ ADD_SEALS GET_SEALS",
    [NAME_IOCTL] =
        "+ =802c542a TCGETS2 =402c542b TCSETS2 TCSETSW2 TCSETSF2 =5401 TCGETS TCSETS TCSETSW "
        "TCSETSF =5409 TCSBRK TCXONC TCFLSH =540e TIOCSCTTY TIOCGPGRP TIOCSPGRP TIOCOUTQ "
        "=5413 TIOCGWINSZ TIOCSWINSZ =541b FIONREAD =5422 TIOCNOTTY =5424 TIOCGETD TCSBRKP "
        "=5429 TIOCGSID =5421 FIONBIO =5452 FIOASYNC =5451 FIOCLEX =5450 FIONCLEX =2 FIGETBSZ "
        "=40049409 FICLONE =4020940d FICLONERANGE =c0189436 FIDEDUPERANGE =80086601 "
        "FS_IOC_GETFLAGS =40086602 FS_IOC_SETFLAGS =c020660b FS_IOC_FIEMAP =80081272 "
        "BLKGETSIZE64 =1268 BLKSSZGET =80045430 TIOCGPTN =40045431 TIOCSPTLCK",
    [NAME_FUTEX] = "+FUTEX_ WAIT WAKE FD REQUEUE CMP_REQUEUE WAKE_OP LOCK_PI UNLOCK_PI TRYLOCK_PI "
                   "WAIT_BITSET WAKE_BITSET WAIT_REQUEUE_PI CMP_REQUEUE_PI LOCK_PI2",
    [NAME_MADVISE] =
        "+MADV_ NORMAL RANDOM SEQUENTIAL WILLNEED DONTNEED =8 FREE REMOVE DONTFORK DOFORK "
        "MERGEABLE UNMERGEABLE HUGEPAGE NOHUGEPAGE DONTDUMP DODUMP WIPEONFORK KEEPONFORK COLD "
        "PAGEOUT POPULATE_READ POPULATE_WRITE DONTNEED_LOCKED",
    [NAME_EPOLLOP] = "+EPOLL_CTL_ =1 ADD DEL MOD",
    [NAME_LIMIT] =
        "+RLIMIT_ CPU FSIZE DATA STACK CORE RSS NPROC NOFILE MEMLOCK AS LOCKS SIGPENDING "
        "MSGQUEUE NICE RTPRIO RTTIME",
    [NAME_FLOCK] = "*LOCK_ SH EX NB UN",
    [NAME_PRCTL] =
        "+PR_ =1 SET_PDEATHSIG GET_PDEATHSIG GET_DUMPABLE SET_DUMPABLE =7 GET_KEEPCAPS "
        "SET_KEEPCAPS =f SET_NAME GET_NAME =15 GET_SECCOMP SET_SECCOMP CAPBSET_READ "
        "CAPBSET_DROP =1d SET_TIMERSLACK GET_TIMERSLACK =23 SET_MM SET_CHILD_SUBREAPER =26 "
        "SET_NO_NEW_PRIVS GET_NO_NEW_PRIVS =29 SET_THP_DISABLE GET_THP_DISABLE =2f "
        "CAP_AMBIENT =53564d41 SET_VMA",
    [NAME_ARCH_PRCTL] = "+ARCH_ =1001 SET_GS SET_FS GET_FS GET_GS =3001 CET_STATUS",
    [NAME_FILETYPE] =
        "+S_IF =c000 SOCK =a000 LNK =8000 REG =6000 BLK =4000 DIR =2000 CHR =1000 IFO",
    [NAME_INMASK] =
        "*IN_ =fff ALL_EVENTS =1 ACCESS MODIFY ATTRIB CLOSE_WRITE CLOSE_NOWRITE OPEN "
        "MOVED_FROM MOVED_TO CREATE DELETE DELETE_SELF MOVE_SELF =1000000 ONLYDIR DONT_FOLLOW "
        "EXCL_UNLINK =10000000 MASK_CREATE MASK_ADD ISDIR ONESHOT",
    [NAME_FAMILY] =
        "+AF_ UNSPEC UNIX INET =a INET6 =10 NETLINK PACKET =1f BLUETOOTH =26 ALG =28 VSOCK",
    [NAME_SOCKTYPE] = "+SOCK_ =1 STREAM DGRAM RAW RDM SEQPACKET DCCP =a PACKET",
    [NAME_SOCKFLAGS] = "+SOCK_ =800 NONBLOCK =80000 CLOEXEC",
    [NAME_SOCKLEVEL] = "+SOL_ IP SOCKET =6 TCP =11 UDP =29 IPV6 =10e NETLINK",
    [NAME_SOCKOPT] =
        "+SO_ =1 DEBUG REUSEADDR TYPE ERROR DONTROUTE BROADCAST SNDBUF RCVBUF KEEPALIVE "
        "OOBINLINE NO_CHECK PRIORITY LINGER BSDCOMPAT REUSEPORT PASSCRED PEERCRED RCVLOWAT "
        "SNDLOWAT RCVTIMEO SNDTIMEO =19 BINDTODEVICE =1c PEERNAME TIMESTAMP ACCEPTCONN "
        "PEERSEC SNDBUFFORCE RCVBUFFORCE =24 MARK =26 PROTOCOL DOMAIN =2a PEEK_OFF =39 COOKIE "
        "=3b PEERGROUPS ZEROCOPY =4d PEERPIDFD",
    [NAME_MSGFLAGS] =
        "*MSG_ OOB PEEK DONTROUTE CTRUNC =20 TRUNC DONTWAIT EOR WAITALL =800 CONFIRM =2000 "
        "ERRQUEUE NOSIGNAL MORE WAITFORONE =20000000 FASTOPEN CMSG_CLOEXEC",
    [NAME_SHUTHOW] = "+SHUT_ RD WR RDWR",
    [NAME_ERRNO] =
        "+E =1 PERM NOENT SRCH INTR IO NXIO 2BIG NOEXEC BADF CHILD AGAIN NOMEM ACCES FAULT "
        "NOTBLK BUSY EXIST XDEV NODEV NOTDIR ISDIR INVAL NFILE MFILE NOTTY TXTBSY FBIG NOSPC "
        "SPIPE ROFS MLINK PIPE DOM RANGE DEADLK NAMETOOLONG NOLCK NOSYS NOTEMPTY LOOP =2a "
        "NOMSG IDRM CHRNG L2NSYNC L3HLT L3RST LNRNG UNATCH NOCSI L2HLT BADE BADR XFULL NOANO "
        "BADRQC BADSLT =3b BFONT NOSTR NODATA TIME NOSR NONET NOPKG REMOTE NOLINK ADV SRMNT "
        "COMM PROTO MULTIHOP DOTDOT BADMSG OVERFLOW NOTUNIQ BADFD REMCHG LIBACC LIBBAD LIBSCN "
        "LIBMAX LIBEXEC ILSEQ RESTART STRPIPE USERS NOTSOCK DESTADDRREQ MSGSIZE PROTOTYPE "
        "NOPROTOOPT PROTONOSUPPORT SOCKTNOSUPPORT OPNOTSUPP PFNOSUPPORT AFNOSUPPORT ADDRINUSE "
        "ADDRNOTAVAIL NETDOWN NETUNREACH NETRESET CONNABORTED CONNRESET NOBUFS ISCONN NOTCONN "
        "SHUTDOWN TOOMANYREFS TIMEDOUT CONNREFUSED HOSTDOWN HOSTUNREACH ALREADY INPROGRESS "
        "STALE UCLEAN NOTNAM NAVAIL ISNAM REMOTEIO DQUOT NOMEDIUM MEDIUMTYPE CANCELED NOKEY "
        "KEYEXPIRED KEYREVOKED KEYREJECTED OWNERDEAD NOTRECOVERABLE RFKILL =200 RESTARTSYS "
        "RESTARTNOINTR RESTARTNOHAND =204 RESTART_RESTARTBLOCK",
};

/* A place in a table, and the entry that it is at. */
struct names {
    const char *at, *prefix, *name;
    size_t prefix_len, len;
    uint64_t value, following;
    bool twice;
};

static size_t word_len(const char *word)
{
    size_t len = 0;

    while (word[len] && word[len] != ' ')
        len++;
    return len;
}

static struct names names_begin(enum name_kind kind)
{
    const char *text = tables[kind];
    struct names n = {.prefix = text + 1, .twice = *text == '*', .following = *text == '*'};

    n.prefix_len = word_len(n.prefix);
    n.at = n.prefix + n.prefix_len;
    return n;
}

static bool names_next(struct names *n)
{
    if (!*n->at)
        return false;
    n->value = n->following;
    if (*++n->at == '=') {
        n->value = 0;
        for (n->at++; *n->at != ' '; n->at++)
            n->value = n->value * 16 + (uint64_t)(*n->at <= '9' ? *n->at - '0' : *n->at - 'a' + 10);
        n->at++;
    }
    n->following = n->twice ? n->value * 2 : n->value + 1;
    n->name = n->at;
    n->len = word_len(n->name);
    n->at += n->len;
    return true;
}

static void put_entry(struct strbuf *sb, const struct names *n)
{
    strbuf_append(sb, n->prefix, n->prefix_len);
    strbuf_append(sb, n->name, n->len);
}

bool put_known(struct strbuf *sb, enum name_kind kind, uint64_t value, bool prefix)
{
    struct names n = names_begin(kind);

    while (names_next(&n))
        if (n.value == value) {
            if (!prefix)
                n.prefix_len = 0;
            put_entry(sb, &n);
            return true;
        }
    return false;
}

void put_name(struct strbuf *sb, enum name_kind kind, uint64_t value)
{
    if (!put_known(sb, kind, value, true))
        strbuf_printf(sb, "%#llx", (unsigned long long)value);
}

void put_bits(struct strbuf *sb, enum name_kind kind, uint64_t value)
{
    const char *between = "";
    if (value == 0) {
        strbuf_printf(sb, "0");
        return;
    }
    for (struct names n = names_begin(kind); names_next(&n);) {
        if ((value & n.value) != n.value)
            continue;
        strbuf_printf(sb, "%s", between);
        put_entry(sb, &n);
        between = "|";
        value &= ~n.value;
    }
    if (value)
        strbuf_printf(sb, "%s%#llx", between, (unsigned long long)value);
}
