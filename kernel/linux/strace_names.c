/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * strace_names.c - tables of names: open(2), mmap(2), clone(2) and so on; the numbers are the
 * kernel's interface and the same on both architectures, except the open flags, which the caller
 * has translated.
 *
 * In a table of bits an entry with several comes before its parts.
 */
#include "linux/strace_names.h"

struct name {
    uint64_t value;
    const char *text;
};

static const struct name oflags[] = {{1, "O_WRONLY"},         {2, "O_RDWR"},
                                     {64, "O_CREAT"},         {128, "O_EXCL"},
                                     {256, "O_NOCTTY"},       {512, "O_TRUNC"},
                                     {1024, "O_APPEND"},      {0x800, "O_NONBLOCK"},
                                     {0x101000, "O_SYNC"},    {0x1000, "O_DSYNC"},
                                     {0x2000, "O_ASYNC"},     {0x4000, "O_DIRECT"},
                                     {0x410000, "O_TMPFILE"}, {0x10000, "O_DIRECTORY"},
                                     {0x20000, "O_NOFOLLOW"}, {0x40000, "O_NOATIME"},
                                     {0x80000, "O_CLOEXEC"},  {0x200000, "O_PATH"},
                                     {0x8000, "O_LARGEFILE"}};
static const struct name fdflags[] = {
    {0x80000, "O_CLOEXEC"}, {0x800, "O_NONBLOCK"}, {1, "EFD_SEMAPHORE"}, {0x4000, "O_DIRECT"}};
static const struct name prot[] = {{1, "PROT_READ"},
                                   {2, "PROT_WRITE"},
                                   {4, "PROT_EXEC"},
                                   {0x1000000, "PROT_GROWSDOWN"},
                                   {0x2000000, "PROT_GROWSUP"}};
static const struct name mapflags[] = {
    {3, "MAP_SHARED_VALIDATE"}, {1, "MAP_SHARED"},
    {2, "MAP_PRIVATE"},         {16, "MAP_FIXED"},
    {32, "MAP_ANONYMOUS"},      {64, "MAP_32BIT"},
    {256, "MAP_GROWSDOWN"},     {0x800, "MAP_DENYWRITE"},
    {0x2000, "MAP_LOCKED"},     {0x4000, "MAP_NORESERVE"},
    {0x8000, "MAP_POPULATE"},   {0x10000, "MAP_NONBLOCK"},
    {0x20000, "MAP_STACK"},     {0x40000, "MAP_HUGETLB"},
    {0x80000, "MAP_SYNC"},      {0x100000, "MAP_FIXED_NOREPLACE"}};
static const struct name atflags[] = {{256, "AT_SYMLINK_NOFOLLOW"},
                                      {512, "AT_REMOVEDIR"},
                                      {1024, "AT_SYMLINK_FOLLOW"},
                                      {0x800, "AT_NO_AUTOMOUNT"},
                                      {0x1000, "AT_EMPTY_PATH"}};
static const struct name accesses[] = {{4, "R_OK"}, {2, "W_OK"}, {1, "X_OK"}};
static const struct name clones[] = {{256, "CLONE_VM"},
                                     {512, "CLONE_FS"},
                                     {1024, "CLONE_FILES"},
                                     {0x800, "CLONE_SIGHAND"},
                                     {0x1000, "CLONE_PIDFD"},
                                     {0x2000, "CLONE_PTRACE"},
                                     {0x4000, "CLONE_VFORK"},
                                     {0x8000, "CLONE_PARENT"},
                                     {0x10000, "CLONE_THREAD"},
                                     {0x20000, "CLONE_NEWNS"},
                                     {0x40000, "CLONE_SYSVSEM"},
                                     {0x80000, "CLONE_SETTLS"},
                                     {0x100000, "CLONE_PARENT_SETTID"},
                                     {0x200000, "CLONE_CHILD_CLEARTID"},
                                     {0x400000, "CLONE_DETACHED"},
                                     {0x800000, "CLONE_UNTRACED"},
                                     {0x1000000, "CLONE_CHILD_SETTID"}};
