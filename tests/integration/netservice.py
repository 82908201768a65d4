"""
The services of a namespace: netservice.py ADDRESS...

Controlled by lines of JSON on standard input, answered on standard output:

    {"op": "start"}      opens the services, now that the addresses are there
    {"op": "arrived"}    what has come since the last time: [[protocol, address, port, peer, data], ...]
    {"op": "zone", "server": ADDRESS, "records": {NAME: ANSWER}}

On every address: TCP on TCP_PORTS, of which 22 speaks first, 80 and 8080 answer in HTTP and 53 in DNS, and the
others send back what they get; UDP on UDP_PORTS, of which 53 answers in DNS and the others send back what they get
behind the address that they got it at. Echo requests are answered by the kernel, and noted here.

An ANSWER is a list of records [type, value, ttl, section]; or {"turns": [list, list ...]}, which come one after the
other; or {"rcode": N}, {"silent": true}, {"truncate": true, "records": list} (over UDP; TCP has them),
{"name": NAME, "records": list} for the wrong question. `section` is "an" (default), "ns" or "ar".
A wildcard "*" stands for all other names.
"""
import json
import os
import selectors
import socket
import struct
import sys

import dnswire

TCP_PORTS = (22, 53, 80, 443, 853, 8080, 5353)
UDP_PORTS = (7, 53, 123, 137, 443, 5353, 5355)
IPV6_RECVPKTINFO, IPV6_PKTINFO = 49, 50


def plain(address):
    """IPv4 addresses of a socket for both families in their own form."""
    return address.removeprefix("::ffff:")


