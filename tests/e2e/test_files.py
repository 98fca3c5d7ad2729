#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Files below --ro, above all those that never answer."""

import os
import signal
import subprocess
import tempfile
import unittest

from harness import FERRY, LIMITS, PATIENCE, FerryTest, box, ferry, guest, main
from hung_files import GETATTR, LOOKUP, OPEN, READ, STATFS, HungFiles, mount, unmount

AS_ROOT = unittest.skipUnless(os.geteuid() == 0, "mounting is for root")


class FilesThatNeverAnswer(FerryTest):
    @AS_ROOT
    def test_one_that_answers(self):
        with tempfile.TemporaryDirectory() as where, HungFiles(where, None):
            result = ferry("run", f"--ro={where}", "--", *box(f"cat {where}/file").split())
            self.assert_ends(result, 0)
            self.assertEqual(result.output, b"content\n")

    @AS_ROOT
    def test_a_loader_is_read_from_there(self):
        usual = b"/lib64/ld-linux-x86-64.so.2"
        with open(usual, "rb") as file:
            loader = file.read()
        with open("/usr/bin/env", "rb") as file:
            program = file.read()
        self.assertIn(usual + b"\0", program)
        with (
            tempfile.TemporaryDirectory(dir="/tmp", prefix="") as where,
            tempfile.NamedTemporaryFile() as file,
            HungFiles(where, None, loader, may_run=True),
        ):
            name = f"{where}/file".encode()
            file.write(program.replace(usual, name + bytes(len(usual) - len(name))))
            file.flush()
            os.chmod(file.name, 0o755)
            result = ferry("run", f"--ro={where}", "--", file.name, "-i", "A=b")
            self.assert_ends(result, 0)
            self.assertEqual(result.output, b"A=b\n")

    @AS_ROOT
    def test_threads_share_a_position(self):
        numbers = b"".join(n.to_bytes(4, "little") for n in range(200))
        with tempfile.TemporaryDirectory() as where, HungFiles(where, None, numbers):
            result = ferry("run", f"--ro={where}", "--", guest("races"), "readers", f"{where}/file")
            self.assert_ends(result, 0)

    @AS_ROOT
    def test_the_time_of_a_helper_is_the_programs(self):
        with tempfile.TemporaryDirectory() as where, HungFiles(where, None):
            result = ferry("run", f"--ro={where}", "--", guest("processor_time"), "helped", f"{where}/file")
            self.assert_ends(result, 0)

    @AS_ROOT
    def test_timeout(self):
        for call in (LOOKUP, GETATTR, STATFS, OPEN, READ):
            with self.subTest(call=call), tempfile.TemporaryDirectory() as where:
                # Above the mount, so that making the VM asks nothing.
                os.mkdir(f"{where}/mount")
                with HungFiles(f"{where}/mount", call) as files:
                    for limit in LIMITS:
                        result = ferry(
                            "run", f"--ro={where}", f"--timeout={limit}", "--",
                            *box(f"cat {where}/mount/file").split(),
                        )  # fmt: skip
                        self.assert_ends(result, 124, "time limit")
                        if files.asked.is_set():
                            break
                    self.assertTrue(files.asked.is_set())

    @AS_ROOT
    def test_signals(self):
        for signo in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(signo=signo), tempfile.TemporaryDirectory() as where:
                with HungFiles(where, READ) as files:
                    command = [FERRY, "run", f"--ro={where}", "--", *box(f"wc {where}/file").split()]
                    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
                        self.assertTrue(files.asked.wait(PATIENCE))
                        process.send_signal(signo)
                        self.assertEqual(process.wait(PATIENCE), -signo)

    @AS_ROOT
    def test_an_execve_leaves_no_call_behind(self):
        for limit in LIMITS:
            with tempfile.TemporaryDirectory() as where, HungFiles(where, OPEN) as files:
                result = ferry(
                    "run", f"--ro={where}", f"--timeout={2 * limit}", "--",
                    guest("threads"), "opens", f"{where}/file",
                )  # fmt: skip
                self.assert_ends(result, 124, "time limit")
                self.assertLessEqual(files.waiting, 16)
                if files.waiting > 1:
                    break
        self.assertGreater(files.waiting, 1)


class FilesOfTheKernel(FerryTest):
    @AS_ROOT
    def test_its_own_are_not_opened(self):
        for kind, name in (("tracefs", "trace_pipe"), ("proc", "uptime"), ("debugfs", ".")):
            with self.subTest(kind=kind), tempfile.TemporaryDirectory() as where:
                mount("test", where, kind)
                try:
                    self.assertTrue(os.path.exists(f"{where}/{name}"))
                    result = ferry(
                        "run", f"--ro={where}", "--timeout=60", "--",
                        *box(f"cat {where}/{name}").split(),
                    )  # fmt: skip
                finally:
                    unmount(where)
                self.assert_ends(result, 1, "Permission denied")

    def test_sysfs_can_be_read(self):
        name = "/sys/kernel/mm/transparent_hugepage/shmem_enabled"
        result = ferry("run", "--ro=/sys", "--", *box(f"cat {name}").split())
        with open(name, "rb") as file:
            self.assertEqual(result.output, file.read())


class Users(FerryTest):
    def test_the_user_has_a_name(self):
        self.assertIn(b"uid=65534(nobody)", ferry("run", "--", *box("id").split()).output)
        self.assertEqual(ferry("run", "--", *box("whoami").split()).output, b"nobody\n")

    def test_home_and_path_are_set_unless_they_are_given(self):
        stage = box("env").split()
        path = b"PATH=/usr/local/bin:/usr/bin:/bin\n"
        self.assertEqual(ferry("run", "--", *stage).output, b"HOME=/home/nobody\n" + path)
        self.assertEqual(ferry("run", "--env=HOME=/x", "--", *stage).output, b"HOME=/x\n" + path)
        self.assertEqual(ferry("run", "--env=PATH=/x", "--", *stage).output, b"PATH=/x\nHOME=/home/nobody\n")


class Closed(FerryTest):
    """A descriptor that is closed for the command is closed in the VM, and is no failure."""

    def run_with(self, stage, redirections):
        words = [FERRY, "run", "--", *box(stage).split()]
        return subprocess.run(
            ["sh", "-c", f'"$@" {redirections}', "sh", *words],
            capture_output=True, check=False, timeout=PATIENCE,
        )  # fmt: skip

    def test_input(self):
        done = self.run_with("echo hi", "<&-")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"hi\n", b""))
        done = self.run_with("cat", "<&-")
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"Bad file descriptor", done.stderr)

    def test_output(self):
        done = self.run_with("true", ">&-")
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        done = self.run_with("echo hi", ">&-")
        self.assertEqual(done.returncode, 1)

    def test_errors(self):
        done = self.run_with("echo hi", "2>&-")
        self.assertEqual((done.returncode, done.stdout), (0, b"hi\n"))


if __name__ == "__main__":
    main()
