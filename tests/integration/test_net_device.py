"""The network device of a machine, with this test as the network: framepipe passes frames on.

Frames come and go as they are in the rings: a virtio_net_hdr of 12 bytes and an Ethernet frame.
"""
import os
import socket
import struct
import threading

import pytest

import harness
import vmm
from harness import LIMIT

pytestmark = pytest.mark.lab

FRAMEPIPE = os.environ.get("MSB_FRAMEPIPE") or os.path.join(
    os.path.dirname(harness.MSB), "../../tests/integration/framepipe")
MAC = bytes.fromhex("020000000102")
OURS = bytes.fromhex("0200000000fe")
GUEST, PEER = bytes([10, 0, 2, 15]), bytes([10, 0, 2, 1])
MTU = 1400

# virtio_net_hdr: flags, gso_type, hdr_len, gso_size, csum_start, csum_offset, num_buffers
NET_HEADER = struct.Struct("<BBHHHHH")
NEEDS_CSUM, TCPV4 = 1, 1
PLAIN = NET_HEADER.pack(0, 0, 0, 0, 0, 0, 0)
ARP, IPV4 = 0x0806, 0x0800
ICMP, TCP = 1, 6
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total ^ 0xffff


def ipv4(protocol, payload):
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0, PEER,
                       GUEST)
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + payload


