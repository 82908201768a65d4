"""
The world around a sandbox's network, in namespaces:

    guest ---- msb-net ---- host ======== world: internet, LAN, metadata service, name servers
     (tap)                  (.50.2)       (.50.1 and many addresses)

Every address of the world has the same services, which tell what reached them: what the guest was denied
must not only fail there but also never have arrived here. What a service is for is said in netservice.py.
"""
import json
import os
import subprocess
import sys
import threading

from harness import LIMIT, MSB
from netns import Namespace, connect

HERE = os.path.dirname(os.path.abspath(__file__))
PYTHON = "/usr/bin/python3"
TAPGUEST = os.environ.get("MSB_TAPGUEST", "build/tests/integration/tapguest")
NET = os.path.join(os.path.dirname(os.path.dirname(MSB)), "lib", "msb-net")

# Addresses of the world by class. All of them exist and answer: the host can reach each.
PUBLIC4, PUBLIC4_OTHER = "93.184.216.34", "151.101.1.6"
PUBLIC6, PUBLIC6_OTHER = "2606:2800:220::34", "2a04:4e42::6"
DNS_GOOD, DNS_EVIL, DNS_OTHER = "9.9.9.9", "9.9.9.10", "9.9.9.11"
ADDRESSES = {
    "public": (PUBLIC4, PUBLIC6),
    "private": ("10.20.30.40", "fd12:3456::40"),
    "lan": ("192.168.50.1", "fd50::1"),
    "cgnat": ("100.64.7.7", None),
    "link-local": ("169.254.7.7", None),
    "meta": ("169.254.169.254", "fd00:ec2::254"),
}
# Addresses that carry the private address 10.20.30.40 or lead to it by other means.
CARRIERS = {
    "nat64": "64:ff9b::a14:1e28",
    "nat64-local": "64:ff9b:1::a14:1e28",
    "6to4": "2002:a14:1e28::1",
    "teredo": "2001:0:4136:e378:8000:63bf:f5eb:e1d7",  # 10.20.30.40, its bits inverted
    "compatible": "::10.20.30.40",
}
OTHERS = [PUBLIC4_OTHER, PUBLIC6_OTHER, DNS_GOOD, DNS_EVIL, DNS_OTHER]
HOST4, HOST6 = "192.168.50.2", "fd50::2"
HOST_PUBLIC4 = "93.184.216.99"  # the host has a public address as well


def every_address():
    found = [a for pair in ADDRESSES.values() for a in pair if a]
    return found + list(CARRIERS.values()) + OTHERS


class Service:
    """The process with all services of one namespace; see netservice.py."""

    def __init__(self, namespace):
        self.process = namespace.holder
        self.lock = threading.Lock()

    def ask(self, **request):
        with self.lock:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        assert line, "the services are gone"
        return json.loads(line)

    def arrived(self):
        """What has reached the services since the last time: [protocol, address, port, peer, data]."""
        return [tuple(a) for a in self.ask(op="arrived")]

    def zone(self, server, records):
        """Has a name server answer for names: {name: [[type, value, ttl], ...]}; see netservice.py."""
        self.ask(op="zone", server=server, records=records)


