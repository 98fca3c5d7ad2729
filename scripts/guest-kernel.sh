#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Links the guest kernel and writes its bytes as an array of C:
#   guest-kernel.sh OUTPUT SOURCE-DIR CC [ARGS...]
set -eu

output=$1 source=$2
shift 2
image=$output.elf
# No vector registers: they are the program's. Nothing that the compiler would take from a library.
"$@" -std=gnu17 -O2 -g0 -ffreestanding -fno-builtin -fpie -fvisibility=hidden -mgeneral-regs-only \
    -mno-red-zone -fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables \
    -fno-jump-tables -fomit-frame-pointer -U_FORTIFY_SOURCE -Wall -Wextra -Werror \
    -I"$source/include" -I"$source/guest" -nostdlib -static -Wl,--build-id=none \
    -Wl,-z,noexecstack -Wl,-T,"$source/guest/kernel/kernel.ld" -o "$image" \
    "$source/guest/kernel/entry.S" "$source/guest/kernel/serve.c" "$source/guest/kernel/files.c" \
    "$source/guest/kernel/rooms.c" "$source/guest/kernel/told.c"
objcopy -O binary -j .text "$image" "$image.bin"
"$(dirname "$0")/embed.sh" "$output" "$image.bin" guest_kernel_code
