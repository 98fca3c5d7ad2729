# SPDX-License-Identifier: BSD-2-Clause
"""Each thing that can be wrong has its own one-line message and a status that is not 0."""

import contextlib
import os
import re
import shutil
import subprocess
import tempfile

from harness import BUSYBOX, FERRY, FerryTest, box, can_unshare, ferry, guest, main, pipe

NOBODY = 65534
ELF_MACHINE_OFFSET = 18
MACHINE_AARCH64 = 183


class Machine(FerryTest):
    def without_device(self, arrange):
        unshare = can_unshare()
        if not unshare:
            self.skipTest("no right to a mount namespace")
        return [*unshare, "sh", "-c", f'{arrange} && exec "$0" "$@"']

    def test_no_dev_kvm(self):
        prefix = self.without_device("mount -t tmpfs none /dev")
        result = ferry("pipe", box("cat"), prefix=prefix)
        self.assert_error(result, "/dev/kvm", "(?i)no such|not exist|does not|is not there|no /dev")

    def test_dev_kvm_is_something_else(self):
        prefix = self.without_device("mount --bind /dev/null /dev/kvm")
        result = ferry("pipe", box("cat"), prefix=prefix)
        self.assert_error(result, "/dev/kvm")

    def test_no_right_to_dev_kvm(self):
        if os.geteuid() != 0:
            self.skipTest("only root can become somebody without the right")
        if os.stat("/dev/kvm").st_mode & 0o006 == 0o006:
            self.skipTest("everybody may use /dev/kvm here")
        # A copy, because others may not reach the build directory.
        with tempfile.TemporaryDirectory() as directory:
            os.chmod(directory, 0o755)
            build = os.path.dirname(FERRY)
            shutil.copy(FERRY, directory)
            for name in os.listdir(build):
                if name.startswith("libferry.so") and os.path.isfile(os.path.join(build, name)):
                    shutil.copy(os.path.join(build, name), directory)
            done = subprocess.run(
                ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
                 os.path.join(directory, "ferry"), "pipe", box("cat")],
                env={"LD_LIBRARY_PATH": directory}, input=b"", capture_output=True, check=False,
            )  # fmt: skip
        errors = done.stderr.decode()
        self.assertGreater(done.returncode, 0)
        self.assertRegex(errors, r"\Aferry: [^\n]*/dev/kvm[^\n]*\n\Z")
        self.assertRegex(errors, "(?i)permission|right")
        self.assertIn("kvm", errors)


