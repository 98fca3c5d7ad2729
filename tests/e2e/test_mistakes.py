# SPDX-License-Identifier: BSD-2-Clause
"""What people type wrongly in their first ten minutes gets one line that helps."""

import gzip
import os
import shutil

from harness import BUSYBOX, FerryTest, box, ferry, guest, main, pipe


class Typed(FerryTest):
    """In a directory of its own with a file `words`, and a static program `tool` along PATH."""

    def setUp(self):
        self.directory = self.enter_directory()
        with open("words", "w", encoding="ascii") as file:
            file.write("the one\n")
        os.symlink(BUSYBOX, "busybox")
        self.env = dict(os.environ, PATH=f"{self.directory}:{os.environ['PATH']}")

    def check(self, status, arguments, *needles):
        result = ferry(*arguments, env=self.env)
        self.assert_error(result, *needles)
        self.assertEqual(result.status, status)


class Quotes(Typed):
    def test_stage_that_is_not_quoted(self):
        for arguments, stage in (
            (["busybox", "wc", "-l"], "'busybox wc -l'"),
            (["busybox", "cat", "words"], "'busybox cat words'"),
            (["cat", "words"], "'cat words'"),
            (["busybox", "cat", "/etc"], "'busybox cat /etc'"),
            (["busybox wc", "-l"], "'busybox wc -l'"),
            (["busybox df", "-Z"], "'busybox df -Z'"),
            (["busybox", "df", "-h"], "'busybox df -h'"),
            (["busybox cat", "busybox", "wc", "-l"], "... 'busybox wc -l'"),
            (["busybox", "wc", "-l", "busybox cat"], "'busybox wc -l' ..."),
        ):
            with self.subTest(arguments):
                result = ferry("pipe", *arguments, env=self.env)
                self.assert_error(result, "quote it whole: ferry pipe")
                self.assertIn(f"{stage}\n", result.errors)

    def test_file_that_is_no_program_in_a_stage_that_is_not_quoted(self):
        """The line says that the file is there and that it cannot run."""
        with open("text", "w", encoding="ascii") as file:
            file.write("only words\n")
        os.chmod("text", 0o755)
        self.check(126, ["pipe", "busybox", "./text"], "not an ELF file", "quote it whole")

    def test_program_that_is_quoted_with_its_arguments(self):
        self.check(127, ["run", "busybox wc"], "ferry: run: there is", "do not quote", "ferry run busybox wc$")
        self.check(127, ["run", "busybox wc | busybox cat"], "ferry pipe 'busybox wc \\| busybox cat'")

    def test_file_with_a_blank_in_its_name_runs(self):
        shutil.copy(BUSYBOX, "busybox true")
        self.assert_ends(ferry("run", "busybox true", "true", env=self.env), 0)

    def test_option_after_the_stage(self):
        for option in ("--stats", "--stats=json", "--timeout=5", "-h"):
            with self.subTest(option):
                self.check(2, ["pipe", "busybox cat", option], f"'{option}'",
                           f"before the first stage: ferry pipe {option}")  # fmt: skip

    def test_value_without_its_sign(self):
        self.check(127, ["pipe", "--stats", "json", "busybox cat"], "--stats=json")
        self.check(127, ["run", "--polled", "0", "busybox", "cat"], "--polled=0")


