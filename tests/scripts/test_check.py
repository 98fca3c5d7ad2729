# SPDX-License-Identifier: BSD-2-Clause
"""scripts/check and .ci/run judge what they are given: made-up TAP, and real runs of Meson."""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import unittest
import unittest.mock
from importlib.machinery import SourceFileLoader

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path += [os.path.join(HERE, ".."), os.path.join(HERE, "../../scripts")]
import tap  # noqa: E402

CHECK = os.path.join(HERE, "../../scripts/check")
MUTATE = os.path.join(HERE, "../../scripts/mutate")
CI = os.path.join(HERE, "../../.ci/run")


def load_check():
    loader = SourceFileLoader("check", CHECK)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("check", loader))
    loader.exec_module(module)
    return module


check = load_check()

# What a program says, the figures that come of it, and a part of what must be complained about.
JUDGED = [
    ("1..2\nok 1 - a\nok 2 - b\n", "OK", 0, (2, 0, 0), None),
    ("ok 1 - a\nok 2 - b\n1..2\n", "OK", 0, (2, 0, 0), None),
    ("1..2\nok\nok\n", "OK", 0, (2, 0, 0), None),
    ("1..2\nok 1 - a\nok 2 - b # SKIP why\n", "OK", 0, (1, 0, 1), None),
    ("1..2\nok 1 - a\nnot ok 2 # SKIP b\n", "FAIL", 0, (1, 0, 1), None),  # cmocka 1.1.5
    ("1..2\nok 1 - a\nnot ok 2 - b\n", "FAIL", 1, (1, 1, 0), "b"),
    ("", "ERROR", 0, (0, 1, 0), "no result"),
    ("ok 1 - a\n", "OK", 0, (1, 1, 0), "no result"),
    ("1..0 # SKIP no device\n", "SKIP", 0, (0, 1, 0), "no cases: no device"),
    ("1..0\n", "OK", 0, (0, 1, 0), "no cases"),
    ("1..3\nok 1 - a\n", "ERROR", 0, (1, 2, 0), "2 cases did not run"),
    ("1..1\nok 1 - a\nok 2 - b\n", "ERROR", 0, (2, 1, 0), "1 cases more than planned"),
    ("1..2\nok 1 - a\nok 1 - a\n", "ERROR", 0, (2, 2, 0), "case 1 twice"),
    ("1..1\nok 1 - a\n1..1\n", "ERROR", 0, (1, 1, 0), "a second plan"),
    ("1..1\nok 1 - a\nBail out! the disk is full\n", "ERROR", 0, (1, 1, 0), "the disk is full"),
    ("1..1\nok 1 - a\n", "OK", 3, (1, 1, 0), "exit status 3"),
    ("1..1\nok 1 - a\n", "TIMEOUT", 0, (1, 1, 0), "TIMEOUT"),
    ("1..1\nok 1 - a\n", "FAIL", 0, (1, 1, 0), "FAIL"),
    ("1..1\nok 1 - a\n", "UNEXPECTEDPASS", 0, (1, 1, 0), "UNEXPECTEDPASS"),
    ("1..2\nok 1 - a\nnot ok 2 # SKIP b\n", "TIMEOUT", 0, (1, 1, 1), "TIMEOUT"),
    ("1..2\nok 1 - a\nok 2 # SKIP b\n", "FAIL", 0, (1, 1, 1), "FAIL"),
]


class Counting(unittest.TestCase):
    def test_every_kind_of_result(self):
        for text, result, status, figures, complaint in JUDGED:
            with self.subTest(text, result=result, status=status):
                run = {"name": "ferry:unit / x", "stdout": text, "result": result, "returncode": status}
                count = check.Count(run)
                counted = [len(cases) for cases in (count.passed, count.failed, count.skipped)]
                self.assertEqual(tuple(counted), figures)
                if complaint:
                    self.assertIn(complaint, " ".join(count.failed))

    def test_skips_that_are_not_allowed(self):
        text = "1..3\nok 1 - a\nok 2 # SKIP no room\nok 3 # SKIP no right\n"
        run = {"name": "ferry:e2e / large", "stdout": text, "result": "OK", "returncode": 0}
        count = check.Count(run)
        count.refuse_skips({"large: no room", "other: no right"})
        self.assertEqual(len(count.failed), 1)
        self.assertIn("no right", count.failed[0])


