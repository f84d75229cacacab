/* SPDX-License-Identifier: BSD-3-Clause */
/* table.c - page-table pages for the HAL (hal_up.h). */
#include "core/assert.h"
#include "hal_up.h"
#include "mm/page.h"

paddr_t kernel_table_alloc(void)
{
    struct page *page = page_alloc(0, PAGE_TABLE, ALLOC_ZERO);
    return page ? page_phys(page) : HAL_NO_PAGE;
}

void kernel_table_free(paddr_t pa)
{
    struct page *page = page_of_phys(pa);
    CHECK(page->type == PAGE_TABLE);
    page_put(page);
}
