"""The world that the network's tests run in: from the host everything in it can be reached."""
import json
import os

import networld
from networld import ADDRESSES, CARRIERS, DNS_GOOD, HERE, PYTHON


def probe_from_host(world, *probes):
    r = world.host.run(PYTHON, os.path.join(HERE, "netprobe.py"), input=json.dumps(probes))
    return json.loads(r.stdout)


def everything():
    return networld.every_address()


def test_all_addresses_answer(world):
    world.service.arrived()
    probes = [{"kind": kind, "addr": a, **({} if kind == "ping" else {"port": port})}
              for a in everything()
              for kind, port in (("tcp", 443), ("udp", 7), ("ping", 0))]
    results = probe_from_host(world, *probes)
    wrong = [(p, r) for p, r in zip(probes, results) if not r.startswith("open")]
    assert not wrong
    came = {(protocol, address) for protocol, address, *_ in world.service.arrived()}
    assert came >= {(p["kind"].replace("ping", "icmp"), p["addr"]) for p in probes}


def test_answers_tell_their_address(world):
    assert probe_from_host(world, {"kind": "tcp", "addr": "10.20.30.40", "port": 443, "send": "x"}) == [
        "open 10.20.30.40 x"]
    assert probe_from_host(world, {"kind": "udp", "addr": CARRIERS["6to4"], "port": 123}) == [
        f"open {CARRIERS['6to4']} hello"]


def test_name_server(world):
    world.service.zone(DNS_GOOD, {
        "a.test": [["A", ADDRESSES["public"][0], 60]],
        "b.test": {"turns": [[["A", "1.2.3.4", 5]], [["A", "5.6.7.8", 5]]]},
        "c.test": {"truncate": True, "records": [["CNAME", "a.test", 9], ["A", "1.1.1.1", 9]]},
    })

    def ask(name, **options):
        return probe_from_host(world, {"kind": "dns", "server": DNS_GOOD, "name": name, **options})[0]

    assert ask("a.test")["answers"] == [["a.test", "A", ADDRESSES["public"][0], 60]]
    assert [ask("b.test")["answers"][0][2] for _ in range(3)] == ["1.2.3.4", "5.6.7.8", "5.6.7.8"]
    assert ask("c.test")["truncated"]
    assert [a[1:3] for a in ask("c.test", tcp=True, parts=1)["answers"]] == [
        ["CNAME", "a.test"], ["A", "1.1.1.1"]]
    assert ask("d.test")["rcode"] == 3
