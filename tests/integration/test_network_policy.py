"""
What the policy says is what happens: every class of addresses, every preset, every protocol, both families. What is
denied is answered at once and never arrives; what is allowed does.
"""
import itertools

import networld
import pytest
from netguests import (DENIED, NXDOMAIN, arrivals, client_hello, http, is_open, lookup, names,
                       probe)
from networld import (ADDRESSES, CARRIERS, HOST4, HOST6, HOST_PUBLIC4, PUBLIC4, PUBLIC4_OTHER,
                      PUBLIC6)

PRESETS = ("none", "public-only", "nonlocal", "allow-all")
# From which preset on the addresses of a class may be reached.
ALLOWED = {
    "public": {"public-only", "nonlocal", "allow-all"},
    "private": {"nonlocal", "allow-all"},
    "lan": {"nonlocal", "allow-all"},
    "cgnat": {"nonlocal", "allow-all"},
    "link-local": {"allow-all"},
    "meta": {"allow-all"},
    "host": {"allow-all"},
    "gateway": {"allow-all"},
}

def targets(guest):
    found = [(name, a) for name, pair in ADDRESSES.items() for a in pair if a]
    found += [("host", HOST4), ("host", HOST6), ("host", HOST_PUBLIC4)]
    return found + [("gateway", guest.gateway4), ("gateway", guest.gateway6)]


def check(guest, world, allowed):
    """`allowed` tells of a class whether its addresses can be reached."""
    arrivals(world)
    cases = [(kind, *target) for kind, target in
             itertools.product(("tcp", "udp", "ping"), targets(guest))]
    results = guest.probe(*(probe(kind, address, 7 if kind == "udp" else 443)
                            for kind, _, address in cases))
    came = arrivals(world)
    for (kind, name, address), result in zip(cases, results):
        case = (kind, name, address, result)
        # The gateway stands for the host's own loopback addresses.
        there = {guest.gateway4: "127.0.0.1", guest.gateway6: "::1"}.get(address, address)
        if allowed(name):
            assert result.startswith("open"), case
            if kind != "ping":
                assert result.startswith(f"open {there} "), case
        else:
            assert result in DENIED[kind], case
            assert (kind.replace("ping", "icmp"), there) not in came, case


@pytest.mark.parametrize("preset", PRESETS)
def test_presets(world, preset):
    with world.guest(preset=preset) as guest:
        check(guest, world, lambda name: preset in ALLOWED[name])


@pytest.mark.parametrize("preset", PRESETS[:3])
def test_addresses_that_carry_others(world, preset):
    """An address that leads to a private one by translation has no more rights than that."""
    with world.guest(preset=preset) as guest:
        allowed = preset == "nonlocal"
        results = guest.probe(*(probe(kind, a, 7 if kind == "udp" else 443)
                                for a in CARRIERS.values() for kind in ("tcp", "udp")))
        assert all(r.startswith("open") == allowed for r in results), results
        assert allowed or not arrivals(world) & {(k, a) for a in CARRIERS.values() for k in ("tcp", "udp")}


@pytest.mark.parametrize("group,name", [("public", "public"), ("private", "private"), ("private", "cgnat"),
                                        ("link-local", "link-local"), ("meta", "meta"), ("host", "host"),
                                        ("host", "gateway")])
def test_rules_of_groups(world, group, name):
    with world.guest("default egress deny", f"rule allow:egress@{group}", preset="none") as guest:
        of_group = {"private": {"private", "lan", "cgnat"}, "host": {"host", "gateway"}}.get(group, {group})
        assert name in of_group
        check(guest, world, lambda n: n in of_group)


def test_protocols_and_ports(world):
    rules = [f"rule allow:egress@{PUBLIC4}:tcp:443", "rule allow:egress@public:udp:7-100",
             "rule allow:egress@public:icmpv6", "rule deny:egress@any"]
    with world.guest(*rules, preset="none") as guest:
        results = guest.probe(
            probe("tcp", PUBLIC4, 443), probe("tcp", PUBLIC4, 80), probe("tcp", PUBLIC6, 443),
            probe("udp", PUBLIC4, 7), probe("udp", PUBLIC4, 123), probe("udp", PUBLIC6, 7),
            probe("ping", PUBLIC4), probe("ping", PUBLIC6))
        assert [is_open(r) for r in results] == [True, False, False, True, False, True,
                                                              False, True], results


