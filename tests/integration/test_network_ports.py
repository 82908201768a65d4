"""Published ports, TCP and UDP: from the host's sockets into the guest."""
import contextlib
import json
import os
import socket

import networld
import pytest
from harness import LIMIT
from netguests import is_open, probe
from networld import HERE, HOST4, HOST6, PYTHON


def from_namespace(namespace, *probes):
    r = namespace.run(PYTHON, os.path.join(HERE, "netprobe.py"), input=json.dumps(probes))
    return json.loads(r.stdout)


@contextlib.contextmanager
def serving(world, *spec, **options):
    """A guest with services behind its published ports."""
    with world.guest(*spec, **options) as guest:
        services = guest.services()
        try:
            yield guest, services
        finally:
            services.close()


def test_tcp_and_udp_of_both_families(world):
    spec = [f"publish tcp {HOST4}:0 443", f"publish udp {HOST4}:0 7", f"publish tcp [{HOST6}]:0 443",
            f"publish udp [{HOST6}]:0 7", "publish tcp 127.0.0.1:0 80"]
    with serving(world, *spec) as (guest, services):
        ports = [guest.port(i) for i in range(5)]
        assert len(set(ports)) == 5 and all(ports)
        results = from_namespace(world.world, probe("tcp", HOST4, ports[0], send="a"), probe("udp", HOST4, ports[1]),
                                 probe("tcp", HOST6, ports[2], send="b"), probe("udp", HOST6, ports[3]),
                                 probe("tcp", HOST4, ports[4]))
        assert results == [f"open {guest.v4} a", f"open {guest.v4} hello", f"open {guest.v6} b",
                           f"open {guest.v6} hello", "refused"]
        assert is_open(from_namespace(world.host, probe("tcp", "127.0.0.1", ports[4], send="GET / HTTP/1.0\r\n\r\n"))[0])
        # To the guest, all clients are the gateway.
        assert {a[3] for a in services.arrived()} == {guest.gateway4, guest.gateway6}
        for address in ("192.168.50.1", "fd50::1"):
            assert guest.await_event(f"visit tcp {address}" if ":" not in address else f"visit tcp [{address}]")


def test_several_clients_of_one_udp_port(world):
    with serving(world, f"publish udp {HOST4}:0 7") as (guest, services):
        port = guest.port()
        results = from_namespace(world.world, *(probe("udp", HOST4, port, send=f"client {i}") for i in range(50)))
        assert sorted(results) == sorted(f"open {guest.v4} client {i}" for i in range(50))
        assert len(services.arrived()) == 50
        assert len([e for e in guest.events if e.startswith("visit udp")]) <= 50


def test_busy_port(world):
    with world.guest("publish tcp 127.0.0.1:0 80") as guest:
        port = guest.port()
        with world.guest(f"publish tcp 127.0.0.1:{port} 80") as other:
            assert other.await_event("start") is None
            error = next(e for e in other.events if e.startswith("end error"))
            assert f"127.0.0.1:{port}" in error and "in use" in error


def test_ingress_rules(world):
    rules = ["rule deny:ingress@192.168.50.1", "rule allow:ingress@any:tcp:443", "default ingress deny"]
    spec = [*rules, f"publish tcp {HOST4}:0 443", f"publish tcp {HOST4}:0 80", f"publish udp {HOST4}:0 7"]
    with serving(world, *spec) as (guest, services):
        https, web, echo = (guest.port(i) for i in range(3))
        results = from_namespace(world.world, probe("tcp", HOST4, https), probe("tcp", HOST4, web))
        assert not [r for r in results if is_open(r)], results
        assert "timeout" not in results
        results = from_namespace(world.host, probe("tcp", HOST4, https), probe("tcp", HOST4, web))
        assert [is_open(r) for r in results] == [True, False], results
        # A datagram has no connection to refuse; it just does not arrive.
        world.host.run(PYTHON, "-c", "import socket,sys;socket.socket(2,2).sendto(b'x',(sys.argv[1],int(sys.argv[2])))",
                       HOST4, str(echo))
        assert guest.await_event("deny visit udp")
        assert {(a[0], a[2]) for a in services.arrived()} <= {("tcp", 443), ("tcp-data", 443)}


def test_guest_that_refuses(world):
    with world.guest(f"publish tcp {HOST4}:0 80") as guest:
        result = from_namespace(world.world, probe("tcp", HOST4, guest.port(), send="GET / HTTP/1.0\r\n\r\n"))[0]
        assert result in ("reset", "closed", "refused")


def test_bulk_both_ways(world):
    """What goes in comes out, to the last byte, with half-closed connections."""
    code = ("import socket,sys,threading,hashlib\n"
            "s=socket.create_connection((sys.argv[1],int(sys.argv[2])),60)\n"
            "data=bytes(range(256))*40000\n"
            "def send():\n s.sendall(data);s.shutdown(1)\n"
            "t=threading.Thread(target=send);t.start()\n"
            "h=hashlib.sha256()\n"
            "while True:\n d=s.recv(1<<16)\n if not d:break\n h.update(d)\n"
            "print(h.hexdigest()==hashlib.sha256(data).hexdigest())")
    server = ("import socket,os\n"
              "l=socket.create_server(('0.0.0.0',9000));print(flush=True)\n"
              "c,_=l.accept()\n"
              "while True:\n d=c.recv(1<<16)\n if not d:break\n c.sendall(d)\n"
              "c.shutdown(1)\n")
    with world.guest(f"publish tcp {HOST4}:0 9000") as guest:
        p = guest.namespace.popen(PYTHON, "-c", server, stdout=-1)
        p.stdout.readline()
        r = world.world.run(PYTHON, "-c", code, HOST4, str(guest.port()))
        assert r.stdout == "True\n"
        p.wait(timeout=LIMIT)
        p.stdout.close()
