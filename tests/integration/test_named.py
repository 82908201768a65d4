"""Sandboxes with a name: their life, their files, their logs."""
import json
import re

import pytest

import harness
from harness import finish

pytestmark = pytest.mark.lab

FOR_EVER = ["sleep", "1000000"]


def create(msb, name, *options):
    msb("create", "-q", "-m", "128M", "--name", name, *options, "busybox").ok()


def test_files_survive(msb, name):
    msb("run", "--name", name, "busybox", "--", "sh", "-c",
        "echo kept >/root/file; chmod 600 /root/file").ok()
    assert msb.sandboxes()[name] == "Stopped"
    r = msb("run", "--name", name, "busybox", "--", "sh", "-c",
            "stat -c %a /root/file; cat /root/file")
    assert r.ok() == b"600\nkept\n"
    assert b"already exists" in r.err
    assert msb("exec", name, "--", "cat", "/root/file").ok() == b"kept\n"  # started for it
    assert msb.sandboxes()[name] == "Stopped"
    msb("rm", name).ok()
    assert name not in msb.sandboxes()
    msb("exec", name, "--", "true").failed(1, "not found")


def test_configuration_is_kept(msb, name):
    """What was given when it was created holds for every later start."""
    create(msb, name, "-c", "2", "-e", "KEY=value", "-w", "/tmp", "-u", "user", "-H", "its-host",
           "--tmpfs", "/x:8M")
    probe = ["sh", "-c", "echo $(nproc) $KEY $(pwd) $(id -un) $(hostname) "
                         "$(df -k /x | awk 'END { print $2 }')"]
    first = msb("exec", name, "--", *probe).ok()
    assert first == b"2 value /tmp user its-host 8192\n"
    msb("stop", "-q", name).ok()
    msb("start", "-q", name).ok()
    assert msb("exec", name, "--", *probe).ok() == first
    overridden = msb("exec", "-e", "KEY=other", "-w", "/", "-u", "root", name, "--", "sh", "-c",
                     "echo $KEY $(pwd) $(id -un)")
    assert overridden.ok() == b"other / root\n"


def test_name_is_taken(msb, name):
    create(msb, name)
    msb("create", "--name", name, "busybox").failed(1, "already exists")


def test_create_without_a_name(msb):
    created = msb("create", "-m", "128M", "busybox").text().strip()
    assert re.fullmatch("msb-[0-9a-f]{8}", created)
    assert msb.sandboxes()[created] == "Running"
    msb("rm", "-f", created).ok()


def test_run_without_an_image(msb, name):
    """The name of one that exists is enough."""
    r = msb("run", "--name", name, "--", "true")
    assert "sandbox not found" in r.failed()
    assert "of which image" in r.err.decode()
    msb("run", "--name", name, "busybox", "--", "touch", "/made").ok()
    r = msb("run", "--name", name, "--", "ls", "/made")
    assert (r.rc, r.out, r.err) == (0, b"/made\n", b"")
    msb("run", "--name", name, "--replace", "--", "true").failed(2, "<IMAGE>")


def test_run_in_a_running_one(msb, name):
    """It is joined, and not stopped afterwards."""
    create(msb, name)
    r = msb("run", "--name", name, "busybox", "--", "echo", "joined")
    assert r.ok() == b"joined\n"
    assert msb.sandboxes()[name] == "Running"


def test_many_commands_at_once(msb, box):
    running = [msb.popen("exec", box, "--", "sh", "-c", f"cat; echo {i}; exit {i}")
               for i in range(20)]
    for i, p in enumerate(running):
        p.stdin.write(b"input %d\n" % i)
    for i, p in enumerate(running):
        r = finish(p)
        assert (r.rc, r.out) == (i, b"input %d\n%d\n" % (i, i))


def test_slow_reader_delays_nobody(msb, box):
    """One client reads nothing of an endless output; the others do not notice."""
    slow = msb.popen("exec", box, "--", "yes")
    harness.read_until(slow.stdout.fileno(), b"y")
    for i in range(5):
        assert msb("exec", box, "--", "echo", str(i)).ok() == b"%d\n" % i
    slow.kill()
    finish(slow)


def test_two_create_the_same_name(msb, name):
    both = [msb.popen("create", "-q", "-m", "128M", "--name", name, "busybox") for _ in range(2)]
    results = sorted((finish(p) for p in both), key=lambda r: r.rc)
    results[0].ok()
    results[1].failed(1, "already exists")
    assert msb.sandboxes()[name] == "Running"


