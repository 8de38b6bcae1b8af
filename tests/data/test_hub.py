"""Data sets of the Hub: listed, fetched, verified and read, from a server that speaks the Hub's API."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest
from made_hub import Hub, hub

from dinku.data import sources
from dinku.data.formats.registry import write
from dinku.data.sample import sample
from dinku.errors import DinkuError

pytest.importorskip("pyarrow")

CARD = """---
license: mit
configs:
- config_name: hau
  data_files:
  - {split: train, path: data/hau-train-*}
  - {split: validation, path: data/hau-dev.parquet}
- config_name: ibo
  data_files:
  - split: test
    path: [data/ibo-test.parquet]
---
# A data set
"""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    with hub() as made:
        monkeypatch.setenv("HF_ENDPOINT", made.url)
        yield made


def parquet(folder: Path, language: str, split: str, part: slice = slice(None)) -> bytes:
    path = folder / f"{language}-{split}-{part.start}.parquet"
    write(sample(language, split).sentences[part], path, "parquet")
    return path.read_bytes()


@pytest.fixture
def published(server: Hub, tmp_path: Path) -> Hub:
    files = {
        "README.md": CARD.encode(),
        "evil.py": b"raise SystemExit",
        "data/hau-train-00000-of-00002.parquet": parquet(tmp_path, "hau", "train", slice(0, 200)),
        "data/hau-train-00001-of-00002.parquet": parquet(tmp_path, "hau", "train", slice(200, None)),
        "data/hau-dev.parquet": parquet(tmp_path, "hau", "dev"),
        "data/ibo-test.parquet": parquet(tmp_path, "ibo", "test"),
    }
    server.put("datasets", "me/names", files)
    return server


def test_a_data_set_is_fetched_and_read(published: Hub, home: Path) -> None:
    with pytest.raises(DinkuError, match="isn't there; run: dinku data fetch hf:me/names/hau"):
        sources.load("hf:me/names/hau", "train")
    fetched = sources.fetch("hf:me/names/hau")
    assert [f.path.name for f in fetched] == [
        "hau-train-00000-of-00002.parquet",
        "hau-train-00001-of-00002.parquet",
        "hau-dev.parquet",
        "README.md",
    ]
    assert all(
        f.state == "fetched" and f.path.is_relative_to(home / "corpora" / "hf" / "me" / "names") for f in fetched
    )
    assert not any("evil" in asked for asked in published.asked)
    for split in ("train", "dev"):
        assert sources.load("hf:me/names/hau", split).fingerprint == sample("hau", split).fingerprint
    assert sources.splits("hf:me/names/hau") == ("train", "dev")
    assert (sources.licence("hf:me/names/hau"), sources.on_hub("hf:me/names/hau")) == ("mit", "me/names")
    assert sources.absent("hf:me/names/hau") == {"hau": ("test",)}
    published.asked.clear()
    assert {f.state for f in sources.fetch("hf:me/names/hau")} == {"there"}
    assert not published.asked
    with pytest.raises(DinkuError, match=r"ibo-test\.parquet isn't there; run: dinku data fetch hf:me/names/ibo"):
        sources.load("hf:me/names/ibo", "test")
    sources.fetch("hf:me/names/all")
    assert {s: list(p) for s, p in sources.whole("hf:me/names/hau,ibo").items()} == {
        "train": ["hau"],
        "dev": ["hau"],
        "test": ["ibo"],
    }
    assert sources.load("hf:me/names/ibo?words=rule", "test").languages == ("ibo",)


def test_what_isn_t_as_published_is_refused(published: Hub, home: Path) -> None:
    sources.fetch("hf:me/names/ibo")
    path = home / "corpora" / "hf" / "me" / "names" / "data" / "ibo-test.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(DinkuError, match="is there, but isn't the file that was published"):
        sources.fetch("hf:me/names/ibo")
    sources.fetch("hf:me/names/ibo", force=True)
    listed = json.loads((home / "corpora" / "hf" / "me" / "names" / "dinku-files.json").read_text())
    wrong = "0" * 64
    listed["files"]["data/ibo-test.parquet"][0] = wrong
    (home / "corpora" / "hf" / "me" / "names" / "dinku-files.json").write_text(json.dumps(listed))
    path.unlink()
    with pytest.raises(DinkuError, match="isn't the file that was published"):
        sources.fetch("hf:me/names/ibo")
    assert not path.exists()


def test_a_data_set_made_by_a_script_is_read_as_the_parquet_of_the_hub(server: Hub, tmp_path: Path) -> None:
    server.put("datasets", "me/old", {"old.py": b"raise SystemExit", "README.md": b"# Old\n"})
    with pytest.raises(
        DinkuError, match="has no data files that dinku reads, and the Hub has no Parquet version of it"
    ):
        sources.fetch("hf:me/old")
    converted = {"hau/test/0000.parquet": parquet(tmp_path, "hau", "test"), "ibo/test/0000.parquet": b"PAR1"}
    server.put("datasets", "me/old", converted, "refs/convert/parquet")
    with pytest.raises(DinkuError, match="has 2 configurations: hau, ibo; name one or several, as in hf:me/old/hau"):
        sources.fetch("hf:me/old")
    sources.fetch("hf:me/old/hau")
    assert sources.load("hf:me/old/hau", "test").fingerprint == sample("hau", "test").fingerprint


def test_other_formats_are_read_and_paths_stay_inside(server: Hub, tmp_path: Path) -> None:
    write(sample("hau", "dev").sentences, tmp_path / "dev.conll", "conll")
    files = {"dev.conll": (tmp_path / "dev.conll").read_bytes(), "../../test.conll": b"a O\n", "/test.conll": b"a O\n"}
    server.put("datasets", "me/plain", files)
    assert [f.path.name for f in sources.fetch("hf:me/plain")] == ["dev.conll"]
    assert sources.load("hf:me/plain", "dev").languages == ("plain",)
    assert len(sources.load("hf:me/plain", "dev")) == 80


@pytest.mark.parametrize(
    ("name", "said", "status"),
    [
        ("hf:me", "is no data set of the Hub; write it as in hf:owner/name", 2),
        ("hf:../x", "is no data set of the Hub", 2),
        ("hf:me/none", "there is no such public data set on the Hub", 2),
        ("hf:me/names@old", "there is no such revision on the Hub", 2),
        ("hf:me/names/hua", "has no configuration 'hua'; did you mean hau? it has hau, ibo", 2),
    ],
)
@pytest.mark.usefixtures("published")
def test_names_that_lead_nowhere(name: str, said: str, status: int) -> None:
    with pytest.raises(DinkuError) as error:
        sources.fetch(name)
    assert said in str(error.value)
    assert error.value.status == status


def test_offline_nothing_is_asked(published: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DINKU_OFFLINE", "1")
    with pytest.raises(DinkuError, match="DINKU_OFFLINE forbids the network"):
        sources.fetch("hf:me/names/hau")
    assert not published.asked


def test_the_command_fetches_and_checks(published: Hub, dinku: Callable[..., tuple[int, str, str]]) -> None:
    status, out, err = dinku("data", "fetch", "hf:me/names/ibo")
    assert (status, out) == (0, out), err
    assert out.startswith("2 files fetched, 0 were there; ")
    status, out, err = dinku("data", "check", "hf:me/names/ibo", "--json")
    assert status == 0, err
    assert json.loads(out)["splits"]["test"]["sentences"] == len(sample("ibo", "test"))
