# SPDX-License-Identifier: BSD-2-Clause
"""What happens to the command from outside: killed without warning, stopped and continued, a full disk, a limit of memory
that others set."""

import contextlib
import ctypes
import hashlib
import os
import signal
import subprocess
import tempfile
import time

from harness import BUSYBOX, FERRY, MIB, PATIENCE, FerryTest, Result, Running, box, guest, main, text
from harness import can_unshare, pipe_command

PR_SET_CHILD_SUBREAPER = 36
GROUPS = "/sys/fs/cgroup"


def run_for(seconds):
    """Lets that time of the clock go by: what is tested is that it does or does not count."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        os.sched_yield()


def stop(process):
    process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED)


class Killed(FerryTest):
    """By SIGKILL, which nobody can catch."""

    def setUp(self):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def tearDown(self):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)

    def assert_no_child(self):
        """What the command left became a child of ours."""
        with self.assertRaises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)

    def kill_in_the_middle(self, *options, stages):
        shared = set(os.listdir("/dev/shm"))
        with tempfile.TemporaryDirectory() as temporary:
            process = subprocess.Popen(
                pipe_command(stages, *options), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, env=os.environ | {"TMPDIR": temporary},
            )  # fmt: skip
            with process:
                self.assertEqual(len(process.stdout.read(MIB)), MIB)
                process.kill()
                process.communicate(timeout=PATIENCE)  # nobody else holds its pipes
            self.assertEqual(process.returncode, -signal.SIGKILL)
            self.assertEqual(os.listdir(temporary), [])
        self.assertEqual(set(os.listdir("/dev/shm")) - shared, set())
        self.assert_no_child()

    def test_nothing_is_left(self):
        for options in ([], ["--polled", "--direct"], ["--no-jail"]):
            with self.subTest(options):
                self.kill_in_the_middle(*options, stages=[box("yes"), box("cat")])

    def test_what_was_written_is_whole(self):
        """A file that a program was writing below --rw has what was written, and no other file is there."""
        with tempfile.TemporaryDirectory() as folder:
            stage = box(f"sh -c 'echo kept > {folder}/file; yes'")
            self.kill_in_the_middle(f"--rw={folder}", stages=[stage])
            self.assertEqual(os.listdir(folder), ["file"])
            with open(os.path.join(folder, "file"), encoding="ascii") as file:
                self.assertEqual(file.read(), "kept\n")


class Stopped(FerryTest):
    """By SIGSTOP, in the middle, and continued."""

    def test_pipeline_goes_on(self):
        data = text(4 * MIB)
        data = data[: data.rindex(b"\n") + 1]
        for options in ([], ["--polled", "--direct"]):
            with self.subTest(options), tempfile.TemporaryFile() as file:
                file.write(data)
                file.seek(0)
                with Running([box("cat"), box("sed p"), box("cat")], *options, stdin=file) as running:
                    got = running.read(MIB)
                    for _ in range(10):
                        stop(running.process)
                        running.process.send_signal(signal.SIGCONT)
                        got += running.read(100000)
                    result = running.end()
                self.assert_clean(result)
                lines = b"".join(line + line for line in data.splitlines(keepends=True))
                got += result.output
                self.assertEqual(hashlib.sha256(got).digest(), hashlib.sha256(lines).digest())

    def test_a_stop_counts_as_time(self):
        """--timeout is of the clock: it ends the run once it goes on, at once."""
        with Running([box("cat"), box("cat")], "--timeout=1s", stdin=subprocess.PIPE) as running:
            running.process.stdin.write(b"x\n")
            self.assertEqual(running.read(2), b"x\n")
            stop(running.process)
            run_for(1)
            running.process.send_signal(signal.SIGCONT)
            begun = time.monotonic()
            running.process.wait(PATIENCE)
            took = time.monotonic() - begun
            result = running.end()
        self.assert_ends(result, 124, "still running after its time limit")
        self.assertLess(took, PATIENCE / 4)

    def test_a_stop_is_no_processor_time(self):
        with Running([guest("spin")], "--cpu=200ms") as running:
            stop(running.process)
            run_for(1)
            running.process.send_signal(signal.SIGCONT)
            result = running.end()
        self.assert_ends(result, 152, "processor time of 0.2 s")

    def test_killed_while_it_is_stopped(self):
        with Running([box("yes"), box("cat")]) as running:
            running.read(MIB)
            stop(running.process)
            running.process.kill()
            running.process.communicate(timeout=PATIENCE)
            self.assertEqual(running.process.returncode, -signal.SIGKILL)


class FullDisk(FerryTest):
    SIZE = MIB

    def on_full_disk(self, script):
        """A script that has a small file system as $1, and the command as $2."""
        unshare = can_unshare()
        if not unshare:
            self.skipTest("no right to a mount namespace")
        with tempfile.TemporaryDirectory() as disk:
            done = subprocess.run(
                [*unshare, "sh", "-c", f'mount -t tmpfs -o size={self.SIZE} tmpfs "$1" && {script}', "sh", disk, FERRY],
                capture_output=True, check=False, timeout=PATIENCE,
            )  # fmt: skip
        return Result(done.returncode, done.stdout, done.stderr)

    def test_program_is_told(self):
        """Its write ends early, its disk has what there is room for, and the run goes on to its end."""
        write = f"{BUSYBOX} dd if=/dev/zero of=$1/file bs=65536 count=100"
        result = self.on_full_disk(f'"$2" run --rw "$1" -- {write}; echo $?; wc -c < "$1/file"')
        self.assertIn("No space left on device", result.errors)
        self.assertEqual(result.output.split(), [b"1", str(self.SIZE).encode()])

    def test_standard_output(self):
        """The command writes what a stage sent, or the stage itself does: a failure either way."""
        for stages in ('"$3 yes"', '"$3 yes" "$3 cat"'):
            with self.subTest(stages):
                command = f'set -- "$1" "$2" {BUSYBOX}; "$2" pipe {stages} > "$1/file"; echo $?; wc -c < "$1/file"'
                result = self.on_full_disk(command)
                self.assertIn("No space left on device", result.errors)
                status, size = result.output.split()
                self.assertEqual((status, size), (b"1", str(self.SIZE).encode()))


class MemoryGroup(FerryTest):
    """A control group's limit of memory: the kernel kills there, and Ferry cannot say a word."""

    def place(self):
        """The directory of such groups, and the file of their limit: of version 2, or of version 1."""
        if os.path.exists(f"{GROUPS}/memory/memory.limit_in_bytes"):
            return f"{GROUPS}/memory", "memory.limit_in_bytes"
        try:
            with open(f"{GROUPS}/cgroup.controllers", encoding="ascii") as file:
                self.assertIn("memory", file.read().split())
            with open(f"{GROUPS}/cgroup.subtree_control", "w", encoding="ascii") as file:
                file.write("+memory")
        except FileNotFoundError:
            self.skipTest("no control group for memory")
        except OSError:
            self.skipTest("no right to a control group")
        return GROUPS, "memory.max"

    @contextlib.contextmanager
    def group(self, most):
        groups, name = self.place()
        path = os.path.join(groups, f"ferry-test-{os.getpid()}")
        try:
            os.mkdir(path)
        except OSError:
            self.skipTest("no right to a control group")
        try:
            with open(os.path.join(path, name), "w", encoding="ascii") as file:
                file.write(str(most))
            yield os.path.join(path, "cgroup.procs")
        finally:
            os.rmdir(path)

    def test_program_that_takes_more(self):
        """Whoever is killed, nothing hangs and nothing is left: the group can be removed. With more room it ends well."""
        command = [FERRY, "run", "--mem=1G", *box("dd if=/dev/zero of=/dev/null bs=200M count=1").split()]
        for most, enough in ((64 * MIB, False), (1024 * MIB, True)):
            with self.group(most) as procs:
                done = subprocess.run(
                    ["sh", "-c", f'echo $$ > {procs}; exec "$@"', "sh", *command],
                    capture_output=True, check=False, timeout=PATIENCE,
                )  # fmt: skip
                if enough:
                    self.assertEqual(done.returncode, 0, done.stderr)
                else:
                    self.assertIn(done.returncode, (-signal.SIGKILL, 125, 137), done.stderr)


if __name__ == "__main__":
    main()
