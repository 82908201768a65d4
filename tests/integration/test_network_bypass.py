"""
Ways around a policy, each of which has to fail: nothing that is denied arrives, and the guest is told at once. docs/security.md
lists them under the same names.
"""
import ipaddress
import json
import socket
import struct

import networld
import pytest
from netguests import (NXDOMAIN, arrivals, client_hello, http, is_denied, is_open, lookup, names,
                       probe)
from networld import (ADDRESSES, DNS_EVIL, DNS_GOOD, DNS_OTHER, HOST4, HOST_PUBLIC4, PUBLIC4,
                      PUBLIC4_OTHER, PUBLIC6)

PRIVATE4, PRIVATE6 = ADDRESSES["private"]
META4, META6 = ADDRESSES["meta"]
GUEST_MAC, GATEWAY_MAC = bytes.fromhex("026d73000102"), bytes.fromhex("026d73000101")


@pytest.fixture(scope="module")
def guest(world):
    """One with the default policy that asks the evil name server."""
    with world.guest(f"nameserver {DNS_EVIL}:53") as g:
        yield g


@pytest.fixture(scope="module")
def strict(world):
    """One that may talk to a name only, and to what is under another."""
    with world.guest("rule allow:egress@domain=good.test", "rule allow:egress@suffix=many.test",
                     preset="none") as g:
        yield g


@pytest.fixture(scope="module")
def denying(world):
    """One to which all is open but a name."""
    rules = ["rule deny:egress@suffix=bad.test", *networld.presets("public-only")]
    with world.guest(*rules, preset="none") as g:
        yield g


def evil(world, records):
    names(world, records, DNS_EVIL)


# --- rebinding -----------------------------------------------------------------------------------

SPECIAL4 = ["0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.16.0.1", "192.0.0.8",
            "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1",
            "240.0.0.1", "255.255.255.255", HOST_PUBLIC4]
SPECIAL6 = ["::", "::1", "64:ff9b:1::1", "100::1", "2001:db8::1", "3fff::1", "fc00::1", "fd00:ec2::254", "fe80::1",
            "fec0::1", "ff02::1", "::ffff:10.0.0.1", "::10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::1"]


def test_rebinding_to_special_addresses(world, guest):
    evil(world, {f"s{i}.test": [["AAAA" if ":" in a else "A", a, 60]]
                 for i, a in enumerate(SPECIAL4 + SPECIAL6)})
    for i, address in enumerate(SPECIAL4 + SPECIAL6):
        reply = lookup(guest, f"s{i}.test", "AAAA" if ":" in address else "A")
        assert reply["rcode"] == NXDOMAIN and not reply["answers"], (address, reply)
        assert reply["authority"] == 0 and reply["additional"] == 0, address


def test_rebinding_with_one_bad_address_among_good_ones(world, guest):
    evil(world, {"mixed.test": [["A", PUBLIC4, 60], ["A", "10.0.0.1", 60]]})
    assert lookup(guest, "mixed.test")["rcode"] == NXDOMAIN


def test_rebinding_with_changing_answers(world, guest):
    evil(world, {"turn.test": {"turns": [[["A", PUBLIC4, 0]], [["A", PRIVATE4, 0]], [["A", META4, 0]]]}})
    first = lookup(guest, "turn.test")
    assert first["answers"][0][2] == PUBLIC4
    assert first["answers"][0][3] >= 1  # a TTL of 0 would have the guest ask for each connection
    replies = [lookup(guest, f"turn.test{'.' * (i % 2)}") for i in range(6)]
    found = {a[2] for r in replies if isinstance(r, dict) for a in r["answers"]}
    assert found <= {PUBLIC4}
    assert is_denied("tcp", guest.probe(probe("tcp", PRIVATE4))[0])


def test_rebinding_by_other_sections(world, guest):
    """Addresses in the authority and additional sections never reach the guest."""
    evil(world, {"extra.test": [["A", PUBLIC4, 60], ["NS", "ns.extra.test", 60, "ns", "extra.test"],
                                ["A", "10.0.0.1", 60, "ar", "ns.extra.test"]]})
    reply = lookup(guest, "extra.test")
    assert reply["rcode"] == NXDOMAIN or (reply["authority"], reply["additional"]) == (0, 0)
    assert not [a for a in reply["answers"] if a[2] == "10.0.0.1"]