static const struct name polls[] = {{1, "POLLIN"},
                                    {2, "POLLPRI"},
                                    {4, "POLLOUT"},
                                    {8, "POLLERR"},
                                    {16, "POLLHUP"},
                                    {32, "POLLNVAL"},
                                    {64, "POLLRDNORM"},
                                    {128, "POLLRDBAND"},
                                    {256, "POLLWRNORM"},
                                    {512, "POLLWRBAND"},
                                    {0x2000, "POLLRDHUP"},
                                    {0x10000000, "EPOLLEXCLUSIVE"},
                                    {0x20000000, "EPOLLWAKEUP"},
                                    {0x40000000, "EPOLLONESHOT"},
                                    {0x80000000, "EPOLLET"}};
static const struct name sigactions[] = {{1, "SA_NOCLDSTOP"},        {2, "SA_NOCLDWAIT"},
                                         {4, "SA_SIGINFO"},          {0x4000000, "SA_RESTORER"},
                                         {0x8000000, "SA_ONSTACK"},  {0x10000000, "SA_RESTART"},
                                         {0x40000000, "SA_NODEFER"}, {0x80000000, "SA_RESETHAND"}};
static const struct name signals[] = {
    {1, "SIGHUP"},     {2, "SIGINT"},   {3, "SIGQUIT"},   {4, "SIGILL"},   {5, "SIGTRAP"},
    {6, "SIGABRT"},    {7, "SIGBUS"},   {8, "SIGFPE"},    {9, "SIGKILL"},  {10, "SIGUSR1"},
    {11, "SIGSEGV"},   {12, "SIGUSR2"}, {13, "SIGPIPE"},  {14, "SIGALRM"}, {15, "SIGTERM"},
    {16, "SIGSTKFLT"}, {17, "SIGCHLD"}, {18, "SIGCONT"},  {19, "SIGSTOP"}, {20, "SIGTSTP"},
    {21, "SIGTTIN"},   {22, "SIGTTOU"}, {23, "SIGURG"},   {24, "SIGXCPU"}, {25, "SIGXFSZ"},
    {26, "SIGVTALRM"}, {27, "SIGPROF"}, {28, "SIGWINCH"}, {29, "SIGIO"},   {30, "SIGPWR"},
    {31, "SIGSYS"}};
static const struct name sighows[] = {{0, "SIG_BLOCK"}, {1, "SIG_UNBLOCK"}, {2, "SIG_SETMASK"}};
static const struct name clocks[] = {
    {0, "CLOCK_REALTIME"},          {1, "CLOCK_MONOTONIC"},     {2, "CLOCK_PROCESS_CPUTIME_ID"},
    {3, "CLOCK_THREAD_CPUTIME_ID"}, {4, "CLOCK_MONOTONIC_RAW"}, {5, "CLOCK_REALTIME_COARSE"},
    {6, "CLOCK_MONOTONIC_COARSE"},  {7, "CLOCK_BOOTTIME"},      {8, "CLOCK_REALTIME_ALARM"},
    {9, "CLOCK_BOOTTIME_ALARM"}};
static const struct name whences[] = {
    {0, "SEEK_SET"}, {1, "SEEK_CUR"}, {2, "SEEK_END"}, {3, "SEEK_DATA"}, {4, "SEEK_HOLE"}};
static const struct name fcntls[] = {
    {0, "F_DUPFD"},          {1, "F_GETFD"},          {2, "F_SETFD"},
    {3, "F_GETFL"},          {4, "F_SETFL"},          {5, "F_GETLK"},
    {6, "F_SETLK"},          {7, "F_SETLKW"},         {8, "F_SETOWN"},
    {9, "F_GETOWN"},         {10, "F_SETSIG"},        {11, "F_GETSIG"},
    {15, "F_SETOWN_EX"},     {16, "F_GETOWN_EX"},     {36, "F_OFD_GETLK"},
    {37, "F_OFD_SETLK"},     {38, "F_OFD_SETLKW"},    {1024, "F_SETLEASE"},
    {0x401, "F_GETLEASE"},   {0x402, "F_NOTIFY"},     {0x406, "F_DUPFD_CLOEXEC"},
    {0x407, "F_SETPIPE_SZ"}, {0x408, "F_GETPIPE_SZ"}, {0x409, "F_ADD_SEALS"},
    {0x40a, "F_GET_SEALS"}};
