# SPDX-License-Identifier: BSD-2-Clause
"""Each use of each function of the C library fails once, in short runs of the command.

sweep.py [--all] [--table] [--call=NAME] [SCENARIO...]

For each fault the run must succeed, with the right output, or fail with a line that says what failed.
Never may it crash, hang, say nothing, or leave a process, a file or a page behind. One end is GLib's own: before 2.76 it aborts, with a line, where a slice of its memory is
refused, and cannot be told not to. --all makes every use of
every function fail; without it a sample, another one each day, that takes some seconds. --table prints
how many faults came to what. The output is TAP: a case for each scenario, and one for the tables.
"""

import argparse
import collections
import ctypes
import datetime
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

from report import Report

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(HERE, "../../scripts"))
from machine import why_no_kvm  # noqa: E402

FERRY, FAULTS = os.environ["FERRY"], os.environ["FERRY_FAULTS"]
BUSYBOX = os.environ.get("BUSYBOX", "/bin/busybox")
PATIENCE = 120  # seconds after which a run hangs; each has --timeout besides
SAMPLE_SECONDS = 15
PR_SET_CHILD_SUBREAPER = 36

# Standard error may have these lines also where the run succeeds.
LINE = re.compile(r"ferry: .*\S")
# Words that say what failed: those of the C library, or of ours that stand for them.
ERRNO = re.compile("|".join(re.escape(os.strerror(code)) for code in range(1, 132)))
# A program in a VM that was refused something says so in its own way; the others are what a user would do first.
ADVICE = re.compile("no memory|out of memory|exit status|crashed by|not executable by you|may be run|in the jail already")


class Scenario:
    def __init__(self, command, data=b"", output=b"", stats=False):
        self.command, self.data, self.output, self.stats = command, data, output, stats


SCENARIOS = {
    "pipe": Scenario(
        [FERRY, "pipe", "--timeout=60s", "--stats=json", f"{BUSYBOX} cat", f"{BUSYBOX} wc -c"],
        b"x" * 5000, b"5000\n", stats=True,
    ),
    "static": Scenario([FERRY, "run", "--timeout=60s", BUSYBOX, "true"]),
    "dynamic": Scenario([FERRY, "run", "--timeout=60s", "/bin/true"]),
}  # fmt: skip


class Outcome(Exception):
    """What must not be."""


