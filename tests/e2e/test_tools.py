# SPDX-License-Identifier: BSD-2-Clause
"""What is for programmers: the library's symbols, and the compiler wrapper."""

import os
import re
import signal
import subprocess
import tempfile

from harness import FERRY, FerryTest, example, guest, main, pipe

FERRY_CC = os.environ["FERRY_CC"]
HEADERS = os.environ["FERRY_HEADERS"].split(":")

STAGE = r"""
#include <ferry/guest.h>
int main(void)
{
    const void *data;
    while (ferry_input(&data) > 0)
        ferry_forward();
    return ferry_close() != 0;
}
"""


# Runs each program it is given in a VM, and says how that ended.
EMBEDDER = r"""
#include <ferry/ferry.h>
#include <stdio.h>
int main(int argc, char **argv)
{
    struct ferry_engine *engine;
    struct ferry_error error;
    if (ferry_engine_create(NULL, &engine, &error) < 0)
        return puts(error.text), 1;
    for (int i = 1; i < argc; i++) {
        struct ferry_vm_config config = {.program = argv[i]};
        struct ferry_vm_exit end;
        struct ferry_vm *vm;
        if (ferry_vm_create(engine, &config, &vm, &error) < 0 || ferry_vm_start(vm, &error) < 0)
            return puts(error.text), 1;
        ferry_vm_wait(vm, UINT64_MAX, &end);
        puts(end.text);
        ferry_vm_destroy(vm);
    }
    ferry_engine_destroy(engine);
    return 0;
}
"""