def test_rebinding_by_hints(world, guest):
    """HTTPS records can carry addresses; the guest gets none of them."""
    hint = "0001" + "00" + "0004" + "0004" + "0a000001"  # priority 1, target ., ipv4hint 10.0.0.1
    evil(world, {"hint.test": [["HTTPS", hint, 60]]})
    assert lookup(guest, "hint.test", "HTTPS")["answers"] == []


def test_rebinding_protection_gives_way_to_a_rule_for_the_address(world):
    evil(world, {"lan.test": [["A", PRIVATE4, 60]], "lan2.test": [["A", "10.9.9.9", 60]]})
    with world.guest(f"nameserver {DNS_EVIL}:53", f"rule allow:egress@{PRIVATE4}") as g:
        assert lookup(g, "lan.test")["answers"][0][2] == PRIVATE4
        assert lookup(g, "lan2.test")["rcode"] == NXDOMAIN


# --- names ---------------------------------------------------------------------------------------


def test_cname_chain_to_a_denied_name(world, denying):
    names(world, {"one.test": [["CNAME", "two.test", 60], ["CNAME", "x.bad.test", 60], ["A", PUBLIC4, 60]],
                  "loop.test": [["CNAME", "loop.test", 60]]})
    assert lookup(denying, "one.test")["rcode"] == NXDOMAIN
    assert lookup(denying, "loop.test")["answers"] in ([], [["loop.test", "CNAME", "loop.test", 60]])


def test_cname_from_an_allowed_name(world, strict):
    """What an allowed name leads to is part of it, but gives no right to ask for that by its own name."""
    names(world, {"good.test": [["CNAME", "cdn.test", 60], ["A", PUBLIC4, 60]], "cdn.test": [["A", PUBLIC4, 60]]})
    assert lookup(strict, "cdn.test")["rcode"] == NXDOMAIN


ODD = [["bad", "test\0"], ["bad\0", "test"], ["ba d", "test"], ["bad.test"], ["BAD", "TEST"], ["x", "bad", "test"],
       ["bad", "test", "\0"], ["\xe4", "bad", "test"], ["a" * 63, "bad", "test"]]


@pytest.mark.parametrize("labels", ODD, ids=repr)
def test_odd_labels(world, denying, labels):
    names(world, {"*": [["A", PUBLIC4, 60]]})
    world.service.arrived()
    reply = lookup(denying, labels)
    assert reply["rcode"] != 0 and reply["answers"] == [], reply
    assert not [a for a in world.service.arrived() if a[0] == "udp" and "bad" in a[4].lower()]


@pytest.mark.parametrize("parts", [1, 2, 3, 13])
def test_dns_over_tcp_in_pieces(world, denying, parts):
    names(world, {"x.bad.test": [["A", PUBLIC4, 60]], "ok.test": [["A", PUBLIC4, 60]]})
    assert lookup(denying, "x.bad.test", tcp=True, parts=parts)["rcode"] == NXDOMAIN
    assert lookup(denying, "ok.test", tcp=True, parts=parts)["answers"][0][2] == PUBLIC4


def test_port_53_of_other_hosts(world, denying):
    """A question that is meant for another server is answered by ours."""
    names(world, {"ok.test": [["A", PUBLIC4, 60]]})
    names(world, {"ok.test": [["A", "1.2.3.4", 60]], "x.bad.test": [["A", "1.2.3.4", 60]]}, DNS_OTHER)
    for tcp in (False, True):
        for server in (DNS_OTHER, PUBLIC6, "8.8.8.8", PRIVATE4):
            ask = {"kind": "dns", "server": server, "tcp": tcp}
            ok, bad = denying.probe({**ask, "name": "ok.test"}, {**ask, "name": "x.bad.test"})
            assert ok["answers"][0][2] == PUBLIC4
            assert bad["rcode"] == NXDOMAIN
    assert not [a for a in world.service.arrived() if a[1] in (DNS_OTHER, PUBLIC6) and a[2] == 53]


def test_port_53_is_no_tunnel(world, denying):
    """What is no DNS does not get anywhere through port 53."""
    world.service.arrived()
    denying.probe({"kind": "tcp", "addr": DNS_OTHER, "port": 53, "send": "SSH-2.0-tunnel\r\n" * 10})
    denying.namespace.run("sh", "-c", "exit 0")
    assert not [a for a in world.service.arrived() if a[1] == DNS_OTHER]