class Sweep:
    def __init__(self, scenario, directory):
        self.scenario, self.directory = scenario, directory
        self.report = os.path.join(directory, "report")
        self.temporary = os.path.join(directory, "tmp")

    def run(self, fault=None):
        """One run with that fault, or with none; returns how it ended and the report."""
        Report.clear(self.report)
        shutil.rmtree(self.temporary, ignore_errors=True)
        os.mkdir(self.temporary)
        env = dict(os.environ, LD_PRELOAD=FAULTS, FAULT_FILE=self.report, TMPDIR=self.temporary)
        env.pop("FAULT", None)
        if fault:
            env["FAULT"] = fault
        process = subprocess.Popen(
            self.scenario.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=env, start_new_session=True,
        )  # fmt: skip
        try:
            output, errors = process.communicate(self.scenario.data, timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise Outcome("hangs") from None
        finally:
            left = reap()
        if left:
            raise Outcome(f"left {left} processes")
        if os.listdir(self.temporary):
            raise Outcome(f"left files: {os.listdir(self.temporary)}")
        return process.returncode, output, errors.decode(errors="replace"), Report(self.report)

    def judge(self, fault):
        """A word for how the run with this fault ended; raises what must not be."""
        status, output, errors, report = self.run(fault)
        try:
            return self.judge_run(status, output, errors, report)
        except Outcome as wrong:
            raise Outcome(f"{wrong}, status {status}, called at {report.caller()}: {errors.strip()[-600:]}") from None

    def judge_run(self, status, output, errors, report):
        if status == -signal.SIGABRT and "***MEMORY-ERROR***" in errors:
            return "ended by GLib"
        if status < 0 and -status != signal.SIGPIPE:
            raise Outcome(f"crashed by signal {-status}")
        if '"leaked": ' in errors and '"leaked": 0' not in errors:
            raise Outcome("leaked pages")
        errors = errors.partition("\n{")[0] if not errors.startswith("{") else ""
        lines = errors.strip().splitlines()
        if status == 0:
            if output != self.scenario.output:
                raise Outcome("wrong output")
            return "went on" if report.hit else "did not come"
        if not report.hit:
            raise Outcome("fails without a fault")
        if not any(LINE.match(line) for line in lines):
            raise Outcome("no line says so")
        if not any(ERRNO.search(line) or ADVICE.search(line) for line in lines):
            raise Outcome("the line says no reason")
        return "said so"


def reap():
    """Ends and counts the processes that a run left: they became our children."""
    count = 0
    deadline = time.monotonic() + 2
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return count
        if pid == 0:
            if time.monotonic() > deadline:
                return count + 1
            time.sleep(0.001)


def faults_of(uses, wanted):
    return [f"{name}:{n}" for name, count in uses.items() if wanted in (None, name) for n in range(1, count + 1)]


def sweep(name, options, table):
    wrong = 0
    with tempfile.TemporaryDirectory() as directory:
        os.environ["XDG_CACHE_HOME"] = os.path.join(directory, "cache")
        runs = Sweep(SCENARIOS[name], directory)
        runs.run()  # measures and keeps what it measured
        status, output, errors, report = runs.run()
        if status != 0 or output != runs.scenario.output:
            print(f"# {name}: without a fault: {status} {output!r} {errors}")
            return 1
        if "malloc" not in report.uses or "KVM_RUN" not in report.uses:
            print(f"# {name}: no use was counted: the object that makes faults was not loaded")
            return 1
        todo = faults_of(report.uses, options.call)
        if not options.all:
            random.Random(datetime.date.today().toordinal()).shuffle(todo)
        end = time.monotonic() + SAMPLE_SECONDS / len(SCENARIOS)
        for fault in todo:
            if not options.all and time.monotonic() > end:
                break
            try:
                outcome = runs.judge(fault)
            except Outcome as what:
                outcome = "wrong"
                wrong += 1
                print(f"# {name}: {fault}: {what}", flush=True)
            table[fault.partition(":")[0]][outcome] += 1
    return wrong


def unlisted():
    """What the command imports and neither table knows: it could fail without ever being tried."""
    with open(os.path.join(HERE, "calls.h"), encoding="utf-8") as lines:
        known = set(re.findall(r'^CALL\((\w+)', lines.read(), re.MULTILINE))
        lines.seek(0)
        known |= set(re.findall(r'"(\w+)"', lines.read()))
    with open(os.path.join(HERE, "cannot_fail.txt"), encoding="utf-8") as lines:
        known |= {word for line in lines if not line.startswith("#") for word in line.split()}
    said = subprocess.run(["nm", "-D", "--undefined-only", FERRY], stdout=subprocess.PIPE, text=True, check=True)
    names = {line.split()[-1].partition("@")[0] for line in said.stdout.splitlines()}
    return sorted(name for name in names - known if not name.startswith(("_ITM", "Zydis", "__gmon", "elf", "gelf")))


def print_table(table):
    kinds = ["went on", "said so", "ended by GLib", "did not come", "wrong"]
    print("# | call | faults | " + " | ".join(kinds) + " |\n# |---|" + "---|" * (1 + len(kinds)))
    for name, counts in sorted(table.items(), key=lambda item: -sum(item[1].values())):
        print(f"# | `{name}` | {sum(counts.values())} | " + " | ".join(str(counts[kind]) for kind in kinds) + " |")


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--call")
    parser.add_argument("scenario", nargs="*", default=list(SCENARIOS))
    options = parser.parse_args()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    table = collections.defaultdict(collections.Counter)
    reason = why_no_kvm()
    if reason and not os.environ.get("FERRY_REQUIRE_KVM"):
        print(f"1..0 # SKIP {reason}")
        return 0
    print(f"1..{len(options.scenario) + 1}", flush=True)
    missing = unlisted()
    print(f"{'not ' if missing else ''}ok 1 - what the command imports is in a table {' '.join(missing)}")
    wrong = len(missing)
    for number, name in enumerate(options.scenario, 2):
        found = sweep(name, options, table)
        wrong += found
        print(f"{'not ' if found else ''}ok {number} - {name}", flush=True)
    total = sum((counts for counts in table.values()), collections.Counter())
    if options.table:
        print_table(table)
    print(f"# {total.total()} faults: " + ", ".join(f"{count} {kind}" for kind, count in total.items()))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
