# SPDX-License-Identifier: BSD-2-Clause
"""Programs that fork: what each process sees, and what a shell and others make of it, beside the same
on the host."""

import os
import shutil
import signal
import subprocess
import time
import unittest

from harness import BUSYBOX, FERRY, LIMITS, PATIENCE, FerryTest, Running, ferry, guest, main, pipe, text

TOOLS = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C"}


class Same(FerryTest):
    def compare(self, *command, data=b"", options=(), sort=False):
        """The same output and status as outside. Gives both results' output."""
        host = subprocess.run(
            command, input=data, capture_output=True, check=False, timeout=PATIENCE, env=TOOLS
        )
        result = ferry("run", "--env", "LC_ALL=C", *options, "--", *command, data=data)
        order = (lambda lines: sorted(lines.splitlines())) if sort else bytes
        self.assertEqual(order(result.output), order(host.stdout), result.errors)
        status = host.returncode if host.returncode >= 0 else 128 - host.returncode
        self.assertEqual(result.status, status, result.errors)
        self.assertNotEqual(host.stdout, b"")
        return result


class Calls(Same):
    """What a process of the host sees, a process in a VM sees."""

    def each(self, program, *cases):
        for case in cases:
            with self.subTest(case=case):
                self.compare(guest(program), case)

    def test_memory(self):
        self.each("forks", "memory", "dropped", "shared_anonymous", "shared_named")

    def test_descriptors(self):
        self.each("forks", "descriptors", "ring", "closed_by_exec")

    def test_beginning(self):
        self.each("forks", "vforked", "threads_fork")

    def test_the_first_may_end_before_others(self):
        self.each("forks", "orphans")

    def test_waits(self):
        self.each("children", "waits", "waits_by_id", "told", "ignores")

    def test_stops(self):
        self.each("children", "stopped", "stopped_threads", "stopped_and_sent", "stopped_with_timer")

    def test_the_first_is_made_to_go_on_from_outside(self):
        for signo, status in ((signal.SIGCONT, 0), (signal.SIGTERM, -signal.SIGTERM)):
            with self.subTest(signo), subprocess.Popen(
                [FERRY, "run", "--timeout=60", guest("children"), "first_is_stopped"], stdout=subprocess.PIPE
            ) as process:  # fmt: skip
                while process.poll() is None:
                    time.sleep(0.2)
                    process.send_signal(signo)
                self.assertEqual(process.returncode, status)
                self.assertEqual(process.stdout.read(), b"end: exited 0\n" * (status == 0))

    def test_a_stage_that_stops_itself_goes_on(self):
        result = pipe(["sh -c 'sleep 1 & kill -STOP $$; echo on'"], "--timeout=60")
        self.assertEqual((result.output, result.status), (b"on\n", 0), result.errors)

    def test_what_is_asked_of_others(self):
        self.compare(guest("others"))

    def test_what_they_used(self):
        self.each("children", "used", "limited")

    def test_signals(self):
        self.each("kills", "sent", "alarms")
        self.each("children", "groups")

    def test_ends_at_any_place(self):
        self.each("kills", "kills", "crashes")

    def test_hostile_words(self):
        self.each("kills", "hostile")


