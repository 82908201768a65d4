"""msb-vmm without a monitor: a machine whose descriptors the test holds.

    with Vmm(folder) as vmm:
        vmm.boot()
        assert vmm.exec("echo", "hello").out == b"hello\n"
        vmm.shutdown()
        assert vmm.wait() == 0 and vmm.events()[-1] == "end reboot"

The test plays the monitor: it answers the agent's call home and talks to the agent in the frames of
docs/protocol.md. MSB_TEST_MACHINE in the environment names the machine (qemu if absent).
"""
import io
import json
import os
import socket
import struct
import subprocess
import tarfile
import tempfile
import time

import harness
import oci
from harness import LIMIT, Result

LIB = os.path.join(os.path.dirname(os.path.dirname(harness.MSB)), "lib")
MACHINE = os.environ.get("MSB_TEST_MACHINE", "qemu")
AGENT_PORT = 1024

REQUEST, RESULT, EVENT, STDIN, STDOUT, STDERR = range(1, 7)
EOF = 1

HEADER = struct.Struct("<IBBH")


def make_image(path):
    """An EROFS image with busybox; no msb is needed for it."""
    with tempfile.TemporaryDirectory() as root:
        with tarfile.open(fileobj=io.BytesIO(oci.busybox_tar().bytes())) as tar:
            tar.extractall(root)
        subprocess.run(["mkfs.erofs", "--all-root", path, root], check=True, capture_output=True)
    return path


class Connection:
    """A stream of frames."""

    def __init__(self, sock):
        self.sock = sock
        self.sock.settimeout(LIMIT)

    def send(self, kind, payload=b"", flags=0):
        if isinstance(payload, dict):
            payload = json.dumps(payload).encode()
        self.sock.sendall(HEADER.pack(len(payload), kind, flags, 0) + payload)

    def read(self, n):
        data = b""
        while len(data) < n:
            part = self.sock.recv(n - len(data))
            assert part, "end of file inside a conversation"
            data += part
        return data

    def receive(self):
        """Kind and payload of the next frame; JSON is decoded."""
        length, kind, _, _ = HEADER.unpack(self.read(HEADER.size))
        payload = self.read(length)
        return kind, json.loads(payload) if kind in (REQUEST, RESULT, EVENT) else payload

    def result(self):
        kind, payload = self.receive()
        assert kind == RESULT, payload
        return payload

    def close(self):
        self.sock.close()


def make_upper(path):
    """An empty file system for the writable disk."""
    # Only cp leaves the holes of the 4 GiB alone.
    subprocess.run(["cp", os.path.join(LIB, "upper.ext4"), path], check=True)
    return path


