"""
Measuring in the lab: how long a command takes, when a guest first runs, what exits it causes.
Everything is by L1's one clock.
"""
import glob
import os
import re
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

LIMIT = 30  # seconds of L1 for one command
TRACING = "/sys/kernel/tracing/"
COUNTERS = "/sys/kernel/debug/kvm/"
COUNTED = ["exits", "io_exits", "mmio_exits", "pf_fixed"]


class Problem(Exception):
    """One measurement cannot be made; the others go on."""


def read(path):
    with open(path, "rb") as f:
        return f.read()


def write(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def run_once(command, **options):
    """Standard output and error of a command that has to succeed within the limit."""
    p = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, start_new_session=True, **options)
    try:
        out, err = p.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        os.killpg(p.pid, signal.SIGKILL)
        p.communicate()
        raise
    if p.returncode:
        first = err.decode(errors="replace").strip().partition("\n")[0]
        raise Problem(f"status {p.returncode} of '{' '.join(command)}': {first}")
    return out, err


def run(command, **options):
    """The emulated CPU loses a guest now and then, for which no program can: once more then."""
    try:
        return run_once(command, **options)
    except subprocess.TimeoutExpired:
        print(f"note: nothing for {LIMIT} s, trying again: {' '.join(command)}", flush=True)
    try:
        return run_once(command, **options)
    except subprocess.TimeoutExpired as e:
        raise Problem(f"nothing for {LIMIT} s, twice: '{' '.join(command)}'") from e


def machines():
    """Folders of the machines that KVM has now."""
    return glob.glob(COUNTERS + "*-*")


def wait_for(condition, what):
    """For what has no descriptor to wait on."""
    deadline = time.monotonic() + LIMIT
    while not condition():
        if time.monotonic() > deadline:
            raise Problem(f"nothing for {LIMIT} s: {what}")
        time.sleep(0.005)


def trace_setup(program, command, **options):
    """
    Seconds from the program's exec to the first entry into a guest. The command, which starts the
    program if it is not the program itself, is killed then.
    """
    entry, execs = TRACING + "events/kvm/kvm_entry/", TRACING + "events/sched/sched_process_exec/"
    write(TRACING + "trace_clock", "mono")
    write(TRACING + "trace", "")
    write(execs + "filter", f'filename ~ "*/{program}"')
    write(execs + "enable", "1")
    write(entry + "enable", "1")
    write(entry + "trigger", "traceoff:1")
    write(TRACING + "tracing_on", "1")
    p = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, **options)
    try:
        wait_for(lambda: read(TRACING + "tracing_on") == b"0\n", f"{program} entered no guest")
    finally:
        p.kill()
        p.wait()
        wait_for(lambda: not machines(), "the machine is still there")
        write(entry + "trigger", "!traceoff")
        write(TRACING + "events/enable", "0")
    found = re.findall(r" (\d+\.\d+): (sched_process_exec|kvm_entry):",
                       read(TRACING + "trace").decode())
    if [name for _, name in found] != ["sched_process_exec", "kvm_entry"]:
        raise Problem(f"unexpected trace of {program}: {found}")
    return float(found[1][0]) - float(found[0][0])


def open_counters():
    """The files of the one machine that runs, or nothing: it may be about to come or to go."""
    try:
        return {name: open(os.path.join(folder, name), encoding="utf-8")
                for folder in machines() for name in COUNTED}
    except FileNotFoundError:
        return {}


def count_exits(boot):
    """KVM's counters of one boot. An open file of theirs outlives the machine."""
    files = {}
    with ThreadPoolExecutor(1) as pool:
        booting = pool.submit(boot)
        while not files and not booting.done():
            files = open_counters()
            time.sleep(0.005)
        booting.result()
    if not files:
        raise Problem("KVM had no counters of the machine")
    counts = {}
    for name, f in files.items():
        with f:
            counts[name] = int(f.read())
    return counts
