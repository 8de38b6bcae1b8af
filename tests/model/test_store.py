"""The store: what is at an address is whole, and one process at a time makes it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from dinku.errors import DinkuError
from dinku.model.store import Store
from dinku.nn.tagger import Tagger
from dinku.testing import tiny_tagger


def test_a_tagger_without_its_marker_is_not_there(tmp_path: Path) -> None:
    store = Store(tmp_path)
    tiny_tagger().save(store.begin("ab12"))
    assert not store.has("ab12")
    tiny_tagger().save(store.begin("ab12"))  # what was left half-written goes
    store.work("ab12").mkdir()
    store.finish("ab12", {"seconds": 1.0})
    assert store.has("ab12")
    assert store.step("ab12")["seconds"] == 1.0
    assert not store.work("ab12").exists()
    assert Tagger.load(store.tagger("ab12")).digest == tiny_tagger().digest
    (store.folder("ab12") / "step.json").write_text("{")
    with pytest.raises(DinkuError, match=r"isn't readable; remove .*ab12 and run again"):
        store.step("ab12")


def test_scraps_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    scrap = store.folder("ab12") / ".tagger.0123abcd.part"
    scrap.mkdir(parents=True)
    (scrap / "model.safetensors").touch()
    store.begin("ab12")
    assert not scrap.exists()


def test_an_address_is_held_by_one(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with (
        store.lock("ab12", wait=False) as first,
        store.lock("ab12", wait=False) as second,
        store.lock("cd34", wait=False) as other,
    ):
        assert (first, second, other) == (True, False, True)


def test_a_store_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = Store(tmp_path / "file")
    with pytest.raises(DinkuError, match=r"can't be written .* check the folder") as error:
        store.begin("ab12")
    assert error.value.status == 1
    with pytest.raises(DinkuError, match="can't be written"), store.lock("ab12", wait=True):
        pass


def flipped(path: Path, at: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << bit
    path.write_bytes(data)


def test_a_bit_that_flips_is_told_with_its_file_and_what_to_do(tmp_path: Path) -> None:
    store = Store(tmp_path)
    tiny_tagger().save(store.begin("ab12"))
    store.finish("ab12", {"seconds": 1.25, "note": "sẹ"})
    assert store.checked("ab12") == store.tagger("ab12")
    for path in (p for p in store.tagger("ab12").iterdir() if p.is_file()):
        flipped(path, path.stat().st_size // 2)
        with pytest.raises(DinkuError, match=rf"{path.name}: isn't as it was written; remove .*ab12 and run again"):
            store.checked("ab12")
        flipped(path, path.stat().st_size // 2)
    step = store.folder("ab12") / "step.json"
    whole = step.read_bytes()
    expected = store.step("ab12")
    for at in range(len(whole)):
        flipped(step, at, at % 8)
        with suppress(DinkuError):
            # White space, or the digest's own name, without which a step is one from before there were any.
            assert {k: v for k, v in store.step("ab12").items() if k in expected} == expected
        step.write_bytes(whole)


def test_what_was_made_before_digests_were_kept_is_read(tmp_path: Path) -> None:
    store = Store(tmp_path)
    tiny_tagger().save(store.begin("ab12"))
    (store.folder("ab12") / "step.json").write_text('{"seconds": 1.0}')
    assert store.step("ab12") == {"seconds": 1.0}
    assert store.checked("ab12") == store.tagger("ab12")
