/* SPDX-License-Identifier: BSD-3-Clause */
/* clang-format off */
/* sources: fs kernel/proc/exec.c kernel/proc/image.c kernel/proc/elf.c kernel/proc/load.c kernel/proc/stack.c kernel/proc/vdso.c kernel/proc/clone.c kernel/proc/task.c kernel/proc/cred.c kernel/proc/signal.c kernel/proc/posix_timer.c kernel/proc/itimer.c kernel/sched/thread.c kernel/linux/sys_pidfd.c */
/* clang-format on */
/*
 * fail_test.c - every allocation in the life of a process fails once: its making and its program's
 * loading, threads, queued signals, timers, pidfds, execve of a script whose interpreter has an ELF
 * interpreter, while there is another thread, and its end. What fails says so and has changed
 * nothing, and works when it is done again; behind the end of the process memory is what it was.
 *
 * The kernel code is the shipped one; the scheduler and "user code" are here: a thread that starts
 * runs when another one sleeps, until its end, and programs are C functions.
 */
#include <stdio.h>

#include <cmocka.h>

#include "fs/fake_fs.h"

#include "fake.h"
#include "fs/fcntl.h"
#include "isa.h"
#include "linux/pidfd.h"
#include "linux/sys_file.h"
#include "linux/uapi.h"
#include "mm/mman.h"
#include "mm/reclaim.h"
#include "mm/usercopy.h"
#include "net/socket.h"
#include "proc/clone.h"
#include "proc/futex.h"
#include "proc/times.h"
#include "sched/internal.h"

#include "../../kernel/proc/process.c"

#define LOW 0x10000ul
#define HIGH 0x40000000ul
#define PROGRAM 0x400000ul
#define KILLED SIGKILL
#define STACKS (4u << 20)

void *mmap(void *addr, size_t len, int prot, int flags, int fd, long off); /* the host's */
int munmap(void *addr, size_t len);

/* ---- the scheduler: who is started runs when somebody sleeps ---- */

static struct runqueue runqueue;
static struct thread *ready[4];
static unsigned ready_count;
static jmp_buf *end_of_thread;

void sched_enqueue(struct runqueue *rq, struct thread *thread, enum rq_arrival how, uint64_t now)
{
    (void)rq, (void)how, (void)now;
    assert_true(ready_count < ARRAY_COUNT(ready));
    ready[ready_count++] = thread;
}
void sched_place(struct runqueue *rq, struct thread *thread, enum rq_arrival how, uint64_t now)
{
    sched_enqueue(rq, thread, how, now);
}
bool balance_keeps(struct runqueue *rq, const struct thread *thread, uint64_t now)
{
    (void)rq, (void)thread, (void)now;
    return true;
}
bool sched_wake(struct thread *thread, enum thread_state state)
{
    (void)thread, (void)state;
    return true;
}
void sched_finish_switch(void)
{
}
void sched_switch(enum switch_reason reason)
{
    assert_int_equal(reason, SWITCH_EXIT);
    longjmp(*end_of_thread, 1);
}
void thread_reclaim(void)
{
}
void thread_list_add(struct thread *thread)
{
    (void)thread;
}
uint64_t *affinity_alloc(struct thread *thread)
{
    (void)thread;
    return kmalloc(sizeof(uint64_t), ALLOC_ZERO); /* as where a word is too small */
}
void affinity_free(struct thread *thread, uint64_t *bitmap)
{
    (void)thread;
    kfree(bitmap);
}
void sched_get_affinity(struct thread *thread, uint64_t *out)
{
    *out = *thread->affinity;
}
void thread_get(struct thread *thread)
{
    ref_get(&thread->refs);
}
void thread_put(struct thread *thread)
{
    if (!ref_put(&thread->refs))
        return;
    affinity_free(thread, thread->affinity);
    thread->exit_hook(thread);
}
void thread_interrupt(struct thread *thread)
{
    thread->interrupted = true;
}
uint64_t thread_runtime_ns(struct thread *thread)
{
    (void)thread;
    return 0;
}
void cpu_times_add(struct cpu_times *sum, struct thread *thread)
{
    (void)sum, (void)thread;
}
void cpu_times_divide(const struct cpu_times *sum, struct cpu_times *told)
{
    *told = *sum;
}

