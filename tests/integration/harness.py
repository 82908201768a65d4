"""Running msb, looking at its processes, and talking to it on a terminal."""
import ctypes
import errno
import fcntl
import json
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import termios
import time
from dataclasses import dataclass

MSB = os.path.abspath(os.environ.get("MSB", "build/root/bin/msb"))
LIMIT = 120  # seconds; a safety net against hangs, which no outcome depends on
RUNTIME = ("msb-monitor", "msb-vmm", "msb-net", "msb-image", "qemu-system-x86")

# What runs the guests. Said rather than left to `auto`, because the processes differ.
MACHINE = os.environ.get("MSB_TEST_MACHINE", "qemu")
SANDBOX_PROCESSES = {"kvm": ("msb-monitor", "msb-net", "msb-vmm"),
                     "qemu": ("msb-monitor", "msb-net", "msb-vmm", "qemu-system-x86")}[MACHINE]

PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans():
    """Makes every process that msb leaves behind a child of the tests, so that none is missed."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def kvm_is_promising():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        flags = f.read().split()
    return os.access("/dev/kvm", os.R_OK | os.W_OK) and ("vmx" in flags or "svm" in flags)


# --- results -----------------------------------------------------------------------------------


@dataclass
class Result:
    args: tuple
    rc: int
    out: bytes
    err: bytes

    def ok(self):
        """Standard output of a command that has to succeed."""
        assert self.rc == 0, self
        return self.out

    def text(self):
        return self.ok().decode()

    def failed(self, rc=1, saying=""):
        """Checks for one clear error and nothing on standard output."""
        errors = [line for line in self.err.decode().splitlines() if line.startswith("error: ")]
        assert self.rc == rc and len(errors) == 1 and self.out == b"", self
        assert len(errors[0]) > len("error: ") + 5, self
        assert saying.lower() in self.err.decode().lower(), self
        return errors[0]


def on_machine(args):
    """The arguments with the machine of these tests, unless the test chooses one."""
    if args and args[0] in ("run", "create") and "--machine" not in args:
        return [args[0], "--machine", MACHINE, *args[1:]]
    return args


class Home:
    """One MSB_HOME and the msb that works on it."""

    def __init__(self, path):
        self.path = str(path)

    def env(self, extra=None):
        env = {key: value for key, value in os.environ.items() if not key.startswith("MSB")}
        # The logins of whoever runs the tests are none of their business.
        env.setdefault("DOCKER_CONFIG", os.path.join(self.path, "no-docker"))
        env.update(MSB_HOME=self.path, **(extra or {}))
        return env

    def __call__(self, *args, stdin=b"", env=None, cwd=None):
        r = subprocess.run([MSB, *on_machine(args)], input=stdin, env=self.env(env), cwd=cwd,
                           capture_output=True, timeout=LIMIT, check=False)
        return Result(args, r.returncode, r.stdout, r.stderr)

    def popen(self, *args, env=None, **options):
        options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE,
                   "stderr": subprocess.PIPE, **options}
        return subprocess.Popen([MSB, *on_machine(args)], env=self.env(env), **options)

    def sandboxes(self):
        """Name and status of each."""
        return {s["name"]: s["status"]
                for s in json.loads(self("ls", "--format", "json").ok())}

    def images(self):
        return self("images", "-q").text().split()

    def leftovers(self):
        """Files of sandboxes, running or not, and locks of names."""
        return [os.path.join(part, name) for part in ("sandboxes", "run", "run/locks")
                if os.path.isdir(os.path.join(self.path, part))
                for name in os.listdir(os.path.join(self.path, part)) if name != "locks"]

    def remove_all(self):
        names = list(self.sandboxes())
        if names:
            self("rm", "-f", "-q", *names).ok()


def run_dir(home):
    """That of the newest sandbox."""
    folder = os.path.join(home.path, "run")
    return os.path.join(folder, max(filter(str.isdigit, os.listdir(folder)), key=int))


def ask_monitor(home, **request):
    """The answer of the newest sandbox's monitor, without msb between."""
    # The path may be too long for a socket's address.
    at = os.open(run_dir(home), os.O_PATH)
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(LIMIT)
        s.connect(f"/proc/self/fd/{at}/control.sock")
        os.close(at)
        data = json.dumps(request).encode()
        s.sendall(struct.pack("<IBBH", len(data), 1, 0, 0) + data)
        answer = b""
        while piece := s.recv(65536):
            answer += piece
    return json.loads(answer[8:])


