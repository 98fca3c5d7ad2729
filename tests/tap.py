# SPDX-License-Identifier: BSD-2-Clause
"""TAP from Python's unittest: a line for each test as it ends."""

import sys
import unittest


class TapResult(unittest.TestResult):
    """Prints a line of TAP for each test as it ends."""

    def __init__(self):
        super().__init__()
        self.number = 0
        self.subtest_failed = False

    def line(self, verdict, test, note=""):
        self.number += 1
        name = test.id().removeprefix("__main__.").replace("#", "")
        print(f"{verdict} {self.number} - {name}{note}", flush=True)

    def explain(self, test, failure):
        self.line("not ok", test)
        for row in self._exc_info_to_string(failure, test).splitlines():
            print(f"# {row}", flush=True)

    def addSuccess(self, test):
        super().addSuccess(test)
        self.line("ok", test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.explain(test, err)

    def addError(self, test, err):
        super().addError(test, err)
        self.explain(test, err)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.line("ok", test, f" # SKIP {reason}")

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.subtest_failed = True
            for row in self._exc_info_to_string(err, subtest).splitlines():
                print(f"# {row}", flush=True)

    def startTest(self, test):
        super().startTest(test)
        self.subtest_failed = False

    def stopTest(self, test):
        super().stopTest(test)
        if self.subtest_failed:
            self.line("not ok", test)


def main():
    """Runs the tests of the calling script that its arguments name, or all of them."""
    loader = unittest.TestLoader()
    module = sys.modules["__main__"]
    names = sys.argv[1:]
    suite = loader.loadTestsFromNames(names, module) if names else loader.loadTestsFromModule(module)
    print(f"1..{suite.countTestCases()}", flush=True)
    result = TapResult()
    suite.run(result)
    sys.exit(0 if result.wasSuccessful() else 1)
