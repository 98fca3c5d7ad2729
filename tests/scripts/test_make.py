# SPDX-License-Identifier: BSD-2-Clause
"""The Makefile in a source tree that cannot be written."""

import os
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(HERE, ".."))
import tap  # noqa: E402

SOURCE = os.path.realpath(os.path.join(HERE, "../.."))


def can_unshare():
    for flags in (["-m"], ["-r", "-m"]):
        command = ["unshare", *flags, "true"]
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            return ["unshare", *flags]
    return None


class ReadOnlyTree(unittest.TestCase):
    def setUp(self):
        self.unshare = can_unshare()
        if not self.unshare:
            self.skipTest("no right to a mount namespace")
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name

    def make(self, *arguments):
        script = (
            f'cp "{SOURCE}/Makefile" "$0" && mount --bind "$0" "$0" && '
            'mount -o remount,bind,ro "$0" && cd "$0" && exec make "$@"'
        )
        return subprocess.run(
            [*self.unshare, "sh", "-c", script, self.directory, *arguments],
            capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"]},
        )  # fmt: skip

    def test_says_where_to_build_in_one_line(self):
        for arguments, name in (([], "build"), (["all", "BUILD=other"], "other")):
            with self.subTest(arguments):
                done = self.make(*arguments)
                self.assertNotEqual(done.returncode, 0)
                self.assertRegex(done.stderr, rf"\A[^\n]*ferry: '{name}' cannot be written; [^\n]*\n\Z")
                self.assertIn("make BUILD=", done.stderr)
                self.assertEqual(done.stdout, "")

    def test_a_directory_elsewhere_is_not_complained_about(self):
        with tempfile.TemporaryDirectory() as elsewhere:
            # There is nothing to build in a tree of one Makefile, which is said of it.
            done = self.make(f"BUILD={elsewhere}/build")
            self.assertNotEqual(done.returncode, 0)
            self.assertNotIn("cannot be written", done.stderr)


if __name__ == "__main__":
    tap.main()