class Shell(Typed):
    """A stage is not read by a shell."""

    def test_pipeline_pasted_whole(self):
        words = gzip.compress(b"the\na\nthe\n")
        for stages in (
            [f"{box('gzip -dc')} | {box('grep -c the')}"],
            [f"{box('gzip -dc')}|{box('grep -c the')}"],
            [f"{box('gzip -dc')} |\n  {box('grep -c the')}\n"],
            [f"{box('cat')} | {box('gzip -dc')}", f"{box('cat')} | {box('grep -c the')}"],
        ):
            with self.subTest(stages):
                result = pipe(stages, data=words)
                self.assert_clean(result)
                self.assertEqual(result.output, b"2\n")
        self.assertEqual([vm["name"] for vm in result.stats["vms"]], ["cat", "gzip", "cat.2", "grep"])

    def test_quoted_bar_is_a_character(self):
        result = pipe([f"""{box("echo")} 'a|b' "c|d" e\\|f | {box("cat")}"""])
        self.assert_clean(result)
        self.assertEqual(result.output, b"a|b c|d e|f\n")

    def test_program_text_that_is_quoted_passes(self):
        for stage in (
            """awk '{ print; n++; if (n > 0 && "a" < "b") print $1 } # $(x) `y`'""",
            """awk "{ print; n++; if (n > 0 && 1 < 2) print \\$1 }" """,
        ):
            with self.subTest(stage):
                result = pipe([box(stage)], data=b"x y\n")
                self.assert_clean(result)
                self.assertEqual(result.output, b"x y\nx\n")

    def test_nothing_between_bars(self):
        for stages, number in (
            (["busybox cat |"], 2), (["| busybox cat"], 1), (["busybox cat | | busybox cat"], 2),
            (["|"], 1), (["busybox", "cat", "|", "busybox", "wc"], 3),
        ):  # fmt: skip
            with self.subTest(stages):
                self.check(2, ["pipe", *stages], f"stage {number} is empty", "one argument")

    def test_bar_between_quoted_stages(self):
        self.check(2, ["pipe", "busybox cat", "|", "busybox wc"], "leave it out between stages")

    def test_line_that_goes_on(self):
        result = pipe([f"{box('echo')} a \\\n b # don't | \n | \\\n {box('cat')} # |"])
        self.assert_clean(result)
        self.assertEqual(result.output, b"a b\n")

    def test_what_only_a_shell_acts_on(self):
        for stage, operator, advice in (
            ("cat > out", ">", "redirect ferry itself"),
            ("cat 2>/dev/null", "2>", "redirect ferry itself"),
            ("cat 2>&1", "2>&1", "redirect ferry itself"),
            ("cat<words", "<", "redirect ferry itself"),
            ("cat; busybox wc", ";", "once for each command"),
            ("cat && busybox wc", "&&", "once for each command"),
            ("cat || busybox wc", "||", "once for each command"),
            ("cat &", "&", "behind the whole command"),
            ("cat |& busybox wc", "|&", "standard error"),
            ("echo $(date)", "$(", "your shell"),
            ("echo `date`", "`", "your shell"),
        ):
            with self.subTest(stage):
                result = ferry("pipe", f"busybox {stage}", env=self.env)
                self.assert_error(result, "only a shell acts on", advice, "or quote it")
                self.assertIn(f"'{operator}'", result.errors)
                self.assertEqual(result.status, 2)
        self.assertEqual(sorted(os.listdir()), ["busybox", "words"])

    def test_word_that_a_shell_knows(self):
        for command in (["run", "cd", "/"], ["pipe", "cd /"], ["pipe", "export A=b"],
                        ["run", "alias"], ["pipe", "shopt -s x"], ["run", "source", "x"]):  # fmt: skip
            with self.subTest(command):
                self.check(127, command, "word of shells", "in your shell")

    def test_variable_before_the_program(self):
        self.check(127, ["run", "A=b", "busybox", "env"], "--env 'A=b'")
        self.check(127, ["pipe", "A=b busybox env"], "--env 'A=b'")

    def test_word_that_was_not_expanded(self):
        """Such a word is for the program to judge, so it is mentioned only if the stage fails."""
        for word in ("*.none", "$NONE", "~/none", '"$NONE"'):
            with self.subTest(word):
                result = ferry("pipe", f"busybox cat {word}", env=self.env)
                self.assertEqual(result.status, 1)
                self.assertRegex(result.errors, r"ferry: stage 1 \(cat\): exit status 1[^\n]*")
                self.assertIn(f"'{word.strip(chr(34))}' went to it as it is", result.errors)
        result = ferry("pipe", "busybox echo *.none $NONE", env=self.env)
        self.assert_ends(result, 0)
        self.assertEqual((result.output, result.errors), (b"*.none $NONE\n", ""))
        result = ferry("pipe", "busybox cat '*.none'", env=self.env)
        self.assertNotIn("as it is", result.errors)


class Commands(Typed):
    def test_program_or_stage_in_place_of_a_command(self):
        self.check(2, ["busybox", "wc"], "ferry run busybox ...")
        self.check(2, ["busybox wc | busybox cat"], "ferry pipe 'busybox wc \\| busybox cat'")

    def test_command_nearly_right(self):
        for word, meant in (("rum", "run"), ("pip", "pipe"), ("docter", "doctor")):
            with self.subTest(word):
                self.check(2, [word], f"did you mean 'ferry {meant}'")
        self.check(2, ["xyzzy"], "'ferry help' lists the commands")

    def test_option_before_the_command(self):
        self.check(2, ["--stats", "pipe", "busybox wc"], "ferry run --stats ...")
        self.check(2, ["--frobnicate"], "unknown option")

    def test_program_nearly_right(self):
        self.check(127, ["run", "bussybox", "wc"], "did you mean 'busybox'")
        self.check(127, ["pipe", "busybxo wc"], "did you mean 'busybox'")
        self.check(127, ["pipe", "nothing-of-this-name"], "give the path of a program")


class Options(Typed):
    def test_directory(self):
        for given, advice in (("~/x", "without '='"), ("/etc:/usr", "once for each"),
                              (os.path.join(self.directory, "words"), "that it is in"),
                              ("/none", "that you may read")):  # fmt: skip
            with self.subTest(given):
                self.check(2, ["run", f"--ro={given}", "busybox", "true"], advice)

    def test_memory_without_its_unit(self):
        self.check(2, ["run", "--mem=256", "busybox", "true"], "write 256M$")
        self.check(2, ["run", "--mem=1K", "busybox", "true"], "holds no program; write more")
        self.check(125, ["run", "--mem=64K", "busybox", "true"], "--mem")

    def test_option_nearly_right(self):
        for option, meant in (("--memory=1G", "--mem"), ("--timeot=3", "--timeout"),
                              ("--stat=json", None), ("-v", "--verbose"), ("-e", "--env"),
                              ("--readonly", None), ("--verbse", "--verbose")):  # fmt: skip
            with self.subTest(option):
                result = ferry("run", option, "busybox", "true", env=self.env)
                if meant:
                    self.assert_error(result, f"did you mean '{meant}'")
                else:
                    self.assertNotIn("did you mean", result.errors)

    def test_end_of_options(self):
        self.assert_ends(ferry("run", "--", "busybox", "true", env=self.env), 0)
        self.assert_ends(ferry("pipe", "--", "busybox true", env=self.env), 0)


