"""
Every process of every operation is killed just before a system call that changes something, one
after the other (killat.c). Whatever that leaves behind, the next commands tell the truth, clean
up, and can go on with the sandbox and its files.

There are some thousands of such points, so usually a sample is taken, of which a seed decides
(MSB_TEST_SEED, printed). MSB_CRASH_WALK=full takes FULL of each kind, and all of those kinds that have
no more; MSB_CRASH_WALK=OPERATION/PROGRAM/N takes one, to look at what a failure was.
"""
import collections
import concurrent.futures
import json
import multiprocessing
import os
import random
import shutil
import subprocess
import tempfile

import pytest

import harness
import oci
from harness import MACHINE, MSB, SANDBOX_PROCESSES, Home

KILLAT = os.environ.get("MSB_KILLAT", os.path.join(
    os.path.dirname(MSB), "../../tests/integration/killat"))
SEED = int(os.environ.get("MSB_TEST_SEED", "1"))
WALK = os.environ.get("MSB_CRASH_WALK", "")
SAMPLE, FULL = 3, 36  # points of each operation and program
WORKERS = 2
NEVER = 10**9

NAME = "walk"
KEEP = ["sh", "-c", "echo data >/kept; sync; echo done"]
RUNTIME = ["msb-monitor", "msb-vmm", "msb-net"] + (["qemu-system-x86_64"] if MACHINE == "qemu" else [])
ALL = ["msb", *RUNTIME]
CYCLE = ["start", "pause", "resume", "stop"]
# Files that a killed process can leave to a sandbox. They go with the next start, or with it.
UNFINISHED = {"upper.ext4.new", "end.json.new", "removed"}

# What must be there before, the command, the programs to kill.
Operation = collections.namedtuple("Operation", "before args programs")
SMALL = ["--machine", MACHINE, "-m", "128M"]
OPERATIONS = {
    "create": Operation("absent", ["create", "-q", *SMALL, "--name", NAME, "busybox"], ALL),
    "create-dir": Operation("absent", ["create", "-q", *SMALL, "--name", NAME, "ROOT"],
                            ["msb", "msb-image"]),
    "start": Operation("stopped", ["start", "-q", NAME], ALL),
    "stop": Operation("running", ["stop", "-q", NAME], ["msb"]),
    "cycle": Operation("stopped", None, RUNTIME),  # start, pause, resume, stop
    "restart": Operation("running", ["restart", "-q", NAME], ["msb"]),
    "rm": Operation("stopped", ["rm", "-q", NAME], ["msb"]),
    "rm-force": Operation("running", ["rm", "-q", "-f", NAME], ["msb"]),
    "run": Operation("absent", ["run", *SMALL, "busybox", "--", *KEEP], ALL),
    "run-named": Operation("absent", ["run", *SMALL, "--name", NAME, "busybox", "--", *KEEP], ALL),
    "exec": Operation("stopped", ["exec", NAME, "--", "cat", "/kept"], ALL),
    "replace": Operation("running", ["create", "-q", *SMALL, "--replace-with-grace", "0", "--name",
                                     NAME, "busybox"], ["msb"]),
}
KINDS = [(name, program) for name, op in OPERATIONS.items() for program in op.programs]


def tree(path):
    """All files below a folder, relative to it."""
    return {os.path.relpath(os.path.join(folder, name), path)
            for folder, _, names in os.walk(path) for name in names}


# --- one process that walks ---------------------------------------------------------------------


