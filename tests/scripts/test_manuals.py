# SPDX-License-Identifier: BSD-2-Clause
"""The manual pages of section 3: each function is in one, with every error that it can give."""

import glob
import os
import re
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(HERE, ".."))
import tap  # noqa: E402

SOURCE = os.path.realpath(os.path.join(HERE, "../.."))
SCRIPT = os.path.join(SOURCE, "scripts/manuals")
HEADERS = [os.path.join(SOURCE, "include/ferry", name) for name in ("ferry.h", "guest.h")]

# A test that sees an error proves that the function gives it.
SEEN = re.compile(r"\b(ferry_\w+)\((?:[^();]|\([^()]*\))*\),\s*-(E[A-Z0-9]+)\)")
HEADER = """\
/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A library.
 */

/* ---- ferry_one(3): one function ---- */

/* Does `it`. Then more.
 * .so it begins
%s */
FERRY_API int ferry_do(int it, const char *text);
"""


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def run(*arguments):
    return subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, check=False)


class Pages(unittest.TestCase):
    """Those of the real headers."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        made = run("--all", directory.name, *HEADERS)
        self.assertEqual(made.returncode, 0, made.stderr)
        self.pages = {os.path.basename(path): read(path)
                      for path in glob.glob(os.path.join(directory.name, "*.3"))}

    def errors_of(self, function):
        """As the page that has them says, by name; None: it is in no page."""
        for page in self.pages.values():
            listed = re.search(rf"^\.Fn {function} :\n(.*?)^\.El", page, re.MULTILINE | re.DOTALL)
            if listed:
                return set(re.findall(r"\bE[A-Z0-9]+\b", listed.group(1)))
        return None

    def test_each_function_is_in_the_page_of_its_section(self):
        declared = re.findall(r"^(?:FERRY_API|static inline)[^(;]*?(ferry_\w+)\(", read(HEADERS[0]),
                              re.MULTILINE)
        declared += re.findall(r"^(?:\w+ )+\*?(ferry_\w+)\(", read(HEADERS[1]), re.MULTILINE)
        self.assertGreater(len(declared), 45)
        for name in declared:
            with self.subTest(name):
                having = [page for page in self.pages.values() if f".Fo {name}\n" in page]
                self.assertEqual(len(having), 1)
                self.assertIn(f".Nm {name}", having[0])
                self.assertIn(f".It Fn {name}\n", having[0])

    def test_the_list_names_them_too(self):
        listed = run("--list", *HEADERS).stdout.split("\n")
        self.assertEqual({line.split()[1] + ".3" for line in listed if line}, set(self.pages))
        self.assertIn("ferry_vm_wait", " ".join(listed).split())

    def test_errors_that_tests_see_are_listed(self):
        seen = set()
        for path in glob.glob(os.path.join(SOURCE, "tests/*/*.c")):
            seen.update(SEEN.findall(read(path)))
        public = set(re.findall(r"^\.Fo (\w+)", "".join(self.pages.values()), re.MULTILINE))
        seen = [(function, error) for function, error in sorted(seen) if function in public]
        self.assertGreater(len(seen), 40)
        for function, error in seen:
            with self.subTest(function=function, error=error):
                self.assertIn(error, self.errors_of(function) or ())


class Faults(unittest.TestCase):
    """Of headers that are made up."""

    def make(self, errors):
        with tempfile.TemporaryDirectory() as directory:
            header, page = (os.path.join(directory, name) for name in ("it.h", "ferry_one.3"))
            with open(header, "w", encoding="utf-8") as file:
                file.write(HEADER % errors)
            made = run(header, page)
            return made, read(page) if made.returncode == 0 else ""

    def test_a_function_without_errors_is_refused(self):
        made, _ = self.make(" *")
        self.assertEqual(made.returncode, 1)
        self.assertIn("ferry_do has no list of errors", made.stderr)

    def test_a_line_that_is_no_error_is_refused(self):
        made, _ = self.make(" *\n * Errors:\n * EINVAL it is wrong")
        self.assertEqual(made.returncode, 1)
        self.assertIn("EINVAL it is wrong", made.stderr)

    def test_a_page(self):
        made, page = self.make(
            " *\n * Errors:\n * -EINVAL, -EPERM: it is wrong,\n *  or not\n * others: no"
        )
        self.assertEqual(made.stderr, "")
        self.assertIn('.Fo ferry_do\n.Fa "int it"\n.Fa "const char *text"\n.Fc\n', page)
        self.assertIn("Does \\fIit\\fR.\nThen more.", page)
        self.assertIn(".It Er \\-EINVAL , \\-EPERM\nit is wrong, or not\n.It others\nno\n", page)
        self.assertNotRegex(page, r"(?m)^\.so")


if __name__ == "__main__":
    tap.main()
