# SPDX-License-Identifier: BSD-2-Clause
"""The command ends when it is asked to, whatever those on its other ends do or fail to do."""

import array
import contextlib
import fcntl
import os
import resource
import signal
import subprocess
import tempfile
import termios
import time

from harness import BUSYBOX, EXTENT, FERRY, LIMITS, MIB, PATIENCE, FerryTest, box, guest, main

SOON = 60  # seconds; in milliseconds as a rule, but the machine may be loaded
FULL = 30000  # bytes in a pipe of 64 KiB: even of small pieces it takes little more than that


def waiting(descriptor):
    """Bytes in a pipe."""
    count = array.array("i", [0])
    fcntl.ioctl(descriptor, termios.FIONREAD, count)
    return count[0]


def wait_until(holds):
    """Looks again and again; an error if it does not come to hold."""
    end = time.monotonic() + 60
    while not holds():
        if time.monotonic() > end:
            raise AssertionError("the run did not come so far")
        time.sleep(0.001)


class Stuck:
    """A run whose standard output and standard error are pipes that nobody reads. For `with`."""

    def __init__(self, words, stdin="/dev/zero", stdout=None):
        self.out, out = os.pipe()
        self.err, err = os.pipe()
        source = open(stdin, "rb") if isinstance(stdin, str) else stdin
        with contextlib.ExitStack() as stack:
            if isinstance(stdin, str):
                stack.callback(source.close)
            stack.callback(os.close, out)
            stack.callback(os.close, err)
            self.process = subprocess.Popen(
                [FERRY, *words], stdin=source, stdout=stdout or out, stderr=err
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.out)
        os.close(self.err)

    def fills(self, descriptor):
        wait_until(lambda: waiting(descriptor) >= FULL or self.process.poll() is not None)

    def ends(self, signo=None):
        """Status and seconds from the signal, or from now, to the end."""
        start = time.monotonic()
        if signo:
            self.process.send_signal(signo)
        try:
            status = self.process.wait(SOON)
        except subprocess.TimeoutExpired:
            status = "hangs"
        return status, time.monotonic() - start


YES, CAT = box("yes"), box("cat")
ZEROS = box("dd if=/dev/stdin bs=100000 count=1000000")
LENDS = f"{guest('send')} host lend auto 1000000 {EXTENT}"
MOVES = f"{guest('send')} host move auto 1000000 {EXTENT}"
COPIES = f"{guest('send')} host copy auto 100000000 65536"
HANDED_ON = f"{guest('send')} hold lend auto 1000000 {EXTENT}"

# Stages of which the first takes all input or makes output for ever.
PIPELINES = {
    "cat": [CAT],
    "two cats": [CAT, CAT],
    "dd": [ZEROS],
    "yes": [YES],
    "yes and cat": [YES, CAT],
}
# Messages of the guest library: no byte of theirs is read either.
MESSAGES = {"lend": [LENDS], "move": [MOVES], "copy": [COPIES]}


def reader_leaves(stages, count):
    """Reads so many bytes and goes away, as `head -c COUNT` does."""
    with Stuck(["pipe", *stages]) as run:
        left = count
        while left > 0:
            piece = os.read(run.out, min(left, MIB))
            if not piece:
                break
            left -= len(piece)
        closed, run.out = run.out, os.open(os.devnull, os.O_RDONLY)
        os.close(closed)
        return run.ends()


def nobody_reads(stages, signo, *options):
    """Standard output is full; then the signal comes, or the limit among the options."""
    with Stuck(["pipe", *options, *stages]) as run:
        run.fills(run.out)
        return run.ends(signo)


def nobody_reads_errors(stages, signo, *options):
    """Standard error is full, standard output goes away."""
    with open(os.devnull, "wb") as null, Stuck(["pipe", *options, *stages], stdout=null) as run:
        run.fills(run.err)
        return run.ends(signo)


