# SPDX-License-Identifier: BSD-2-Clause
"""The clocks of programs: what the vDSO tells them without an exit, beside the system calls."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from harness import FERRY, PATIENCE, FerryTest, ferry, guest, main

SIZE_DIVISOR = int(os.environ.get("FERRY_SIZE_DIVISOR", "1"))
CALLS = 100_000 // SIZE_DIVISOR
KINDS = ["clocks", "clocks_pie", "clocks_musl", "clocks_musl_pie"]
TESTS = ["compare", "threads", "handlers", "faults", "memory", "maps"]


def clocksource():
    with open("/sys/devices/system/clocksource/clocksource0/current_clocksource", encoding="ascii") as file:
        return file.read().strip()


def exits(*command):
    result = ferry("run", "--stats=json", "--", *command)
    if result.status != 0:
        raise AssertionError(result.errors)
    vm = result.vm(0)
    return vm["exits_immediate"] + vm["exits_natural"]


class Clocks(FerryTest):
    def test_the_vdso_agrees_with_the_system_calls(self):
        for name in TESTS:
            with self.subTest(name):
                result = ferry("run", "--", guest("clocks"), name)
                self.assertEqual((result.status, result.output), (0, b"all right\n"), result.errors)

    @unittest.skipIf(SIZE_DIVISOR > 1, "an emulated machine does otherwise")
    def test_a_process_passes_the_same_tests(self):
        for name in TESTS[:-1]:
            with self.subTest(name):
                done = subprocess.run(
                    [guest("clocks"), name], capture_output=True, check=False, timeout=PATIENCE
                )
                self.assertEqual((done.returncode, done.stdout), (0, b"all right\n"), done.stderr)

    def test_ferry_is_stopped_and_goes_on(self):
        """Longer than a page of clocks holds, while the program looks at the clock."""
        with subprocess.Popen(
            [FERRY, "run", "--", guest("clocks"), "watch"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as running:
            self.assertEqual(running.stdout.readline(), b"begun\n")
            for _ in range(3):
                running.send_signal(signal.SIGSTOP)
                os.waitid(os.P_PID, running.pid, os.WSTOPPED)
                begin = time.monotonic()
                while time.monotonic() < begin + 0.1:
                    pass
                running.send_signal(signal.SIGCONT)
                running.stdin.write(b"?")
                running.stdin.flush()
                self.assertEqual(running.stdout.readline(), b"goes on\n")
            output, _ = running.communicate(timeout=PATIENCE)
            self.assertEqual((running.returncode, output), (0, b"all right\n"))

    def test_after_execve(self):
        sh = shutil.which("sh")
        for test in ("compare", "faults"):
            result = ferry("run", f"--ro={os.path.dirname(guest('clocks'))}", "--", sh, "-c",
                           f"exec {guest('clocks')} {test}")  # fmt: skip
            self.assertEqual((result.status, result.output), (0, b"all right\n"), result.errors)


class Exits(FerryTest):
    def setUp(self):
        if clocksource() != "tsc":
            self.skipTest("the host's clock is not the TSC")

    def compare(self, few, many, most):
        self.assertLess(exits(*many) - exits(*few), most)

    def test_static_programs_ask_without_exits(self):
        for kind in KINDS:
            with self.subTest(kind):
                command = [guest(kind), "count"]
                self.compare([*command, "0"], [*command, str(CALLS)], 100)

    def test_so_does_a_program_of_the_distribution(self):
        code = "import time\nfor i in range({}): time.monotonic(), time.time()"
        few, many = ([sys.executable, "-S", "-c", code.format(n)] for n in (1, CALLS))
        self.compare(few, many, CALLS // 100)

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
            # A thread of its runtime makes calls as long as the program runs.
            self.compare([program, "1"], [program, str(CALLS)], CALLS // 20)


if __name__ == "__main__":
    main()