class Programs(FerryTest):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)

    def file(self, name, content, mode=0o755):
        path = os.path.join(self.directory.name, name)
        with open(path, "wb") as file:
            file.write(content)
        os.chmod(path, mode)
        return path

    def busybox_bytes(self):
        with open(BUSYBOX, "rb") as file:
            return bytearray(file.read())

    def test_not_found(self):
        result = ferry("pipe", "no-such-program-anywhere -x")
        self.assert_error(result, "no-such-program-anywhere", "not found|No such file")
        self.assertEqual(result.status, 127)

    def test_path_not_found(self):
        result = ferry("pipe", "/no/such/program")
        self.assert_error(result, "/no/such/program")
        self.assertEqual(result.status, 127)

    def test_not_an_elf_file(self):
        path = self.file("text", b"only words\n")
        result = ferry("pipe", path)
        self.assert_error(result, path, "ELF")
        self.assertEqual(result.status, 126)

    def test_script_without_its_interpreter(self):
        path = self.file("script", b"#!/no/such/sh -e\necho no\n")
        result = ferry("pipe", path)
        self.assert_error(result, path, "its interpreter '/no/such/sh' is not there")
        self.assertEqual(result.status, 127)

    def test_script_that_names_nothing(self):
        for line in (b"#!\n", b"#! \t\n", b"#!/" + 300 * b"x" + b"\n"):
            with self.subTest(line[:9]):
                result = ferry("pipe", self.file("script", line))
                self.assert_error(result, "its first line names no interpreter")
                self.assertEqual(result.status, 126)

    def test_script_that_interprets_itself(self):
        path = os.path.join(self.directory.name, "script")
        self.file("script", f"#!{path}\n".encode())
        result = ferry("pipe", "--ro", self.directory.name, path)
        self.assert_error(result, path, "more than 5")
        self.assertEqual(result.status, 126)

    def test_empty_file(self):
        self.assert_error(ferry("pipe", self.file("empty", b"")), "empty")

    def test_cut_short(self):
        path = self.file("cut", bytes(self.busybox_bytes()[:1000]))
        self.assert_error(ferry("pipe", path), path)

    def test_directory(self):
        self.assert_error(ferry("pipe", self.directory.name), "directory|ELF|Permission")

    def test_not_a_regular_file(self):
        fifo = os.path.join(self.directory.name, "fifo")
        os.mkfifo(fifo, 0o755)
        for path in ("/dev/zero", fifo):
            with self.subTest(path):
                result = ferry("pipe", path)
                self.assert_error(result, path, "not a regular file")
                self.assertEqual(result.status, 126)

    def dynamic(self, name, loader):
        """A dynamic program that names this loader."""
        path = os.path.join(self.directory.name, name)
        subprocess.run(
            ["gcc", "-x", "c", "-", "-o", path, f"-Wl,--dynamic-linker={loader}"],
            input=b"int main(void) { return 0; }", check=True,
        )  # fmt: skip
        return path

    def test_dynamic_without_its_loader(self):
        result = ferry("pipe", self.dynamic("lost", "/no/such/ld.so"))
        self.assert_error(result, "its loader '/no/such/ld.so' is not there")
        self.assertEqual(result.status, 127)

    def test_loader_that_is_none(self):
        text = self.file("text", b"only words\n")
        result = ferry("pipe", "--ro", self.directory.name, self.dynamic("odd", text))
        self.assert_error(result, "odd'.*loader", "not an ELF file")
        self.assertEqual(result.status, 126)

    def test_loader_that_may_not_run(self):
        text = self.file("text", b"only words\n", mode=0o644)
        result = ferry("pipe", "--ro", self.directory.name, self.dynamic("odd", text))
        self.assert_error(result, "loader '.*text' is no file that may be run")
        self.assertEqual(result.status, 126)

    def test_wrong_machine(self):
        content = self.busybox_bytes()
        content[ELF_MACHINE_OFFSET : ELF_MACHINE_OFFSET + 2] = MACHINE_AARCH64.to_bytes(2, "little")
        result = ferry("pipe", self.file("arm", bytes(content)))
        self.assert_error(result, "x86-64")
        self.assertEqual(result.status, 126)

    def test_one_bad_stage_of_three_starts_nothing(self):
        result = ferry("pipe", box("echo x"), "no-such-program-anywhere", box("cat"))
        self.assert_error(result, "no-such-program-anywhere")

    def test_image_larger_than_the_memory_allowed(self):
        self.assert_error(ferry("pipe", "--mem", "1M", box("cat")), "memory")

    def test_program_runs_out_of_memory(self):
        """Past --mem the program is told ENOMEM, says so itself and fails; nothing else does."""
        result = ferry(
            "pipe", "--stats=json", "--mem", "16M", box("dd bs=64M count=1"), data=b"x" * 100
        )
        self.assertEqual(result.status, 1)
        self.assertIn("memory", result.errors)
        self.assert_conserved(result)

    def test_program_runs_out_of_pool(self):
        """A program that asks the pool for more than its share is refused with an error number."""
        result = ferry("pipe", "--stats=json", guest("pool_hog"))
        self.assert_ends(result, 0)
        self.assertRegex(result.output.decode(), "EDQUOT|ENOMEM")
        self.assert_conserved(result)


