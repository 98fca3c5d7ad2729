# SPDX-License-Identifier: BSD-2-Clause
"""How a pipeline ends: early close, signals, crashes, time limits, exit status."""

import os
import pty
import signal

from harness import (
    EXTENT,
    PATIENCE,
    FerryTest,
    Feeder,
    Result,
    Running,
    box,
    ferry,
    guest,
    main,
    pipe,
    text,
)

SIGPIPE_STATUS = 128 + signal.SIGPIPE
SIGSEGV_STATUS = 128 + signal.SIGSEGV


class EarlyClose(FerryTest):
    def test_head_after_cat(self):
        data = text(8 * EXTENT)
        result = pipe([box("cat"), box("head -c 10")], data=data)
        self.assertEqual(result.output, data[:10])
        self.assert_conserved(result)

    def test_head_ends_a_stage_that_never_would(self):
        result = pipe([box("yes"), box("head -c 10")])
        self.assertEqual(result.output, b"y\ny\ny\ny\ny\n")
        self.assertEqual(result.vm(0)["exit_status"], SIGPIPE_STATUS)
        self.assert_clean(result)

    def test_head_in_the_middle(self):
        result = pipe([box("yes"), box("head -c 1000001"), box("wc -c")])
        self.assertEqual(result.output, b"1000001\n")
        self.assert_clean(result)

    def test_head_ends_all_before_it(self):
        result = pipe([box("yes"), box("cat"), box("sed p"), box("head -n 1")])
        self.assertEqual(result.output, b"y\n")
        self.assert_clean(result)

    def test_reader_that_fails(self):
        """Only the reader's failure is reported: the writer did nothing wrong."""
        result = pipe([box("yes"), box("awk '{ exit 3 }'"), box("cat")])
        self.assert_ends(result, 3, "exit status 3")
        self.assertEqual(len(result.errors.splitlines()), 1, result.errors)

    def test_other_failures_of_a_writer(self):
        """Only the signal of the pipe is excused: no status, and no signal that it sent itself."""
        for stage, status in (
            (box("""awk 'BEGIN { while (n++ < 1000) print "y"; exit 4 }'"""), 4),
            (box("sh -c 'kill -PIPE $$'"), SIGPIPE_STATUS),
        ):
            with self.subTest(stage):
                result = pipe([stage, box("cat")])
                self.assert_ends(result, status)
                self.assertEqual(len(result.errors.splitlines()), 1, result.errors)

    def test_stage_that_never_reads(self):
        result = pipe([box("cat"), box("true")], data=text(8 * EXTENT))
        self.assertEqual(result.output, b"")
        self.assertEqual(result.vm(1)["exit_status"], 0)
        self.assert_conserved(result)

    def test_first_stage_never_reads_endless_input(self):
        reader, writer = os.pipe()
        Feeder(writer, b"x" * 65536)
        with os.fdopen(reader) as source:
            result = pipe([box("echo done")], stdin=source)
        self.assert_clean(result)
        self.assertEqual(result.output, b"done\n")

    def test_standard_output_closed_early(self):
        """As `ferry pipe 'yes' | head -c 10`: the reader goes away, and so does the pipeline."""
        with Running([box("yes"), box("cat")]) as running:
            self.assertEqual(running.read(10), b"y\ny\ny\ny\ny\n")
            running.process.stdout.close()
            errors = running.process.stderr.read()
            status = running.process.wait(PATIENCE)
        result = Result(status, b"", errors)
        self.assertIn(status, (SIGPIPE_STATUS, -signal.SIGPIPE), result.errors)
        self.assert_conserved(result)

    def test_last_stage_waits_for_its_reader_to_go(self):
        """A program that writes nothing is told, too, and ends as it likes, as `tail -f` does."""
        with Running([guest("until_unread")]) as running:
            self.assertEqual(running.read(6), b"ready\n")
            running.process.stdout.close()
            errors = running.process.stderr.read()
            status = running.process.wait(PATIENCE)
        self.assertEqual(status, 7, errors)
        self.assert_conserved(Result(status, b"", errors))


class Terminal(FerryTest):
    def test_lines_typed_at_a_terminal(self):
        controller, terminal = pty.openpty()
        try:
            with Running([box("cat"), box("awk '{ print \"got:\" $0 }'")], stdin=terminal) as running:
                # The second line goes in only after the first came out: none is held back.
                os.write(controller, b"first\n")
                self.assertEqual(running.read(10), b"got:first\n")
                os.write(controller, b"second\n\x04")
                result = running.end()
        finally:
            os.close(controller)
            os.close(terminal)
        self.assert_clean(result)
        self.assertEqual(result.output, b"got:second\n")


