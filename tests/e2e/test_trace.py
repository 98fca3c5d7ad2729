# SPDX-License-Identifier: BSD-2-Clause
"""`--trace`: every system call of a program, a line each, as strace prints it or as JSON."""

import fcntl
import json
import os
import re
import signal
import struct
import subprocess
import termios
import time

from harness import FERRY, LIMITS, PATIENCE, FerryTest, box, ferry, guest, main, pipe

# The calls of the guest `traced`, in their order; what comes before is the C library's.
TOLD = [
    'open("/nowhere/a \\"file\\"", O_WRONLY|O_CREAT|O_CLOEXEC, 0640) = -1 EACCES (Permission denied)',
    'read(0, "0123456789012345678901234567890\\n"..., 64) = 40',
    'write(1, "hello\\n", 6) = 6',
    "rt_sigaction(SIGUSR1, {sa_handler=0x*, sa_mask=[], sa_flags=SA_RESTORER, sa_restorer=0x*}, NULL, 8) = 0",
    "getpid() = 2",
    "kill(2, SIGUSR1) = 0",
    "--- SIGUSR1 {si_signo=SIGUSR1, si_code=SI_USER, si_pid=2, si_uid=65534} ---",
    "rt_sigreturn() = 0",
    "socket(AF_INET, SOCK_STREAM, 0) = -1 EAFNOSUPPORT (Address family not supported by protocol)",
    "syscall_0x3e8(0x1, *",
    'read(0, "", 64) = 0',
    "exit_group(3) = ?",
    "+++ exited with 3 +++",
]  # fmt: skip
INPUT = b"0123456789012345678901234567890\n" + b"x" * 8

# A whole line: VM and thread; a call and its result, a signal or an end.
LINE = re.compile(
    r"\[[^]]+ \d+\] (\w+\(.*\) = (\?.*|-1 \w+ \(.*\)|-?\d+|0x[0-9a-f]+)"
    r"|--- SIG\w+ \{si_signo=.*\} ---|\+\+\+ (exited with \d+|killed by SIG\w+) \+\+\+)\Z"
)