class ReaderLeaves(FerryTest):
    def test_every_pipeline(self):
        for name, stages in PIPELINES.items():
            for count in (0, MIB, 50 * MIB):
                with self.subTest(name, bytes=count):
                    self.assertEqual(reader_leaves(stages, count)[0], -signal.SIGPIPE)

    def test_messages(self):
        for name, stages in MESSAGES.items():
            with self.subTest(name):
                self.assertEqual(reader_leaves(stages, 5 * MIB)[0], -signal.SIGPIPE)

    def test_program_that_ignores_it(self):
        """No output is on its way when the reader leaves, and the program ends by itself."""
        for end in ("false", "true"):
            stage = box(f"sh -c 'trap \"\" PIPE; echo a; read x; echo b; {end}'")
            with self.subTest(end), Stuck(["pipe", stage], stdin=subprocess.PIPE) as run:
                self.assertEqual(os.read(run.out, 2), b"a\n")
                closed, run.out = run.out, os.open(os.devnull, os.O_RDONLY)
                os.close(closed)
                run.process.stdin.write(b"x\n")
                run.process.stdin.flush()
                self.assertEqual(run.ends()[0], -signal.SIGPIPE)
                run.process.stdin.close()


class NobodyReads(FerryTest):
    def check(self, name, stages):
        for signo in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(name, signal=signo):
                self.assertEqual(nobody_reads(stages, signo)[0], -signo)
        with self.subTest(name, signal="limit"):
            self.assertEqual(nobody_reads(stages, None, "--timeout=500ms")[0], 124)

    def test_every_pipeline(self):
        for name, stages in PIPELINES.items():
            self.check(name, stages)

    def test_messages(self):
        for name, stages in MESSAGES.items():
            self.check(name, stages)

    def test_what_is_not_taken_in_time_is_a_failure(self):
        """The stage itself has ended, but not all of what it wrote is where it belongs. It is less than an extent
        holds: more fits only if the reader of the command began to wait in time."""
        stages = [box("head -c 2000000")]
        for limit in LIMITS:
            with Stuck(["pipe", f"--timeout={limit}", *stages]) as run:
                self.assertEqual(run.ends()[0], 124)
                said = os.read(run.err, 4096)
            if b"still running after its time limit" not in said:
                break
        self.assertIn(b"output is not complete", said)

    def test_program_that_has_ended_is_stopped_while_its_output_waits(self):
        """Copies are 64 KiB each and 16 fit: the rest waits in the VM, as in the last write."""
        stages = [box("head -c 1900000")]
        with Stuck(["pipe", "--timeout=500ms", "--mode=copy", *stages]) as run:
            self.assertEqual(run.ends()[0], 124)
            self.assertIn(b"still running after its time limit", os.read(run.err, 4096))

    def test_output_without_blocking(self):
        """The command does the same if somebody made the pipe non-blocking."""
        with contextlib.ExitStack() as stack:
            reader, writer = os.pipe()
            stack.callback(os.close, reader)
            stack.callback(os.close, writer)
            os.set_blocking(writer, False)
            run = stack.enter_context(Stuck(["pipe", CAT], stdout=writer))
            run.fills(reader)
            self.assertEqual(run.ends(signal.SIGTERM)[0], -signal.SIGTERM)


class NobodyReadsErrors(FerryTest):
    def test_program_that_complains(self):
        for stages in ([guest("chatter")], [guest("chatter"), CAT], [CAT, guest("chatter")]):
            for signo in (signal.SIGINT, signal.SIGTERM):
                with self.subTest(stages, signal=signo):
                    self.assertEqual(nobody_reads_errors(stages, signo)[0], -signo)
            with self.subTest(stages, signal="limit"):
                options = ["--timeout=500ms", "--stats"]
                self.assertEqual(nobody_reads_errors(stages, None, *options)[0], 124)

    def test_command_that_complains(self):
        """The command's own messages and figures find no room from the start."""
        for signo, status in ((signal.SIGINT, -signal.SIGINT), (None, 124)):
            with self.subTest(signal=signo), contextlib.ExitStack() as stack:
                run = stack.enter_context(
                    Stuck(["pipe", "--timeout=1s" if not signo else "--timeout=0", "--verbose",
                           "--stats=json", YES, CAT])
                )  # fmt: skip
                # Its first lines have come, so the VMs run; then there is no room for more.
                wait_until(lambda run=run: waiting(run.err) > 0)
                run.fills(run.out)
                with open(f"/proc/self/fd/{run.err}", "wb", buffering=0) as other:  # its other end
                    os.set_blocking(other.fileno(), False)
                    with contextlib.suppress(BlockingIOError):
                        while other.write(b"x" * 4096):
                            pass
                self.assertEqual(run.ends(signo)[0], status)

    def test_failing_stage_with_a_second_signal(self):
        """The command waits to report the failure until somebody asks it to end."""
        with contextlib.ExitStack() as stack:
            reader, writer = os.pipe()
            stack.callback(os.close, reader)
            stack.callback(os.close, writer)
            os.set_blocking(writer, False)
            with contextlib.suppress(BlockingIOError):
                while os.write(writer, b"x" * 4096):
                    pass
            os.set_blocking(writer, True)
            process = subprocess.Popen([FERRY, "run", BUSYBOX, "false"], stderr=writer)
            stack.callback(process.kill)
            with self.assertRaises(subprocess.TimeoutExpired):
                process.wait(1)
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(SOON), -signal.SIGTERM)


