# SPDX-License-Identifier: BSD-2-Clause
"""What each option does, and what the figures of --stats=json say."""

import contextlib
import os
import tempfile

from harness import (
    EXTENT,
    MIB,
    FerryTest,
    Running,
    box,
    example,
    ferry,
    guest,
    huge_pages,
    main,
    on_host_bytes,
    pipe,
    text,
)

# Ferry-aware: each passes its input on, in place or changed.
AWARE = [example("upper"), example("scan") + " -f"]


class Environment(FerryTest):
    def test_empty_unless_set(self):
        result = pipe([box("env")], env={"SECRET": "of the host", "PATH": os.environ["PATH"]})
        self.assert_clean(result)
        self.assertNotIn(b"SECRET", result.output)

    def test_set_and_taken_over(self):
        result = pipe(
            [box("env")], "--env", "A=1 2", "--env", "HERE", env={"HERE": "x", "PATH": "/bin"}
        )
        self.assert_clean(result)
        self.assertIn(b"A=1 2\n", result.output)
        self.assertIn(b"HERE=x\n", result.output)

    def test_stage_words_are_split_as_by_a_shell(self):
        result = pipe([f"""{box("echo")} 'a  b' "c d" e\\ f '' $HOME *"""])
        self.assert_clean(result)
        self.assertEqual(result.output, b"a  b c d e f  $HOME *\n")


class ReadOnly(FerryTest):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.outside = os.path.join(directory.name, "secret")
        self.inside = os.path.join(directory.name, "open")
        os.mkdir(self.inside)
        self.write(self.outside, "not to be seen\n")
        self.write(os.path.join(self.inside, "file"), "to be seen\n")

    def write(self, path, content):
        with open(path, "w", encoding="ascii") as file:
            file.write(content)

    def cat(self, path, *options):
        return pipe([box(f"cat '{path}'")], *options)

    def assert_hidden(self, result):
        self.assertEqual(result.output, b"")
        self.assertEqual(result.status, 1)
        self.assertRegex(result.errors, "Permission denied|No such file|Too many levels|cross-device")
        self.assert_conserved(result)

    def test_file_below_it_is_readable(self):
        result = self.cat(os.path.join(self.inside, "file"), "--ro", self.inside)
        self.assert_clean(result)
        self.assertEqual(result.output, b"to be seen\n")

    def test_nothing_is_readable_without_it(self):
        self.assert_hidden(self.cat(os.path.join(self.inside, "file")))
        self.assert_hidden(self.cat("/etc/fstab"))

    def test_no_way_out_by_dots(self):
        for path in ("../secret", "./../secret", "x/../../secret"):
            with self.subTest(path):
                self.assert_hidden(self.cat(os.path.join(self.inside, path), "--ro", self.inside))

    def test_no_way_out_by_links(self):
        os.symlink(self.outside, os.path.join(self.inside, "absolute"))
        os.symlink("../secret", os.path.join(self.inside, "relative"))
        os.symlink("..", os.path.join(self.inside, "up"))
        os.symlink("/proc/self/root", os.path.join(self.inside, "root"))
        for path in ("absolute", "relative", "up/secret", "root" + self.outside):
            with self.subTest(path):
                self.assert_hidden(self.cat(os.path.join(self.inside, path), "--ro", self.inside))

    def test_sibling_with_the_same_beginning_is_not_below(self):
        sibling = self.inside + "-more"
        os.mkdir(sibling)
        self.write(os.path.join(sibling, "file"), "not to be seen\n")
        self.assert_hidden(self.cat(os.path.join(sibling, "file"), "--ro", self.inside))

    def test_it_cannot_be_written(self):
        target = os.path.join(self.inside, "new")
        result = pipe([box(f"dd of='{target}'")], "--ro", self.inside, data=b"x")
        self.assertNotEqual(result.status, 0)
        self.assertFalse(os.path.exists(target))

    def test_directory_that_is_not_there(self):
        result = ferry("pipe", "--ro", "/no/such/directory", box("cat"))
        self.assert_error(result, "/no/such/directory")


