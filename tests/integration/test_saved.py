"""
A saved machine goes on: nothing of the guest is lost, its clock is right, its connections are new,
and two machines from one file are not alike in their random numbers.
"""
import os
import time

import pytest

from vmm import Disks, Vmm, is_sparse

pytestmark = [pytest.mark.lab, pytest.mark.kvm]

# A counter in the guest that never stands still.
COUNTER = "while :; do i=$((i + 1)); echo $i >/tmp/count.new; mv /tmp/count.new /tmp/count; done"
START_COUNTER = f"({COUNTER}) </dev/null >/dev/null 2>&1 &"


def count(vm):
    return int(vm.shell("cat /tmp/count")[1])


def random_numbers(vm):
    return vm.shell("head -c 32 /dev/urandom | hexdump")[1]


def clock(vm):
    return int(vm.shell("date +%s")[1])


@pytest.fixture(scope="module", params=[1, 2])
def saved(request, tmp_path_factory):
    """A machine that was saved while a program ran, and went on after that."""
    folder = tmp_path_factory.mktemp(f"saved-{request.param}")
    disks = Disks(folder)
    path = str(folder / "machine")
    with Vmm(folder, disks, machine="kvm", memory=128, cpus=request.param) as vm:
        vm.boot()
        assert vm.shell(START_COUNTER)[0] == 0
        assert vm.shell("mount -t tmpfs tmpfs /mnt 2>/dev/null; echo kept >/tmp/file; sync")[0] == 0
        while count(vm) < 5:
            pass
        before = count(vm)
        with vm.connect() as held:
            vm.save(path)
            # The machine that was saved goes on as if nothing had been, connections included.
            after = count(vm)
            assert held.fileno() >= 0
        while count(vm) == after:
            pass
        upper = disks.copy_of_upper("upper-at-save.ext4")
    return {"folder": folder, "disks": disks, "path": path, "upper": upper, "count": before,
            "cpus": request.param}


def load(saved, name):
    upper = os.path.join(str(saved["folder"]), name)
    with open(saved["upper"], "rb") as source, open(upper, "wb") as copy:
        copy.write(source.read())
    return Vmm(saved["folder"], saved["disks"], upper=upper, load=saved["path"], machine="kvm")


def test_file_is_sparse(saved):
    assert is_sparse(saved["path"])
    assert os.stat(saved["path"]).st_blocks * 512 < 96 << 20


def test_counter_goes_on(saved):
    with load(saved, "counter.ext4") as vm:
        assert vm.restored()["ok"]
        first = count(vm)
        assert first >= saved["count"]
        while count(vm) == first:
            pass
        assert vm.shell("cat /tmp/file")[1] == b"kept\n"
        assert int(vm.shell("grep -c ^processor /proc/cpuinfo")[1]) == saved["cpus"]
        # Disks are served as before.
        assert vm.shell("dd if=/dev/zero of=/tmp/big bs=1M count=4 2>/dev/null; sync")[0] == 0


def test_clock_is_right(saved):
    with load(saved, "clock.ext4") as vm:
        assert vm.restored()["ok"]
        assert abs(clock(vm) - time.time()) < 60
        uptime = float(vm.shell("cat /proc/uptime")[1].split()[0])
        assert uptime < 600
        # Timers of the guest work.
        assert vm.shell("sleep 0.2")[0] == 0


def test_twins_have_other_random_numbers(saved):
    numbers = []
    for name in ("one.ext4", "two.ext4"):
        with load(saved, name) as vm:
            assert vm.restored()["ok"]
            numbers.append(random_numbers(vm))
    assert numbers[0] != numbers[1]


def test_a_loaded_machine_can_be_saved(saved):
    second = saved["path"] + ".second"
    with load(saved, "again.ext4") as vm:
        assert vm.restored()["ok"]
        assert vm.command("pause") == "ok"
        vm.save(second)
        assert vm.command("resume") == "ok"
        before = count(vm)
    with load({**saved, "path": second}, "again2.ext4") as vm:
        assert vm.restored()["ok"]
        assert count(vm) > 0
        while count(vm) < before:
            pass


def test_a_pause_stops_the_guest(saved):
    with load(saved, "pause.ext4") as vm:
        assert vm.restored()["ok"]
        with vm.connect() as sock:
            assert vm.command("pause") == "ok"
            sock.sendall(b"\x02\x00\x00\x00\x01\x00\x00\x00{}")
            sock.settimeout(0.5)
            with pytest.raises(TimeoutError):
                sock.recv(1)
            assert vm.command("resume") == "ok"
            sock.settimeout(60)
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
    with load({**saved, "path": path}, "damaged.ext4") as vm:
        event, status = vm.end()
    assert event.startswith("end error ") and saying in event
    assert status == 1


def test_it_needs_the_same_devices(saved):
    with Vmm(saved["folder"], None, load=saved["path"], machine="kvm") as vm:
        event, status = vm.end()
    assert "devices" in event and status == 1
