/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs for ever without a system call. */
int main(void)
{
    for (;;)
        __asm__ volatile("");
}
