/* SPDX-License-Identifier: BSD-3-Clause */
/* power.c - the end of the machine is the end of the process. */
#include "hosted.h"
#include "sim.h"

#define TCSETS 0x5402
#define STOP_LOOKS 2500 /* at CPUs that are to stop, ... */
#define STOP_LOOK_NS 200000

int32_t hosted_exit_status = -1;
uint32_t hosted_shutdown_signals;
uint32_t hosted_input_idle;
uint32_t hosted_room_wanted;
uint32_t hosted_job;

void hal_halt_others(void)
{
    const struct host_timespec pause = {0, STOP_LOOK_NS};
    unsigned self = hal_cpu_id(), told = 0;

    /* Release: an interrupt signal that arrives after this finds it (trap.c, halt_if_told). */
    __atomic_store_n(&hosted_halted, self + 1, __ATOMIC_SEQ_CST);
    for (unsigned i = 0; i < hosted_config.cpu_count; i++) {
        int32_t tid = __atomic_load_n(&hosted_vcpus[i].tid, __ATOMIC_ACQUIRE);

        if (i != self && tid != 0 && !SELKIE_SIM)
            (void)host_call3(HOST_tgkill, hosted_pid, tid, HOSTED_IRQ_SIGNAL);
        told += i != self && tid != 0;
    }
    /* Acquire: the registers that they have left are there. */
    for (unsigned i = 0; i < STOP_LOOKS && !SELKIE_SIM; i++) {
        if (__atomic_load_n(&hosted_stopped, __ATOMIC_ACQUIRE) >= told)
            break;
        (void)host_call3(HOST_nanosleep, (long)&pause, 0, 0);
    }
}

no_sanitize void hosted_restore_tty(void)
{
    const struct hosted_config *c = &hosted_config;

    if (__atomic_load_n(&c->restore_tty, __ATOMIC_ACQUIRE))
        (void)host_call3(HOST_ioctl, c->fd_in, TCSETS, (long)&c->tty);
}

_Noreturn void hal_poweroff(int status)
{
    const struct hosted_config *c = &hosted_config;
    const uint64_t one = 1;

    if (SELKIE_SIM)
        sim_finish(status);
    if (hosted_ends_by())
        hosted_end_by(hosted_ends_by());
    hosted_restore_tty();
    if (c->exit_outside) {
        hal_halt_others();
        __atomic_store_n(&hosted_exit_status, status & 0xff, __ATOMIC_SEQ_CST);
        (void)host_call3(HOST_write, c->wake_fd, (long)&one, sizeof(one));
        for (;;)
            (void)host_call3(HOST_pause, 0, 0, 0);
    }
    for (;;)
        (void)host_call3(HOST_exit_group, status & 0xff, 0, 0);
}

/* Whoever started the process starts it again if he wants to: there is nothing else to reset. */
_Noreturn void hal_reboot(void)
{
    hal_poweroff(0);
}

/* Any context; the outer world does it. */
bool hal_suspend(void)
{
    const uint64_t one = 1;

    if (!hosted_config.in_tty)
        return false;
    __atomic_fetch_or(&hosted_job, HOSTED_JOB_STOP, __ATOMIC_RELEASE);
    (void)host_call3(HOST_write, hosted_config.wake_fd, (long)&one, sizeof(one));
    return true;
}