def test_other_ways_to_ask_for_names(world, guest):
    """DNS over TLS, mDNS, LLMNR and NetBIOS are not ours to check, so they are closed."""
    results = guest.probe(probe("tcp", PUBLIC4, 853), probe("udp", PUBLIC4, 5353), probe("udp", PUBLIC4, 5355),
                          probe("udp", PUBLIC4, 137), probe("tcp", PUBLIC4, 5353))
    assert all(r in ("refused", "unreachable", "prohibited", "reset") for r in results), results


def test_queries_that_are_no_questions(world, denying):
    """Zone transfers, updates, responses and several questions at once are not passed on."""
    world.service.arrived()
    two = struct.pack("!6H", 1, 0x0100, 2, 0, 0, 0) + 2 * (b"\2ok\4test\0" + struct.pack("!HH", 1, 1))
    update = struct.pack("!6H", 1, 5 << 11, 1, 0, 0, 0) + b"\2ok\4test\0" + struct.pack("!HH", 6, 1)
    transfer = struct.pack("!6H", 1, 0, 1, 0, 0, 0) + b"\2ok\4test\0" + struct.pack("!HH", 252, 1)
    chaos = struct.pack("!6H", 1, 0, 1, 0, 0, 0) + b"\7version\4bind\0" + struct.pack("!HH", 16, 3)
    for raw in (two, update, transfer, chaos):
        reply = denying.probe({"kind": "dns", "server": denying.gateway4, "name": "", "raw": raw.hex()})[0]
        assert reply["rcode"] not in (0, NXDOMAIN), raw
    assert not [a for a in world.service.arrived() if a[2] == 53]


# --- addresses in other forms ----------------------------------------------------------------------


def test_addresses_in_other_forms(world, guest):
    """Programs that take these for addresses do so themselves: what leaves the guest is the plain address."""
    arrivals(world)
    odd = ["0x0a141e28", "012.024.036.050", "169090600", "10.1318440", "0xa9fea9fe", "2852039166", "127.1"]
    script = ("import socket,sys,json\nout=[]\nfor a in json.load(sys.stdin):\n try:\n"
              "  s=socket.create_connection((socket.inet_ntoa(socket.inet_aton(a)),443),20);out.append('open')\n"
              " except TimeoutError:\n  out.append('timeout')\n except OSError as e:\n  out.append('denied')\n"
              "print(json.dumps(out))")
    r = guest.run(networld.PYTHON, "-c", script, input=json.dumps(odd))
    # 127.1 is the guest's own loopback, where nobody listens.
    assert set(json.loads(r.stdout)) == {"denied"}
    assert not [a for a in arrivals(world) if a[1] in (PRIVATE4, META4, "127.0.0.1")]


def test_hosts_that_are_addresses(world, strict, guest):
    """As names, they are asked for nowhere."""
    names(world, {"*": [["A", PRIVATE4, 60]]}, DNS_EVIL)
    world.service.arrived()
    for name in ("10.20.30.40", "0x0a141e28", "2852039166", "127.1", "012.024.036.050"):
        for g in (strict, guest):
            assert lookup(g, name)["rcode"] != 0, name
    assert not [a for a in world.service.arrived() if a[2] == 53 and a[1] == DNS_GOOD]


def test_mapped_addresses(world, guest):
    """An IPv4 address in IPv6's clothes, on the wire: never passed on."""
    arrivals(world)
    for inner in (PRIVATE4, META4, HOST4, "127.0.0.1"):
        dst = socket.inet_pton(socket.AF_INET6, "::ffff:" + inner)
        guest.probe({"kind": "frames", "frames": [udp6(guest, dst, 7).hex()]})
    flush(guest)
    assert not [a for a in arrivals(world) if a[1] in (PRIVATE4, META4, HOST4, "127.0.0.1")]


def test_scoped_addresses(world, guest):
    arrivals(world)
    dst = socket.inet_pton(socket.AF_INET6, "fe80::1234")
    guest.probe({"kind": "frames", "frames": [udp6(guest, dst, 7).hex()]})
    flush(guest)
    assert {a for a in arrivals(world) if a[1] != PUBLIC4} == set()


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ip4(src, dst, protocol, payload, fragment=0, options=b""):
    head = 20 + len(options)
    h = struct.pack("!BBHHHBBH4s4s", 0x40 | head // 4, 0, head + len(payload), 7, fragment, 64, protocol, 0,
                    socket.inet_aton(src), socket.inet_aton(dst)) + options
    h = h[:10] + struct.pack("!H", checksum(h)) + h[12:]
    return GATEWAY_MAC + GUEST_MAC + b"\x08\x00" + h + payload


