"""Options of the network: what is refused, what is kept, and what of it is shown."""
import json

import pytest

from conftest import KEPT

REFUSED = [
    (["-p", "80"], "HOST:GUEST[/udp] or BIND_ADDR:HOST:GUEST[/udp]"),
    (["-p", "80:80/sctp"], "HOST:GUEST[/udp]"),
    (["-p", "8000-8010:80-90"], "ranges of ports are not supported"),
    (["-p", "localhost:80:80"], "HOST:GUEST"),
    (["-p", "80:80", "-p", "80:81"], "published twice"),
    (["--network-policy", "lan"], "none, public-only, nonlocal and allow-all"),
    (["--net", ""], "unknown network policy"),
    (["--net-rule", "allow@foo"], "'foo' is ambiguous"),
    (["--net-rule", "allow@pubic"], "did you mean 'public'?"),
    (["--net-rule", "allow@127.1"], "'127.1' is no address"),
    (["--net-rule", "allow@0x7f000001"], "four decimal numbers"),
    (["--net-rule", "allow@10.0.0.1/8"], "is no range of addresses"),
    (["--net-rule", "allow@::1"], "[::1]"),
    (["--net-rule", "allow@any:tcp:0"], "'0' is no port"),
    (["--net-default", "maybe"], "allow or deny"),
    (["--deny-domain", "http://a.b"], "is no domain name"),
    (["--deny-domain-suffix", "1.2.3.4"], "is no domain name"),
    (["--max-connections", "4097"], "from 1 to 4096"),
    (["--net-rate-egress", "fast"], "10M"),
    (["--dns-nameserver", "dns.example"], "is no address with or without a port"),
    (["--dns-nameserver=192.0.2.1"] * 9, "at most 8"),
    (["--proxy", "ftp://192.0.2.7"], "unsupported kind of proxy"),
    (["--proxy", "socks5://proxy.example"], "is no place of a proxy"),
    (["--proxy-from-env"], "'ALL_PROXY' not set"),
    (["--no-net", "--net-rule", "allow@any"], "--no-net cannot be combined with --net-rule"),
    (["--no-net", "--net-default", "deny"], "--no-net cannot be combined with --net-default"),
    (["--no-net", "-p", "80:80"], "--no-net cannot be combined with --port"),
]


@pytest.mark.parametrize("options, saying", REFUSED, ids=lambda v: "_".join(v)[:40]
                         if isinstance(v, list) else None)
def test_refused(fresh, options, saying):
    """Before anything is made or pulled."""
    result = fresh("create", *options, "registry.invalid/nowhere")
    result.failed(2 if result.rc == 2 else 1, saying)
    assert fresh.sandboxes() == {}


@pytest.fixture(scope="module")
def guarded(shared):
    shared("create", "-q", "--name", "guarded", "-m", "128M", "--deny-domain", "Evil.Example.",
           "--net-rule", "allow@10.1.2.3:tcp:5432", "--net-rule", "allow@[fd12::/16]",
           "-p", "0:80", "-p", "[::1]:0:53/udp", "--net-rate-egress", "10M",
           "--dns-nameserver", "192.0.2.1", "--proxy", "socks5://me:hush@192.0.2.7",
           "--max-connections", "99", "busybox").ok()
    shared("stop", "-q", "guarded").ok()
    KEPT.add("guarded")
    yield "guarded"
    KEPT.remove("guarded")
    shared("rm", "-q", "-f", "guarded").ok()


@pytest.fixture(scope="module")
def apart(shared):
    shared("create", "-q", "--name", "apart", "-m", "128M", "--no-net", "busybox").ok()
    shared("stop", "-q", "apart").ok()
    KEPT.add("apart")
    yield "apart"
    KEPT.remove("apart")
    shared("rm", "-q", "-f", "apart").ok()


