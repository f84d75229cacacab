/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * faulty_console.c - see faulty_console.h. Output is refused with -EIO (CHAOS_ERROR), or nothing of
 * it is taken for a while (CHAOS_BUSY), the end of which is announced as the contract says. What is
 * refused is refused before the device has seen it, so nothing is ever half written because of us.
 */
#include "drv/faulty_console.h"

#include "core/chaos.h"
#include "hal_up.h"
#include "lib/errno.h"
#include "sched/timer.h"

static struct {
    const struct stdio_device *real;
    bool busy[HAL_STREAM_COUNT]; /* atomic */
    struct timer rest[HAL_STREAM_COUNT];
} faulty;

/* irq context. Release: whoever is told finds the stream at work. */
static void rested(struct timer *timer)
{
    __atomic_store_n(&faulty.busy[timer - faulty.rest], false, __ATOMIC_RELEASE);
    kernel_console();
}

static bool busy(enum hal_stream stream)
{
    return __atomic_load_n(&faulty.busy[stream], __ATOMIC_ACQUIRE);
}

static int faulty_write(enum hal_stream stream, const void *buf, size_t len)
{
    if (len == 0 || stream == HAL_STREAM_LOG)
        return faulty.real->write(stream, buf, len);
    if (chaos_hit(CHAOS_ERROR))
        return -EIO;
    uint64_t delay = busy(stream) ? 0 : chaos_delay(CHAOS_BUSY);
    if (delay) {
        /* Before the timer, which may fire at once. */
        __atomic_store_n(&faulty.busy[stream], true, __ATOMIC_RELEASE);
        timer_arm(&faulty.rest[stream], clock_mono_ns() + delay);
    }
    return delay || busy(stream) ? (int)len : faulty.real->write(stream, buf, len);
}

static int faulty_room(enum hal_stream stream)
{
    return busy(stream) ? 0 : faulty.real->room(stream);
}

static long faulty_read(void *buf, size_t len)
{
    return faulty.real->read(buf, len);
}

static void faulty_info(struct hal_console_info *out)
{
    faulty.real->info(out);
}

const struct stdio_device *faulty_console(const struct stdio_device *real)
{
    static const struct stdio_device machine = {hal_console_write, hal_console_room,
                                                hal_console_read, hal_console_info};
    static const struct stdio_device device = {faulty_write, faulty_room, faulty_read, faulty_info};
    faulty.real = real ? real : &machine;
    for (unsigned i = 0; i < HAL_STREAM_COUNT; i++)
        timer_setup(&faulty.rest[i], rested);
    return &device;
}
