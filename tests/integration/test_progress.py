"""Progress of pulls and loads: bars on a terminal, lines, JSON events, nothing."""
import json
import os
import signal
import threading

import pytest

import harness
import oci
import registry
from harness import LIMIT, Terminal, read_until
from screen import Screen

HIDE, SHOW = b"\033[?25l", b"\033[?25h"


class SlowRegistry(registry.FakeRegistry):
    """Sends half of each layer, then waits until it is let go; `spoilt`: to send nonsense."""

    spoilt = False

    def __init__(self, image):
        self.gate = threading.Event()
        super().__init__(image)

    def answer_blob(self, h, name):
        layers = {layer.digest: layer.blob for layer in self.image.layers}
        if name not in layers or self.gate.is_set():
            super().answer_blob(h, name)
            return
        data = layers[name]
        h.send_response(200)
        h.send_header("Content-Length", str(len(data)))
        h.end_headers()
        try:
            h.wfile.write(data[:len(data) // 2])
            h.wfile.flush()
            self.gate.wait(LIMIT)
            rest = data[len(data) // 2:]
            h.wfile.write(bytes(len(rest)) if self.spoilt else rest)
        except OSError:
            h.close_connection = True  # the client has gone

    def stop(self):
        self.gate.set()
        super().stop()


@pytest.fixture
def slow():
    running = SlowRegistry(oci.busybox())
    yield running
    running.stop()


@pytest.fixture
def terminal(fresh):
    """Starts msb with the empty home on a terminal of its own."""
    opened = []

    def start(*args, **size):
        opened.append(Terminal(fresh, *args, **size))
        return opened[-1]
    yield start
    for t in opened:
        t.close()


def image_tools(t):
    return harness.below(t.process.pid, "msb-image")


def test_bars(terminal, slow, small):
    name = slow.host + "/some/image"
    t = terminal("pull", name, rows=24, cols=100)
    seen = t.expect(b"downloading")
    seen = read_until(t.master, b"/1 layers", seen)
    screen = Screen(24, 100).feed(seen)
    assert not screen.cursor
    assert small.layers[0].digest[7:19] in screen.shown()[0] and "[" in screen.shown()[0]
    slow.gate.set()
    status, rest = t.wait()
    screen.feed(rest)
    assert status == 0
    assert screen.cursor and screen.scrolled == 0
    [line] = screen.shown()  # nothing of the bars is left
    assert line.startswith(f"   ✓ Pulled       {name}")
    assert t.settings() == t.before


def test_more_layers_than_lines(terminal):
    image = oci.layered()
    server = SlowRegistry(image)
    try:
        t = terminal("pull", server.host + "/x", rows=5, cols=60)
        screen = Screen(5, 60)
        # All threads wait with half a layer each; then the picture does not change any more.
        seen = b""
        while screen.feed(seen).shown()[1:2] == [] or \
                sum("downloading" in line for line in screen.shown()) < 3:
            seen = harness.read_until(t.master, b"layers")
        assert len(screen.shown()) == 5 and screen.scrolled == 0
        assert f"/{len(image.layers)} layers" in screen.shown()[-1]
        server.gate.set()
        status, rest = t.wait()
        screen.feed(rest)
        assert status == 0
        assert screen.scrolled == 0 and len(screen.shown()) == 1
    finally:
        server.stop()


def test_resize(terminal, slow):
    t = terminal("pull", slow.host + "/x", rows=24, cols=120)
    t.expect(b"layers")
    t.resize(10, 44)
    seen = t.expect(b"\033[J")
    while not any(len(line) < 43 and b"%" in line for line in seen.split(b"\033[K")):
        seen = t.expect(b"\033[J")
    t.resize(1, 5)
    while len(seen.split(b"\033[K")[0]) > 12:
        seen = t.expect(b"\033[J")
    slow.gate.set()
    assert t.wait()[0] == 0
    assert t.settings() == t.before


def test_interrupt_key(terminal, slow):
    t = terminal("pull", slow.host + "/x")
    t.expect(b"downloading")
    assert t.settings() != t.before  # keys are not echoed into the bars
    t.write(b"\x03")
    status, rest = t.wait()
    assert status == -signal.SIGINT  # so that a shell's loop ends, too
    assert rest.count(SHOW) == 1 and HIDE not in rest
    assert t.settings() == t.before
    assert harness.below(os.getpid(), "msb-image") == []


def test_stop_and_continue(terminal, slow):
    t = terminal("pull", slow.host + "/x")
    t.expect(b"downloading")
    t.write(b"\x1a")
    t.expect(SHOW)

    def state():
        with open(f"/proc/{t.process.pid}/stat", encoding="utf-8") as f:
            return f.read().rsplit(")", 1)[1].split()[0]
    harness.wait_for(lambda: state() == "T", "msb does not stop")
    assert t.settings() == t.before
    t.process.send_signal(signal.SIGCONT)
    t.expect(HIDE)
    t.expect(b"downloading")
    slow.gate.set()
    assert t.wait()[0] == 0
    assert t.settings() == t.before


def test_error_among_bars(terminal, slow):
    t = terminal("pull", slow.host + "/x")
    seen = t.expect(b"downloading")
    slow.spoilt = True
    slow.gate.set()
    status, rest = t.wait()
    screen = Screen(30, 400).feed(seen + rest)
    assert status == 1 and screen.cursor
    assert screen.shown()[0].startswith("error: cannot pull ") and len(screen.shown()) == 1
    assert t.settings() == t.before


def test_bars_of_run(terminal, slow):
    """They are gone before the command's own output comes."""
    t = terminal("run", "--machine", harness.MACHINE, slow.host + "/x", "--", "echo", "hello")
    seen = t.expect(b"downloading")
    slow.gate.set()
    status, rest = t.wait()
    assert status == 0
    shown = Screen(30, 100).feed(seen + rest).shown()
    assert "hello" in shown and not any("[" in line for line in shown), shown


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_ends_the_transfer(fresh, slow, number):
    p = fresh.popen("pull", slow.host + "/x")
    read_until(p.stderr.fileno(), b"downloading")
    p.send_signal(number)
    assert harness.finish(p).rc == -number
    assert harness.below(os.getpid(), "msb-image") == []
    assert fresh.images() == []


# --- without a terminal --------------------------------------------------------------------------


def test_lines(fresh, fake, small):
    name = fake.host + "/some/image"
    r = fresh("pull", name)
    lines = r.err.decode().splitlines()
    assert r.ok() == b""
    assert lines[:-1] == [f"   downloading {name}",
                          f"   layer {small.layers[0].digest[7:19]}  1.0 MiB",
                          "   merging layers"], lines
    assert "✓ Pulled" in lines[-1]
    # Nothing to say when nothing is done.
    [line] = fresh("pull", name).err.decode().splitlines()
    assert "already cached" in line


@pytest.mark.parametrize("how", [["-q"], ["--progress", "none", "-q"]])
def test_silence(fresh, fake, archives, how):
    r = fresh("pull", *how, fake.host + "/x")
    assert (r.rc, r.out, r.err) == (0, b"", b"")
    r = fresh("load", *how, "-i", archives["busybox"])
    assert (r.rc, r.out, r.err) == (0, b"busybox\n", b"")


def test_modes(fresh, fake):
    name = fake.host + "/x"
    r = fresh("pull", "--progress", "none", name)
    assert [line[:12] for line in r.err.decode().splitlines()] == ["   ✓ Pulled "]
    bars = fresh("pull", "-f", "--progress", "bars", name).err
    assert HIDE in bars and bars.count(SHOW) == 1
    r = fresh("run", "-q", "--progress", "lines", "--pull", "always", name, "--", "true")
    assert r.rc == 0
    fresh("pull", "--progress", "fancy", name).failed(2, "json")
    fresh("run", "--progress", "json", name, "--", "true").failed(2, "none")
    fresh("load", "--progress", "json", "--format", "json", stdin=b"").failed(2, "lines")


def events(result):
    return [json.loads(line) for line in result.out.decode().splitlines()]


def test_events_of_a_pull(fresh, fake, small):
    name = fake.host + "/some/image"
    r = fresh("pull", "--progress", "json", name)
    assert (r.rc, r.err) == (0, b"")
    seen = events(r)
    layer = small.layers[0]
    assert seen[0] == {"event": "resolving", "reference": name}
    assert seen[1] == {"event": "resolved", "reference": name, "manifest_digest": small.digest,
                       "layer_count": 1, "total_bytes": len(layer.blob)}
    progress = [e for e in seen if e["event"] == "layer_download_progress"]
    assert progress and all(0 < e["downloaded_bytes"] <= e["total_bytes"] == len(layer.blob) and
                            e["digest"] == layer.digest for e in progress)
    assert [e["event"] for e in seen[2 + len(progress):]] == [
        "layer_download_complete", "layer_materialize_complete", "stitch_merging_trees",
        "complete"]
    [image] = seen[-1]["images"]
    assert (image["reference"], image["digest"], image["cached"]) == (name, small.digest, False)
    seen = events(fresh("pull", "--progress", "json", name))
    assert [e["event"] for e in seen] == ["resolving", "resolved", "complete"]
    assert seen[-1]["images"][0]["cached"]


def test_events_of_a_load(fresh, archives):
    seen = events(fresh("load", "--progress", "json", "-i", archives["busybox"], "-t", "a", "-t",
                        "b"))
    assert "layer_materialize_complete" in [e["event"] for e in seen]
    assert [image["reference"] for image in seen[-1]["images"]] == ["a", "b"]


@pytest.mark.parametrize("fault, code", [("404", "not_found"), ("wrong-digest", "corrupt")])
def test_events_of_a_failure(fresh, fake, fault, code):
    fake.fault = fault
    r = fresh("pull", "--progress", "json", fake.host + "/x")
    last = events(r)[-1]
    assert r.rc == 1 and last["event"] == "error"
    assert last["error"]["code"] == code and last["error"]["message"], last
    assert b"error: " in r.err


def test_events_of_what_never_began(fresh, fake):
    fake.fault = "404"
    [event] = events(fresh("pull", "--progress", "json", "NOT A REFERENCE"))
    assert (event["event"], event["error"]["code"]) == ("error", "invalid")


def test_event_of_an_interruption(fresh, slow):
    p = fresh.popen("pull", "--progress", "json", slow.host + "/x")
    seen = read_until(p.stdout.fileno(), b"layer_download_progress")
    p.send_signal(signal.SIGTERM)
    out, _ = p.communicate(timeout=LIMIT)
    assert p.returncode == -signal.SIGTERM
    last = json.loads((seen + out).decode().splitlines()[-1])
    assert last["event"] == "error" and last["error"]["code"] == "cancelled"


def test_list_of_what_was_loaded(fresh, tmp_path, small):
    path = oci.write_oci(str(tmp_path / "i.tar"), {"one": small, "two:v2": oci.busybox(Cmd=["x"])})
    r = fresh("load", "--format", "json", "-i", path)
    images = json.loads(r.ok())
    assert [image["reference"] for image in images] == ["one", "two:v2"]
    assert images[0]["digest"] == small.digest and images[0]["size_bytes"] > 0
    assert fresh("load", "-q", "-i", path).ok() == b"one\ntwo:v2\n"
    # A tag is for the first.
    assert fresh("load", "-q", "-i", path, "-t", "a", "-t", "b").ok() == b"a\nb\ntwo:v2\n"
