/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Run by the build: turns the table of calls into a filter for the kernel, by libseccomp, and prints it
 * as the members of an array. At run time that would take longer than the rest of the jail, and a
 * static program would need one library more.
 */
#include <errno.h>
#include <linux/filter.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "calls.h"

static int add(scmp_filter_ctx filter, const struct jail_call *call)
{
    uint32_t action = call->error ? SCMP_ACT_ERRNO((uint32_t)call->error) : SCMP_ACT_ALLOW;
    const struct scmp_arg_cmp compare[] = {
        {(unsigned)call->argument, SCMP_CMP_MASKED_EQ, call->mask, call->value},
        {(unsigned)call->also, SCMP_CMP_MASKED_EQ, INT32, call->is}};

    return seccomp_rule_add_array(filter, action, call->number,
                                  call->argument < 0 ? 0 : 1 + (call->also > 0), compare);
}

static int build(scmp_filter_ctx filter)
{
    int result = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);

    /* A tree: the many calls are not compared one after the other. */
    if (result == 0)
        result = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    for (size_t i = 0; result == 0 && i < sizeof(jail_calls) / sizeof(jail_calls[0]); i++) {
        result = add(filter, &jail_calls[i]);
        if (result != 0)
            fprintf(stderr, "call %d (%s): %s\n", jail_calls[i].number, jail_calls[i].why,
                    strerror(-result));
    }
    return result;
}

static int print(scmp_filter_ctx filter)
{
    struct sock_filter instruction;
    FILE *file = tmpfile();
    size_t count = 0;

    if (!file || seccomp_export_bpf(filter, fileno(file)) != 0)
        return -EIO;
    rewind(file);
    for (; fread(&instruction, sizeof(instruction), 1, file) == 1; count++)
        printf("{%#x, %u, %u, %#x},\n", instruction.code, instruction.jt, instruction.jf,
               instruction.k);
    fclose(file);
    return count && fflush(stdout) == 0 ? 0 : -EIO;
}

int main(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    int result = filter ? build(filter) : -ENOMEM;

    if (result == 0)
        result = print(filter);
    if (filter)
        seccomp_release(filter);
    if (result != 0)
        fprintf(stderr, "cannot make the filter of system calls: %s\n", strerror(-result));
    return result != 0;
}
