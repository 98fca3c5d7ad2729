# SPDX-License-Identifier: BSD-2-Clause
"""`ferry run` gives the program what ferry was given: a terminal, a file, a pipe. Each case is also
run as an ordinary process, and both must say the same."""

import contextlib
import fcntl
import os
import pty
import re
import resource
import select
import shlex
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unittest

from harness import BUSYBOX, FERRY, PATIENCE, FerryTest, guest, main

TIOCGPTN = 0x80045430  # which the module termios does not have
SOON = 60  # seconds within which what is printed comes
WAYS = {"process": [], "ferry": [FERRY, "run"]}
SH = [BUSYBOX, "sh", "-c"]


def states(pid):
    """Of its threads."""
    tasks, now = f"/proc/{pid}/task", []
    for task in os.listdir(tasks):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended
            with open(f"{tasks}/{task}/stat", encoding="ascii") as file:
                now.append(file.read().rpartition(")")[2].split()[0])
    return now


def until_asleep(pid):
    """How many threads it has, all of which sleep."""
    until = time.monotonic() + SOON
    while set(now := states(pid)) != {"S"}:
        assert time.monotonic() < until, now
        time.sleep(0.01)
    return len(now)


class Terminal:
    """A program at a terminal of its own: what it prints can be read, and keys be typed. A line may be
    typed before it begins."""

    def __init__(self, argv, rows=30, columns=100, line=b""):
        self.output = b""
        waits, begin = os.pipe()
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.environ["TERM"] = "xterm"
            self.resize(rows, columns, 0)
            os.read(waits, 1)
            os.execv(argv[0], argv)
        self.resize(rows, columns)
        if line:
            self.type(line + b"\r")
            self.expect(line + b"\r\n")
        os.write(begin, b"!")
        os.close(begin)
        os.close(waits)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.master)

    def resize(self, rows, columns, fd=None):
        size = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(self.master if fd is None else fd, termios.TIOCSWINSZ, size)

    def other_end(self):
        """A descriptor of the end that the program has."""
        number = fcntl.ioctl(self.master, TIOCGPTN, bytes(4))
        return os.open(f"/dev/pts/{struct.unpack('I', number)[0]}", os.O_RDWR | os.O_NOCTTY)

    def modes(self):
        return termios.tcgetattr(self.master)

    def read(self, seconds=SOON):
        """False: nothing more comes."""
        if not select.select([self.master], [], [], seconds)[0]:
            return False
        with contextlib.suppress(OSError):  # EIO: nobody has the other end any more
            piece = os.read(self.master, 4096)
            self.output += piece
            return bool(piece)
        return False

    def expect(self, text):
        """What was printed up to and with this text, and is not looked at again."""
        if not text:
            return text
        while text not in self.output:
            if not self.read():
                raise AssertionError(f"{text!r} does not come after {self.output!r}")
        before, _, self.output = self.output.partition(text)
        return before + text

    def type(self, keys):
        os.write(self.master, keys)

    def ends(self, seconds):
        """Whether it does so within this time."""
        until = time.monotonic() + seconds
        while os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
            if time.monotonic() > until:
                return False
            time.sleep(0.01)
        return True

    def end(self):
        """The status: negative if a signal ended it."""
        while self.read():
            pass
        if not self.ends(SOON):
            raise AssertionError(f"it does not end after {self.output!r}")
        _, status = os.waitpid(self.pid, 0)
        self.pid = None
        return os.waitstatus_to_exitcode(status)


class Job:
    """A program as a job of a shell: in a group of its own, of a session whose leader goes on."""

    def __init__(self, argv, where="foreground"):
        self.commands, theirs = socket.socketpair()
        code = JOB.format(argv=argv, where=where, fd=theirs.fileno())
        os.set_inheritable(theirs.fileno(), True)
        self.terminal = Terminal([sys.executable, "-c", code])
        theirs.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.terminal.__exit__()
        self.commands.close()

    def stopped(self):
        """By which signal it was stopped."""
        kind, number = self.answer()
        assert kind == "stopped", (kind, number, self.terminal.output)
        return number

    def answer(self):
        self.commands.settimeout(PATIENCE)
        kind, number = self.commands.recv(100).split()
        return kind.decode(), int(number)

    def go_on(self):
        """As `fg`."""
        self.commands.send(b"on")

    def end(self):
        kind, number = self.answer()
        assert kind == "ended", (kind, number)
        return number