class Modes(FerryTest):
    """Copy or map, at once or deferred: the same bytes arrive, and the figures say how."""

    data = text(3 * EXTENT + 777)

    def run_aware(self, *options, data=None):
        """Input is a file, so that what the first stage gets does not depend on time."""
        with tempfile.TemporaryFile() as file:
            file.write(data or self.data)
            file.seek(0)
            result = pipe(AWARE, *options, stdin=file)
        self.assert_clean(result)
        self.assertEqual(result.output, on_host_bytes(AWARE, data or self.data))
        return result

    def between(self, result):
        return result.link(result.vm(0)["name"], result.vm(1)["name"])

    def test_auto_takes_what_is_cheaper_between_aware_stages(self):
        data = text(4 * EXTENT)
        link = self.between(self.run_aware(data=data))
        if not huge_pages():
            self.assertEqual(link["bytes_copied"], len(data))
            self.assertEqual(link["bytes_handed_over"], 0)
            return
        self.assertEqual(link["bytes_copied"], 0)
        self.assertEqual(link["bytes_handed_over"], len(data))
        self.assertEqual(link["extents_2m"], 4)

    def test_map(self):
        link = self.between(self.run_aware("--mode", "map"))
        self.assertEqual(link["bytes_copied"], 0)
        self.assertEqual(link["bytes_handed_over"], len(self.data))

    def test_copy(self):
        link = self.between(self.run_aware("--mode", "copy"))
        self.assertEqual(link["bytes_handed_over"], 0)
        self.assertEqual(link["extents_2m"] + link["pages_4k"], 0)
        self.assertGreaterEqual(link["bytes_copied"], len(self.data) - 32 * link["messages"])

    def test_immediate(self):
        """Each message has its exit."""
        result = self.run_aware("--immediate")
        for vm in result.stats["vms"]:
            self.assertGreater(vm["messages_sent"], 0)
            self.assertGreaterEqual(vm["exits_immediate"], vm["messages_sent"])

    def test_deferred(self):
        """No message has an exit of its own, and everything still arrives."""
        result = self.run_aware("--deferred")
        for vm in result.stats["vms"]:
            self.assertGreater(vm["messages_sent"], 0)
            self.assertEqual(vm["exits_immediate"], 0)
            self.assertGreater(vm["exits_natural"], 0)

    def test_polled(self):
        """A thread looks into the rings: no message has an exit, and everything still arrives."""
        cpu = min(os.sched_getaffinity(0))
        for option in ("--polled", f"--polled={cpu}"):
            result = self.run_aware(option)
            for vm in result.stats["vms"]:
                self.assertGreater(vm["messages_sent"], 0)
                self.assertEqual(vm["exits_immediate"], 0)

    def test_polled_on_a_processor_of_its_own(self):
        """One thread is bound to it; all others may run where the command may, which with one
        processor is the same."""
        cpus = os.sched_getaffinity(0)
        with Running([box("yes"), box("cat")], f"--polled={max(cpus)}") as running:
            running.read(1)
            allowed = []
            for task in os.listdir(f"/proc/{running.process.pid}/task"):
                with contextlib.suppress(ProcessLookupError):  # it has ended
                    allowed.append(os.sched_getaffinity(int(task)))
        self.assertGreater(len(allowed), 4)
        self.assertEqual(allowed.count({max(cpus)}), 1 if len(cpus) > 1 else len(allowed))
        self.assertEqual(sum(may == cpus for may in allowed if may != {max(cpus)}),
                         len(allowed) - allowed.count({max(cpus)}))

    def test_direct(self):
        """Short messages go from stage to stage; bytes and pages still pass as ever."""
        stages = [guest("direct - 20000 0 poll 1 mixed"), guest("direct - 0 20000 wait 1")]
        for delivery in ((), ("--immediate",), ("--deferred",)):
            with self.subTest(delivery=delivery):
                result = pipe(stages, "--direct", *delivery)
                self.assert_clean(result)
                link = result.stats["links"][1]
                self.assertGreater(link["pages_4k"], 0)
                self.assertLess(link["messages"], 20000)
        without = pipe(stages)
        self.assertEqual(without.status, 1)
        self.assertIn("the link is not direct", without.errors)

    def test_direct_and_streams(self):
        for stages in (AWARE, [box("cat"), box("tr a-z A-Z")], [AWARE[0], box("cat")]):
            with self.subTest(stages=stages):
                result = pipe(stages, "--direct", data=self.data)
                self.assert_clean(result)
                self.assertEqual(result.output, on_host_bytes(stages, self.data))

    def test_inline_messages_reach_a_plain_reader(self):
        """A plain reader takes nothing from a direct ring, so its messages must not go into one."""
        result = pipe([guest("direct - 500 0 poll 1"), box("wc -c")], "--direct")
        self.assert_clean(result)
        expected = sum(32 if i % 3 == 0 else i % 32 for i in range(500))
        self.assertEqual(int(result.output), expected)

    def test_every_combination_on_unmodified_stages(self):
        stages = [box("cat"), box("tr a-z A-Z"), box("cat")]
        expected = on_host_bytes(stages, self.data)
        for mode in ("auto", "copy", "map"):
            for delivery in ("--immediate", "--deferred"):
                with self.subTest(mode=mode, delivery=delivery):
                    result = pipe(stages, "--mode", mode, delivery, data=self.data)
                    self.assert_clean(result)
                    self.assertEqual(result.output, expected)
                    exits = sum(vm["exits_immediate"] for vm in result.stats["vms"])
                    self.assertEqual(exits == 0, delivery == "--deferred")

    def test_aware_and_unmodified_mix(self):
        stages = [box("cat"), *AWARE, box("sha256sum")]
        result = pipe(stages, data=self.data)
        self.assert_clean(result)
        self.assertEqual(result.output, on_host_bytes(stages, self.data))


