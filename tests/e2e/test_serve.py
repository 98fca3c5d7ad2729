# SPDX-License-Identifier: BSD-2-Clause
"""A server: each connection gets a fresh VM, whatever others did, and whatever its peer does."""

import os
import re
import select
import signal
import socket
import subprocess
import threading

from harness import BUSYBOX, FERRY, MIB, PATIENCE, FerryTest, box, ferry, guest, main, text

SHELL = (BUSYBOX, "sh", "-c")
# Answers each line with how many it has had, and with what it finds of others.
NOTES = "n=0; while read -r l; do n=$((n+1)); echo $n $l $(cat /tmp/note 2>&-); echo $l > /tmp/note; done"


class Client:
    """A connection. For `with`."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(path)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def ask(self, line):
        self.socket.sendall(line)
        return self.line()

    def line(self):
        data = b""
        while not data.endswith(b"\n"):
            piece = self.socket.recv(1)
            if not piece:
                raise AssertionError(f"the connection ended after {data!r}")
            data += piece
        return data

    def rest(self):
        self.socket.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: self.socket.recv(1 << 16), b""))


class Server:
    """`ferry serve`, whose lines can be awaited. For `with`."""

    def __init__(self, path, *arguments, prefix=(), listen=True, **more):
        where = ["--listen", path] if listen else []
        self.path, self.lines = path, []
        self.process = subprocess.Popen(
            [*prefix, FERRY, "serve", *where, "--verbose", *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **more,
        )  # fmt: skip
        self.rest = b""

    def __enter__(self):
        self.await_line(" is ready after ")
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def await_line(self, needle):
        """The first line with these words, of those that no earlier call has taken."""
        while True:
            while b"\n" in self.rest:
                line, self.rest = self.rest.split(b"\n", 1)
                self.lines.append(line.decode())
                if needle in self.lines[-1]:
                    return self.lines[-1]
            ready, _, _ = select.select([self.process.stderr], [], [], PATIENCE)
            piece = os.read(self.process.stderr.fileno(), 4096) if ready else b""
            if not piece:
                raise AssertionError(f"no line with '{needle}' in {self.lines}")
            self.rest += piece

    def connect(self):
        return Client(self.path)

    def stop(self, signo=signal.SIGTERM):
        self.process.send_signal(signo)
        errors = self.process.communicate(timeout=PATIENCE)[1]
        return self.process.returncode, (self.rest + errors).decode()


class ServeTest(FerryTest):
    def serve(self, *arguments, **more):
        path = os.path.join(self.enter_directory(), "socket")
        return Server(path, *arguments, **more)


class Connections(ServeTest):
    def test_each_begins_anew(self):
        with self.serve("--max", "2", *SHELL, NOTES) as server:
            for name in (b"one", b"two", b"three", b"four", b"five"):
                with server.connect() as client:
                    self.assertEqual(client.ask(name + b"\n"), b"1 " + name + b"\n")
                    self.assertEqual(client.ask(b"more\n"), b"2 more " + name + b"\n")
                    self.assertEqual(client.rest(), b"")
                server.await_line(": exit status 0")
            self.assertEqual(server.stop()[0], -signal.SIGTERM)

    def test_those_at_once_are_apart(self):
        with self.serve("--max", "3", *SHELL, NOTES) as server:
            with server.connect() as one, server.connect() as two, server.connect() as three:
                for count in range(1, 4):
                    for client in (one, two, three):
                        name = b"%d" % client.socket.fileno()
                        found = b" " + name if count > 1 else b""
                        answer = client.ask(name + b"\n")
                        self.assertEqual(answer, b"%d %s%s\n" % (count, name, found))

    def test_more_than_fit_wait(self):
        with self.serve("--max", "1", *SHELL, NOTES) as server:
            with server.connect() as one, server.connect() as two:
                self.assertEqual(one.ask(b"a\n"), b"1 a\n")
                two.socket.sendall(b"b\n")
                self.assertEqual(select.select([two.socket], [], [], 0.2)[0], [])
                self.assertEqual(one.rest(), b"")
                self.assertEqual(two.line(), b"1 b\n")

    def test_many_bytes(self):
        data = text(20 * MIB)
        with self.serve("--max", "1", box("cat")) as server:
            for _ in range(3):
                with server.connect() as client:
                    sender = threading.Thread(target=client.socket.sendall, args=(data,))
                    sender.start()
                    got = b""
                    while len(got) < len(data):
                        piece = client.socket.recv(1 << 20)
                        self.assertNotEqual(piece, b"")
                        got += piece
                    sender.join()
                    self.assertEqual(got, data)
                    self.assertEqual(client.rest(), b"")
                line = server.await_line("connection")
                self.assertIn(f"{len(data)} bytes in, {len(data)} out", line)
            status, errors = server.stop()
            self.assertNotIn("leaked", errors)

    def test_input_that_ends_late(self):
        """A buffer that was filled in vain is there for the next connection."""
        data = text(300000)
        with self.serve("--max", "1", box("wc -c")) as server:
            for _ in range(8):
                with server.connect() as client:
                    client.socket.sendall(data)
                    self.assertEqual(select.select([client.socket], [], [], 0.05)[0], [])
                    self.assertEqual(client.rest(), b"300000\n")

    def test_programs_that_start_others(self):
        """Dynamic ones: what is mapped of a library comes into a process that is forked."""
        with self.serve("--max", "2", "sh", "-c", "while read -r l; do echo $l | tr a-z A-Z; done") as server:
            for name in (b"one", b"two", b"three"):
                with server.connect() as client:
                    self.assertEqual(client.ask(name + b"\n"), name.upper() + b"\n")
                    self.assertEqual(client.ask(b"more\n"), b"MORE\n")

    def test_what_is_told(self):
        with self.serve(*SHELL, "read x; exit 7") as server:
            with server.connect() as client:
                client.socket.sendall(b"abc\n")
                self.assertEqual(client.rest(), b"")
            line = server.await_line("connection 1")
            self.assertRegex(
                line,
                rf"\Aferry: connection 1 of uid {os.getuid()} \(pid {os.getpid()}\): exit status 7; "
                r"4 bytes in, 0 out, [0-9.]+ ms\Z",
            )


class Peers(ServeTest):
    def test_one_that_leaves_early(self):
        with self.serve("--max", "1", *SHELL, "read x; exec yes") as server:
            for _ in range(3):
                with server.connect() as client:
                    self.assertEqual(client.ask(b"go\n"), b"y\n")
                server.await_line("ended by SIGPIPE")

    def test_one_that_never_reads_has_a_time_limit(self):
        with self.serve("--max", "1", "--timeout", "2", *SHELL, "read x; exec yes") as server:
            with server.connect() as client, server.connect() as other:
                client.socket.sendall(b"go\n")
                server.await_line("connection 1")
                self.assertEqual(other.ask(b"go\n"), b"y\n")

    def test_time_limits_are_for_each_connection(self):
        with self.serve("--max", "1", "--timeout", "2", *SHELL, "while read x; do echo $x; done") as server:
            for _ in range(2):
                with server.connect() as client:
                    self.assertEqual(client.ask(b"a\n"), b"a\n")
                    server.await_line("time limit")
                    self.assertEqual(client.socket.recv(1), b"")

    def test_a_crash_is_one_connection_s(self):
        with self.serve("--max", "1", *SHELL, "read x; kill -SEGV $$; echo $x") as server:
            for _ in range(2):
                with server.connect() as client:
                    client.socket.sendall(b"a\n")
                    self.assertEqual(client.socket.recv(1), b"")
                server.await_line("SIGSEGV")


class Ends(ServeTest):
    def test_signals_end_all(self):
        for signo in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            with self.subTest(signo), self.serve("--max", "2", *SHELL, NOTES) as server:
                with server.connect() as client:
                    client.ask(b"a\n")
                    self.assertEqual(server.stop(signo)[0], -signo)
                    self.assertEqual(client.socket.recv(1), b"")

    def test_before_it_is_ready(self):
        path = os.path.join(self.enter_directory(), "socket")
        server = Server(path, guest("ready"), "never")
        server.await_line("starts")
        self.assertEqual(server.stop()[0], -signal.SIGTERM)

    def test_a_path_that_is_taken(self):
        with self.serve(box("cat")) as server:
            result = ferry("serve", "--listen", server.path, box("cat"))
            self.assert_error(result, "is there already")
            server.stop()
            with Server(server.path, box("cat")) as again, again.connect() as client:
                client.socket.sendall(b"x")
                self.assertEqual(client.rest(), b"x")
        with open("file", "w", encoding="ascii"):
            pass
        self.assert_error(ferry("serve", "--listen", "file", box("cat")), "is there already")
        self.assertTrue(os.path.isfile("file"))

    def test_a_server_that_takes_nobody(self):
        path = os.path.join(self.enter_directory(), "socket")
        with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as waits:
            listener.bind(path)
            listener.listen(0)
            waits.connect(path)
            self.assert_error(ferry("serve", "--listen", path, box("cat")), "is there already")

    def test_activation(self):
        path = os.path.join(self.enter_directory(), "socket")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            script = 'exec 3<&$0; LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"'
            prefix = ("bash", "-c", script, str(listener.fileno()))
            with Server(path, box("cat"), prefix=prefix, listen=False, pass_fds=[listener.fileno()]) as server:
                with server.connect() as client:
                    client.socket.sendall(b"by a manager")
                    self.assertEqual(client.rest(), b"by a manager")
        self.assert_error(ferry("serve", box("cat")), "no socket; write --listen PATH")


class Refused(ServeTest):
    def test_programs_that_cannot_be_copied(self):
        for command, why in (
            ([box("true")], "ended before it was ready"),
            ([guest("ready"), "pipe"], "a pipe"),
            ([*SHELL, "cat | cat"], "other processes"),
        ):
            with self.subTest(why):
                path = os.path.join(self.enter_directory(), "socket")
                result = ferry("serve", "--listen", path, *command)
                self.assert_ends(result, 125, why)
                self.assertEqual(result.errors.count("\n"), 1)

    def test_mistakes(self):
        path = os.path.join(self.enter_directory(), "socket")
        for arguments, why in (
            (["--listen", path], "no program given"),
            (["--listen", path, "cat | wc"], "a server runs one program"),
            (["--listen", path, "--stats", "cat"], "--stats is not for a server"),
            (["--listen", "", "cat"], "a path of 1 to"),
            (["--listen", "/none/socket", "cat"], "No such file or directory"),
            (["--listen", path, "--max", "0", "cat"], "not a number of connections"),
            (["--listen", path, "no-such-program"], "was not found"),
        ):
            with self.subTest(why):
                self.assert_error(ferry("serve", *arguments), re.escape(why))
        self.assert_error(ferry("run", "--max", "3", "cat"), "are for 'ferry serve'")


if __name__ == "__main__":
    main()
