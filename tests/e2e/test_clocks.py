# SPDX-License-Identifier: BSD-2-Clause
"""The clocks of programs: what the vDSO tells them without an exit, beside the system calls."""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest

from harness import PATIENCE, FerryTest, ferry, guest, main

CALLS = 100_000
KINDS = ["clocks", "clocks_pie", "clocks_musl", "clocks_musl_pie"]
TESTS = ["compare", "threads", "handlers", "faults", "memory", "maps"]


def clocksource():
    with open("/sys/devices/system/clocksource/clocksource0/current_clocksource", encoding="ascii") as file:
        return file.read().strip()


def exits(*command, options=()):
    result = ferry("run", "--stats=json", *options, "--", *command)
    if result.status != 0:
        raise AssertionError(result.errors)
    vm = result.vm(0)
    return vm["exits_immediate"] + vm["exits_natural"]


# There a reading of the clock may take too long to be exact.
EMULATED = unittest.skipIf("FERRY_SIZE_DIVISOR" in os.environ, "an emulated machine does otherwise")


class Clocks(FerryTest):
    def test_the_vdso_agrees_with_the_system_calls(self):
        for name in TESTS:
            with self.subTest(name):
                result = ferry("run", "--", guest("clocks"), name)
                self.assertEqual((result.status, result.output), (0, b"all right\n"), result.errors)

    @EMULATED
    def test_a_process_passes_the_same_tests(self):
        for name in TESTS[:-1]:
            with self.subTest(name):
                done = subprocess.run(
                    [guest("clocks"), name], capture_output=True, check=False, timeout=PATIENCE
                )
                self.assertEqual((done.returncode, done.stdout), (0, b"all right\n"), done.stderr)

    def test_after_execve_and_in_a_pipeline(self):
        sh = shutil.which("sh")
        for test in ("compare", "faults"):
            result = ferry("run", f"--ro={os.path.dirname(guest('clocks'))}", "--", sh, "-c",
                           f"exec {guest('clocks')} {test}")  # fmt: skip
            self.assertEqual((result.status, result.output), (0, b"all right\n"), result.errors)


@EMULATED
class Exits(FerryTest):
    def setUp(self):
        if clocksource() != "tsc":
            self.skipTest("the host's clock is not the TSC")

    def compare(self, few, many, options=()):
        self.assertLess(exits(*many, options=options) - exits(*few, options=options), 100)

    def test_static_programs_ask_without_exits(self):
        for kind in KINDS:
            with self.subTest(kind):
                command = [guest(kind), "count"]
                self.compare([*command, "0"], [*command, str(CALLS)])

    def test_so_does_a_program_of_the_distribution(self):
        code = "import time\nfor i in range({}): time.monotonic(), time.time()"
        self.compare(*([sys.executable, "-S", "-c", code.format(n)] for n in (1, CALLS)))

    @unittest.skipUnless(shutil.which("go"), "there is no go")
    def test_so_does_go(self):
        source = (
            'package main\nimport ("os"; "strconv"; "time")\nfunc main() {\n'
            "n, _ := strconv.Atoi(os.Args[1])\nfor ; n > 0; n-- { time.Now() }\n}\n"
        )
        with tempfile.TemporaryDirectory() as where:
            with open(os.path.join(where, "now.go"), "w", encoding="ascii") as file:
                file.write(source)
            subprocess.run(
                ["go", "build", "-o", "now", "now.go"], cwd=where, check=True,
                env={**os.environ, "GOCACHE": os.path.join(where, "cache"), "GOFLAGS": "-p=1"},
            )  # fmt: skip
            program = os.path.join(where, "now")
            self.compare([program, "1"], [program, str(CALLS)])


if __name__ == "__main__":
    main()
