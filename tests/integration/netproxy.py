"""
A proxy for the tests: netproxy.py KIND ADDRESS PORT [USER PASSWORD]

KIND is socks4, socks5 or http. Prints a line when it listens, and one for each request: "open HOST:PORT", "refused
HOST:PORT" when it is for port 81, or "denied" when name and password are wrong.
"""
import base64
import socket
import struct
import sys
import threading


def exactly(s, n):
    data = b""
    while len(data) < n:
        part = s.recv(n - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def until(s, end):
    data = b""
    while not data.endswith(end):
        data += exactly(s, 1)
    return data


class Proxy:
    def __init__(self, credentials):
        self.credentials = credentials

    def socks4(self, s):
        _, command, port = struct.unpack("!BBH", exactly(s, 4))
        address = socket.inet_ntoa(exactly(s, 4))
        user = until(s, b"\0")[:-1].decode()
        if self.credentials and user != self.credentials[0]:
            s.sendall(struct.pack("!BBHI", 0, 93, 0, 0))
            return None
        return self.tell(s, address, port, struct.pack("!BBHI", 0, 90, 0, 0),
                         struct.pack("!BBHI", 0, 91, 0, 0)) if command == 1 else None

    def socks5(self, s):
        _, n = exactly(s, 2)
        methods = exactly(s, n)
        wanted = 2 if self.credentials else 0
        if wanted not in methods:
            s.sendall(b"\5\xff")
            return None
        s.sendall(bytes([5, wanted]))
        if self.credentials:
            _, n = exactly(s, 2)
            user = exactly(s, n).decode()
            password = exactly(s, exactly(s, 1)[0]).decode()
            right = (user, password) == self.credentials
            s.sendall(bytes([1, 0 if right else 1]))
            if not right:
                return None
        _, command, _, kind = exactly(s, 4)
        if kind == 3:
            address = exactly(s, exactly(s, 1)[0]).decode()
        else:
            family = socket.AF_INET if kind == 1 else socket.AF_INET6
            address = socket.inet_ntop(family, exactly(s, 4 if kind == 1 else 16))
        port = struct.unpack("!H", exactly(s, 2))[0]
        rest = b"\0\1" + bytes(6)
        return self.tell(s, address, port, b"\5\0" + rest, b"\5\5" + rest) if command == 1 else None

    def http(self, s):
        head = until(s, b"\r\n\r\n").decode()
        verb, target, _ = head.split("\r\n")[0].split()
        if self.credentials:
            want = base64.b64encode(":".join(self.credentials).encode()).decode()
            if f"Basic {want}" not in head:
                s.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                return None
        host, _, port = target.rpartition(":")
        return self.tell(s, host.strip("[]"), int(port), b"HTTP/1.1 200 OK\r\nX-Proxy: yes\r\n\r\n",
                         b"HTTP/1.1 502 Bad Gateway\r\n\r\n") if verb == "CONNECT" else None

    def tell(self, s, address, port, good, bad):
        if port == 81:
            print(f"refused {address}:{port}", flush=True)
            s.sendall(bad)
            return ()
        out = socket.create_connection((address, port), 20)
        out.settimeout(None)
        print(f"open {address}:{port}", flush=True)
        s.sendall(good)
        return out

    @staticmethod
    def pump(one, other):
        try:
            while data := one.recv(65536):
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def serve(self, s, kind):
        try:
            out = getattr(self, kind)(s)
            if out is None:
                print("denied", flush=True)
            if out:
                thread = threading.Thread(target=self.pump, args=(out, s))
                thread.start()
                self.pump(s, out)
                thread.join()
                out.close()
        except (EOFError, OSError):
            pass
        s.close()


def main():
    kind, address, port, *credentials = sys.argv[1:]
    listener = socket.create_server((address, int(port)),
                                    family=socket.AF_INET6 if ":" in address else socket.AF_INET)
    print("ready", flush=True)
    while True:
        s, _ = listener.accept()
        threading.Thread(target=Proxy(tuple(credentials)).serve, args=(s, kind), daemon=True).start()


main()
