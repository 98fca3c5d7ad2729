# SPDX-License-Identifier: BSD-2-Clause
"""Dynamic programs and scripts run as ordinary processes do: the same bytes, the same status."""

import gzip
import os
import re
import shutil
import subprocess
import tempfile

from harness import FerryTest, Running, ferry, guest, main, pipe

# What a program finds at its start; nothing of it depends on where things are.
START = r"""
#include <elf.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>

extern char _start[];

int main(int argc, char **argv)
{
    const Elf64_Ehdr *loader = (const Elf64_Ehdr *)getauxval(AT_BASE);
    const Elf64_Phdr *header = (const Elf64_Phdr *)getauxval(AT_PHDR);
    int segments = 0, named = 0;

    for (unsigned long i = 0; i < getauxval(AT_PHNUM); i++) {
        segments += header[i].p_type == PT_LOAD;
        named += header[i].p_type == PT_INTERP;
    }
    printf("loader %d, entry %d, segments %d, named %d\n",
           loader && !memcmp(loader->e_ident, ELFMAG, SELFMAG),
           getauxval(AT_ENTRY) == (unsigned long)_start, segments, named);
    printf("started as %s\n", (const char *)getauxval(AT_EXECFN));
    for (int i = 0; i < argc; i++)
        printf("[%s]\n", argv[i]);
    return 7;
}
"""

# The file system of the host, read-only, so that the libraries are where they are for processes.
SEEN = ["--ro", "/"]


# Crashes in a function of a library that it names: one that is loaded with it, or (dlopen) later.
CRASH = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static void *crash(void *name)
{
    void *library = dlopen(name, RTLD_NOW);
    void (*function)(char *) = (void (*)(char *))dlsym(library, "write_there");

    pthread_setname_np(pthread_self(), "writer");
    function(NULL);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t thread;

    if (argc < 2)
        puts((char *)8); /* the C library reads from there */
    pthread_create(&thread, NULL, crash, argv[1]);
    pthread_join(thread, NULL);
    return 0;
}
"""

LIBRARY = r"""
void write_there(char *to);
void write_there(char *to)
{
    *(volatile char *)to = 1;
}
"""

# Looks up each segment of each library in /proc/self/maps, as garbage collectors and backtraces do.
SEGMENTS = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Whether all of [start, end) is in lines with these rights, and what it is called at the start. */
static int look(unsigned long start, unsigned long end, char *name)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[5000];

    name[0] = 0;
    while (start < end && fgets(line, sizeof(line), maps)) {
        unsigned long from, to;
        char path[4096] = "";

        sscanf(line, "%lx-%lx %*s %*s %*s %*s %4095[^\n]", &from, &to, path);
        if (from > start || to <= start)
            continue;
        if (!name[0])
            strcpy(name, path);
        start = to;
    }
    fclose(maps);
    return start >= end;
}

static int object(struct dl_phdr_info *info, size_t size, void *unused)
{
    (void)size;
    (void)unused;
    if (strstr(info->dlpi_name, "vdso"))
        return 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        unsigned long start = info->dlpi_addr + header->p_vaddr;
        char name[4096], *real = realpath(info->dlpi_name[0] ? info->dlpi_name : "/proc/self/exe", NULL);

        if (header->p_type != PT_LOAD)
            continue;
        printf("%s %d: ", info->dlpi_name, i);
        printf("%d, ", look(start, start + header->p_memsz, name));
        printf("%s is its name: %d\n", name, real && strcmp(real, name) == 0);
        free(real);
    }
    return 0;
}

int main(void)
{
    dlopen("libm.so.6", RTLD_NOW);
    dl_iterate_phdr(object, NULL);
    return 0;
}
"""