class Walker:
    """A home in which one point after the other is tried. Each has a process of its own, so that
    what is below it is its own."""

    def __init__(self, folder, archive):
        self.home = Home(os.path.join(tempfile.mkdtemp(dir=folder), "home"))
        self.report = os.path.join(os.path.dirname(self.home.path), "report")
        self.home("load", "-q", "-i", archive).ok()
        self.home("ls").ok()
        self.cache = tree(os.path.join(self.home.path, "cache"))
        self.root = os.path.join(os.path.dirname(self.home.path), "root")
        os.makedirs(os.path.join(self.root, "bin"))
        shutil.copy(oci.BUSYBOX, os.path.join(self.root, "bin/busybox"))
        for applet in ("sh", "cat", "sync"):
            os.symlink("busybox", os.path.join(self.root, "bin", applet))
        self.has_kept = False  # the sandbox has the file

    def status(self):
        return self.home.sandboxes().get(NAME)

    def prepare(self, before):
        """Absent, stopped, or running; in the latter cases with the kept file."""
        status = self.status()
        if before == "absent":
            if status:
                self.home("rm", "-f", "-q", NAME).ok()
            return
        if status and not self.has_kept:
            self.home("rm", "-f", "-q", NAME).ok()
        if not status or not self.has_kept:
            self.home("run", "-q", "-m", "128M", "--name", NAME, "busybox", "--", *KEEP).ok()
            self.has_kept, status = True, "Stopped"
        if before == "running" and status != "Running":
            self.home("start", "-q", NAME).ok()
        elif before == "stopped" and status == "Running":
            self.home("stop", "-q", "-f", NAME).ok()

    def run(self, operation, program, n):
        """The report of killat, and what the command said."""
        args = OPERATIONS[operation].args
        self.has_kept &= operation in ("start", "stop", "cycle", "restart", "exec")
        command = [MSB, *(self.root if a == "ROOT" else a for a in args)] if args else [
            "sh", "-c", " && ".join(f"'{MSB}' {verb} -q {NAME}" for verb in CYCLE)]
        r = subprocess.run([KILLAT, program, str(n), self.report, *command], env=self.home.env(),
                           capture_output=True, stdin=subprocess.DEVNULL, timeout=harness.LIMIT,
                           check=False)
        with open(self.report, encoding="utf-8") as f:
            return f.read().split(), harness.Result(tuple(command), r.returncode, r.stdout, r.stderr)

    def count(self, operation, program):
        """How many points there are."""
        self.prepare(OPERATIONS[operation].before)
        (word, *number), result = self.run(operation, program, NEVER)
        result.ok()
        assert word == "passed", word
        return int(number[0])

    def settle(self):
        """Waits until the sandbox is up, which an answer of the agent shows, or gone; its status."""
        def settled():
            if self.status() == "Running":
                return self.home("ping", "-q", NAME).rc == 0
            return not harness.runtime_and_forked()
        harness.wait_for(settled, "neither up nor gone")
        return self.status()

    def check_processes(self, status):
        everything = harness.all_processes()
        names = sorted(everything[p].name for p in harness.runtime_processes())
        assert names == (sorted(SANDBOX_PROCESSES) if status == "Running" else [])

    def check_locks(self, status):
        files = {os.stat(os.path.join(self.home.path, f)).st_ino: f
                 for f in tree(self.home.path) if not f.startswith("db/")}
        with open("/proc/locks", encoding="utf-8") as f:
            held = {files[inode] for inode in
                    (int(word.split(":")[2]) for line in f for word in line.split()
                     if word.count(":") == 2) if inode in files}
        if status == "Running":
            held = {f for f in held if not f.startswith("run/") or f.startswith("run/locks/")}
        assert not held

    def check_files(self, status):
        """Only what the rows need, now that a list has been made."""
        path = self.home.path
        assert tree(os.path.join(path, "cache")) == self.cache
        assert os.listdir(os.path.join(path, "sandboxes")) == ([NAME] if status else [])
        assert len(os.listdir(os.path.join(path, "run"))) <= 1 + bool(status)
        allowed = {"lock", "control.sock", "vsock.sock", "paused"}
        assert {f.split("/")[1] for f in tree(os.path.join(path, "run"))} <= allowed
        allowed = {"upper.ext4", "root.erofs", "end.json", *UNFINISHED, "logs/exec.log", "logs/kernel.log",
                   "logs/runtime.log"}
        assert tree(os.path.join(path, "sandboxes", NAME)) <= allowed
        assert {f.split("-")[0] for f in tree(os.path.join(path, "db"))} <= {"msb.db", "spare"}

    def check_readable(self):
        json.loads(self.home("inspect", NAME, "--format", "json").ok())
        for line in self.home("logs", "--source", "all", "--json", NAME).text().splitlines():
            json.loads(line)

    def check_usable(self, kept):
        """It starts, and has its file: `kept` is True, False, or None for perhaps."""
        if self.status() != "Running":
            self.home("start", "-q", NAME).ok()
            assert self.status() == "Running"
        r = self.home("exec", NAME, "--", "cat", "/kept")
        if kept or (kept is None and r.rc == 0):
            assert r.ok() == b"data\n"
        self.home("exec", NAME, "--", "sh", "-c", "echo new >/new && sync").ok()
        found = tree(os.path.join(self.home.path, "sandboxes", NAME))
        assert not UNFINISHED & found

    def check_status(self, operation, program, status):
        if operation == "run":
            assert status is None
        elif operation in ("start", "stop", "cycle", "restart", "exec"):
            assert status is not None
        if operation in ("run-named", "exec") or program != "msb":
            assert status not in ("Running", "Paused")  # who would have been left to own it?

    def try_point(self, operation, program, n, starts):
        """Whether the point was reached, and the call before which it was."""
        self.prepare(OPERATIONS[operation].before)
        report, result = self.run(operation, program, n)
        print(operation, program, n, *report)
        status = self.settle()
        if report[0] == "killed":
            self.check_status(operation, program, status)
            if program != "msb":
                assert result.rc == 0 or b"error: " in result.err, result
        else:
            result.ok()
        self.check_processes(status)
        self.check_locks(status)
        self.check_files(status)
        if status:
            self.check_readable()
            if starts:
                self.check_usable(self.is_kept(operation, report, result))
        return report

    def is_kept(self, operation, report, result):
        if operation in ("create", "create-dir", "replace"):
            return None
        if operation == "run-named":
            return True if b"done" in result.out else None
        return True

    def reset(self):
        """After a failure nothing can be relied on."""
        for pid in harness.runtime_and_forked():
            os.kill(pid, 9)
        harness.wait_for(lambda: not harness.runtime_and_forked(), "processes stay")
        self.home("rm", "-f", "-q", NAME)

    def end(self):
        self.home.remove_all()
        assert self.home.leftovers() == []


