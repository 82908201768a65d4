"""How much of everything there may be, and that nothing is left of it."""
import json
import os

from harness import wait_for
from netguests import is_open, probe
from networld import HERE, PUBLIC4, PUBLIC6, PYTHON


def load(guest, address, total, at_once, port=443):
    r = guest.run("sh", "-c", 'ulimit -n 8192; exec "$@"', "sh", PYTHON, os.path.join(HERE, "netload.py"),
                  address, str(port), str(total), str(at_once))
    return json.loads(r.stdout)


def net_process(guest):
    """The process id of the guest's msb-net."""
    path = f"/proc/{guest.process.pid}/task/{guest.process.pid}/children"
    with open(path, encoding="ascii") as f:
        return int(f.read().split()[0])


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def resident(pid):
    with open(f"/proc/{pid}/statm", encoding="ascii") as f:
        return int(f.read().split()[1]) * 4096


def test_many_connections(world):
    """10,000 connections one after the other, up to 1,000 at once: all work, nothing is left."""
    with world.guest("max-connections 2000") as guest:
        pid = net_process(guest)
        before = descriptors(pid)
        assert load(guest, PUBLIC4, 1000, 1000) == {"done": 1000, "errors": {}, "stuck": None}
        wait_for(lambda: descriptors(pid) == before, "descriptors are left")
        memory = resident(pid)
        assert load(guest, PUBLIC4, 8000, 100) == {"done": 8000, "errors": {}, "stuck": None}
        assert load(guest, PUBLIC6, 1000, 1000) == {"done": 1000, "errors": {}, "stuck": None}
        wait_for(lambda: descriptors(pid) == before, "descriptors are left")
        assert resident(pid) < memory + (8 << 20)
        world.service.arrived()


def test_max_connections(world):
    """Those beyond the limit are refused at once; when others end there is room again."""
    with world.guest("max-connections 10") as guest:
        found = load(guest, PUBLIC4, 30, 30)
        assert found["stuck"] is None and 10 <= found["done"] < 30, found
        assert sum(found["errors"].values()) == 30 - found["done"], found
        wait_for(lambda: is_open(guest.probe(probe("tcp", PUBLIC4))[0]), "no room")
        world.service.arrived()


def test_many_datagram_flows(world):
    """More than are kept at once: the oldest make room."""
    with world.guest() as guest:
        pid = net_process(guest)
        code = ("import socket\n"
                "for i in range(3000):\n"
                " s=socket.socket(2,2);s.settimeout(20);s.connect(('%s',7));s.send(b'x');s.recv(99);s.close()\n"
                % PUBLIC4)
        guest.run(PYTHON, "-c", code)
        assert descriptors(pid) < 1200
        world.service.arrived()


def test_large_datagrams(world):
    """The guest's own are fragments above its MTU, which are not put together; answers may be of any size."""
    with world.guest(mtu=9000) as guest:
        results = guest.probe(*(probe("udp", a, 7, send="x" * n) for a in (PUBLIC4, PUBLIC6) for n in (1, 1400, 8900)))
        assert [len(r) > 1400 for r in results] == [False, True, True] * 2, [r[:30] for r in results]


def rate_of(guest, size):
    """Bytes per second of a download of `size` bytes from a server that sends as fast as it can."""
    server = ("import socket,sys\n"
              "l=socket.create_server(('0.0.0.0',9100));print(flush=True)\n"
              "c,_=l.accept();c.sendall(bytes(int(sys.argv[1])))\n")
    client = ("import socket,sys,time\n"
              "t=time.monotonic();s=socket.create_connection((sys.argv[1],9100),60);n=0\n"
              "while True:\n d=s.recv(1<<16)\n if not d:break\n n+=len(d)\n"
              "print(n,time.monotonic()-t)")
    p = guest.world.world.popen(PYTHON, "-c", server, str(size), stdout=-1)
    p.stdout.readline()
    n, seconds = guest.run(PYTHON, "-c", client, PUBLIC4).stdout.split()
    p.wait(timeout=60)
    p.stdout.close()
    assert int(n) == size
    return size / float(seconds)


def test_rate_limit(world):
    """A limit is an upper bound, which slowness of the machine cannot break; without it there is far more."""
    with world.guest("rate ingress 2000000") as guest:
        assert rate_of(guest, 4_000_000) < 3_500_000


def test_hostile_spec(world):
    """A spec with an error is refused with the line."""
    with world.guest("rule nonsense") as guest:
        assert guest.await_event("start") is None
        assert "nonsense" in next(e for e in guest.events if e.startswith("end error"))
