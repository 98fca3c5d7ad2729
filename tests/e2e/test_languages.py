# SPDX-License-Identifier: BSD-2-Clause
"""Programs with threads, in the languages that people write them in: the same bytes and the same
status as the process. A language whose compiler is not there is skipped."""

import functools
import os
import shutil
import subprocess
import tempfile
import unittest

from harness import PATIENCE, FerryTest, ferry, main

SOURCES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "languages")


def source(name):
    return os.path.join(SOURCES, name)


@functools.lru_cache(None)
def has_openmp():
    done = subprocess.run(
        ["gcc", "-fopenmp", "-x", "c", "-", "-o", "/dev/null"],
        input=b"int main(void) { return 0; }", capture_output=True, check=False,
    )  # fmt: skip
    return done.returncode == 0


# Debian's, in its own place: others bring libraries that a VM does not show.
RUSTC = "/usr/bin/rustc"


@unittest.skipUnless(shutil.which("gcc"), "there is no gcc")
class Languages(FerryTest):
    def setUp(self):
        where = tempfile.TemporaryDirectory()
        self.addCleanup(where.cleanup)
        self.where = where.name

    def build(self, *command, env=None):
        done = subprocess.run(
            command, cwd=self.where, capture_output=True, text=True, check=False,
            env={**os.environ, **(env or {})},
        )  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stderr)

    def compare(self, *command, options=()):
        native = subprocess.run(
            command, cwd=self.where, capture_output=True, check=False, timeout=PATIENCE
        )
        result = ferry("run", f"--ro={self.where}", *options, "--", *command)
        self.assertEqual(result.output, native.stdout, result.errors)
        self.assertEqual(result.status, native.returncode, result.errors)
        self.assertGreater(native.stdout.count(b"\n"), 0)

    @unittest.skipUnless(shutil.which("g++"), "there is no g++")
    def test_cxx(self):
        flags = ["-std=c++17", "-O1", "-pthread"]
        self.build("g++", *flags, "-shared", "-fPIC", "-o", "liblibrary.so", source("library.cc"))
        self.build(
            "g++", *flags, "-o", "threads", source("threads.cc"),
            "-L.", "-llibrary", f"-Wl,-rpath,{self.where}",
        )  # fmt: skip
        self.compare(f"{self.where}/threads")

    @unittest.skipUnless(has_openmp(), "there is no OpenMP")
    def test_openmp(self):
        self.build("gcc", "-O1", "-fopenmp", "-o", "openmp", source("openmp.c"))
        self.compare(f"{self.where}/openmp")

    @unittest.skipUnless(shutil.which("go"), "there is no go")
    def test_go(self):
        cache = {"GOCACHE": f"{self.where}/cache", "GO111MODULE": "off"}
        self.build("go", "build", "-o", "threads", source("threads.go"), env=cache)
        self.compare(f"{self.where}/threads")

    @unittest.skipUnless(os.access(RUSTC, os.X_OK), "there is no rustc of the distribution")
    def test_rust(self):
        self.build(RUSTC, "-O", "-o", "threads", source("threads.rs"))
        self.compare(f"{self.where}/threads")

    @unittest.skipUnless(shutil.which("javac"), "there is no javac")
    def test_java(self):
        self.build("javac", "-d", self.where, source("Threads.java"))
        for collector in ("Serial", "Parallel"):
            with self.subTest(collector=collector):
                self.compare(
                    "java", "-Xmx64m", f"-XX:+Use{collector}GC", "-cp", self.where, "Threads",
                    options=["--mem=1G"],
                )  # fmt: skip


if __name__ == "__main__":
    main()
