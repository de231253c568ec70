"""Lines of a file of events: counted, bounded, and text at all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Final

from include.operations.errors import InputRejected

_BOM: Final = b"\xef\xbb\xbf"
_DISCARDED_AT_ONCE: Final = 65_536
# How files begin that hold no lines of text, what they are, and what to do.
_NO_TEXT: Final = (
    (b"\x1f\x8b", "the file is compressed", "unpack it first: `gunzip -c FILE | ... interactions publish -`"),
    (b"PK\x03\x04", "the file is a ZIP archive or a spreadsheet", "unpack it, or save the spreadsheet as CSV"),
    (b"\xff\xfe", "the file is UTF-16", "convert it: `iconv -f UTF-16 -t UTF-8 FILE`"),
    (b"\xfe\xff", "the file is UTF-16", "convert it: `iconv -f UTF-16 -t UTF-8 FILE`"),
)


class Lines:
    """The lines of a stream, one by one.

    Attributes:
        longest: bytes of a line; a longer one is cut there, and its rest is never held in memory.
        number: number of the line that was read last, from 1.
        cut: whether it was cut.
    """

    def __init__(self, stream: BinaryIO, longest: int) -> None:
        self.longest = longest
        self.number = 0
        self.cut = False
        self._stream = stream

    def read(self) -> bytes:
        """The next line with its end; empty at the end of the file."""
        line = self._stream.readline(self.longest + 1)
        self.number += bool(line)
        self.cut = len(line) > self.longest
        if self.cut:
            rest = line
            while rest and not rest.endswith(b"\n"):
                rest = self._stream.readline(_DISCARDED_AT_ONCE)
            line = line[: self.longest]
        return line

    def __iter__(self) -> Iterator[bytes]:
        while line := self.read():
            yield line

    def first(self) -> bytes:
        """The first line that says something, without a byte order mark; empty when there is none.

        Raises:
            InputRejected: the file holds no lines of text.
        """
        for line in self:
            text = line.removeprefix(_BOM) if self.number == 1 else line
            _check_text(text, begins=self.number == 1)
            if not is_void(text):
                return text
        return b""


def is_void(line: bytes) -> bool:
    """Whether a line is blank or a comment: `# text`, `% text`. A name like #channel begins no comment."""
    words = line.split(maxsplit=1)
    return not words or not words[0].strip(b"#%")


def _check_text(line: bytes, *, begins: bool) -> None:
    for mark, what, what_to_do in _NO_TEXT if begins else ():
        if line.startswith(mark):
            raise InputRejected(f"{what}.", what_to_do=what_to_do)
    if b"\0" in line:
        raise InputRejected(
            "the file is binary, not text.", what_to_do="export the events as CSV or JSON lines, in UTF-8"
        )
    if b"\r" in line.rstrip(b"\r\n"):
        raise InputRejected(
            "the lines end with a carriage return only, as on old Macintoshes.",
            what_to_do="convert it: `tr '\\r' '\\n' < FILE | ... interactions publish -`",
        )
