# SPDX-License-Identifier: BSD-2-Clause
"""Uses of functions of the C library fail, in short runs of the command and of a program with the library in it.

sweep.py [--all] [--table] [--call=NAME] [--kind=KIND] [SCENARIO...]

The kinds of fault are in KINDS. Whatever fails, the run must succeed, with the right output, or fail with
a line that says what failed. Never may it crash, hang, say nothing, or leave a process, a file or a page
behind; nor the library in a program descriptors, mappings, threads or memory. What must not show at all, as an
interrupted call that is made again, must succeed. One end is GLib's own: before 2.76 it aborts, with a
line, where a slice of its memory is refused, and cannot be told not to. --all tries every fault; without it
of all kinds but one a sample, another one each day, that takes some seconds. --table prints
how many faults came to what. The output is TAP: a case for each scenario, and one for the tables.
"""

import argparse
import collections
import contextlib
import ctypes
import datetime
import os
import random
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from report import Report

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(HERE, "../../scripts"))
from machine import why_no_kvm  # noqa: E402

FERRY, FAULTS = os.environ["FERRY"], os.environ["FERRY_FAULTS"]
EMBEDDER, EXAMPLES = os.environ["FERRY_EMBEDDER"], os.environ["FERRY_EXAMPLES"]
BUSYBOX = os.environ.get("BUSYBOX", "/bin/busybox")
PATIENCE = 120  # seconds after which a run hangs; each has --timeout besides
SAMPLE_SECONDS = 15
PR_SET_CHILD_SUBREAPER = 36

LINE = re.compile(r"ferry: .*\S")
# Words that say what failed: those of the C library, or of ours that stand for them.
ERRNO = re.compile("|".join(re.escape(os.strerror(code)) for code in range(1, 132)))
# A program in a VM that was refused something says so in its own way.
ADVICE = re.compile("no memory|out of memory|memory that the host has not|exit status|crashed by")
TIME_LIMIT = "time limit"  # of a VM that still runs, or of output that nobody took until then

EINTR = 4
# What a signal may interrupt. Not KVM_RUN, which then also fills a page that faults.c does not know; each kick of a guest does that.
INTERRUPTED = (
    "read write send sendmsg recv recvmsg splice tee eventfd_read eventfd_write flock fallocate64 futex_wait poll ppoll "
    "nanosleep waitid waitpid close KVM_CREATE_VM"
).split()
CUT_SHORT = "read pread pread64 write pwrite64 send recv".split()
DAY = 86400


