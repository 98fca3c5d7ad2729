# SPDX-License-Identifier: BSD-2-Clause
"""A file system whose daemon (FUSE, by hand) stops answering at a call of one's choice."""

import contextlib
import ctypes
import os
import struct
import threading

LOOKUP, FORGET, GETATTR, OPEN, READ, STATFS, RELEASE, FLUSH = 1, 2, 3, 14, 15, 17, 18, 25
INIT, OPENDIR, READDIR, RELEASEDIR, ACCESS, INTERRUPT = 26, 27, 28, 29, 34, 36
MNT_FORCE, MNT_DETACH = 1, 2
CONTENT = b"content\n"

libc = ctypes.CDLL(None, use_errno=True)


def mount(source, target, kind, data=""):
    if libc.mount(source.encode(), target.encode(), kind.encode(), 0, data.encode()) != 0:
        raise OSError(ctypes.get_errno(), f"mount {kind}")


def unmount(target):
    libc.umount2(target.encode(), MNT_DETACH)


def attributes(node, length, may_run):
    mode = 0o40755 if node == 1 else 0o100755 if may_run else 0o100644
    return struct.pack("<6Q10I", node, length, 1, *[0] * 6, mode, 1, 0, 0, 0, 4096, 0)


class HungFiles:
    """A directory with one file, `file`. For `with`: never answers the call `hangs_at`."""

    def __init__(self, target, hangs_at, content=CONTENT, may_run=False):
        self.target, self.hangs_at, self.content = target, hangs_at, content
        self.may_run = may_run
        self.asked = threading.Event()  # that call has come
        self.waiting = 0  # so often
        self.device = os.open("/dev/fuse", os.O_RDWR)
        mount("test", target, "fuse", f"fd={self.device},rootmode=40000,user_id=0,group_id=0")
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        libc.umount2(self.target.encode(), MNT_FORCE)  # those that wait get an error
        unmount(self.target)
        self.thread.join(20)
        os.close(self.device)

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                request = os.read(self.device, 1 << 17)
                _, call, unique, node = struct.unpack_from("<IIQQ", request)
                if call == self.hangs_at:
                    self.waiting += 1
                    self.asked.set()
                elif call not in (FORGET, INTERRUPT):
                    self.answer(unique, *self.reply(call, node, request[40:]))

    def answer(self, unique, error, body=b""):
        os.write(self.device, struct.pack("<IiQ", 16 + len(body), -error, unique) + body)

    def reply(self, call, node, arguments):
        length = len(self.content)
        if call == INIT:
            return 0, struct.pack("<4I2H2I2H8I", 7, 31, 65536, 0, 0, 0, 4096, 1, 0, 0, *[0] * 8)
        if call == LOOKUP:
            return 0, struct.pack("<4Q2I", 2, 0, 0, 0, 0, 0) + attributes(2, length, self.may_run)
        if call == GETATTR:
            return 0, struct.pack("<Q2I", 0, 0, 0) + attributes(node, length, self.may_run)
        if call in (OPEN, OPENDIR):
            return 0, struct.pack("<Q2I", 1, 0, 0)
        if call == READ:
            _, offset, size = struct.unpack_from("<QQI", arguments)
            return 0, self.content[offset : offset + size]
        if call == STATFS:
            return 0, struct.pack("<5Q4I6I", 0, 0, 0, 0, 0, 512, 255, 512, 0, *[0] * 6)
        return (0, b"") if call in (FLUSH, RELEASE, RELEASEDIR, READDIR) else (38, b"")
