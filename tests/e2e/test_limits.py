# SPDX-License-Identifier: BSD-2-Clause
"""A limit of the process that is too small is named, wherever it shows: none is guessed."""

import os
import resource
import subprocess
import time

from harness import FERRY, KIB, MIB, PATIENCE, FerryTest, Result, box, guest, main

class Memory(FerryTest):
    def test_many_threads_at_once(self):
        """What the command takes at most, beside what it takes for a program that takes nothing."""
        limit, peaks = 160 * MIB, []
        for command in (("memory", "8"), ("memory", "0")):
            child = subprocess.Popen(
                [FERRY, "run", f"--mem={limit}", guest("greedy_threads"), *command],
                stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            peaks.append(usage.ru_maxrss * KIB)
        self.assertGreater(peaks[0], limit // 2)
        self.assertLess(peaks[0], limit + peaks[1])


class Limits(FerryTest):
    def run_under(self, limit, value, *command, prefix=()):
        done = subprocess.run(
            [*prefix, FERRY, *command], input=b"", capture_output=True, check=False, timeout=PATIENCE,
            preexec_fn=lambda: resource.setrlimit(limit, (value, value)),
        )  # fmt: skip
        return Result(done.returncode, done.stdout, done.stderr)

    def sweep(self, limit, values, option, prefix=()):
        """With each value the run succeeds or the line names the option, and both occur."""
        places = set()
        enough = 0
        for value in values:
            with self.subTest(value):
                result = self.run_under(limit, value, "pipe", box("true"), box("cat"), prefix=prefix)
                if result.status == 0:
                    self.assertEqual(result.errors, "")
                    enough += 1
                    continue
                # Two VMs may meet it at once.
                self.assertRegex(result.errors, rf"\A(ferry: [^\n]*; raise 'ulimit {option}'[^\n]*\n)+\Z")
                self.assertEqual(result.errors.count("raise"), result.errors.count("\n"))
                # Some memory is asked for when it is touched, and that may be by the program.
                self.assertIn(result.status, (125, 137) if option == "-d" else (125,))
                places.add(result.errors)
        self.assertGreater(enough, 0)
        return places

    def test_addresses(self):
        places = self.sweep(resource.RLIMIT_AS, [48 * MIB << n for n in range(14)], "-v")
        self.assertGreater(len(places), 1)

    def test_data(self):
        sizes = [MIB * n for n in (1, 2, 4, 6, 8, 11, 14, 17, 20, 24, 32, 128)]
        places = self.sweep(resource.RLIMIT_DATA, sizes, "-d")
        self.assertGreater(len(places), 3)

    def test_descriptors(self):
        places = " ".join(self.sweep(resource.RLIMIT_NOFILE, range(4, 33), "-n"))
        for place in ("make the page of clocks", "measure the cost", "stage 1 (true)", "stage 2 (cat)"):
            self.assertIn(place, places)

    def test_files(self):
        self.sweep(resource.RLIMIT_FSIZE, (0, 100 * KIB, 1024 * MIB), "-f")

    def test_threads(self):
        if os.geteuid() != 0:
            self.skipTest("only root can become somebody who may still open /dev/kvm")
        rights = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
        prefix = ["setpriv", "--reuid=54321", *rights]
        places, end = set(), time.monotonic() + PATIENCE
        # Which thread meets the limit, KVM's own among them, depends on time.
        while len(places) < 3 and time.monotonic() < end:
            places |= self.sweep(resource.RLIMIT_NPROC, range(1, 12), "-u", prefix)
        self.assertGreater(len(places), 2)

    def test_stack_of_any_size(self):
        """The size of a thread's stack does not depend on this limit."""
        for value in (512 * KIB, 1 << 37):
            with self.subTest(value):
                result = self.run_under(resource.RLIMIT_STACK, value, "pipe", box("true"))
                self.assert_ends(result, 0)

    def test_memory_that_a_running_program_asks_for(self):
        command = ["run", *box("dd bs=60M count=1").split()]
        result = self.run_under(resource.RLIMIT_DATA, 48 * MIB, *command)
        self.assertEqual(result.status, 137)
        self.assertRegex(result.errors, "it touched memory that the host has not; raise 'ulimit -d'")

    def test_option_is_named_where_the_option_is_too_small(self):
        """The line names the option even if the limit is large enough."""
        command = ["run", "--mem=1M", *box("true").split()]
        result = self.run_under(resource.RLIMIT_AS, 48 << 30, *command)
        self.assert_error(result, "--mem")
        self.assertNotIn("ulimit", result.errors)


if __name__ == "__main__":
    main()