def test_first_rule_wins(world):
    with world.guest("rule deny:egress@93.184.0.0/16", "rule allow:egress@any", preset="none") as guest:
        results = guest.probe(probe("tcp", PUBLIC4), probe("tcp", PUBLIC4_OTHER),
                              probe("tcp", PUBLIC6))
        assert [is_open(r) for r in results] == [False, True, True], results


def test_denials_are_logged_with_the_rule(world):
    with world.guest("rule deny:egress@10.0.0.0/8", preset="none") as guest:
        guest.probe(probe("tcp", "10.20.30.40"), probe("udp", PUBLIC4, 7))
        by_rule = guest.await_event("deny tcp 10.20.30.40:443")
        assert "deny:egress@10.0.0.0/8" in by_rule
        assert "default" in guest.await_event(f"deny udp {PUBLIC4}:7")


def test_domain_allowed(world):
    names(world, {"good.test": [["A", PUBLIC4, 60], ["AAAA", PUBLIC6, 60]],
                  "sub.good.test": [["A", PUBLIC4_OTHER, 60]], "other.test": [["A", PUBLIC4_OTHER, 60]]})
    with world.guest("rule allow:egress@domain=good.test", preset="none") as guest:
        # Not before the name was asked for, and then only if it is what the guest talks about.
        assert guest.probe(probe("tcp", PUBLIC4, 443, send=client_hello("good.test")))[0] in DENIED["tcp"]
        assert lookup(guest, "GOOD.test.")["answers"][0][2] == PUBLIC4
        assert lookup(guest, "other.test")["rcode"] == NXDOMAIN
        assert lookup(guest, "sub.good.test")["rcode"] == NXDOMAIN
        results = guest.probe(
            probe("tcp", PUBLIC4, 443, send=client_hello("good.test")),
            probe("tcp", PUBLIC4, 80, send=http("Good.Test")),
            probe("tcp", PUBLIC4, 443, send=client_hello("other.test")),
            probe("tcp", PUBLIC4, 80, send=http("other.test")),
            probe("tcp", PUBLIC4_OTHER, 443, send=client_hello("good.test")))
        assert [is_open(r) for r in results] == [True, True, False, False, False], results


def test_domain_denied(world):
    names(world, {"bad.test": [["A", PUBLIC4, 60]], "sub.bad.test": [["A", PUBLIC4, 60]],
                  "fine.test": [["A", PUBLIC4_OTHER, 60]],
                  "alias.test": [["CNAME", "bad.test", 60], ["A", PUBLIC4, 60]]})
    rules = ["rule deny:egress@suffix=bad.test", *networld.presets("public-only")]
    with world.guest(*rules, preset="none") as guest:
        for name in ("bad.test", "sub.bad.test", "BAD.TEST.", "alias.test"):
            assert lookup(guest, name)["rcode"] == NXDOMAIN, name
        assert lookup(guest, "fine.test")["rcode"] == 0
        results = guest.probe(
            probe("tcp", PUBLIC4, 443, send=client_hello("sub.bad.test")),
            probe("tcp", PUBLIC4, 80, send=http("BAD.test:80")),
            probe("tcp", PUBLIC4, 443, send=client_hello("fine.test")))
        assert [is_open(r) for r in results] == [False, False, True], results
        assert not [a for a in world.service.arrived() if a[0] == "tcp" and a[2] == 80]


def test_server_that_speaks_first(world):
    """Where a domain rule might still decide, a guest that waits for the server is not kept waiting for ever."""
    rules = ["rule deny:egress@domain=bad.test", *networld.presets("public-only")]
    with world.guest(*rules, preset="none") as guest:
        assert guest.probe({"kind": "tcp", "addr": PUBLIC4, "port": 22, "parts": []}) == [
            "open SSH-2.0-server\r\n"]
