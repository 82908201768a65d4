"""
A saved machine goes on: nothing of the guest is lost, its clock is right, its connections are new,
and two machines from one file are not alike in their random numbers.
"""
import os
import select
import subprocess
import time

import pytest

from vmm import Vmm

pytestmark = [pytest.mark.lab, pytest.mark.kvm]

# A counter in the guest that never stands still.
COUNTER = "while :; do i=$((i + 1)); echo $i >/tmp/count.new; mv /tmp/count.new /tmp/count; done"
START_COUNTER = f"({COUNTER}) </dev/null >/dev/null 2>&1 &"


def count(vm):
    return int(vm.shell("cat /tmp/count").ok())


def wait_for_count(vm, n):
    while count(vm) < n:
        pass


def copy_sparse(source, target):
    subprocess.run(["cp", "--sparse=always", source, target], check=True)
    return target


@pytest.fixture(scope="module", params=[1, 2])
def saved(request, tmp_path_factory):
    """The path of a machine that was saved while a program ran, and what belongs to it."""
    folder = tmp_path_factory.mktemp("saved")
    path = str(folder / "machine")
    with Vmm(folder, machine="kvm", memory=128, cpus=request.param) as vm:
        vm.boot(env=["PATH=/bin"])
        vm.shell(START_COUNTER).ok()
        vm.shell("echo kept >/root/file; sync").ok()
        while vm.shell("test -e /tmp/count").rc:
            pass
        wait_for_count(vm, 5)
        before = count(vm)
        with vm.connect() as held:
            vm.save(path)
            # The machine that was saved goes on as if nothing had been, connections included.
            wait_for_count(vm, count(vm) + 1)
            assert not select.select([held], [], [], 0)[0]
        assert vm.command("pause") == "ok"
        upper = copy_sparse(vm.upper, str(folder / "saved.ext4"))
    return {"folder": folder, "path": path, "upper": upper, "count": before, "cpus": request.param}


def load(saved, name, **options):
    upper = copy_sparse(saved["upper"], str(saved["folder"] / (name + ".ext4")))
    return Vmm(saved["folder"], machine="kvm", load=saved["path"], upper=upper, **options)


def test_file_is_sparse(saved):
    st = os.stat(saved["path"])
    assert st.st_size > 128 << 20
    assert st.st_blocks * 512 < 96 << 20


def test_counter_goes_on(saved):
    with load(saved, "counter") as vm:
        vm.restored()
        first = count(vm)
        assert first >= saved["count"]
        wait_for_count(vm, first + 1)
        assert vm.shell("cat /root/file").ok() == b"kept\n"
        assert int(vm.shell("grep -c ^processor /proc/cpuinfo").ok()) == saved["cpus"]
        # Disks are served as before.
        vm.shell("dd if=/dev/zero of=/root/big bs=1M count=4 && sync").ok()


def test_clock_is_right(saved):
    with load(saved, "clock") as vm:
        vm.restored()
        assert abs(int(vm.shell("date +%s").ok()) - time.time()) < 60
        assert float(vm.shell("cat /proc/uptime").ok().split()[0]) < 600
        # Timers of the guest work.
        vm.shell("sleep 0.2").ok()


def test_twins_have_other_random_numbers(saved):
    numbers = set()
    for name in ("one", "two"):
        with load(saved, name) as vm:
            vm.restored()
            numbers.add(vm.shell("head -c 32 /dev/urandom | hexdump").ok())
    assert len(numbers) == 2


def test_a_loaded_machine_can_be_saved(saved):
    second = saved["path"] + ".second"
    with load(saved, "again") as vm:
        vm.restored()
        assert vm.command("pause") == "ok"
        vm.save(second)
        assert vm.command("resume") == "ok"
        before = count(vm)
    with load({**saved, "path": second}, "again") as vm:
        vm.restored()
        assert count(vm) > 0
        wait_for_count(vm, before)


def test_a_pause_stops_the_guest(saved):
    with load(saved, "pause") as vm:
        vm.restored()
        with vm.connect() as sock:
            assert vm.command("pause") == "ok"
            sock.sendall(b"\x02\x00\x00\x00\x01\x00\x00\x00{}")
            # The guest would answer at once that this is no request.
            assert not select.select([sock], [], [], 0.5)[0]
            assert vm.command("resume") == "ok"
            assert sock.recv(1)
        assert vm.command("dance").startswith("error ")
        assert vm.command("save").startswith("error ")


DAMAGES = [
    ("empty", lambda data: b"", "not a saved machine"),
    ("other", lambda data: b"X" + data[1:], "not a saved machine"),
    ("version", lambda data: data[:8] + b"\xff" + data[9:], "another version"),
    ("flipped", lambda data: data[:200] + bytes([data[200] ^ 1]) + data[201:], "damaged"),
    ("cut", lambda data: data[:4096], "damaged"),
    ("huge", lambda data: data[:16] + b"\xff" * 8 + data[24:], "damaged"),
]


@pytest.mark.parametrize("name, damage, saying", DAMAGES)
def test_damaged_files_are_refused(saved, name, damage, saying):
    path = f"{saved['path']}.{name}"
    with open(saved["path"], "rb") as source, open(path, "wb") as copy:
        copy.write(damage(source.read()))
    with load({**saved, "path": path}, "damaged") as vm:
        event, status = vm.end()
    assert event.startswith("end error ") and saying in event
    assert status == 1


def test_it_needs_the_same_devices(saved):
    with load(saved, "devices", disks=False) as vm:
        event, status = vm.end()
    assert "devices" in event and status == 1
