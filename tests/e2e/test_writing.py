#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Files that programs write: below --rw on the host, and in memory. Ferry is run by whoever runs the
tests, which is root in CI: nothing else may change even so."""

import os
import shlex
import subprocess
import tempfile
import threading
import time
import unittest

from harness import FERRY, PATIENCE, FerryTest, box, ferry, guest, main

# Without rights over the mounts, in a name space in which no other can be made.
POWERLESS = (
    "unshare", "--user", "--map-root-user", "sh", "-c",
    'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"', "sh",
)  # fmt: skip


def can_be_powerless():
    return subprocess.run([*POWERLESS, "true"], capture_output=True, check=False).returncode == 0


def shell(script, *options, prefix=(), **more):
    """Runs a script of busybox's shell, which needs no other process for its own commands."""
    return ferry("run", *options, "--", *box("sh").split(), "-c", script, prefix=prefix, **more)


def content(path):
    with open(path, "rb") as file:
        return file.read()


def put(path, data):
    with open(path, "wb") as file:
        file.write(data)


class Writing(FerryTest):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.top = os.path.realpath(self.scratch.name)
        self.rw = f"{self.top}/rw"
        os.mkdir(self.rw)

    def tearDown(self):
        self.scratch.cleanup()

    def test_limits_hold_for_many_threads_at_once(self):
        limit = 2 << 20
        result = ferry("run", f"--rw={self.rw}", f"--rw-limit={limit}", guest("greedy_threads"), "files", "12", self.rw)
        self.assert_ends(result, 0)
        sizes = [os.stat(f"{self.rw}/{name}").st_size for name in os.listdir(self.rw)]
        self.assertLessEqual(sum(sizes) + 4096 * len(sizes), limit)
        self.assertGreater(sum(sizes) + 4096 * len(sizes), limit - 32 * 1024)

    def test_reaches_the_host(self):
        result = shell(f"echo one > {self.rw}/a; echo two >> {self.rw}/a", f"--rw={self.rw}")
        self.assert_ends(result, 0)
        self.assertEqual(content(f"{self.rw}/a"), b"one\ntwo\n")
        self.assertEqual(os.stat(f"{self.rw}/a").st_uid, os.geteuid())
        # The umask is that of the command, and the program may set its own.
        result = shell(
            f"echo > {self.rw}/b; umask 0; echo > {self.rw}/c",
            f"--rw={self.rw}", prefix=("sh", "-c", 'umask 077; exec "$@"', "sh"),
        )  # fmt: skip
        self.assert_ends(result, 0)
        self.assertEqual(os.stat(f"{self.rw}/b").st_mode & 0o777, 0o600)
        self.assertEqual(os.stat(f"{self.rw}/c").st_mode & 0o777, 0o666)

    def test_what_is_named_both_ways_may_be_written(self):
        for options in ([f"--ro={self.rw}", f"--rw={self.rw}"], [f"--rw={self.rw}", f"--ro={self.rw}"]):
            self.assert_ends(shell(f"echo one >> {self.rw}/a", *options), 0)
        self.assertEqual(content(f"{self.rw}/a"), b"one\none\n")

    def test_nothing_else_changes(self):
        secret = f"{self.top}/secret"
        put(secret, b"secret")
        os.symlink(secret, f"{self.rw}/link")
        os.symlink("..", f"{self.rw}/up")
        read_only = f"{self.rw}/ro"
        os.mkdir(read_only)
        put(f"{read_only}/file", b"read")
        before = set(os.listdir("/etc"))
        for target in (
            secret, f"{self.rw}/link", f"{self.rw}/../secret", f"{self.rw}/up/secret",
            f"{self.rw}/up/new", f"{read_only}/file", f"{read_only}/new", "/etc/ferry-test",
            "/root/ferry-test", "/usr/ferry-test", "/proc/self/oom_score_adj", "/ferry-test",
            "/dev/ferry-test",
        ):  # fmt: skip
            with self.subTest(target=target):
                result = shell(
                    f"echo x >> {target}", f"--rw={self.rw}", f"--ro={read_only}"
                )
                self.assertNotEqual(result.status, 0)
                self.assertIn("ferry: sh: exit status", result.errors)
        self.assertEqual(content(secret), b"secret")
        self.assertEqual(content(f"{read_only}/file"), b"read")
        self.assertEqual(set(os.listdir("/etc")), before)
        self.assertEqual(sorted(os.listdir(self.top)), ["rw", "secret"])
        self.assertEqual(os.listdir(read_only), ["file"])

    def test_a_race_leads_nowhere(self):
        """Another process makes a directory a link that leads out, and back, all the time."""
        outside = f"{self.top}/outside"
        os.mkdir(outside)
        os.mkdir(f"{self.rw}/real")
        os.symlink(outside, f"{self.rw}/trap")
        os.mkdir(f"{self.rw}/d")
        over = threading.Event()
        turns = 0

        def swap():
            nonlocal turns
            while not over.is_set():
                os.rename(f"{self.rw}/d", f"{self.rw}/real2")
                os.rename(f"{self.rw}/trap", f"{self.rw}/d")
                os.rename(f"{self.rw}/d", f"{self.rw}/trap")
                os.rename(f"{self.rw}/real2", f"{self.rw}/d")
                turns += 1

        swapper = threading.Thread(target=swap)
        swapper.start()
        try:
            result = shell(
                f"cd {self.rw}; i=0; while [ $i -lt 2000 ]; do"
                " { echo x > d/f$i; } 2> /dev/null; i=$((i + 1)); done; echo done",
                f"--rw={self.rw}",
            )
        finally:
            over.set()
            swapper.join()
        self.assertEqual(result.output, b"done\n")
        self.assertEqual(os.listdir(outside), [])
        self.assertGreater(turns, 0)
        self.assertGreater(len(os.listdir(f"{self.rw}/d")), 0)

    def test_limits(self):
        big = f"{self.rw}/big"
        command = box(f"dd if=/dev/zero of={big} bs=64k count=100").split()
        result = ferry("run", f"--rw={self.rw}", "--rw-limit=1M", "--", *command)
        self.assert_ends(result, 1, "Disk quota exceeded", "a --rw-limit larger than 1024 KiB")
        self.assertLessEqual(os.stat(big).st_size, 1 << 20)
        command = box("dd if=/dev/zero of=/tmp/big bs=64k count=1000").split()
        result = ferry("run", "--mem=32M", "--", *command)
        self.assert_ends(result, 1, "No space left on device", "a --mem larger than 32 MiB")

    def test_mistakes(self):
        program = box("true").split()
        self.assert_error(ferry("run", "--rw=/nowhere", "--", *program), "--rw '/nowhere': No such")
        self.assert_error(ferry("run", "--rw-limit=x", "--", *program), "--rw-limit 'x': not a size")
        result = shell("echo > /nowhere/new")
        self.assertIn("to write '/nowhere/new': --rw /nowhere allows it", result.errors)

    def test_memory(self):
        """Each VM has its own; the host's directories of that name are not seen."""
        put(f"{self.top}/theirs", b"")
        result = shell(
            "for d in /tmp /var/tmp /dev/shm /run; do echo x > $d/x; echo $d/*; done"
        )
        self.assert_ends(result, 0)
        self.assertEqual(result.output, b"/tmp/x\n/var/tmp/x\n/dev/shm/x\n/run/x\n")
        result = shell("echo x > $HOME/x; echo $HOME/*")
        self.assertEqual(result.output, b"/home/nobody/x\n")
        result = shell("echo x > $HOME/x; echo $HOME/*", "--env=HOME=/home/somebody")
        self.assertEqual(result.output, b"/home/somebody/x\n")
        # Of a directory that is given, the host's is seen.
        result = shell(f"echo {shlex.quote(self.top)}/*", f"--ro={self.top}")
        self.assertEqual(result.output.decode(), f"{self.top}/rw {self.top}/theirs\n")

    @unittest.skipUnless(can_be_powerless(), "user name spaces cannot be limited here")
    def test_memory_is_gone_after_sigkill(self):
        """Where it has to be a directory of /dev/shm."""
        script = "echo x > /tmp/x; echo made; while :; do :; done"
        command = [*POWERLESS, FERRY, "run", "--", *box("sh").split(), "-c", script]
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        ) as process:
            self.assertEqual(process.stdout.readline(), b"made\n")
            held = f"/proc/{process.pid}/fd"
            links = [os.readlink(f"{held}/{fd}").split("/") for fd in os.listdir(held)]
            made = {link[3] for link in links if link[:3] == ["", "dev", "shm"]}
            self.assertEqual(len(made), 1)
            process.kill()
            process.wait(PATIENCE)
        deadline = time.monotonic() + PATIENCE
        while made & set(os.listdir("/dev/shm")) and time.monotonic() < deadline:
            time.sleep(0.01)
        self.assertEqual(made & set(os.listdir("/dev/shm")), set())


if __name__ == "__main__":
    main()