class Shells(Same):
    def sh(self, script, data=b"", shell="/bin/sh", **others):
        return self.compare(shell, "-c", script, data=data, **others)

    def test_pipelines(self):
        self.sh("sort | uniq -c | sort -rn | head -5 | tr a-z A-Z", text(20000))
        self.sh("printf 'b\\na\\n' | sort | cat | cat | cat | cat | cat | wc -l")
        self.sh("yes | head -3; echo $?")
        self.sh("false | true; echo $?; true | (exit 3); echo $?")

    def test_words_of_the_shell(self):
        self.sh('a=$(echo one; echo two); b=$(echo "$(echo three)"); echo "$a" $b; exit 5')
        self.sh("(cd /; pwd; exit 2); echo $?; x=1; (x=2); echo $x")
        self.sh("for i in 1 2 3; do /bin/echo $i & wait $!; done; wait; echo all")
        self.sh("cat & echo first; wait; (sleep 0.01; echo second) & wait", b"")
        self.sh("trap 'echo caught' TERM; kill -TERM $$; (kill -9 $$) ; echo never")
        self.sh("sleep 100 & kill $!; wait $!; echo $?")
        self.sh("/bin/sh -c 'kill -11 $$'; echo $?; missing-program; echo $?", data=b"")

    def test_who_is_stopped_does_not_outlive_its_parent(self):
        result = ferry("run", "--timeout=60", "sh", "-c", "sleep 1000 & kill -STOP $!; exit 3")
        self.assertEqual(result.status, 3, result.errors)
        self.assertNotIn("time limit", result.errors)

    def test_what_is_told_of_other_processes(self):
        self.sh("cd /; cat /proc/$$/comm; tr '\\0' ' ' </proc/$$/cmdline; ls -d /proc/$$ | wc -l; readlink /proc/$$/exe /proc/$$/cwd")
        self.sh("ls /proc/$$/ | grep -c -x -e status -e stat -e maps -e comm; cat /proc/$$/nothing; echo $?")
        self.sh(
            "sleep 100 & read -r _ _ _ parent _ </proc/$!/stat; test $parent = $$ && echo child; cat /proc/$!/comm >/dev/null; "
            "ls /proc | grep -c -x -e $$ -e $!; kill $!; wait $! 2>/dev/null; test -e /proc/$! || echo gone"
        )

    def test_the_last_of_many(self):
        self.sh("i=0; while [ $i -lt 100 ]; do i=$((i + 1)); /bin/true; done; echo $i")

    def test_busybox(self):
        self.sh("seq 10 | while read i; do echo $((i * i)); done | tail -2", shell="/bin/sh")
        self.compare(BUSYBOX, "sh", "-c", f"{BUSYBOX} seq 5 | {BUSYBOX} tac | {BUSYBOX} tr '\\n' ' '")

    @unittest.skipUnless(shutil.which("bash"), "there is no bash")
    def test_bash(self):
        bash = shutil.which("bash")
        self.sh("cat <(echo one) <(echo two); diff <(seq 3) <(seq 2); echo $?", shell=bash)
        self.sh("echo words | tee >(wc -c) >/dev/null | cat; wait", shell=bash)
        self.sh("set -o pipefail; false | cat; echo ${PIPESTATUS[0]} $?", shell=bash)
        self.sh("coproc cat; echo hi >&${COPROC[1]}; read x <&${COPROC[0]}; echo $x", shell=bash)

    def test_findutils(self):
        self.compare("xargs", "-n", "3", "echo", data=b"1 2 3 4 5 6 7 8\n")
        self.compare("xargs", "-P", "4", "-n", "1", "echo", data=b"1 2 3 4 5 6 7 8\n", sort=True)
        self.compare("find", "/etc/passwd", "/etc/group", "-exec", "echo", "{}", ";")


@unittest.skipUnless(shutil.which("make"), "there is no make")
class Make(Same):
    def test_make(self):
        directory = self.enter_directory()
        os.chmod(directory, 0o755)
        with open("Makefile", "w") as file:
            file.write("all: a b c d\n\t@echo done\na b c d:\n\t@echo $@ | cat\n")
        self.compare(
            "make", "-f", f"{directory}/Makefile", "-j", "4", options=("--ro", directory), sort=True
        )


@unittest.skipUnless(shutil.which("perl"), "there is no perl")
class Perl(Same):
    def test_pipes(self):
        self.compare(
            "perl", "-e",
            'open(my $in, "-|", "echo one; echo two") or die; print "got $_" while <$in>; close $in;'
            'open(my $out, "|-", "sort") or die; print $out "b\\na\\n"; close $out;'
            'print `echo back`, system("exit 3") >> 8, "\\n"; $| = 1; my $p = fork; exit 4 unless $p;'
            'waitpid $p, 0; print $? >> 8, "\\n";',
        )  # fmt: skip


PYTHON = "/usr/bin/python3"

SUBPROCESSES = r"""
import os, signal, subprocess, sys
print(subprocess.run(["echo", "hi"], capture_output=True).stdout)
print(subprocess.run("exit 3", shell=True).returncode)
print(subprocess.run(["tr", "a-z", "A-Z"], input=b"words\n" * 50000, stdout=-1).stdout[-6:])
print(os.popen("echo popen").read(), os.system("exit 2") >> 8)
try:
    subprocess.run(["/missing"])
except FileNotFoundError as error:
    print(error)
print(os.waitstatus_to_exitcode(os.waitpid(os.posix_spawn("/bin/sh", ["sh", "-c", "exit 7"], {}), 0)[1]))
child = subprocess.Popen(["sleep", "100"], start_new_session=True)
child.send_signal(signal.SIGTERM)
print(child.wait())
try:
    subprocess.run(["sleep", "100"], timeout=0.05)
except subprocess.TimeoutExpired:
    print("expired")
both = subprocess.Popen("echo out; echo err >&2", shell=True, stdout=-1, stderr=-1)
print(both.communicate())
"""

MULTIPROCESSING = r"""
import multiprocessing, os
def square(number):
    return number * number
def work(queue, value, lock):
    for _ in range(50):
        with lock:
            value.value += 1
    queue.put(value.value > 0)
if __name__ == "__main__":
    with multiprocessing.Pool(3) as pool:
        print(pool.map(square, range(50)))
    queue, value, lock = multiprocessing.Queue(), multiprocessing.Value("i", 0), multiprocessing.Lock()
    all = [multiprocessing.Process(target=work, args=(queue, value, lock)) for _ in range(3)]
    for one in all:
        one.start()
    print([queue.get() for _ in all])
    for one in all:
        one.join()
        print(one.exitcode)
    print(value.value)
"""


@unittest.skipUnless(os.access(PYTHON, os.X_OK), "there is no python3")
class Python(Same):
    def test_subprocesses(self):
        self.compare(PYTHON, "-c", SUBPROCESSES)

    def test_multiprocessing(self):
        self.compare(PYTHON, "-c", MULTIPROCESSING)