class Running(unittest.TestCase):
    """With Meson, on programs that say what their file holds."""

    def setUp(self):
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.top = place.name
        self.said = {}

    def program(self, name, text, more="true"):
        self.said[name] = text, more

    def made_up_build(self, suite):
        with open(os.path.join(self.top, "meson.build"), "w", encoding="utf-8") as build:
            build.write("project('made up')\nsh = find_program('sh')\n")
            for name, (text, more) in self.said.items():
                with open(os.path.join(self.top, name), "w", encoding="utf-8") as file:
                    file.write(text)
                build.write(
                    f"test('{name}', sh, args: ['-c', 'cat \"$0\"; {more}', files('{name}')], "
                    f"protocol: 'tap', suite: '{suite}')\n"
                )
        build = os.path.join(self.top, "build")
        subprocess.run(["meson", "setup", build, self.top], check=True, stdout=subprocess.DEVNULL)
        return build

    def run_check(self, environment=None):
        build = self.made_up_build("unit")
        done = subprocess.run(
            [CHECK, build, "--suite", "unit"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
            env={**os.environ, "FERRY_ALLOWED_SKIPS": "", **(environment or {})},
        )  # fmt: skip
        return done.returncode, done.stdout

    def test_what_is_good_passes(self):
        self.program("one", "1..1\nok 1 - a\n")
        self.program("two", "1..2\nok 1 - a\nok 2 - b # SKIP not today\n")
        status, said = self.run_check()
        self.assertEqual(status, 0, said)
        self.assertEqual(said.splitlines(), ["skipped 1: not today (two)", "2 passed, 0 failed"])

    def test_what_is_bad_fails_by_name(self):
        self.program("good", "1..1\nok 1 - a\n")
        self.program("none", "1..0 # SKIP no device\n")
        self.program("bail", "1..1\nok 1 - a\nBail out! no disk\n")
        self.program("more", "1..1\nok 1 - a\nok 2 - b\n")
        self.program("dies", "1..1\nok 1 - a\n", more="kill -9 $$")
        status, said = self.run_check()
        self.assertEqual(status, 1, said)
        for name in ("none", "bail", "more", "dies"):
            self.assertRegex(said, f"(?m)^--- .*{name}: ")
        self.assertNotRegex(said, "(?m)^--- .*good: ")
        self.assertEqual(said.splitlines()[-1], "5 passed, 4 failed")

    def test_nothing_but_skips_fails(self):
        self.program("one", "1..1\nok 1 - a # SKIP not today\n")
        status, said = self.run_check()
        self.assertEqual(status, 1, said)
        self.assertEqual(said.splitlines()[-1], "0 passed, 1 failed")

    def test_skips_are_compared_with_the_list(self):
        self.program("one", "1..2\nok 1 - a\nok 2 - b # SKIP not today\n")
        allowed = os.path.join(self.top, "allowed")
        for line, expected in (("one: not today", 0), ("one: never", 1)):
            with open(allowed, "w", encoding="utf-8") as file:
                file.write(f"# why\n{line}\n")
            status, said = self.run_check({"FERRY_ALLOWED_SKIPS": allowed})
            self.assertEqual(status, expected, said)

    def test_a_second_try_of_the_lab_is_shown(self):
        again = "lab: no result from Linux 6.1 with 1 processor(s) in at most 9 s, trying once more:"
        self.program("one", "1..1\nok 1 - a\n", more=f'echo "{again}" >&2')
        status, said = self.run_check()
        self.assertEqual(status, 0, said)
        self.assertRegex(said, "(?m)^second try: one: lab: no result from Linux 6.1")

    def test_each_program_has_a_machine_of_the_lab(self):
        """Once each, also where the name of one begins with that of another."""
        lab = os.path.join(self.top, "lab")
        with open(lab, "w", encoding="utf-8") as script:
            script.write('#!/bin/sh\necho "$*" >>"$0.log"\n')
            script.write('while [ "$1" != -- ]; do shift; done\nshift\nexec "$@"\n')
        os.chmod(lab, 0o755)
        self.program("one", "1..1\nok 1 - a\n")
        self.program("one_more", "1..2\nok 1 - a\nok 2 - b\n")
        self.program("bad", "1..1\nnot ok 1 - a\n")
        build = self.made_up_build("kvm")
        with unittest.mock.patch.object(check, "LAB_BYTES", 1 << 60):
            self.assertEqual(check.machines_at_once(), 1)
        one = unittest.mock.patch.object(check, "machines_at_once", return_value=1)
        with unittest.mock.patch.object(check, "LAB", lab), one as asked:
            runs = check.run_in_lab(build, ["kvm"], ["--cpus", "2"], [])
            some = check.run_in_lab(build, ["kvm"], [], ["--no-stdsplit", "one"])
        counts = {count.name: (len(count.passed), len(count.failed)) for count in map(check.Count, runs)}
        self.assertEqual(asked.call_count, 2)
        self.assertEqual(len(runs), 3)
        self.assertEqual(counts, {"one": (1, 0), "one_more": (2, 0), "bad": (0, 1)})
        self.assertEqual([check.Count(run).name for run in some], ["one"])
        with open(lab + ".log", encoding="utf-8") as log:
            machines = log.read().splitlines()
        self.assertEqual(len(machines), 4)
        self.assertEqual(len([line for line in machines if " --cpus 2 -- " in line]), 3)


class Ci(unittest.TestCase):
    def test_a_step_that_does_not_exist(self):
        done = subprocess.run(
            ["bash", CI, "format", "nosuchstep"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        self.assertNotEqual(done.returncode, 0)
        self.assertRegex(done.stdout, "nosuchstep.*headers rooms")
        self.assertNotRegex(done.stdout, "passed")


class Registered(unittest.TestCase):
    def test_every_test_is_run(self):
        """A file that no list names is a test that never fails."""
        found = subprocess.run(
            ["meson", "introspect", "--tests", os.environ["FERRY_BUILD"]],
            stdout=subprocess.PIPE, check=True,
        ).stdout  # fmt: skip
        names = {test["name"] for test in json.loads(found)}
        for directory, prefix in (("unit", ""), ("kvm", "kvm_"), ("e2e", ""), ("scripts", "")):
            for file in os.listdir(os.path.join(HERE, "..", directory)):
                if file.startswith("test_") and file.endswith((".c", ".py")):
                    name = prefix + os.path.splitext(file)[0].removeprefix("test_")
                    self.assertIn(name, names, f"tests/{directory}/{file} is in no meson.build")


class Mutations(unittest.TestCase):
    def test_the_entries_fit_the_source(self):
        """Who changes a line that an entry of tests/mutations/ changes, changes the entry too."""
        done = subprocess.run([MUTATE, "--list"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, check=False)  # fmt: skip
        bad = [line for line in done.stdout.splitlines() if "does not fit" in line]
        self.assertEqual(bad, [])
        self.assertEqual(done.returncode, 0, done.stdout)


if __name__ == "__main__":
    tap.main()