class Input(FerryTest):
    def test_nobody_writes(self):
        with tempfile.TemporaryDirectory() as folder:
            fifo = os.path.join(folder, "fifo")
            os.mkfifo(fifo)
            with open(fifo, "r+b", buffering=0) as source:
                for stages in ([CAT], [CAT, CAT]):
                    for signo in (signal.SIGINT, signal.SIGTERM):
                        with self.subTest(stages, signal=signo):
                            with Stuck(["pipe", *stages], stdin=source) as run:
                                source.write(b"x\n")
                                self.assertEqual(os.read(run.out, 2), b"x\n")
                                self.assertEqual(run.ends(signo)[0], -signo)
                    with self.subTest(stages, signal="limit"):
                        with Stuck(["pipe", "--timeout=300ms", *stages], stdin=source) as run:
                            self.assertEqual(run.ends()[0], 124)

    def test_ends_with_its_stages(self):
        """Input goes on for ever, and no stage reads it."""
        for stage in (box("true"), box("head -c 5"), box("head -c 3000000")):
            with self.subTest(stage), open(os.devnull, "wb") as null:
                with Stuck(["pipe", stage], stdout=null) as run:
                    self.assertEqual(run.ends()[0], 0)


class NoRoom(FerryTest):
    def test_full_device(self):
        for name, stages in (PIPELINES | MESSAGES).items():
            with self.subTest(name), open("/dev/full", "wb") as full:
                with Stuck(["pipe", *stages], stdout=full) as run:
                    self.assertEqual(run.ends()[0], 1)
                    self.assertIn(b"No space left on device", os.read(run.err, 4096))

    def test_file_that_may_not_grow(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (300 * MIB, 300 * MIB))

        with tempfile.TemporaryFile() as file, open("/dev/zero", "rb") as zeros:
            process = subprocess.Popen(
                [FERRY, "pipe", CAT, CAT],
                stdin=zeros, stdout=file, stderr=subprocess.PIPE, preexec_fn=limit,
            )  # fmt: skip
            _, errors = process.communicate(timeout=PATIENCE)
            self.assertEqual(process.returncode, 1)
            self.assertIn(b"File too large", errors)


class Making(FerryTest):
    def test_signal_while_a_vm_is_made(self):
        """The command does not watch for signals yet, and does not block them either."""
        for signo in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(signal=signo), contextlib.ExitStack() as stack:
                reader, writer = os.pipe()
                stack.callback(os.close, reader)
                stack.callback(os.close, writer)
                environment = os.environ | {
                    "LD_PRELOAD": os.environ["FERRY_STALL"],
                    "ASAN_OPTIONS": "verify_asan_link_order=0",
                    "STALL_FD": str(writer),
                }
                process = subprocess.Popen(
                    [FERRY, "run", BUSYBOX, "true"], env=environment, pass_fds=[writer]
                )
                stack.callback(process.kill)
                self.assertEqual(os.read(reader, 1), b"x")
                process.send_signal(signo)
                self.assertEqual(process.wait(SOON), -signo)


if __name__ == "__main__":
    main()