def some(count, most=24):
    return range(1, count + 1, max(1, count // most))


# Each gives the faults that are tried of a function that was called so often.
KINDS = {
    "one use fails": lambda name, uses: [f"{name}:{n}" for n in range(1, uses + 1)],
    "all from one on fail": lambda name, uses: [f"{name}:{n}+" for n in range(1, uses + 1)],
    "interrupted": lambda name, uses: [f"{name}:{n}~:{EINTR}" for n in (1, 2) if name in INTERRUPTED],
    "short": lambda name, uses: [f"{name}:1+:short"] if name in CUT_SHORT else [],
    "the time of day jumps": lambda name, uses: [
        f"{name}:{n}+:{by}" for n in some(uses) for by in (DAY, -DAY) if name == "CLOCK_REALTIME"
    ],
    "the clock jumps": lambda name, uses: [
        f"{name}:{n}+:{by}" for n in some(uses) for by in (DAY, -1) if name == "CLOCK_MONOTONIC"
    ],
}  # fmt: skip
NOT_CALLS = ("CLOCK_REALTIME", "CLOCK_MONOTONIC", "pthread_cond_timedwait")
ONLY_ALL = "all from one on fail"  # tried by --all only
ASKED_AGAIN = ("getrandom",)  # fails by EINTR, so it is called again: where that does not end, the time limit ends it
OF_LINES = ("write", "poll")  # what a line on standard error takes: where all of them fail, none can be written
MUST_GO_ON = ("interrupted", "short", "the time of day jumps")


def kind_of(fault):
    name, _, rest = fault.partition(":")
    if name in NOT_CALLS:
        return "the time of day jumps" if name == "CLOCK_REALTIME" else "the clock jumps"
    if rest.endswith("short"):
        return "short"
    return "interrupted" if "~" in rest else "all from one on fail" if "+" in rest else "one use fails"


def may_say(fault, text):
    """Whether what was said is what the fault may come to."""
    kind = kind_of(fault)
    if kind == ONLY_ALL and fault.partition(":")[0] in ASKED_AGAIN and TIME_LIMIT in text:
        return True
    if kind == "the clock jumps":
        return TIME_LIMIT in text
    return kind not in MUST_GO_ON and (ERRNO.search(text) or ADVICE.search(text))


class Outcome(Exception):
    """What must not be."""


class Command:
    """A scenario: the command, once for each fault."""

    def __init__(self, words, data=b"", output=b"", status=0, kinds=tuple(KINDS)):
        self.words, self.data, self.output, self.status, self.kinds = words, data, output, status, kinds

    def begin(self, directory):
        self.report = os.path.join(directory, "report")
        self.temporary = os.path.join(directory, "tmp")
        self.run()  # measures and keeps what it measured
        status, output, errors, report = self.run()
        if status != self.status or output != self.output:
            raise Outcome(f"without a fault: {status} {output!r} {errors}")
        return report.uses

    def end(self):
        pass

    def started(self, process):
        pass

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
            [word.format(report=self.report) for word in self.words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=env, start_new_session=True,
        )  # fmt: skip
        self.started(process)
        try:
            output, errors = process.communicate(self.data, timeout=PATIENCE)
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
            return self.judge_run(fault, status, output, errors, report)
        except Outcome as wrong:
            raise Outcome(f"{wrong}, status {status}, called at {report.caller()}: {errors.strip()[-600:]}") from None

    def judge_run(self, fault, status, output, errors, report):
        if status == -signal.SIGABRT and "***MEMORY-ERROR***" in errors:
            return "ended by GLib"
        if status < 0 and -status != signal.SIGPIPE:
            raise Outcome(f"crashed by signal {-status}")
        if '"leaked": ' in errors and '"leaked": 0' not in errors:
            raise Outcome("leaked pages")
        errors = errors.partition("\n{")[0] if not errors.startswith("{") else ""
        if status == self.status:
            if output != self.output:
                raise Outcome("wrong output")
            return "went on" if report.hit else "did not come"
        if not report.hit:
            raise Outcome("fails without a fault")
        if kind_of(fault) == ONLY_ALL and fault.partition(":")[0] in OF_LINES:
            return "could not say"
        if not any(LINE.match(line) for line in errors.splitlines()):
            raise Outcome("no line says so")
        if not any(may_say(fault, line) for line in errors.splitlines()):
            raise Outcome("the line says no reason")
        return "said so"


SERVED = 5  # seconds in which a connection is served, or never: while none can be taken, they wait


class Server(Command):
    """A scenario: a server, one connection to it, and a signal that ends it, once for each fault."""

    def run(self, fault=None):
        self.path = self.report + ".socket"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        self.output_of_server = b""
        client = threading.Thread(target=self.connect)
        self.process = None
        client.start()
        status, _, errors, report = super().run(fault)
        client.join()
        output = self.output_of_server
        if status == -signal.SIGTERM and output != self.output:
            status = 125  # the connection failed, and that must be said
        return 0 if status == -signal.SIGTERM else status, output, errors, report

    def started(self, process):
        self.process = process

    def connect(self):
        """As soon as it listens; then ends it, whatever it answered."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and (not self.process or self.process.poll() is None):
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(SERVED)
                try:
                    connection.connect(self.path)
                except OSError:
                    time.sleep(0.002)
                    continue
                with contextlib.suppress(OSError):
                    connection.sendall(self.data)
                    connection.shutdown(socket.SHUT_WR)
                    self.output_of_server = b"".join(iter(lambda: connection.recv(1 << 16), b""))
                self.process.send_signal(signal.SIGTERM)
                return


class Embedder:
    """A scenario: all faults in one process, embedder.c."""

    kinds = tuple(KINDS)

    def begin(self, directory):
        self.report = os.path.join(directory, "report")
        self.words = [EMBEDDER, os.path.join(directory, "measured"), os.path.join(EXAMPLES, "pass"), BUSYBOX]
        self.process = None
        self.start()
        return Report(self.report).uses

    def start(self):
        """Its first runs measure, and make what the C library keeps."""
        Report.clear(self.report)
        env = dict(
            os.environ, LD_PRELOAD=FAULTS, FAULT_FILE=self.report,
            GLIBC_TUNABLES="glibc.pthread.stack_cache_size=0:glibc.malloc.arena_max=1:glibc.malloc.tcache_count=0",
        )  # fmt: skip
        self.process = subprocess.Popen(
            self.words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, text=True, bufsize=1
        )
        answers = [self.ask("none") for _ in range(3)]
        if not answers[-1].startswith("did not come"):
            raise Outcome(f"without a fault: {answers}")

    def end(self):
        self.process.kill()
        self.process.communicate()
        self.process = None

    def ask(self, fault):
        self.process.stdin.write(fault + "\n")
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        if not ready:
            raise Outcome("hangs")
        return self.process.stdout.readline().strip()

    def judge(self, fault):
        try:
            answer = self.ask(fault)
            if not answer:
                raise Outcome(f"ended the process: {self.process.wait()}")
            outcome, _, text = answer.partition(": ")
            outcome = outcome.partition(" (")[0]
            if outcome == "time is over":
                outcome, text = "said so", TIME_LIMIT
            if outcome == "wrong" or (outcome == "said so" and not may_say(fault, text)):
                raise Outcome(answer)
            return outcome
        except Outcome as wrong:
            caller = Report(self.report).caller()
            self.end()
            self.start()
            raise Outcome(f"{wrong}, called at {caller}") from None


SCENARIOS = {
    "pipe": Command(
        [FERRY, "pipe", "--timeout=60s", "--stats=json", f"{BUSYBOX} cat", f"{BUSYBOX} wc -c"],
        b"x" * 5000, b"5000\n",
    ),
    "static": Command([FERRY, "run", "--timeout=60s", BUSYBOX, "true"]),
    "dynamic": Command([FERRY, "run", "--timeout=60s", "/bin/true"]),
    "limit": Command(
        [FERRY, "run", "--timeout=1s", BUSYBOX, "sleep", "1000"], status=124,
        kinds=("interrupted", "the time of day jumps", "the clock jumps"),
    ),
    "serve": Server(
        [FERRY, "serve", "--timeout=3s", "--max=1", "--listen={report}.socket", f"{BUSYBOX} wc -c"],
        b"x" * 5000, b"5000\n",
    ),
    "embedder": Embedder(),
}  # fmt: skip


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


def faults_of(scenario, uses, options):
    return [
        fault
        for name, count in uses.items() if options.call in (None, name)
        for kind, faults in KINDS.items()
        if kind in scenario.kinds and options.kind in (None, kind)
        for fault in faults(name, count) if kind_of(fault) == kind
    ]  # fmt: skip


def sweep(name, options, table):
    wrong = 0
    scenario = SCENARIOS[name]
    with tempfile.TemporaryDirectory() as directory:
        os.environ["XDG_CACHE_HOME"] = os.path.join(directory, "cache")
        try:
            uses = scenario.begin(directory)
        except Outcome as what:
            print(f"# {name}: {what}")
            return 1
        if "malloc" not in uses or "KVM_RUN" not in uses:
            print(f"# {name}: no use was counted: the object that makes faults was not loaded")
            return 1
        todo = faults_of(scenario, uses, options)
        if not options.all:
            todo = [fault for fault in todo if kind_of(fault) != ONLY_ALL]
            random.Random(datetime.date.today().toordinal()).shuffle(todo)
        end = time.monotonic() + SAMPLE_SECONDS / len(SCENARIOS)
        for fault in todo:
            if not options.all and time.monotonic() > end:
                break
            try:
                outcome = scenario.judge(fault)
            except Outcome as what:
                outcome = "wrong"
                wrong += 1
                print(f"# {name}: {fault}: {what}", flush=True)
            table[kind_of(fault), fault.partition(":")[0]][outcome] += 1
        scenario.end()
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


def print_table(title, rows):
    kinds = ["went on", "said so", "could not say", "ended by GLib", "did not come", "wrong"]
    print(f"# | {title} | faults | " + " | ".join(kinds) + " |\n# |---|" + "---|" * (1 + len(kinds)))
    for name, counts in sorted(rows.items(), key=lambda item: -sum(item[1].values())):
        print(f"# | {name} | {sum(counts.values())} | " + " | ".join(str(counts[kind]) for kind in kinds) + " |")


def print_tables(table):
    kinds, calls = (collections.defaultdict(collections.Counter) for _ in range(2))
    for (kind, name), counts in table.items():
        kinds[kind].update(counts)
        if kind == next(iter(KINDS)):
            calls[f"`{name}`"].update(counts)
    print_table("kind", kinds)
    print_table("call", calls)


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--call")
    parser.add_argument("--kind", choices=KINDS)
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
        print_tables(table)
    print(f"# {total.total()} faults: " + ", ".join(f"{count} {kind}" for kind, count in total.items()))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