static const struct name ioctls[] = {{0x802c542a, "TCGETS2"},
                                     {0x402c542b, "TCSETS2"},
                                     {0x402c542c, "TCSETSW2"},
                                     {0x402c542d, "TCSETSF2"},
                                     {0x5401, "TCGETS"},
                                     {0x5402, "TCSETS"},
                                     {0x5403, "TCSETSW"},
                                     {0x5404, "TCSETSF"},
                                     {0x5409, "TCSBRK"},
                                     {0x540a, "TCXONC"},
                                     {0x540b, "TCFLSH"},
                                     {0x540e, "TIOCSCTTY"},
                                     {0x540f, "TIOCGPGRP"},
                                     {0x5410, "TIOCSPGRP"},
                                     {0x5411, "TIOCOUTQ"},
                                     {0x5413, "TIOCGWINSZ"},
                                     {0x5414, "TIOCSWINSZ"},
                                     {0x541b, "FIONREAD"},
                                     {0x5422, "TIOCNOTTY"},
                                     {0x5424, "TIOCGETD"},
                                     {0x5425, "TCSBRKP"},
                                     {0x5429, "TIOCGSID"},
                                     {0x5421, "FIONBIO"},
                                     {0x5452, "FIOASYNC"},
                                     {0x5451, "FIOCLEX"},
                                     {0x5450, "FIONCLEX"},
                                     {2, "FIGETBSZ"},
                                     {0x40049409, "FICLONE"},
                                     {0x4020940d, "FICLONERANGE"},
                                     {0xc0189436, "FIDEDUPERANGE"},
                                     {0x80086601, "FS_IOC_GETFLAGS"},
                                     {0x40086602, "FS_IOC_SETFLAGS"},
                                     {0xc020660b, "FS_IOC_FIEMAP"},
                                     {0x80081272, "BLKGETSIZE64"},
                                     {0x1268, "BLKSSZGET"},
                                     {0x80045430, "TIOCGPTN"},
                                     {0x40045431, "TIOCSPTLCK"}};
static const struct name futexes[] = {{0, "FUTEX_WAIT"},
                                      {1, "FUTEX_WAKE"},
                                      {2, "FUTEX_FD"},
                                      {3, "FUTEX_REQUEUE"},
                                      {4, "FUTEX_CMP_REQUEUE"},
                                      {5, "FUTEX_WAKE_OP"},
                                      {6, "FUTEX_LOCK_PI"},
                                      {7, "FUTEX_UNLOCK_PI"},
                                      {8, "FUTEX_TRYLOCK_PI"},
                                      {9, "FUTEX_WAIT_BITSET"},
                                      {10, "FUTEX_WAKE_BITSET"},
                                      {11, "FUTEX_WAIT_REQUEUE_PI"},
                                      {12, "FUTEX_CMP_REQUEUE_PI"},
                                      {13, "FUTEX_LOCK_PI2"}};
static const struct name advices[] = {
    {0, "MADV_NORMAL"},      {1, "MADV_RANDOM"},         {2, "MADV_SEQUENTIAL"},
    {3, "MADV_WILLNEED"},    {4, "MADV_DONTNEED"},       {8, "MADV_FREE"},
    {9, "MADV_REMOVE"},      {10, "MADV_DONTFORK"},      {11, "MADV_DOFORK"},
    {12, "MADV_MERGEABLE"},  {13, "MADV_UNMERGEABLE"},   {14, "MADV_HUGEPAGE"},
    {15, "MADV_NOHUGEPAGE"}, {16, "MADV_DONTDUMP"},      {17, "MADV_DODUMP"},
    {18, "MADV_WIPEONFORK"}, {19, "MADV_KEEPONFORK"},    {20, "MADV_COLD"},
    {21, "MADV_PAGEOUT"},    {22, "MADV_POPULATE_READ"}, {23, "MADV_POPULATE_WRITE"}};
static const struct name epollops[] = {
    {1, "EPOLL_CTL_ADD"}, {2, "EPOLL_CTL_DEL"}, {3, "EPOLL_CTL_MOD"}};