class Usage(FerryTest):
    def check(self, arguments, *needles):
        result = ferry(*arguments)
        self.assert_error(result, *needles)
        self.assertEqual(result.status, 2)

    def test_no_command(self):
        self.check([], "help")

    def test_unknown_command(self):
        self.check(["sail"], "sail")

    def test_no_stage(self):
        self.check(["pipe"], "stage|STAGE")

    def test_empty_stage(self):
        self.check(["pipe", ""], "empty|stage")

    def test_unknown_option(self):
        self.check(["pipe", "--frobnicate", "x"], "--frobnicate")

    def test_option_without_its_value(self):
        self.check(["pipe", "--mem"], "--mem")

    def test_values_that_make_no_sense(self):
        for option in ("--mem=lots", "--mem=-1", "--mem=0", "--mem=99999999999999999999",
                       "--mem=100G", "--mem=33G",
                       "--timeout=soon", "--threads=0", "--threads=1025", "--threads=-1", "--threads=2x", "--procs=0", "--procs=1025", "--timeout=-1", "--cpu=much", "--mode=fast", "--stats=xml",
                       "--env==x"):  # fmt: skip
            with self.subTest(option):
                self.check(["pipe", option, box("cat")], option.split("=")[0])

    def test_values_are_quoted(self):
        for option in ("--mem", "--ro", "--timeout", "--mode"):
            with self.subTest(option):
                self.check(["pipe", option, "", box("cat")], f"{option} ''")

    def test_directory_of_ro(self):
        for path in ("/no/such/directory", FERRY):
            with self.subTest(path):
                self.check(["pipe", "--ro", path, box("cat")], f"--ro '{path}'")

    def test_options_come_first(self):
        self.check(["pipe", box("cat"), "--stats"], "--stats", "before the first stage")

    def test_too_many_stages(self):
        self.check(["pipe", *[box("cat")] * 129], "129 stages", "128")

    def test_quote_left_open(self):
        self.check(["pipe", "busybox echo 'open"], "quote")

    def test_polled_on_no_processor(self):
        for word in ("x", "-1", "100000", ""):
            self.check(["pipe", f"--polled={word}", box("cat")], "processor")

    def test_immediate_and_deferred(self):
        """The two options contradict each other, wherever they stand."""
        for options in (("--immediate", "--deferred"), ("--deferred", "--polled", "--immediate")):
            for command in ("pipe", "run"):
                self.check([command, *options, box("cat")], "--immediate and --deferred")

    def test_immediate_or_deferred_twice(self):
        """Either option may be given twice, as any option may."""
        for option, immediate in (("--immediate", True), ("--deferred", False)):
            with self.subTest(option):
                result = ferry("pipe", "--stats=json", option, option, box("cat"), data=b"x")
                self.assertEqual(result.status, 0)
                self.assertEqual(result.vm(0)["messages_sent"], 1)
                self.assertEqual(result.vm(0)["exits_immediate"], 1 if immediate else 0)