class Trace(FerryTest):
    def setUp(self):
        self.file = os.path.join(self.enter_directory(), "trace")

    def lines(self, text=None):
        """Of the file, or of text, without VM and thread; each is a whole one."""
        if text is None:
            with open(self.file, encoding="ascii") as file:
                text = file.read()
        lines = text.splitlines()
        for line in lines:
            self.assertRegex(line, LINE)
        return [line[line.index("]") + 2:] for line in lines]

    def assert_told(self, lines):
        last = lines[-len(TOLD):]
        for line, told in zip(last, TOLD, strict=True):
            pattern = ".*".join(re.escape(part) for part in told.split("*"))
            self.assertRegex(line, rf"\A{pattern}\Z")

    def test_every_call_is_told_on_standard_error(self):
        result = ferry("run", "--trace", guest("traced"), data=INPUT)
        text, _, report = result.errors.rpartition("ferry: ")
        self.assertEqual((result.status, result.output), (3, b"hello\n"))
        self.assert_told(self.lines(text))
        self.assertTrue(all(line.startswith("[traced 2] ") for line in text.splitlines()))
        self.assertIn("exit status 3; it was refused the system call", report)

    def test_a_file_has_the_same(self):
        with open(self.file, "w", encoding="ascii") as file:
            file.write("an older one\n" * 10000)
        result = ferry("run", f"--trace={self.file}", guest("traced"), data=INPUT)
        self.assertEqual((result.status, result.output), (3, b"hello\n"))
        self.assertRegex(result.errors, r"\Aferry: traced: exit status 3[^\n]*\n\Z")
        self.assert_told(self.lines())

    def test_stages_are_told_apart(self):
        result = pipe([box("cat"), box("cat"), box("wc -c")], f"--trace={self.file}", data=b"abc")
        self.assert_clean(result)
        self.assertEqual(result.output, b"3\n")
        with open(self.file, encoding="ascii") as file:
            text = file.read()
        self.assertEqual(len(self.lines()), len(text.splitlines()))
        for name in ("cat", "cat.2", "wc"):
            self.assertEqual(text.count(f"[{name} 2] +++ exited with 0 +++\n"), 1)
            self.assertRegex(text, rf"\[{re.escape(name)} 2\] (read\(0, \"abc\", \d+|sendfile\(1, 0, NULL, \d+)\) = 3\n")

    def test_objects_of_json(self):
        result = pipe([guest("traced"), box("cat")], f"--trace={self.file}", "--trace-format=json",
                      data=INPUT)  # fmt: skip
        self.assertEqual((result.status, result.output), (3, b"hello\n"))
        with open(self.file, encoding="utf-8") as file:
            told = [json.loads(line) for line in file]
        for one in told:
            self.assertGreater(one["time"], 1e9)
            self.assertEqual(one["thread"], 2)
            self.assertEqual(len({"call", "signal", "exited", "killed"} & set(one)), 1)
        mine = [one for one in told if one["vm"] == "traced"][-len(TOLD):]
        self.assertEqual([one.get("call") for one in mine],
                         ["open", "read", "write", "rt_sigaction", "getpid", "kill", None,
                          "rt_sigreturn", "socket", "syscall_0x3e8", "read", "exit_group", None])
        self.assertEqual(mine[0]["args"],
                         ['"/nowhere/a \\"file\\""', "O_WRONLY|O_CREAT|O_CLOEXEC", "0640"])
        self.assertEqual((mine[0]["result"], mine[0]["error"]), (-13, "EACCES"))
        self.assertEqual((mine[1]["result"], "error" in mine[1]), (40, False))
        self.assertGreaterEqual(mine[1]["took"], 0)
        self.assertEqual(mine[6]["signal"], "SIGUSR1")
        self.assertIsNone(mine[-2]["result"])
        self.assertEqual(mine[-1]["exited"], 3)
        self.assertEqual([one for one in told if one["vm"] == "cat"][-1]["exited"], 0)

    def test_lines_of_threads_are_not_mixed(self):
        threads, calls = 4, 300
        result = ferry("run", f"--trace={self.file}", guest("traced"), str(threads), str(calls))
        self.assert_ends(result, 0)
        with open(self.file, encoding="ascii") as file:
            lines = file.read().splitlines()
        for line in lines:
            self.assertRegex(line, LINE)
        for number in range(threads):
            letter = chr(ord("A") + number)
            call = f'write(-1, "call of thread {letter}\\n", 17) = -1 EBADF (Bad file descriptor)'
            of_it = [line for line in lines if line.endswith(call)]
            self.assertEqual(len(of_it), calls)
            self.assertEqual(len({line.split("]")[0] for line in of_it}), 1)
        self.assertEqual(len({line.split("]")[0] for line in lines}), threads + 1)
        self.assertEqual(len([line for line in lines if line.endswith("] exit(0) = ?")]), threads)

    def test_the_signal_of_a_crash(self):
        result = ferry("run", f"--trace={self.file}", guest("null_read"))
        self.assertEqual(result.status, 128 + signal.SIGSEGV)
        self.assertEqual(self.lines()[-2:], [
            "--- SIGSEGV {si_signo=SIGSEGV, si_code=SEGV_MAPERR, si_addr=NULL} ---",
            "+++ killed by SIGSEGV +++",
        ])  # fmt: skip

    def test_a_call_that_is_ended_has_no_result(self):
        silent, held = os.pipe()
        for limit in LIMITS:
            done = subprocess.run(
                [FERRY, "run", f"--timeout={limit}", f"--trace={self.file}", BOX, "cat"],
                stdin=silent, capture_output=True, check=False, timeout=PATIENCE,
            )  # fmt: skip
            self.assertEqual(done.returncode, 124)
            lines = self.lines()
            if len(lines) > 1 and re.match("(read|sendfile)", lines[-2]):
                break
        os.close(silent)
        os.close(held)
        self.assertRegex(lines[-2], r"\A(read|sendfile)\(.*\) = \?\Z")
        self.assertEqual(lines[-1], "+++ killed by SIGKILL +++")

    def test_a_trace_that_nobody_reads_holds_nothing_up(self):
        os.mkfifo(self.file)
        reader = os.open(self.file, os.O_RDONLY | os.O_NONBLOCK)
        try:
            for limit in LIMITS:
                done = subprocess.run(
                    [FERRY, "run", f"--timeout={limit}", f"--trace={self.file}", BOX, "yes"],
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                    check=False, timeout=PATIENCE,
                )  # fmt: skip
                self.assertEqual(done.returncode, 124)
                if b"the trace is not complete" in done.stderr:
                    break
            self.assertIn(b"the trace is not complete", done.stderr)
            self.assertGreater(len(os.read(reader, 1 << 16)), 1 << 14)
        finally:
            os.close(reader)

    def test_one_signal_ends_what_waits_for_the_reader_of_its_trace(self):
        """The program could not take it before. What ferry writes to never blocks, whoever else fills it."""
        os.mkfifo(self.file)
        for words in ((f"--trace={self.file}",), (f"--trace={self.file}", "--trace-format=json"), ("--trace",)):
            for signo in (signal.SIGINT, signal.SIGTERM):
                with self.subTest(words=words, signo=signo), open(
                    os.open(self.file, os.O_RDONLY | os.O_NONBLOCK), "rb", 0
                ) as reader, open(self.file, "wb", 0) as errors:
                    run = subprocess.Popen([FERRY, "run", *words, BOX, "yes"], stdin=subprocess.DEVNULL,
                                           stdout=subprocess.DEVNULL, stderr=errors)  # fmt: skip
                    try:
                        self.await_full(reader)
                        self.assertTrue(self.writes_without_blocking(run.pid))
                        run.send_signal(signo)
                        self.assertEqual(run.wait(PATIENCE), -signo)
                    finally:
                        run.kill()

    def await_full(self, reader):
        until = time.monotonic() + PATIENCE
        while (there := struct.unpack("i", fcntl.ioctl(reader, termios.FIONREAD, bytes(4)))[0]) < 50000:
            self.assertLess(time.monotonic(), until, there)
            time.sleep(0.01)

    def writes_without_blocking(self, pid):
        """Whether all its descriptors of the file but standard error, whose flags are not its own, do so."""
        flags = []
        for fd in os.listdir(f"/proc/{pid}/fd"):
            if fd != "2" and os.readlink(f"/proc/{pid}/fd/{fd}") == self.file:
                with open(f"/proc/{pid}/fdinfo/{fd}", encoding="ascii") as info:
                    flags.append(int(re.search(r"flags:\s+(\d+)", info.read())[1], 8))
        return flags and all(one & os.O_NONBLOCK for one in flags)

    def test_a_trace_that_cannot_be_written_is_a_failure(self):
        result = ferry("run", "--trace=/dev/full", BOX, "true")
        self.assert_error(result, "cannot write to '/dev/full': No space left on device; the trace is")
        self.assertEqual(result.status, 1)

    def test_mistakes(self):
        for words, needle in (
            (("--trace=/no/such/directory/file",), "--trace='/no/such/directory/file': No such file"),
            (("--trace=",), "--trace=: no file"),
            (("--trace-format=xml",), "--trace-format 'xml': no such format; choose text or json"),
            (("--trace", self.file), f"if it is a value of --trace, write --trace={self.file}"),
        ):
            with self.subTest(words):
                result = ferry("run", *words, BOX, "true")
                self.assert_error(result, re.escape(needle))
                self.assertFalse(os.path.exists(self.file))


BOX = box("").strip()

if __name__ == "__main__":
    main()
