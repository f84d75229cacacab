/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtio_rng.c - a virtio entropy device (Virtual I/O Device 1.2, 5.4): one queue of buffers that
 * it fills.
 *
 * The device has one buffer nearly all the time. The generator looks when it is seeded again; what
 * has come by then is taken, and the device gets the buffer back. So there is no interrupt, and
 * nobody waits, but the boot of a machine that has no other source. What the device gives is mixed
 * in: a device that lies makes nothing worse.
 *
 * Lock: the generator's, after the start.
 */
#include "drv/virtio_rng.h"

#include "core/log.h"
#include "core/random.h"
#include "drv/virtio.h"
#include "lib/errno.h"
#include "lib/string.h"
#include "mm/page.h"

#define BUFFER_SIZE 64u
#define FIRST_WAIT_NS NS_PER_SEC

static struct {
    struct virtio_device dev;
    struct virtio_queue queue;
    uint8_t *buffer; /* BUFFER_SIZE bytes of a page that nothing else is in: the device may write
                        there at any time */
    bool broken;
} rng;

static void buffer_give(void)
{
    virtio_queue_add(&rng.queue, 0, hal_virt_to_phys(rng.buffer), BUFFER_SIZE, true);
    virtio_queue_kick(&rng.dev, &rng.queue);
}

static size_t rng_take(void *buf, size_t size)
{
    uint32_t len;
    if (rng.broken || !virtio_queue_ready(&rng.queue))
        return 0;
    if (virtio_queue_take(&rng.queue, &len) != 0) {
        rng.broken = true; /* a number that it was not given */
        return 0;
    }
    size_t n = MIN(MIN((size_t)len, size), (size_t)BUFFER_SIZE);
    memcpy(buf, rng.buffer, n);
    memset(rng.buffer, 0, BUFFER_SIZE);
    buffer_give();
    return n;
}

static int start(void)
{
    struct page *page = page_alloc(0, PAGE_KERNEL, ALLOC_ZERO);
    if (!page)
        return -ENOMEM;
    rng.buffer = page_virt(page);
    int err = virtio_features(&rng.dev, 0, NULL);
    if (!err)
        err = virtio_queue_init(&rng.dev, &rng.queue, 0, 1);
    if (err) {
        page_put(page);
        return err;
    }
    virtio_start(&rng.dev);
    buffer_give();
    return 0;
}

void virtio_rng_start(void)
{
    memset(&rng, 0, sizeof rng);
    unsigned at = 0;
    if (virtio_find(&rng.dev, VIRTIO_RNG, &at))
        return;
    int err = start();
    if (err) {
        virtio_reset(&rng.dev);
        log_warn("the virtio entropy device does not work (%d)", err);
        return;
    }
    uint64_t until = hal_clock_ns() + FIRST_WAIT_NS;
    while (!random_seeded() && !virtio_queue_ready(&rng.queue) && hal_clock_ns() < until)
        hal_cpu_relax();
    random_source(rng_take);
}