class Compared(FerryTest):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)

    def path(self, name):
        return os.path.join(self.directory.name, name)

    def file(self, name, text, mode=0o755):
        with open(self.path(name), "w", encoding="ascii") as file:
            file.write(text)
        os.chmod(self.path(name), mode)
        return self.path(name)

    def build(self, name, compiler, *flags, text=START):
        subprocess.run(
            [compiler, "-x", "c", "-", "-o", self.path(name), *flags],
            input=text.encode(), check=True,
        )  # fmt: skip
        return self.path(name)

    def assert_same(self, *command, data=b""):
        """As a process, and in Ferry."""
        native = subprocess.run(command, input=data, capture_output=True, check=False)
        result = ferry("run", *SEEN, *command, data=data)
        self.assertEqual(result.output, native.stdout, result.errors)
        self.assertEqual(result.status, native.returncode, result.errors)
        return result


class Programs(Compared):
    def test_mappings_have_names(self):
        for flags in (["-pie", "-fPIE"], ["-no-pie"]):
            with self.subTest(flags):
                program = self.build("segments", "gcc", *flags, "-ldl", text=SEGMENTS)
                result = self.assert_same(program)
                self.assertGreater(result.output.count(b": 1, "), 10)
                self.assertNotIn(b": 0", result.output)

    def test_kinds(self):
        """Each C library's loader; position-independent programs and others."""
        for compiler, *flags in (
            ["gcc", "-pie", "-fPIE"],
            ["gcc", "-no-pie"],
            ["gcc", "-pie", "-fPIE", "-Wl,-z,now", "-Wl,-z,noseparate-code"],
            ["musl-gcc", "-no-pie"],
            ["musl-gcc", "-pie", "-fPIE"],
        ):
            if not shutil.which(compiler):
                continue
            with self.subTest(compiler, flags=flags):
                program = self.build("start", compiler, *flags)
                result = self.assert_same(program, "one", "", "two words")
                self.assertIn(b"loader 1, entry 1", result.output)

    def test_pipeline(self):
        data = os.urandom(100_000) + bytes(400_000)
        result = pipe(["gzip -c", "gzip -dc", "gzip -c"], *SEEN, data=data)
        self.assert_clean(result)
        self.assertEqual(gzip.decompress(result.output), data)

    def test_name_along_the_path(self):
        program = self.build("found-along-the-path", "gcc")
        env = {**os.environ, "PATH": self.directory.name}
        result = ferry("run", *SEEN, "found-along-the-path", env=env)
        self.assertEqual(result.status, 7, result.errors)
        self.assertIn(f"started as {program}\n[found-along-the-path]\n", result.output.decode())

    def test_loader_named_by_hand(self):
        program = self.build("start", "gcc")
        loader = subprocess.run(
            ["sh", "-c", f"readelf -l {program} | sed -n 's/.*interpreter: \\(.*\\)]/\\1/p'"],
            capture_output=True, check=True, text=True,
        ).stdout.strip()  # fmt: skip
        result = self.assert_same(loader, program, "one")
        self.assertIn("[one]", result.output.decode())