class Bench(FerryTest):
    """What is wrong with a command line shows at once, before anything is measured."""

    def check(self, arguments, *needles):
        result = ferry("bench", *arguments)
        self.assert_error(result, *needles)
        self.assertEqual(result.status, 2)

    def test_unknown_part(self):
        self.check(["stream", "sailing"], "'sailing'", "--help")

    def test_unknown_option(self):
        self.check(["--frobnicate"], "--frobnicate", "--help")

    def test_number_of_rounds(self):
        for rounds in ("-1", "0", "many", "1001"):
            with self.subTest(rounds):
                self.check([f"--rounds={rounds}"], "rounds")

    def test_floors(self):
        with tempfile.NamedTemporaryFile("w") as file:
            self.check(["--floors=/no/such/file"], "/no/such/file")
            for text in ('{}', '[{}]', '[{"part": 1}]', 'no JSON'):
                with self.subTest(text):
                    file.seek(0)
                    file.truncate()
                    file.write(text)
                    file.flush()
                    self.check([f"--floors={file.name}"], file.name)

    def test_what_cannot_be_written_is_told_before_the_work(self):
        with tempfile.TemporaryDirectory() as directory:
            # Where no gnuplot is found, plots are left out and nothing is refused.
            os.symlink("/bin/false", os.path.join(directory, "gnuplot"))
            env = dict(os.environ, PATH=f"{directory}:{os.environ['PATH']}")
            for option in ("--json=/no/such/file", f"--plots={os.devnull}/plots"):
                with self.subTest(option):
                    result = ferry("bench", option, env=env)
                    self.assert_error(result, option.partition("=")[2])
                    self.assertEqual((result.status, result.output), (1, b""))

    def test_no_such_row_or_way(self):
        for option in ("--row=3 B", "--way=pigeon"):
            with self.subTest(option):
                result = ferry("bench", option, "stream")
                self.assert_error(result, "row or way")
                self.assertEqual(result.status, 2)

    def test_help_and_version(self):
        text = ferry("bench", "--help")
        self.assert_ends(text, 0)
        self.assertRegex(text.output.decode(), r"ferry bench(.|\n)*\n  stream ")
        version = ferry("bench", "--version")
        self.assertRegex(version.output.decode(), r"\Aferry \d+\.\d+\.\d+\n\Z")

    def test_no_dev_kvm(self):
        unshare = can_unshare()
        if not unshare:
            self.skipTest("no right to a mount namespace")
        prefix = [*unshare, "sh", "-c", 'mount -t tmpfs none /dev && exec "$0" "$@"']
        result = ferry("bench", "stream", prefix=prefix)
        self.assert_error(result, "cannot run here", "ferry doctor")
        self.assertEqual(result.status, 125)

    def test_program_is_missing(self):
        with tempfile.TemporaryDirectory() as directory:
            shutil.copy(FERRY, directory)
            done = subprocess.run(
                [os.path.join(directory, "ferry"), "bench"],
                env={"LD_LIBRARY_PATH": os.path.dirname(FERRY)},
                input=b"", capture_output=True, check=False,
            )  # fmt: skip
        self.assertEqual(done.returncode, 127)
        self.assertRegex(done.stderr.decode(), r"\Aferry: bench: [^\n]*ferry-bench[^\n]*\n\Z")


class Help(FerryTest):
    def test_help_and_version_everywhere(self):
        for command in ([], ["pipe"], ["run"], ["doctor"]):
            with self.subTest(command):
                text = ferry(*command, "--help")
                self.assert_ends(text, 0)
                self.assertIn(b"Usage: ferry", text.output)
                self.assertEqual(text.errors, "")
                version = ferry(*command, "--version")
                self.assert_ends(version, 0)
                self.assertRegex(version.output.decode(), r"\Aferry \d+\.\d+\.\d+\n\Z")

    def test_doctor_measures(self):
        result = ferry("doctor")
        self.assert_ends(result, 0)
        for word in ("kvm", "max_map_count", "huge", "exit", "crossover"):
            self.assertIn(word, result.output.decode().lower().replace("-", "_"))

    def test_doctor_keeps_what_it_measured(self):
        kept = os.path.join(os.environ["XDG_CACHE_HOME"], "ferry", "crossover")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(kept)
        while not os.path.exists(kept):  # it is not kept while others need all cores
            self.assertIn(kept, ferry("doctor").output.decode())
        with open(kept, encoding="ascii") as file:
            before = file.read()
        self.assertRegex(before, r"copy_ns=[0-9]+\nend\n\Z")
        self.assert_ends(pipe([box("cat")]), 0)
        with open(kept, encoding="ascii") as file:
            self.assertEqual(file.read(), before)
        while "KiB in place of" not in (text := ferry("doctor").output.decode()):
            self.assertIn("not kept", text)

    def test_no_cache_directory_is_no_error(self):
        env = dict(os.environ, XDG_CACHE_HOME="/proc/none")
        result = pipe([box("cat")], data=b"through", env=env)
        self.assert_clean(result)
        self.assertEqual(result.output, b"through")


