"""msb inspect."""
import json
import os
import re

import pytest

import harness
from conftest import KEPT


def inspect(msb, name):
    return json.loads(msb("inspect", "--format", "json", name).ok())


@pytest.fixture(scope="module")
def stopped(shared):
    shared("run", "--name", "seen", "-m", "160M", "-c", "2", "-w", "/tmp", "--shell", "/bin/ash",
           "-e", "PLAIN=a b", "-e", "NASTY=\x1b[2J\x9b\n", "--tmpfs", "/scratch:16M",
           "--tmpfs", "/more", "--label", "app=shop", "--label", "mark",
           "busybox", "--", "sh", "-c", "exit 3")
    KEPT.add("seen")
    yield "seen"
    KEPT.remove("seen")
    shared("rm", "-q", "seen").ok()


def test_text(msb, stopped):
    text = msb("inspect", stopped).text()
    head = text[:text.index("\nResources")]
    assert re.search(r"^Name: +seen\nStatus: +Stopped\nReason: +\S.*\nEnded: +\d{4}-\S+\n"
                     r"Created: +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\nUpdated: +\d{4}-.*\n"
                     r"Image: +busybox\n", head), text
    assert re.search(r"\nResources\n  CPUs: +2\n  Memory: +160 MiB\n"
                     r"  Root Disk: +4096 MiB \(managed, ext4\), occupies .* [KM]iB\n", text), text
    assert re.search(r"\nWorkdir: +/tmp\nShell: +/bin/ash\n", text), text
    assert "\nEnvironment\n" in text and "\n  PLAIN=a b\n" in text
    assert r"  NASTY=\x1b[2J" in text and "\x1b" not in text and "\x9b" not in text
    assert "\nMounts\n  /more → tmpfs\n  /scratch → tmpfs (16 MiB)\n" in text
    assert text.endswith("\nLabels\n  app=shop\n  mark=\n")


def test_json(msb, stopped):
    j = inspect(msb, stopped)
    assert (j["name"], j["status"], j["image"], j["ephemeral"]) == (
        "seen", "Stopped", "busybox", False)
    assert j["labels"] == {"app": "shop", "mark": ""}
    assert j["config"]["cpus"] == 2 and j["config"]["memory_mib"] == 160
    assert j["config"]["mounts"] == [
        {"kind": "tmpfs", "target": "/more", "read_only": False},
        {"kind": "tmpfs", "target": "/scratch", "read_only": False, "size": 16 << 20}]
    assert "NASTY=\x1b[2J\x9b\n" in j["config"]["env"]
    assert j["config"]["image"]["manifest_digest"].startswith("sha256:")
    for key in "created_at", "updated_at":
        assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}\+00:00$", j[key])
    assert j["updated_at"] > j["created_at"]
    disk = j["root_disk"]
    path = os.path.join(msb.path, "sandboxes", stopped, "upper.ext4")
    assert disk["size_bytes"] == os.stat(path).st_size == 4 << 30
    assert disk["disk_bytes"] == os.stat(path).st_blocks * 512
    assert j["last_end"]["reason"] and j["last_end"]["ended_at"] >= j["created_at"]


def test_running(msb, box):
    j = inspect(msb, box)
    assert (j["status"], j["last_end"], j["labels"]) == ("Running", None, {})
    text = msb("inspect", box).text()
    assert "Running" in text and "Ended:" not in text and "Labels" not in text


def test_end_of_a_workload(msb, name):
    """A command in the background has nobody else to tell its exit status."""
    msb("run", "-d", "--name", name, "-m", "128M", "busybox", "--", "sh", "-c", "exit 3").ok()
    harness.wait_for(lambda: msb.sandboxes()[name] != "Running", "the end of the command")
    assert inspect(msb, name)["last_end"]["exit_code"] == 3
    assert re.search(r"^Exit code: +3$", msb("inspect", name).text(), re.M)


def test_end_of_an_earlier_run(msb, name):
    """What an earlier run wrote is not told as the end of a start that failed at once."""
    msb("run", "--name", name, "-m", "128M", "busybox", "--", "true").ok()
    path = os.path.join(msb.path, "sandboxes", name, "logs")
    os.rename(path, path + ".away")
    msb("start", name).failed(1)
    os.rename(path + ".away", path)
    j = inspect(msb, name)
    assert j["status"] == "Failed" and j["last_end"]["reason"]
    written = os.path.join(msb.path, "sandboxes", name, "end.json")
    with open(written, "w", encoding="utf-8") as f:
        json.dump({"status": "Stopped", "reason": "an older one",
                   "ended_at": "2001-01-01T00:00:00.000000000+00:00"}, f)
    assert "2001" not in json.dumps(inspect(msb, name)["last_end"])


def test_errors(msb, box):
    msb("inspect", "missing").failed(1, "sandbox not found: missing")
    msb("inspect").failed(2, "<NAME>")
    msb("inspect", box, "other").failed(2, "other")
    msb("inspect", "--format", "yaml", box).failed(2, "json")