FORKS_WHAT_IS_LARGE = r"""
import os, signal
large = bytearray(b"x" * (90 << 20))
def fork():
    try:
        pid = os.fork()
    except OSError as error:
        return print(error.strerror)
    if not pid:
        signal.pause()
    print("more")
    return pid
pid = fork()
fork()
os.kill(pid, 9)
os.wait()
pid = fork()
os.kill(pid, 9)
"""

# Processes that end only if something ends them, of which each says that it is there.
MANY = "for i in 1 2 3; do (trap '' HUP; echo there; {}) & done; echo there; {}"


class Ends(FerryTest):
    def test_time_limit(self):
        wait = "while :; do :; done"
        for seconds in LIMITS:
            result = ferry(
                "run", f"--timeout={seconds}s", "--", "/bin/sh", "-c", MANY.format(wait, wait)
            )
            if result.output == b"there\n" * 4:
                break
        self.assertEqual(result.output, b"there\n" * 4)
        self.assertEqual(result.status, 124)

    def test_interrupt_ends_all(self):
        stage = f'/bin/sh -c "{MANY.format("exec sleep 100", "sleep 100")}"'
        with Running([stage]) as run:
            self.assertEqual(run.read(24), b"there\n" * 4)
            before = time.monotonic()
            run.process.send_signal(signal.SIGTERM)
            run.end()
            self.assertLess(time.monotonic() - before, 60)

    def test_many_leave_nothing(self):
        """Of 200 more children no descriptor, mapping or page stays in the command's process."""
        children = "i=0; while [ $i -lt $count ]; do (true); i=$((i+1)); done; echo $i"
        command = [FERRY, "run", "--no-jail", "--", BUSYBOX, "sh", "-c", f"while read count; do {children}; done"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(command, bufsize=0, **pipes) as process:
            most = [level + more for level, more in zip(self.level_after(process, 60), (5, 5, 256))]
            after = self.level_after(process, 200)
            until = time.monotonic() + PATIENCE
            while any(level > limit for level, limit in zip(after, most)) and time.monotonic() < until:
                after = self.level_after(process, 0)  # the last child may still have been going
            for level, limit, what in zip(after, most, ("descriptors", "mappings", "KiB")):
                self.assertLessEqual(level, limit, what)
            process.communicate(timeout=PATIENCE)
            self.assertEqual(process.returncode, 0)

    def level_after(self, process, count):
        """Descriptors, mappings and KiB of memory of the process when so many more children have ended."""
        process.stdin.write(b"%d\n" % count)
        self.assertEqual(process.stdout.readline(), b"%d\n" % count)
        at = f"/proc/{process.pid}"
        with open(f"{at}/maps", encoding="utf-8") as maps, open(f"{at}/status", encoding="utf-8") as status:
            memory = next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))
            return len(os.listdir(f"{at}/fd")), len(maps.readlines()), memory

    def test_more_than_there_may_be(self):
        """A fork bomb: the most are there at once, further ones are refused, and the VM ends in time."""
        result = ferry("run", "--timeout=3s", "--", "/bin/sh", "-c", "f() { f | f & }; f; sleep 100")
        self.assertIn(result.status, (2, 124))

    def test_a_signal_reaches_those_that_are_being_made(self):
        """Else a bomb goes on with a process whose parent had not returned from its fork."""
        words = [FERRY, "run", "--timeout=60s", "--", "/bin/sh", "-c", "f() { f | f & }; f; echo x; sleep 100"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            process.stdout.read(2)
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(), -signal.SIGTERM)

    @unittest.skipUnless(os.access(PYTHON, os.X_OK), "there is no python3")
    def test_one_limit_of_memory_for_all(self):
        """Three times 90 MiB are too much, however they came about."""
        result = ferry("run", "--mem=256M", "--", PYTHON, "-uc", FORKS_WHAT_IS_LARGE)
        self.assertEqual(result.output, b"more\nCannot allocate memory\nmore\n", result.errors)


class Stages(FerryTest):
    def test_stages_that_fork(self):
        data = text(50000)
        stages = ['/bin/sh -c "sort | uniq"', '/bin/sh -c "cat | tr a-z A-Z"', '/bin/sh -c "wc -c; true"']
        host = subprocess.run(
            "sort | uniq | tr a-z A-Z | wc -c", shell=True, input=data, capture_output=True,
            check=True, env=TOOLS,
        )  # fmt: skip
        result = pipe(stages, "--env", "LC_ALL=C", data=data)
        self.assert_clean(result)
        self.assertEqual(result.output, host.stdout)

    def test_output_of_children_is_there(self):
        result = pipe(['/bin/sh -c "(echo one; exec echo two) & exec echo three"', "/bin/sort"])
        self.assert_clean(result)
        self.assertEqual(result.output, b"one\nthree\ntwo\n")


if __name__ == "__main__":
    main()
