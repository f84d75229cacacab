/* SPDX-License-Identifier: BSD-3-Clause */
/* virtio_rng.h - the machine's random numbers as a source of the kernel's generator
 * (core/random.h). */
#ifndef SELKIE_DRV_VIRTIO_RNG_H
#define SELKIE_DRV_VIRTIO_RNG_H

/* Look for a device and let the generator take what it gives, from now on. Waits for it if the
 * generator has had nothing good yet. Thread context, once. */
void virtio_rng_start(void);

#endif