class Refused(Typed):
    """A program that fails says what it was refused, and which option allows it."""

    def check_refused(self, text, *arguments):
        result = ferry("run", *arguments, env=self.env)
        self.assertNotEqual(result.status, 0)
        last = result.errors.rstrip("\n").split("\n")[-1]
        self.assertRegex(last, r"\Aferry: [^\n]*exit status [0-9]+; it was refused ")
        self.assertIn(text, last)

    def test_file(self):
        self.check_refused("'/etc/fstab': --ro /etc allows it", "busybox", "cat", "/etc/fstab")
        self.check_refused("'words': --ro . allows it", BUSYBOX, "cat", "words")
        words = os.path.join(self.directory, "words")  # in /tmp, where programs have memory
        self.check_refused(f"'{words}': --ro {self.directory} allows it", "busybox", "cat", words)
        self.check_refused("'/srv': --ro /srv allows it", "busybox", "ls", "/srv")

    def test_file_of_the_kernels_own_state(self):
        """No option shows the file, so none is named, nor are files that every start looks for."""
        for options in ((), ("--ro=/proc",), ("--ro=/",)):
            with self.subTest(options):
                self.check_refused("'/proc/interrupts', which a VM does not have", *options,
                                   "busybox", "cat", "/proc/interrupts")  # fmt: skip
        result = ferry("run", "--ro=/", "busybox", "ls", "/nonexistent", env=self.env)
        self.assertEqual(result.status, 1)
        self.assertNotIn("refused", result.errors)

    def test_advice_is_true(self):
        result = ferry("run", "--ro", ".", "busybox", "cat", "words", env=self.env)
        self.assert_ends(result, 0)
        self.assertEqual(result.output, b"the one\n")
        os.mkdir("below")
        os.chdir("below")
        self.check_refused("'../words': --ro .. allows it", "busybox", "cat", "../words")
        result = ferry("run", "--ro", "..", "busybox", "cat", "../words", env=self.env)
        self.assertEqual(result.output, b"the one\n")

    def test_file_to_write(self):
        self.check_refused("to write '/x': --rw / allows it", "busybox", "dd", "of=/x")

    def test_process_thread_and_network(self):
        self.check_refused("another process: it has as many as --procs allows", "--procs=1", "busybox", "xargs", "ls")
        self.check_refused("a socket: a VM has no network", "busybox", "ping", "127.0.0.1")
        self.check_refused("another thread: it has as many as --threads allows", "--threads=1",
                           guest("thread"))

    def test_memory(self):
        self.check_refused("--mem larger than 16 MiB", "--mem=16M", "busybox", "dd", "bs=64M", "count=1")

    def test_stack(self):
        for options, advice in (((), "no stack is larger"), (("--mem=8M",), "a larger --mem")):
            with self.subTest(options):
                result = ferry("run", *options, guest("overrun"))
                self.assert_error(result, "crashed by SIGSEGV", "overflowed its stack of", advice)
                self.assertEqual(result.status, 139)

    def test_refused_instructions(self):
        """The instruction is decoded, so that the report can name it."""
        told = (
            (("8803", "0", "0x401000"), "wrote to 0x401000, which is read-only"),
            (("cd81",), "made an interrupt that programs must not make"),
        )
        for words, text in told:
            with self.subTest(words):
                result = ferry("run", guest("instruction"), *words)
                self.assert_error(result, "crashed by SIGSEGV", text)
                self.assertEqual(result.status, 139)

    def test_name_is_fit_to_print(self):
        self.check_refused("'/a?[2J?b': --ro / allows it", "busybox", "cat", "/a\x1b[2J\nb")

    def test_of_a_crash_too(self):
        result = ferry("run", "busybox", "sh", "-c", "test -f /etc/fstab; kill -ABRT $$", env=self.env)
        self.assertEqual(result.status, 134)
        self.assertIn("ended by SIGABRT; it was refused '/etc/fstab': --ro", result.errors)

    def test_nothing_is_said_without_need(self):
        for command in (["grep", "none"], ["false"], ["cat", "--ro", ".", "none"]):
            with self.subTest(command):
                options = command[1:3] if "--ro" in command else []
                words = [command[0], command[-1]] if command[1:] else command
                result = ferry("run", *options, "busybox", *words, env=self.env)
                self.assertEqual(result.status, 1)
                self.assertRegex(result.errors, r"exit status 1\n\Z")
        # It succeeded without the file.
        result = ferry("run", "busybox", "sh", "-c", "test -f /etc/fstab; echo on", env=self.env)
        self.assert_ends(result, 0)
        self.assertEqual(result.errors, "")


if __name__ == "__main__":
    main()
