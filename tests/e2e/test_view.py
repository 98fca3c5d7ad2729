# SPDX-License-Identifier: BSD-2-Clause
"""Which files of the machine a program sees, above all with ferry run by root."""

import os
import shutil
import subprocess
import tempfile

from harness import BUSYBOX, FERRY, FerryTest, ferry, main

# Tries to open each of the names; prints those that it could open.
TRY = ["busybox", "sh", "-c", 'for name; do { true < "$name"; } 2>/dev/null && echo "$name"; done; true', "sh"]

SECRETS = [
    "/etc/shadow", "/etc/gshadow", "/etc/ssl/private", "/etc/machine-id", "/etc/fstab",
    "/etc/../etc/shadow", "/usr/../etc/shadow", "/bin/../etc/./shadow", "/etc/alternatives/../shadow",
    "/root", "/root/.bashrc", "/var/log", "/boot", "/opt", "/srv",
    "/proc/1/environ", "/proc/1/root/etc/shadow", "/proc/self/root/etc/shadow",
    "/proc/self/fd/../../../etc/shadow", "/proc/self/cwd/../etc/shadow", "/proc/kcore", "/proc/kallsyms",
    "/dev/mem", "/dev/kmsg", "/dev/kvm", "/dev/sda", "/dev/vda", "/dev/tty", "/dev/ptmx",
    "/sys/kernel/debug", "/sys/class/dmi/id/product_uuid",
]  # fmt: skip


class View(FerryTest):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.top = directory.name

    def opened(self, names, *options, **more):
        result = ferry("run", *options, *TRY, *names, **more)
        self.assert_ends(result, 0)
        return result.output.decode().split()

    def test_no_secret_is_seen(self):
        for options in ([], ["--bare"], ["--ro", self.top]):
            with self.subTest(options):
                self.assertEqual(self.opened(SECRETS, *options), [])
        self.assertEqual(ferry("run", "busybox", "ls", "-A", "/home").output, b"nobody\n")
        # The test can tell: what is shown is opened.
        self.assertEqual(self.opened(["/usr/bin/env", "/etc/passwd"]), ["/usr/bin/env", "/etc/passwd"])

    def test_planted_links_lead_nowhere(self):
        names = []
        for number, target in enumerate(SECRETS + ["/", "../" * 20 + "etc/shadow"]):
            names.append(os.path.join(self.top, f"link{number}"))
            os.symlink(target, names[-1])
        names += [f"{names[-2]}/etc/shadow", f"{names[-2]}/root"]
        root = names[len(SECRETS)]
        self.assertEqual(self.opened(names, "--ro", self.top), [root])  # the "/" of the view

    def test_descriptors_of_ferry_are_not_the_programs(self):
        with open(os.path.join(self.top, "secret"), "w+b") as file:
            os.set_inheritable(file.fileno(), True)
            names = [f"/proc/self/fd/{n}" for n in range(3, 10)]  # the shell has its own from 10 on
            result = subprocess.run([FERRY, "run", *TRY, *names], pass_fds=[file.fileno()],
                                    stdin=subprocess.DEVNULL, capture_output=True, check=True)  # fmt: skip
        self.assertEqual(result.stdout, b"")

    def test_another_system_takes_the_place_of_this_one(self):
        os.makedirs(os.path.join(self.top, "usr/bin"))
        shutil.copy(BUSYBOX, os.path.join(self.top, "usr/bin/busybox"))
        os.symlink("usr/bin", os.path.join(self.top, "bin"))
        os.symlink("/bin/busybox", os.path.join(self.top, "usr/bin/sh"))
        with open(os.path.join(self.top, "usr/bin/script"), "w", encoding="ascii") as file:
            file.write('#!/bin/sh\necho "$0" "$@"\n')
        os.chmod(os.path.join(self.top, "usr/bin/script"), 0o755)
        result = ferry("run", "--root", self.top, "script", "words")
        self.assert_ends(result, 0)
        self.assertEqual(result.output, b"/usr/bin/script words\n")
        self.assertEqual(self.opened([*SECRETS, "/usr/bin/env", self.top], "--root", self.top), [])
        result = ferry("run", "--root", self.top, "no-such-tool")
        self.assert_error(result, "no-such-tool", "--root")
        self.assertEqual(result.status, 127)

    def test_the_working_directory_is_the_hosts_where_it_is_seen(self):
        before = os.getcwd()
        self.addCleanup(os.chdir, before)
        for where, expected in (("/usr/bin", "/usr/bin"), ("/root", "/"), ("/", "/")):
            if not os.access(where, os.X_OK):
                continue
            os.chdir(where)
            result = ferry("run", "busybox", "pwd")
            self.assertEqual(result.output.decode(), expected + "\n")

    def test_bare_shows_libraries_alone(self):
        names = ["/usr/bin/env", "/usr/lib/os-release", "/etc/services", "/etc/ld.so.cache"]
        cache = [name for name in names[-1:] if os.path.exists(name)]
        self.assertEqual(self.opened(names, "--bare"), cache)
        result = ferry("run", "--bare", "/usr/bin/env")
        self.assert_ends(result, 0)

    def test_another_system_has_the_same_made_up(self):
        """But for the files of /etc, and without being listed in /."""
        os.mkdir(os.path.join(self.top, "bin"))
        shutil.copy(BUSYBOX, os.path.join(self.top, "bin/busybox"))
        names = ["/dev/null", "/proc/self/status", "/sys/devices/system/cpu/online", "/tmp", "/dev/shm", "/home/nobody"]
        there = 'for name; do [ -e "$name" ] && echo "$name"; done; echo /*'
        result = ferry("run", "--root", self.top, "busybox", "sh", "-c", there, "sh", *names, "/etc/passwd")
        self.assert_ends(result, 0)
        self.assertEqual(result.output.decode().splitlines(), [*names, "/bin"])

    def test_bare_has_no_directories_in_memory(self):
        """What the manual says of --bare: which of the rest is there."""
        names = ["/dev/null", "/etc/passwd", "/proc/self/status", "/sys/devices/system/cpu/online"]
        none = ["/tmp", "/var/tmp", "/dev/shm", "/run", "/home/nobody", "/usr/share", "/opt"]
        there = 'for name; do [ -e "$name" ] && echo "$name"; done; echo "$HOME in $PWD"'
        above = [name for name in none if self.top.startswith(name + "/")]
        for options, more in (([], []), (["--rw", self.top], [*above, self.top])):
            result = ferry("run", "--bare", *options, "busybox", "sh", "-c", there, "sh", *names, *none, self.top)
            self.assert_ends(result, 0)
            self.assertEqual(result.output.decode().splitlines(), [*names, *more, "/home/nobody in /"])


if __name__ == "__main__":
    main()
