"""
Runs msb-vmm without msb and the monitor: a test says which disks, devices and options it has, answers
the agent's call home and talks to the agent as the monitor would (docs/protocol.md).

    disks = Disks(folder)                     an image with busybox, an empty writable file system
    with Vmm(folder, disks, cpus=2) as vm:
        vm.boot()
        assert vm.shell("echo hi") == (0, b"hi\n")
        vm.command("pause")
"""
import array
import json
import os
import select
import shutil
import socket
import stat
import struct
import subprocess
import threading
import time

from harness import LIMIT, MSB

LIB = os.path.join(os.path.dirname(MSB), "../lib")
AGENT_PORT = 1024
REQUEST, RESULT, EVENT, STDIN, STDOUT, STDERR = 1, 2, 3, 4, 5, 6
END_OF_FILE = 1
BUSYBOX = "/bin/busybox"


class Disks:
    """The two disks of a sandbox as files: `image` and `upper`."""

    def __init__(self, folder, megabytes=64):
        self.folder = str(folder)
        root = os.path.join(self.folder, "root")
        for name in ("bin", "dev", "etc", "proc", "sys", "tmp", "root"):
            os.makedirs(os.path.join(root, name))
        shutil.copy(BUSYBOX, os.path.join(root, "bin/busybox"))
        for name in subprocess.run([BUSYBOX, "--list"], check=True, capture_output=True,
                                   text=True).stdout.split():
            if name != "busybox":
                os.symlink("busybox", os.path.join(root, "bin", name))
        self.image = os.path.join(self.folder, "image.erofs")
        subprocess.run(["mkfs.erofs", "--quiet", "--all-root", self.image, root], check=True)
        self.upper = os.path.join(self.folder, "upper.ext4")
        layout = os.path.join(self.folder, "layout")
        os.makedirs(os.path.join(layout, "upper"))
        os.makedirs(os.path.join(layout, "work"))
        with open(self.upper, "wb") as f:
            f.truncate(megabytes << 20)
        subprocess.run(["/sbin/mke2fs", "-q", "-t", "ext4", "-F", "-d", layout, "-E",
                        "root_owner=0:0", self.upper], check=True)

    def copy_of_upper(self, name):
        """For a second machine: two must not write to one file system."""
        path = os.path.join(self.folder, name)
        shutil.copy(self.upper, path)
        return path


def frame(kind, payload=b"", flags=0):
    return struct.pack("<IBBH", len(payload), kind, flags, 0) + payload


def read_exactly(sock, n):
    data = b""
    while len(data) < n:
        part = sock.recv(n - len(data))
        if not part:
            raise EOFError("the other side closed the connection")
        data += part
    return data


def read_frame(sock):
    length, kind, flags, _ = struct.unpack("<IBBH", read_exactly(sock, 8))
    return kind, flags, read_exactly(sock, length)


def send_json(sock, kind, value):
    sock.sendall(frame(kind, json.dumps(value).encode()))


