# SPDX-License-Identifier: BSD-2-Clause
"""What Linux answers to a program: each program runs on the host and in a VM, and says the same."""

import hashlib
import json
import os
import pathlib
import re
import resource
import signal
import subprocess
import tempfile
import unittest
from subprocess import PIPE

from harness import FERRY, KIB, MIB, PATIENCE, FerryTest, Result, Running, box, guest, main, pipe_command


def run(command, stdin=subprocess.DEVNULL):
    """(status as a shell tells it, output, errors)"""
    done = subprocess.run(
        command, stdin=stdin, capture_output=True, env={}, check=False, timeout=PATIENCE
    )
    status = done.returncode if done.returncode >= 0 else 128 - done.returncode
    return status, done.stdout.decode(), done.stderr.decode()


def both(program, *arguments, options=(), stdin=subprocess.DEVNULL):
    """The same of a guest program as a process, and in a VM."""
    command = [guest(program), *arguments]
    return [run(words, stdin) for words in (command, [FERRY, "run", *options, *command])]


# An emulated processor, and a file system in memory, behave differently from the host's; and it is slow.
EMULATED = unittest.skipIf("FERRY_SIZE_DIVISOR" in os.environ, "an emulated machine does otherwise")


def address_bits():
    """How many bits a physical address of this machine has, which is what a VM's has as well."""
    with open("/proc/cpuinfo", encoding="ascii") as cpuinfo:
        return int(re.search(r"address sizes\s*: (\d+) bits physical", cpuinfo.read()).group(1))


class Addresses(FerryTest):
    """Reservations of more addresses than the program's first 32 GiB."""

    def test_a_reservation_behaves_as_on_the_host(self):
        for gib in ("128", "1024") if address_bits() > 40 else ("128",):
            with self.subTest(gib):
                host, vm = both("asks_addresses", gib, options=["--mem=96M"])
                self.assertGreater(len(host[1].splitlines()), 40)
                self.assertEqual(vm[1].splitlines(), host[1].splitlines())
                self.assertEqual(vm[0], host[0], vm[2])

    @EMULATED
    def test_many_programs_leave_addresses_to_others(self):
        """32 in one engine have such a reservation; the others are refused one, and run."""
        command = [f"{guest('asks_addresses')} 128 count"] * 34
        with tempfile.TemporaryFile() as number:
            number.write(b"0\n")
            number.seek(0)
            status, out, err = run([FERRY, "pipe", "--mem=16M", *command], number)
        self.assertEqual((status, out), (0, "32\n"), err)


@EMULATED
class Memory(FerryTest):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        self.file = os.path.join(directory.name, "file")
        with open(self.file, "w", encoding="ascii") as file:
            file.write("q" * 5000)

    def compare(self, *arguments):
        host, vm = both("asks_memory", self.file, *arguments, options=[f"--ro={self.directory}"])
        self.assertGreater(len(host[1].splitlines()), 40)
        self.assertEqual(vm[1].splitlines(), host[1].splitlines())
        self.assertEqual(vm[0], host[0], vm[2])
        return vm

    def test_mapped_memory_behaves_as_on_the_host(self):
        self.assertEqual(self.compare()[0], 0)

    def test_memory_without_a_free_address(self):
        self.assertEqual(self.compare("filled")[0], 0)

    def test_a_page_beyond_the_end_of_a_file_is_a_bus_error(self):
        for how in ("beyond", "moved"):
            with self.subTest(how):
                status, _, errors = self.compare(how)
                self.assertEqual(status, 135)
                self.assertRegex(errors, "SIGBUS .*beyond the end of the file")


