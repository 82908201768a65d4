"""What runs the guest: the choice of the machine, and who may use it."""
import grp
import os
import subprocess
import tempfile

import pytest

import harness
from harness import Home

pytestmark = [pytest.mark.lab, pytest.mark.kvm]

NOBODY = 65534


def test_auto_is_kvm_where_it_can_be_used(terminal):
    """And nothing is said about it, not even on a terminal."""
    before = set(harness.runtime_processes())
    t = terminal("run", "--machine", "auto", "busybox", "--", "sh", "-c", "echo ready; read line")
    assert t.expect(b"ready").startswith(b"ready")
    processes = harness.all_processes()
    started = {processes[pid].name for pid in set(harness.runtime_processes()) - before}
    assert started == set(harness.SANDBOX_PROCESSES) == {"msb-monitor", "msb-net", "msb-vmm"}
    t.write(b"go on\n")
    assert t.wait()[0] == 0


@pytest.fixture
def home_of_nobody(archives):
    """A home of an ordinary user, which runs msb as that one, in the groups that a test gives."""
    if os.geteuid() != 0:
        pytest.skip("becoming another user needs root")

    class NobodysHome(Home):
        groups = []

        def __call__(self, *args):
            r = subprocess.run([harness.MSB, *harness.on_machine(args)], env=self.env(),
                               user=NOBODY, group=NOBODY, extra_groups=self.groups,
                               stdin=subprocess.DEVNULL, capture_output=True,
                               timeout=harness.LIMIT, check=False, cwd="/")
            return harness.Result(args, r.returncode, r.stdout, r.stderr)

    with tempfile.TemporaryDirectory() as folder, open(archives["busybox"], "rb") as image:
        os.chown(folder, NOBODY, NOBODY)
        archive = os.path.join(folder, "image.tar")
        with open(archive, "wb") as f:
            f.write(image.read())
        home = NobodysHome(os.path.join(folder, "home"))
        home("load", "-q", "-i", archive).ok()
        yield home
        home.remove_all()


def test_members_of_the_group_may_use_kvm(home_of_nobody):
    home_of_nobody.groups = [grp.getgrnam("kvm").gr_gid]
    assert home_of_nobody("run", "busybox", "--", "id", "-u").ok() == b"0\n"


def test_others_are_told_of_the_group(home_of_nobody):
    home_of_nobody("run", "busybox", "--", "true").failed(1, "group 'kvm'")
