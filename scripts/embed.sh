#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Writes a file as a C array, to be part of a program:
#   embed.sh OUTPUT INPUT NAME
set -eu

{
    echo "/* Made by scripts/embed.sh from $(basename "$2"). */"
    echo "static const unsigned char $3[] = {"
    od -An -v -tx1 "$2" | sed 's/ \(..\)/0x\1,/g'
    echo '};'
} > "$1.tmp"
mv "$1.tmp" "$1"
