/* SPDX-License-Identifier: BSD-3-Clause */
/* netframe.h - what a record of the switch (a virtio header and a frame) is on an ordinary wire. */
#ifndef SELKIE_NETFRAME_H
#define SELKIE_NETFRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NET_HEADER 12       /* virtio's, before each frame */
#define NET_FRAME_MAX 65600 /* the longest frame in a record */

/*
 * Give `emit` the frames that a record stands for: the frame itself, its checksum completed if the
 * sender has left that to the device, or its segments. False: it is none that a wire could carry,
 * and nothing was given. The record's bytes may be changed.
 */
bool net_frames(uint8_t *record, size_t len, void (*emit)(void *arg, const uint8_t *frame, size_t),
                void *arg);

#endif