class Figures(FerryTest):
    def test_json_holds_what_is_promised(self):
        data = text(MIB)
        result = pipe([box("cat"), box("gzip -c")], data=data)
        self.assert_clean(result)
        stats = result.stats
        self.assertGreater(stats["seconds"], 0)
        self.assertEqual(stats["bytes_in"], len(data))
        self.assertEqual(stats["bytes_out"], len(result.output))
        self.assertEqual(len(stats["vms"]), 2)
        for vm in stats["vms"]:
            self.assertEqual(vm["exit_status"], 0)
            for key in ("exits_immediate", "exits_natural", "messages_sent", "messages_received"):
                self.assertIsInstance(vm[key], int, key)
        ends = [(link["from"], link["to"]) for link in stats["links"]]
        first, second = (vm["name"] for vm in stats["vms"])
        self.assertEqual(ends, [("host", first), (first, second), (second, "host")])
        for link in stats["links"]:
            for key in ("messages", "bytes_handed_over", "bytes_copied", "pages_4k", "extents_2m"):
                self.assertIsInstance(link[key], int, key)
        self.assertEqual(stats["ledger"]["owned"] + stats["ledger"]["lent"], 0)

    def test_exits_by_cause(self):
        """Each exit has one cause. A program that does nothing but calls makes one for each."""
        trace = os.path.join(self.enter_directory(), "trace")
        result = ferry("run", "--stats=json", f"--trace={trace}", box("true").split()[0], "true")
        vm = result.vm(0)
        causes = ("syscall", "call", "doorbell", "exception", "mmio", "refused", "kick", "other")
        exits = [vm[f"exits_{cause}"] for cause in causes]
        self.assertEqual(sum(exits), vm["exits_immediate"] + vm["exits_natural"])
        with open(trace, encoding="ascii") as file:
            calls = sum("(" in line.split("+++")[0] for line in file)
        self.assertGreater(calls, 0)
        self.assertEqual(vm["exits_syscall"], calls)
        self.assertEqual(sum(exits[3:6]) + exits[7], 0)
        self.assertEqual(vm["cpus"], 1)
        for key in ("memory_slots", "mapping_calls"):
            self.assertGreater(vm[key], 0)
        self.assertGreater(result.stats["page_faults"], 0)
        self.assertGreaterEqual(vm["guest_faults"], 0)

    def test_copied_counts_each_copy(self):
        """Bytes are copied out of write, to the receiver if no pages are, and into read."""
        stages = [box("tr a b"), box("tr b c"), box("cat")]
        for mode, data, copies in (
            ("copy", b"a" * 100, 3), ("copy", text(MIB), 3), ("map", text(MIB), 2),
        ):  # fmt: skip
            with self.subTest(mode=mode, bytes=len(data)):
                result = pipe(stages, "--mode", mode, data=data)
                self.assert_clean(result)
                self.assertEqual(result.link("tr", "tr.2")["bytes_copied"], copies * len(data))

    def test_table(self):
        result = ferry("pipe", "--stats", box("cat"), data=b"x")
        self.assert_ends(result, 0, "messages", "\ncopied: bytes that Ferry copied, counted at each")
        self.assertEqual(result.output, b"x")

    def test_nothing_is_said_without_being_asked(self):
        result = ferry("pipe", box("cat"), data=b"x")
        self.assert_ends(result, 0)
        self.assertEqual(result.errors, "")

    def test_verbose_names_a_refused_system_call(self):
        """busybox ping wants a socket, which a VM does not have."""
        result = ferry("pipe", "--verbose", box("ping -c1 127.0.0.1"))
        self.assertNotEqual(result.status, 0)
        self.assertIn("socket", result.errors)


if __name__ == "__main__":
    main()
