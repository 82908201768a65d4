"""
What a program in a guest finds when it tries something: reads a list of probes in JSON from standard input, tries
all of them at once, and writes their results in the same order.

    {"kind": "tcp", "addr": A, "port": N, "send": TEXT, "parts": [TEXT..]}    "open TEXT", "refused", "reset" ...
        "silent": SECONDS before the first word
    {"kind": "udp", "addr": A, "port": N, "send": TEXT}
    {"kind": "ping", "addr": A, "size": BYTES}                       "open", "unreachable" ...
    {"kind": "dns", "server": A, "name": NAME, "type": T, "tcp": BOOL, "parts": SIZE}    a parsed reply, or a word
    {"kind": "frames", "frames": [HEX..]}                            sent as they are; "sent"

TEXT is latin-1. "timeout" means that nothing came for LIMIT seconds: for what is denied that is a fault.
"""
import concurrent.futures
import errno
import json
import os
import socket
import struct
import sys
import time

import dnswire

LIMIT = 20
WORDS = {errno.ECONNREFUSED: "refused", errno.ECONNRESET: "reset", errno.EHOSTUNREACH: "unreachable",
         errno.ENETUNREACH: "unreachable", errno.EACCES: "prohibited", errno.EPIPE: "reset"}


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def tcp(addr, port, send="hello", parts=None, read=True, silent=0):
    with socket.socket(family(addr), socket.SOCK_STREAM) as s:
        s.settimeout(LIMIT)
        s.connect((addr, port))
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        time.sleep(silent)
        for part in [send] if parts is None else parts:
            s.sendall(part.encode("latin-1"))
        if not read:
            return "open"
        data = s.recv(65536)
        return "open " + data.decode("latin-1") if data else "closed"


def udp(addr, port, send="hello"):
    with socket.socket(family(addr), socket.SOCK_DGRAM) as s:
        s.settimeout(LIMIT)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        s.connect((addr, port))
        s.send(send.encode("latin-1"))
        return "open " + s.recv(65536).decode("latin-1")


def ping(addr, size=56):
    v6 = ":" in addr
    with socket.socket(family(addr), socket.SOCK_DGRAM,
                       socket.IPPROTO_ICMPV6 if v6 else socket.IPPROTO_ICMP) as s:
        s.settimeout(LIMIT)
        s.connect((addr, 0))
        data = bytes(range(256)) * (size // 256 + 1)
        s.send(struct.pack("!BBHHH", 128 if v6 else 8, 0, 0, 0, 7) + data[:size])
        reply = s.recv(65536)
        assert reply[0] == (129 if v6 else 0) and reply[8:] == data[:size], reply
        return "open"


def dns(server, name, type="A", tcp=False, parts=0, edns=None, flags=0x0100, raw=None):
    labels = [p.encode("latin-1") for p in name] if isinstance(name, list) else name
    msg = bytes.fromhex(raw) if raw else dnswire.question(labels, type, edns=edns, flags=flags)
    if not tcp:
        with socket.socket(family(server), socket.SOCK_DGRAM) as s:
            s.settimeout(LIMIT)
            s.connect((server, 53))
            s.send(msg)
            return dnswire.parse_reply(s.recv(65536))
    with socket.create_connection((server, 53), LIMIT) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        data = struct.pack("!H", len(msg)) + msg
        for at in range(0, len(data), parts or len(data)):
            s.sendall(data[at:at + (parts or len(data))])
        answer = b""
        while len(answer) < 2 or len(answer) < 2 + struct.unpack("!H", answer[:2])[0]:
            part = s.recv(65536)
            if not part:
                return "closed"
            answer += part
        return dnswire.parse_reply(answer[2:])


def frames(frames, interface="eth0"):
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
        s.bind((interface, 0))
        for frame in frames:
            s.send(bytes.fromhex(frame))
    return "sent"


KINDS = {"tcp": tcp, "udp": udp, "ping": ping, "dns": dns, "frames": frames}


def run(probe):
    arguments = dict(probe)
    try:
        return KINDS[arguments.pop("kind")](**arguments)
    except TimeoutError:
        return "timeout"
    except OSError as e:
        return WORDS.get(e.errno, os.strerror(e.errno) if e.errno else str(e))


def main():
    probes = json.load(sys.stdin)
    with concurrent.futures.ThreadPoolExecutor(max_workers=64) as pool:
        json.dump(list(pool.map(run, probes)), sys.stdout)


main()