def udp4(src, dst, port, data=b"hello", **more):
    """UDP over IPv4 needs no checksum."""
    return ip4(src, dst, 17, struct.pack("!HHHH", 4000, port, 8 + len(data), 0) + data, **more)


def udp6(guest, dst, port, data=b"hello", src=None):
    src = socket.inet_pton(socket.AF_INET6, src or guest.v6)
    h = struct.pack("!HHHH", 4000, port, 8 + len(data), 0) + data
    pseudo = src + dst + struct.pack("!IxxxB", len(h), 17)
    h = h[:6] + struct.pack("!H", checksum(pseudo + h) or 0xFFFF) + h[8:]
    return (GATEWAY_MAC + GUEST_MAC + b"\x86\xdd" + struct.pack("!IHBB", 6 << 28, len(h), 17, 64) + src + dst + h)


def flush(guest):
    """What the guest sent before was dealt with: frames are taken in order."""
    assert is_open(guest.probe(probe("udp", PUBLIC4, 7))[0])


# --- frames ---------------------------------------------------------------------------------------


def test_frames_work_at_all(world, guest):
    """The same frames without the trick do arrive."""
    world.service.arrived()
    guest.probe({"kind": "frames", "frames": [udp4(guest.v4, PUBLIC4_OTHER, 7).hex(),
                                              udp6(guest, socket.inet_pton(socket.AF_INET6, PUBLIC6), 7).hex()]})
    flush(guest)
    came = {a[1] for a in world.service.arrived() if a[0] == "udp"}
    assert {PUBLIC4_OTHER, PUBLIC6} <= came


def test_spoofed_sources(world, guest):
    world.service.arrived()
    sources = ["172.16.0.1", guest.gateway4, "93.184.216.34", "127.0.0.1", "10.0.0.1", "255.255.255.255", "0.0.0.0",
               HOST4]
    frames = [udp4(src, PUBLIC4_OTHER, 7).hex() for src in sources]
    dst = socket.inet_pton(socket.AF_INET6, PUBLIC6)
    frames += [udp6(guest, dst, 7, src=src).hex() for src in (guest.gateway6, "::1", "::", "2606:2800::1")]
    guest.probe({"kind": "frames", "frames": frames})
    flush(guest)
    assert not [a for a in world.service.arrived() if a[0] == "udp" and a[1] in (PUBLIC4_OTHER, PUBLIC6)]


def test_fragments(world, guest):
    """Fragments are not put together, so no header can hide in the second one."""
    world.service.arrived()
    whole = struct.pack("!HHHH", 4000, 7, 8 + 16, 0) + b"0123456789abcdef"
    frames = [ip4(guest.v4, PUBLIC4_OTHER, 17, whole[:8], fragment=0x2000), ip4(guest.v4, PUBLIC4_OTHER, 17, whole[8:], fragment=1),
              ip4(guest.v4, PUBLIC4_OTHER, 17, whole[8:], fragment=1), ip4(guest.v4, PRIVATE4, 17, whole[:8], fragment=0x2000)]
    guest.probe({"kind": "frames", "frames": [f.hex() for f in frames]})
    flush(guest)
    assert not [a for a in world.service.arrived() if a[0] == "udp" and a[1] in (PUBLIC4_OTHER, PRIVATE4)]


def test_source_routes(world, guest):
    world.service.arrived()
    options = bytes([131, 7, 4]) + socket.inet_aton(PRIVATE4) + b"\0"
    guest.probe({"kind": "frames", "frames": [udp4(guest.v4, PUBLIC4_OTHER, 7, options=options).hex()]})
    flush(guest)
    assert not [a for a in world.service.arrived() if a[0] == "udp" and a[1] in (PUBLIC4_OTHER, PRIVATE4)]


