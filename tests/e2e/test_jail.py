# SPDX-License-Identifier: BSD-2-Clause
"""The jail of the command: what it may still do while its program waits for input."""

import os
import pwd
import subprocess
import tempfile
import unittest

from harness import FERRY, PATIENCE, FerryTest, box, ferry, main

NO_CAPABILITIES = "0" * 16
FILES_OF_OTHERS = f"{1 << 1 | 1 << 3 | 1 << 4:016x}"  # CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID
NOBODY = 65534
ROOT = os.geteuid() == 0
SHELL = (*box("sh").split(), "-c")
IN_MEMORY = "cd /tmp && echo a >one && read x <one && echo $x"


class Waiting:
    """`ferry run` whose program has written a line and waits for one. For `with`."""

    def __init__(self, *options, **more):
        self.process = subprocess.Popen(
            [FERRY, "run", *options, "--", *SHELL, "echo here; read line"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more,
        )  # fmt: skip

    def __enter__(self):
        assert self.process.stdout.readline() == b"here\n", self.process.communicate()
        return self

    def __exit__(self, *_):
        self.errors = self.process.communicate(b"\n", timeout=PATIENCE)[1].decode()

    def status(self):
        """For each thread of the command what /proc tells of it."""
        tasks = f"/proc/{self.process.pid}/task"
        found = []
        for task in os.listdir(tasks):
            with open(f"{tasks}/{task}/status", encoding="utf-8") as file:
                lines = dict(line.rstrip("\n").split(":", 1) for line in file)
            if not lines["Name"].startswith("kvm-"):  # a thread of the kernel's
                found.append({name: value.strip() for name, value in lines.items()})
        return found


class Jail(FerryTest):
    def test_every_thread_is_in_it(self):
        with Waiting() as run:
            threads = run.status()
        self.assertGreater(len(threads), 2)
        for thread in threads:
            self.assertEqual(thread["Seccomp"], "2")
            self.assertEqual(thread["NoNewPrivs"], "1")
            for which in ("CapInh", "CapAmb"):
                self.assertEqual(thread[which], NO_CAPABILITIES, which)
            for which in ("CapEff", "CapPrm"):
                self.assertIn(thread[which], (NO_CAPABILITIES, FILES_OF_OTHERS) if ROOT else (NO_CAPABILITIES,), which)
        self.assertEqual((run.process.returncode, run.errors), (0, ""))

    def test_nobody_looks_into_it(self):
        with Waiting() as run:
            owner = os.stat(f"/proc/{run.process.pid}/mem").st_uid
            with open(f"/proc/{run.process.pid}/limits", encoding="utf-8") as file:
                core = next(line for line in file if "core file" in line)
        self.assertEqual(owner, 0)  # of a process that can be looked into it is its user
        self.assertEqual(core.split()[4:6], ["0", "0"])

    def test_without(self):
        with Waiting("--no-jail") as run:
            threads = run.status()
        self.assertEqual({thread["Seccomp"] for thread in threads} & {"2"}, set())
        self.assertRegex(run.errors, r"\Aferry: no jail: [^\n]*\n\Z")

    def test_descriptors_that_were_inherited(self):
        with tempfile.TemporaryFile() as secret:
            os.set_inheritable(secret.fileno(), True)
            where = (os.fstat(secret.fileno()).st_dev, os.fstat(secret.fileno()).st_ino)
            with Waiting(pass_fds=[secret.fileno()]) as run:
                open_files = []
                for fd in os.listdir(f"/proc/{run.process.pid}/fd"):
                    of = os.stat(f"/proc/{run.process.pid}/fd/{fd}")
                    open_files.append((of.st_dev, of.st_ino))
        self.assertGreater(len(open_files), 3)
        self.assertNotIn(where, open_files)

    def test_a_trace_goes_to_an_inherited_descriptor(self):
        with tempfile.TemporaryFile() as file:
            done = subprocess.run(
                [FERRY, "run", f"--trace=/dev/fd/{file.fileno()}", "--", *box("true").split()],
                pass_fds=[file.fileno()], stdin=subprocess.DEVNULL, capture_output=True,
                check=False, timeout=PATIENCE,
            )  # fmt: skip
            self.assertEqual((done.returncode, done.stderr), (0, b""))
            file.seek(0)
            self.assertIn(b"exited", file.read())

    def test_directories_in_memory(self):
        """They are made before, by whoever it is."""
        done = ferry("run", "--", *SHELL, IN_MEMORY)
        self.assertEqual((done.status, done.output), (0, b"a\n"), done.errors)


@unittest.skipUnless(ROOT, "only root can become somebody else")
class Root(FerryTest):
    def test_directories_of_others(self):
        """Root reads and changes the files of others that it names, and keeps the right to that alone."""
        with tempfile.TemporaryDirectory() as directory:
            os.chown(directory, NOBODY, NOBODY)
            os.chmod(directory, 0o700)
            with Waiting("--rw", directory) as run:
                threads = run.status()
            for stage in (f"touch {directory}/made", f"chmod 640 {directory}/made"):
                done = ferry("run", "--rw", directory, "--", *box(stage).split())
                self.assertEqual((done.status, done.errors), (0, ""))
            self.assertEqual(os.stat(f"{directory}/made").st_mode & 0o777, 0o640)
        with tempfile.TemporaryDirectory() as directory:
            script = f"{directory}/script"
            with open(script, "w", encoding="utf-8") as file:
                file.write("#!/bin/sh\necho here\n")
            os.chmod(script, 0o700)
            for path in (script, directory):
                os.chown(path, NOBODY, NOBODY)
            done = ferry("run", "--", script)
            self.assertEqual((done.status, done.output), (0, b"here\n"), done.errors)
        self.assertEqual({thread["CapEff"] for thread in threads} - {NO_CAPABILITIES}, {FILES_OF_OTHERS})

    def test_another_user(self):
        names = [entry.pw_name for entry in pwd.getpwall() if entry.pw_uid == NOBODY][:1]
        for user in (*names, str(NOBODY)):
            with Waiting("--user", user) as run:
                threads = run.status()
            for thread in threads:
                self.assertEqual(thread["Uid"].split(), [str(NOBODY)] * 4)
                self.assertEqual(thread["Groups"], "")
                self.assertEqual(thread["CapPrm"], NO_CAPABILITIES)
            self.assertEqual((run.process.returncode, run.errors), (0, ""))

    def test_another_user_has_directories_in_memory(self):
        done = ferry("run", "--user", str(NOBODY), "--", *SHELL, IN_MEMORY)
        self.assertEqual((done.status, done.output), (0, b"a\n"), done.errors)


class Mistakes(FerryTest):
    def test_no_such_user(self):
        self.assert_error(ferry("run", "--user", "no-such-user", "true"), "no such user; write a name")

    @unittest.skipIf(ROOT, "root may become another user")
    def test_only_root(self):
        self.assert_error(ferry("run", "--user", "0", "true"), "only root may")


if __name__ == "__main__":
    main()