WALKER = None  # of this worker process


def begin(folder, archive):
    global WALKER  # pylint: disable=global-statement
    harness.adopt_orphans()
    WALKER = Walker(folder, archive)


def count(kind):
    return WALKER.count(*kind)


def try_points(points):
    """Results of one worker's points, a failure as text."""
    results = []
    for operation, program, n, starts in points:
        try:
            results.append(WALKER.try_point(operation, program, n, starts))
        except (AssertionError, subprocess.TimeoutExpired, OSError) as e:
            results.append(["failed", f"{operation}/{program}/{n}: {e!r}"])
            WALKER.reset()
    WALKER.prepare("absent")
    return results


# --- the walk -----------------------------------------------------------------------------------


def choose(rng, total, most):
    """Some of 1 to total, one of each of as many equal parts."""
    if total <= most:
        return range(1, total + 1)
    bounds = [1 + i * total // most for i in range(most + 1)]
    return [rng.randrange(a, b) for a, b in zip(bounds, bounds[1:])]


def choose_points(pool):
    if WALK not in ("", "full"):
        operation, program, n = WALK.split("/")
        return [(operation, program, int(n), True)]
    rng = random.Random(SEED)
    print("seed", SEED)
    points = []
    for (operation, program), total in zip(KINDS, pool.map(count, KINDS)):
        chosen = choose(rng, total, FULL if WALK else SAMPLE)
        always = operation in ("start", "stop", "cycle", "restart")
        points += [(operation, program, n, always or i % 3 == 0) for i, n in enumerate(chosen)]
        print(f"{operation} {program}: {len(chosen)} of {total}")
    return points


@pytest.mark.skipif(not os.path.exists(KILLAT), reason="needs the tests' programs: make test")
def test_crash_walk(tmp_path, archives):
    context = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(
            WORKERS, context, begin, (str(tmp_path), archives["busybox"])) as pool:
        points = choose_points(pool)
        # Neighbours go to one worker, which then often finds the sandbox as it needs it.
        size = 6
        pieces = [points[i:i + size] for i in range(0, len(points), size)]
        results = [r for piece in pool.map(try_points, pieces) for r in piece]
    failures = [r[1] for r in results if r[0] == "failed"]
    calls = collections.Counter(r[2] for r in results if r[0] == "killed")
    print(len(points), "points,", sum(calls.values()), "reached:", dict(calls.most_common()))
    assert not failures, "\n".join(failures)
    assert sum(calls.values()) > 0.8 * len(points) or len(points) == 1
