# SPDX-License-Identifier: BSD-2-Clause
"""What the end-to-end tests share: running the command, inputs, the same work on the host, TAP."""

import contextlib
import json
import os
import random
import re
import select
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path += [os.path.join(HERE, ".."), os.path.join(HERE, "../../scripts")]
import tap  # noqa: E402
from machine import why_no_kvm  # noqa: E402

FERRY = os.environ["FERRY"]  # the command under test
GUESTS = os.environ["FERRY_TEST_GUESTS"]  # directory of the guest programs
EXAMPLES = os.environ["FERRY_EXAMPLES"]  # directory of the Ferry-aware stages
BUSYBOX = os.environ.get("BUSYBOX", "/bin/busybox")  # static, unmodified

# The command keeps its files here; they are removed when the tests end.
CACHE = tempfile.TemporaryDirectory()
os.environ["XDG_CACHE_HOME"] = CACHE.name

# A stage and the command begin as from a shell, whoever started the tests: `nohup` ignores SIGHUP, and
# a shell SIGINT and SIGQUIT for what it starts in the background.
for signo in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
    if signal.getsignal(signo) == signal.SIG_IGN:
        signal.signal(signo, signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_SETMASK, [])

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
EXTENT = 2 * MIB
PATIENCE = 120  # seconds after which a small run counts as hung
# Seconds that a program gets which is to be ended by its time limit, but not before it has come to a
# certain point: the next where a busy machine did not let it come there.
LIMITS = (1, 6, 36)


def guest(name):
    return os.path.join(GUESTS, name)


def example(name):
    return os.path.join(EXAMPLES, name)


def box(applet):
    """A stage: one applet of the static busybox."""
    return f"{BUSYBOX} {applet}"


class Result:
    """How one run of the command ended."""

    def __init__(self, status, output, errors):
        self.status = status  # exit status; -n: died by signal n
        self.output = output
        self.stats, self.errors = split_stats(errors.decode(errors="replace"))

    def vm(self, index):
        return self.stats["vms"][index]

    def link(self, sender, receiver):
        """The link between two peers by name."""
        return next(x for x in self.stats["links"] if (x["from"], x["to"]) == (sender, receiver))


def split_stats(text):
    """The JSON object at the end of standard error, and the text before it."""
    at = len(text)
    while (at := text.rfind("{", 0, at)) >= 0:
        if at == 0 or text[at - 1] == "\n":
            with contextlib.suppress(ValueError):
                return json.loads(text[at:]), text[:at]
    return None, text


def pipe_command(stages, *options):
    return [FERRY, "pipe", "--stats=json", *options, *stages]


def pipe(stages, *options, data=b"", stdin=None, timeout=PATIENCE, env=None):
    """Runs `ferry pipe` on bytes, or on an open file."""
    source = {"stdin": stdin} if stdin is not None else {"input": data}
    done = subprocess.run(
        pipe_command(stages, *options),
        capture_output=True, check=False, timeout=timeout, env=env, **source,
    )  # fmt: skip
    return Result(done.returncode, done.stdout, done.stderr)


class Running:
    """`ferry pipe` on its way: what it prints can be read and signals sent. For `with`."""

    def __init__(self, stages, *options, stdin=subprocess.DEVNULL):
        self.process = subprocess.Popen(
            pipe_command(stages, *options),
            stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
        )  # fmt: skip

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def read(self, count):
        """Exactly `count` bytes of its output; less is an error."""
        data = b""
        while len(data) < count:
            ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
            piece = os.read(self.process.stdout.fileno(), count - len(data)) if ready else b""
            if not piece:
                raise AssertionError(f"no more output after {data!r}")
            data += piece
        return data

    def end(self):
        """Takes the rest of the output and waits."""
        output, errors = self.process.communicate(timeout=PATIENCE)
        return Result(self.process.returncode, output, errors)


def ferry(*arguments, prefix=(), data=b"", timeout=PATIENCE, env=None):
    """Runs the command with any arguments, behind a prefix such as setpriv."""
    done = subprocess.run(
        [*prefix, FERRY, *arguments],
        input=data, capture_output=True, check=False, timeout=timeout, env=env,
    )  # fmt: skip
    return Result(done.returncode, done.stdout, done.stderr)


def huge_pages():
    """Whether an extent is a huge page here: without, `auto` copies, which is cheaper then."""
    return re.search(r"^ok +huge pages", ferry("doctor").output.decode(), re.MULTILINE) is not None


