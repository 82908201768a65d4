"""msb-net without a monitor and without a machine: how it starts, what it refuses, how it ends."""
import fcntl
import os
import resource
import signal
import socket
import subprocess

import pytest

from harness import LIMIT, wait_for_exit
from vmm import LIB

F_ADD_SEALS = 1033
SEALS = 0x1 | 0x2 | 0x4  # seal, shrink, grow
RINGS_SIZE = 4096 + 2 * (512 << 10)

SPEC = """\
mac 02:6d:73:00:01:02
gateway-mac 02:6d:73:00:01:01
mtu 1500
ip4 172.16.0.6/30 172.16.0.5
default egress deny
default ingress allow
nameserver 192.0.2.1:53
"""


def memfd(content=b"", size=None):
    fd = os.memfd_create("test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, content)
    if size is not None:
        os.ftruncate(fd, size)
    return fd


def rings():
    fd = memfd(size=RINGS_SIZE)
    fcntl.fcntl(fd, F_ADD_SEALS, SEALS)
    return fd


class Net:
    """A running msb-net, with the descriptors that it is given."""

    def __init__(self, spec=SPEC, *options, wrapper=(), **fds):
        events, self.events_write = os.pipe2(os.O_CLOEXEC)
        self.fds = {"rings": rings(), "wake": os.eventfd(0, os.EFD_CLOEXEC),
                    "call": os.eventfd(0, os.EFD_CLOEXEC), "events": self.events_write,
                    "spec": memfd(spec if isinstance(spec, bytes) else spec.encode())} | fds
        argv = [*wrapper, os.path.join(LIB, "msb-net"), *options,
                *(f"--{name}={fd}" for name, fd in self.fds.items())]
        self.process = subprocess.Popen(argv, pass_fds=self.fds.values(), stderr=subprocess.PIPE)
        for fd in set(self.fds.values()):
            os.close(fd)
        self.events = os.fdopen(events, encoding="utf-8")

    def line(self):
        return self.events.readline().rstrip("\n")

    def end(self):
        """Exit status and what it said."""
        _, err = self.process.communicate(timeout=LIMIT)
        return self.process.returncode, err.decode()

    def failed(self, saying):
        """It ends with one event, which says why; before it, perhaps, what can be done about it."""
        line = self.line()
        if line.startswith("hint "):
            line = self.line()
        assert line.startswith("end error ") and saying in line, line
        status, err = self.end()
        assert status == 1 and saying in err
        assert self.events.read() == ""


@pytest.fixture
def net():
    """Starts msb-net; none is left."""
    started = []

    def start(*args, **kw):
        started.append(Net(*args, **kw))
        return started[-1]
    yield start
    for n in started:
        n.process.kill()
        n.process.communicate()
        n.events.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals(net, number):
    n = net()
    assert n.line() == "start"
    n.process.send_signal(number)
    assert n.end() == (0, "")


def test_confined(net):
    n = net()
    assert n.line() == "start"
    with open(f"/proc/{n.process.pid}/status", encoding="utf-8") as f:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in f)
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2" and status["Threads"] == "1"
    soft, hard = resource.prlimit(n.process.pid, resource.RLIMIT_NOFILE)
    assert soft == hard
    assert resource.prlimit(n.process.pid, resource.RLIMIT_CORE) == (0, 0)


def test_dies_with_its_parent(net):
    """A shell that starts it and ends: nobody is left."""
    script = 'parent=$$; "$0" --parent=$$ "$@" & echo $! >&2; read line <&$EVENTS; exit 0'
    read, write = os.pipe()
    fds = {"rings": rings(), "wake": os.eventfd(0), "call": os.eventfd(0), "events": write,
           "spec": memfd(SPEC.encode())}
    argv = ["bash", "-c", script, os.path.join(LIB, "msb-net"),
            *(f"--{name}={fd}" for name, fd in fds.items())]
    r = subprocess.run(argv, pass_fds=[read, *fds.values()], capture_output=True, check=True,
                       env=os.environ | {"EVENTS": str(read)})
    wait_for_exit([int(r.stderr.split()[0])])
    for fd in (read, *fds.values()):
        os.close(fd)


def test_not_its_parent(net):
    n = net(SPEC, "--parent=1")
    status, err = n.end()
    assert status == 130 and "the parent process is gone" in err


@pytest.mark.parametrize("spec, saying", [
    ("nonsense\n", "line 1 of the network"),
    (b"mtu 1500\0\n", "is no text"),
    (SPEC + "#" * (1 << 20), "specification is longer than"),
    (SPEC + "publish tcp 127.0.0.1:0\n", "line 8 of the network"),
    ("", "no MAC addresses"),
], ids=["word", "NUL", "long", "port", "empty"])
def test_refused_specifications(net, spec, saying):
    net(spec).failed(saying)


def test_refused_rings(net):
    net(rings=memfd(size=RINGS_SIZE)).failed("cannot map the frame rings")
    net(rings=os.open("/dev/null", os.O_RDWR)).failed("cannot map the frame rings")


def test_wrong_arguments(net):
    r = subprocess.run([os.path.join(LIB, "msb-net"), "--rings=0"], capture_output=True, text=True,
                       check=False)
    assert r.returncode == 2 and "--wake is missing" in r.stderr
    r = subprocess.run([os.path.join(LIB, "msb-net"), "--help"], capture_output=True, text=True,
                       check=False)
    assert r.returncode == 0 and r.stdout.startswith("usage: msb-net ") and r.stderr == ""


def test_published_ports(net):
    """Told with the number that was chosen, before the start."""
    n = net(SPEC + "publish tcp 127.0.0.1:0 80\npublish udp 127.0.0.1:0 53\n")
    lines = [n.line().split() for _ in range(2)]
    assert n.line() == "start"
    assert [(word, protocol, guest) for word, protocol, _, guest in lines] == [
        ("port", "tcp", "80"), ("port", "udp", "53")]
    (tcp_host, tcp), (_, udp) = (at.rsplit(":", 1) for _, _, at, _ in lines)
    assert tcp_host == "127.0.0.1" and int(tcp) and int(udp)
    # Somebody listens, even if nobody answers for the guest here.
    socket.create_connection(("127.0.0.1", int(tcp)), LIMIT).close()


def test_busy_port(net):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        net(SPEC + f"publish tcp 127.0.0.1:{port} 80\n").failed(f"127.0.0.1:{port}")


def test_broken_rings(net):
    """A machine that writes nonsense into its ring loses its network at once."""
    memory, wake = rings(), os.eventfd(0)
    kept, kept_wake = os.dup(memory), os.dup(wake)
    n = net(rings=memory, wake=wake)
    assert n.line() == "start"
    # The head of the guest's frames, which is no multiple of 8.
    os.pwrite(kept, b"\x03\0\0\0", 0)
    os.eventfd_write(kept_wake, 1)
    n.failed("the machine broke the rules of the frame rings")
    os.close(kept)
    os.close(kept_wake)


def test_nobody_reads_the_events(net):
    """Its owner's death is what ends it, not a closed pipe."""
    n = net()
    assert n.line() == "start"
    n.events.close()
    n.process.send_signal(signal.SIGTERM)
    assert n.end() == (0, "")
