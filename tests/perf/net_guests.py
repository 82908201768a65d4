"""
Guests with the same kernel and programs behind different networks, for tests/perf/net. Each is used as

    with GUEST(bench) as guest:
        guest.run("iperf3 -c ...")      output of a command in the guest
        guest.server                    the address of the host as this guest sees it

`bench` has the namespace that is the host (netns.Namespace), the folder to work in, the initramfs, and the machine.
"""
import os
import subprocess
import tempfile
import time

LIMIT = 120
DONE = "--done--"

INIT = f"""#!/bin/busybox sh
export PATH=/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
ip link set lo up
for word in $(cat /proc/cmdline); do case $word in net=*) IFS=,; set -- ${{word#net=}}; IFS=' '; esac; done
ip addr add $1 dev eth0; ip link set eth0 mtu 1500 up; ip route add default via $2
echo {DONE}
while read -r line; do sh -c "$line" </dev/null 2>&1; echo {DONE}; done
reboot -f
"""

HOST, HOST_GATEWAY = "10.77.0.2", "10.77.0.1"


def files_of(program):
    """The program and the libraries that it needs."""
    out = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    libraries = [word for line in out.splitlines() for word in line.split() if word.startswith("/")]
    return [os.path.realpath(program), *libraries]


def make_root(folder, programs):
    """A root directory with busybox and the programs, and an initramfs of it."""
    root = os.path.join(folder, "root")
    for name in ("bin", "proc", "sys", "dev", "tmp"):
        os.makedirs(os.path.join(root, name))
    subprocess.run(["cp", "/bin/busybox", root + "/bin/busybox"], check=True)
    applets = subprocess.run(["/bin/busybox", "--list"], capture_output=True, text=True, check=True)
    for name in applets.stdout.split():
        if name != "busybox":
            os.symlink("busybox", os.path.join(root, "bin", name))
    for program in programs:
        first, *libraries = files_of(program)
        subprocess.run(["cp", first, os.path.join(root, "bin", os.path.basename(program))], check=True)
        for library in libraries:
            os.makedirs(root + os.path.dirname(library), exist_ok=True)
            subprocess.run(["cp", "-L", library, root + library], check=True)
    with open(root + "/init", "w", encoding="ascii") as f:
        f.write(INIT)
    os.chmod(root + "/init", 0o755)
    initramfs = os.path.join(folder, "initramfs")
    subprocess.run(f"cd {root} && find . | cpio -o -H newc --quiet >{initramfs}", shell=True, check=True)
    return root, initramfs


class Msb:
    """A sandbox."""
    name = "msb"

    def __init__(self, bench):
        self.bench = bench
        self.server = HOST
        self.home = tempfile.TemporaryDirectory(prefix="msb-perf.")

    def msb(self, *args):
        env = {**os.environ, "MSB_HOME": self.home.name}
        return self.bench.host.run(self.bench.msb, *args, env=env, timeout=LIMIT).stdout

    def __enter__(self):
        self.msb("create", "-q", "-n", "box", "-m", "256M", "--machine", self.bench.machine,
                 "--network-policy", "allow-all", self.bench.root)
        return self

    def run(self, command):
        return self.msb("exec", "box", "--", "/bin/sh", "-c", "PATH=/bin; " + command)

    def __exit__(self, *_):
        self.msb("rm", "-f", "-q", "box")
        self.home.cleanup()


class Qemu:
    """The same kernel in QEMU with one of its own ways to a network; see the subclasses."""

    def __init__(self, bench):
        self.bench = bench
        self.helpers = []
        self.process = None

    def namespace(self):
        """Where QEMU runs."""
        return self.bench.host

    def arguments(self):
        kvm = self.bench.machine == "kvm"
        return ["qemu-system-x86_64", "-M", "microvm,acpi=off,memory-backend=mem,usb=off,graphics=off",
                "-cpu", "host" if kvm else "max,-cx16", "-accel", "kvm" if kvm else "tcg,thread=single",
                "-smp", "1", "-m", "256M", "-object", "memory-backend-memfd,id=mem,size=256M,share=on",
                "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
                "-chardev", "stdio,id=con,signal=off", "-serial", "chardev:con",
                "-global", "virtio-mmio.force-legacy=false", "-kernel", self.bench.kernel,
                "-initrd", self.bench.initramfs, "-append",
                "console=ttyS0 quiet reboot=t panic=-1 no_timer_check nolapic_timer noreplace-smp "
                f"tsc=reliable tsc_early_khz={self.bench.tsc_khz} net={self.address},{self.gateway}",
                "-device", "virtio-net-device,netdev=n0,mac=02:00:00:00:00:02"]

    def __enter__(self):
        self.start_helpers()
        self.process = self.namespace().popen(*self.arguments(), *self.netdev(),
                                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.until_done()
        return self

    def start_helpers(self):
        pass

    def until_done(self):
        lines = []
        for line in self.process.stdout:
            if line.strip() == DONE:
                return "".join(lines)
            lines.append(line)
        raise RuntimeError(f"{self.name}: the guest ended: {''.join(lines)}")

    def run(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.until_done()

    def __exit__(self, *_):
        for p in (self.process, *self.helpers):
            if p:
                p.kill()
                p.wait()


class User(Qemu):
    """QEMU's own user-mode network (libslirp in its main loop)."""
    name, address, gateway, server = "user", "10.0.2.15/24", "10.0.2.2", "10.0.2.2"

    def netdev(self):
        return ["-netdev", "user,id=n0,ipv6=off"]


class Passt(Qemu):
    """passt, by a stream socket."""
    name, address, gateway, server = "passt", HOST + "/24", HOST_GATEWAY, HOST_GATEWAY

    def start_helpers(self):
        self.socket = os.path.join(self.bench.folder, "passt.sock")
        if os.path.exists(self.socket):
            os.unlink(self.socket)
        os.chmod(self.bench.folder, 0o777)  # it gives root up
        self.helpers.append(self.bench.host.popen(
            "passt", "-f", "-q", "-s", self.socket, "-4", "-m", "1500", "-t", "none", "-u", "none",
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        for _ in range(500):
            if os.path.exists(self.socket):
                return
            time.sleep(0.01)
        raise RuntimeError("passt did not start")

    def netdev(self):
        return ["-netdev", f"stream,id=n0,server=off,addr.type=unix,addr.path={self.socket}"]


class Slirp4netns(Qemu):
    """slirp4netns behind a bridge in a namespace of its own, in which QEMU has a tap device."""
    name, address, gateway, server = "slirp4netns", "10.0.2.100/24", "10.0.2.2", "10.0.2.2"

    def namespace(self):
        return self.space

    def start_helpers(self):
        from netns import Namespace

        self.space = Namespace()
        ready, told = os.pipe()
        self.helpers.append(self.bench.host.popen(
            "slirp4netns", "--ready-fd", str(told), str(self.space.holder.pid), "tap0",
            pass_fds=(told,), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        os.close(told)
        if os.read(ready, 1) != b"1":
            raise RuntimeError("slirp4netns did not start")
        os.close(ready)
        self.space.ip("link add br0 type bridge", "link set tap0 master br0 up", "link set br0 up",
                      "tuntap add tap1 mode tap", "link set tap1 master br0 up")

    def netdev(self):
        return ["-netdev", "tap,id=n0,ifname=tap1,script=no,downscript=no"]

    def __exit__(self, *args):
        super().__exit__(*args)
        self.space.close()


PEERS = {guest.name: guest for guest in (User, Passt, Slirp4netns)}
