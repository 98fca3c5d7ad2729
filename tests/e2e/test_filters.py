# SPDX-License-Identifier: BSD-2-Clause
"""Unmodified busybox filters over inputs around the sizes of a page and an extent.

Each case runs in VMs and as ordinary processes; both must print the same bytes.
"""

import os
import re
import tempfile
import time

from harness import (
    EXTENT,
    KIB,
    MIB,
    PATIENCE,
    FerryTest,
    Feeder,
    Running,
    box,
    ferry,
    guest,
    main,
    on_host_bytes,
    pipe,
    text,
)

PIPELINES = {
    "cat": ["cat"],
    "cat_thrice": ["cat", "cat", "cat"],
    "gzip_gunzip": ["gzip -c", "gunzip -c"],
    "sort": ["sort"],
    "sort_uniq": ["tr -s ' ' '\\n'", "sort", "uniq -c", "sort -rn"],
    "sha256sum": ["sha256sum"],
    "tr": ["tr a-z A-Z"],
    "wc": ["wc"],
    "awk": ["awk '{ n += NF } END { print n + 0, NR }'"],
    "sed": ["sed -e s/ferry/FERRY/g -e /guest/d"],
    "dd": ["dd bs=100000 status=none"],
    "tail": ["tail -n 3"],
}

SIZES = {
    "empty": 0,
    "1_byte": 1,
    "4096_bytes": 4096,
    "extent_less_1": EXTENT - 1,
    "extent": EXTENT,
    "extent_and_1": EXTENT + 1,
}


class Filters(FerryTest):
    def check(self, applets, size):
        data = text(size)
        stages = [box(applet) for applet in applets]
        with tempfile.TemporaryFile() as file:
            file.write(data)
            file.seek(0)
            result = pipe(stages, stdin=file)
        self.assert_clean(result)
        self.assertEqual(result.output, on_host_bytes(stages, data))
        self.assertEqual(result.stats["bytes_in"], size)
        self.assertEqual(result.stats["bytes_out"], len(result.output))


def case(applets, size):
    return lambda self: self.check(applets, size)


for label, pipeline in PIPELINES.items():
    for size_label, length in SIZES.items():
        setattr(Filters, f"test_{label}_{size_label}", case(pipeline, length))


class Inputs(FerryTest):
    """Where standard input and output may come from and go to."""

    def test_binary_data_from_a_pipe(self):
        data = os.urandom(3 * EXTENT + 12345)
        result = pipe([box("cat"), box("gzip -c"), box("gunzip -c")], data=data)
        self.assert_clean(result)
        self.assertEqual(result.output, data)

    def test_pipe_that_trickles(self):
        reader, writer = os.pipe()
        Feeder(writer, b"one line\n", chunks=5000)
        with os.fdopen(reader) as source:
            result = pipe([box("cat"), box("wc -l")], stdin=source)
        self.assert_clean(result)
        self.assertEqual(result.output, b"5000\n")

    def test_file_is_read_from_its_offset(self):
        with tempfile.TemporaryFile() as file:
            file.write(b"skipped kept\n")
            file.flush()
            os.lseek(file.fileno(), len("skipped "), os.SEEK_SET)
            result = pipe([box("cat")], stdin=file)
        self.assert_clean(result)
        self.assertEqual(result.output, b"kept\n")

    def test_a_hundred_stages(self):
        data = text(1000)
        result = pipe([box("cat")] * 100, data=data)
        self.assert_clean(result)
        self.assertEqual(result.output, data)
        self.assertLessEqual(result.stats["ledger"]["extents"], 280)

    def test_no_input_at_all(self):
        with open("/dev/null", "rb") as null:
            result = pipe([box("wc -c")], stdin=null)
        self.assert_clean(result)
        self.assertEqual(result.output, b"0\n")

    def test_standard_error_of_a_stage_comes_through(self):
        result = pipe([box("awk '{ print > \"/dev/stderr\" }'")], data=b"said aside\n")
        self.assert_ends(result, 0, "said aside")
        self.assert_conserved(result)