class Mapped(FerryTest):
    """Files that change while they are mapped, by the program itself and by others."""

    def setUp(self):
        self.directories = []
        for _ in range(2):
            directory = tempfile.TemporaryDirectory()
            self.addCleanup(directory.cleanup)
            self.directories.append(directory.name)

    def compare(self, *arguments):
        """Each of the two runs in a directory of its own, and leaves the same files there."""
        host, vm = self.directories
        runs = (
            run([guest("asks_mapped"), host, *arguments]),
            run([FERRY, "run", "--timeout=90", f"--rw={vm}", guest("asks_mapped"), vm, *arguments]),
        )
        files = [
            {
                name: hashlib.sha256(pathlib.Path(directory, name).read_bytes()).hexdigest()
                for name in os.listdir(directory)
            }
            for directory in self.directories
        ]
        self.assertEqual(files[1], files[0])
        return runs

    def test_a_mapping_follows_its_file(self):
        host, vm = self.compare()
        self.assertGreater(len(host[1].splitlines()), 150)
        self.assertEqual(vm[1].splitlines(), host[1].splitlines())
        self.assertEqual((vm[0], host[0]), (0, 0), vm[2])

    @EMULATED
    def test_so_it_does_in_memory(self):
        host = run([guest("asks_mapped"), self.directories[0]])
        vm = run([FERRY, "run", "--mem=2G", guest("asks_mapped"), "/tmp"])
        self.assertEqual(vm[1].splitlines(), host[1].splitlines())
        self.assertEqual((vm[0], host[0]), (0, 0), vm[2])

    def compare_maps(self, *arguments):
        host, vm = self.directories
        runs = (
            run([guest("asks_maps"), host, *arguments]),
            run([FERRY, "run", "--timeout=90", f"--rw={vm}", guest("asks_maps"), vm, *arguments]),
        )
        self.assertEqual(runs[1][1].splitlines(), runs[0][1].splitlines())
        self.assertEqual((runs[1][0], runs[0][0]), (0, 0), runs[1][2])
        return runs[1]

    @EMULATED
    def test_the_list_of_mappings_is_as_on_the_host(self):
        self.assertGreater(len(self.compare_maps()[1].splitlines()), 300)

    @EMULATED
    def test_the_list_of_mappings_is_whole_when_there_are_many(self):
        self.assertEqual(self.compare_maps("2000")[1], "mapped: 2000\neach has a line: 1\n")

    def test_a_page_that_was_cut_off_ends_the_program(self):
        for how, text in (("load", "read from"), ("store", "wrote to"), ("code", "ran code at")):
            with self.subTest(how):
                host, vm = self.compare(how)
                self.assertEqual((vm[0], host[0]), (128 + signal.SIGBUS, 128 + signal.SIGBUS))
                self.assertRegex(vm[2], f"SIGBUS .*: {text} 0x[0-9a-f]*011, beyond the end of the file")

    def test_a_page_that_nobody_can_name_ends_the_program_as_well(self):
        """By an instruction of which the VMM does not know the addresses."""
        host, vm = self.compare("gathered")
        self.assertEqual((vm[0], host[0]), (128 + signal.SIGBUS, 128 + signal.SIGBUS))
        self.assertRegex(vm[2], "SIGBUS .*: (touched memory that the host refused|read from 0x[0-9a-f]*011, beyond)")

    def test_a_handler_needs_its_stack(self):
        host, vm = self.compare("stack")
        self.assertEqual((vm[0], host[0]), (128 + signal.SIGSEGV, 128 + signal.SIGSEGV), vm[2])

    @EMULATED
    def test_no_moment_of_cutting_ends_the_machine(self):
        _, vm = self.compare("race")
        self.assertEqual((vm[0], vm[1]), (0, "ends as it should\n"), vm[2])

    def watch(self, how):
        """Somebody else cuts the file short while the program touches it."""
        directory = self.directories[0]
        path = pathlib.Path(directory, "first")
        path.write_bytes(b"q" * 3 * 4096)
        with Running([f"{guest('asks_mapped')} {directory} {how}"], f"--ro={directory}") as running:
            self.assertEqual(running.read(3), b"qq\n")
            os.truncate(path, 4096)
            return running.end()

    def test_others_may_cut_the_file_short(self):
        result = self.watch("watch")
        self.assertEqual(result.status, 128 + signal.SIGBUS)
        self.assertRegex(result.errors, "SIGBUS .*beyond the end of the file")
        result = self.watch("watch-on")
        self.assertEqual(result.status, 0, result.errors)
        self.assertEqual(
            result.output, b"write: -1 (Bad address)\nsignal 7 at +8192, q is left\n"
        )


