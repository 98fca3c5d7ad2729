# SPDX-License-Identifier: BSD-2-Clause
"""Files in memory that the guest kernel writes without an exit, beside what a process writes."""

import os
import subprocess

from harness import FerryTest, ferry, guest, main

DIVISOR = int(os.environ.get("FERRY_SIZE_DIVISOR", "1"))  # where all is emulated


def many(count):
    return max(1, count // DIVISOR)


class Writes(FerryTest):
    def run_vm(self, how, number=0, options=()):
        result = ferry("run", "-n", "--stats=json", *options, guest("writes"), how, str(number), "/tmp")
        self.assert_clean(result)
        return result

    def check(self, how, number=0):
        """The program sees the same as a process; gives the result."""
        words = [guest("writes"), how, str(number), self.enter_directory()]
        host = subprocess.run(words, capture_output=True, check=True)
        result = self.run_vm(how, number)
        self.assertNotEqual(host.stdout, b"")
        self.assertEqual(result.output, host.stdout)
        return result

    def test_all_calls_in_any_order(self):
        for seed in (300, 301, 302):
            with self.subTest(seed=seed):
                self.check("mix", many(seed))

    def test_most_writes_make_no_exit(self):
        writes = many(4000)
        result = self.check("order", writes)
        self.assertLess(result.vm(0)["exits_natural"], 100 + writes / 20)

    def test_the_longest_file_that_there_may_be(self):
        self.check("refused")

    def test_no_more_than_there_is_memory_for(self):
        result = self.run_vm("full", options=("--mem", "24M"))
        self.assertEqual(result.output, b"No space left on device\nall\n")

    def test_threads_write_whole_records_and_see_those_of_others(self):
        rounds = many(2000)
        result = self.run_vm("threads", rounds)
        self.assertEqual(result.output, b"%d %d %d %d 0\n" % (rounds, rounds, rounds, rounds))

    def test_signals_within_writes(self):
        result = self.run_vm("signals", many(4000))
        self.assertEqual(result.output, b"0 wrong, 0 more, handler right\n")

    def test_words_that_are_forged(self):
        self.assertEqual(self.run_vm("forge", many(500)).output, b"over\n")


if __name__ == "__main__":
    main()