def can_unshare():
    """A mount namespace of one's own, as root or through a user namespace."""
    for flags in (["-m"], ["-r", "-m"]):
        command = ["unshare", *flags, "true"]
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            return ["unshare", *flags]
    return None


def on_host(stages, stdin, timeout=PATIENCE):
    """What the same stages print as ordinary processes joined by pipes."""
    processes = []
    for stage in stages:
        process = subprocess.Popen(
            shlex.split(stage), stdin=stdin, stdout=subprocess.PIPE, env={"PATH": "/bin:/usr/bin"}
        )
        if processes:
            stdin.close()
        processes.append(process)
        stdin = process.stdout
    output, _ = processes[-1].communicate(timeout=timeout)
    for process in processes:
        process.wait(timeout=timeout)
    return output


def on_host_bytes(stages, data):
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        return on_host(stages, file)


WORDS = (
    "ferry page table queue extent ring message window guest kernel pool ledger lend move copy "
    "inline doorbell exit natural immediate deferred owner link stage pipe thread signal"
).split()


def text(size, seed=1):
    """`size` bytes of lines of words, the same for the same seed; the last line may be cut."""
    rng = random.Random(seed)
    lines, length = [], 0
    while length < size:
        line = f"{rng.randrange(1 << 30):010d} {' '.join(rng.choices(WORDS, k=8))}\n"
        lines.append(line)
        length += len(line)
    return "".join(lines).encode()[:size]


def large_file(path, size, line_blocks=16):
    """A file of `size` bytes: blocks of 1 MiB of text, each told apart by its first line.

    The first line of all is long: busybox awk reads in pieces as long as the longest line so far.
    """
    blocks = [text(MIB - 16, seed) for seed in range(line_blocks)]
    with open(path, "wb") as file:
        file.write(blocks[0].replace(b"\n", b" ") + b"\nblock 0000000\n\n")
        for number in range(1, size // MIB):
            file.write(f"\nblock {number:07d}\n\n".encode())
            file.write(blocks[number * 7 % line_blocks])


class Feeder(threading.Thread):
    """Writes to a descriptor for ever, or until its reader goes away or enough was written."""

    def __init__(self, descriptor, chunk, chunks=None):
        super().__init__(daemon=True)
        self.descriptor, self.chunk, self.chunks = descriptor, chunk, chunks
        self.start()

    def run(self):
        with contextlib.suppress(BrokenPipeError, OSError):
            count = 0
            while self.chunks is None or count < self.chunks:
                os.write(self.descriptor, self.chunk)
                count += 1
        with contextlib.suppress(OSError):
            os.close(self.descriptor)


class FerryTest(unittest.TestCase):
    """Assertions that every run should hold to."""

    maxDiff = 2000

    def enter_directory(self):
        """Makes an empty working directory for this test; gives its path."""
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        before = os.getcwd()
        os.chdir(directory.name)
        self.addCleanup(os.chdir, before)
        return directory.name

    def assert_conserved(self, result):
        """The figures are there and every page has come home."""
        self.assertIsNotNone(result.stats, f"no JSON on standard error: {result.errors}")
        ledger = result.stats["ledger"]
        self.assertGreater(ledger["extents"], 0)
        self.assertEqual(ledger["lent"], 0, "pages lent to nobody alive")
        self.assertEqual(ledger["leaked"], 0, "pages leaked")

    def assert_ends(self, result, status, *needles):
        """The exit status, and words that standard error must hold."""
        self.assertEqual(result.status, status, result.errors)
        for needle in needles:
            self.assertIn(needle, result.errors)

    def assert_clean(self, result):
        """All stages ended with 0, nothing was complained about, nothing leaked."""
        self.assert_ends(result, 0)
        self.assertEqual(result.errors, "")
        self.assert_conserved(result)

    def assert_error(self, result, *needles):
        """One line that begins `ferry: ` and says what the needles say."""
        self.assertGreater(result.status, 0)
        self.assertEqual(result.output, b"")
        self.assertRegex(result.errors, r"\Aferry: [^\n]+\n\Z")
        for needle in needles:
            self.assertRegex(result.errors, needle)


def main():
    """Runs the tests of the calling script that its arguments name, or all of them."""
    reason = why_no_kvm()
    if reason and not os.environ.get("FERRY_REQUIRE_KVM"):
        print(f"1..0 # SKIP {reason}")
        return
    tap.main()