static const struct name limits[] = {
    {0, "RLIMIT_CPU"},       {1, "RLIMIT_FSIZE"}, {2, "RLIMIT_DATA"},    {3, "RLIMIT_STACK"},
    {4, "RLIMIT_CORE"},      {5, "RLIMIT_RSS"},   {6, "RLIMIT_NPROC"},   {7, "RLIMIT_NOFILE"},
    {8, "RLIMIT_MEMLOCK"},   {9, "RLIMIT_AS"},    {10, "RLIMIT_LOCKS"},  {11, "RLIMIT_SIGPENDING"},
    {12, "RLIMIT_MSGQUEUE"}, {13, "RLIMIT_NICE"}, {14, "RLIMIT_RTPRIO"}, {15, "RLIMIT_RTTIME"}};
static const struct name flocks[] = {
    {1, "LOCK_SH"}, {2, "LOCK_EX"}, {4, "LOCK_NB"}, {8, "LOCK_UN"}};
static const struct name prctls[] = {{1, "PR_SET_PDEATHSIG"},     {2, "PR_GET_PDEATHSIG"},
                                     {3, "PR_GET_DUMPABLE"},      {4, "PR_SET_DUMPABLE"},
                                     {7, "PR_GET_KEEPCAPS"},      {8, "PR_SET_KEEPCAPS"},
                                     {15, "PR_SET_NAME"},         {16, "PR_GET_NAME"},
                                     {21, "PR_GET_SECCOMP"},      {22, "PR_SET_SECCOMP"},
                                     {23, "PR_CAPBSET_READ"},     {24, "PR_CAPBSET_DROP"},
                                     {29, "PR_SET_TIMERSLACK"},   {30, "PR_GET_TIMERSLACK"},
                                     {35, "PR_SET_MM"},           {36, "PR_SET_CHILD_SUBREAPER"},
                                     {38, "PR_SET_NO_NEW_PRIVS"}, {39, "PR_GET_NO_NEW_PRIVS"},
                                     {41, "PR_SET_THP_DISABLE"},  {42, "PR_GET_THP_DISABLE"},
                                     {47, "PR_CAP_AMBIENT"},      {0x53564d41, "PR_SET_VMA"}};
static const struct name arch_prctls[] = {{0x1001, "ARCH_SET_GS"},
                                          {0x1002, "ARCH_SET_FS"},
                                          {0x1003, "ARCH_GET_FS"},
                                          {0x1004, "ARCH_GET_GS"},
                                          {0x3001, "ARCH_CET_STATUS"}};
static const struct name filetypes[] = {
    {0xc000, "S_IFSOCK"}, {0xa000, "S_IFLNK"}, {0x8000, "S_IFREG"}, {0x6000, "S_IFBLK"},
    {0x4000, "S_IFDIR"},  {0x2000, "S_IFCHR"}, {0x1000, "S_IFIFO"}};
static const struct name inmasks[] = {{0xfff, "IN_ALL_EVENTS"},
                                      {1, "IN_ACCESS"},
                                      {2, "IN_MODIFY"},
                                      {4, "IN_ATTRIB"},
                                      {8, "IN_CLOSE_WRITE"},
                                      {16, "IN_CLOSE_NOWRITE"},
                                      {32, "IN_OPEN"},
                                      {64, "IN_MOVED_FROM"},
                                      {128, "IN_MOVED_TO"},
                                      {256, "IN_CREATE"},
                                      {512, "IN_DELETE"},
                                      {1024, "IN_DELETE_SELF"},
                                      {0x800, "IN_MOVE_SELF"},
                                      {0x1000000, "IN_ONLYDIR"},
                                      {0x2000000, "IN_DONT_FOLLOW"},
                                      {0x4000000, "IN_EXCL_UNLINK"},
                                      {0x10000000, "IN_MASK_CREATE"},
                                      {0x20000000, "IN_MASK_ADD"},
                                      {0x40000000, "IN_ISDIR"},
                                      {0x80000000, "IN_ONESHOT"}};