class OnlyWhatWasSent(FerryTest):
    """A stage finds the payload and zeros in what it gets, whatever was there before."""

    modes = ("map", "copy", "auto")

    def check(self, stages, data, expected):
        with tempfile.TemporaryFile() as file:
            file.write(data)
            for mode in self.modes:
                with self.subTest(mode):
                    file.seek(0)
                    result = pipe(stages, f"--mode={mode}", stdin=file)
                    self.assert_clean(result)
                    self.assertEqual(result.output, expected)

    def test_a_line_that_was_kept(self):
        for rest in (b"hello\n", text(100 * KIB), text(5 * EXTENT + 7)):
            self.check([guest("first_line"), guest("look_around")], b"SECRET\n" + rest, rest)

    def test_a_short_end_after_more_than_all_buffers(self):
        data = text(17 * EXTENT) + b"end"
        self.check([guest("look_around")], data, data)
        self.check([box("cat"), guest("look_around")], data, data)
        self.check([box("tr a b"), guest("look_around")], data, data.replace(b"a", b"b"))

    def test_long_file(self):
        data = bytes(32 * EXTENT) + text(4 * EXTENT + 5)
        self.check([guest("look_around")], data, data)


def pool_pages(pid):
    """Bytes that a process has of the pool by its own view, and of them in huge pages."""
    resident, huge, inside = 0, 0, False
    with open(f"/proc/{pid}/smaps", encoding="ascii") as lines:
        for line in lines:
            if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
                inside = "ferry-pool" in line
            elif inside and line.startswith("Rss:"):
                resident += int(line.split()[1]) * KIB
            elif inside and line.startswith(("ShmemPmdMapped:", "FilePmdMapped:")):
                huge += int(line.split()[1]) * KIB
    return resident, huge


class Short(FerryTest):
    """A short payload takes no huge page, which would take milliseconds to make."""

    def test_no_huge_page(self):
        # Where other work goes on, measuring may not be sure of itself, and tries an extent each
        # time.
        kept = os.path.join(os.environ["XDG_CACHE_HOME"], "ferry", "crossover")
        deadline = time.monotonic() + PATIENCE
        while not os.path.exists(kept) and time.monotonic() < deadline:
            ferry("doctor")
        self.assertTrue(os.path.exists(kept))
        reader, writer = os.pipe()
        with Running([box("cat")] * 2, stdin=reader) as running, os.fdopen(writer, "wb") as sender:
            os.close(reader)
            for line in (b"one\n", b"two\n"):
                sender.write(line)
                sender.flush()
                self.assertEqual(running.read(4), line)
            resident, huge = pool_pages(running.process.pid)
            self.assertEqual(huge, 0)
            self.assertLess(resident, MIB)
            sender.close()
            self.assert_clean(running.end())


class Kinds(FerryTest):
    """Static programs as each C library and linking mode makes them."""

    kinds = ("", "_pie", "_musl", "_musl_pie")

    def test_streams_through_the_c_library(self):
        data = text(MIB + 1)
        for kind in self.kinds:
            with self.subTest(kind):
                result = pipe([guest("stdio" + kind)], data=data)
                self.assert_clean(result)
                self.assertEqual(result.output, data)

    def test_system_calls(self):
        for kind in self.kinds:
            with self.subTest(kind):
                result = ferry("run", guest("syscalls" + kind), data=text(EXTENT))
                self.assert_ends(result, 0)

    def test_arguments_and_environment(self):
        for kind in self.kinds:
            with self.subTest(kind):
                program = guest("args_env" + kind)
                result = ferry("run", "--env", "KEY=value", program, "one", "two words", "")
                self.assert_ends(result, 0)
                self.assertEqual(
                    result.output.decode().splitlines(),
                    [f"argv[0]={program}", "argv[1]=one", "argv[2]=two words", "argv[3]="]
                    + ["KEY=value", "HOME=/home/nobody", "PATH=/usr/local/bin:/usr/bin:/bin"],
                )


if __name__ == "__main__":
    main()
