"""What a terminal shows of the output that it gets: as much of one as msb's progress needs."""
import re

SEQUENCE = re.compile(rb"\x1b\[(\??)([\d;]*)([A-Za-z])")


class Screen:
    """A terminal of a size; `lines` is what it shows, `scrolled` how many lines have left it."""

    def __init__(self, rows, cols):
        self.rows, self.cols = rows, cols
        self.lines = [""] * rows
        self.row = self.col = self.scrolled = 0
        self.cursor = True

    def feed(self, data):
        pos = 0
        text = data.decode("utf-8", "replace").encode("utf-8")
        while pos < len(text):
            match = SEQUENCE.match(text, pos)
            if match:
                self.control(*match.groups())
                pos = match.end()
                continue
            assert text[pos] != 0x1b, text[pos:pos + 20]
            end = pos + 1
            while end < len(text) and text[end] & 0xc0 == 0x80:
                end += 1
            self.put(text[pos:end].decode())
            pos = end
        return self

    def control(self, private, number, letter):
        if letter == b"m":
            return
        n = int(number or 0)
        if private:
            assert (n, letter) in ((25, b"l"), (25, b"h")), (n, letter)
            self.cursor = letter == b"h"
        elif letter == b"A":
            self.row = max(0, self.row - max(n, 1))
        elif letter == b"K":
            self.lines[self.row] = self.lines[self.row][:self.col]
        else:
            assert letter == b"J", letter
            self.lines[self.row] = self.lines[self.row][:self.col]
            self.lines[self.row + 1:] = [""] * (self.rows - self.row - 1)

    def put(self, char):
        if char == "\r":
            self.col = 0
        elif char == "\n":
            self.row += 1
            if self.row == self.rows:
                self.lines = self.lines[1:] + [""]
                self.row -= 1
                self.scrolled += 1
        else:
            assert self.col < self.cols, "a line is longer than the terminal is wide"
            line = self.lines[self.row].ljust(self.col)
            self.lines[self.row] = line[:self.col] + char + line[self.col + 1:]
            self.col += 1

    def shown(self):
        return [line.rstrip() for line in self.lines if line.strip()]
