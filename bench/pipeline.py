#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Two Ferry-aware stages over a file: in VMs, and as processes joined by a pipe.

The same two executables each time (outside a VM they read fd 0 and write fd 1),
in turn, over a file in the page cache. The first stage passes its input on, the
second reads every cache line. The processes run once with a core each, as VMs
do, and once where the scheduler puts them: on one core a pipe needs no wake-up
of another, stays in that core's cache, and has no second core to gain from.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time


def make_input(path, size):
    """Bytes that do not compress to nothing: the machine's own libraries, repeated."""
    block = bytearray()
    for directory in ("/usr/lib/x86_64-linux-gnu", "/usr/bin"):
        for name in sorted(os.listdir(directory)):
            file = os.path.join(directory, name)
            if len(block) < 64 << 20 and os.path.isfile(file) and os.access(file, os.R_OK):
                with open(file, "rb") as source:
                    block += source.read()
    with open(path, "wb") as out:
        while out.tell() < size:
            out.write(block[: size - out.tell()])


def ferry(build, stages, path, options):
    with open(path, "rb") as source:
        start = time.monotonic()
        done = subprocess.run(
            [f"{build}/ferry", "pipe", "--stats=json", *options, *stages],
            stdin=source, capture_output=True, check=True)
        seconds = time.monotonic() - start
    return seconds, done.stdout, json.loads(done.stderr.splitlines()[-1])


def processes(stages, path, pinned):
    cores = sorted(os.sched_getaffinity(0))

    def pin(place):
        return (lambda: os.sched_setaffinity(0, {cores[place % len(cores)]})) if pinned else None

    with open(path, "rb") as source:
        start = time.monotonic()
        first = subprocess.Popen([stages[0]], stdin=source, stdout=subprocess.PIPE,
                                 preexec_fn=pin(0))
        second = subprocess.Popen([stages[1]], stdin=first.stdout, stdout=subprocess.PIPE,
                                  preexec_fn=pin(1))
        first.stdout.close()
        output = second.communicate()[0]
        first.wait()
        seconds = time.monotonic() - start
    return seconds, output


def spread(values):
    return f"{statistics.median(values):6.2f}  ({min(values):.2f} to {max(values):.2f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", help="the build directory")
    parser.add_argument("--bytes", type=int, default=1 << 30)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", help="also write the figures here")
    args, options = parser.parse_known_args()
    stages = [f"{args.build}/examples/pass", f"{args.build}/examples/count"]

    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "input")
        make_input(path, args.bytes)
        ferry(args.build, stages, path, options)
        processes(stages, path, False)
        rates = {"vms": [], "pinned": [], "free": []}
        for _ in range(args.rounds):
            seconds, output, stats = ferry(args.build, stages, path, options)
            rates["vms"].append(args.bytes / seconds / 1e9)
            for name in ("pinned", "free"):
                seconds, expected = processes(stages, path, name == "pinned")
                rates[name].append(args.bytes / seconds / 1e9)
                if output != expected:
                    sys.exit(f"results differ: {output!r}, {expected!r}")
    link = stats["links"][1]
    print(f"pass | count over {args.bytes >> 20} MiB in the page cache, {args.rounds} rounds, "
          "whole commands, median (least to most)")
    print(f"  VMs, GB/s                            {spread(rates['vms'])}")
    for name, what in (("pinned", "a core each"), ("free", "where they fall")):
        ratios = [a / b for a, b in zip(rates["vms"], rates[name])]
        print(f"  processes, {what + ', GB/s':25} {spread(rates[name])}")
        print(f"  ratio, round by round                {spread(ratios)}")
    print(f"  link between the stages: {link['messages']} messages, "
          f"{link['bytes_handed_over']} bytes handed over, {link['bytes_copied']} copied")
    for vm in stats["vms"]:
        print(f"  exits of {vm['name']}: {vm['exits_immediate']} immediate, "
              f"{vm['exits_natural']} natural")
    if args.json:
        with open(args.json, "w", encoding="utf-8") as out:
            json.dump({"rates": rates, "last": stats}, out, indent=1)


if __name__ == "__main__":
    main()