@EMULATED
class Touched(FerryTest):
    """What counts against --mem is what is touched, as far as memory is of large mappings."""

    def take(self, how, *options):
        """Runs the program that takes what it can: its result, and the most that Ferry had."""
        command = [FERRY, "run", *options, guest("touches"), how]
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=errors)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            out.seek(0)
            errors.seek(0)
            result = Result(process.returncode, out.read(), errors.read())
        return result, usage.ru_maxrss * KIB

    def test_memory_is_reserved_and_touched_as_on_the_host(self):
        host, vm = both("touches")
        self.assertGreater(len(host[1].splitlines()), 20)
        self.assertEqual(vm[1].splitlines(), host[1].splitlines())
        self.assertEqual((vm[0], host[0]), (0, 0), vm[2])

    def test_64_threads_have_room_for_their_stacks(self):
        result, _ = self.take("threads")
        self.assert_ends(result, 0)
        self.assertEqual(result.output.decode(), 2 * "63 threads: 2016\n")

    def test_who_takes_more_than_it_may_have_is_ended(self):
        for how in ("all", "sparse"):
            with self.subTest(how):
                result, most = self.take(how, "--mem=64M")
                self.assertEqual(result.status, 137)
                self.assertRegex(result.errors, r"ended by SIGKILL: it touched (more memory than the 64 MiB that "
                                 r"it may have; a larger --mem allows more|memory that the host has not, or in more places than .*)\n\Z")
                self.assertLess(most, 64 * MIB + 48 * MIB)
                if how == "sparse":
                    self.assertGreaterEqual(int(result.output.split()[-1]), 2000)

    def test_what_cannot_be_had_is_refused(self):
        result, _ = self.take("filled", "--mem=64M")
        self.assert_ends(result, 0)
        self.assertEqual(result.output.decode(), "60 MiB, then Cannot allocate memory\n")


class Process(FerryTest):
    def test_a_process_is_answered_as_on_the_host(self):
        host, vm = both("asks_process")
        self.assertGreater(len(host[1].splitlines()), 90)
        # How nice it is in a VM is nobody's business.
        expected = ["nice: 0" if line.startswith("nice: ") else line for line in host[1].splitlines()]
        self.assertEqual(vm[1].splitlines(), expected)
        self.assertEqual(vm[0], host[0], vm[2])

    def test_a_thread_by_its_number_is_answered_as_on_the_host(self):
        host, vm = both("asks_threads")
        self.assertGreater(len(host[1].splitlines()), 250)
        self.assertEqual(vm[1].splitlines(), host[1].splitlines())
        self.assertEqual((vm[0], host[0]), (7, 7), vm[2])

    def test_handlers_run_as_on_the_host(self):
        host, vm = both("handlers")
        self.assertGreater(len(host[1].splitlines()), 60)
        self.assertEqual(vm[1].splitlines(), host[1].splitlines())
        self.assertEqual((vm[0], host[0]), (0, 0), vm[2])

    def test_what_is_done_at_signals_is_told_as_on_the_host(self):
        host, vm = both("asks_actions", options=["--stats=json"])
        self.assertGreater(len(host[1].splitlines()), 30)
        self.assertEqual(vm[1].splitlines(), host[1].splitlines())
        self.assertEqual((vm[0], host[0]), (0, 0), vm[2])
        # Of 4,600 questions only those about a signal that was changed make an exit.
        self.assertLess(json.loads(vm[2])["vms"][0]["exits_natural"], 1000)

    def test_timers_interrupt_as_on_the_host(self):
        silent, held = os.pipe()
        try:
            host, vm = both("alarms", stdin=silent)
        finally:
            os.close(silent)
            os.close(held)
        self.assertGreater(len(host[1].splitlines()), 25)
        self.assertEqual(vm[1].splitlines(), host[1].splitlines())
        self.assertEqual((vm[0], host[0]), (0, 0), vm[2])

    def test_no_frame_that_a_handler_returns_by_ends_the_machine(self):
        for seed in ("1", "2", "3"):
            with self.subTest(seed):
                host, vm = both("hostile_frames", seed)
                self.assertEqual((vm[0], vm[1]), (0, host[1]), vm[2])
                self.assertIn("both ways", host[1])

    def test_a_signal_interrupts_a_wait_for_messages(self):
        for how in ("", " two"):
            silent, held = os.pipe()
            try:
                result = subprocess.run(
                    pipe_command([guest("waits_messages") + how, box("cat")]),
                    stdin=silent, capture_output=True, check=False, timeout=PATIENCE,
                )  # fmt: skip
            finally:
                os.close(silent)
                os.close(held)
            self.assertEqual(result.returncode, 0, result.stderr)

    def test_a_thread_takes_the_signal_that_is_sent_to_it(self):
        host, vm = both("signals_threads")
        self.assertEqual(len(host[1].splitlines()), 3)
        self.assertEqual((vm[0], vm[1]), (host[0], host[1]), vm[2])

    def test_a_timer_without_a_handler_ends_the_program(self):
        host, vm = both("alarms", "alarm")
        self.assertEqual((vm[0], vm[1]), (host[0], host[1]), vm[2])
        self.assertEqual(vm[0], 128 + signal.SIGALRM)

    def test_a_fault_that_no_handler_can_take_ends_the_program(self):
        for how in ("blocked", "nowhere"):
            with self.subTest(how):
                host, vm = both("handlers", how)
                self.assertEqual(vm[:2], host[:2])
                self.assertEqual(vm[0], 128 + signal.SIGSEGV)
                self.assertIn("crashed by SIGSEGV", vm[2])

    def test_an_ignored_sigpipe_stays_ignored(self):
        """The writer is told by an error, as after exec; by default it is ended."""
        for ignored, status in ((True, 1), (False, 128 + signal.SIGPIPE)):
            done = subprocess.run(
                pipe_command([box("yes"), box("head -n1")]),
                stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=PATIENCE,
                restore_signals=not ignored,
            )  # fmt: skip
            result = Result(done.returncode, done.stdout, done.stderr)
            self.assertEqual(result.output, b"y\n")
            self.assertEqual(result.vm(0)["exit_status"], status)