def finish(process):
    """Waits for a Popen and collects its output."""
    out, err = process.communicate(timeout=LIMIT)
    return Result(tuple(process.args[1:]), process.returncode, out or b"", err or b"")


# --- processes ---------------------------------------------------------------------------------


@dataclass
class Process:
    pid: int
    ppid: int
    name: str
    dead: bool


def all_processes():
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as f:
                text = f.read()
        except OSError as e:
            if e.errno not in (errno.ENOENT, errno.ESRCH):
                raise
            continue
        name = text[text.index("(") + 1:text.rindex(")")]
        state, ppid = text[text.rindex(")") + 2:].split()[:2]
        found[int(entry)] = Process(int(entry), int(ppid), name, state in "ZX")
    return found


def reap(process):
    """Orphans of msb are our children when they end."""
    if process.dead and process.ppid == os.getpid() and process.name in RUNTIME:
        try:
            os.waitpid(process.pid, os.WNOHANG)
        except ChildProcessError:
            pass


def below(pid, *names):
    """Living processes that descend from one, by name if any are given."""
    everything = all_processes()
    found, todo = [], [pid]
    while todo:
        parent = todo.pop()
        for p in everything.values():
            if p.ppid == parent:
                todo.append(p.pid)
                reap(p)
                if not p.dead and (not names or p.name in names):
                    found.append(p.pid)
    return found


def runtime_processes():
    """What msb has started below these tests and is still alive."""
    return below(os.getpid(), *RUNTIME)


def runtime_and_forked():
    """The same, and children of msb that are about to become one of them."""
    return below(os.getpid(), "msb", *RUNTIME)


def new_processes(before):
    """Those of a sandbox that was started since, by name."""
    everything = all_processes()
    return {everything[pid].name: pid for pid in set(runtime_processes()) - set(before)}


def wait_for_exit(pids):
    """Waits until all of them have ended."""
    deadline = time.monotonic() + LIMIT
    for pid in pids:
        try:
            fd = os.pidfd_open(pid)
        except OSError as e:
            # EINVAL: gone, but its number still is that of a session (kernels before 6.9).
            if e.errno not in (errno.ESRCH, errno.EINVAL):
                raise
            continue
        try:
            left = deadline - time.monotonic()
            ready, _, _ = select.select([fd], [], [], max(left, 0))
            assert ready, f"process {pid} is still there"
        finally:
            os.close(fd)


def wait_for(condition, what):
    """For what has no descriptor to wait on."""
    deadline = time.monotonic() + LIMIT
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"timeout: {what}"
        time.sleep(0.01)


# --- streams -----------------------------------------------------------------------------------


def read_until(fd, marker, seen=b""):
    """Reads until the marker has appeared; returns everything read."""
    deadline = time.monotonic() + LIMIT
    while marker not in seen:
        left = deadline - time.monotonic()
        assert left > 0, f"timeout: {marker!r} not in {seen!r}"
        if not select.select([fd], [], [], left)[0]:
            continue
        try:
            data = os.read(fd, 65536)
        except OSError as e:
            if e.errno != errno.EIO:  # a terminal without its other side
                raise
            data = b""
        assert data, f"end of file: {marker!r} not in {seen!r}"
        seen += data
    return seen


class Terminal:
    """msb on a pseudo-terminal of its own, as in a shell's foreground."""

    def __init__(self, home, *args, rows=30, cols=100):
        self.master, self.slave = pty.openpty()
        self.resize(rows, cols)
        self.before = termios.tcgetattr(self.slave)
        self.process = subprocess.Popen(
            [MSB, *on_machine(args)], env=home.env(), stdin=self.slave, stdout=self.slave,
            stderr=self.slave, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))

    def resize(self, rows, cols):
        """The kernel tells the foreground processes by SIGWINCH."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def write(self, data):
        os.write(self.master, data)

    def expect(self, marker):
        return read_until(self.master, marker)

    def wait(self):
        """Exit status, with what was printed until then read away."""
        fd = os.pidfd_open(self.process.pid)
        output = b""
        deadline = time.monotonic() + LIMIT
        while time.monotonic() < deadline:
            ready = select.select([self.master, fd], [], [], 1)[0]
            if self.master in ready:
                output += os.read(self.master, 65536)
            elif ready:
                break
        os.close(fd)
        return self.process.wait(timeout=1), output

    def settings(self):
        return termios.tcgetattr(self.slave)

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)