# --- ls ----------------------------------------------------------------------------------------


def test_ls(msb, box, name):
    msb("run", "--name", name, "busybox", "--", "true").ok()
    table = msb("ls").text().splitlines()
    assert re.fullmatch(r"NAME +IMAGE +STATUS +CREATED", table[0])
    assert any(re.match(rf"{name} +busybox +Stopped +\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d$", line)
               for line in table)
    entries = {e["name"]: e for e in json.loads(msb("ls", "--format", "json").ok())}
    assert entries[name]["image"] == "busybox"
    assert (entries[name]["status"], entries[box]["status"]) == ("Stopped", "Running")
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+", entries[name]["created_at"])
    assert set(msb("ls", "-q").text().split()) >= {name, box}
    assert name not in msb("ls", "-q", "--running").text().split()
    assert box not in msb("ls", "-q", "--stopped").text().split()
    assert msb("list", "-q").ok() == msb("ls", "-q").out


def test_ls_of_nothing(fresh):
    r = fresh("ls")
    assert (r.rc, r.out) == (0, b"") and b"No sandboxes" in r.err
    assert json.loads(fresh("ls", "--format", "json").ok()) == []
    assert fresh("ls", "-q").ok() == b""


# --- stop, rm ----------------------------------------------------------------------------------


def test_stop_and_start(msb, name):
    create(msb, name)
    msb("exec", name, "--", "sh", "-c", "echo data >/file").ok()
    r = msb("stop", name)
    assert r.ok() == b"" and f"✓ Stopped      {name}" in r.err.decode()
    assert msb.sandboxes()[name] == "Stopped"
    msb("stop", name).ok()
    assert f"✓ Started      {name}" in msb("start", name).err.decode()
    assert msb("exec", name, "--", "cat", "/file").ok() == b"data\n"
    msb("start", name).failed(1, "already running")


def test_stop_gives_commands_their_time(msb, name):
    """They get SIGTERM first, and what they write then is kept."""
    create(msb, name)
    p = msb.popen("exec", name, "--", "sh", "-c",
                  "trap 'echo saved >/saved; exit 0' TERM; echo ready; while :; do sleep 1; done")
    harness.read_until(p.stdout.fileno(), b"ready")
    msb("stop", name).ok()
    finish(p)
    assert msb("exec", name, "--", "cat", "/saved").ok() == b"saved\n"


def test_stop_kills_what_does_not_listen(msb, name):
    create(msb, name)
    script = "trap '' TERM INT HUP; echo ready; while :; do sleep 1; done"
    for options in (["-t", "1"], ["-t", "0"], ["--force"]):
        p = msb.popen("exec", name, "--", "sh", "-c", script)
        harness.read_until(p.stdout.fileno(), b"ready")
        msb("stop", *options, name).ok()
        assert msb.sandboxes()[name] == "Stopped"
        assert finish(p).rc != 0
        msb("start", "-q", name).ok()


def test_several_names_and_an_unknown_one(msb, name):
    create(msb, name)
    r = msb("stop", "no-such", name)
    r.failed(1, "sandbox not found: no-such")
    assert msb.sandboxes()[name] == "Stopped"
    r = msb("rm", name, "no-such")
    assert r.rc == 1 and b"not found: no-such" in r.err and name not in msb.sandboxes()
    msb("start", "no-such").failed(1, "not found")
    msb("logs", "no-such").failed(1, "not found")
    msb("exec", "no-such", "--", "true").failed(1, "not found")


def test_rm_of_a_running_one(msb, name):
    create(msb, name)
    msb("rm", name).failed(1, "still running")
    assert msb.sandboxes()[name] == "Running"
    msb("rm", "-f", name).ok()
    assert name not in msb.sandboxes()


# --- logs --------------------------------------------------------------------------------------