# What a shell does with a job.
JOB = """
import os, signal, socket
commands = socket.socket(fileno={fd})
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
pid = os.fork()
if pid == 0:
    os.setpgid(0, 0)
    if {where!r} == "foreground":
        os.tcsetpgrp(0, os.getpid())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.execv({argv!r}[0], {argv!r})
while True:
    _, status = os.waitpid(pid, os.WUNTRACED)
    if not os.WIFSTOPPED(status):
        break
    os.tcsetpgrp(0, os.getpgrp())
    commands.send(f"stopped {{os.WSTOPSIG(status)}}".encode())
    commands.recv(10)
    os.tcsetpgrp(0, pid)
    os.killpg(pid, signal.SIGCONT)
os.tcsetpgrp(0, os.getpgrp())
commands.send(f"ended {{os.waitstatus_to_exitcode(status)}}".encode())
commands.recv(10)
"""


class Terminals(FerryTest):
    def same(self, argv, *steps, line=b"", waits=False):
        """Types keys, when it waits for them if it `waits`, and waits for texts, both ways; gives what was
        printed and the status."""
        said = {}
        for way, prefix in WAYS.items():
            with self.subTest(way), Terminal([*prefix, *argv], line=line) as terminal:
                printed = b""
                for keys, text in steps:
                    if keys and waits:
                        until_asleep(terminal.pid)
                    if keys:
                        terminal.type(keys)
                    printed += terminal.expect(text)
                status = terminal.end()
                printed = re.sub(rb"/dev/pts/\d+", b"/dev/pts/N", printed + terminal.output)
                # The echo of a key that ends the program may be lost with its end: it was, of a process.
                printed = re.sub(rb"\^[C\\]$", b"", printed)
                said[way] = re.sub(rb"ferry: .*\r\n", b"", printed), status
        self.assertEqual(said.get("ferry"), said.get("process"))
        return said["process"]

    def test_it_is_a_terminal_with_a_name_and_a_size(self):
        printed, status = self.same([guest("asks_given"), "terminal"])
        self.assertIn(b"30 rows, 100 columns", printed)
        self.assertEqual(status, 0)
        self.same([guest("asks_given")], line=b"abcdef")
        self.assertEqual(self.same([BUSYBOX, "tty"]), (b"/dev/pts/N\r\n", 0))
        self.same([BUSYBOX, "stty", "-a"])

    def test_input_is_edited_by_line(self):
        printed, status = self.same([BUSYBOX, "cat"], (b"ab\x7fc\r", b"c\r\nac\r\n"), (b"\x04", b""))
        self.assertEqual(status, 0)

    def test_ctrl_c_ends_what_has_no_handler(self):
        for key, signo in ((b"\x03", signal.SIGINT), (b"\x1c", signal.SIGQUIT)):
            _, status = self.same([BUSYBOX, "cat"], (b"x\r", b"x\r\nx\r\n"), (key, b""))
            self.assertEqual(status, -signo)
        _, status = self.same([*SH, "echo go; while :; do :; done"], (None, b"go\r\n"), (b"\x03", b""))
        self.assertEqual(status, -signal.SIGINT)

    def test_ctrl_c_runs_a_handler(self):
        caught = "trap 'echo caught; exit 7' INT; echo go; read x"
        printed, status = self.same([*SH, caught], (None, b"go\r\n"), (b"\x03", b"caught\r\n"), waits=True)
        self.assertEqual(status, 7)

    def test_a_change_of_size_is_told(self):
        for way, prefix in WAYS.items():
            with self.subTest(way), Terminal([*prefix, guest("asks_given"), "watch"]) as terminal:
                terminal.expect(b"go\r\n")
                terminal.resize(40, 120)
                terminal.expect(b"40 rows, 120 columns\r\n")
                self.assertEqual(terminal.end(), 0)

    def test_three_requests_end_what_ignores_them(self):
        stubborn = "trap '' INT TERM QUIT HUP; echo go; while :; do :; done"
        with Terminal([FERRY, "run", *SH, stubborn]) as terminal:
            terminal.expect(b"go\r\n")
            until, over = time.monotonic() + SOON, False
            while not over and time.monotonic() < until:  # on a busy machine they come too late
                for _ in range(3):
                    time.sleep(0.05)  # no synchronisation: closer ones count as one
                    terminal.type(b"\x03")
                over = terminal.ends(1.5)  # by then they are forgotten
            self.assertEqual(terminal.end(), -signal.SIGINT)

    def test_modes_are_as_before_however_it_ends(self):
        """Those of the terminal that it reads from, and of another one that it writes to."""
        ends = {
            "exit": ("exit", None, 0),
            "crash": ("crash", None, 128 + signal.SIGILL),
            "Ctrl-C": ("wait", b"\x03", -signal.SIGINT),
            "kill": ("wait", signal.SIGTERM, -signal.SIGTERM),
            "timeout": ("wait", None, 124),
        }
        master, output = pty.openpty()
        self.addCleanup(os.close, master)
        self.addCleanup(os.close, output)
        for name, (how, event, expected) in ends.items():
            limit = "--timeout=300ms" if name == "timeout" else "--timeout=1h"
            run = f"exec {FERRY} run {limit} {guest('asks_given')} spoil {how} > {os.ttyname(output)}"
            other = termios.tcgetattr(output)
            with self.subTest(name), Terminal(["/bin/sh", "-c", run]) as terminal:
                before = terminal.modes()
                self.addCleanup(os.close, terminal.other_end())  # so the modes outlive the program
                terminal.expect(b"go\n")  # not \r\n: the modes are set
                if event:
                    self.assertNotEqual(terminal.modes(), before)
                    self.assertNotEqual(termios.tcgetattr(output), other)
                if isinstance(event, bytes):
                    terminal.type(event)
                elif event:
                    os.kill(terminal.pid, event)
                status = os.waitstatus_to_exitcode(os.waitpid(terminal.pid, 0)[1])
                terminal.pid = None
                self.assertEqual(status, expected)
                self.assertEqual(terminal.modes(), before)
                self.assertEqual(termios.tcgetattr(output), other)

    def test_modes_that_others_set_stay(self):
        """As those of a pager behind it in a pipeline."""
        with Terminal(["/bin/sh", "-c", f"{FERRY} run {BUSYBOX} head -n 2; echo over; read x"]) as terminal:
            terminal.type(b"first\r")
            terminal.expect(b"first\r\nfirst\r\n")  # the program runs
            changed = terminal.modes()
            changed[3] &= ~termios.ECHO
            termios.tcsetattr(terminal.master, termios.TCSANOW, changed)
            terminal.type(b"second\r")
            terminal.expect(b"second\r\nover\r\n")
            self.assertEqual(terminal.modes(), changed)

    def test_input_without_lines_comes_as_the_modes_say(self):
        printed, _ = self.same([guest("asks_given"), "keys"],
                               (None, b"one\n"), (b"k", b"three\n"), (b"ab", b""), (b"c", b"restore: 0"))  # fmt: skip
        self.assertIn(b"key: 1 k\nset: 0\nthree\nkeys: 3 abc\n", printed)

    def test_what_reaches_others_is_refused(self):
        with Terminal([FERRY, "run", guest("asks_given"), "refused"]) as terminal:
            self.assertEqual(terminal.end(), 0)
            self.assertEqual(terminal.output.split(), [b"EPERM"] * 8 + [b"ENOTTY"] * 4)

    def test_stop_and_go_on(self):
        """Ctrl-Z stops ferry as it stops a process, also when the program asks for it."""
        for way, prefix in WAYS.items():
            for script, key in (("echo go; read x; echo $x", b"\x1a"), ("kill -STOP $$; echo on", None)):
                with self.subTest(f"{way} {script}"), Job([*prefix, *SH, script]) as job:
                    if key:
                        job.terminal.expect(b"go\r\n")
                        job.terminal.type(key)
                    self.assertEqual(job.stopped(), signal.SIGTSTP if key else signal.SIGSTOP)
                    job.go_on()
                    if key:
                        job.terminal.type(b"typed\r")
                    job.terminal.expect(b"typed\r\ntyped\r\n" if key else b"on\r\n")
                    self.assertEqual(job.end(), 0)

    def test_the_background_may_not_read(self):
        for way, prefix in WAYS.items():
            with self.subTest(way), Job([*prefix, BUSYBOX, "head", "-n", "1"], "background") as job:
                self.assertEqual(job.stopped(), signal.SIGTTIN)
                job.go_on()
                job.terminal.type(b"typed\r")
                job.terminal.expect(b"typed\r\ntyped\r\n")
                self.assertEqual(job.end(), 0)

    def test_the_background_takes_no_terminal(self):
        """Linux lets whoever ignores SIGTTOU do so, as shells must."""
        with Job([FERRY, "run", guest("asks_given"), "grab"], "background") as job:
            self.assertEqual(job.end(), 0)
            said = job.terminal.expect(b"drain: 0").split(b"\r\n")
        self.assertEqual(said, [b"group: -1 (Operation not permitted)", b"modes: -1 (Input/output error)",
                                b"flush: -1 (Input/output error)", b"drain: 0"])  # fmt: skip

    def test_a_wait_goes_on_after_a_stop(self):
        """Also one that a signal with a handler would end."""
        for way, prefix in WAYS.items():
            with self.subTest(way), Job([*prefix, guest("asks_given"), "await"]) as job:
                job.terminal.expect(b"go\r\n")
                until_asleep(os.tcgetpgrp(job.terminal.master))
                job.terminal.type(b"\x1a")
                self.assertEqual(job.stopped(), signal.SIGTSTP)
                job.go_on()
                job.terminal.type(b"typed\r")
                job.terminal.expect(b"poll: 1\r\n")
                self.assertEqual(job.end(), 0)

    def test_an_editor_of_lines(self):
        """The busybox shell edits by itself, in raw mode."""
        keys = b"echo pront\x1b[D\x1b[D\x7fi\r"
        for way, prefix in WAYS.items():
            with self.subTest(way), Terminal([*prefix, BUSYBOX, "sh"]) as terminal:
                terminal.expect(b"\x1b[6n")  # it asks where the cursor is
                terminal.type(keys)
                terminal.expect(b"\r\nprint\r\n")
                terminal.expect(b"\x1b[6n")
                terminal.type(b"\x03")
                terminal.expect(b"^C")
                terminal.type(b"exit 5\r")
                self.assertEqual(terminal.end(), 5)


    @unittest.skipUnless(os.path.exists("/bin/bash"), "there is no bash")
    def test_the_jobs_of_a_shell(self):
        """What is stopped takes no input, and is continued by the shell."""
        for way, prefix in WAYS.items():
            with self.subTest(way), Terminal([*prefix, "/bin/bash", "--norc", "--noediting", "-i"]) as terminal:
                terminal.expect(b"bash-")
                terminal.type(b"PS1='+ '\r")
                terminal.expect(b"\r\n+ ")
                terminal.type(b"cat\r")
                terminal.expect(b"cat\r\n")
                terminal.type(b"one\r")
                terminal.expect(b"one\r\none\r\n")
                terminal.type(b"\x1a")
                terminal.expect(b"Stopped")
                terminal.expect(b"+ ")
                terminal.type(b"jobs; echo t$((1+1))\r")
                terminal.expect(b"Stopped")
                terminal.expect(b"t2\r\n+ ")
                terminal.type(b"fg\r")
                terminal.expect(b"cat\r\n")
                terminal.type(b"two\r")
                terminal.expect(b"two\r\ntwo\r\n")
                terminal.type(b"\x03")
                terminal.expect(b"+ ")
                terminal.type(b"exit 5\r")
                self.assertEqual(terminal.end(), 5)