class Signals(FerryTest):
    def while_running(self, signo):
        with Running([box("yes"), box("cat")]) as running:
            running.read(1)
            running.process.send_signal(signo)
            result = running.end()
        self.assertEqual(result.status, -signo)
        self.assert_conserved(result)

    def test_sigint_while_running(self):
        self.while_running(signal.SIGINT)

    def test_sigterm_while_running(self):
        self.while_running(signal.SIGTERM)

    def test_sigint_while_waiting_for_input(self):
        reader, writer = os.pipe()
        with os.fdopen(reader) as source, os.fdopen(writer, "wb", buffering=0) as sink:
            with Running([box("cat"), box("cat")], stdin=source) as running:
                sink.write(b"x\n")
                running.read(2)  # both stages are up, and wait again
                running.process.send_signal(signal.SIGINT)
                result = running.end()
        self.assertEqual(result.status, -signal.SIGINT)
        self.assert_conserved(result)


class Crashes(FerryTest):
    def test_stage_crashes_half_way(self):
        """The others end as they would, the report names stage, signal and place."""
        result = pipe([box("cat"), guest("crash_midway"), box("cat")], data=text(4 * EXTENT))
        self.assert_ends(result, SIGSEGV_STATUS, "crash_midway", "SIGSEGV", "rip")
        self.assertGreater(len(result.output), 0)
        self.assertEqual(result.vm(1)["exit_status"], SIGSEGV_STATUS)
        self.assertEqual(result.vm(2)["exit_status"], 0)
        self.assert_conserved(result)

    def test_stage_aborts(self):
        result = ferry("run", guest("abort"))
        self.assert_ends(result, 128 + signal.SIGABRT, "SIGABRT")


class TimeLimit(FerryTest):
    def test_loop_without_system_calls(self):
        result = pipe([guest("spin")], "--timeout", "1")
        self.assert_ends(result, 124, "spin")
        self.assert_conserved(result)

    def test_stage_that_sleeps(self):
        result = pipe([box("sleep 1000")], "--timeout", "1")
        self.assert_ends(result, 124, "sleep")
        self.assert_conserved(result)

    def test_stages_that_wait_for_input(self):
        reader, writer = os.pipe()
        with os.fdopen(reader) as source:
            result = pipe([box("cat"), box("cat")], "--timeout", "1", stdin=source)
        os.close(writer)
        self.assert_ends(result, 124)
        self.assert_conserved(result)

    def test_enough_time(self):
        result = pipe([box("cat")], "--timeout", "60", data=b"in time\n")
        self.assert_clean(result)
        self.assertEqual(result.output, b"in time\n")


class ProcessorTime(FerryTest):
    def test_loop_without_system_calls(self):
        result = pipe([guest("spin"), box("cat")], "--cpu", "0.2")
        self.assert_ends(result, 152, "spin", "processor time of 0.2 s")
        self.assertEqual(result.vm(1)["exit_status"], 0)
        self.assert_conserved(result)

    def test_enough_time(self):
        result = pipe([box("cat")], "--cpu", "1m", data=b"in time\n")
        self.assert_clean(result)
        self.assertEqual(result.output, b"in time\n")


class ExitStatus(FerryTest):
    def shell(self, code):
        """A stage that takes all input and ends with `code`."""
        return box(f"awk 'END {{ exit {code} }}'")

    def test_all_well(self):
        self.assert_clean(pipe([self.shell(0), self.shell(0)]))

    def test_of_the_last_that_failed(self):
        result = pipe([self.shell(3), self.shell(5), self.shell(0)])
        self.assert_ends(result, 5)
        self.assertEqual([vm["exit_status"] for vm in result.stats["vms"]], [3, 5, 0])
        # One line for each stage that failed, none for the other.
        self.assertEqual(len(result.errors.splitlines()), 2, result.errors)
        self.assert_conserved(result)

    def test_run_gives_that_of_the_program(self):
        self.assertEqual(ferry("run", box("x").split()[0], "false").status, 1)
        self.assertEqual(ferry("run", box("x").split()[0], "true").status, 0)

    def test_failing_stage_does_not_hide_output(self):
        result = pipe([box("cat"), box("awk '{ print } END { exit 7 }'")], data=b"kept\n")
        self.assertEqual(result.status, 7)
        self.assertEqual(result.output, b"kept\n")
        self.assert_conserved(result)


if __name__ == "__main__":
    main()