static const struct name families[] = {{0, "AF_UNSPEC"},     {1, "AF_UNIX"},     {2, "AF_INET"},
                                       {10, "AF_INET6"},     {16, "AF_NETLINK"}, {17, "AF_PACKET"},
                                       {31, "AF_BLUETOOTH"}, {38, "AF_ALG"},     {40, "AF_VSOCK"}};
static const struct name socktypes[] = {{1, "SOCK_STREAM"}, {2, "SOCK_DGRAM"},     {3, "SOCK_RAW"},
                                        {4, "SOCK_RDM"},    {5, "SOCK_SEQPACKET"}, {6, "SOCK_DCCP"},
                                        {10, "SOCK_PACKET"}};
static const struct name sockflags[] = {{0x800, "SOCK_NONBLOCK"}, {0x80000, "SOCK_CLOEXEC"}};
static const struct name socklevels[] = {{0, "SOL_IP"},   {1, "SOL_SOCKET"}, {6, "SOL_TCP"},
                                         {17, "SOL_UDP"}, {41, "SOL_IPV6"},  {270, "SOL_NETLINK"}};
static const struct name sockopts[] = {
    {1, "SO_DEBUG"},       {2, "SO_REUSEADDR"},     {3, "SO_TYPE"},         {4, "SO_ERROR"},
    {5, "SO_DONTROUTE"},   {6, "SO_BROADCAST"},     {7, "SO_SNDBUF"},       {8, "SO_RCVBUF"},
    {9, "SO_KEEPALIVE"},   {10, "SO_OOBINLINE"},    {11, "SO_NO_CHECK"},    {12, "SO_PRIORITY"},
    {13, "SO_LINGER"},     {14, "SO_BSDCOMPAT"},    {15, "SO_REUSEPORT"},   {16, "SO_PASSCRED"},
    {17, "SO_PEERCRED"},   {18, "SO_RCVLOWAT"},     {19, "SO_SNDLOWAT"},    {20, "SO_RCVTIMEO"},
    {21, "SO_SNDTIMEO"},   {25, "SO_BINDTODEVICE"}, {28, "SO_PEERNAME"},    {29, "SO_TIMESTAMP"},
    {30, "SO_ACCEPTCONN"}, {31, "SO_PEERSEC"},      {32, "SO_SNDBUFFORCE"}, {33, "SO_RCVBUFFORCE"},
    {36, "SO_MARK"},       {38, "SO_PROTOCOL"},     {39, "SO_DOMAIN"},      {42, "SO_PEEK_OFF"},
    {57, "SO_COOKIE"},     {59, "SO_PEERGROUPS"},   {60, "SO_ZEROCOPY"},    {77, "SO_PEERPIDFD"}};
static const struct name msgflags[] = {{1, "MSG_OOB"},
                                       {2, "MSG_PEEK"},
                                       {4, "MSG_DONTROUTE"},
                                       {8, "MSG_CTRUNC"},
                                       {0x20, "MSG_TRUNC"},
                                       {0x40, "MSG_DONTWAIT"},
                                       {0x80, "MSG_EOR"},
                                       {0x100, "MSG_WAITALL"},
                                       {0x800, "MSG_CONFIRM"},
                                       {0x2000, "MSG_ERRQUEUE"},
                                       {0x4000, "MSG_NOSIGNAL"},
                                       {0x8000, "MSG_MORE"},
                                       {0x10000, "MSG_WAITFORONE"},
                                       {0x20000000, "MSG_FASTOPEN"},
                                       {0x40000000, "MSG_CMSG_CLOEXEC"}};
