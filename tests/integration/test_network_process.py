"""The network of a sandbox as one of its processes: who starts it, what it is told, how it ends."""
import json
import os
import re
import signal
import socket

import harness
import oci
import pytest
from harness import finish, read_until

pytestmark = pytest.mark.lab

SMALL = ["-q", "-m", "128M"]
IDLE = ["sh", "-c", "echo ready; exec sleep 1000000"]
SERVE = "mkdir /www; echo served >/www/page; exec httpd -f -p 80 -h /www"


def create(msb, name, *options):
    """A running sandbox; its processes by name."""
    before = harness.runtime_processes()
    msb("create", *SMALL, "--name", name, *options, "busybox").ok()
    return harness.new_processes(before)


def inside(msb, name, script):
    return msb("exec", name, "--", "sh", "-c", script).text()


def last_end(msb, name):
    return json.loads(msb("inspect", "--format", "json", name).ok())["last_end"]


def system_log(msb, name):
    return msb("logs", "--source", "system", name).text()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def get(port, path="/page"):
    with socket.create_connection(("127.0.0.1", port), timeout=harness.LIMIT) as s:
        s.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        answer = b""
        while piece := s.recv(4096):
            answer += piece
    return answer.split(b"\r\n\r\n", 1)[1]


# --- processes ----------------------------------------------------------------------------------


def test_lives_with_its_sandbox(msb, name):
    mine = create(msb, name, "--proxy", "socks5://user:p4ssw0rd@192.0.2.1:1080")
    assert sorted(mine) == sorted(harness.SANDBOX_PROCESSES)
    assert harness.all_processes()[mine["msb-net"]].ppid == mine["msb-monitor"]
    for process in mine.values():
        for file in ("cmdline", "environ"):
            with open(f"/proc/{process}/{file}", "rb") as f:
                assert b"p4ssw0rd" not in f.read()
    msb("stop", "-q", name).ok()
    harness.wait_for_exit(mine.values())
    assert msb.sandboxes()[name] == "Stopped"


def test_no_network(msb, name):
    mine = create(msb, name, "--no-net")
    assert sorted(mine) == sorted(set(harness.SANDBOX_PROCESSES) - {"msb-net"})
    assert inside(msb, name, "ip -o link").count("link/ether") <= 1  # the kernel's dummy
    assert inside(msb, name, "ip route; ip -6 route; cat /etc/resolv.conf 2>/dev/null; :") == ""
    assert harness.ask_monitor(msb, op="ports") == {"ok": True, "ports": []}
    shown = json.loads(msb("metrics", "--format", "json", name).ok())
    assert shown["net_rx_bytes"] == shown["net_tx_bytes"] == 0


@pytest.mark.parametrize("victim", ["msb-net", "msb-monitor", "msb-vmm"])
def test_killed(msb, name, victim):
    """Whichever dies takes the others along."""
    mine = create(msb, name)
    os.kill(mine[victim], signal.SIGKILL)
    harness.wait_for_exit(mine.values())
    assert msb.sandboxes()[name] == "Crashed"
    if victim == "msb-net":
        end = last_end(msb, name)
        assert end["cause"] == "Crashed"
        assert end["reason"] == "the network's process was killed by signal 9"
    assert msb("exec", name, "--", "echo", "again").ok() == b"again\n"


def test_killed_under_a_client(msb):
    """The user is told why the command ended."""
    before = harness.runtime_processes()
    p = msb.popen("run", *SMALL, "busybox", "--", *IDLE)
    read_until(p.stdout.fileno(), b"ready")
    mine = harness.new_processes(before)
    os.kill(mine["msb-net"], signal.SIGKILL)
    r = finish(p)
    assert r.rc == 1 and b"the network's process was killed by signal 9" in r.err, r
    harness.wait_for_exit(mine.values())


def test_killed_while_the_sandbox_stops(msb, name):
    """What ends anyway ends as it would have."""
    mine = create(msb, name)
    p = msb.popen("stop", "-q", name)
    os.kill(mine["msb-net"], signal.SIGKILL)
    assert finish(p).rc == 0
    harness.wait_for_exit(mine.values())
    assert msb.sandboxes()[name] in ("Stopped", "Crashed")  # by who was first


def test_goes_on_after_a_pause(msb, name):
    port = free_port()
    before = harness.runtime_processes()
    msb("run", "-d", *SMALL, "--name", name, "-p", f"{port}:80", "busybox", "--", "sh", "-c",
        SERVE).ok()
    mine = harness.new_processes(before)
    harness.wait_for(lambda: inside(msb, name, "ls /www/page 2>/dev/null; :"), "no server")
    harness.wait_for(lambda: "0050" in inside(msb, name, "cat /proc/net/tcp*"), "no listener")
    assert get(port) == b"served\n"
    msb("pause", "-q", name).ok()
    assert not harness.all_processes()[mine["msb-net"]].dead
    msb("resume", "-q", name).ok()
    assert get(port) == b"served\n"
    assert re.search(r"network: visit tcp 127\.0\.0\.1:\d+ to port 80", system_log(msb, name))


# --- the guest's side ---------------------------------------------------------------------------