def test_logs(msb, name):
    script = "echo out 1; echo err 1 >&2"
    msb("run", "--name", name, "busybox", "--", "sh", "-c", script).ok()
    msb("exec", name, "--", "printf", "\\377\\000\\n").ok()
    assert msb("logs", name).ok() in (b"out 1\nerr 1\n\xff\0\n", b"err 1\nout 1\n\xff\0\n")
    assert msb("logs", "--source", "stdout", name).ok() == b"out 1\n\xff\0\n"
    assert msb("logs", "--source", "stderr", name).ok() == b"err 1\n"
    assert b"sandbox started" in msb("logs", "--source", "system", name).ok()
    assert b"out 1" in msb("logs", "--source", "all", name).ok()
    assert msb("logs", "--tail", "1", name).ok() == b"\xff\0\n"
    assert msb("logs", "--tail", "0", name).ok() == b""
    entries = [json.loads(line) for line in msb("logs", "--json", name).text().splitlines()]
    assert {(e["s"], e["d"]) for e in entries} >= {("stdout", "out 1\n"), ("stderr", "err 1\n")}
    assert [e["e"] for e in entries if "e" in e] == ["b64"]
    assert re.match(rb"\d{4}-\d\d-\d\dT[^ ]+ err 1\n$",
                    msb("logs", "--timestamps", "--source", "stderr", name).ok())


def test_logs_of_a_terminal_are_output(msb, name):
    msb("run", "-t", "--name", name, "busybox", "--", "echo", "on a terminal").ok()
    assert msb("logs", "--source", "output", name).ok() == b"on a terminal\r\n"


def test_logs_are_bounded(msb, name):
    """More is printed than the files may hold; they keep the end of it."""
    msb("run", "--name", name, "busybox", "--", "sh", "-c",
        "yes 0123456789012345678901234567890123456789 | head -c 50331648; echo; echo the end").ok()
    logs = msb("logs", name).ok()
    assert len(logs) < 45 << 20 and logs.endswith(b"\nthe end\n")


# --- detached ----------------------------------------------------------------------------------


def test_detached_workload(msb, name):
    r = msb("run", "-d", "--name", name, "busybox", "--", "sh", "-c",
            "echo working; while [ ! -e /stop ]; do sleep 1; done; exit 4")
    assert r.ok() == name.encode() + b"\n"
    assert msb.sandboxes()[name] == "Running"
    monitor = set(harness.runtime_processes())
    assert msb("exec", name, "--", "touch", "/stop").ok() == b""
    harness.wait_for(lambda: msb.sandboxes()[name] != "Running", "the workload goes on")
    assert msb.sandboxes()[name] == "Stopped"
    assert msb("logs", name).ok() == b"working\n"
    harness.wait_for(lambda: len(harness.runtime_processes()) < len(monitor), "still there")


def test_detached_without_a_name(msb):
    """It is gone as soon as its command is."""
    created = msb("run", "-d", "busybox", "--", *FOR_EVER).text().strip()
    assert msb.sandboxes()[created] == "Running"
    assert msb("exec", created, "--", "echo", "in").ok() == b"in\n"
    msb("stop", created).ok()
    assert created not in msb.sandboxes()
    short = msb("run", "-d", "busybox", "--", "true").text().strip()
    harness.wait_for(lambda: short not in msb.sandboxes(), "the sandbox stays")


def test_detached_command_that_does_not_exist(msb, name):
    msb("run", "-d", "--name", name, "busybox", "--", "no-such-program")
    harness.wait_for(lambda: msb.sandboxes()[name] != "Running", "still running")
    assert b"not found" in msb("logs", "--source", "system", name).ok()


def test_guest_that_switches_itself_off(msb, name):
    """Not a crash: the owner of the machine did it."""
    create(msb, name)
    msb("exec", name, "--", "sh", "-c", "echo data >/file; sync; reboot -f")
    harness.wait_for(lambda: msb.sandboxes()[name] != "Running", "still running")
    assert msb.sandboxes()[name] == "Stopped"
    assert msb("exec", name, "--", "cat", "/file").ok() == b"data\n"


def test_stopping_a_workload_is_no_end_of_its_own(msb, name):
    """The reason is the stop, not the signal that the stop sent to the workload."""
    msb("run", "-q", "-d", "--name", name, "busybox", "--", *FOR_EVER).ok()
    msb("stop", "-q", name).ok()
    row = next(r for r in json.loads(msb("ls", "--format", "json").ok()) if r["name"] == name)
    assert (row["status"], row["reason"]) == ("Stopped", "stop requested")


def test_ping(msb, box):
    r = msb("ping", box)
    assert (r.rc, r.out) == (0, b"") and f"✓ Reachable    {box} (" in r.err.decode(), r
    r = msb("ping", "-q", box, "absent")
    assert r.rc == 1 and b"sandbox not found: absent" in r.err