class Files(FerryTest):
    """What is no terminal."""

    def both(self, argv, prepare, shell=None):
        """Runs it both ways by a shell with redirections, in a fresh directory that `prepare` fills;
        both must leave and say the same."""
        said = {}
        for way, prefix in WAYS.items():
            with tempfile.TemporaryDirectory() as directory:
                prepare(directory)
                command = (shell or "{}").format(shlex.join([*prefix, *argv]))
                done = subprocess.run(["sh", "-c", command], cwd=directory, capture_output=True,
                                      stdin=subprocess.DEVNULL, timeout=PATIENCE, check=False)  # fmt: skip
                files = {name: open(os.path.join(directory, name), "rb").read()
                         for name in sorted(os.listdir(directory))}  # fmt: skip
                errors = re.sub(rb"ferry: .*\n", b"", done.stderr)
                said[way] = done.returncode, done.stdout, errors, files
        self.assertEqual(said["ferry"], said["process"])
        return said["process"]

    @staticmethod
    def lines(directory):
        with open(os.path.join(directory, "in"), "w", encoding="ascii") as file:
            file.write("".join(f"line {n}\n" for n in range(1000)))
        with open(os.path.join(directory, "out"), "w", encoding="ascii") as file:
            file.write("before\n")

    def test_descriptors_are_what_they_are(self):
        for where in ("< in > out", "< in >> out", "<> in 1<> out", "< /dev/null > /dev/null", "<&- > out",
                      "< in >&-", "< /dev/zero > /dev/null"):  # fmt: skip
            with self.subTest(where):
                self.both([guest("asks_given")], self.lines, "{} " + where)
                if "-" not in where:
                    self.both([guest("asks_given"), "names"], self.lines, "{} " + where)
        for where in ("cat in | {} | cat", "{} < in | cat", "cat in | {} >> out"):
            with self.subTest(where):
                # how much of a pipe is there when it is asked is chance
                status, _, errors, _ = self.both([BUSYBOX, "stat", "-L", "-c", "%F", "/dev/stdin", "/dev/fd/1"],
                                                 self.lines, where)  # fmt: skip
                self.assertEqual((status, errors), (0, b""))

    def test_the_position_is_the_shells(self):
        for where in ("({0}; cat) < in", "(cat > all; {0}; cat) < in", "({0} & wait; {0}) < in"):
            with self.subTest(where):
                status, output, _, _ = self.both([BUSYBOX, "dd", "bs=7", "count=3", "status=none"], self.lines, where)
                self.assertEqual(status, 0)
        self.both([*SH, "read x; echo $x; read x; echo $x"], self.lines, "({}; head -n 2) < in")

    def test_writers_share_a_file(self):
        for where in ("(echo a; {0}; echo b) > out", "(echo a; {0}; echo b) >> out", "({0}; echo abc) 1<> out",
                      "{0} >> out; {0} >> out", "({0}; {0} >&2) > out 2>&1"):  # fmt: skip
            with self.subTest(where):
                self.both([BUSYBOX, "echo", "from within"], self.lines, where)

    def test_the_length_of_files_is_limited(self):
        """By the program, or by whoever started it: what fits is written, then SIGXFSZ comes."""
        own = "ulimit -f 1; exec dd bs=500 count=3 conv=notrunc status=none"
        for words, where in (([*SH, own], "({} < in 1<> out; echo $?) 2> said; wc -c < out; : > said"),
                             ([BUSYBOX, "dd", "bs=8", f"seek={(300 << 20) // 8 - 1}", "count=3", "conv=notrunc"],
                              "ulimit -f 614400; ({} < in 1<> out; echo $?) 2> said; wc -c < out; : > out; : > said")):
            with self.subTest(where):
                _, output, _, _ = self.both(words, self.lines, where)
                self.assertRegex(output, rb"\A153\n(512|314572800)\n\Z")

    def test_who_is_at_the_other_end_sees_what_is_closed(self):
        """Long before the program ends. A file that it opened by the name holds the pipe as long."""
        for way, prefix in WAYS.items():
            for close, later in (("exec >&-", ""), ("exec <&-", ""), ("exec 3>/dev/stdout >&-", "read x; exec 3>&-;")):
                with self.subTest(f"{way} {close}"):
                    script = f"echo go; {close}; echo closed >&2; {later} while :; do :; done"
                    self.see_closed([*prefix, *SH, script], "<" in close, later)

    def test_what_is_closed_is_seen_where_no_descriptor_is_left(self):
        script = "echo go; read x; exec >&-; echo closed >&2; while :; do :; done"

        def leave_none(process):
            limit = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
            resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (8, limit[1]))  # it has more of them
            process.stdin.write(b"\n")
            process.stdin.flush()

        self.see_closed([FERRY, "run", *SH, script], False, False, leave_none)

    def see_closed(self, argv, is_input, later, before=lambda process: None):
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            try:
                self.assertEqual(process.stdout.readline(), b"go\n")
                before(process)
                self.assertEqual(process.stderr.readline(), b"closed\n")
                if later:
                    self.assertEqual(select.select([process.stdout], [], [], 0)[0], [])
                    process.stdin.write(b"\n")
                    process.stdin.flush()
                ended = select.poll()
                # POLLERR: nobody reads; POLLHUP: nobody writes
                ended.register(process.stdin if is_input else process.stdout, 0)
                self.assertEqual(len(ended.poll(SOON * 1000)), 1)
                self.assertIsNone(process.poll())
            finally:
                process.kill()

    def test_a_program_may_open_its_input_by_name(self):
        for name in ("/dev/stdin", "/proc/self/fd/0", "/dev/fd/0"):
            self.both([BUSYBOX, "tail", "-c", "5", name], self.lines, "{} < in")
            self.both([BUSYBOX, "head", "-c", "5", name], self.lines, "cat in | {}")

    def test_names_give_no_more_rights(self):
        with tempfile.TemporaryDirectory() as directory:
            self.lines(directory)
            done = subprocess.run(["sh", "-c", f"{FERRY} run {guest('asks_given')} rights < in > out"],
                                  cwd=directory, capture_output=True, check=True)  # fmt: skip
            with open(os.path.join(directory, "in"), "rb") as file:
                self.assertEqual(len(file.read()), 8890)
        said = [line.split(": ", 1)[1] for line in done.stderr.decode().splitlines()]
        self.assertEqual(said, ["Permission denied"] * 4 + ["-1 (Invalid argument)", "-1 (Bad file descriptor)",
                                                            "-1 (Not a directory)"])  # fmt: skip

    def test_no_name_of_the_host_is_told(self):
        """Of a file in a directory that the program does not see."""
        with tempfile.TemporaryDirectory() as directory:
            self.lines(directory)
            for words in (("ls", "-l", "/proc/self/fd", "/dev/fd/0"), ("cat", "/proc/self/fdinfo/0", "/proc/self/maps"),
                          ("cat", "/proc/self/mountinfo", "/proc/mounts", "/proc/self/stat")):  # fmt: skip
                done = subprocess.run(["sh", "-c", f"{FERRY} run {BUSYBOX} {shlex.join(words)} < in 2>&1 | cat"],
                                      cwd=directory, capture_output=True, check=True)  # fmt: skip
                self.assertGreater(done.stdout.count(b"\n"), 1)
                self.assertNotIn(os.path.basename(directory).encode(), done.stdout)

    def test_sockets_and_their_flags(self):
        """Like the child of a server. The flags of what is shared stay as they are."""
        for prefix in WAYS.values():
            ours, theirs = socket.socketpair()
            with ours, theirs:
                process = subprocess.Popen([*prefix, BUSYBOX, "cat"], stdin=theirs, stdout=theirs)
                ours.sendall(b"there and back")
                self.assertEqual(ours.recv(100), b"there and back")
                self.assertFalse(fcntl.fcntl(theirs, fcntl.F_GETFL) & os.O_NONBLOCK)
                ours.shutdown(socket.SHUT_WR)
                self.assertEqual(process.wait(PATIENCE), 0)

    def test_the_time_of_who_waits_for_input_is_the_programs(self):
        command = [FERRY, "run", guest("processor_time"), "watched"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
            for _ in range(30):
                self.assertEqual(process.stdout.read(1), b"?")
                until_asleep(process.pid)
                process.stdin.write(b"x")
            process.stdin.close()
            self.assertEqual(process.wait(PATIENCE), 0)

    def test_the_only_thread_waits_itself(self):
        """A wait for a descriptor of the host takes no thread that one who never waits has not."""
        with contextlib.ExitStack() as stack:
            processes = []
            for argv in ([*SH, "echo x; while :; do :; done"], [BUSYBOX, "cat"]):
                process = stack.enter_context(
                    subprocess.Popen([FERRY, "run", *argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
                )
                stack.callback(process.kill)
                process.stdin.write(b"x\n")
                process.stdin.flush()
                self.assertEqual(process.stdout.readline(), b"x\n")
                processes.append(process.pid)
            until, counts = time.monotonic() + SOON, (0, 1)
            while counts[0] != counts[1] and time.monotonic() < until:  # others may be about to end
                counts = len(states(processes[0])), until_asleep(processes[1])
            self.assertEqual(*counts)

    def test_signals_end_a_wait(self):
        """Each way out of a read that finds nothing, and of a write that finds no room."""
        for stage, how in ((["cat"], "in"), (["yes"], "out")):
            for signo in (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP):
                reader, writer = os.pipe()
                files = {"in": {"stdin": reader, "stdout": subprocess.DEVNULL},
                         "out": {"stdin": subprocess.DEVNULL, "stdout": writer}}[how]  # fmt: skip
                process = subprocess.Popen([FERRY, "run", BUSYBOX, *stage], **files)
                if how == "out":
                    os.read(reader, 1)  # it runs
                else:
                    os.write(writer, b"x")
                    until = time.monotonic() + SOON
                    while select.select([reader], [], [], 0)[0]:
                        self.assertLess(time.monotonic(), until, "it reads nothing")
                        time.sleep(0.01)
                process.send_signal(signo)
                self.assertEqual(process.wait(PATIENCE), -signo)
                os.close(reader)
                os.close(writer)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            result = subprocess.run([FERRY, "run", "--timeout=0.2", BUSYBOX, "cat"], stdin=theirs,
                                    capture_output=True, check=False, timeout=PATIENCE)  # fmt: skip
        self.assertEqual(result.returncode, 124)

    def test_signals_reach_handlers(self):
        """A shell misses a signal that comes just before it waits. One that is asleep mostly waits; if
        not yet, it gets the signal again."""
        script = "trap 'echo caught' USR1; trap 'echo term; exit 3' TERM; echo go; while :; do read x; done"
        for prefix in WAYS.values():
            reader, writer = os.pipe()
            process = subprocess.Popen([*prefix, *SH, script], stdin=reader, stdout=subprocess.PIPE)
            self.assertEqual(process.stdout.readline(), b"go\n")
            for signo, line in ((signal.SIGUSR1, b"caught\n"), (signal.SIGTERM, b"term\n")):
                until_asleep(process.pid)
                process.send_signal(signo)
                end = time.monotonic() + PATIENCE
                while not select.select([process.stdout], [], [], 10)[0]:
                    self.assertLess(time.monotonic(), end)
                    process.send_signal(signo)
                self.assertEqual(process.stdout.readline(), line)
            self.assertEqual(process.wait(PATIENCE), 3)
            os.close(reader)
            os.close(writer)


if __name__ == "__main__":
    main()
