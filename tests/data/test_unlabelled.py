"""Text folders: what reads, what is refused, and what a sample is."""

import gzip
import lzma
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from dinku.data.unlabelled import Text, draws, shares
from dinku.errors import DinkuError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "one.txt").write_bytes("\ufeffAda lives here.\n\n  Bade sings, 'yan!\r\nA third line\n".encode())
    with gzip.open(tmp_path / "two.txt.gz", "wt", encoding="utf-8") as file:
        file.writelines(f"line {i} of two\n" for i in range(50))
    with lzma.open(tmp_path / "three.txt.xz", "wt", encoding="utf-8") as file:
        file.writelines(f"line {i} of three\n" for i in range(80))
    (tmp_path / "README.md").write_text("not text")
    (tmp_path / "deeper").mkdir()
    return tmp_path


def test_lines_are_read_as_they_stand(folder: Path) -> None:
    text = Text.open(str(folder))
    assert text.languages == ("one", "three", "two")
    assert list(text.lines("one")) == ["Ada lives here.", "Bade sings, 'yan!", "A third line"]
    assert sum(1 for _ in text.lines("two")) == 50
    assert sum(1 for _ in text.lines("three")) == 80


def test_a_sample_is_even_as_far_as_texts_go_and_always_the_same(folder: Path) -> None:
    text = Text.open(str(folder))
    sample = text.sample(63, ["one", "two", "three", "absent"])
    assert Counter(s.language for s in sample) == {"one": 3, "two": 30, "three": 30}
    assert all(s.tags is None for s in sample)
    assert sample.only("one").sentences[1].words == ("Bade", "sings", ",", "'yan", "!")
    assert len(set(sample.sentences)) == 63
    assert sample.fingerprint == Text.open(str(folder)).sample(63, ["three", "two", "one"]).fingerprint
    assert Counter(s.language for s in text.sample(9, ["absent"])) == {"one": 3, "two": 3, "three": 3}
    assert len(text.sample(133, text.languages)) == 133
    assert len(text.sample(40, ["two"]).only("two")) == 40


def test_the_fingerprint_is_of_languages_and_content(folder: Path) -> None:
    first = Text.open(str(folder)).fingerprint
    assert Text.open(str(folder)).fingerprint == first
    (folder / "one.txt").rename(folder / "four.txt")
    renamed = Text.open(str(folder)).fingerprint
    (folder / "four.txt").write_text("else")
    assert len({first, renamed, Text.open(str(folder)).fingerprint}) == 3


def test_a_file_that_changes_is_noticed_whenever_it_is_read_again(folder: Path) -> None:
    def refused(text: Text, name: str = "one") -> None:
        with pytest.raises(DinkuError, match=r"one\.txt: has changed since it was first read; put it back") as caught:
            list(text.lines(name))
        assert caught.value.status == 1

    whole = (folder / "one.txt").read_bytes()
    text = Text.open(str(folder))
    part = text.only(["one", "absent"])
    assert part.languages == ("one",)
    first = part.fingerprint
    (folder / "one.txt").write_bytes(whole.replace(b"Bade", b"Bada"))  # of the same size
    refused(text)
    refused(part)
    with pytest.raises(DinkuError, match="has changed"):
        text.sample(1, ["one"])
    assert Text.open(str(folder)).only(["one"]).fingerprint != first
    (folder / "one.txt").write_bytes(whole)
    assert len(list(text.lines("one"))) == 3
    assert part.fingerprint == first
    lines = text.lines("one")
    next(lines)
    (folder / "one.txt").write_bytes(whole + b"more\n")
    with pytest.raises(DinkuError, match="has changed"):
        list(lines)
    (folder / "one.txt").unlink()
    with pytest.raises(DinkuError, match=r"one\.txt: can't be read \(No such file"):
        list(text.lines("one"))


def test_a_sample_holds_no_more_than_its_lines(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("".join(f"{'word ' * 40}{i}\n" for i in range(40_000)))
    text = Text.open(str(tmp_path))
    text.check(1, ["one"])
    tracemalloc.start()
    sample = text.sample(10, ["one"])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000  # of 8 MB
    numbers = [int(s.words[-1]) for s in sample]
    expected = np.random.default_rng(0).choice(40_000, 10, replace=False)
    assert numbers == sorted(expected.tolist())


def test_what_can_not_be_read_is_told(folder: Path, tmp_path: Path) -> None:
    def refused(name: Path, said: str) -> None:
        with pytest.raises(DinkuError, match=said):
            list(Text.open(str(name)).lines("bad"))

    refused(tmp_path / "nowhere", "there is no such folder")
    refused(Path("~nosuchuser/x"), "~nosuchuser/x: names a user who isn't known; write the folder's path out")
    refused(folder / "one.txt", "there is no such folder")
    refused(folder / "deeper", "holds no text; put <language>.txt files there")
    bad = folder / "bad.txt"
    bad.write_bytes(b"fine\nalso fine\n\xff\xfe\n")
    refused(folder, r"bad\.txt:3: isn't UTF-8; convert the file")
    (folder / "bad.txt.gz").write_bytes(b"")
    refused(folder, "has bad twice: bad.txt and bad.txt.gz; remove one")
    bad.unlink()
    (folder / "bad.txt.gz").write_bytes(gzip.compress(b"line\n" * 1000)[:-20])
    refused(folder, "can't be read")
    (folder / "bad.txt.gz").write_bytes(b"no gzip")
    refused(folder, "can't be read")
    (folder / "bad.txt.gz").unlink()
    with pytest.raises(DinkuError, match=r"holds 3 lines in one, fewer than 4; ask for fewer"):
        Text.open(str(folder)).sample(4, ["one"])


def test_shares_follow_the_temperature() -> None:
    assert shares([10, 30, 0], 1.0).tolist() == [0.25, 0.75, 0.0]
    assert shares([10, 30, 0], 0.0).tolist() == [0.5, 0.5, 0.0]
    sizes = np.array([100, 10_000, 1_000_000])
    assert np.allclose(shares(sizes.tolist(), 0.3), sizes**0.3 / (sizes**0.3).sum())


def test_draws_are_shares_and_repeat_only_what_does_not_suffice() -> None:
    sizes = [3, 100, 10_000, 0]
    drawn = draws(sizes, 1000, alpha=0.3, seed=1)
    assert all(abs(len(d) - 1000 * s) < 1 for d, s in zip(drawn, shares(sizes, 0.3), strict=True))
    assert sum(map(len, drawn)) == 1000
    few, some, many, none = (np.bincount(d, minlength=n) for d, n in zip(drawn, sizes, strict=True))
    assert few.max() - few.min() <= 1
    assert some.max() - some.min() <= 1
    assert many.max() == 1
    assert not none.any()
    again, other = draws(sizes, 1000, alpha=0.3, seed=1), draws(sizes, 1000, alpha=0.3, seed=2)
    assert all(map(np.array_equal, drawn, again))
    assert not np.array_equal(drawn[2], other[2])


def test_lines_are_drawn_with_temperature(folder: Path) -> None:
    text = Text.open(str(folder))
    lines = list(text.drawn(1_000_000, ["two", "three"], alpha=0.0))
    assert Counter(line.rsplit(" ", 1)[1] for line in lines) == {"two": 65, "three": 65}
    assert len(set(lines)) == 50 + 65
    assert list(text.drawn(10, ["absent"], alpha=1.0)) == list(text.drawn(10, text.languages, alpha=1.0))
    (folder / "empty.txt").write_text("\n")
    assert list(Text.open(str(folder)).drawn(10, ["empty"], alpha=0.3)) == []