static const struct name shuthows[] = {{0, "SHUT_RD"}, {1, "SHUT_WR"}, {2, "SHUT_RDWR"}};
static const struct name errnos[] = {{1, "EPERM"},
                                     {2, "ENOENT"},
                                     {3, "ESRCH"},
                                     {4, "EINTR"},
                                     {5, "EIO"},
                                     {6, "ENXIO"},
                                     {7, "E2BIG"},
                                     {8, "ENOEXEC"},
                                     {9, "EBADF"},
                                     {10, "ECHILD"},
                                     {11, "EAGAIN"},
                                     {12, "ENOMEM"},
                                     {13, "EACCES"},
                                     {14, "EFAULT"},
                                     {15, "ENOTBLK"},
                                     {16, "EBUSY"},
                                     {17, "EEXIST"},
                                     {18, "EXDEV"},
                                     {19, "ENODEV"},
                                     {20, "ENOTDIR"},
                                     {21, "EISDIR"},
                                     {22, "EINVAL"},
                                     {23, "ENFILE"},
                                     {24, "EMFILE"},
                                     {25, "ENOTTY"},
                                     {26, "ETXTBSY"},
                                     {27, "EFBIG"},
                                     {28, "ENOSPC"},
                                     {29, "ESPIPE"},
                                     {30, "EROFS"},
                                     {31, "EMLINK"},
                                     {32, "EPIPE"},
                                     {33, "EDOM"},
                                     {34, "ERANGE"},
                                     {35, "EDEADLK"},
                                     {36, "ENAMETOOLONG"},
                                     {37, "ENOLCK"},
                                     {38, "ENOSYS"},
                                     {39, "ENOTEMPTY"},
                                     {40, "ELOOP"},
                                     {42, "ENOMSG"},
                                     {43, "EIDRM"},
                                     {44, "ECHRNG"},
                                     {45, "EL2NSYNC"},
                                     {46, "EL3HLT"},
                                     {47, "EL3RST"},
                                     {48, "ELNRNG"},
                                     {49, "EUNATCH"},
                                     {50, "ENOCSI"},
                                     {51, "EL2HLT"},
                                     {52, "EBADE"},
                                     {53, "EBADR"},
                                     {54, "EXFULL"},
                                     {55, "ENOANO"},
                                     {56, "EBADRQC"},
                                     {57, "EBADSLT"},
                                     {59, "EBFONT"},
                                     {60, "ENOSTR"},
                                     {61, "ENODATA"},
                                     {62, "ETIME"},
                                     {63, "ENOSR"},
                                     {64, "ENONET"},
                                     {65, "ENOPKG"},
                                     {66, "EREMOTE"},
                                     {67, "ENOLINK"},
                                     {68, "EADV"},
                                     {69, "ESRMNT"},
                                     {70, "ECOMM"},
                                     {71, "EPROTO"},
                                     {72, "EMULTIHOP"},
                                     {73, "EDOTDOT"},
                                     {74, "EBADMSG"},
                                     {75, "EOVERFLOW"},
                                     {76, "ENOTUNIQ"},
                                     {77, "EBADFD"},
                                     {78, "EREMCHG"},
                                     {79, "ELIBACC"},
                                     {80, "ELIBBAD"},
                                     {81, "ELIBSCN"},
                                     {82, "ELIBMAX"},
                                     {83, "ELIBEXEC"},
                                     {84, "EILSEQ"},
                                     {85, "ERESTART"},
                                     {86, "ESTRPIPE"},
                                     {87, "EUSERS"},
                                     {88, "ENOTSOCK"},
                                     {89, "EDESTADDRREQ"},
                                     {90, "EMSGSIZE"},
                                     {91, "EPROTOTYPE"},
                                     {92, "ENOPROTOOPT"},
                                     {93, "EPROTONOSUPPORT"},
                                     {94, "ESOCKTNOSUPPORT"},
                                     {95, "EOPNOTSUPP"},
                                     {96, "EPFNOSUPPORT"},
                                     {97, "EAFNOSUPPORT"},
                                     {98, "EADDRINUSE"},
                                     {99, "EADDRNOTAVAIL"},
                                     {100, "ENETDOWN"},
                                     {101, "ENETUNREACH"},
                                     {102, "ENETRESET"},
                                     {103, "ECONNABORTED"},
                                     {104, "ECONNRESET"},
                                     {105, "ENOBUFS"},
                                     {106, "EISCONN"},
                                     {107, "ENOTCONN"},
                                     {108, "ESHUTDOWN"},
                                     {109, "ETOOMANYREFS"},
                                     {110, "ETIMEDOUT"},
                                     {111, "ECONNREFUSED"},
                                     {112, "EHOSTDOWN"},
                                     {113, "EHOSTUNREACH"},
                                     {114, "EALREADY"},
                                     {115, "EINPROGRESS"},
                                     {116, "ESTALE"},
                                     {117, "EUCLEAN"},
                                     {118, "ENOTNAM"},
                                     {119, "ENAVAIL"},
                                     {120, "EISNAM"},
                                     {121, "EREMOTEIO"},
                                     {122, "EDQUOT"},
                                     {123, "ENOMEDIUM"},
                                     {124, "EMEDIUMTYPE"},
                                     {125, "ECANCELED"},
                                     {126, "ENOKEY"},
                                     {127, "EKEYEXPIRED"},
                                     {128, "EKEYREVOKED"},
                                     {129, "EKEYREJECTED"},
                                     {130, "EOWNERDEAD"},
                                     {131, "ENOTRECOVERABLE"},
                                     {132, "ERFKILL"},
                                     {512, "ERESTARTSYS"},
                                     {513, "ERESTARTNOINTR"},
                                     {514, "ERESTARTNOHAND"},
                                     {516, "ERESTART_RESTARTBLOCK"}};

