# SPDX-License-Identifier: BSD-2-Clause
"""Unmodified busybox filters over 1 GiB, and the memory that takes.

Less where all is emulated: FERRY_SIZE_DIVISOR says how small.
"""

import os
import resource
import tempfile

from harness import GIB, KIB, MIB, FerryTest, box, example, large_file, main, on_host, pipe

PATIENCE = 600
SIZE = GIB // int(os.environ.get("FERRY_SIZE_DIVISOR", "1"))


def available_memory():
    with open("/proc/meminfo", encoding="ascii") as lines:
        for line in lines:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * KIB
    return 0


def peak_of_children():
    """Bytes resident at most in any process this one has waited for."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * KIB


class Large(FerryTest):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        cls.path = os.path.join(cls.directory.name, "input")
        large_file(cls.path, SIZE)

    @classmethod
    def tearDownClass(cls):
        cls.directory.cleanup()

    def check(self, applets, *options):
        stages = [box(applet) for applet in applets]
        with open(self.path, "rb") as file:
            result = pipe(stages, *options, stdin=file, timeout=PATIENCE)
        self.assert_clean(result)
        self.assertEqual(result.stats["bytes_in"], SIZE)
        return result.output

    def expect(self, applets):
        with open(self.path, "rb") as file:
            return on_host([box(applet) for applet in applets], file, timeout=PATIENCE)

    # First by its name, so that no other child was larger: memory must stay bounded.
    def test_1_gzip_gunzip_sha256sum_below_400_mib(self):
        output = self.check(["gzip -c", "gunzip -c", "sha256sum"])
        peak = peak_of_children()
        self.assertEqual(output, self.expect(["sha256sum"]))
        self.assertLess(peak, 400 * MIB)

    def test_aware_stages_copy_nothing(self):
        stages = [example("pass"), example("count")]
        with open(self.path, "rb") as file:
            result = pipe(stages, stdin=file, timeout=PATIENCE)
        self.assert_clean(result)
        with open(self.path, "rb") as file:
            self.assertEqual(result.output, on_host(stages, file, timeout=PATIENCE))
        link = result.link("pass", "count")
        self.assertEqual(link["bytes_copied"], 0)
        self.assertEqual(link["bytes_handed_over"], SIZE)

    def test_cat_dd_sha256sum(self):
        applets = ["cat", "dd bs=1M status=none", "sha256sum"]
        self.assertEqual(self.check(applets), self.expect(applets))

    def test_tr_wc(self):
        applets = ["tr a-z A-Z", "wc"]
        self.assertEqual(self.check(applets), self.expect(applets))

    def test_sed_awk(self):
        applets = [
            "sed s/ferry/boat/",
            "awk '{ n += length($0) } END { printf \"%d %d\\n\", n, NR }'",
        ]
        self.assertEqual(self.check(applets), self.expect(applets))

    def test_sort(self):
        if available_memory() < 5 * SIZE:
            self.skipTest("sorting wants five times the input in free memory")
        applets = ["sort", "sha256sum"]
        self.assertEqual(self.check(applets, "--mem", f"{4 * SIZE}"), self.expect(applets))


if __name__ == "__main__":
    main()
