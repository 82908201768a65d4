"""What several tests of the network say to a guest: probes, names, first bytes of protocols."""
import networld

# What a denial looks like to a program, by the kind of probe; never a time-out.
DENIED = {"tcp": ("refused", "unreachable", "prohibited", "reset"),
          "udp": ("refused", "unreachable", "prohibited"),
          "ping": ("unreachable", "prohibited")}
NXDOMAIN = 3


def probe(kind, address, port=443, **more):
    return {"kind": kind, "addr": address, **({} if kind == "ping" else {"port": port}), **more}


def is_open(result):
    return result.split(" ")[0] == "open"


def is_denied(kind, result):
    return result in DENIED[kind]


def arrivals(world):
    """Protocol and address of all that has reached a service of the world or the host."""
    return {(protocol, address) for protocol, address, *_ in
            world.service.arrived() + world.host_service.arrived()}


def names(world, records, server=networld.DNS_GOOD):
    world.service.zone(server, records)


def lookup(guest, name, kind="A", **more):
    return guest.probe({"kind": "dns", "server": guest.gateway4, "name": name, "type": kind, **more})[0]


def client_hello(name, extra=b"", cut=None):
    """
    A TLS ClientHello with a server name (None: without), as little of it as there has to be. `extra` are more
    extensions; `cut`: in records of that many bytes.
    """
    extensions = extra
    if name is not None:
        host = name if isinstance(name, bytes) else name.encode()
        sni = (len(host) + 3).to_bytes(2, "big") + b"\0" + len(host).to_bytes(2, "big") + host
        extensions += b"\0\0" + len(sni).to_bytes(2, "big") + sni
    body = (b"\3\3" + bytes(32) + b"\0" + b"\0\2\x13\x01" + b"\1\0" +
            len(extensions).to_bytes(2, "big") + extensions)
    handshake = b"\1" + len(body).to_bytes(3, "big") + body
    cut = cut or len(handshake)
    records = [handshake[at:at + cut] for at in range(0, len(handshake), cut)]
    return b"".join(b"\x16\3\1" + len(r).to_bytes(2, "big") + r for r in records).decode("latin-1")


def http(host, target="/", more=""):
    return f"GET {target} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n"
