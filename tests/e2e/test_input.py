# SPDX-License-Identifier: BSD-2-Clause
"""Standard input belongs to whoever started the command: it takes what its first stage asks for."""

import os
import signal
import subprocess
import tempfile
import time

from harness import (
    BUSYBOX,
    EXTENT,
    FERRY,
    MIB,
    PATIENCE,
    FerryTest,
    Running,
    box,
    ferry,
    guest,
    main,
    pipe,
    text,
)

# Stages that never look at their input.
UNINTERESTED = [
    [box("true")],
    [box("echo done")],
    [box("sleep 0.01"), box("cat")],
    [guest("nothing")],
    [guest("never_reads")],
]


class Untouched(FerryTest):
    def test_pipe(self):
        for stages in UNINTERESTED:
            reader, writer = os.pipe()
            with self.subTest(stages), os.fdopen(reader, "rb") as source:
                os.write(writer, b"for others\n")
                os.close(writer)
                pipe(stages, stdin=source)
                self.assertEqual(source.read(), b"for others\n")

    def test_file(self):
        for stages in UNINTERESTED:
            with self.subTest(stages), tempfile.TemporaryFile() as file:
                file.write(text(MIB))
                file.seek(7)
                pipe(stages, stdin=file)
                self.assertEqual(os.lseek(file.fileno(), 0, os.SEEK_CUR), 7)

    def test_loop_of_a_shell(self):
        """The loop reads lines, and the command between them does not take them away."""
        script = 'while read -r line; do "$FERRY" run "$BUSYBOX" echo "got $line"; done'
        done = subprocess.run(
            ["sh", "-c", script], input=b"1\n2\n3\n", capture_output=True, check=True,
            timeout=PATIENCE, env=os.environ | {"FERRY": FERRY, "BUSYBOX": BUSYBOX},
        )  # fmt: skip
        self.assertEqual(done.stdout, b"got 1\ngot 2\ngot 3\n")


class PutBack(FerryTest):
    def position_after(self, stages, data, start=0, mode="auto"):
        with tempfile.TemporaryFile() as file:
            file.write(data)
            file.seek(start)
            result = pipe(stages, "--mode", mode, stdin=file)
            self.assertEqual(result.status, 0, result.errors)
            self.assert_conserved(result)
            return os.lseek(file.fileno(), 0, os.SEEK_CUR), result.output

    def test_after_the_last_byte_that_was_read(self):
        data = text(20 * EXTENT)
        for stages, start in (
            ([box("dd bs=10 count=1")], 0),
            ([box("dd bs=10 count=1"), box("cat")], 1000),
            ([box("dd bs=100000 count=70")], 3),
            ([box("cat")], 11),
        ):
            for mode in ("auto", "copy", "map"):
                with self.subTest(stages, start=start, mode=mode):
                    position, output = self.position_after(stages, data, start, mode)
                    self.assertGreaterEqual(len(output), 10)
                    self.assertEqual(output, data[start:position])

    def test_looking_takes_nothing(self):
        position, output = self.position_after([guest("look_once poll")], text(MIB), 5)
        self.assertEqual((position, output), (5, b"input\n"))

    def test_messages_are_taken_whole(self):
        """A message that the guest library received is taken whole, later ones are not."""
        for mode, taken in (("copy", 65536), ("map", EXTENT)):
            with self.subTest(mode):
                position, _ = self.position_after(
                    [guest("look_once recv")], text(20 * EXTENT), 3, mode
                )
                self.assertEqual(position, 3 + taken)

    def test_one_after_the_other(self):
        """Each run reads on from where the run before it stopped reading."""
        with tempfile.TemporaryFile() as file:
            file.write(b"onetwothree")
            file.seek(0)
            for word in (b"one", b"two", b"thr"):
                result = pipe([box("dd bs=3 count=1")], stdin=file)
                self.assertEqual(result.output, word)
            self.assertEqual(file.read(), b"ee")

    def interrupted(self, move):
        """Position in a file after SIGINT came to a stage that had read a line, and then `move`."""
        with tempfile.TemporaryFile() as file:
            file.write(text(5 * MIB))
            file.seek(0)
            stage = box("awk 'BEGIN { getline; print; fflush(); while (1); }'")
            with Running([stage], stdin=file) as running:
                running.read(10)
                end = time.monotonic() + PATIENCE
                while os.lseek(file.fileno(), 0, os.SEEK_CUR) < 5 * MIB:
                    self.assertLess(time.monotonic(), end, "not all was read ahead")
                    time.sleep(0.001)
                move(file.fileno())
                running.process.send_signal(signal.SIGINT)
                running.end()
            return os.lseek(file.fileno(), 0, os.SEEK_CUR)

    def test_after_a_signal(self):
        self.assertIn(self.interrupted(lambda fd: None), range(10, MIB))

    def test_somebody_else_moved_it(self):
        """If somebody else moved the position in the file, it stays where they put it, and where a
        read ended that looked for the end of the file at that moment."""
        position = self.interrupted(lambda fd: os.lseek(fd, 3, os.SEEK_SET))
        self.assertEqual(position % MIB, 3)


class FirstLook(FerryTest):
    def test_finds_what_is_there(self):
        """Input is not read before the program looks, and its first look finds it all the same."""
        for how in ("poll", "fionread", "read", "recv"):
            with self.subTest(how):
                self.assertEqual(pipe([guest("look_once " + how)], data=b"x").output, b"input\n")

    def test_does_not_wait_for_what_is_not_there(self):
        reader, writer = os.pipe()
        with os.fdopen(reader) as source, os.fdopen(writer):
            for how in ("poll", "fionread", "read"):
                with self.subTest(how):
                    result = pipe([guest("look_once " + how)], stdin=source)
                    self.assertEqual(result.output, b"none\n")


class NoInput(FerryTest):
    def test_options(self):
        for option in ("-n", "--no-stdin"):
            with self.subTest(option), tempfile.TemporaryFile() as file:
                file.write(b"secret\n")
                file.seek(0)
                result = pipe([box("cat"), box("wc -c")], option, stdin=file)
                self.assert_clean(result)
                self.assertEqual(result.output, b"0\n")
                self.assertEqual(os.lseek(file.fileno(), 0, os.SEEK_CUR), 0)

    def test_of_run(self):
        result = ferry("run", "-n", BUSYBOX, "wc", "-c", data=b"secret\n")
        self.assertEqual((result.status, result.output), (0, b"0\n"))


if __name__ == "__main__":
    main()
