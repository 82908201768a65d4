"""msb-vmm and msb-net under strace: they make the system calls that are declared, and no others."""
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import threading
from collections import defaultdict

import pytest

from harness import below, wait_for_exit
from shares import Guest
from vmm import MACHINE

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TRANSPORT = {"qemu": "vhost_user", "kvm": "mmio"}[MACHINE]
# Kinds of threads by the names of the threads.
DEVICES = ["blk", "vsock", "rng", "fs"] + (["balloon"] if MACHINE == "kvm" else [])
KINDS = {name: f"{name}_{TRANSPORT}" for name in DEVICES}
KINDS["main"] = "main_" + MACHINE
if MACHINE == "kvm":
    KINDS |= {f"vcpu{i}": "vcpu" for i in range(2)}

LINE = re.compile(r"(\w+)\((.*)")
THREAD = re.compile(r"CLONE_THREAD.* = (\d+)$")
NAME = re.compile(r'PR_SET_NAME, "(\w+)"')
# What strace calls values that have several names.
SPELLINGS = {"IPPROTO_IP": "0", "SOL_TCP": "IPPROTO_TCP"}


def mkjail(option, *sources):
    return subprocess.run([os.path.join(ROOT, "tools/mkjail"), option, *map(str, sources)],
                          capture_output=True, text=True, check=False)


# The folders that a program consists of; the last is its own.
PROGRAMS = {"msb-vmm": ("base", "virtio", "fs", "vmm"), "msb-net": ("base", "net")}


def lists(option, program="msb-vmm"):
    """What tools/mkjail makes of a program's sources."""
    parts = PROGRAMS[program]
    sources = [path for part in parts
               for path in sorted(pathlib.Path(ROOT, "src", part).rglob("*.c"))]
    r = mkjail(option, os.path.join(ROOT, "src", parts[-1], "jail.h"), *sources)
    assert r.returncode == 0, r.stderr
    return r.stdout


def read_thread(path, kind, calls):
    """Adds what a thread called under its filter; returns the threads that it made."""
    threads, filtered = [], False
    with open(path, encoding="utf-8", errors="replace") as f:
        for line in f:
            assert "SIGSYS" not in line, (kind, line)
            if not (match := LINE.match(line)):
                continue
            call, rest = match.groups()
            if filtered:
                calls[kind].add((call, rest))
            elif call == "seccomp" and rest.startswith("SECCOMP_SET_MODE_FILTER"):
                filtered = True
            elif call == "prctl" and (name := NAME.search(rest)):
                kind = KINDS[name.group(1)]
            elif call == "clone3" and (thread := THREAD.search(rest)):
                threads.append(thread.group(1))
    assert filtered, kind
    return threads


def read_trace(folder, pid, calls):
    """The system calls of msb-vmm's threads as (name, arguments) by kind; strace -ff has a file for
    each."""
    path = os.path.join(folder, "trace.")
    for thread in read_thread(path + str(pid), KINDS["main"], calls):
        assert not read_thread(path + thread, "unnamed", calls)


def matches(entry, call, rest):
    """Does a declaration allow the call?"""
    if entry["name"] != call:
        return False
    given = [set(SPELLINGS.get(text, text).split("|")) for text in re.split(r", |\)", rest)]
    if entry["inverted"]:
        return not any(value in given[i] for i, value in entry["arguments"])
    return all(set(value.split("|")) == given[i] for i, value in entry["arguments"])


def use_shares(vmm):
    """Two directories, one with the owners of the host, and a file."""
    vmm.run("mkdir /s/0/table /s/1/table")
    for share in "01":
        # The second cannot have everything.
        r = vmm.exec("fscheck", "table", f"/s/{share}/table")
        assert share == "1" or r.rc == 0, r
    vmm.run("chown 1 /s/1/table; echo more >>/s/2; cat /s/2; df /s/0/table")


def exercise(vmm):
    """Everything that the devices can be asked for."""
    vmm.boot()
    use_shares(vmm)
    # More than sockets hold, to a reader that has not begun; and to one that never does.
    slow = vmm.start("head", "-c", "3000000", "/dev/zero")
    gone = vmm.start("cat", "/dev/zero")
    assert vmm.exec("wc", "-c", stdin=b"x" * 500000).out == b"500000\n"
    gone.close()
    assert len(vmm.finish(slow).out) == 3000000
    assert vmm.shell("dd if=/dev/hwrng of=/dev/null bs=512 count=4").rc == 0
    r = vmm.shell("dd if=/dev/urandom of=/x bs=1M count=16 && sync && rm /x && sync &&"
                  "mkdir -p /mnt && mount -t ext4 /dev/vdb /mnt && fstrim /mnt && umount /mnt")
    assert r.rc == 0, r
    assert vmm.exec("nproc").out == b"2\n"
    assert vmm.command("pause") == "ok"
    assert vmm.command("resume") == "ok"
    if MACHINE == "kvm":
        vmm.save(vmm.path("saved"))