static const struct {
    const struct name *names;
    size_t count;
} tables[NAME_KINDS] = {
#define TABLE(kind, names) [kind] = {names, ARRAY_COUNT(names)}
    TABLE(NAME_OFLAGS, oflags),       TABLE(NAME_FDFLAGS, fdflags),
    TABLE(NAME_PROT, prot),           TABLE(NAME_MAPFLAGS, mapflags),
    TABLE(NAME_ATFLAGS, atflags),     TABLE(NAME_MODE_ACCESS, accesses),
    TABLE(NAME_CLONE, clones),        TABLE(NAME_POLL, polls),
    TABLE(NAME_SA, sigactions),       TABLE(NAME_SIGNAL, signals),
    TABLE(NAME_SIGHOW, sighows),      TABLE(NAME_CLOCK, clocks),
    TABLE(NAME_WHENCE, whences),      TABLE(NAME_FCNTL, fcntls),
    TABLE(NAME_IOCTL, ioctls),        TABLE(NAME_FUTEX, futexes),
    TABLE(NAME_MADVISE, advices),     TABLE(NAME_EPOLLOP, epollops),
    TABLE(NAME_LIMIT, limits),        TABLE(NAME_FLOCK, flocks),
    TABLE(NAME_PRCTL, prctls),        TABLE(NAME_ARCH_PRCTL, arch_prctls),
    TABLE(NAME_FILETYPE, filetypes),  TABLE(NAME_INMASK, inmasks),
    TABLE(NAME_FAMILY, families),     TABLE(NAME_SOCKTYPE, socktypes),
    TABLE(NAME_SOCKFLAGS, sockflags), TABLE(NAME_SOCKLEVEL, socklevels),
    TABLE(NAME_SOCKOPT, sockopts),    TABLE(NAME_MSGFLAGS, msgflags),
    TABLE(NAME_SHUTHOW, shuthows),    TABLE(NAME_ERRNO, errnos),
#undef TABLE
};

const char *name_of(enum name_kind kind, uint64_t value)
{
    for (size_t i = 0; i < tables[kind].count; i++)
        if (tables[kind].names[i].value == value)
            return tables[kind].names[i].text;
    return NULL;
}

void put_name(struct strbuf *sb, enum name_kind kind, uint64_t value)
{
    const char *name = name_of(kind, value);
    if (name)
        strbuf_printf(sb, "%s", name);
    else
        strbuf_printf(sb, "%#llx", (unsigned long long)value);
}

void put_bits(struct strbuf *sb, enum name_kind kind, uint64_t value)
{
    const char *between = "";
    if (value == 0) {
        strbuf_printf(sb, "0");
        return;
    }
    for (size_t i = 0; i < tables[kind].count; i++) {
        const struct name *n = &tables[kind].names[i];
        if ((value & n->value) != n->value)
            continue;
        strbuf_printf(sb, "%s%s", between, n->text);
        between = "|";
        value &= ~n->value;
    }
    if (value)
        strbuf_printf(sb, "%s%#llx", between, (unsigned long long)value);
}