class LocalService(Service):
    """Services beside whatever else is in the namespace."""

    def __init__(self, namespace, *addresses):
        super().__init__(namespace)
        self.process = namespace.popen(PYTHON, os.path.join(HERE, "netservice.py"), *addresses,
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline(), "the services did not start"
        self.ask(op="start")

    def close(self):
        self.process.stdin.close()
        self.process.wait(timeout=LIMIT)
        self.process.stdout.close()


class World:
    def __init__(self, folder):
        self.folder = str(folder)
        self.count = 0
        self.world = Namespace(PYTHON, os.path.join(HERE, "netservice.py"), *every_address())
        self.service = Service(self.world)
        self.host = Namespace()
        connect(self.host, "up0", self.world, "down0")
        self.world.ip("addr add 192.168.50.1/24 dev down0", "addr add fd50::1/64 dev down0 nodad",
                      f"route add {HOST_PUBLIC4} via {HOST4}",
                      *(f"addr add {a} dev lo{' nodad' if ':' in a else ''}"
                        for a in every_address() if a not in ADDRESSES["lan"]))
        self.host.ip(f"addr add {HOST4}/24 dev up0", f"addr add {HOST6}/64 dev up0 nodad",
                     f"addr add {HOST_PUBLIC4} dev lo",
                     "route add default via 192.168.50.1", "route add ::/0 via fd50::1")
        # So that unprivileged ping is a matter of the policy.
        self.host.run("sh", "-c", "echo 0 2147483647 >/proc/sys/net/ipv4/ping_group_range")
        resolv = os.path.join(self.folder, "resolv.conf")
        with open(resolv, "w", encoding="ascii") as f:
            f.write(f"nameserver {DNS_GOOD}\n")
        self.host.run("mount", "--bind", resolv, os.path.realpath("/etc/resolv.conf"))
        self.service.ask(op="start")
        self.host_service = LocalService(self.host, HOST4, HOST6, "127.0.0.1", "::1", HOST_PUBLIC4)

    def guest(self, *spec, **options):
        self.count += 1
        return Guest(self, self.count, spec, **options)

    def close(self):
        self.host_service.close()
        self.host.close()
        self.world.close()


class Guest:
    """A namespace that stands for a guest, and the msb-net it is connected to."""

    def __init__(self, world, number, spec, preset="public-only", resolv_conf=True, mtu=1500):
        self.world = world
        self.v4, self.gateway4 = f"172.16.{number % 256}.2", f"172.16.{number % 256}.1"
        self.v6, self.gateway6 = f"fd42:6d73:62:{number:x}::2", f"fd42:6d73:62:{number:x}::1"
        self.namespace = Namespace()
        self.events, self.log = [], []
        self.changed = threading.Condition()
        path = os.path.join(world.folder, f"spec-{number}")
        with open(path, "w", encoding="utf-8") as f:
            f.write("\n".join([
                "mac 02:6d:73:00:01:02", "gateway-mac 02:6d:73:00:01:01", f"mtu {mtu}",
                f"ip4 {self.v4}/30 {self.gateway4}", f"ip6 {self.v6}/64 {self.gateway6}",
                *presets(preset), *spec, ""]))
        resolv = os.path.join(world.folder, "resolv.conf") if resolv_conf else ""
        self.process = subprocess.Popen(
            [TAPGUEST, self.namespace.file, world.host.file, "eth0", path, resolv, NET],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.reader = threading.Thread(target=self.read_events, daemon=True)
        self.reader.start()
        if self.await_event("start") is None:
            return
        self.namespace.ip(
            "link set eth0 address 02:6d:73:00:01:02", f"link set eth0 mtu {mtu}",
            f"addr add {self.v4}/30 dev eth0", "link set eth0 up",
            f"addr add {self.v6}/64 dev eth0 nodad", f"route add default via {self.gateway4}",
            f"route add ::/0 via {self.gateway6}")
        resolv = os.path.join(world.folder, f"guest-resolv-{number}")
        with open(resolv, "w", encoding="ascii") as f:
            f.write(f"nameserver {self.gateway4}\noptions timeout:5 attempts:1\n")
        self.namespace.run("mount", "--bind", resolv, os.path.realpath("/etc/resolv.conf"))

    def read_events(self):
        for line in self.process.stdout:
            with self.changed:
                self.events.append(line.rstrip("\n"))
                self.changed.notify_all()
        with self.changed:
            self.events.append(None)
            self.changed.notify_all()

    def await_event(self, start):
        """The first event that begins so; None when msb-net has ended without."""
        def find():
            return next((e for e in self.events if e is None or e.startswith(start)), "")

        with self.changed:
            assert self.changed.wait_for(lambda: find() != "", LIMIT), f"no event '{start}'"
            return find()

    def port(self, index=0):
        """The number that a published port has got."""
        ports = [e for e in self.events if e and e.startswith("port ")]
        return int(ports[index].split()[2].rpartition(":")[2])

    def probe(self, *probes):
        """What netprobe.py finds, in the order of the probes."""
        r = self.namespace.run(PYTHON, os.path.join(HERE, "netprobe.py"),
                               input=json.dumps(list(probes)))
        return json.loads(r.stdout)

    def services(self):
        """Starts the services of the world in the guest, too."""
        return LocalService(self.namespace, self.v4, self.v6)

    def run(self, *argv, **options):
        return self.namespace.run(*argv, **options)

    def close(self):
        """Ends msb-net; its status."""
        self.process.stdin.close()
        status = self.process.wait(timeout=LIMIT)
        self.reader.join(timeout=LIMIT)
        self.process.stdout.close()
        self.namespace.close()
        return status

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def presets(name):
    """The lines of a spec that a policy of this name comes to."""
    dns, public, private = "rule allow:egress@dns", "rule allow:egress@public", "rule allow:egress@private"
    return {
        "none": ["default egress deny", "default ingress deny"],
        "public-only": ["default egress deny", "default ingress allow", dns, public],
        "nonlocal": ["default egress deny", "default ingress allow", dns, public, private],
        "allow-all": ["default egress allow", "default ingress allow"],
    }[name]


if __name__ == "__main__":
    sys.exit("a module of the tests")
