"""Network namespaces that the tests make, and programs in them."""
import os
import signal
import subprocess

from harness import LIMIT


class Namespace:
    """A network namespace, with a mount namespace for files of its own; gone with close()."""

    def __init__(self, *holder):
        """`holder` is the command that runs in it as long as it exists; it prints a line when it is there."""
        holder = holder or ("sh", "-c", "echo; exec cat")
        # The files of both are reached through the holder.
        self.holder = subprocess.Popen(["unshare", "--net", "--mount", "--", *holder],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       text=True, start_new_session=True)
        assert self.holder.stdout.readline(), "the namespace's holder did not start"
        self.ip("link set lo up")

    @property
    def file(self):
        return f"/proc/{self.holder.pid}/ns/net"

    def command(self, *argv):
        """The command line that runs a program in it."""
        return ["nsenter", f"--net={self.file}", f"--mount=/proc/{self.holder.pid}/ns/mnt",
                f"--wdns={os.getcwd()}", "--", *argv]

    def run(self, *argv, check=True, **options):
        options = {"capture_output": True, "text": True, "timeout": LIMIT, **options}
        r = subprocess.run(self.command(*argv), check=False, **options)
        assert not check or r.returncode == 0, (argv, r)
        return r

    def popen(self, *argv, **options):
        return subprocess.Popen(self.command(*argv), **options)

    def ip(self, *lines):
        """Runs lines of iproute2's commands."""
        self.run("ip", "-batch", "-", input="".join(line + "\n" for line in lines))

    def close(self):
        self.holder.stdin.close()
        self.holder.send_signal(signal.SIGKILL)
        self.holder.wait(timeout=LIMIT)
        self.holder.stdout.close()


def connect(one, name_one, other, name_other):
    """A cable between two namespaces."""
    one.ip(f"link add {name_one} type veth peer name {name_other} netns {other.holder.pid}")
    one.ip(f"link set {name_one} up")
    other.ip(f"link set {name_other} up")