def test_foreign_protocols(world, guest):
    """What is neither TCP, UDP nor ICMP has nowhere to go: tunnels, routing, SCTP."""
    world.service.arrived()
    inner = udp4(guest.v4, PRIVATE4, 7)[14:]
    frames = [ip4(guest.v4, PUBLIC4_OTHER, p, inner) for p in (4, 41, 47, 50, 89, 132, 253)]
    frames += [b"\xff" * 6 + GUEST_MAC + b"\x81\x00\x00\x07" + udp4(guest.v4, PUBLIC4_OTHER, 7)[12:],
               GATEWAY_MAC + GUEST_MAC + b"\x88\x47" + bytes(60)]
    guest.probe({"kind": "frames", "frames": [f.hex() for f in frames]})
    flush(guest)
    assert not [a for a in world.service.arrived() if a[1] in (PUBLIC4_OTHER, PRIVATE4)]


def test_broadcast_and_multicast(world, guest):
    arrivals(world)
    frames = [udp4(guest.v4, dst, port) for dst in ("255.255.255.255", "192.168.50.255", "224.0.0.251", "239.1.2.3")
              for port in (7, 67, 1900, 5353)]
    guest.probe({"kind": "frames", "frames": [f.hex() for f in frames]})
    flush(guest)
    assert {a for a in arrivals(world) if a[1] != PUBLIC4} == set()


# --- ICMP ------------------------------------------------------------------------------------------


def test_icmp_tunnels(world):
    """Echo requests carry bytes; where ICMP is not allowed, they carry them nowhere. Nor do other types."""
    with world.guest("rule deny:egress@public:icmpv4", "rule deny:egress@public:icmpv6",
                     *networld.presets("public-only"), preset="none") as guest:
        arrivals(world)
        results = guest.probe(probe("ping", PUBLIC4, size=1000), probe("ping", PUBLIC6, size=1000))
        assert all(is_denied("ping", r) for r in results), results
        frames = [ip4(guest.v4, PUBLIC4, 1, bytes([kind, 0]) + struct.pack("!H", checksum(bytes([kind, 0]) + bytes(14))) + bytes(12))
                  for kind in (0, 3, 5, 8, 13, 15, 17)]
        guest.probe({"kind": "frames", "frames": [f.hex() for f in frames]})
        flush(guest)
        assert not [a for a in arrivals(world) if a[0] == "icmp"]


# --- claims ----------------------------------------------------------------------------------------


def resolved(world, strict):
    names(world, {"good.test": [["A", PUBLIC4, 60]]})
    assert lookup(strict, "good.test")["answers"][0][2] == PUBLIC4