class Objects(FerryTest):
    def test_pipes_and_their_like_are_answered_as_on_the_host(self):
        for program, lines in (("asks_objects", 200), ("asks_sockets", 200), ("asks_files", 40)):
            with self.subTest(program):
                host, vm = both(program)
                self.assertGreater(len(host[1].splitlines()), lines)
                self.assertEqual(vm[1].splitlines(), host[1].splitlines())
                self.assertEqual(vm[0], host[0], vm[2])

    def test_odd_arguments_are_answered_as_on_the_host(self):
        """In a directory of the host's, and in one in memory."""
        said = []
        for words in ([], [FERRY, "run", "--rw"], [FERRY, "run"]):
            with tempfile.TemporaryDirectory() as directory:
                where = [] if words[-1:] != ["--rw"] else [directory]
                there = directory if where or not words else "/tmp"
                said.append(run([*words, *where, guest("asks_errors"), there]))
        self.assertGreater(len(said[0][1].splitlines()), 120)
        for vm in said[1:]:
            self.assertEqual(vm[1].splitlines(), said[0][1].splitlines())
            self.assertEqual(vm[0], said[0][0], vm[2])

    def test_its_variables_are_told_and_no_others(self):
        command = [FERRY, "run", "--env", "A=1", *box("cat /proc/self/environ").split()]
        status, output, errors = run(command)
        self.assertEqual(status, 0, errors)
        words = output.split("\0")
        self.assertIn("A=1", words)
        self.assertEqual([word for word in words if word.startswith("TMPDIR=")], [])

    def test_an_end_by_a_signal_of_real_time_is_told(self):
        host, vm = both("asks_errors", "/tmp", "end")
        self.assertEqual(vm[:2], host[:2])
        self.assertIn("ended by SIGRT_", vm[2])

    def test_descriptors_of_signals_and_sockets_are_answered_as_on_the_host(self):
        host, vm = both("asks_descriptors")
        self.assertGreater(len(host[1].splitlines()), 150)
        self.assertEqual(vm[1].splitlines(), host[1].splitlines())
        self.assertEqual(vm[0], host[0], vm[2])

    def test_threads_share_objects(self):
        host, vm = both("asks_objects", "threads")
        self.assertIn("pieces: 2000", host[1])
        self.assertEqual(vm[1].splitlines(), host[1].splitlines())
        self.assertEqual(vm[0], host[0], vm[2])

    def test_no_wake_of_a_set_is_lost(self):
        host, vm = both("sets_threads", "members")
        self.assertEqual(len(host[1].splitlines()), 29)
        self.assertEqual({line.rsplit(": ")[1] for line in host[1].splitlines()}, {"60"})
        self.assertEqual(vm[:2], host[:2], vm[2])

    def test_of_many_that_wait_in_sets_one_is_woken(self):
        """40 threads, 400 questions: waking all would take 40 switches more for each than poll takes."""
        switches = {}
        for how in ("poll", "set"):
            before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_nvcsw
            status, output, errors = run([FERRY, "run", guest("sets_threads"), "many", how])
            self.assertEqual((status, output), (0, "asked 400\n"), errors)
            switches[how] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_nvcsw - before
        self.assertLess(switches["set"] - switches["poll"], 400 * 40)

    def test_one_wait_for_input_and_objects(self):
        """Each word of input is sent once the program says that it waits for it."""
        said = []
        for words in ([], [FERRY, "run"]):
            command = [*words, guest("asks_objects"), "mixed"]
            with subprocess.Popen(command, stdin=PIPE, stdout=PIPE) as program:
                lines = []
                for line in program.stdout:
                    lines.append(line)
                    if line in (b"ready\n", b"more\n"):
                        program.stdin.write(b"word")
                        program.stdin.flush()
                    elif line == b"end\n":
                        program.stdin.close()
            said.append(lines)
            self.assertEqual(program.returncode, 0)
        self.assertGreater(len(said[0]), 30)
        self.assertEqual(said[1], said[0])

    def test_changes_of_files_are_told(self):
        said = []
        for words in ([], [FERRY, "run", "--ro"]):
            with tempfile.TemporaryDirectory() as directory:
                options = [directory] if words else []
                command = [*words, *options, guest("asks_files"), directory]
                with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=PIPE) as program:
                    lines = []
                    for line in program.stdout:
                        lines.append(line)
                        if line == b"ready\n":
                            path = os.path.join(directory, "file")
                            with open(path, "w", encoding="ascii") as file:
                                file.write("text")
                            os.unlink(path)
            said.append(lines)
            self.assertEqual(program.returncode, 0)
        self.assertEqual(said[0][-3:], [b"0x100 file 1\n", b"0x2 file 1\n", b"0x200 file 1\n"])
        self.assertEqual(said[1], said[0])

    def test_waits_for_ever_end(self):
        for how in ("read", "write", "event", "timer", "splice", "receive", "poll", "epoll"):
            with self.subTest(how):
                command = [FERRY, "run", guest("asks_objects"), how]
                with subprocess.Popen(command, stdin=PIPE, stdout=PIPE) as program:
                    self.assertEqual(program.stdout.readline(), b"ready\n")
                    program.send_signal(signal.SIGINT)
                    self.assertEqual(program.wait(PATIENCE), -signal.SIGINT)
                    self.assertEqual(program.stdout.read(), b"")


