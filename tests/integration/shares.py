"""A machine with shared directories, for tests of msb-vmm without a monitor."""
import os

import harness
from vmm import Vmm

FSCHECK = os.environ.get("MSB_FSCHECK") or os.path.join(
    os.path.dirname(harness.MSB), "../../tests/integration/fscheck")


class Guest(Vmm):
    """A machine with shares, each a path and what follows it in the option; they are at /s/0, /s/1
    and so on, and fscheck is in the guest's PATH."""

    def __init__(self, folder, *shares, **more):
        folder.mkdir(exist_ok=True)
        fds, options = [], []
        for path, *option in shares:
            # A single file is open for what the guest may do with it.
            mode = os.O_PATH if os.path.isdir(path) else os.O_RDONLY if "ro" in option else os.O_RDWR
            fds.append(os.open(path, mode))
            options.append(",".join([f"--share=fd={fds[-1]}", *option]))
        super().__init__(folder, extra=options, fds=fds, **more)

    def boot(self, **config):
        super().boot(**config)
        self.run("mkdir /s && mount -t virtiofs msb /s")
        with open(FSCHECK, "rb") as f:
            assert self.exec("sh", "-c", "cat >/bin/fscheck && chmod 755 /bin/fscheck",
                             stdin=f.read()).rc == 0
        return self

    def run(self, script):
        """The output of a script that must succeed."""
        r = self.shell(script)
        assert r.rc == 0, r
        return r.out.decode()

    def fails(self, script, words):
        """A script that must not succeed, and say this."""
        r = self.shell(script)
        assert r.rc != 0 and words in r.err.decode(), r
