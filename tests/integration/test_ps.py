"""msb ps."""
import json
import re

import pytest

from conftest import KEPT

HEADER = r"NAME +IMAGE +COMMAND +CPUS +MEM +STATUS +PORTS"


@pytest.fixture(scope="module")
def ended(shared):
    """A stopped sandbox; its name sorts before that of the box, though it is younger."""
    shared("run", "--name", "a-ended", "-m", "128M", "-c", "2", "--label", "app=shop",
           "--entrypoint", "/bin/" + "x" * 60, "busybox", "--", "true")
    KEPT.add("a-ended")
    yield "a-ended"
    KEPT.remove("a-ended")
    shared("rm", "-q", "a-ended").ok()


def ps(msb, *args):
    return json.loads(msb("ps", "--format", "json", *args).ok())


def test_table(msb, box, ended):
    lines = msb("ps").text().splitlines()
    assert re.fullmatch(HEADER, lines[0]) and len(lines) == 2
    assert re.fullmatch(rf'{box} +busybox +"/bin/sh" +1 / 1 +256 MiB / 256 MiB +Running +-', lines[1])
    lines = msb("ps", "-a").text().splitlines()
    assert [line.split()[0] for line in lines] == ["NAME", ended, box]
    assert re.fullmatch(rf'{ended} +busybox +"/bin/x{{32}}\.\.\." +2 / 2 +'
                        r'128 MiB / 128 MiB +Stopped +-', lines[1])
    assert len({line.index(word) for line, word in zip(lines, ("STATUS", "Stopped", "Running"))}) \
        == 1
    assert msb("status", "-a").ok() == msb("ps", "--all").out


def test_one(msb, box, ended):
    """A sandbox that is named is shown whether it runs or not."""
    lines = msb("ps", ended).text().splitlines()
    assert len(lines) == 2 and lines[1].startswith(ended)
    assert ps(msb, ended) == ps(msb, "--label", "app=shop", "-a")[0]
    assert msb("ps", "-q", ended).text() == ended + "\n"


def test_json(msb, box, ended):
    assert ps(msb) == [{
        "name": box, "status": "Running", "image": "busybox", "command": "/bin/sh", "cpus": 1,
        "max_cpus": 1, "memory_mib": 256, "max_memory_mib": 256, "ports": [], "labels": {}}]
    shown = ps(msb, ended)
    assert shown["command"] == "/bin/" + "x" * 60 + " /bin/sh"
    assert (shown["status"], shown["labels"]) == ("Stopped", {"app": "shop"})
    assert [s["name"] for s in ps(msb, "-a")] == [ended, box]


def test_quiet_and_labels(msb, box, ended):
    assert msb("ps", "-q").text().split() == [box]
    assert msb("ps", "-aq").text().split() == [ended, box]
    assert msb("ps", "-aq", "--label", "app").text().split() == [ended]
    r = msb("ps", "--label", "app=shop")
    assert r.ok() == b"" and b"No running sandboxes." in r.err
    r = msb("ps", "-a", "--label", "app=other")
    assert r.ok() == b"" and b"No sandboxes found." in r.err
    assert ps(msb, "--label", "app=shop") == []


def test_errors(msb, box):
    msb("ps", "missing").failed(1, "sandbox not found: missing")
    msb("ps", "-a", box).failed(2, "'--all' cannot be used with")
    msb("ps", "--label", "x", box).failed(2, "'--label' cannot be used with")
    msb("ps", box, "other").failed(2, "other")
    msb("ps", "--format", "yaml").failed(2, "json")
