"""
Many connections at once, from a guest: netload.py ADDRESS PORT TOTAL AT_ONCE

Opens TOTAL connections, AT_ONCE of them open at any time, each of which sends a few bytes, has them back and is closed.
Prints how many did so in JSON, and what went wrong with the others.
"""
import json
import selectors
import socket
import sys


class Load:
    def __init__(self, address, port, total, at_once):
        self.target, self.left, self.at_once = (address, port), total, at_once
        self.family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.selector = selectors.DefaultSelector()
        self.open, self.done, self.errors = set(), 0, {}
        self.held = []  # answered, but kept open until as many are as there should be at once

    def start(self):
        while self.left and len(self.open) + len(self.held) < self.at_once:
            s = socket.socket(self.family, socket.SOCK_STREAM)
            s.setblocking(False)
            s.connect_ex(self.target)
            self.selector.register(s, selectors.EVENT_WRITE)
            self.open.add(s)
            self.left -= 1

    def end(self, s, error=None):
        self.selector.unregister(s)
        self.open.remove(s)
        if error:
            self.errors[error] = self.errors.get(error, 0) + 1
            s.close()
        else:
            self.held.append(s)

    def step(self, key):
        s = key.fileobj
        try:
            if key.events == selectors.EVENT_WRITE:
                s.send(b"hello")
                self.selector.modify(s, selectors.EVENT_READ)
                return
            data = s.recv(100)
            self.end(s, None if data.endswith(b"hello") else f"answer {data!r}")
        except OSError as e:
            self.end(s, e.strerror)

    def run(self):
        while self.left or self.open or self.held:
            self.start()
            while self.open:
                events = self.selector.select(60)
                if not events:
                    return "stuck"
                for key, _ in events:
                    self.step(key)
            self.done += len(self.held)
            for s in self.held:
                s.close()
            self.held.clear()
        return None


def main():
    load = Load(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    stuck = load.run()
    print(json.dumps({"done": load.done, "errors": load.errors, "stuck": stuck}))


main()