CLAIMS = {
    "Host is not SNI's": client_hello("other.test"),
    "no name in TLS": client_hello(None),
    "address as the name": client_hello("93.184.216.34"),
    "final dot and more": client_hello("good.test.evil.test"),
    "NUL in the name": client_hello(b"good.test\0.evil.test"),
    "empty name": client_hello(b""),
    "other Host": http("other.test"),
    "no Host": "GET / HTTP/1.1\r\n\r\n",
    "two Hosts": http("good.test", more="Host: other.test\r\n"),
    "folded Host": "GET / HTTP/1.1\r\nHost: good.test\r\n other.test\r\n\r\n",
    "space before the colon": "GET / HTTP/1.1\r\nHost : good.test\r\n\r\n",
    "other authority": http("good.test", "http://other.test/"),
    "user in the authority": http("good.test", "http://good.test@other.test/"),
    "CONNECT": "CONNECT other.test:443 HTTP/1.1\r\nHost: good.test\r\n\r\n",
    "bare line feeds": "GET / HTTP/1.1\nHost: other.test\n\nHost: good.test\r\n\r\n",
    "HTTP/2 without TLS": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.mark.parametrize("claim", CLAIMS)
def test_claims_that_are_not_the_allowed_name(world, strict, claim):
    resolved(world, strict)
    world.service.arrived()
    results = strict.probe(probe("tcp", PUBLIC4, 443, send=CLAIMS[claim]), probe("tcp", PUBLIC4, 80, send=CLAIMS[claim]))
    assert all(r in ("reset", "refused", "closed", "prohibited", "unreachable") for r in results), results
    assert not [a for a in world.service.arrived() if a[0].startswith("tcp")]


def test_claims_after_silence(world, strict, denying):
    """Who waits until the connection is made for want of a name still has to say the right one."""
    resolved(world, strict)
    world.service.arrived()
    claims = [client_hello("other.test"), client_hello(None), http("other.test"), "GET / HTTP/1.1\r\n\r\n"]
    results = strict.probe(*(probe("tcp", PUBLIC4, 443, send=c, silent=1) for c in claims))
    results += denying.probe(probe("tcp", PUBLIC4, 443, send=client_hello("x.bad.test"), silent=1))
    assert all(r in ("reset", "refused", "closed", "prohibited", "unreachable") for r in results), results
    # The first connection is there by then, but nothing was said on it.
    assert not [a for a in world.service.arrived() if a[0] == "tcp-data"]
    names(world, {"good.test": [["A", PUBLIC4, 60]], "x.test": [["A", PUBLIC4, 60]]})
    results = strict.probe(*(probe("tcp", PUBLIC4, 443, send=s, silent=1) for s in (client_hello("good.test"), "\1no name")))
    assert all(is_open(r) for r in results), results


def test_claim_without_pin(world, strict):
    """The allowed name said to an address that it does not have proves nothing."""
    resolved(world, strict)
    world.service.arrived()
    results = strict.probe(*(probe("tcp", a, 443, send=client_hello("good.test"))
                             for a in (PUBLIC4_OTHER, PRIVATE4, META4, PUBLIC6)))
    assert all(r in ("reset", "refused", "closed", "prohibited", "unreachable") for r in results), results
    assert not [a for a in world.service.arrived() if a[0].startswith("tcp")]


@pytest.mark.parametrize("cut", [1, 5, 17, 60])
def test_name_in_pieces(world, strict, denying, cut):
    """Cut into records and segments a name is still the same."""
    resolved(world, strict)
    names(world, {"good.test": [["A", PUBLIC4, 60]], "x.test": [["A", PUBLIC4, 60]]})
    for hello, segment in ((client_hello("good.test", cut=cut), 4096), (client_hello("good.test"), cut)):
        parts = [hello[i:i + segment] for i in range(0, len(hello), segment)]
        assert is_open(strict.probe(probe("tcp", PUBLIC4, 443, parts=parts))[0])
    for hello, segment in ((client_hello("x.bad.test", cut=cut), 4096), (client_hello("x.bad.test"), cut)):
        parts = [hello[i:i + segment] for i in range(0, len(hello), segment)]
        assert not is_open(denying.probe(probe("tcp", PUBLIC4, 443, parts=parts))[0])


def test_redirect_to_private(world, guest):
    """Where a server sends its client is a new connection, with its own decision."""
    arrivals(world)
    r = guest.run("curl", "-sS", "-m", "20", "-o", "/dev/null", "--connect-to", f"::{PUBLIC4}:80", "http://x.test/", check=False)
    assert r.returncode == 0, r
    r = guest.run("curl", "-sS", "-m", "20", f"http://{META4}/latest/meta-data", f"http://{PRIVATE4}/", check=False)
    assert r.returncode == 7, r
    assert not [a for a in arrivals(world) if a[1] in (META4, PRIVATE4)]


def test_doh_to_an_allowed_host(world, strict):
    """Answers that come some other way than through our resolver pin nothing."""
    resolved(world, strict)
    assert is_open(strict.probe(probe("tcp", PUBLIC4, 443, send=client_hello("good.test")))[0])
    # With what such an answer might say, good.test at another address, the guest gets nowhere.
    assert not is_open(strict.probe(probe("tcp", PUBLIC4_OTHER, 443, send=client_hello("good.test")))[0])


def test_pin_of_another_name(world, strict):
    """An allowed suffix does not open an address for names beside it."""
    names(world, {"a.many.test": [["A", PUBLIC4_OTHER, 60]], "good.test": [["A", PUBLIC4, 60]]})
    assert lookup(strict, "a.many.test")["rcode"] == 0
    assert lookup(strict, "many.test.evil.test")["rcode"] == NXDOMAIN
    assert lookup(strict, "notmany.test")["rcode"] == NXDOMAIN
    assert is_open(strict.probe(probe("tcp", PUBLIC4_OTHER, 443, send=client_hello("a.many.test")))[0])
    assert not is_open(strict.probe(probe("tcp", PUBLIC4_OTHER, 443, send=client_hello("good.test")))[0])


def test_own_addresses_of_the_host(world, guest):
    """A public address of the host is the host, not the internet."""
    arrivals(world)
    assert ipaddress.ip_address(HOST_PUBLIC4).is_global
    results = guest.probe(probe("tcp", HOST_PUBLIC4), probe("tcp", HOST4), probe("tcp", guest.gateway4),
                          probe("tcp", guest.gateway6))
    assert all(is_denied("tcp", r) for r in results), results
    assert not arrivals(world)
