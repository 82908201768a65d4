"""Connections that leave through a proxy: the policy decides as without one, and the proxy is told addresses only."""
import contextlib
import os

import networld
import pytest
from harness import LIMIT
from netguests import client_hello, is_denied, is_open, lookup, names, probe
from networld import ADDRESSES, HERE, PUBLIC4, PUBLIC4_OTHER, PUBLIC6, PYTHON

KINDS = ("socks4", "socks5", "http")
PROXY = ADDRESSES["lan"][0]
PORT = 1080


@contextlib.contextmanager
def proxy(world, kind, *credentials):
    p = world.world.popen(PYTHON, os.path.join(HERE, "netproxy.py"), kind, PROXY, str(PORT), *credentials,
                          stdout=-1, text=True)
    assert p.stdout.readline() == "ready\n"
    try:
        yield p.stdout
    finally:
        p.kill()
        p.wait(timeout=LIMIT)
        p.stdout.close()


@pytest.mark.parametrize("kind", KINDS)
def test_connections_go_through_it(world, kind):
    with proxy(world, kind) as log, world.guest(f"proxy {kind}://{PROXY}:{PORT}") as guest:
        world.service.arrived()
        assert guest.probe(probe("tcp", PUBLIC4, send="x")) == [f"open {PUBLIC4} x"]
        assert log.readline() == f"open {PUBLIC4}:443\n"
        # The peer that the server sees is the proxy.
        assert {a[3] for a in world.service.arrived() if a[0] == "tcp" and a[1] == PUBLIC4} != {networld.HOST4}
        v6 = guest.probe(probe("tcp", PUBLIC6, send="x"))[0]
        assert is_open(v6) if kind != "socks4" else is_denied("tcp", v6)


@pytest.mark.parametrize("kind", KINDS)
def test_policy_holds(world, kind):
    """Not even to the proxy itself, unless that is allowed."""
    with proxy(world, kind), world.guest(f"proxy {kind}://{PROXY}:{PORT}") as guest:
        world.service.arrived()
        results = guest.probe(probe("tcp", ADDRESSES["private"][0]), probe("tcp", ADDRESSES["meta"][0]),
                              probe("tcp", PROXY, PORT), probe("tcp", guest.gateway4))
        assert all(is_denied("tcp", r) for r in results), results
        results = guest.probe(probe("udp", PUBLIC4, 7), probe("ping", PUBLIC4))
        assert not [r for r in results if is_open(r) or r == "timeout"], results
        assert not [a for a in world.service.arrived() if a[2] in (443, 7)]


@pytest.mark.parametrize("kind", KINDS)
def test_domain_rules_hold(world, kind):
    with proxy(world, kind), world.guest(f"proxy {kind}://{PROXY}:{PORT}", "rule allow:egress@domain=good.test",
                                         preset="none") as guest:
        names(world, {"good.test": [["A", PUBLIC4, 60]]})
        assert lookup(guest, "good.test")["rcode"] == 0
        results = guest.probe(probe("tcp", PUBLIC4, send=client_hello("good.test")),
                              probe("tcp", PUBLIC4, send=client_hello("other.test")),
                              probe("tcp", PUBLIC4_OTHER, send=client_hello("good.test")))
        assert [is_open(r) for r in results] == [True, False, False], results


@pytest.mark.parametrize("kind", KINDS)
def test_refusals(world, kind):
    with proxy(world, kind), world.guest(f"proxy {kind}://{PROXY}:{PORT}") as guest:
        assert is_denied("tcp", guest.probe(probe("tcp", PUBLIC4, 81))[0])
    with world.guest(f"proxy {kind}://{PROXY}:{PORT}") as guest:  # nobody listens
        assert is_denied("tcp", guest.probe(probe("tcp", PUBLIC4))[0])


@pytest.mark.parametrize("kind", ("socks5", "http"))
def test_passwords(world, kind):
    with proxy(world, kind, "user", "s3:cret"):
        with world.guest(f"proxy {kind}://user:s3%3Acret@{PROXY}:{PORT}") as guest:
            assert is_open(guest.probe(probe("tcp", PUBLIC4))[0])
        for wrong in ("", "user:wrong@"):
            with world.guest(f"proxy {kind}://{wrong}{PROXY}:{PORT}") as guest:
                assert is_denied("tcp", guest.probe(probe("tcp", PUBLIC4))[0])
                assert not [e for e in guest.events if e and ("s3" in e or "wrong" in e)]
