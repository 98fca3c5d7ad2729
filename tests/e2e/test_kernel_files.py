# SPDX-License-Identifier: BSD-2-Clause
"""Files of the host that the guest kernel reads without an exit, beside what a process reads."""

import os
import subprocess

from harness import KIB, MIB, FerryTest, Running, ferry, guest, main, text

DIVISOR = int(os.environ.get("FERRY_SIZE_DIVISOR", "1"))  # where all is emulated
PAGE = 4 * KIB


def many(count):
    return max(1, count // DIVISOR)


class Same(FerryTest):
    def setUp(self):
        self.directory = self.enter_directory()
        os.chmod(self.directory, 0o755)

    def make(self, name, data):
        path = os.path.join(self.directory, name)
        with open(path, "wb") as file:
            file.write(data)
        return path

    def run_vm(self, *words, options=()):
        result = ferry(
            "run", "-n", "--stats=json", *options, "--ro", self.directory, guest("reads"),
            *map(str, words),
        )  # fmt: skip
        self.assert_clean(result)
        return result

    def check(self, *words, options=()):
        """The program sees the same as a process; gives the result."""
        words = [str(word) for word in words]
        host = subprocess.run([guest("reads"), *words], capture_output=True, check=True)
        result = self.run_vm(*words, options=options)
        self.assertNotEqual(host.stdout, b"")
        self.assertEqual(result.output, host.stdout)
        return result

    def exits_of(self, *words, options=()):
        return self.check(*words, options=options).vm(0)["exits_natural"]


class Reads(Same):
    def test_all_calls_in_any_order(self):
        for size in (70 * KIB + 1, 12 * MIB + 77):
            with self.subTest(size=size):
                path = self.make("file", text(size))
                for seed in (2000, 2001, 2002):
                    self.check("mix", path, many(seed))

    def test_more_files_than_are_published(self):
        self.check("turn", self.make("file", text(300 * KIB)), many(8000))

    def test_most_reads_make_no_exit(self):
        path = self.make("file", text(MIB * 6))
        calls = many(20000)
        self.assertLess(self.exits_of("mix", path, calls), 300 + calls / 2)
        self.assertLess(self.exits_of("order", path, 1000), 300)
        self.assertLess(self.exits_of("pieces", path, 1000), 300)
        self.assertGreater(self.exits_of("order", path, 20000), 6 * MIB / 20000)

    def test_questions_about_a_file_that_was_opened(self):
        """Each round has nine calls, of which three need an exit: to open, the first read, to close."""
        words = [self.make("file", text(1234)), self.directory]
        host = subprocess.run(
            [guest("asks_opened"), "2000", *words], capture_output=True, check=True
        )
        few, many = (
            ferry(
                "run", "-n", "--stats=json", "--ro", self.directory, guest("asks_opened"),
                str(rounds), *words,
            )
            for rounds in (1000, 2000)
        )  # fmt: skip
        self.assert_clean(many)
        self.assertEqual(many.output, host.stdout)
        exits = many.vm(0)["exits_natural"] - few.vm(0)["exits_natural"]
        self.assertLess(exits, 1000 * (4 if DIVISOR == 1 else 9))

    def test_threads_read_each_byte_once(self):
        data = text(MIB)
        result = self.run_vm("threads", self.make("file", data))
        self.assertEqual(result.output, b"%d %d\n" % (len(data), sum(data)))

    def test_a_file_that_the_program_changes(self):
        for seed in (3000, 3001):
            host = subprocess.run(
                [guest("reads"), "change", "own", str(many(seed))], capture_output=True, check=True
            )
            result = self.run_vm("change", "/tmp/own", many(seed))
            self.assertEqual(result.output, host.stdout)

    def test_words_that_are_forged(self):
        self.run_forged(many(3000))

    def run_forged(self, calls):
        result = self.run_vm("forge", self.make("file", text(100 * KIB)), calls)
        self.assertEqual(result.output, b"over\n")


class OfOthers(Same):
    """A file that another process changes while the guest kernel reads it."""

    def test_a_file_that_is_cut_short_and_grows(self):
        path = self.make("file", b"old!" * (100 * KIB))
        words = f"{guest('reads')} look {path}"

        def expect(line):
            run.process.stdin.write(b"x")
            self.assertEqual(run.read(len(line)), line)

        with Running([words], "--ro", self.directory, stdin=subprocess.PIPE) as run:
            for _ in range(20):
                expect(b"4:old! 4:old! 4:old! 4:old! \n")
            os.truncate(path, 4 * PAGE)
            for _ in range(20):
                expect(b"4:old! 4:old! 0: 0: \n")
            with open(path, "r+b") as file:
                file.write(b"new!" * (100 * KIB))
            for _ in range(20):
                expect(b"4:new! 4:new! 4:new! 4:new! \n")
            os.truncate(path, 4 * PAGE + 2)
            expect(b"4:new! 4:new! 2:ne 0: \n")
            os.truncate(path, 0)
            expect(b"0: 0: 0: 0: \n")
            run.process.stdin.close()
            run.process.stdin = None
            self.assert_clean(run.end())


if __name__ == "__main__":
    main()
