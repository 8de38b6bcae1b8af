"""Arrays from an ``.npz``: those that numpy reads, or an error."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest

from dinku.scoring.npz import arrays

ARRAYS: dict[str, Any] = {
    "labels": np.array(["LOC", "ሰላም"]),
    "none": np.zeros((0, 3), np.uint8),
    "one": np.float16(0.5),
    "table": np.arange(24, dtype=np.uint16).reshape(4, 2, 3),
}


def packed(compressed: bool = True, **given: Any) -> bytes:
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, **given)
    return file.getvalue()


@pytest.mark.parametrize("compressed", [False, True])
def test_what_numpy_wrote_is_read(compressed: bool) -> None:
    found = arrays(packed(compressed, **ARRAYS))
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_bit_that_flips_changes_no_array_unseen(compressed: bool) -> None:
    whole = packed(compressed, **ARRAYS)
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << at % 8
        try:
            found = arrays(bytes(damaged))
        except (ValueError, struct.error, zlib.error, UnicodeDecodeError):
            continue
        for name in found.keys() & ARRAYS.keys():  # a name may be another: then one that is asked for is missing
            np.testing.assert_array_equal(found[name], ARRAYS[name])


@pytest.mark.parametrize("cut", [1, 22, 200])
def test_what_is_cut_short_is_refused(cut: int) -> None:
    with pytest.raises((ValueError, struct.error)):
        arrays(packed(**ARRAYS)[:-cut])


def test_nothing_is_unpickled() -> None:
    with pytest.raises(ValueError, match="of objects"):
        arrays(packed(labels=np.array(["PER"], dtype=object)))


def test_an_entry_is_no_larger_than_it_says() -> None:
    data = bytearray(packed(zeros=np.zeros(1 << 24, np.uint8)))
    at = data.rindex(b"PK\1\2") + 24
    data[at : at + 4] = struct.pack("<L", 1000)
    with pytest.raises(ValueError, match="damaged"):
        arrays(bytes(data))