static void run_ready(void)
{
    struct thread *was = fake_self, *thread = ready[0];
    jmp_buf end, *outer = end_of_thread;
    if (ready_count == 0)
        return;
    memmove(ready, ready + 1, --ready_count * sizeof ready[0]);
    end_of_thread = &end;
    fake_self = thread;
    hal_space_activate(thread->space ? &thread->space->hal : hal_space_kernel());
    if (setjmp(end) == 0)
        thread->fn(thread->arg);
    fake_irqs_off = false;
    end_of_thread = outer;
    kstack_free(thread->stack);
    thread_free_fp(thread);
    fake_self = was;
    hal_space_activate(was->space ? &was->space->hal : hal_space_kernel());
    thread_put(thread);
}

static int on_fault(vaddr_t addr, enum hal_access access)
{
    return space_fault(space_current(), addr, access, 0);
}

/* ---- what else is not here ---- */

__asm__(".section .rodata\n"
        ".globl isa_vdso_start, isa_vdso_end\n"
        "isa_vdso_start: .zero 100\n"
        "isa_vdso_end: .previous\n");
size_t isa_fp_size(void)
{
    return 512;
}
void isa_fp_init(void *area)
{
    memset(area, 0, isa_fp_size());
}
void *isa_fp_key(void *area, unsigned kind)
{
    (void)area, (void)kind;
    return NULL;
}
void isa_hwcap(uint64_t *hwcap, uint64_t *hwcap2)
{
    *hwcap = *hwcap2 = 0;
}
size_t isa_sigframe_size(void)
{
    return 2048;
}
void futex_exec(struct task *task)
{
    (void)task;
}
void futex_exit(struct task *task)
{
    (void)task;
}
int futex_wake(uaddr_t addr, unsigned count, uint32_t bits)
{
    (void)addr, (void)count, (void)bits;
    return 0;
}
void patch_forget(struct process *process)
{
    (void)process;
}
void socket_files_closed(void)
{
}
struct file *file_arg_io(uint64_t fd)
{
    return file_arg(fd);
}
long install_file(struct file *file, bool cloexec)
{
    int fd = fd_install(current_files(), file, 0, cloexec);
    if (fd < 0)
        file_put(file);
    return fd;
}
int copyin_iovec(uint64_t addr, uint64_t count, struct iov *fast, struct iov **iov,
                 struct iov_iter *it)
{
    (void)addr, (void)count, (void)it;
    *iov = fast;
    return -EFAULT;
}

/* ---- programs ---- */

static void put(uint8_t *at, uint64_t value, unsigned size)
{
    memcpy(at, &value, size);
}

static void header(uint8_t *h, uint32_t type, uint32_t flags, uint64_t off, uint64_t vaddr,
                   uint64_t filesz, uint64_t memsz)
{
    const uint64_t wide[] = {off, vaddr, vaddr, filesz, memsz, type == 1 ? 4096 : 1};
    put(h, type, 4);
    put(h + 4, flags, 4);
    memcpy(h + 8, wide, sizeof wide);
}

static void make_file(const char *path, const void *data, size_t len)
{
    struct file *file;
    assert_int_equal(fs_open(fake_context, path, O_CREAT | O_RDWR, 0755, &file), 0);
    assert_int_equal(file_write(file, data, len), len);
    file_put(file);
}

