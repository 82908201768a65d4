"""Standard input, output and error between the caller and the command."""
import hashlib
import os
import signal
import subprocess

import pytest

import harness
import oci

pytestmark = pytest.mark.lab

ALL_BYTES = bytes(range(256))
FIVE_MB = ALL_BYTES * (5 * 4096)  # 5 MiB
HUNDRED = 100


def test_stdin_reaches_the_command(msb):
    assert msb("run", "busybox", "--", "cat", stdin=b"abc\n").ok() == b"abc\n"


def test_empty_stdin_is_end_of_file(msb):
    assert msb("run", "busybox", "--", "wc", "-c", stdin=b"").ok() == b"0\n"


def test_stdout_and_stderr_are_separate(msb, inside):
    script = "echo out; echo err >&2; echo more; exit 3"
    for r in (msb("run", "busybox", "--", "sh", "-c", script), inside(script)):
        assert (r.rc, r.out, r.err) == (3, b"out\nmore\n", b"err\n")


@pytest.mark.parametrize("descriptor", [1, 2])
def test_output_comes_while_the_command_runs(msb, descriptor):
    """The command waits for an answer to its first line, so a late line would be a deadlock."""
    script = f"echo first >&{descriptor}; read line; echo got $line >&{descriptor}"
    p = msb.popen("run", "busybox", "--", "sh", "-c", script)
    stream = p.stdout if descriptor == 1 else p.stderr
    assert harness.read_until(stream.fileno(), b"\n") == b"first\n"
    p.stdin.write(b"answer\n")
    p.stdin.flush()
    assert harness.read_until(stream.fileno(), b"\n") == b"got answer\n"
    assert harness.finish(p).rc == 0


def test_conversation_with_exec(msb, box):
    """Stdin arrives line by line as well: many round trips over one session."""
    p = msb.popen("exec", box, "--", "sh", "-c", "while read x; do echo $((x * 2)); done")
    for i in range(100):
        p.stdin.write(b"%d\n" % i)
        p.stdin.flush()
        assert harness.read_until(p.stdout.fileno(), b"\n") == b"%d\n" % (2 * i)
    assert harness.finish(p).rc == 0


def test_hundred_megabytes_through_stdout(msb, layered):
    """Noise with a number before each mebibyte, so that nothing lost or swapped goes unnoticed."""
    script = ("i=0; while [ $i -lt %d ]; do printf %%08d $i; cat /t/noise; i=$((i + 1)); done"
              % HUNDRED)
    with msb.popen("run", layered, "--", "sh", "-c", script) as p:
        p.stdin.close()
        seen = hashlib.sha256()
        while True:
            data = p.stdout.read(1 << 20)
            if not data:
                break
            seen.update(data)
        assert p.wait(timeout=harness.LIMIT) == 0
    expected = hashlib.sha256()
    for i in range(HUNDRED):
        expected.update(b"%08d" % i + oci.noise())
    assert seen.digest() == expected.digest()


def test_binary_both_ways(msb, box):
    """All bytes, in both directions at once: a relay that waits for one side would stop here."""
    assert msb("exec", box, "--", "cat", stdin=FIVE_MB).ok() == FIVE_MB


def test_binary_stdin_of_run(msb):
    out = msb("run", "busybox", "--", "sha256sum", stdin=FIVE_MB).text()
    assert out.split()[0] == hashlib.sha256(FIVE_MB).hexdigest()


def test_both_outputs_at_once(inside):
    script = ("i=0; while [ $i -lt 64 ]; do dd if=/dev/zero bs=16k count=1 2>/dev/null;"
              " dd if=/dev/zero bs=16k count=1 >&2 2>/dev/null; i=$((i + 1)); done")
    r = inside(script)
    assert (r.rc, len(r.out), len(r.err)) == (0, 1 << 20, 1 << 20)


def test_stdin_that_nobody_reads(inside):
    assert inside("exit 5", stdin=FIVE_MB).rc == 5


def test_stdin_read_in_part(inside):
    assert inside("head -c 10; exit 6", stdin=FIVE_MB).out == FIVE_MB[:10]


def test_stdin_from_a_file(msb, box, tmp_path):
    path = tmp_path / "input"
    path.write_bytes(FIVE_MB)
    with open(path, "rb") as f:
        r = harness.finish(msb.popen("exec", box, "--", "cat", stdin=f))
    assert r.ok() == FIVE_MB


def test_stdin_from_dev_null_and_closed(msb, box):
    r = harness.finish(msb.popen("exec", box, "--", "wc", "-c", stdin=subprocess.DEVNULL))
    assert r.ok() == b"0\n"
    shell = subprocess.run(["sh", "-c", f"exec '{harness.MSB}' exec {box} -- wc -c <&-"],
                           env=msb.env(), capture_output=True, timeout=harness.LIMIT, check=False)
    assert (shell.returncode, shell.stdout) == (0, b"0\n")


def test_output_to_a_file(msb, box, tmp_path):
    with open(tmp_path / "output", "wb") as f:
        r = harness.finish(msb.popen("exec", box, "--", "cat", "/bin/busybox", stdout=f))
    assert r.rc == 0
    with open(oci.BUSYBOX, "rb") as f:
        assert (tmp_path / "output").read_bytes() == f.read()


def test_reader_that_stops_reading(msb):
    """As `msb run ... | head -1`: ends by SIGPIPE like a local program, and the sandbox is gone."""
    p = msb.popen("run", "busybox", "--", "yes")
    harness.read_until(p.stdout.fileno(), b"y\n")
    p.stdout.close()
    assert p.wait(timeout=harness.LIMIT) == -signal.SIGPIPE
    p.stdin.close()
    p.stderr.close()


def test_reader_of_exec_that_stops_reading(msb, box, inside):
    p = msb.popen("exec", box, "--", "sh", "-c", "echo $$; exec yes")
    pid = int(harness.read_until(p.stdout.fileno(), b"\n").split()[0])
    p.stdout.close()
    assert p.wait(timeout=harness.LIMIT) == -signal.SIGPIPE
    harness.wait_for(lambda: inside(f"kill -0 {pid}").rc != 0, "the command lives on")
    p.stdin.close()
    p.stderr.close()


def test_full_disk_as_stdout(msb, box):
    with open("/dev/full", "wb") as f:
        r = harness.finish(msb.popen("exec", box, "--", "echo", "x", stdout=f))
    assert r.rc == 1 and b"error: cannot write to standard output" in r.err


def test_background_child_does_not_hold_the_session(inside):
    """A daemon that keeps the output open must not keep the caller waiting for it."""
    r = inside("sleep 1000002 & echo started")
    assert (r.rc, r.out) == (0, b"started\n")
    inside("kill $(ps | awk '/sleep 100000[2]/ { print $1 }')").ok()


def test_last_output_of_a_short_command_is_not_lost(msb, box):
    for i in range(20):
        assert msb("exec", box, "--", "echo", str(i)).ok() == b"%d\n" % i


def test_descriptors_of_the_caller_stay_outside(msb, box):
    """Nothing but the three streams is open in the command, and the folder that ls looks at."""
    r, w = os.pipe()
    p = msb.popen("exec", box, "--", "ls", "/proc/self/fd", pass_fds=[w])
    os.close(w)
    assert harness.finish(p).ok().split() == [b"0", b"1", b"2", b"3"]
    os.close(r)
