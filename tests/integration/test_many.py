"""Many sandboxes and many clients at once."""
import concurrent.futures
import itertools
import signal

CLIENTS, SANDBOXES = 8, 50
SMALL = ["-q", "-m", "64M"]


def live(home, i):
    """The life of one sandbox, of one of four kinds; all that went wrong with it."""
    named = [] if i % 2 else ["--name", f"many-{i}"]
    if i % 4 < 2:
        r = home("create", *SMALL, *named, "busybox")
    else:
        r = home("run", "-d", *SMALL, *named, "busybox", "--", "sleep", "1000000")
    r.ok()
    name = named[1] if named else r.out.decode().strip()
    assert home.sandboxes()[name] == "Running"
    if named:
        home("create", *named, "busybox").failed(1, "already exists")
    home("start", name).failed(1, "already running")
    home("rm", name).failed(1, "still running")
    home("rm", "-f", "-q", name).ok()
    assert name not in home.sandboxes()
    home("rm", "-f", name).failed(1, "not found")
    return name


def test_many_clients(msb):
    """Nobody sees more or less than what is there, and nothing is left."""
    before = set(msb.sandboxes())
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        names = list(pool.map(live, itertools.repeat(msb), range(SANDBOXES)))
    assert len(set(names)) == SANDBOXES
    assert set(msb.sandboxes()) == before
    assert len(msb.leftovers()) == 2 * len(before)


def test_one_name_for_all(msb, name):
    """Each of them finds it as one of the others has left it, never in between."""
    def work(i):
        args = [["create", *SMALL, "--name", name, "busybox"], ["stop", "-q", name],
                ["start", "-q", name], ["rm", "-f", "-q", name],
                ["run", *SMALL, "--replace-with-grace", "0", "--name", name, "busybox", "--", "true"],
                ["exec", "-q", name, "--", "true"]][i % 6]
        return msb(*args)

    expected = ("already exists", "already running", "not found", "stopped before it was up",
                "sandbox is not running", "the sandbox is stopping", "the sandbox ended",
                "the sandbox went away")
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        results = list(pool.map(work, range(24)))
    for r in results:
        # A command may also have been ended with its sandbox.
        if r.rc not in (0, 128 + signal.SIGTERM, 128 + signal.SIGKILL):
            assert any(text in r.err.decode() for text in expected), r
    msb("rm", "-f", "-q", name)
    assert name not in msb.sandboxes()
