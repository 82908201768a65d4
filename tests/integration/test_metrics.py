"""msb metrics: what sandboxes use, as their monitors see it."""
import http.client
import json
import os
import re
import signal
import socket
from urllib.parse import urlparse

import pytest

import harness
from conftest import KEPT
from harness import LIMIT, finish

pytestmark = pytest.mark.lab

MIB = 1 << 20

SERIES = re.compile(r'([a-z_]+)\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*",?)+)\} '
                    r'(\d+(?:\.\d+)?)')


def metrics(msb, name):
    return json.loads(msb("metrics", "--format", "json", name).ok())


def parse(text):
    """Prometheus' text as a dict; whatever is no line of it fails."""
    found, family = {}, None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            family = line.split()[2]
        elif line.startswith("# TYPE "):
            assert line.split()[2:] in ([family, "gauge"], [family, "counter"])
        else:
            match = SERIES.fullmatch(line)
            assert match and match[1] == family, line
            assert (match[1], match[2]) not in found
            found[match[1], match[2]] = float(match[3])
    assert text.endswith("\n")
    return found


@pytest.fixture(scope="module")
def busy(shared):
    """A sandbox that has everything to do."""
    shared("run", "-d", "-q", "-m", "128M", "-n", "busy", "--label", "app.role=a \"b\"\\",
           "busybox", "--", "sh", "-c", "while :; do :; done").ok()
    KEPT.add("busy")
    yield "busy"
    KEPT.remove("busy")
    shared("rm", "-f", "-q", "busy").ok()


def test_values(msb, busy):
    first = metrics(msb, busy)
    assert first["name"] == busy and first["state"] == "running" and first["cpus"] == 1
    assert first["memory_limit_bytes"] == 128 * MIB
    assert 4 * MIB < first["memory_bytes"] <= 128 * MIB
    assert first["memory_host_resident_bytes"] >= first["memory_bytes"]
    assert 0 < first["upper_host_allocated_bytes"] < first["upper_size_bytes"]
    assert first["disks"]["image"]["read_bytes"] > 0 and first["disks"]["image"]["writes"] == 0
    assert first["net_rx_bytes"] >= 0 and first["net_tx_bytes"] >= 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT.*\+00:00", first["timestamp"])
    assert first["labels"] == {"app.role": "a \"b\"\\"}
    later = harness.wait_for(
        lambda: (m := metrics(msb, busy))["vcpu_time_ns"] > first["vcpu_time_ns"] + 10**9 and m,
        "it uses no processor time")
    assert later["uptime_secs"] >= first["uptime_secs"]
    assert harness.wait_for(lambda: metrics(msb, busy)["cpu_percent"] > 1, "it has no load")


def test_disk(msb, box):
    before = metrics(msb, box)
    msb("exec", box, "--", "sh", "-c",
        "dd if=/dev/urandom of=/written bs=1M count=8 && sync && rm /written").ok()
    after = metrics(msb, box)
    assert after["disk_write_bytes"] >= before["disk_write_bytes"] + 8 * MIB
    assert after["disks"]["upper"]["writes"] > before["disks"]["upper"]["writes"]
    assert after["upper_host_allocated_bytes"] > before["upper_host_allocated_bytes"]


def test_table(msb, busy, box, name):
    text = msb("metrics").text()
    head, *lines = text.splitlines()
    assert re.split(r" {2,}", head) == ["NAME", "STATE", "CPU", "MEM", "DISK R/W /s",
                                        "NET RX/TX /s", "UPTIME"]
    assert [line.split()[0] for line in lines] == sorted([busy, box])
    assert re.search(rf"^{busy} +running +\d+\.\d\d / 1c +\d+\.\d MiB / 128\.0 MiB +", text, re.M)
    lines = msb("metrics", "--sort", "cpu", box, busy).text().splitlines()
    assert len(lines) == 3

    msb("run", "-q", "-m", "128M", "-n", name, "busybox", "--", "true").ok()
    assert name not in msb("metrics").text()
    assert re.search(rf"^{name} +stopped +-", msb("metrics", "-a").text(), re.M)
    assert json.loads(msb("metrics", "-a", "--format", "json", name).ok())["state"] == "stopped"
    listed = json.loads(msb("metrics", "--format", "json", "--label", "app.role").ok())
    assert [m["name"] for m in listed] == [busy]


def test_paused(msb, name):
    msb("create", "-q", "-m", "128M", "-n", name, "busybox").ok()
    msb("pause", "-q", name).ok()
    assert metrics(msb, name)["state"] == "paused"
    harness.wait_for(lambda: metrics(msb, name)["cpu_percent"] < 10, "it is still at work")