/* Code, and data that goes on with zeroes. */
static void make_elf(const char *path, uint64_t base, const char *interp)
{
    static uint8_t elf[3 * 4096];
    memset(elf, 0, sizeof elf);
    memcpy(elf, "\177ELF\2\1\1", 7);
    put(elf + 16, base ? 2 : 3, 2);
    put(elf + 18, ISA_ELF_MACHINE, 2);
    put(elf + 20, 1, 4);
    put(elf + 24, base + 1024, 8);
    put(elf + 32, 64, 8);
    put(elf + 52, 64, 2);
    put(elf + 54, 56, 2);
    put(elf + 56, interp ? 3 : 2, 2);
    header(elf + 64, 1, 5, 0, base, 4096, 4096);
    header(elf + 120, 1, 6, 4096, base + 8192, 5000, 20000);
    if (interp) {
        header(elf + 176, 3, 4, 512, base + 512, strlen(interp) + 1, strlen(interp) + 1);
        memcpy(elf + 512, interp, strlen(interp) + 1);
    }
    make_file(path, elf, sizeof elf);
}

/* A call that fails for want of memory, with this number, works when it is made again. */
static long again(long result, int error, const char *what)
{
    if (result < 0 && (!alloc_fail_hit() || result != error))
        fail_msg("%s: %ld", what, result);
    return result;
}
#define AGAIN(call, error) \
    ({ \
        long again_ = again(call, error, #call); \
        if (again_ < 0) \
            again_ = call; \
        if (again_ < 0) \
            fail_msg("again, %s: %ld", #call, again_); \
        again_; \
    })

static struct isa_frame frame; /* of the first thread */
static unsigned programs, children;

static void use_signals(struct process *p)
{
    struct signal_action act = {.handler = 0x1000};
    struct siginfo info = {.signo = SIGRTMIN, .code = SI_QUEUE, .value = 1}, out;
    uint32_t before = (uint32_t)p->signals_queued;
    assert_int_equal(signal_set_action(SIGRTMIN, &act, NULL), 0);
    assert_int_equal(signal_set_action(SIGUSR1, &act, NULL), 0);
    long r = again(signal_send_process(p, &info), -EAGAIN, "queue");
    assert_int_equal(p->signals_queued, before + !r);
    if (r)
        assert_int_equal(signal_send_process(p, &info), 0);
    info.value = 2;
    AGAIN(signal_send_task(task_current(), &info), -EAGAIN);
    /* A standard one comes, if need be without its details. */
    info.signo = SIGUSR1;
    assert_int_equal(signal_send_process(p, &info), 0);
    assert_int_equal(signal_take(SIG_BIT(SIGUSR1), &out), 0);
    assert_int_equal(out.signo, SIGUSR1);
    assert_int_equal(signal_take(SIG_BIT(SIGRTMIN), &out), 0);
    assert_int_equal(out.value, 2);
    /* The other one waits until the process ends. */
    thread_clear_interrupt();
    assert_int_equal(p->signals_queued, before + 1);
}

static void use_timers(struct process *p)
{
    struct posix_timer_spec spec = {.clock = 1, .signo = SIGRTMIN, .tid = p->pid};
    struct itimer_value in = {.left_ns = NS_PER_SEC, .interval_ns = NS_PER_SEC}, old;
    spec.notify = SIGEV_THREAD_ID;
    uint64_t queued = p->signals_queued;
    long r = again(posix_timer_create(p, &spec), -EAGAIN, "timer");
    assert_int_equal(p->signals_queued, queued + (r >= 0));
    if (r < 0)
        r = posix_timer_create(p, &spec);
    assert_true(r >= 0);
    assert_int_equal(posix_timer_set(p, (int)r, &in, false, &old), 0);
    spec.notify = SIGEV_SIGNAL;
    long other = AGAIN(posix_timer_create(p, &spec), -EAGAIN);
    assert_int_equal(posix_timer_delete(p, (int)other), 0);
    itimer_set(p, 0, &in, &old); /* both are stopped by execve or by the end */
}

static long clone_thread(void)
{
    struct clone_args args = {.flags =
                                  CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD};
    return process_clone(&args, &frame);
}

static void use_threads(struct process *p)
{
    struct thread *self = thread_current();
    unsigned count = p->task_count, refs = ref_read(&p->refs);
    self->affinity = affinity_alloc(self); /* something else to be copied */
    long tid = again(clone_thread(), -EAGAIN, "clone");
    assert_int_equal(p->task_count, count + (tid > 0));
    assert_int_equal(ref_read(&p->refs), refs + (tid > 0));
    if (tid < 0)
        tid = clone_thread();
    assert_true(tid > p->pid);
    struct task *task = task_find((int)tid);
    assert_ptr_equal(task->process, p);
    thread_put(&task->thread);
    AGAIN(clone_thread(), -EAGAIN);
    assert_int_equal(p->task_count, count + 2);
}

static void use_pidfds(struct process *p)
{
    struct syscall_args args = {.arg = {(uint64_t)p->pid, 0}};
    unsigned refs = ref_read(&p->refs);
    long fd = again(sys_pidfd_open(&args), -ENOMEM, "pidfd");
    assert_int_equal(ref_read(&p->refs), refs + (fd >= 0));
    if (fd < 0)
        fd = sys_pidfd_open(&args);
    assert_true(fd >= 0);
    struct file *file;
    assert_non_null(pidfd_get((uint64_t)fd, &file));
    file_put(file); /* the descriptor stays until execve closes it */
    args.arg[1] = O_EXCL;
    refs = ref_read(&p->refs);
    fd = AGAIN(sys_pidfd_open(&args), -ENOMEM);
    assert_int_equal(fd_close(p->files, (int)fd), 0);
    assert_int_equal(ref_read(&p->refs), refs);
}

/* The first program becomes the second. */
static void use_exec(struct process *p)
{
    static char name[] = "script", arg[] = "two", env[] = "A=1";
    char *argv[] = {name, arg, NULL}, *envp[] = {env, NULL};
    struct space *space = p->space;
    unsigned tasks = p->task_count;
    frame.pc = 1;
    long r = again(process_exec("/script", argv, envp, &frame), -ENOMEM, "execve");
    if (r < 0) {
        assert_ptr_equal(p->space, space);
        assert_ptr_equal(space_current(), space);
        assert_int_equal(p->task_count, tasks);
        assert_true(!p->exec_task && !p->exiting && frame.pc == 1);
        r = process_exec("/script", argv, envp, &frame);
    }
    assert_int_equal(r, 0);
    assert_int_equal(p->task_count, 1);
    assert_int_equal(children, 2);
    assert_true(list_empty(&p->timers));
}

/* What is where the second program begins: strings, and the zeroes behind its data. */
static void look_at_program(void)
{
    uint64_t argc, argv[5];
    char text[8];
    assert_int_equal(copyin(&argc, uaddr(frame.sp), 8), 0);
    assert_int_equal(argc, 4);
    assert_int_equal(AGAIN(copyin(argv, uaddr(frame.sp + 8), sizeof argv), -EFAULT), 0);
    assert_true(copyin_str(text, uaddr(argv[0]), sizeof text) > 0);
    assert_string_equal(text, "/dyn");
    assert_true(copyin_str(text, uaddr(argv[1]), sizeof text) > 0);
    assert_string_equal(text, "one");
    assert_true(argv[4] == 0);
}

/* User code: who comes here never returns. */
void hal_user_enter(struct isa_frame *start)
{
    struct task *task = task_current();
    struct process *p = task->process;
    if (task->tid != p->pid) {
        children++;
        assert_true(task_must_leave(task));
        task_exit(0);
    }
    frame = *start;
    programs++;
    assert_int_equal(p->task_count, 1);
    use_signals(p);
    use_timers(p);
    use_pidfds(p);
    use_threads(p);
    use_exec(p);
    if (!p->exiting) {
        programs++;
        look_at_program();
        use_signals(p);
        use_timers(p);
    } else {
        assert_true(alloc_fail_hit()); /* past the point of no return */
        assert_int_equal(p->exit_status, KILLED);
    }
    task_exit(7);
}

/* ---- the sweep ---- */

struct usage {
    uint64_t bytes, files, anon, kernel, names;
};

static struct usage usage_now(void)
{
    struct kmalloc_stats km;
    struct page_stats pages;
    (void)memory_reclaim(1000, false); /* kernel stacks that wait for a thread, too */
    dentry_shrink(SIZE_MAX);
    kmalloc_get_stats(&km);
    page_get_stats(&pages);
    return (struct usage){km.bytes_in_use, pages.by_type[PAGE_FILE], pages.by_type[PAGE_ANON],
                          (pages.by_type[PAGE_KERNEL] + pages.by_type[PAGE_SLAB]) * PAGE_SIZE -
                              km.bytes_held,
                          dentry_count()};
}

/* A process, from its making to its end; its wait status, or why there was none. */
static int life(void)
{
    static char name[] = "program";
    char *argv[] = {name, NULL}, *envp[] = {NULL}, why[160] = "";
    struct program program = {.path = "/program", .argv = argv, .envp = envp};
    first.loaded = false;
    programs = children = 0;
    pid_last = 0;
    int err = process_start_first(&program, why, sizeof why);
    assert_int_equal(ready_count, 0);
    if (err) {
        assert_int_equal(err, -ENOMEM);
        assert_true(alloc_fail_hit() && why[0] && programs == 0);
    }
    int status = first.process ? process_wait_first() : 0;
    assert_true(list_empty(&processes) && !first.process);
    return err ? err : status;
}

static void everything_fails_once(void **state)
{
    (void)state;
    unsigned n = 0, refused = 0, killed = 0;
    bool hit;
    assert_int_equal(life(), 7 << 8);
    assert_int_equal(programs, 2);
    struct usage before = usage_now();
    do {
        alloc_fail_nth(++n);
        int status = life();
        hit = alloc_fail_hit();
        alloc_fail_nth(0);
        refused += status < 0;
        killed += status == KILLED;
        assert_true(status == 7 << 8 || (hit && (status < 0 || status == KILLED)));
        struct usage after = usage_now();
        if (memcmp(&before, &after, sizeof before) != 0)
            fail_msg("allocation %u (status %d): bytes %lld files %lld anonymous %lld kernel %lld "
                     "names %lld more",
                     n, status, (long long)(after.bytes - before.bytes),
                     (long long)(after.files - before.files), (long long)(after.anon - before.anon),
                     (long long)(after.kernel - before.kernel),
                     (long long)(after.names - before.names));
    } while (hit);
    printf("%u allocations failed: %u times no process, %u times killed\n", n - 1, refused, killed);
    assert_true(refused > 10 && killed > 0 && n - 1 - refused - killed > 30);
}

static int set_up(void **state)
{
    static const char script[] = "#! /dyn one\n";
    (void)state;
    fake_hal_init(48u << 20);
    fake_layout.user[0] = (struct hal_user_window){LOW, HIGH};
    fake_layout.user_end = HIGH;
    fake_console_state = (struct hal_console_info){true, true, true, 24, 80};
    /* Kernel stacks that are kept for the next thread are linked by a word in them. */
    void *stacks = (void *)fake_layout.kernel_lo;
    if (mmap(stacks, STACKS, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != stacks)
        return -1;
    this_cpu()->rq = &runqueue;
    kvm_init();
    if (fake_fs_boot(NULL, 0))
        return -1;
    ready_count = 0; /* threads of the kernel's own, which have nothing to do */
    make_elf("/program", PROGRAM, NULL);
    make_elf("/dyn", 0, "/ld");
    make_elf("/ld", 0, NULL);
    make_file("/script", script, sizeof script - 1);
    fake_user_fault = on_fault;
    fake_sleep_hook = run_ready;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    fake_fs_end();
    return munmap((void *)fake_layout.kernel_lo, STACKS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(everything_fails_once, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