class Libraries(Compared):
    def mapped(self, *options):
        """Files that the command has mapped while sed runs, which needs libraries that it does not."""
        reader, writer = os.pipe()
        with Running(["sed -u p"], *options, stdin=reader) as running, os.fdopen(writer, "wb") as sender:
            os.close(reader)
            sender.write(b"line\n")
            sender.flush()
            self.assertEqual(running.read(10), b"line\nline\n")
            with open(f"/proc/{running.process.pid}/maps", encoding="ascii") as maps:
                names = {line.split(maxsplit=5)[5].strip() for line in maps if line.count("/") > 0}
            sender.close()
            self.assert_clean(running.end())
        return [name for name in names if "/libacl.so" in name]

    def test_those_of_the_system_are_mapped_as_they_are(self):
        self.assertEqual(len(self.mapped()), 1)

    def test_so_are_others(self):
        (library,) = self.mapped()
        name = os.path.join(self.directory.name, library[: library.index('.so') + 5].rsplit('/', 1)[1])
        shutil.copy(library, name)  # by the name that the loader looks for
        options = ["--ro", self.directory.name, "--env", f"LD_LIBRARY_PATH={self.directory.name}"]
        self.assertEqual(self.mapped(*options), [name])

    def test_a_crash_names_library_and_symbol(self):
        program, library = self.path("crash"), self.path("libwriter.so.1")
        flags = ("-w", "-x", "c", "-", "-o")
        subprocess.run(["gcc", *flags, library, "-shared", "-fPIC"], input=LIBRARY.encode(), check=True)
        subprocess.run(["gcc", *flags, program], input=CRASH.encode(), check=True)
        nm = subprocess.run(["nm", library], capture_output=True, check=True).stdout.decode()
        linked = next(int(line.split()[0], 16) for line in nm.splitlines() if line.endswith(" write_there"))
        result = ferry("run", *SEEN, program, library)
        self.assertEqual(result.status, 139)
        place = re.search(
            r"SIGSEGV at rip 0x[0-9a-f]+ \(write_there\+0x([0-9a-f]+) in libwriter\.so\.1\+0x([0-9a-f]+)\)"
            r" in thread 3 'writer': wrote to 0x0,", result.errors)
        self.assertIsNotNone(place, result.errors)
        self.assertEqual(int(place[2], 16) - int(place[1], 16), linked)
        result = ferry("run", *SEEN, program)
        self.assertRegex(result.errors, r"SIGSEGV at rip 0x[0-9a-f]+ \((\w+\+0x[0-9a-f]+ in )?libc\.so\.6\+0x[0-9a-f]+\)")

    def test_a_library_that_is_not_what_it_was(self):
        """Its name on the disk says nothing about other bytes in memory."""
        program, library = self.path("crash"), self.path("libwriter.so.1")
        flags = ("-w", "-x", "c", "-", "-o")
        subprocess.run(["gcc", *flags, library, "-shared", "-fPIC"], input=LIBRARY.encode(), check=True)
        source = CRASH.replace("function(NULL);", 'rename("/rw/other", "/rw/libwriter.so.1"); function(NULL);')
        source = source.replace("/rw", self.directory.name)
        subprocess.run(["gcc", *flags, program], input=source.encode(), check=True)
        self.file("other", "not a library " * 2000)
        result = ferry("run", *SEEN, "--rw", self.directory.name, program, library)
        self.assertEqual(result.status, 139)
        self.assertRegex(result.errors, r"SIGSEGV at rip 0x[0-9a-f]+ in thread 3 'writer': wrote to 0x0,")


class Scripts(Compared):
    def test_shell(self):
        script = self.file("script", '#!/bin/sh -e\nread word\necho "$0 $1 $word"\nexit 3\n')
        self.assert_same(script, "first", data=b"input\n")

    def test_arguments(self):
        """One argument at most, of the rest of the line; then the script, then what it was given."""
        program = self.build("start", "gcc")
        for line in (
            program,
            f"{program} -x",
            f" \t{program}  \t-x -y \t ",
            f"{program} " + 300 * "a",
        ):
            with self.subTest(line[:40]):
                self.assert_same(self.file("script", f"#!{line}\nmore\n"), "one", "two words")

    def test_line_without_end(self):
        program = self.build("start", "gcc")
        self.assert_same(self.file("script", f"#!{program}"))

    def test_scripts_of_scripts(self):
        """Linux goes through five."""
        inner = self.build("start", "gcc")
        for i in range(1, 6):
            inner = self.file(f"script{i}", f"#!{inner} -{i}\n")
            self.assert_same(inner, "word")
        result = ferry("run", *SEEN, self.file("script6", f"#!{inner}\n"))
        self.assert_error(result, "script6'.*more than 5")
        self.assertEqual(result.status, 126)

    def test_stages(self):
        script = self.file("double", "#!/bin/sed -f\np\n")
        result = pipe([script, script], *SEEN, data=b"a\nb\n")
        self.assert_clean(result)
        self.assertEqual(result.output, b"aaaabbbb".replace(b"a", b"a\n").replace(b"b", b"b\n"))


