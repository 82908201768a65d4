"""DNS messages, as much as the tests' clients and servers need."""
import socket
import struct

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "SRV": 33,
         "OPT": 41, "HTTPS": 65, "ANY": 255}
NAMES = {number: name for name, number in TYPES.items()}


def encode_name(name):
    """`name` may be a list of labels, of any bytes."""
    labels = name if isinstance(name, list) else [p.encode() for p in name.split(".") if p]
    return b"".join(bytes([len(p)]) + p for p in labels) + b"\0"


def read_name(msg, at):
    labels, end = [], None
    for _ in range(128):
        n = msg[at]
        if n >= 0xC0:
            end = end or at + 2
            at = struct.unpack_from("!H", msg, at)[0] & 0x3FFF
        elif n == 0:
            return ".".join(labels), end or at + 1
        else:
            labels.append(msg[at + 1:at + 1 + n].decode("latin-1"))
            at += 1 + n
    raise ValueError("a loop of names")


def encode_data(kind, value):
    if kind == "A":
        return socket.inet_pton(socket.AF_INET, value)
    if kind == "AAAA":
        return socket.inet_pton(socket.AF_INET6, value)
    if kind in ("CNAME", "NS", "PTR"):
        return encode_name(value)
    if kind == "MX":
        return struct.pack("!H", 10) + encode_name(value)
    if kind == "TXT":
        return bytes([len(value)]) + value.encode()
    return bytes.fromhex(value)


def record(name, kind, value, ttl):
    data = encode_data(kind, value)
    return encode_name(name) + struct.pack("!HHIH", TYPES[kind], 1, ttl, len(data)) + data


def question(name, kind="A", ident=0x1234, edns=None, flags=0x0100):
    msg = struct.pack("!HHHHHH", ident, flags, 1, 0, 0, 1 if edns else 0)
    msg += encode_name(name) + struct.pack("!HH", TYPES[kind], 1)
    return msg + (b"\0" + struct.pack("!HHIH", TYPES["OPT"], edns, 0, 0) if edns else b"")


def parse_question(msg):
    name, at = read_name(msg, 12)
    kind, _ = struct.unpack_from("!HH", msg, at)
    return name, NAMES.get(kind, str(kind)), at + 4


def parse_reply(msg):
    """{"rcode", "truncated", "answers": [[name, type, value, ttl]], "authority": n, "additional": n}"""
    _, flags, n_questions, n_answers, n_authority, n_additional = struct.unpack_from("!6H", msg)
    at, answers = 12, []
    for _ in range(n_questions):
        _, at = read_name(msg, at)
        at += 4
    for _ in range(n_answers):
        name, at = read_name(msg, at)
        kind, _, ttl, size = struct.unpack_from("!HHIH", msg, at)
        at += 10
        data, kind = msg[at:at + size], NAMES.get(kind, str(kind))
        if kind in ("A", "AAAA"):
            value = socket.inet_ntop(socket.AF_INET if kind == "A" else socket.AF_INET6, data)
        elif kind in ("CNAME", "NS", "PTR"):
            value = read_name(msg, at)[0]
        else:
            value = data.hex()
        answers.append([name, kind, value, ttl])
        at += size
    return {"rcode": flags & 15, "truncated": bool(flags & 0x0200), "answers": answers,
            "authority": n_authority, "additional": n_additional}