def test_inspect(msb, guarded):
    network = json.loads(msb("inspect", "--format", "json", guarded).ok())["config"]["network"]
    assert network["policy"] == "public-only"
    assert (network["egress"], network["ingress"]) == ("deny", "allow")
    assert network["rules"] == ["deny@domain=evil.example", "allow@10.1.2.3:tcp:5432",
                                "allow@[fd12::/16]", "allow@dns", "allow@public"]
    assert network["ports"] == [
        {"protocol": "tcp", "bind": "127.0.0.1", "host_port": 0, "guest_port": 80},
        {"protocol": "udp", "bind": "::1", "host_port": 0, "guest_port": 53}]
    assert network["nameservers"] == ["192.0.2.1:53"]
    assert network["rebind_protection"] is True and network["max_connections"] == 99
    assert network["egress_bytes_per_sec"] == 10 << 20
    assert network["proxy"] == "socks5://me:***@192.0.2.7:1080"
    text = msb("inspect", guarded).text()
    assert "\nNetwork\n  Policy:       public-only\n  Rules:        deny@domain=evil.example\n" in text
    assert "hush" not in text and "10.0 MiB per second" in text


def test_no_network(msb, apart):
    assert json.loads(msb("inspect", "--format", "json", apart).ok())["config"]["network"] is None
    assert "\nNetwork\n  none\n" in msb("inspect", apart).text()
    assert "no network device" in msb("net", "explain", apart, "192.0.2.9").text()


def test_ps(msb, guarded):
    """What was asked for, of a sandbox that does not run."""
    assert "127.0.0.1:0->80/tcp, [::1]:0->53/udp" in msb("ps", guarded).text()
    ports = json.loads(msb("ps", "--format", "json", guarded).ok())["ports"]
    assert [p["guest_port"] for p in ports] == [80, 53]


EXPLAINED = [
    # What the guest says in its first bytes may still be the denied name.
    (["198.51.100.9"], "depends", "rule 1, deny@domain=evil.example"),
    (["198.51.100.9", "--name", "good.example"], "allow", "rule 5, allow@public"),
    (["198.51.100.9:80", "--name", "evil.example"], "deny", "rule 1, deny@domain=evil.example"),
    (["evil.example"], "deny", "rule 1, deny@domain=evil.example"),
    (["EVIL.example.:80"], "deny", "rule 1, deny@domain=evil.example"),
    (["good.example"], "allow", "rule 5, allow@public"),
    (["10.1.2.3:5432", "--name", "db.example"], "allow", "rule 2, allow@10.1.2.3:tcp:5432"),
    (["10.1.2.3:5433"], "deny", "the default for egress"),
    (["10.1.2.3:5432", "--protocol", "udp"], "deny", "the default for egress"),
    (["[fd12::1]:22", "--name", "good.example"], "allow", "rule 3, allow@[fd12::/16]"),
    (["127.0.0.1:22"], "deny", "the default for egress"),
    (["169.254.169.254:80"], "deny", "the default for egress"),
    (["host.microsandbox.internal:80"], "deny", "the default for egress"),
    (["0.0.0.0:80"], "deny", "no address"),
    (["198.51.100.9:53", "--protocol", "udp"], "resolver", "decides about each name"),
    (["198.51.100.9:853"], "deny", "names are asked for at the gateway only"),
    (["198.51.100.9:443", "--protocol", "udp"], "deny", "it does not go through the proxy"),
    (["198.51.100.9", "--protocol", "icmp"], "deny", "it does not go through the proxy"),
]


@pytest.mark.parametrize("args, verdict, why", EXPLAINED, ids=lambda v: v[0]
                         if isinstance(v, list) else None)
def test_explain(msb, guarded, args, verdict, why):
    explained = json.loads(msb("net", "explain", "--format", "json", guarded, *args).ok())
    assert explained["verdict"] == verdict
    assert why in explained["steps"][-1]["why"]
    assert why in msb("net", "explain", guarded, *args).text()


@pytest.mark.parametrize("args, status, saying", [
    (["nowhere", "192.0.2.1"], 1, "sandbox not found"),
    (["guarded", "127.1"], 1, "neither an address nor a domain name"),
    (["guarded", "a.b:0"], 1, "neither an address"),
    (["guarded", "192.0.2.1:443", "--name", "1.2.3.4"], 1, "is no domain name"),
    (["guarded", "a.b", "--name", "c.d"], 2, "'--name' is for addresses"),
    (["guarded", "192.0.2.1:1", "--protocol", "icmp"], 2, "no ports"),
    (["guarded", "192.0.2.1", "--protocol", "sctp"], 2, "expected tcp, udp or icmp"),
    (["guarded"], 2, ""),
])
def test_explain_refuses(msb, guarded, args, status, saying):
    msb("net", "explain", *args).failed(status, saying)