class Doctor(FerryTest):
    """Without KVM, for root and others, with few commands and with many."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = directory.name
        os.chmod(self.path, 0o755)

    def doctor(self, *prefix):
        unshare = can_unshare()
        if not unshare:
            self.skipTest("no right to a mount namespace")
        script = 'mount -t tmpfs none /dev && PATH=$0 exec "$@"'
        whole = [shutil.which(prefix[0]), *prefix[1:]] if prefix else []
        result = ferry("doctor", prefix=[*unshare, "sh", "-c", script, self.path, *whole])
        self.assertEqual(result.status, 1, result.errors)
        return result.output.decode()

    def commands(self, text):
        """What it says to type: the commands, without what makes root of one."""
        found = set()
        for line in re.findall(r"type: ([^\n]*)", text):
            for part in re.split(r"\|\|?|&&|, then|>", line):
                words = part.replace("sudo ", "").replace('su -c "', "").split()
                found.update(words[:1])
        return found

    def assert_exist(self, text):
        path = f"{self.path}:/usr/sbin:/sbin:/usr/local/sbin"
        source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
        for command in self.commands(text) - {"echo"}:
            there = shutil.which(command, path=path) or os.path.exists(f"{source}/{command}")
            self.assertTrue(there, f"{command}: in {text}")
        for command in ("sudo", "make"):
            if not shutil.which(command, path=path):
                self.assertNotIn(f"{command} ", text.replace("make KVM usable", ""))

    def stub(self, name):
        path = os.path.join(self.path, name)
        with open(path, "w", encoding="ascii") as file:
            file.write("#!/bin/sh\n")
        os.chmod(path, 0o755)

    def test_names_only_commands_that_exist(self):
        text = self.doctor()
        for needle in ("no working /dev/kvm", "nested virtualisation", "two ways on", "lab/run -- "):
            self.assertIn(needle, text)
        self.assert_exist(text)
        for name in ("modprobe", "make", "sudo"):
            self.stub(name)
            text = self.doctor()
            self.assert_exist(text)
        self.assertRegex(text, "type: modprobe kvm_(intel|amd)\n" if os.geteuid() == 0 else "sudo")
        self.assertIn("make lab", text)

    def test_how_to_become_root(self):
        if os.geteuid() != 0:
            self.skipTest("only root can become somebody else")
        nobody = ["setpriv", "--reuid=54321", "--inh-caps=+dac_override",
                  "--ambient-caps=+dac_override"]  # fmt: skip
        self.stub("modprobe")
        self.assertRegex(self.doctor(*nobody), "as root type: modprobe kvm")
        self.stub("su")
        self.assertRegex(self.doctor(*nobody), 'type: su -c "modprobe kvm_[a-z]*"')
        self.stub("sudo")
        self.assertRegex(self.doctor(*nobody), "type: sudo modprobe kvm")


class Cache(FerryTest):
    """Where the command keeps what it measured."""

    def setUp(self):
        self.directory = self.enter_directory()

    def files(self):
        return [os.path.join(place, name) for place, _, names in os.walk(".") for name in names]

    def run_with(self, **variables):
        env = {"PATH": os.environ["PATH"], **variables}
        for name in ("HOME", "XDG_CACHE_HOME"):
            env.setdefault(name, "")
        self.assert_clean(pipe([box("true")], env=env))

    def test_relative_and_empty_ones_are_ignored(self):
        self.run_with(HOME="home", XDG_CACHE_HOME="cache")
        os.mkdir("home")
        self.run_with(HOME="home", XDG_CACHE_HOME="./cache")
        self.run_with()
        self.assertEqual(sorted(os.listdir()), ["home"])
        self.assertEqual(self.files(), [])

    def test_home_that_is_not_there_is_not_made(self):
        self.run_with(HOME=os.path.join(self.directory, "none"))
        self.assertEqual(os.listdir(), [])

    def test_missing_variables(self):
        env = {"PATH": os.environ["PATH"]}
        self.assert_clean(pipe([box("true")], env=env))

    def test_home_in_place_of_a_relative_cache(self):
        os.mkdir("home")
        env = {"PATH": os.environ["PATH"], "HOME": os.path.join(self.directory, "home")}
        env["XDG_CACHE_HOME"] = "relative"
        while not self.files():  # it is not kept while others need all cores
            self.assertIn(env["HOME"], ferry("doctor", env=env).output.decode())
        self.assertEqual(self.files(), ["./home/.cache/ferry/crossover"])


if __name__ == "__main__":

    main()