def test_stalled(msb, box, name):
    """A monitor that does not answer is waited for, but not for ever, and keeps no other."""
    before = set(harness.below(os.getpid(), "msb-monitor"))
    msb("create", "-q", "-m", "128M", "-n", name, "busybox").ok()
    monitor, = set(harness.below(os.getpid(), "msb-monitor")) - before
    os.kill(monitor, signal.SIGSTOP)
    try:
        listed = json.loads(msb("metrics", "--format", "json", name, box).ok())
    finally:
        os.kill(monitor, signal.SIGCONT)
    assert {m["name"]: m["state"] for m in listed} == {name: "stalled", box: "running"}


def test_prometheus(msb, busy):
    found = parse(msb("metrics", "--prometheus").text())
    labels = 'name="busy",label_app_role="a \\"b\\"\\\\"'
    assert found["msb_cpu_seconds_total", labels] > 0
    assert found["msb_memory_limit_bytes", labels] == 128 * MIB
    assert ("msb_disk_read_bytes_total",
            'name="busy",disk="image",label_app_role="a \\"b\\"\\\\"') in found


def request(url, text):
    """What comes back for some bytes, up to the end of the connection."""
    at = urlparse(url)
    with socket.create_connection((at.hostname, at.port), timeout=LIMIT) as s:
        s.sendall(text)
        answer = b""
        while piece := s.recv(65536):
            answer += piece
    return answer


def test_server(msb, busy):
    p = msb.popen("metrics", "--prometheus", "--listen", "127.0.0.1:0")
    url = p.stdout.readline().decode().strip()
    at = urlparse(url)
    try:
        for _ in range(3):
            client = http.client.HTTPConnection(at.hostname, at.port, timeout=LIMIT)
            client.request("GET", at.path)
            answer = client.getresponse()
            body = answer.read().decode()
            assert answer.status == 200
            assert answer.getheader("Content-Type").startswith("text/plain; version=0.0.4")
            assert any(key[0] == "msb_uptime_seconds" for key in parse(body))
        for path in (b"GET / HTTP/1.1", b"POST /metrics HTTP/1.1", b"GET /metrics/x HTTP/1.1", b"",
                     b"GET /metrics", b"\0\xff"):
            assert request(url, path + b"\r\n\r\n").startswith(b"HTTP/1.1 404 ")
        assert request(url, b"x" * 8192).startswith(b"HTTP/1.1 400 ")
        # Many that say nothing do not keep the others away for ever, and cost nothing.
        silent = [socket.create_connection((at.hostname, at.port)) for _ in range(20)]
        assert request(url, b"GET /metrics HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200 ")
        for s in silent:
            s.close()
    finally:
        p.send_signal(signal.SIGTERM)
        r = finish(p)
    assert (r.rc, r.err) == (0, b"")


def test_watch(msb, busy):
    p = msb.popen("metrics", "-w", "--interval", "100ms", "--format", "json", busy)
    seen = [json.loads(p.stdout.readline()) for _ in range(3)]
    assert all(m["name"] == busy for m in seen)
    assert seen[0]["vcpu_time_ns"] <= seen[1]["vcpu_time_ns"] <= seen[2]["vcpu_time_ns"]
    p.send_signal(signal.SIGINT)
    assert finish(p).rc == -signal.SIGINT


def test_watch_until_the_end(msb, name):
    msb("create", "-q", "-m", "128M", "-n", name, "busybox").ok()
    p = msb.popen("metrics", "-w", "--interval", "100ms", name)
    harness.read_until(p.stdout.fileno(), name.encode())
    msb("stop", "-q", "-t", "0", name).ok()
    r = finish(p)
    assert (r.rc, r.err) == (0, b"")


def test_watch_on_a_terminal(terminal, busy):
    t = terminal("metrics", "-w", "--interval", "100ms")
    seen = t.expect(b"\033[3A")  # back to the first line of three
    assert b"UPTIME" in seen and busy.encode() in seen
    t.write(b"\x03")
    t.wait()


def test_errors(msb, name, fresh, box):
    msb("metrics", "absent").failed(1, "sandbox not found: absent")
    msb("run", "-q", "-m", "128M", "-n", name, "busybox", "--", "true").ok()
    msb("metrics", name).failed(1, f"sandbox is not running: {name}")
    msb("metrics", box, name).failed(1, f"sandbox is not running: {name}")
    msb("metrics", "--interval", "1s").failed(2, "--watch")
    msb("metrics", "-w", "--interval", "0").failed(2, "at least 100 ms")
    msb("metrics", "-w", "--interval", "ms").failed(2, "invalid duration")
    msb("metrics", "--listen", "127.0.0.1:0").failed(2, "--prometheus")
    msb("metrics", "--prometheus", "--listen", "0.0.0.0:0").failed(2, "loopback")
    msb("metrics", "--prometheus", "--format", "json").failed(2, "cannot be used")
    r = fresh("metrics")
    assert (r.rc, r.out, r.err) == (0, b"", b"No running sandboxes.\n")
    assert json.loads(fresh("metrics", "--format", "json").ok()) == []
    assert parse(fresh("metrics", "--prometheus").text()) == {}