class Vmm:
    """One machine. Keyword arguments become options, e.g. memory=256, cpus=2, machine="kvm"."""

    def __init__(self, folder, disks=None, upper=None, load=None, wrapper=(), kernel=None,
                 initrd=None, log=None, **options):
        self.socket_path = os.path.join(str(folder), f"vsock-{id(self)}.sock")
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.socket_path)
        self.listener.listen(16)
        self.offers, offers = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control, control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.offers.settimeout(LIMIT)
        self.control.settimeout(LIMIT)
        self.events, events = os.pipe()
        console_read, console = os.pipe()
        passed = [self.listener.fileno(), offers.fileno(), control.fileno(), events, console]
        opened = []

        def give(path, flags=os.O_RDONLY):
            opened.append(os.open(path, flags))
            return opened[-1]

        args = [*wrapper, os.path.join(LIB, "msb-vmm"), f"--parent={os.getpid()}",
                f"--events={events}", f"--console={console}", "--rng",
                f"--vsock={self.listener.fileno()},{offers.fileno()}",
                f"--control={control.fileno()}"]
        if wrapper:  # then the wrapper is the parent
            args = [a for a in args if not a.startswith("--parent=")]
        if load:
            args.append(f"--load={give(load)}")
        else:
            args.append(f"--kernel={give(kernel or os.path.join(LIB, 'vmlinux'))}")
            args.append(f"--initrd={give(initrd or os.path.join(LIB, 'initramfs.cpio'))}")
        if disks:
            args.append(f"--disk=ro,serial=image,fd={give(disks.image)}")
            args.append(f"--disk=rw,serial=upper,fd={give(upper or disks.upper, os.O_RDWR)}")
        args += [f"--{key.replace('_', '-')}={value}" for key, value in options.items()]
        self.process = subprocess.Popen(args, pass_fds=passed + opened, stdin=subprocess.DEVNULL,
                                        stderr=log or subprocess.DEVNULL)
        for fd in (events, console, *opened):
            os.close(fd)
        for sock in (offers, control):
            sock.close()
        self.console = b""
        self.reader = threading.Thread(target=self.read_console, args=(console_read,))
        self.reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(LIMIT)
        self.reader.join(LIMIT)
        for sock in (self.listener, self.offers, self.control):
            sock.close()
        os.close(self.events)
        os.unlink(self.socket_path)

    def read_console(self, fd):
        while data := os.read(fd, 65536):
            self.console += data
        os.close(fd)

    # --- the agent -----------------------------------------------------------------------------

    def take_offer(self):
        """A connection that the guest makes to the host: port and socket."""
        fds = array.array("i")
        data, extra, _, _ = self.offers.recvmsg(64, socket.CMSG_SPACE(fds.itemsize))
        if not data:
            raise EOFError("the machine is gone: " + self.console.decode(errors="replace"))
        fds.frombytes(extra[0][2])
        sock = socket.socket(fileno=fds[0])
        sock.settimeout(LIMIT)
        return struct.unpack("=I", data)[0], sock

    def boot(self, **config):
        """Answers the agent's call and waits until the root file system stands."""
        port, call = self.take_offer()
        with call:
            assert port == AGENT_PORT
            kind, _, hello = read_frame(call)
            assert kind == REQUEST and json.loads(hello)["op"] == "hello"
            send_json(call, EVENT, {"env": ["PATH=/bin"], "hostname": "test",
                                    "image_disk": "/dev/vda", "upper_disk": "/dev/vdb",
                                    "time_ns": time.time_ns(), "tmpfs": [], **config})
            kind, _, result = read_frame(call)
            assert kind == RESULT and json.loads(result)["ok"], result

    def connect(self, port=AGENT_PORT):
        """A connection to a port in the guest."""
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(LIMIT)
        sock.connect(self.socket_path)
        sock.sendall(b"CONNECT %d\n" % port)
        answer = b""
        while not answer.endswith(b"\n"):
            answer += read_exactly(sock, 1)
        assert answer.startswith(b"OK "), answer
        return sock

    def call(self, **request):
        """One operation without a conversation; its result."""
        with self.connect() as sock:
            send_json(sock, REQUEST, request)
            kind, _, result = read_frame(sock)
            assert kind == RESULT
            return json.loads(result)

    def shell(self, script, stdin=b""):
        """Runs a script: exit status and what it wrote to standard output."""
        with self.connect() as sock:
            send_json(sock, REQUEST, {"op": "exec", "argv": ["/bin/sh", "-c", script],
                                      "stdin": bool(stdin)})
            if stdin:
                sock.sendall(frame(STDIN, stdin, END_OF_FILE))
            output = b""
            while True:
                kind, _, payload = read_frame(sock)
                if kind == STDOUT:
                    output += payload
                elif kind == RESULT:
                    return json.loads(payload).get("exit_code"), output

    def restored(self):
        """What the agent has to be told after --load."""
        return self.call(op="restored", time_ns=time.time_ns(), entropy=os.urandom(32).hex())

    # --- the machine ---------------------------------------------------------------------------

    def command(self, text, fd=None):
        """A command on the control socket; its answer."""
        if fd is None:
            self.control.sendall(text.encode())
        else:
            socket.send_fds(self.control, [text.encode()], [fd])
        return self.control.recv(1024).decode()

    def save(self, path):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            assert self.command("save", fd) == "ok"
        finally:
            os.close(fd)

    def end(self):
        """Waits for the end; the last event's text and the exit status."""
        lines = b""
        deadline = time.monotonic() + LIMIT
        while select.select([self.events], [], [], deadline - time.monotonic())[0]:
            data = os.read(self.events, 4096)
            if not data:
                break
            lines += data
        status = self.process.wait(LIMIT)
        self.reader.join(LIMIT)
        events = lines.decode(errors="replace").splitlines()
        return (events[-1] if events else ""), status


def is_sparse(path):
    """Fewer blocks than bytes."""
    st = os.stat(path)
    return stat.S_ISREG(st.st_mode) and st.st_blocks * 512 < st.st_size
