#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Writes the table of x86-64 system-call names, taken from the kernel's header:
#   syscall-names.sh OUTPUT CC [ARGS...]
set -eu

output=$1
shift
macros=$(echo '#include <asm/unistd_64.h>' | "$@" -E -dM -x c -)
{
    echo '/* Made by scripts/syscall-names.sh from <asm/unistd_64.h>. */'
    echo 'static const char *const syscall_names[] = {'
    printf '%s\n' "$macros" |
        awk '$2 ~ /^__NR_/ && $3 ~ /^[0-9]+$/ { printf "    [%d] = \"%s\",\n", $3, substr($2, 6) }' |
        sort -t'[' -k2n
    echo '};'
} > "$output.tmp"
# An empty table means that the header was not the expected one.
grep -q '"read"' "$output.tmp"
mv "$output.tmp" "$output"
