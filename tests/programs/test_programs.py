# SPDX-License-Identifier: BSD-2-Clause
"""Commands of the distribution, each as an ordinary process and in a VM: same bytes, same status, same files.

`list` holds the commands and says how a line is read. Only its first section runs unless
FERRY_PROGRAMS=all, which is what `make check-programs` sets. Arguments choose commands that hold them.
"""

import concurrent.futures
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

import inputs
from harness import FERRY, PATIENCE, FerryTest
from harness import main as run_tests

HERE = os.path.dirname(os.path.abspath(__file__))
WORKERS = 2
ONE_IN = 4 if "FERRY_SIZE_DIVISOR" in os.environ else 1  # of the commands, where all is emulated


class Command:
    """One line of the list."""

    def __init__(self, line, number):
        self.number = number
        marks, self.line = re.fullmatch(r"((?:[a-z]+: )*)(.*)", line).groups()
        self.marks = set(marks.replace(":", "").split())
        words = shlex.split(self.line)
        self.source = words[words.index("<") + 1] if "<" in words else os.devnull
        self.words = words[: words.index("<")] if "<" in words else words

    def why_not(self):
        if self.number % ONE_IN:
            return "an emulated machine runs some of the commands"
        if "CC1" in self.words and not os.path.isabs(compiler_proper()):
            return "no cc1 here"
        return None if self.words[0] == "CC1" or shutil.which(self.words[0]) else f"no {self.words[0]} here"


class Outcome:
    """What came of a run: status, both outputs, and the files that it wrote."""

    def __init__(self, done, directory):
        self.status, self.output = done.returncode, done.stdout
        said = done.stderr.decode(errors="replace").splitlines()
        self.errors = [line for line in said if not line.startswith("ferry: ")]
        self.of_ferry = [line for line in said if line.startswith("ferry: ")]
        self.files = {}
        for top, directories, names in os.walk(directory):
            for name in directories + names:
                path = os.path.join(top, name)
                self.files[os.path.relpath(path, directory)] = what_is_in(path)


def what_is_in(path):
    """The bytes of a file, the mode of anything else, the target of a link."""
    if os.path.islink(path):
        return os.readlink(path)
    if not os.path.isfile(path):
        return os.stat(path).st_mode
    with open(path, "rb") as file:
        return file.read()


def compiler_proper():
    if not shutil.which("gcc"):
        return ""
    return subprocess.run(["gcc", "-print-prog-name=cc1"], capture_output=True, text=True, check=True).stdout.strip()


def read_list():
    """The commands to run, and those that make further inputs."""
    everything, commands, makers = os.environ.get("FERRY_PROGRAMS") == "all", [], []
    with open(os.path.join(HERE, "list"), encoding="utf-8") as lines:
        for line in map(str.strip, lines):
            if line.startswith("[") and commands and not everything:
                break
            if not line or line[0] in "#[":
                continue
            if line.startswith("make: "):
                makers.append(line.removeprefix("make: "))
            else:
                commands.append(Command(line, len(commands)))
    return commands, makers


class Bench:
    """The inputs, and a place for each command to write to."""

    def __init__(self):
        self.top = tempfile.TemporaryDirectory(prefix="ferry-programs-")
        self.inputs, self.home = os.path.join(self.top.name, "in"), os.path.join(self.top.name, "home")
        os.mkdir(self.inputs)
        os.mkdir(self.home)
        inputs.write_all(self.inputs)
        self.env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": self.home, "TZ": "UTC"}

    def make(self, maker):
        """Another input, made by a program; one whose program is missing stays away."""
        subprocess.run(["sh", "-c", maker], cwd=self.inputs, env=self.env, stdin=subprocess.DEVNULL,
                       capture_output=True, check=False, timeout=PATIENCE)  # fmt: skip

    def run(self, command, prefix, out):
        shutil.rmtree(out, ignore_errors=True)
        os.mkdir(out)
        words = [word.replace("OUT", out) for word in command.words]
        if words[0] == "CC1":
            words[0] = compiler_proper()
        path = os.path.join(self.inputs, command.source)
        with subprocess.Popen(["cat", path], stdout=subprocess.PIPE) as source:
            done = subprocess.run(
                [*prefix, *words], stdin=source.stdout, cwd=self.inputs, env=self.env,
                capture_output=True, check=False, timeout=PATIENCE,
            )  # fmt: skip
            source.stdout.close()
        return Outcome(done, out)

    def both(self, command):
        """The process's outcome and the VM's, one after the other at the same place."""
        out = os.path.join(self.top.name, f"out{command.number}")
        prefix = [FERRY, "run", "--ro", self.inputs, "--rw", out, "--mem", "2G"]
        for name in self.env:
            prefix += ["--env", name]
        native = self.run(command, [], out)
        return native, self.run(command, prefix, out)


class Programs(FerryTest):
    """A test for each command is added below."""

    bench = pool = None
    ends = {}  # by command: its outcomes, when they are there

    @classmethod
    def setUpClass(cls):
        cls.bench = Bench()
        for maker in MAKERS:
            cls.bench.make(maker)
        cls.pool = concurrent.futures.ThreadPoolExecutor(WORKERS)
        for command in COMMANDS:
            if not command.why_not():
                cls.ends[command] = cls.pool.submit(cls.bench.both, command)

    @classmethod
    def tearDownClass(cls):
        cls.pool.shutdown()
        cls.bench.top.cleanup()

    def compare(self, command):
        if reason := command.why_not():
            self.skipTest(reason)
        native, ferry = self.ends[command].result()
        said = f"\nprocess: {native.errors[-5:]}\nVM: {ferry.errors[-5:]}\n{ferry.of_ferry}"
        self.assertEqual(native.status, ferry.status, said)
        self.assertEqual(native.status, 1 if "fails" in command.marks else 0, said)
        self.assertTrue(native.output or native.files or native.errors or "quiet" in command.marks, "it does nothing")
        self.assertEqual(native.output[:10000], ferry.output[:10000], said)
        self.assertTrue(native.output == ferry.output, said)
        if "errors" not in command.marks:
            self.assertEqual(native.errors, ferry.errors)
        self.assertEqual(sorted(native.files), sorted(ferry.files), said)
        for name, content in native.files.items():
            self.assertTrue(content == ferry.files[name], f"{name} differs{said}")


COMMANDS, MAKERS = read_list()
if len(sys.argv) > 1:
    COMMANDS = [command for command in COMMANDS if any(word in command.line for word in sys.argv[1:])]
    del sys.argv[1:]
for one in COMMANDS:
    setattr(Programs, f"test_{one.number:03d} {one.line}", lambda self, one=one: self.compare(one))

if __name__ == "__main__":
    run_tests()
