# SPDX-License-Identifier: BSD-2-Clause
"""Soak: random pipelines over the command for a set time, with kills and load.

    soak.py SECONDS SEED [ROUND]

Soak over libferry is stress.c.

Each round is a pipeline that its seed and number decide alone: unmodified programs, stages written for Ferry, an engine
that is polled or direct links, and one way to end it: by itself, by a signal to ferry, by a stage that crashes, by a
reader that leaves, by a signal while a writer waits. A round that runs to its end gives the bytes that it must, by digest;
any other ends with one of the statuses that it may have. A round is bound in time, and no process is left after
it. ROUND runs that one again. On a failure the seed, the round and what all threads of ferry do are printed.
"""

import hashlib
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

# What starts soaks in the background ignores some, and ferry leaves those ignored.
for signo in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
    if signal.getsignal(signo) == signal.SIG_IGN:
        signal.signal(signo, signal.SIG_DFL)

FERRY = os.environ["FERRY"]
GUESTS = os.environ["FERRY_TEST_GUESTS"]
EXAMPLES = os.environ["FERRY_EXAMPLES"]
BUSYBOX = os.environ.get("BUSYBOX", "/bin/busybox")
BOUND = 300  # seconds that a round may take on a machine with much to do
MIB = 1 << 20
DIVISOR = int(os.environ.get("FERRY_SIZE_DIVISOR", 1))  # where all is emulated

# Stages that give what they take. The first are unmodified and dynamic, then static, then written for Ferry.
SAME = ["cat", "dd bs=64k status=none", "dd bs=1000 status=none", "tail -c +1", f"{BUSYBOX} cat", f"{EXAMPLES}/pass",
        "gzip -1c | gzip -dc", f"{BUSYBOX} gzip -c | {EXAMPLES}/pass | gzip -dc", "base64 | base64 -d", "tac | tac",
        "xz -0 -T2 -c | xz -dc"]
# A stage that fails, and the signal that it ends by; `hostile_ring` exits.
CRASHES = {"crash_midway": signal.SIGSEGV, "abort": signal.SIGABRT, "ud2": signal.SIGILL, "divide": signal.SIGFPE,
           "jump_nowhere": signal.SIGSEGV, "hostile_ring": None}
SIGNALS = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL]
ENDS = ["itself"] * 6 + ["signal", "signal", "crash", "reader leaves", "writer waits"]


def names(stages):
    """What ferry calls the VMs of these stages, and the reader of the last."""
    found = []
    for words in (stage.split() for stage in " | ".join(filter(None, stages)).split(" | ")):
        if words:
            name = words[1] if words[0] == BUSYBOX else os.path.basename(words[0])
            count = sum(other.partition(".")[0] == name for other in found)
            found.append(f"{name}.{count + 1}" if count else name)
    return [*found, "host"]