class Network(threading.Thread):
    """Answers ARP, ICMP echo, and TCP by sending back what comes, in frames as large as can be."""

    def __init__(self, sock):
        super().__init__(daemon=True)
        self.sock = sock
        self.frames = self.bytes = 0
        self.largest = self.largest_sent = 0
        self.tcp = None
        self.failure = None

    def read(self, n):
        data = bytearray()
        while len(data) < n:
            part = self.sock.recv(n - len(data))
            if not part:
                raise EOFError
            data += part
        return bytes(data)

    def run(self):
        try:
            while True:
                self.frame(self.read(struct.unpack("<I", self.read(4))[0]))
        except (EOFError, ConnectionError):
            pass
        except Exception as e:
            self.failure = e
            raise

    def send(self, kind, payload, header=PLAIN):
        frame = header + MAC + OURS + struct.pack(">H", kind) + payload
        self.largest_sent = max(self.largest_sent, len(frame))
        self.sock.sendall(struct.pack("<I", len(frame)) + frame)

    def frame(self, frame):
        self.frames += 1
        self.bytes += len(frame) - NET_HEADER.size
        self.largest = max(self.largest, len(frame))
        header, ether = NET_HEADER.unpack(frame[:12]), frame[12:]
        assert ether[6:12] == MAC
        kind, payload = struct.unpack(">H", ether[12:14])[0], ether[14:]
        if kind == ARP and payload[24:28] == PEER:
            self.send(ARP, struct.pack(">HHBBH", 1, IPV4, 6, 4, 2) + OURS + PEER + MAC + GUEST)
        elif kind == IPV4 and payload[16:20] == PEER:
            length = struct.unpack(">H", payload[2:4])[0]
            if payload[9] == ICMP and payload[20] == 8:
                self.echo(payload[20:length])
            elif payload[9] == TCP:
                self.segment(header, payload[20:length])

    def echo(self, request):
        answer = b"\0\0\0\0" + request[4:]
        self.send(IPV4, ipv4(ICMP, answer[:2] + struct.pack(">H", checksum(answer)) + answer[4:]))

    # --- TCP: the link loses nothing, so there is nothing to be sent twice ---------------------

    def segment(self, header, segment):
        source, port, seq, ack, offset, flags, window = struct.unpack(">HHIIBBH", segment[:16])
        data = segment[(offset >> 4) * 4:]
        if flags & SYN:
            self.tcp = {"ports": (port, source), "next": seq + 1, "sent": 1, "acked": 1,
                        "window": window, "pending": b"", "fin": False}
            # MSS is 1360; no window scaling, no other options.
            self.reply(SYN | ACK, 0, b"", struct.pack(">BBH", 2, 4, MTU - 40))
            return
        t = self.tcp
        if flags & RST or not t or seq & 0xffffffff != t["next"] & 0xffffffff:
            return
        if len(data) > MTU:
            assert header[1] == TCPV4 and header[0] & NEEDS_CSUM and 0 < header[3] <= MTU - 40
        t["acked"], t["window"] = ack, window
        t["pending"] += data
        t["next"] += len(data) + bool(flags & FIN)
        t["fin"] |= bool(flags & FIN)
        if data or flags & FIN:
            self.reply(ACK, t["sent"])
        while t["pending"] and (room := t["window"] - (t["sent"] - t["acked"])) > 0:
            part, t["pending"] = t["pending"][:min(room, 60000)], t["pending"][min(room, 60000):]
            self.reply(ACK | PSH, t["sent"], part)
            t["sent"] += len(part)
        if t["fin"] and not t["pending"] and t["sent"] == t["acked"]:
            self.reply(FIN | ACK, t["sent"])
            t["sent"] += 1

    def reply(self, flags, seq, data=b"", options=b""):
        t = self.tcp
        head = struct.pack(">HHIIBBHHH", *t["ports"], seq, t["next"] & 0xffffffff,
                           (20 + len(options)) // 4 << 4, flags, 65535, 0, 0) + options
        # What a sender with checksum offload leaves: the sum of the pseudo header.
        pseudo = PEER + GUEST + struct.pack(">HH", TCP, len(head) + len(data))
        head = head[:16] + struct.pack(">H", checksum(pseudo) ^ 0xffff) + head[18:]
        large = len(data) > MTU - 40
        self.send(IPV4, ipv4(TCP, head + data),
                  NET_HEADER.pack(NEEDS_CSUM, TCPV4 if large else 0, 54 if large else 0,
                                  MTU - 40 if large else 0, 34, 16, 0))


class Machine(vmm.Vmm):
    """A machine with a network."""

    def __init__(self, folder, **kwargs):
        ours, theirs = socket.socketpair()
        mac = ":".join(f"{b:02x}" for b in MAC)
        super().__init__(folder, wrapper=(FRAMEPIPE, str(theirs.fileno())), fds=[theirs.detach()],
                         extra=(f"--net=mac={mac},mtu={MTU},rings=@RINGS@,wake=@WAKE@,call=@CALL@",
                                *kwargs.pop("extra", ())), **kwargs)
        self.network = Network(ours)
        self.network.start()

    def configure(self):
        self.shell("ip addr add 10.0.2.15/24 dev eth0 && ip link set eth0 up").ok()

    def __exit__(self, *args):
        super().__exit__(*args)
        self.network.sock.shutdown(socket.SHUT_RDWR)
        self.network.join(LIMIT)
        self.network.sock.close()
        assert not self.network.failure


@pytest.fixture
def machine(tmp_path):
    with Machine(tmp_path) as m:
        m.boot()
        m.configure()
        yield m
        m.shutdown()
        assert m.end() == ("end reboot", 0)


def test_card(machine):
    """What the guest is told: address, MTU, link and offloads."""
    def read(name):
        return machine.shell(f"cat /sys/class/net/eth0/{name}").out.strip()

    assert read("address") == b"02:00:00:00:01:02"
    assert read("mtu") == b"%d" % MTU
    assert read("carrier") == b"1"
    features = read("device/features")
    # CSUM, GUEST_CSUM, MTU, MAC, GUEST_TSO4, GUEST_TSO6, HOST_TSO4, HOST_TSO6, MRG_RXBUF, STATUS
    on = {i for i, bit in enumerate(features) if bit == ord("1")}
    assert {i for i in on if i < 24} == {0, 1, 3, 5, 7, 8, 11, 12, 15, 16}
    # Where the disks, the sockets and the generator are is what it was without a network.
    serials = machine.shell("cat /sys/block/vda/serial /sys/block/vdb/serial").out
    assert serials == b"imageupper"


def test_ping(machine):
    machine.exec("ping", "-c", "3", "-i", "0.2", "-s", "1000", "10.0.2.1").ok()
    assert machine.network.frames >= 4


def test_stream(machine):
    """Both ways at once, in frames far larger than the MTU."""
    got = machine.shell("head -c 65536 /dev/urandom > /tmp/x; for i in $(seq 64); do cat /tmp/x; "
                        "done > /tmp/y; sha256sum < /tmp/y; nc 10.0.2.1 7 < /tmp/y | sha256sum")
    first, second = got.out.split()[::2]
    assert first == second
    assert machine.network.bytes > 64 * 65536
    assert machine.network.largest > 8000
    assert machine.network.largest_sent > 20000


def test_many_frames(machine):
    """More than the queues and rings hold at once."""
    before = machine.network.frames
    machine.exec("ping", "-c", "2000", "-A", "-q", "10.0.2.1").ok()
    assert machine.network.frames - before >= 2000
