"""An archive of named byte strings in one file, which only grows and stays readable if a process is killed at any moment.

Each record consists of a mark, lengths, a checksum, a name and the compressed data. Readers ignore a record that a kill cut
short, and the next writer removes it. A damaged record is ignored, and the records after it are found by their marks. If a name
occurs twice, the later record counts. Two concatenated archives are an archive.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dinku.files import content, os_errors_as_dinku

_MARK = b"\x89dinku\r\n"
_HEAD = struct.Struct("<8sHIII")  # the mark, the lengths of name, packed and unpacked data, and a checksum


@dataclass
class Archive:
    """An archive in a file. Reading needs no lock; a caller that appends must hold one."""

    path: Path
    version: tuple[int, ...] = ()  # of the file as it was read last
    _held: bytes = b""
    _places: dict[str, tuple[int, int, int]] = field(default_factory=dict)  # by name: start, end, unpacked length
    _end: int = 0  # of the last whole record

    @property
    def names(self) -> Collection[str]:
        """The names of all whole records."""
        self._refresh()
        return self._places.keys()

    def get(self, name: str) -> bytes | None:
        """The data of a name; ``None`` if no complete record has it."""
        self._refresh()
        if name not in self._places:
            return None
        start, end, length = self._places[name]
        return zlib.decompressobj().decompress(self._held[start:end], length)

    def append(self, records: Mapping[str, bytes]) -> None:
        """Add records, which are on the disk on return. Raises `DinkuError`, of status 1, if the system refuses."""
        with os_errors_as_dinku(self.path), open(self.path, "ab+") as file:
            file.seek(0)
            self._scan(file.read())  # the present content: on a network drive, the file's state may be outdated
            if self._end < len(self._held):
                file.truncate(self._end)  # a kill cut the rest short
            file.writelines(_record(name, data) for name, data in records.items())
            file.flush()
            os.fsync(file.fileno())
        self.version = ()

    def _refresh(self) -> None:
        """Read the file again if it isn't the one that was read last."""
        try:
            state = self.path.stat()
        except FileNotFoundError:
            return self._scan(b"")
        except OSError as error:
            with os_errors_as_dinku(self.path, reading=True):
                raise error
        version = state.st_mtime_ns, state.st_ctime_ns, state.st_ino, state.st_size
        if version != self.version:
            with os_errors_as_dinku(self.path, reading=True):
                self._scan(content(self.path))
            self.version = version
        return None

    def _scan(self, held: bytes) -> None:
        self._held, self._places, self._end, self.version = held, {}, 0, ()
        at = held.find(_MARK)
        while at >= 0:
            end = self._read(at)
            self._end = end or self._end
            at = held.find(_MARK, end or at + 1)

    def _read(self, at: int) -> int:
        """Note the record at a place and return its end; 0 if there is no complete one."""
        if len(self._held) < at + _HEAD.size:
            return 0
        _, name, packed, length, checksum = _HEAD.unpack_from(self._held, at)
        start = at + _HEAD.size + name
        end = start + packed
        if end > len(self._held) or _checksum(self._held[at:end]) != checksum:
            return 0
        self._places[self._held[start - name : start].decode()] = start, end, length
        return end


def _record(name: str, data: bytes) -> bytes:
    packed = zlib.compress(data)
    rest = name.encode() + packed
    head = _HEAD.pack(_MARK, len(rest) - len(packed), len(packed), len(data), 0)
    return head[:-4] + _checksum(head + rest).to_bytes(4, "little") + rest


def _checksum(record: bytes) -> int:
    """The checksum of a record's lengths, name and data."""
    return zlib.crc32(record[_HEAD.size :], zlib.crc32(record[: _HEAD.size - 4]))
