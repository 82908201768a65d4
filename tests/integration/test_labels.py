"""Labels: given when a sandbox is made, and by which commands choose sandboxes."""
import json
import re

import pytest


@pytest.fixture
def pair(msb):
    """Two stopped sandboxes of one app."""
    names = ["label-a", "label-b"]
    for name, tier in zip(names, ("front", "back")):
        msb("run", "-m", "128M", "--name", name, "--label", "app=shop", "--label", "tier=" + tier,
            "busybox", "--", "true").ok()
    yield names
    msb("rm", "-f", "-q", *names)


def names(msb, *conditions):
    """Of the sandboxes for which all conditions hold."""
    return msb("ls", "-q", *(arg for c in conditions for arg in ("--label", c))).text().split()


def done(msb, *args):
    """What msb says it has done, to which sandboxes."""
    r = msb(*args)
    assert r.ok() == b""
    return re.findall(r"^   ✓ (\w+) +(\S+)", r.err.decode(), re.M)


def test_life_by_labels(msb, box, pair):
    assert names(msb, "app=shop") == names(msb, "app") == pair
    assert names(msb, "app=shop", "tier=back") == pair[1:]
    assert names(msb, "app=other") == []
    listed = json.loads(msb("ls", "--label", "app=shop", "--format", "json").ok())
    assert [s["labels"] for s in listed] == [{"app": "shop", "tier": "front"},
                                             {"app": "shop", "tier": "back"}]

    assert done(msb, "start", "--label", "tier=back", "--label", "app") == [("Started", pair[1])]
    # Those that are named come first, then the others; none twice.
    assert done(msb, "stop", pair[1], "--label", "app=shop") == [("Stopped", pair[1]),
                                                                 ("Stopped", pair[0])]
    assert done(msb, "rm", "--label", "tier=front", "--label", "app") == [("Removed", pair[0])]
    assert names(msb, "app") == pair[1:]
    assert msb.sandboxes()[box] == "Running"


@pytest.mark.parametrize("command", ["start", "stop", "restart", "rm"])
def test_no_match(msb, box, command):
    r = msb(command, "--label", "app=nothing")
    assert r.ok() == b"" and b"No sandboxes with these labels" in r.err
    r = msb(command, "-q", "--label", "app=nothing")
    assert (r.rc, r.out, r.err) == (0, b"", b"")
    # A name that nobody has is an error as ever.
    msb(command, "missing", "--label", "app=nothing").failed(1, "not found: missing")
    msb(command).failed(2, "--label")
    assert msb.sandboxes()[box] == "Running"


@pytest.mark.parametrize("label", ["", "=", "=x", "a\n", "a=\x1b[2J", "k" * 64, "k=" + "v" * 256,
                                   "service.name=x", b"a=\xff"])
def test_refused(msb, label):
    for command in "run", "create":
        msb(command, "--label", label, "busybox").failed(2, "--label")


def test_refused_conditions(msb):
    msb("ls", "--label", "=x").failed(2, "--label")
    too_many = [arg for i in range(65) for arg in ("--label", f"k{i}")]
    msb("ls", *too_many).failed(2, "at most 64")
    assert msb("ls", "-q", *too_many[:128]).ok() == b""