class Round:
    """What one round does, by its seed and number."""

    def __init__(self, seed, number):
        self.random = random.Random(f"{seed} {number}")
        choose = self.random.choice
        self.end = choose(ENDS)
        self.stages = [choose(SAME) for _ in range(self.random.randint(1, 4))]
        self.statuses = {0}  # of the command where it ends by itself
        if self.end == "crash":
            self.add_crash(self.random.randint(0, len(self.stages)), choose(sorted(CRASHES)))
        self.options = choose([[], [], ["--mode=copy"], ["--mode=map"]]) + choose(
            [[], [], ["--polled"], ["--direct"], ["--direct", "--polled"]]) + choose([[], ["--immediate"], ["--deferred"]])
        self.bytes = choose([0, 1, 4095, 65536, MIB, 2 * MIB + 1, 9 * MIB]) // DIVISOR
        self.delay = self.random.random() * 0.3
        self.signal = choose(SIGNALS)
        self.load = self.random.randint(0, 9) == 0

    def add_crash(self, place, name):
        """Stages before it end by SIGPIPE, or fail, and those behind it at the end of input: its status is the last,
        or, if that is 0, that of a stage written for Ferry, which fails where nobody takes its messages."""
        stage, after = f"{GUESTS}/{name}", " | ".join(self.stages[place:])
        fails = any(f"{EXAMPLES}/pass" in before for before in self.stages[:place])
        self.statuses = {128 + CRASHES[name]} if CRASHES[name] else {0, 1} if fails else {0}
        if name == "hostile_ring":
            stage += " " + names(self.stages[:place] + [stage, after])[len(names(self.stages[:place]))]
        self.stages.insert(place, stage)

    def __str__(self):
        how = self.signal.name if self.end == "signal" else self.end
        return f"{' '.join(self.options)} {' | '.join(self.stages)}: {self.bytes} bytes, ends by {how}" + (
            ", under load" if self.load else "")

    def data(self):
        return self.random.randbytes(self.bytes // 2) + b"line\n" * ((self.bytes - self.bytes // 2) // 5)


def stacks(pid):
    """What all threads of a process do, for people."""
    for task in sorted(pathlib.Path(f"/proc/{pid}/task").glob("*")):
        said = []
        for name in ("comm", "wchan", "syscall", "stack"):
            try:
                said.append((task / name).read_text().strip().replace("\n", " < "))
            except OSError as error:
                said.append(f"{name}: {error.strerror}")
        print("#  ", task.name, "; ".join(said))
    subprocess.run(["sh", "-c", f"! command -v gdb >/dev/null || timeout 60 gdb -p {pid} -batch -ex 'thread apply all bt'"],
                   check=False, stderr=subprocess.DEVNULL)


def children(pid):
    """The processes that are left of a session."""
    left = []
    for entry in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == pid and fields[0] != "Z":
            left.append(entry.parent.name)
    return left


def run(this, directory):
    """Runs one round; returns what is wrong, or None."""
    data = this.data()
    source = directory / "in"
    source.write_bytes(data)
    reader_leaves, writer_waits = this.end == "reader leaves", this.end == "writer waits"
    into = None
    if writer_waits:
        stdin, into = os.pipe()
        os.write(into, data[:4096])
    else:
        stdin = os.open(source, os.O_RDONLY)
    took, result = directory / "out", directory / "errors"
    with open(took, "wb") as output, open(result, "wb") as errors:
        ferry = subprocess.Popen([FERRY, "pipe", *this.options, *this.stages], stdin=stdin, stderr=errors, start_new_session=True,
                                 stdout=subprocess.PIPE if reader_leaves else output)
        os.close(stdin)
        try:
            if reader_leaves:
                ferry.stdout.read(1)
                ferry.stdout.close()
            elif this.end == "signal" or writer_waits:
                time.sleep(this.delay)  # the moment at which it strikes is what is random
                ferry.send_signal(this.signal)
            status = ferry.wait(BOUND)
        except subprocess.TimeoutExpired:
            stacks(ferry.pid)
            ferry.kill()
            ferry.wait()
            return f"hung for {BOUND} s"
        finally:
            if into is not None:
                os.close(into)
    return judge(this, data, status, took.read_bytes(), result.read_text(errors="replace")) or left(ferry.pid)


def left(session):
    """The kernel may take a moment to end the helpers of a process that was killed."""
    until = time.monotonic() + 10
    while there := children(session):
        if time.monotonic() > until:
            return f"processes are left: {there}"
        time.sleep(0.01)
    return None


def judge(this, data, status, output, errors):
    """What is wrong with how a round ended."""
    if "Sanitizer" in errors or "stack smashing" in errors or "ledger" in errors:
        return errors
    struck = [-this.signal, 128 + this.signal] if this.end in ("signal", "writer waits") else []
    whole = this.end in ("itself", "signal")
    if status == 0 and whole and hashlib.sha256(output).digest() != hashlib.sha256(data).digest():
        return f"status 0 and {len(output)} other bytes in place of {len(data)}"
    if this.end in ("itself", "crash") and status not in this.statuses:
        return f"status {status}, not {this.statuses}: {errors}"
    if struck and status not in [*struck, 0]:
        return f"status {status}: {errors}"
    may = {"reader leaves": [signal.SIGPIPE], "signal": [this.signal], "writer waits": [this.signal]}
    if status < 0 and -status not in may.get(this.end, []):
        return f"ferry died by signal {-status}: {errors}"
    return None


def descriptors():
    return len(os.listdir("/proc/self/fd"))


def soak(seconds, seed, only):
    ends, before, number = {}, descriptors(), only or 0
    until = time.monotonic() + seconds
    spinning = []
    with tempfile.TemporaryDirectory() as place:
        directory = pathlib.Path(place)
        os.environ["XDG_CACHE_HOME"] = place
        while only is not None and not ends or only is None and time.monotonic() < until:
            this = Round(seed, number)
            if this.load:
                spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(3)]
            wrong = run(this, directory)
            for process in spinning:
                process.kill()
                process.wait()
            spinning = []
            if wrong is None and descriptors() != before:
                wrong = f"{descriptors()} descriptors in place of {before}"
            if wrong is not None:
                print(f"not ok 1 - soak\n# seed {seed} round {number}: {this}\n# {wrong}")
                print(f"# again: make soak SEED={seed} ROUND={number}")
                return 1
            ends[this.end] = ends.get(this.end, 0) + 1
            number += 1
    print(f"ok 1 - soak\n# seed {seed}: {sum(ends.values())} rounds: "
          + ", ".join(f"{ends[name]} by {name}" for name in sorted(ends)))
    return 0


if __name__ == "__main__":
    print("1..1")
    sys.exit(soak(float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 and sys.argv[3] else None))
