/* SPDX-License-Identifier: BSD-2-Clause */
/* Takes extents, then pages, until it is refused; says how many and why. */
#include "guest.h"

static void hog(const char *what, void *(*alloc)(size_t), uint32_t least)
{
    uint32_t count = 0;

    while (alloc(1) != NULL)
        count++;
    if (errno != EDQUOT && errno != ENOMEM)
        fail("%s: %s", what, strerror(errno));
    if (count < least)
        fail("%u %s only", count, what);
    printf("%u %s, then %s\n", count, what, errno == EDQUOT ? "EDQUOT" : "ENOMEM");
}

int main(void)
{
    if (ferry_control() == NULL)
        fail("not in a Ferry VM");
    hog("extents", ferry_alloc_extents, 1);
    hog("pages", ferry_alloc_pages, 1);
    /* Plain output is not kept from its extent. */
    if (fflush(stdout) != 0)
        fail("write: %s", strerror(errno));
    return 0;
}
