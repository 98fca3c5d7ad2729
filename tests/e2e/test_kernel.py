# SPDX-License-Identifier: BSD-2-Clause
"""The guest kernel: reads and writes of streams that need no exit, and what may happen meanwhile.

Most tests run one guest program as a stage of VMs and as a process, with the same bytes.
"""

import hashlib
import os
import subprocess
import tempfile
import time

from harness import KIB, MIB, FerryTest, Running, box, guest, main, pipe, text

SIZES = (1, 7, 4 * KIB, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, MIB)
SOME = text(MIB + 12345)
DIVISOR = int(os.environ.get("FERRY_SIZE_DIVISOR", "1"))  # where all is emulated


def many(count):
    return max(1, count // DIVISOR)


def stage(*words):
    return " ".join([guest("streams"), *map(str, words)])


class Bytes(FerryTest):
    def check(self, *stages, data=SOME):
        result = pipe(stages, data=data)
        self.assert_clean(result)
        self.assertEqual(hashlib.sha256(result.output).digest(), hashlib.sha256(data).digest())
        return result

    def test_all_sizes_of_reads_and_writes(self):
        for size in SIZES:
            with self.subTest(size=size):
                data = SOME if size > 100 else SOME[:40000]
                self.check(stage("pass", size), stage("pass", 10 * KIB), data=data)
                self.check(stage("pass", 10 * KIB), stage("pass", size), data=data)

    def test_pieces_and_poll(self):
        for size in (1, 1000, 64 * KIB + 1):
            with self.subTest(size=size):
                data = SOME if size > 100 else SOME[:20000]
                self.check(stage("pieces", size), stage("poll", size), data=data)
                self.check(stage("poll", size), stage("pieces", size), data=data)

    def test_questions_about_the_streams(self):
        result = self.check(stage("ask", 700), box("cat"))
        self.assertLess(result.vm(0)["exits_natural"], 2 * len(SOME) / 700)

    def test_registers_and_flags_are_kept(self):
        self.check(stage("registers"), box("cat"), data=SOME[:20000])

    def test_a_program_may_use_gs(self):
        self.check(stage("gs"), box("cat"), data=SOME[:30000])

    def test_descriptors_change_their_files(self):
        self.check(stage("descriptors"), box("cat"), data=SOME[:100000])

    def test_a_stage_alone(self):
        result = self.check(stage("pass", 100), data=SOME[:200000])
        self.assertLess(result.vm(0)["exits_natural"], 4000 / 2)

    def test_many_extents(self):
        data = SOME * many(20)
        self.check(stage("pass", 100000), box("cat"), stage("pass", 4096), data=data)


class Meanwhile(FerryTest):
    def test_bad_pointers(self):
        data = SOME[:50000]
        host = subprocess.run(
            stage("pointers").split(), input=data, capture_output=True, check=False
        )
        result = pipe([stage("pointers"), box("cat")], data=data)
        self.assert_ends(result, 0)
        self.assertEqual(result.errors, host.stderr.decode())
        self.assertNotIn("no EFAULT", result.errors)
        self.assertEqual(result.output, data)

    def test_signals_during_the_copy(self):
        data = SOME * many(30)
        result = pipe([stage("signals", 64 * KIB), stage("signals", 3000)], data=data)
        self.assert_ends(result, 0)
        self.assertEqual(result.errors, "signals came\n" * 2)
        self.assertEqual(hashlib.sha256(result.output).digest(), hashlib.sha256(data).digest())

    def test_a_time_limit_during_the_copy(self):
        begin = time.monotonic()
        result = pipe([box("yes"), stage("pass", MIB), box("grep -c x")], "--timeout", "1")
        self.assertEqual(result.status, 124)
        self.assertLess(time.monotonic() - begin, 60)
        self.assert_conserved(result)

    def test_who_waits_gets_what_was_written(self):
        """A writer that goes on to compute: the tick takes what it wrote without an exit."""
        with Running([stage("pass", 5), stage("pass", 100)], stdin=subprocess.PIPE) as run:
            for i in range(40):
                run.process.stdin.write(b"line%d" % (i % 10))
                self.assertEqual(run.read(5), b"line%d" % (i % 10))
            run.process.stdin.close()
            run.process.stdin = None
            self.assertEqual(run.end().status, 0)

    def test_a_reader_that_leaves(self):
        result = pipe([box("yes"), stage("pass", 1000), box("head -n 20000")])
        self.assertEqual(result.output, b"y\n" * 20000)
        self.assertEqual(result.status, 0)


class Threads(FerryTest):
    def test_each_byte_is_read_once(self):
        data = SOME * many(10)
        result = pipe([stage("pass", 5000), stage("readers")], data=data)
        self.assert_clean(result)
        self.assertEqual(result.output, b"%d %d\n" % (len(data), sum(data)))

    def check_records(self, size, count):
        result = pipe([stage("writers", size, count), stage("pass", 100000)])
        self.assert_clean(result)
        records = result.output.split(b"\n")
        self.assertEqual(records.pop(), b"")
        self.assertEqual(len(records), 4 * count)
        for letter in b"abcd":
            self.assertEqual(records.count(bytes([letter]) * (size - 1)), count)
        return result

    def test_no_record_is_torn(self):
        result = self.check_records(100, many(20000))
        self.assertLess(result.vm(0)["exits_natural"], 100 + many(80000) / 4)

    def test_no_long_record_is_torn(self):
        """Those that find no room are written by the VMM, while others write by themselves."""
        for size, count in ((70000, 300), (1500000, 12), (3 * MIB, 4)):
            with self.subTest(size=size):
                self.check_records(size, many(count))


class Hostile(FerryTest):
    """A program that overwrites what its guest kernel works with harms nobody else."""

    def test_words_and_registers_are_overwritten(self):
        result = pipe(
            [box("yes"), stage("scribble"), box("wc -c")], "--timeout", "4", timeout=60
        )
        self.assertGreaterEqual(result.status, 124)  # the time limit, or a signal
        self.assert_conserved(result)

    def test_its_code_is_entered_anywhere(self):
        for at in range(0, 1200, 37 if DIVISOR == 1 else 149):
            with self.subTest(at=at):
                result = pipe(
                    [box("yes"), stage("jump", at), box("cat")], "--timeout", "3", timeout=60
                )
                self.assert_conserved(result)
                self.assertNotIn("internal", result.errors)
                self.assertEqual(result.vm(2)["exit_status"], 0 if result.status != 124 else 143)


class Exits(FerryTest):
    """What it is for, in numbers that do not depend on time."""

    def test_reads_of_4_kib(self):
        data = SOME * many(16)
        plain = pipe([stage("pass", 4096), box("cat")], data=data)
        calls = 2 * len(data) / 4096
        self.assertEqual(plain.output, data)
        self.assertLess(plain.vm(0)["exits_natural"], 100 + calls / 8)

    def test_answers_that_never_change(self):
        few, many = (
            pipe([f"{guest('answers_often')} {count}", box("cat")], data=SOME[:100])
            for count in (1, 2000)
        )
        for result in (few, many):
            self.assert_clean(result)
            self.assertEqual(result.output, SOME[:100])
        self.assertLess(many.vm(0)["exits_natural"] - few.vm(0)["exits_natural"], 1000)

    def test_a_reader_makes_at_most_one_exit_for_256_kib(self):
        """busybox reads 4 KiB at a time; the command has its input in a file."""
        with tempfile.TemporaryFile() as file:
            file.write(SOME * many(16))
            size = file.tell()
            file.seek(0)
            result = pipe([box("sha256sum")], stdin=file)
        self.assert_clean(result)
        start = pipe([box("sha256sum")], data=b"").vm(0)["exits_natural"]
        self.assertLessEqual(result.vm(0)["exits_natural"] - start, 8 + size / (256 * KIB))


if __name__ == "__main__":
    main()
