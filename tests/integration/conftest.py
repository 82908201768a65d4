"""
What the tests share. They run against a finished build, named by MSB, and start real virtual
machines; the only network is the loopback interface.

Most tests share one MSB_HOME, in which three images are loaded as they are wanted. After each test
nothing of it may be left: no unnamed sandbox, no process. Tests that change images get a home of
their own.
"""
import itertools
import os
import tempfile

import pytest

import harness
import networld
import oci
import registry
from faulty import FaultyRegistry
from harness import Home, Terminal

KEPT = {"box"}  # sandboxes of the session's home that outlive a test


def pytest_configure(config):
    config.addinivalue_line("markers", "lab: has to pass on the KVM machine, in the lab")
    config.addinivalue_line("markers", "kvm: about what only the KVM machine has")


def pytest_sessionstart(session):
    harness.adopt_orphans()


def pytest_collection_modifyitems(items):
    if harness.MACHINE != "kvm":
        for item in items:
            if item.get_closest_marker("kvm"):
                item.add_marker(pytest.mark.skip(reason="needs the KVM machine"))


class Archives:
    """Paths of OCI archives by the name of their image; each is made when it is first wanted."""

    IMAGES = {"busybox": oci.busybox, "debian": oci.debian, "layered": oci.layered}

    def __init__(self, folder):
        self.folder, self.paths = folder, {}

    def __getitem__(self, name):
        if name not in self.paths:
            path = os.path.join(self.folder, name + ".tar")
            self.paths[name] = oci.write_oci(path, {name: self.IMAGES[name]()})
        return self.paths[name]


@pytest.fixture(scope="session")
def archives(tmp_path_factory):
    return Archives(str(tmp_path_factory.mktemp("archives")))


@pytest.fixture(scope="session")
def small():
    """A tiny busybox image, for tests that look at its bytes."""
    return oci.busybox()


@pytest.fixture(scope="session")
def session_home(tmp_path_factory, archives):
    home = Home(tmp_path_factory.mktemp("home"))
    home("load", "-q", "-i", archives["busybox"]).ok()
    yield home
    home.remove_all()
    harness.wait_for(lambda: not harness.runtime_processes(), "processes are left")
    assert home.leftovers() == []


@pytest.fixture(scope="session")
def debian(session_home, archives):
    """The name of an image with glibc, bash and Python."""
    session_home("load", "-q", "-i", archives["debian"]).ok()
    return "debian"


@pytest.fixture(scope="session")
def layered(session_home, archives):
    """The name of an image with many layers."""
    session_home("load", "-q", "-i", archives["layered"]).ok()
    return "layered"


def check_nothing_left(home, kept):
    assert set(home.sandboxes()) <= kept
    running = [name for name, status in home.sandboxes().items() if status == "Running"]
    # A sandbox is gone from the list a moment before its monitor is.
    harness.wait_for(lambda: len(harness.below(os.getpid(), "msb-monitor")) == len(running),
                     "a monitor is left")
    assert len(home.leftovers()) == 2 * len(home.sandboxes())


@pytest.fixture
def msb(session_home):
    """Runs msb in the session's home; nothing may be left there afterwards."""
    yield session_home
    check_nothing_left(session_home, KEPT)


@pytest.fixture(scope="module")
def shared(session_home):
    """The same for fixtures that outlive a test; they clean up themselves."""
    return session_home


@pytest.fixture(scope="session")
def running_box(session_home):
    session_home("create", "-q", "--name", "box", "-m", "256M", "busybox").ok()
    return "box"


@pytest.fixture
def box(msb, running_box):
    """The name of a sandbox that runs all the time, for what needs no boot of its own."""
    return running_box


@pytest.fixture
def inside(msb, box):
    """Runs a shell command in the box."""
    def run(script, *options, **kw):
        return msb("exec", *options, box, "--", "sh", "-c", script, **kw)
    return run


@pytest.fixture
def terminal(msb):
    """Starts msb on a terminal of its own."""
    opened = []

    def start(*args, **size):
        opened.append(Terminal(msb, *args, **size))
        return opened[-1]
    yield start
    for t in opened:
        t.close()


NUMBERS = itertools.count(1)


@pytest.fixture
def name(msb):
    """A new name for a sandbox, which is removed at the end."""
    name = f"test-{next(NUMBERS)}"
    yield name
    msb("rm", "-f", "-q", name)


@pytest.fixture
def fresh(tmp_path):
    """A home without anything in it."""
    home = Home(tmp_path / "home")
    before = set(harness.runtime_processes())
    yield home
    home.remove_all()
    assert home.leftovers() == []
    assert set(harness.runtime_processes()) <= before


@pytest.fixture
def quick():
    """The same in memory, for tests that would wait for a disk again and again."""
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=base) as folder:
        yield Home(os.path.join(folder, "home"))


@pytest.fixture(scope="session")
def docker_registry(tmp_path_factory):
    running = registry.DockerRegistry(str(tmp_path_factory.mktemp("registry")))
    yield running
    running.stop()


@pytest.fixture
def fake(small):
    running = registry.FakeRegistry(small)
    yield running
    running.stop()


@pytest.fixture
def server(image):
    """A registry that can misbehave, with the image of the test's module."""
    running = FaultyRegistry(image)
    yield running
    running.stop()


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """Namespaces with an internet, a LAN and more around a host, which the tests of the network share."""
    if os.geteuid() != 0:
        pytest.skip("only root can make the namespaces")
    w = networld.World(tmp_path_factory.mktemp("world"))
    yield w
    w.close()