class Vmm:
    """A machine: kernel and agent of the build, a busybox image, a writable disk, no network.

    `load` is the file of a saved machine, which is then not booted. `upper` is a writable disk to
    use, `kernel` and `initrd` files to boot; `disks` False: it has none. `wrapper` are words in
    front of the command (strace), `extra` are more of its arguments, `fds` more descriptors that it
    gets.
    """

    def __init__(self, folder, machine=MACHINE, cpus=1, memory=256, load=None, upper=None,
                 kernel=None, initrd=None, disks=True, wrapper=(), extra=(), env=None,
                 stderr=None, fds=()):
        self.folder = str(folder)
        self.fds = list(fds)
        self.offers, offers = self.pair()
        self.control, control = self.pair()
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.path("vsock.sock"))
        listener.listen()
        self.events_fd, events = os.pipe()
        offers, control, listener = offers.detach(), control.detach(), listener.detach()
        self.fds += [offers, control, listener, events]
        argv = [*wrapper, os.path.join(LIB, "msb-vmm"), f"--machine={machine}", f"--events={events}",
                f"--vsock={listener},{offers}", f"--control={control}", "--rng",
                f"--console={self.open('console', os.O_WRONLY | os.O_CREAT | os.O_TRUNC)}"]
        if load:
            argv.append(f"--load={self.open(load)}")
        else:
            argv += [f"--cpus={cpus}", f"--memory={memory}",
                     f"--kernel={self.open(kernel or os.path.join(LIB, 'vmlinux'))}",
                     f"--initrd={self.open(initrd or os.path.join(LIB, 'initramfs.cpio'))}"]
        if disks:
            self.image, self.upper = self.path("image.erofs"), upper or self.path("upper.ext4")
            if not os.path.exists(self.image):
                make_image(self.image)
            if not os.path.exists(self.upper):
                make_upper(self.upper)
            argv += [f"--disk=ro,serial=image,fd={self.open(self.image)}",
                     f"--disk=rw,serial=upper,fd={self.open(self.upper, os.O_RDWR)}"]
        self.process = subprocess.Popen([*argv, *extra], pass_fds=self.fds,
                                        env={**os.environ, **(env or {})},
                                        stdin=subprocess.DEVNULL, stderr=stderr)
        for fd in self.fds:
            os.close(fd)

    @staticmethod
    def pair():
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(LIMIT)
        return ours, theirs

    def open(self, path, flags=os.O_RDONLY):
        """A descriptor that the machine gets."""
        self.fds.append(os.open(self.path(path), flags, 0o600))
        return self.fds[-1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.offers.close()
        self.control.close()
        os.close(self.events_fd)
        os.unlink(self.path("vsock.sock"))

    def path(self, name):
        return os.path.join(self.folder, name)

    # --- what msb-vmm says ---------------------------------------------------------------------

    def next_offer(self):
        """Port and socket of the next connection that the guest makes to the host."""
        data, fds, _, _ = socket.recv_fds(self.offers, 16, 4)
        assert data, "the machine is gone: " + self.console()
        assert len(data) == 4 and len(fds) == 1, (data, fds)
        sock = socket.socket(fileno=fds[0])
        return struct.unpack("=I", data)[0], sock

    def pid(self):
        """The process, whatever wrapper there may be between it and us."""
        return (harness.below(self.process.pid, "msb-vmm") or [self.process.pid])[0]

    def wait(self):
        """Its exit status, when it has ended by itself."""
        return self.process.wait(LIMIT)

    def events(self):
        """What it has reported, line by line; only after its end."""
        lines = b""
        while data := os.read(self.events_fd, 65536):
            lines += data
        return lines.decode().splitlines()

    def end(self):
        """Its last event and exit status."""
        status = self.wait()
        return self.events()[-1], status

    def command(self, text, *fds):
        """The answer to a command on the control socket (src/vmm/control.h)."""
        socket.send_fds(self.control, [text.encode()], fds)
        return self.control.recv(1024).decode()

    def save(self, path):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            assert self.command("save", fd) == "ok"
        finally:
            os.close(fd)

    def console(self):
        with open(self.path("console"), encoding="utf-8", errors="replace") as f:
            return f.read()

    # --- the agent -----------------------------------------------------------------------------

    def boot(self, **config):
        """Answers the agent's call home; returns its report when the guest is ready."""
        port, sock = self.next_offer()
        assert port == AGENT_PORT
        call = Connection(sock)
        kind, hello = call.receive()
        assert kind == REQUEST and hello["op"] == "hello"
        call.send(EVENT, {"image_disk": "/dev/vda", "upper_disk": "/dev/vdb", "hostname": "vmm",
                          "env": [], **config})
        report = call.result()
        call.close()
        assert report["ok"], report
        return report

    def connect(self, port=AGENT_PORT):
        """A connection to a port in the guest on which somebody listens."""
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(LIMIT)
        sock.connect(self.path("vsock.sock"))
        sock.sendall(b"CONNECT %d\n" % port)
        answer = b""
        while not answer.endswith(b"\n"):
            byte = sock.recv(1)
            assert byte, "nobody listens in the guest"
            answer += byte
        assert answer.startswith(b"OK "), answer
        return sock

    def request(self, **request):
        """The agent's result for a request that is answered at once."""
        connection = Connection(self.connect())
        connection.send(REQUEST, request)
        result = connection.result()
        connection.close()
        return result

    def start(self, *argv, stdin=False):
        """Starts a program; its conversation, behind the event that says so."""
        connection = Connection(self.connect())
        connection.send(REQUEST, {"op": "exec", "argv": argv, "env": [], "tty": False,
                                  "stdin": stdin})
        kind, started = connection.receive()
        assert kind == EVENT and started["event"] == "started", started
        return connection

    def exec(self, *argv, stdin=b""):
        """Runs a program to its end."""
        connection = self.start(*argv, stdin=bool(stdin))
        for i in range(0, len(stdin), 65536):
            connection.send(STDIN, stdin[i:i + 65536])
        if stdin:
            connection.send(STDIN, flags=EOF)
        return self.finish(connection, argv)

    def finish(self, connection, argv=()):
        """Reads a program's output to its end."""
        output = {STDOUT: b"", STDERR: b""}
        while True:
            kind, payload = connection.receive()
            if kind == RESULT:
                break
            output[kind] += payload
        connection.close()
        assert payload["ok"], payload
        return Result(argv, payload["exit_code"], output[STDOUT], output[STDERR])

    def shell(self, script):
        return self.exec("/bin/sh", "-c", script)

    def restored(self):
        """What the agent has to be told when a saved machine goes on."""
        assert self.request(op="restored", time_ns=time.time_ns(), entropy=os.urandom(32).hex())["ok"]

    def shutdown(self):
        """Asks the guest to end; msb-vmm follows it."""
        assert self.request(op="shutdown", grace_ms=1000)["ok"]
