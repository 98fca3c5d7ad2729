/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A decoder with a fault, for decode.c: it expands runs, "3a2b" to "aaabb", line by line, and knows
 * nothing of Ferry. It trusts the lengths of its input, so that a run longer than a line overwrites
 * what lies behind it, as in many a decoder of pictures.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char line[4096];

int main(void)
{
    unsigned long run;
    size_t used = 0;
    int what;

    while (scanf("%lu", &run) == 1 && (what = getchar()) != EOF) {
        memset(line + used, what, run); /* the fault */
        used += run;
        what = getchar();
        if (what != '\n') {
            ungetc(what, stdin);
            continue;
        }
        fwrite(line, 1, used, stdout);
        putchar('\n');
        used = 0;
    }
    return feof(stdin) && fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