def test_interface(msb, name):
    """All is there when the first program runs, and is what the place in the plan says."""
    r = msb("run", *SMALL, "--name", name, "busybox", "--", "sh", "-c",
            "ip -o addr; ip route; ip -6 route; cat /etc/resolv.conf; "
            "cat /proc/sys/net/ipv4/ping_group_range; cat /sys/class/net/eth0/address "
            "/sys/class/net/eth0/mtu")
    out = r.text()
    mac = re.search(r"02:6d:73:(..):(..):02", out)
    slot = int(mac[1] + mac[2], 16)
    address = (172 << 24) + (16 << 16) + 4 * slot
    gateway, guest = (".".join(str(a >> s & 255) for s in (24, 16, 8, 0))
                      for a in (address + 1, address + 2))
    assert f"inet {guest}/30" in out
    assert f"default via {gateway} dev eth0" in out
    assert f"inet6 fd42:6d73:62:{slot:x}::2/64" in out
    assert f"default via fd42:6d73:62:{slot:x}::1 dev eth0" in out
    assert "tentative" not in re.search(r"inet6 fd42.*", out)[0]
    assert f"\nnameserver {gateway}\n0\t2147483647\n" in out
    assert out.endswith("\n1500\n")


def test_each_has_its_own_address(msb, name):
    show = "ip -o -4 addr show dev eth0"
    other = name + "-other"
    create(msb, name)
    create(msb, other)
    try:
        first, second = inside(msb, name, show), inside(msb, other, show)
        assert first != second
        msb("restart", "-q", name).ok()
        assert inside(msb, name, show) == first
    finally:
        msb("rm", "-f", "-q", other).ok()


@pytest.mark.parametrize("options, own", [([], False), (["--no-net"], True)])
def test_resolv_conf_of_the_image(fresh, tmp_path, options, own):
    """A link, as many images have, is replaced where there is a network; the disk is not touched."""
    tar = oci.busybox_tar()
    tar.file("run/resolve/stub.conf", "nameserver 192.0.2.53\n")
    tar.symlink("etc/resolv.conf", "../run/resolve/stub.conf")
    archive = oci.write_oci(str(tmp_path / "i.tar"), {"linked": oci.Image([oci.Layer(tar)])})
    fresh("load", "-q", "-i", archive).ok()
    r = fresh("run", *SMALL, *options, "linked", "--", "/bin/sh", "-c",
              "cat /etc/resolv.conf /run/resolve/stub.conf")
    lines = r.text().splitlines()
    assert lines[1] == "nameserver 192.0.2.53"
    assert (lines[0] == lines[1]) == own


def test_loopback_answers_by_name(msb):
    r = msb("run", *SMALL, "busybox", "--", "sh", "-c",
            "nslookup host.microsandbox.internal; ping -c 1 -W 9 127.0.0.1")
    assert "Address: 172." in r.text() and "1 packets received" in r.text()


def test_denials_are_told(msb, name):
    create(msb, name)
    assert "can't connect" in inside(msb, name, "nc 10.1.2.3 80 2>&1; :")
    harness.wait_for(lambda: "network: deny tcp 10.1.2.3:80" in system_log(msb, name), "no line")


def test_traffic_is_counted(msb, name):
    create(msb, name)
    before = json.loads(msb("metrics", "--format", "json", name).ok())
    inside(msb, name, "nslookup host.microsandbox.internal >/dev/null")
    after = json.loads(msb("metrics", "--format", "json", name).ok())
    for key in ("net_rx_bytes", "net_tx_bytes", "net_rx_frames", "net_tx_frames"):
        assert after[key] > before[key], key


def test_timing(msb):
    err = msb("run", "--timing", *SMALL, "busybox", "--", "true").err.decode()
    assert re.search(r"^net +\d+\.\d$", err, re.M), err
    err = msb("run", "--timing", "--no-net", *SMALL, "busybox", "--", "true").err.decode()
    assert not re.search(r"^net ", err, re.M), err


# --- published ports ----------------------------------------------------------------------------


def test_chosen_ports(msb, name):
    create(msb, name, "-p", "0:80", "-p", "127.0.0.2:0:53/udp")
    ports = harness.ask_monitor(msb, op="ports")["ports"]
    assert [(p["protocol"], p["bind"], p["guest_port"]) for p in ports] == [
        ("tcp", "127.0.0.1", 80), ("udp", "127.0.0.2", 53)]
    assert all(p["host_port"] for p in ports)
    assert f"127.0.0.1:{ports[0]['host_port']}->80/tcp" in msb("ps").text()
    msb("stop", "-q", name).ok()
    with socket.socket() as s:
        s.bind(("127.0.0.1", ports[0]["host_port"]))  # it is free again


def test_busy_port(msb, name):
    """A clear error of the start; of an unnamed sandbox nothing is left, a named one has failed."""
    before = set(harness.runtime_processes())
    kept = set(msb.sandboxes())
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
        options = [*SMALL, "-p", f"{port}:80"]
        r = msb("run", *options, "busybox", "--", "true")
        error = r.failed(1, f"port 127.0.0.1:{port}/tcp is already in use")
        assert "port 0" in r.err.decode() and error.count("\n") == 0
        assert set(msb.sandboxes()) == kept and set(harness.runtime_processes()) == before
        msb("run", "-d", *options, "busybox", "--", *IDLE).failed(1, "is already in use")
        assert set(msb.sandboxes()) == kept

        msb("create", *options, "--name", name, "busybox").failed(1, "is already in use")
        assert msb.sandboxes()[name] == "Failed"
        end = last_end(msb, name)
        assert end["cause"] == "BootFailed" and f":{port}/tcp is already in use" in end["reason"]
        msb("start", "-q", name).failed(1, "is already in use")
        harness.wait_for_exit(set(harness.runtime_processes()) - before)
    msb("start", "-q", name).ok()
    assert msb.sandboxes()[name] == "Running"
