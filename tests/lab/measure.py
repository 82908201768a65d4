"""
Measuring in the lab: how long a command takes, when a guest first runs, what exits it causes.
Everything is by L1's one clock, except the limit: a guest that the emulated CPU has lost spins, and
L1's clock creeps then. The real-time clock is the host's.
"""
import glob
import os
import re
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

LIMIT = 60  # seconds of the host for one command; QEMU's boots take 15
POLL = 0.05  # seconds of L1 between two looks at the host's
RTC = "/sys/class/rtc/rtc0/since_epoch"
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


class Stuck(Problem):
    """Something took far too long."""


def host_seconds():
    return int(read(RTC))


def run(command, **options):
    """Standard output and error of a command that has to succeed within the limit."""
    p = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, start_new_session=True, **options)
    start = host_seconds()
    while True:
        try:
            out, err = p.communicate(timeout=POLL)
            break
        except subprocess.TimeoutExpired:
            if host_seconds() - start > LIMIT:
                os.killpg(p.pid, signal.SIGKILL)
                p.communicate()
                raise Stuck(f"nothing for {LIMIT} s from '{' '.join(command)}'") from None
    if p.returncode:
        first = err.decode(errors="replace").strip().partition("\n")[0]
        raise Problem(f"status {p.returncode} of '{' '.join(command)}': {first}")
    return out, err


def retried(measurement):
    """The emulated CPU loses a guest now and then, for which no program can: once more then."""
    try:
        return measurement()
    except Stuck as e:
        print(f"note: {e}; trying again", flush=True)
        return measurement()


def machines():
    """Folders of the machines that KVM has now."""
    return glob.glob(COUNTERS + "*-*")


def wait_for(condition, what):
    """For what has no descriptor to wait on."""
    start = host_seconds()
    while not condition():
        if host_seconds() - start > LIMIT:
            raise Stuck(f"nothing for {LIMIT} s: {what}")
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