class Exec(Compared):
    """execve: another program in the same place."""

    def test_what_stays(self):
        source = os.path.join(os.path.dirname(__file__), "../guest/exec_again.c")
        dynamic = self.path("dynamic")
        subprocess.run(["gcc", "-D_GNU_SOURCE", source, "-o", dynamic], check=True)
        for program in (guest("exec_again"), dynamic):
            with self.subTest(program):
                result = self.assert_same(program)
                self.assertEqual(result.status, 5, result.errors)
                result = self.assert_same(program, "fd")
                self.assertEqual(result.status, 5, result.errors)

    def test_commands(self):
        for command in (
            ["env", "-i", "A=b", "printenv"],
            ["sh", "-c", 'exec /bin/echo "$0" "$@"', "x", "1", "2 3"],
            ["sh", "-c", "exec 5</etc/os-release; exec cat <&5"],
            ["sh", "-c", "exec /no/such"],
            ["sh", "-c", "exec /etc/passwd"],
            ["sh", "-c", "exec busybox readlink /proc/self/exe"],
        ):
            with self.subTest(command):
                self.assert_same(*command)

    def test_input_goes_on(self):
        data = b"first\n" + b"x" * 300_000
        self.assert_same("sh", "-c", "read first; exec wc -c", data=data)

    def test_scripts(self):
        inner = self.file("inner", "#!/bin/sh\necho inner \"$@\"\nexec cat\n")
        outer = self.file("outer", f"#!/bin/sh\nexec {inner} one\n")
        self.assert_same(outer, data=b"input\n")

    def test_many_times(self):
        """Each time all memory goes: a program that starts itself without end needs no more of it."""
        script = self.file("again", '#!/bin/sh\n[ "$1" = x$2 ] || exec "$0" "${1}i" "$2"\necho "$1"\n')
        count = 60
        self.assert_same(script, "x", "i" * count)

    def test_symbols_are_those_of_the_new_program(self):
        result = ferry("run", *SEEN, "sh", "-c", f"exec {guest('null_read')}")
        self.assertEqual(result.status, 139)
        self.assertRegex(result.errors, r"SIGSEGV at rip 0x[0-9a-f]+ \(\w+\+0x")

    def test_too_large(self):
        """Refused before the old program is gone."""
        big = self.path("big")
        subprocess.run(
            ["gcc", "-x", "c", "-", "-o", big, "-static"],
            input=b"char memory[100 << 20] = {0}; int main(void) { return memory[1 << 20]; }", check=True,
        )  # fmt: skip
        result = ferry("run", "--mem", "64M", *SEEN, "sh", "-c", f"exec {big}")
        self.assertEqual(result.status, 126, result.errors)
        self.assertIn("memory", result.errors)

    def test_two_programs_at_once(self):
        """Until the old program is gone the copy of the next one counts beside it."""
        next_one, both = self.path("next"), self.path("both")
        for path, source in (
            (next_one, "char memory[20 << 20] = {1}; int main(void) { return memory[0]; }"),
            (both, """#include <stdlib.h>
                #include <string.h>
                #include <stdio.h>
                #include <unistd.h>
                int main(int argc, char **argv)
                {
                    size_t bytes = strtoul(argv[1], NULL, 10) << 20;
                    char *memory = memset(malloc(bytes), 1, bytes);

                    execv(argv[2], argv + 2);
                    perror("execv");
                    return memory[5] + argc;
                }"""),
        ):  # fmt: skip
            subprocess.run(["gcc", "-x", "c", "-", "-o", path, "-static"], input=source.encode(), check=True)
        for held, status, said in (("8", 1, ""), ("48", 4, "execv: Cannot allocate memory\n")):
            with self.subTest(held):
                result = ferry("run", "--mem", "64M", *SEEN, both, held, next_one)
                self.assertEqual(result.status, status, result.errors)
                self.assertTrue(result.errors.startswith(said), result.errors)


if __name__ == "__main__":
    main()
