# SPDX-License-Identifier: BSD-2-Clause
"""The report of faults.c; faults.h has its form."""

import os
import struct

HEAD = struct.Struct("<IIiIIIQ40sq")
CALL = struct.Struct("<28sI")
CALLS = 160


class Report:
    def __init__(self, path):
        with open(path, "rb") as file:
            data = file.read()
        _, _, _, self.hit, _, _, self.offset, where, _ = HEAD.unpack_from(data)
        self.file = where.rstrip(b"\0").decode()
        self.uses = {}
        for i in range(CALLS):
            name, uses = CALL.unpack_from(data, HEAD.size + i * CALL.size)
            if uses:
                self.uses[name.rstrip(b"\0").decode()] = uses

    @staticmethod
    def clear(path):
        with open(path, "wb") as file:
            os.truncate(file.fileno(), HEAD.size + CALLS * CALL.size)

    def caller(self):
        return f"{self.file}+{self.offset:#x}"
