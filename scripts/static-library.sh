#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Makes an archive that shows its public symbols only: one object, in which hidden symbols are
# local.
#
#   static-library.sh IN.a OUT.a [WEAK...]
#
# References to symbols that match WEAK become weak: a program links without them.
set -euo pipefail
in=$1 out=$2
shift 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

weak=()
for pattern; do weak+=("--weaken-symbol=$pattern"); done
ld -r -o "$work/ferry.o" --whole-archive "$in"
objcopy --wildcard --localize-hidden "${weak[@]}" "$work/ferry.o"
ar rcsD "$work/out.a" "$work/ferry.o"
mv "$work/out.a" "$out"