class Services:
    def __init__(self, addresses):
        self.addresses = addresses
        self.selector = selectors.DefaultSelector()
        self.log = []
        self.zones, self.turns = {}, {}
        self.pending = {}  # of DNS over TCP: what has come of a message so far

    def note(self, protocol, address, port, peer, data=b""):
        self.log.append([protocol, plain(address), port, plain(peer), data.decode("latin-1")])

    def watch(self, sock, fn):
        self.selector.register(sock, selectors.EVENT_READ, fn)

    def start(self):
        for port in TCP_PORTS:
            s = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=4096)
            s.setblocking(False)
            self.watch(s, self.accept)
        for address in self.addresses:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            for port in UDP_PORTS:
                s = socket.socket(family, socket.SOCK_DGRAM)
                s.bind((address, port))
                self.watch(s, self.datagram)
        s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        self.watch(s, self.echo4)
        s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        s.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
        self.watch(s, self.echo6)

    # --- TCP

    def accept(self, listener):
        for _ in range(64):
            try:
                s, peer = listener.accept()
            except BlockingIOError:
                return
            address, port = s.getsockname()[:2]
            self.note("tcp", address, port, peer[0])
            if port == 22:
                s.sendall(b"SSH-2.0-server\r\n")
            self.watch(s, self.tcp_data)

    def tcp_data(self, s):
        try:
            data = s.recv(65536)
            address, port = s.getsockname()[:2]
            if data:
                self.note("tcp-data", address, port, s.getpeername()[0], data[:200])
                s.sendall(self.tcp_answer(s, plain(address), port, data))
                if port != 80:
                    return
        except OSError:
            pass
        self.selector.unregister(s)
        self.pending.pop(s, None)
        s.close()

    def tcp_answer(self, s, address, port, data):
        if port in (80, 8080):
            return (f"HTTP/1.1 200 OK\r\nContent-Length: {len(address)}\r\nConnection: close\r\n\r\n"
                    f"{address}").encode()
        if port == 53:
            return self.tcp_dns(s, address, data)
        return address.encode() + b" " + data

    def tcp_dns(self, s, address, data):
        data, answers = self.pending.pop(s, b"") + data, b""
        while len(data) >= 2 and len(data) >= 2 + struct.unpack("!H", data[:2])[0]:
            size = struct.unpack("!H", data[:2])[0]
            answer = self.dns(address, data[2:2 + size], tcp=True)
            answers += struct.pack("!H", len(answer)) + answer
            data = data[2 + size:]
        self.pending[s] = data
        return answers

    # --- UDP and ICMP

    def datagram(self, s):
        data, peer = s.recvfrom(65536)
        address, port = s.getsockname()[:2]
        self.note("udp", address, port, peer[0], data[:200])
        answer = self.dns(address, data) if port == 53 else address.encode() + b" " + data
        if answer:
            s.sendto(answer, peer)

    def echo4(self, s):
        packet, peer = s.recvfrom(65536)
        if packet[(packet[0] & 15) * 4] == 8:
            self.note("icmp", socket.inet_ntoa(packet[16:20]), 0, peer[0])

    def echo6(self, s):
        packet, controls, _, peer = s.recvmsg(65536, 256)
        for level, kind, data in controls:
            if (level, kind) == (socket.IPPROTO_IPV6, IPV6_PKTINFO) and packet[0] == 128:
                self.note("icmp", socket.inet_ntop(socket.AF_INET6, data[:16]), 0, peer[0])

    # --- DNS

    def dns(self, server, msg, tcp=False):
        try:
            name, kind, end = dnswire.parse_question(msg)
        except (IndexError, ValueError, struct.error):
            return b""
        zone = self.zones.get(server, {})
        answer = zone.get(name.lower(), zone.get("*"))
        flags, asked = 0x8180, msg[12:end]
        if answer is None:
            return struct.pack("!HHHHHH", *struct.unpack("!H", msg[:2]), flags | 3, 1, 0, 0, 0) + asked
        if isinstance(answer, dict):
            if answer.get("silent"):
                return b""
            if "turns" in answer:
                turn = self.turns.get((server, name, kind), 0)
                self.turns[server, name, kind] = turn + 1
                answer = {"records": answer["turns"][min(turn, len(answer["turns"]) - 1)]}
            flags |= answer.get("rcode", 0)
            if answer.get("truncate") and not tcp:
                flags, answer = flags | 0x0200, {"records": []}
            if "name" in answer:
                asked = dnswire.encode_name(answer["name"]) + asked[-4:]
            answer = answer.get("records", [])
        sections = {"an": [], "ns": [], "ar": []}
        owner = name
        for rtype, value, ttl, *rest in answer:
            section = rest[0] if rest else "an"
            of = rest[1] if len(rest) > 1 else owner
            if section != "an" or rtype in (kind, "CNAME"):
                sections[section].append(dnswire.record(of, rtype, value, ttl))
            if rtype == "CNAME" and section == "an":
                owner = value
        counts = [len(sections[s]) for s in ("an", "ns", "ar")]
        return (struct.pack("!HHHHHH", *struct.unpack("!H", msg[:2]), flags, 1, *counts) + asked +
                b"".join(b"".join(sections[s]) for s in ("an", "ns", "ar")))

    # --- control

    def control(self, request):
        if request["op"] == "start":
            self.start()
        elif request["op"] == "arrived":
            # What has come already is to be in the answer.
            while self.round(0):
                pass
            found, self.log = self.log, []
            return found
        elif request["op"] == "zone":
            self.zones[request["server"]] = {k.lower(): v for k, v in request["records"].items()}
            self.turns.clear()
        return True

    def round(self, limit=None):
        events = self.selector.select(limit)
        for key, _ in events:
            if key.fileobj is not sys.stdin:
                key.data(key.fileobj)
        return [key for key, _ in events if key.fileobj is not sys.stdin]

    def run(self):
        self.selector.register(sys.stdin, selectors.EVENT_READ)
        while True:
            events = self.selector.select()
            for key, _ in events:
                if key.fileobj is not sys.stdin:
                    key.data(key.fileobj)
                    continue
                line = sys.stdin.readline()
                if not line:
                    return
                print(json.dumps(self.control(json.loads(line))), flush=True)


def main():
    print("ready", flush=True)
    Services(sys.argv[1:]).run()
    os._exit(0)


main()
