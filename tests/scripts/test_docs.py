# SPDX-License-Identifier: BSD-2-Clause
"""scripts/check-docs finds a file that programs are shown and ferry(1) does not list, and the reverse."""

import importlib.util
import os
import sys
import unittest
from importlib.machinery import SourceFileLoader

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.join(HERE, "../..")
sys.path.append(os.path.join(HERE, ".."))
import tap  # noqa: E402


def load():
    loader = SourceFileLoader("docs", os.path.join(TOP, "scripts/check-docs"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("docs", loader))
    loader.exec_module(module)
    return module


docs = load()


def read(name):
    with open(os.path.join(TOP, name), encoding="utf-8") as file:
        return file.read()


class Shown(unittest.TestCase):
    def setUp(self):
        self.code, self.manual = read("host/linux/shown.c"), read("man/ferry.1")

    def test_the_lists_are_one(self):
        self.assertEqual(docs.compare_shown(self.code, self.manual), [])
        self.assertGreater(len(docs.shown_by_code(self.code)), 80)

    def test_more_in_the_code(self):
        for old, new in (('"/etc/magic",', '"/etc/magic", "/etc/shadow",'), ('"/var/lib/texmf"', '"/var/lib/x"'),
                         ('"/bin", ', '"/bin", "/opt", ')):
            with self.subTest(new):
                self.assertIn(old, self.code)
                added = new.split('"')[-2]
                said = docs.compare_shown(self.code.replace(old, new), self.manual)
                self.assertIn(f"man/ferry.1 does not list {added}, which shown.c shows", said)

    def test_more_in_the_manual(self):
        for old, new in ((", magic ,", ", magic , shadow ,"), ("/usr ,", "/usr , /opt ,"), ("aspell ,", "aspell , x ,")):
            with self.subTest(new):
                self.assertIn(old, self.manual)
                self.assertEqual(len(docs.compare_shown(self.code, self.manual.replace(old, new))), 1)


class Made(unittest.TestCase):
    def setUp(self):
        self.code = [read(f"host/linux/{name}.c") for name in ("made", "numbered", "special")]
        self.manual = read("man/ferry.1")

    def test_the_lists_are_one(self):
        self.assertEqual(docs.compare_made(*self.code, self.manual), [])
        made = docs.made_by_code(*self.code)
        self.assertGreater(len(made), 60)
        for path in ("/etc/passwd", "/proc/self/fd", "/proc/self/task", "/sys/devices/system/cpu/online", "/dev/tty",
                     "/dev/stdin", "/proc/self/exe", "/proc/sys/vm/max_map_count"):  # fmt: skip
            self.assertIn(path, made)

    def test_more_in_the_code(self):
        for file, old, new, added in (
            (0, '{"/proc/loadavg"', '{"/proc/keys", "", NULL}, {"/proc/loadavg"', "/proc/keys"),
            (0, '{SELF "cwd"', '{SELF "cwdx"', "/proc/self/cwdx"),
            (1, 'SELF "fdinfo/"', 'SELF "sockets/"', "/proc/self/sockets"),
            (2, '{"/dev/null"', '{"/dev/kmsg"', "/dev/kmsg"),
            (2, '"/dev/stderr"};', '"/dev/stdlog"};', "/dev/stdlog"),
        ):
            with self.subTest(new):
                self.assertIn(old, self.code[file])
                code = [*self.code]
                code[file] = code[file].replace(old, new)
                self.assertIn(f"man/ferry.1 does not list {added}, which is made up",
                              docs.compare_made(*code, self.manual))  # fmt: skip

    def test_more_in_the_manual(self):
        for old, new, added in (
            (", group ,", ", group , shadow ,", "/etc/shadow"),
            ("(cpuinfo", "(kcore, cpuinfo", "/proc/kcore"),
            ("of self: auxv", "of self: mem, auxv", "/proc/self/mem"),
            ("fs/nr_open", "fs/nr_open, fs/dentry", "/proc/sys/fs/dentry"),
            ("kernel_max,", "kernel_max, isolated,", "/sys/devices/system/cpu/isolated"),
            ("(null,", "(null, mem,", "/dev/mem"),
        ):
            with self.subTest(new):
                self.assertIn(old, self.manual)
                self.assertEqual(docs.compare_made(*self.code, self.manual.replace(old, new)),
                                 [f"man/ferry.1 lists {added}, which nothing makes up"])  # fmt: skip


class Promises(unittest.TestCase):
    ROW = "| 1 | It holds. | `host/a.c` | `tests/kvm/test_a.c: one, two` |\n"
    FILES = {"host/a.c": "", "tests/kvm/test_a.c": "static void one(void **state)\nstatic void two(void **state)\n"}

    def wrong(self, text, files=FILES):
        return docs.check_promises(text, list(files), files.get)

    def test_what_is_well(self):
        self.assertEqual(self.wrong(self.ROW), [])

    def test_a_test_that_is_gone(self):
        files = {**self.FILES, "tests/kvm/test_a.c": "static void one(void **state)\n/* two */"}
        self.assertEqual(len(self.wrong(self.ROW, files)), 1)
        self.assertEqual(len(self.wrong(self.ROW, {"host/a.c": ""})), 2)

    def test_a_file_that_is_gone(self):
        self.assertEqual(len(self.wrong(self.ROW.replace("host/a.c", "host/b.c"))), 1)

    def test_a_promise_without_a_test(self):
        self.assertEqual(len(self.wrong("| 1 | It holds. | `host/a.c` | none |\n")), 1)

    def test_numbers(self):
        self.assertEqual(len(self.wrong(self.ROW.replace("| 1 |", "| 2 |"))), 1)
        self.assertEqual(len(self.wrong("")), 1)


class Packages(unittest.TestCase):
    def setUp(self):
        self.setup, self.make, self.ci = read("scripts/setup"), read("Makefile"), read(".ci/run")
        self.built = read("meson.build") + read("host/meson.build")
        self.document = read("docs/dependencies.md")

    def said(self, **changed):
        texts = {"setup": self.setup, "make": self.make, "ci": self.ci, "built": self.built, "document": self.document}
        return docs.compare_packages(**{**texts, **changed})

    def test_the_lists_are_one(self):
        self.assertEqual(self.said(), [])
        installed = docs.packages_installed(self.setup, self.make, self.ci)
        self.assertLessEqual({"gcc", "spin", "gnuplot-nox", "libseccomp-dev", "cpio", "mandoc"}, installed)

    def test_more_is_installed(self):
        for text in ("setup", "make", "ci"):
            with self.subTest(text):
                more = getattr(self, text).replace("libelf-dev", "libelf-dev more").replace("gnuplot-nox", "more").replace(
                    "mandoc shellcheck", "more mandoc shellcheck")
                self.assertIn("docs/dependencies.md does not list more, which is installed", self.said(**{text: more}))

    def test_less_is_listed(self):
        said = self.said(document=self.document.replace("| nettle-dev |", "| x |"))
        self.assertEqual(len(said), 3)

    def test_meson_looks_for_more(self):
        said = self.said(built=self.built + "x = dependency('openssl')\n")
        self.assertEqual(said, ["docs/dependencies.md does not list the package of openssl, which Meson looks for"])


if __name__ == "__main__":
    tap.main()
