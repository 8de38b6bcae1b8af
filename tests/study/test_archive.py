"""An archive keeps what was appended, wherever a kill cuts it short and whichever bit flips."""

from __future__ import annotations

from pathlib import Path

import pytest

from dinku.errors import DinkuError
from dinku.study.archive import Archive

RECORDS = {"a": b"first", "b": b"", "c": bytes(range(256)) * 4}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "some.archive"


def held(path: Path) -> dict[str, bytes | None]:
    archive = Archive(path)
    return {name: archive.get(name) for name in archive.names}


def test_what_was_appended_is_read_by_whoever_opened_it_before(path: Path) -> None:
    reader = Archive(path)
    assert not reader.names
    assert reader.get("a") is None
    Archive(path).append(RECORDS)
    assert {name: reader.get(name) for name in reader.names} == RECORDS
    Archive(path).append({"a": b"measured again"})
    assert reader.get("a") == b"measured again"
    path.unlink()
    assert not reader.names


def test_a_kill_at_any_byte_costs_the_last_record_alone(path: Path) -> None:
    Archive(path).append(RECORDS)
    before = path.stat().st_size
    Archive(path).append({"last": b"the last record" * 9})
    whole = path.read_bytes()
    for length in range(before, len(whole)):
        path.write_bytes(whole[:length])
        assert held(path) == RECORDS
        Archive(path).append({"next": b"next"})
        assert held(path) == RECORDS | {"next": b"next"}
        assert path.read_bytes()[:before] == whole[:before]
    path.write_bytes(whole)
    assert held(path) == RECORDS | {"last": b"the last record" * 9}


def test_a_bit_that_flips_costs_the_record_that_it_is_in_alone(path: Path) -> None:
    for name, data in RECORDS.items():
        Archive(path).append({name: data})
    whole = path.read_bytes()
    lost: list[str] = []
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << at % 8
        path.write_bytes(damaged)
        found = held(path)
        assert found.items() < RECORDS.items()
        lost.append(*RECORDS.keys() - found.keys())
        Archive(path).append({"next": b"next"})
        assert held(path) == found | {"next": b"next"}
    assert lost == sorted(lost)
    assert {*lost} == {*RECORDS}


def test_two_archives_one_after_the_other_are_an_archive(path: Path) -> None:
    other = path.with_name("other.archive")
    Archive(path).append({"a": b"old", "z": b"z"})
    Archive(other).append(RECORDS)
    path.write_bytes(path.read_bytes() + other.read_bytes())
    assert held(path) == {"z": b"z"} | RECORDS


def test_what_the_system_refuses_is_one_line(path: Path) -> None:
    path.mkdir()
    with pytest.raises(DinkuError, match=r"some\.archive: can't be written \(Is a directory\)"):
        Archive(path).append(RECORDS)
    with pytest.raises(DinkuError, match=r"some\.archive: can't be read \(Is a directory\)"):
        Archive(path).get("a")
