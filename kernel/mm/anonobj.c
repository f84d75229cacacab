/* SPDX-License-Identifier: BSD-3-Clause */
/* anonobj.c - the vm_object behind MAP_SHARED|MAP_ANONYMOUS: memory without a file, alive as long
 * as an area maps it. */
#include "mm/area.h"
#include "mm/kmalloc.h"

struct anon_object {
    struct vm_object object;
    struct refcount refs;
};

static struct anon_object *anon_of(struct vm_object *object)
{
    return container_of(object, struct anon_object, object);
}

static void anon_get(struct vm_object *object)
{
    ref_get(&anon_of(object)->refs);
}

static void anon_put(struct vm_object *object)
{
    struct anon_object *anon = anon_of(object);
    if (!ref_put(&anon->refs))
        return;
    vm_object_destroy(object);
    kfree(anon);
}

static const struct vm_object_ops anon_ops = {.get = anon_get, .put = anon_put};

struct vm_object *anon_object_create(uint64_t size)
{
    struct anon_object *anon = kzalloc(sizeof *anon);
    if (!anon)
        return NULL;
    vm_object_init(&anon->object, &anon_ops, size);
    ref_init(&anon->refs);
    return &anon->object;
}

bool anon_object_is(const struct vm_object *object)
{
    return object->ops == &anon_ops;
}