def need_strace():
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """Calls by kind of thread in two runs: the guest ends the one, we end the other."""
    need_strace()
    calls = defaultdict(set)
    for stop in (False, True):
        folder = tmp_path_factory.mktemp("jail")
        # Without MSB_DEBUG strace may not read the names of the threads. QEMU goes untraced.
        shares = [folder / "shared", folder / "real", folder / "file"]
        for share in shares[:2]:
            share.mkdir()
        shares[2].write_text("text\n")
        with Guest(folder, shares[:1], (shares[1], "virt=off"), (shares[2], "file"), cpus=2,
                   env={"MSB_DEBUG": "1"},
                   wrapper=["strace", "-ff", "-b", "execve", "-o", f"{folder}/trace", "--"]) as vmm:
            if stop:
                vmm.next_offer()
                pid = vmm.pid()
                os.kill(pid, signal.SIGTERM)
                assert vmm.wait() == 1
                assert vmm.events() == [f"start {MACHINE}", "end killed"]
            else:
                exercise(vmm)
                pid = vmm.pid()
                vmm.shutdown()
                assert vmm.wait() == 0
                assert vmm.events() == [f"start {MACHINE}", "end reboot"]
        read_trace(folder, pid, calls)
    return calls


def test_every_thread_is_confined(seen):
    assert set(seen) == set(KINDS.values())


def compare(entries, calls):
    """What was called but is not declared, and the other way round."""
    unknown = {f"{call}({rest}" for call, rest in calls
               if not any(matches(entry, call, rest) for entry in entries)}
    unused = [entry["text"] for entry in entries if not entry["maybe"]
              and not any(matches(entry, call, rest) for call, rest in calls)]
    return unknown, unused


@pytest.mark.parametrize("kind", sorted(set(KINDS.values())))
def test_declared_calls(seen, kind):
    assert compare(json.loads(lists("--json"))[kind], seen[kind]) == (set(), [])


# --- msb-net -----------------------------------------------------------------------------------


