# SPDX-License-Identifier: BSD-2-Clause
"""What Linux answers to a program: each program runs on the host and in a VM, and says the same."""

import os
import subprocess
import tempfile

from harness import FERRY, PATIENCE, FerryTest, guest, main


def both(program, *arguments, options=()):
    """(status, output, errors) of a guest program as a process, and in a VM."""
    command = [guest(program), *arguments]
    runs = []
    for words in (command, [FERRY, "run", *options, *command]):
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, env={}, check=False,
            timeout=PATIENCE,
        )  # fmt: skip
        status = done.returncode if done.returncode >= 0 else 128 - done.returncode
        runs.append((status, done.stdout.decode(), done.stderr.decode()))
    return runs


class Memory(FerryTest):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        self.file = os.path.join(directory.name, "file")
        with open(self.file, "w", encoding="ascii") as file:
            file.write("q" * 5000)

    def compare(self, *arguments):
        host, vm = both("asks_memory", self.file, *arguments, options=[f"--ro={self.directory}"])
        self.assertGreater(len(host[1].splitlines()), 40)
        self.assertEqual(vm[1].splitlines(), host[1].splitlines())
        self.assertEqual(vm[0], host[0], vm[2])
        return vm

    def test_mapped_memory_behaves_as_on_the_host(self):
        self.assertEqual(self.compare()[0], 0)

    def test_a_page_beyond_the_end_of_a_file_is_a_bus_error(self):
        for how in ("beyond", "moved"):
            with self.subTest(how):
                status, _, errors = self.compare(how)
                self.assertEqual(status, 135)
                self.assertRegex(errors, "SIGBUS .*beyond the end of the file")


if __name__ == "__main__":
    main()