class Library(FerryTest):
    build = os.path.dirname(FERRY)

    def declared(self):
        declared = set()
        for header in HEADERS:
            with open(header, encoding="utf-8") as file:
                declared |= set(re.findall(r"^FERRY_API[^(;]*?(\w+)\(", file.read(), re.MULTILINE))
        self.assertGreater(len(declared), 20)
        return sorted(declared)

    def test_the_archive_shows_the_functions_of_its_headers_and_no_more(self):
        listing = subprocess.run(
            ["nm", "-g", "--defined-only", os.path.join(self.build, "libferry.a")],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        self.assertEqual(sorted(re.findall(r" [A-Z] (\w+)$", listing, re.MULTILINE)), self.declared())

    def test_a_static_program_runs_vms(self):
        env = dict(os.environ, PKG_CONFIG_PATH=os.path.join(self.build, "meson-uninstalled"))
        flags = subprocess.run(
            ["pkg-config", "--static", "--libs", "ferry"],
            capture_output=True, text=True, check=True, env=env,
        ).stdout.split()  # fmt: skip
        with tempfile.TemporaryDirectory() as directory:
            source, program = (os.path.join(directory, name) for name in ("host.c", "host"))
            with open(source, "w", encoding="ascii") as file:
                file.write(EMBEDDER)
            include = os.path.dirname(os.path.dirname(HEADERS[0]))
            subprocess.run(
                ["gcc", "-static", "-I", include, "-o", program, source, *flags], check=True
            )
            said = subprocess.run(
                [program, guest("nothing"), guest("null_read")],
                capture_output=True, text=True, check=True,
            ).stdout.splitlines()  # fmt: skip
        self.assertEqual(said[0], "exit status 0")
        self.assertIn("crashed by SIGSEGV at rip 0x", said[1])
        self.assertEqual(len(said), 2)

    def test_exports_the_functions_of_its_headers_and_no_more(self):
        declared = self.declared()
        library = os.path.join(self.build, "libferry.so")
        listing = subprocess.run(
            ["nm", "-D", "--defined-only", "--with-symbol-versions", library],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        exported = re.findall(r" T (\w+)@@FERRY_0\.1$", listing, re.MULTILINE)
        self.assertEqual(sorted(exported), declared)
        self.assertEqual(len(re.findall(r" [TDBRVW] ", listing)), len(exported))


class Decoding(FerryTest):
    """examples/decode: a program that decodes files in VMs, and the decoder with a fault."""

    good = "3a2b\n1c\n"
    bad = "3000a\n" * 3 + "99999999999a\n"  # it writes some of that before it crashes

    def decode(self, *files, decoder=None):
        """Its output, and the lines it says, of files with these texts."""
        with tempfile.TemporaryDirectory() as directory:
            paths = [os.path.join(directory, f"file{i}") for i in range(len(files))]
            for path, text in zip(paths, files):
                with open(path, "w", encoding="ascii") as file:
                    file.write(text)
            done = subprocess.run(
                [example("decode"), decoder or example("unpack"), *paths],
                capture_output=True, text=True, check=False, timeout=60,
            )  # fmt: skip
        self.assertEqual(done.returncode, 1 if done.stderr else 0, done.stderr)
        return done.stdout, done.stderr.splitlines()

    def test_the_decoder_has_its_fault_outside_of_a_vm_too(self):
        native = subprocess.run([example("unpack")], input=self.bad, text=True, capture_output=True,
                                check=False)
        self.assertEqual(native.returncode, -signal.SIGSEGV)

    def test_it_survives_what_crashes_the_decoder(self):
        """Nothing of the crash is in the output, and the next file has a fresh machine."""
        output, said = self.decode(self.good, self.bad, self.bad, self.good)
        self.assertEqual(output, "aaabb\nc\n" * 2)
        self.assertEqual(len(said), 2)
        for i, line in enumerate(said, 1):
            self.assertRegex(line, rf"^decode: .*/file{i}: crashed by SIGSEGV at rip 0x[0-9a-f]+ \(\w+")
            self.assertIn("wrote to 0x", line)

    def test_long_input_and_output(self):
        output, said = self.decode("1a\n" * 100000)
        self.assertEqual((output, said), ("a\n" * 100000, []))

    def test_it_bounds_what_a_file_becomes(self):
        output, said = self.decode("4000a\n" * 600, self.good)
        self.assertEqual(output, "aaabb\nc\n")
        self.assertRegex("\n".join(said), r"^decode: .*/file0: it becomes more than 1048576 bytes$")

    def test_a_decoder_that_cannot_run(self):
        output, said = self.decode(self.good, decoder="/etc/passwd")
        self.assertEqual(output, "")
        self.assertRegex("\n".join(said), r"^decode: .*/etc/passwd.*not an ELF file")


class Compiler(FerryTest):
    def compile(self, *options, code=STAGE, env=None):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        source, program = (os.path.join(directory.name, name) for name in ("stage.c", "stage"))
        with open(source, "w", encoding="ascii") as file:
            file.write(code)
        done = subprocess.run(
            [FERRY_CC, *options, "-o", program, source],
            capture_output=True, text=True, check=False, env=env,
        )  # fmt: skip
        return done, program

    def test_one_line_makes_a_stage(self):
        for options in ((), ("-O2", "-g"), ("-static-pie",), ("--musl",)):
            with self.subTest(options):
                done, program = self.compile(*options)
                self.assertEqual((done.returncode, done.stderr), (0, ""))
                result = pipe([program], data=b"through a stage\n")
                self.assert_clean(result)
                self.assertEqual(result.output, b"through a stage\n")

    def test_errors_of_the_compiler_come_through(self):
        done, program = self.compile(code="int main(void) { return x; }")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("undeclared", done.stderr)
        self.assertFalse(os.path.exists(program))

    def test_no_compiler(self):
        done, _ = self.compile(env={"PATH": os.environ["PATH"], "CC": "no-such-compiler"})
        self.assertNotEqual(done.returncode, 0)
        self.assertRegex(done.stderr, r"\Aferry-cc: no-such-compiler: [^\n]+\n\Z")

    def test_help_and_version(self):
        for option, needle in (("--help", "usage: ferry-cc"), ("--version", "ferry-cc 0.")):
            text = subprocess.run(
                [FERRY_CC, option], capture_output=True, text=True, check=True
            ).stdout
            self.assertTrue(text.startswith(needle), text)


if __name__ == "__main__":
    main()