class Peers:
    """What the guest talks to on the host, by IPv4 and IPv6: TCP and UDP that send everything back,
    and a name server that knows nothing."""

    def __init__(self):
        self.datagrams = []
        self.tcp = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
        self.udp, self.dns = (socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) for _ in range(2))
        for s in (self.udp, self.dns):
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            s.bind(("::", 0))
        for serve in (self.serve_tcp, self.serve_udp, self.serve_dns):
            threading.Thread(target=serve, daemon=True).start()

    def serve_tcp(self):
        while True:
            client, _ = self.tcp.accept()
            with client:
                while data := client.recv(65536):
                    client.sendall(data)

    def serve_udp(self):
        while True:
            data, sender = self.udp.recvfrom(65536)
            self.datagrams.append(data)
            self.udp.sendto(data, sender)

    def serve_dns(self):
        while True:
            question, asker = self.dns.recvfrom(65536)
            # NXDOMAIN: the header of an answer, and the question without what follows it.
            end = question.index(b"\0", 12) + 5
            self.dns.sendto(question[:2] + b"\x81\x83\0\x01\0\0\0\0\0\0" + question[12:end], asker)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def use_network(msb, name, peers, published):
    """Everything that the network can be asked for, and what it refuses."""
    def shell(script, stdin=b""):
        return msb("exec", name, "--", "sh", "-c", script, stdin=stdin)

    gateway = shell("sed -n 's/^nameserver //p' /etc/resolv.conf").text().strip()
    tcp, udp = peers.tcp.getsockname()[1], peers.udp.getsockname()[1]
    # More than the sockets and the rings hold.
    sent = os.urandom(4 << 20)
    for host in gateway, "host.microsandbox.internal":
        assert shell(f"nc {host} {tcp}", sent).ok() == sent
        shell(f"timeout 1 tftp -g -r x -l /dev/null {host} {udp}")
        shell(f"timeout 1 ping -c 1 {host}")
        assert shell(f"nc -w 3 {host} {free_port()} </dev/null").rc != 0
    assert shell("nslookup no.such.example").rc != 0
    # Not allowed: an address of metadata services.
    assert shell("nc -w 3 169.254.169.254 80 </dev/null").rc != 0
    assert len(peers.datagrams) >= 2
    guest = msb.popen("exec", name, "--", "sh", "-c", "echo ready; nc -l -p 8000",
                      stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert guest.stdout.readline() == b"ready\n"
    while True:
        with socket.create_connection(("127.0.0.1", published)) as s:
            s.sendall(b"to the guest")
            s.shutdown(socket.SHUT_WR)
            guest.stdin.close()
            s.settimeout(1)
            try:
                s.recv(1)
                break
            except (TimeoutError, ConnectionError):
                continue
    assert guest.wait() == 0 and guest.stdout.read() == b"to the guest"


def test_network_process(msb, name, tmp_path):
    need_strace()
    peers, published = Peers(), free_port()
    before = set(below(os.getpid(), "msb-net"))
    # Without MSB_DEBUG strace may not attach.
    msb("create", "-q", "--name", name, "-m", "64M", "--net-rule", "allow@host", "-p", f"127.0.0.1:{published}:8000",
        "--dns-nameserver", f"127.0.0.1:{peers.dns.getsockname()[1]}", "busybox",
        env={"MSB_DEBUG": "1"}).ok()
    pid, = set(below(os.getpid(), "msb-net")) - before
    trace = tmp_path / "trace"
    with subprocess.Popen(["strace", "-o", trace, "-p", str(pid)], stderr=subprocess.PIPE) as strace:
        try:
            assert b"attached" in strace.stderr.readline()
            use_network(msb, name, peers, published)
        finally:
            # Which ends strace, too.
            os.kill(pid, signal.SIGTERM)
        wait_for_exit([pid])
    lines = trace.read_text(encoding="utf-8", errors="replace").splitlines()
    assert "SIGSYS" not in "\n".join(lines)
    calls = {match.groups() for line in lines if (match := LINE.match(line))}
    entries = json.loads(lists("--json", "msb-net"))["main_net"]
    assert compare(entries, calls) == (set(), [])


# --- tools/mkjail ------------------------------------------------------------------------------


@pytest.mark.parametrize("declaration, complaint", [
    ("#syscalls:x openat", "no thread of kind may call openat"),
    ("#syscalls:x socket(AF_INET,SOCK_STREAM,0)", "no thread of kind may call socket"),
    ("#syscalls:x clone3", "no thread of kind may call clone3"),
    ("#syscalls?:x execve -- sometimes", "no thread of kind may call execve"),
    ("#syscalls:x connect", "no thread of kind may call connect"),
    ("#syscalls:x socket", "socket is declared with conditions on 3 arguments"),
    ("#syscalls:x setsockopt(SOL_TCP)", "setsockopt is declared with conditions on 2 arguments"),
    ("#syscalls:x ioctl", "ioctl is declared with conditions on 1 arguments"),
    ("#syscalls:x socketpair(AF_UNIX)", "socketpair is declared with conditions on 2 arguments"),
    ("#syscalls:x read(3)", "read is declared with conditions on 0 arguments"),
    ("#syscalls:x mmap(!PROT_EXEC) mmap(PROT_READ)", "do not go together"),
    ("#syscalls:x read, write", "'read,' is no system call"),
    ("#syscalls?:x read", "a reason belongs to #syscalls?"),
    ("#syscalls:x read -- because", "a reason belongs to #syscalls?"),
    ("#syscalls: read", "malformed declaration"),
    ("#syscalls:x read */ int /* #syscalls:y write", "is no system call"),
    ("and #syscalls:x read", "malformed declaration"),
    ("#syscalls:y read", "nothing is declared for 'x'"),
    ("#syscalls:x read\n * #syscalls:y read", "no kind of thread names y"),
])
def test_refused_declarations(tmp_path, declaration, complaint):
    source = tmp_path / "source.c"
    source.write_text(f"\tJAIL_KIND, /* #union: x */\n/*\n * {declaration}\n */\n")
    r = mkjail(f"--header={tmp_path / 'out.h'}", source)
    assert r.returncode == 1 and complaint in r.stderr
    assert not (tmp_path / "out.h").exists()


def test_union(tmp_path):
    """Each call once; in the order of the tags; sure if one part makes it for sure."""
    source = tmp_path / "source.c"
    source.write_text("\tJAIL_ONE,   /* #union: b a */\n"
                      "\tJAIL_OTHER, /* #union: a */\n"
                      "/* #syscalls:a read write */\n"
                      "/* #syscalls?:b write close -- at times */\n")
    found = json.loads(mkjail("--json", source).stdout)
    assert [(c["text"], c["maybe"]) for c in found["one"]] == [
        ("write", False), ("close", True), ("read", False)]
    assert [c["text"] for c in found["other"]] == ["read", "write"]


def test_sockets_of_the_network(tmp_path):
    """What one kind may call and others may not is a matter of its name, and it is not all."""
    source = tmp_path / "source.c"

    def make(kind, calls):
        source.write_text(f"\t{kind}, /* #union: x */\n/* #syscalls:x {calls} */\n")
        return mkjail("--json", source)

    r = make("JAIL_MAIN_NET", "socket(AF_INET,SOCK_STREAM,0) socket(AF_INET6,SOCK_STREAM,0) connect")
    assert [c["name"] for c in json.loads(r.stdout)["main_net"]] == ["socket", "socket", "connect"]
    for call in ("bind", "listen", "openat", "execve", "clone3", "fork", "ptrace", "kill", "pidfd_open", "mprotect"):
        assert f"no thread of main_net may call {call}" in make("JAIL_MAIN_NET", call).stderr
    assert "may call connect" in make("JAIL_MAIN_NETS", "connect").stderr
    assert "may call connect" in make("JAIL_NET_MMIO", "connect").stderr


@pytest.mark.parametrize("program", PROGRAMS)
def test_documentation(program):
    """docs/security.md shows the lists as they are."""
    text = pathlib.Path(ROOT, "docs/security.md").read_text(encoding="utf-8")
    assert lists("--table", program) in text
