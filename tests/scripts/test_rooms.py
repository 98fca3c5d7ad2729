# SPDX-License-Identifier: BSD-2-Clause
"""scripts/check-rooms finds each way in which a file may leave its room, and says where."""

import contextlib
import importlib.util
import io
import os
import pathlib
import sys
import tempfile
import unittest
from importlib.machinery import SourceFileLoader

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(HERE, ".."))
import tap  # noqa: E402

CLEAN = {
    "host/lib/clock.h": "/* Not code: #include \"vm/vm.h\" */\nint clock_now(void);\n",
    "host/lib/clock.c": '#include "lib/clock.h"\nint clock_now(void)\n{\n    return 0;\n}\n',
    "host/lib/rlimits.h": "",
    "host/vm/vm.h": '#include "lib/clock.h"\nint vm_start(int how);\n',
    "host/vm/vm_internal.h": '#include "vm/vm.h"\n',
    "host/vm/vm.c": '#include "vm/vm.h"\n#include "vm/vm_internal.h"\n#include <stdio.h>\n'
                    "static int helper(void);\nint __clone(void);\nint vm_start(int how)\n{\n"
                    "    return how + helper();\n}\n",
    "host/linux/vm_linux.h": "int vm_start(int how);\n",
    "cli/main.c": '#include "lib/rlimits.h"\n',
}

# The text written over it, and the message that follows.
WRONG = [
    ({"host/lib/clock.c": '#include "lib/clock.h"\n#include "vm/vm.h"\n'},
     "host/lib/clock.c:2: includes vm/vm.h of a room above"),
    ({"host/lib/a.h": '#include "lib/b.h"\n', "host/lib/b.h": "",
      "host/lib/b.c": '#include "lib/a.h"\n'},
     "host/lib/b.c:1: closes a circle: lib/a -> lib/b -> lib/a"),
    ({"host/lib/clock.h": "\nint vm_start(int how);\n"},
     "host/lib/clock.h:2: declares vm_start, which a room above defines"),
    ({"host/lib/clock.c": "int vm_start(int\n             how);\n"},
     "host/lib/clock.c:1: declares vm_start, which belongs in a header"),
    ({"host/lib/clock.c": "void f(void)\n{\n    extern int vm_start(int);\n}\n"},
     "host/lib/clock.c:3: extern belongs in a header"),
    ({"host/lib/clock.c": '#include "vm/none.h"\n'}, "host/lib/clock.c:1: no file host/vm/none.h"),
    ({"host/stray.c": ""}, "host/stray.c:1: is in no room"),
    ({"cli/main.c": '\n#include "vm/vm.h"\n'}, "cli/main.c:2: includes vm/vm.h of the library"),
]  # fmt: skip


def judge(files=None):
    """What the script says of a tree of these files, or of ours, and its exit status."""
    loader = SourceFileLoader("rooms", os.path.join(HERE, "../../scripts/check-rooms"))
    rooms = importlib.util.module_from_spec(importlib.util.spec_from_loader("rooms", loader))
    loader.exec_module(rooms)
    said = io.StringIO()
    with tempfile.TemporaryDirectory() as top, contextlib.redirect_stdout(said):
        if files is None:
            status = rooms.main()
            return said.getvalue(), status
        for name, text in files.items():
            path = pathlib.Path(top, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        rooms.HOST = pathlib.Path(top, "host")
        status = rooms.main()
    return said.getvalue(), status


class Rooms(unittest.TestCase):
    def test_ours_are_kept(self):
        said, status = judge()
        self.assertEqual((said, status), ("", 0), "\n" + said)

    def test_who_stays_in_his_room_is_left_alone(self):
        self.assertEqual(judge(CLEAN), ("", 0))

    def test_who_leaves_it_is_named(self):
        for files, line in WRONG:
            with self.subTest(line):
                said, status = judge({**CLEAN, **files})
                self.assertIn(line + "\n", said)
                self.assertEqual(status, 1)


if __name__ == "__main__":
    tap.main()