RESULT = "89c7b83c0000000f05"  # mov %eax, %edi; mov $60, %eax; syscall: exits with what RAX holds
NO_STACK = "48bc0000000000000080"  # mov $0x8000000000000000, %rsp


def vsyscall(offset):
    """A call without arguments to the vsyscall page: exits with whether the result was not 0."""
    address = (0xFF600000 + offset).to_bytes(4, "little").hex()
    return f"31ff31f631d248c7c0{address}ffd085c00f95c00fb6c0{RESULT}"


@EMULATED
class Instructions(FerryTest):
    """Machine code that a program should not run, or that Linux serves: how it ends."""

    def compare(self, expected, code, *registers):
        host, vm = both("instruction", code, *registers, options=["--timeout=60"])
        with self.subTest(code=code, registers=registers):
            self.assertEqual(host[0], expected)
            self.assertEqual(vm[0], host[0], vm[2])

    def test_interrupts(self):
        for number in (0, 1, 2, 5, 0x0D, 0x1F, 0x20, 0x2E, 0x7F, 0x81, 0xFF):
            self.compare(139, f"cd{number:02x}")
        self.compare(133, "cc")
        self.compare(133, "cd03")
        self.compare(139, "cd04")
        self.compare(132, "ce")
        self.compare(132, "f0cd80")  # no lock on an interrupt
        self.compare(133, "f1")

    def test_privileged_and_unknown(self):
        for code in ("f4", "fa", "0f20c0", "0f32", "0f07", "0f01f8", "0f06", "0f08", "6c", "e480"):
            self.compare(139, code)
        for code in ("0f0b", "06", "0fff", "0f01c8", "0f01c9", "f0f4"):
            self.compare(132, code)

    def test_a_stack_nowhere_is_a_bus_error(self):
        for access in ("50", "58", "c3", "e800000000"):
            self.compare(135, NO_STACK + access)
        self.compare(139, "48b80000000000000080488900")

    def test_calls_of_32_bit_programs(self):
        self.compare(5, "cd80", "1", "5")
        self.compare(6, "48cd80", "252", "6")
        self.compare(256 - 38, "cd80" + RESULT, "400000")  # ENOSYS
        self.compare(256 - 9, "cd80" + RESULT, "6", "99")  # close: EBADF
        self.compare(256 - 14, "cd80" + RESULT, "5", "8")  # open: EFAULT
        self.compare(256 - 14, "cd80" + RESULT, "5", "0x100000008")  # of half a register
        self.compare(0, "cd80" + RESULT, "125", "0", "0", "0")  # mprotect of nothing

    def test_vsyscall_page(self):
        self.compare(0, vsyscall(0))  # gettimeofday
        self.compare(1, vsyscall(0x400))  # time
        self.compare(0, vsyscall(0x800))  # getcpu
        self.compare(139, vsyscall(0xC00))
        self.compare(139, vsyscall(1))
        self.compare(139, vsyscall(-0x1000))
        self.compare(139, NO_STACK[:2] + "bc0800000000000000" + vsyscall(0)[12:])


if __name__ == "__main__":
    main()
