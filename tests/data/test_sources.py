"""Names and paths of corpora, what lies behind them, and what is said where nothing does."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub
import pytest

from dinku import settings
from dinku.data import catalogue, conll, sources
from dinku.data.corpus import Sentence
from dinku.errors import DinkuError
from dinku.model.folder import ModelFolder, find_folder

FAMILIES = "afrisenti, masakhane-news, masakhane-pos, masakhaner, masakhaner2"
TEN = "amh, hau, ibo, kin, lug, luo, pcm, swa, wol, yor"
PROPER = "https://github.com/masakhane-io/masakhane-ner"


def put(path: Path, word: str = "Kano") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    conll.write([Sentence((word,), ("B-LOC",))], path)
    return path


def refusal(name: str | list[str], split: str = "test") -> str:
    with pytest.raises(DinkuError) as error:
        sources.load(name, split)
    assert error.value.status == 2
    return str(error.value)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A corpus cache with made-up files where a copy of the repository would have its own."""
    monkeypatch.setenv("DINKU_HOME", str(tmp_path))
    folder = tmp_path / "corpora" / "masakhane-ner"
    for language in TEN.split(", "):
        put(folder / "data" / language / "test.txt", f"{language}1")
    put(folder / "data" / "hau" / "dev.txt", "hau1")
    put(folder / "data" / "zh" / "test.txt", "市")
    put(folder / "MasakhaNER2.0" / "data" / "fon" / "test.txt", "fon2")
    put(folder / "MasakhaNER2.0" / "data" / "hau" / "test.txt", "hau2")
    return folder


# Home


def test_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DINKU_HOME", "~/mine")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert settings.home() == tmp_path / "mine"
    monkeypatch.setenv("DINKU_HOME", "")
    assert settings.home() == Path("/xdg/dinku")
    monkeypatch.delenv("DINKU_HOME")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert settings.home() == tmp_path / ".cache" / "dinku"


@pytest.mark.parametrize(
    ("value", "forbidden"), [("1", True), ("true", True), ("0", False), ("", False), (None, False)]
)
def test_offline(monkeypatch: pytest.MonkeyPatch, value: str | None, forbidden: bool) -> None:
    monkeypatch.delenv("DINKU_OFFLINE", raising=False)
    if value is not None:
        monkeypatch.setenv("DINKU_OFFLINE", value)
    assert settings.offline() == forbidden


# Known corpora


def test_families_are_told_apart(cache: Path) -> None:
    for name, language, word in [
        ("masakhaner:hau", "hau", "hau1"),
        ("masakhaner2:hau", "hau", "hau2"),
        ("masakhaner2:fon", "fon", "fon2"),
        ("masakhaner:zh", "zh", "市"),
    ]:
        read = sources.load(name, "test")
        assert read.sentences == (Sentence((word,), ("B-LOC",), language),)
        assert (read.name, read.split) == (name, "test")


def test_all_is_the_ten_without_chinese(cache: Path) -> None:
    read = sources.load("masakhaner:all", "test")
    assert ", ".join(read.languages) == TEN
    assert read.name == "masakhaner:all"


@pytest.mark.parametrize(
    ("wanted", "languages"),
    [("all,-hau", TEN.replace("hau, ", "")), ("-swa,all, -amh,zh", f"{TEN[5:]}, zh".replace("swa, ", ""))],
)
def test_languages_may_be_left_out(cache: Path, wanted: str, languages: str) -> None:
    assert ", ".join(sources.load(f"masakhaner:{wanted}", "test").languages) == languages


def test_several_languages_are_joined_in_their_order(cache: Path) -> None:
    read = sources.load("masakhaner:yor,hau, yor", "test")
    assert [s.words[0] for s in read] == ["yor1", "hau1"]
    assert (read.name, read.languages) == ("masakhaner:yor,hau, yor", ("yor", "hau"))


def test_several_names_are_joined(cache: Path, tmp_path: Path) -> None:
    read = sources.load(["masakhaner:hau", "masakhaner2:hau", str(put(tmp_path / "fr.txt", "Paris"))], "test")
    assert [s.words[0] for s in read] == ["hau1", "hau2", "Paris"]
    assert read.languages == ("hau", "fr")
    assert read.name == f"masakhaner:hau + masakhaner2:hau + {tmp_path / 'fr.txt'}"


def test_splits_of_known_corpora(cache: Path) -> None:
    assert sources.splits("masakhaner:hau") == ("dev", "test")
    assert sources.splits("masakhaner:hau,yor") == ("test",)
    assert sources.splits(["masakhaner:hau", "masakhaner:yor"]) == ("test",)
    assert sources.splits("masakhaner2:zul") == ()


def test_a_train_split_that_is_not_in_the_table_is_none(cache: Path) -> None:
    put(cache / "data" / "zh" / "train.txt", "市")  # as in a whole copy of the repository
    assert sources.splits("masakhaner:zh") == ("test",)
    assert list(sources.whole("masakhaner:zh")) == ["test"]


def test_licences(tmp_path: Path) -> None:
    assert sources.licence("masakhaner:hau") == sources.licence("masakhaner2:fon") == "CC BY-NC 4.0"
    assert sources.licence(str(tmp_path)) == ""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "masakaner:hau",
            f"there is no corpus family 'masakaner'; did you mean masakhaner? the known ones are {FAMILIES}, sample",
        ),
        (
            "wikiann:da",
            f"there is no corpus family 'wikiann'; the known ones are {FAMILIES}, sample",
        ),
        ("masakhaner:Hausa", f"MasakhaNER 1.0 has no language 'Hausa'; did you mean hau? it has all, {TEN}, zh"),
        ("masakhaner:fon", f"MasakhaNER 1.0 has no language 'fon'; it has all, {TEN}, zh"),
        ("masakhaner:", f"MasakhaNER 1.0 has no language ''; it has all, {TEN}, zh"),
        ("masakhaner:hau,xx", f"MasakhaNER 1.0 has no language 'xx'; it has all, {TEN}, zh"),
        ("masakhaner:../../x", f"MasakhaNER 1.0 has no language '../../x'; it has all, {TEN}, zh"),
        ("masakhaner:all,-xx", f"MasakhaNER 1.0 has no language 'xx'; it has all, {TEN}, zh"),
        ("masakhaner:hau,-swa", "leaves out swa, which isn't in it; write all,-hau or hau,swa"),
        ("masakhaner:-hau", "leaves out hau, which isn't in it; write all,-hau or hau,swa"),
        ("masakhaner:hau,-hau", "leaves out all that is in it; name a language"),
        ("masakhaner:/etc", f"MasakhaNER 1.0 has no language '/etc'; it has all, {TEN}, zh"),
    ],
)
def test_unknown_names(name: str, message: str) -> None:
    assert refusal(name) == f"{name}: {message}"
    with pytest.raises(DinkuError):
        sources.licence(name)
    with pytest.raises(DinkuError):
        sources.splits(name)


def test_unknown_split(cache: Path) -> None:
    assert refusal("masakhaner:hau", "validation") == (
        "masakhaner:hau: there is no split 'validation'; ask for train, dev or test"
    )


def test_chinese_has_no_train(cache: Path) -> None:
    assert refusal("masakhaner:zh", "train") == "masakhaner:zh: zh has no train split; ask for dev or test"


def test_what_the_cache_lacks(cache: Path) -> None:
    assert refusal("masakhaner:hau,swa", "dev") == (
        f"{cache / 'data' / 'swa' / 'dev.txt'}: MasakhaNER 1.0 isn't there; run: dinku data fetch masakhaner:swa "
        f"(or put a copy of {PROPER} at {cache})"
    )


# Paths


def test_a_file_is_one_split(tmp_path: Path) -> None:
    dev = str(put(tmp_path / "hau" / "valid.conll"))
    read = sources.load(dev, "test")
    assert (read.name, read.split, read.languages) == (dev, "dev", ("hau",))
    assert sources.splits(dev) == ("dev",)
    other = str(put(tmp_path / "swa.txt"))
    read = sources.load(other, "train")
    assert (read.name, read.split, read.languages) == (other, "train", ("swa",))
    assert sources.splits(other) == ("test",)


def test_a_file_beside_you_has_your_folder_for_its_language(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "hau" / "test.txt")
    monkeypatch.chdir(tmp_path / "hau")
    assert sources.load("test.txt", "test").languages == ("hau",)
    assert sources.load(".", "test").languages == ("hau",)


def test_a_folder(tmp_path: Path) -> None:
    for name in ("train.tsv", "validation.bio", "test.txt", "README.md"):
        put(tmp_path / "hau" / name, name)
    name = f"{tmp_path}/hau/"
    for split, word in [("train", "train.tsv"), ("dev", "validation.bio"), ("test", "test.txt")]:
        read = sources.load(name, split)
        assert read.sentences == (Sentence((word,), ("B-LOC",), "hau"),)
        assert (read.name, read.split) == (name, split)
    assert sources.splits(name) == ("train", "dev", "test")


def test_a_folder_of_languages(tmp_path: Path) -> None:
    for language in ("yor", "hau"):
        put(tmp_path / language / "test.txt", language)
    put(tmp_path / "hau" / "dev.txt")
    put(tmp_path / "papers" / "notes.txt")
    read = sources.load(str(tmp_path), "test")
    assert [(s.words[0], s.language) for s in read] == [("hau", "hau"), ("yor", "yor")]
    assert sources.splits(str(tmp_path)) == ("test",)
    assert refusal(str(tmp_path), "dev") == (
        f"{tmp_path / 'yor'}: has no dev split; add dev.txt, or ask for what it has: test"
    )


def test_all_that_there_is_of_a_corpus(cache: Path, tmp_path: Path) -> None:
    def there(name: str) -> dict[str, list[str]]:
        return {split: list(parts) for split, parts in sources.whole(name).items()}

    assert there("masakhaner:yor,hau,zh") == {"dev": ["hau"], "test": ["yor", "hau", "zh"]}
    assert sources.absent("masakhaner:yor,hau,zh") == {"yor": ("train", "dev"), "hau": ("train",), "zh": ("dev",)}
    with pytest.raises(DinkuError, match="run: dinku data fetch masakhaner2:zul"):
        sources.whole("masakhaner2:hau,zul")
    for path in ("hau/train.txt", "hau/test.txt", "yor/valid.tsv", "notes/read.me"):
        put(tmp_path / "mine" / path)
    mine = str(tmp_path / "mine")
    assert there(mine) == {"train": ["hau"], "dev": ["yor"], "test": ["hau"]}
    assert sources.absent(mine) == {"hau": ("dev",), "yor": ("train", "test")}
    assert there(f"{mine}/yor/valid.tsv") == {"dev": ["yor"]}
    assert sources.absent(f"{mine}/yor/valid.tsv") == sources.absent("sample:hau") == {}
    assert there("sample:all")["dev"] == there("sample:all")["train"]


def test_an_audit_compares_a_language_with_its_train_whatever_another_lacks(tmp_path: Path) -> None:
    for path in ("hau/train.txt", "hau/test.txt", "yor/test.txt"):
        put(tmp_path / path)
    conll.write([Sentence(("a",), ("B-PER",))], tmp_path / "hau" / "dev.txt")
    found = sources.audited(sources.whole(str(tmp_path)))
    assert {language: part["also_in_train"] for language, part in found["test"].items()} == {"hau": 1, "yor": 0}
    assert found["dev"]["hau"]["labels_alone"] == ["PER"]
    assert found["test"]["hau"]["labels_alone"] == found["test"]["yor"]["labels_alone"] == []


def test_the_listing_says_what_is_in_the_cache(cache: Path) -> None:
    first, second, *others, sample = sources.listing()
    assert (first["name"], first["files"], first["files_here"], first["languages_here"]) == ("masakhaner", 32, 12, [])
    put(cache / "data" / "hau" / "train.txt")
    put(cache / "data" / "zh" / "dev.txt")
    assert sources.listing()[0]["languages_here"] == ["hau", "zh"]
    assert (second["files"], second["files_here"]) == (60, 2)
    assert (first["repository"], first["commit"][:7]) == (PROPER, "ba5843c")
    assert sample["languages_here"] == sample["languages"]
    assert [each["name"] for each in others] == ["masakhane-pos", "afrisenti", "masakhane-news"]


def test_a_folder_without_the_split(tmp_path: Path) -> None:
    put(tmp_path / "train.txt")
    put(tmp_path / "valid.txt")
    assert refusal(str(tmp_path)) == f"{tmp_path}: has no test split; add test.txt, or ask for what it has: train, dev"


def test_a_folder_without_splits(tmp_path: Path) -> None:
    remedy = "name the files train.txt, dev.txt and test.txt, in it or in a folder a language; it holds"
    assert refusal(str(tmp_path)) == f"{tmp_path}: has no train, dev or test; {remedy} nothing"
    put(tmp_path / "hausa.txt")
    put(tmp_path / "test.md")
    assert refusal(str(tmp_path)) == f"{tmp_path}: has no train, dev or test; {remedy} hausa.txt, test.md"


def test_a_folder_with_two_files_for_a_split(tmp_path: Path) -> None:
    put(tmp_path / "dev.txt")
    put(tmp_path / "valid.txt")
    assert refusal(str(tmp_path), "dev") == (
        f"{tmp_path}: has two files for one split, dev.txt and valid.txt; keep one of them there"
    )


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    remedy = "give a file, a folder with train, dev and test, or"
    for name in (str(tmp_path / "no"), "", f"{tmp_path}/a:b"):
        assert refusal(name).endswith(f"isn't there; {remedy} a known corpus such as masakhaner:hau")
        with pytest.raises(DinkuError):
            sources.licence(name)
    assert refusal("masakhaner") == f"masakhaner: isn't there; {remedy} masakhaner:all"


def test_a_path_may_hold_a_colon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "ab:c.txt")
    monkeypatch.chdir(tmp_path)
    assert len(sources.load("ab:c.txt", "test")) == 1


def test_what_is_wrong_in_a_file_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "hau.txt"
    path.write_text("Kano\n")
    assert refusal(str(path)) == f"{path}:1: has a word but no tag; give each line a word, a blank and its tag"


@pytest.mark.parametrize("is_bundle", [True, False])
def test_only_of_a_bundle_engines_files_are_fetched(
    is_bundle: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, asked = tmp_path / "snapshots" / "abc", []
    folder.mkdir(parents=True)
    if is_bundle:
        (folder / "bundle.json").touch()

    def fetch(repository: str, *, revision: str | None, allow_patterns: list[str], local_files_only: bool) -> str:
        asked.append((revision, allow_patterns))
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    assert find_folder("owner/name@v1") == folder
    assert "bundle.json" in asked[0][1]
    assert not any("/" in pattern for pattern in asked[0][1])
    assert [each[0] for each in asked] == ["v1", *(["abc"] if is_bundle else [])]
    (folder / "config.json").touch()
    before = ModelFolder(folder).digest
    put(folder / "onnx" / "model.onnx")
    assert ModelFolder(folder).digest == before


# Real corpora


@pytest.mark.shared
def test_the_table_is_the_repositorys(shared: Path) -> None:
    sums = (shared / "data" / "masakhane-ner" / "SHA256SUMS.all").read_text().split("\n")
    there = {line.split()[-1].removeprefix("./") for line in sums if line}
    known = {
        source.file(language, split).relative_to(source.cache).as_posix()
        for source in catalogue.SOURCES.values()
        if source.repository == PROPER
        for language in (*source.languages, *source.apart)
        for split in source.apart.get(language, sources.SPLITS)
    }
    assert {path for path in there if "conll_2003_en" not in path} == known


@pytest.mark.shared
def test_masakhaner_whole(shared: Path) -> None:
    read = sources.load("masakhaner:all", "test")
    assert (len(read), len(read.languages)) == (5276, 10)
    assert sources.splits("masakhaner:all") == sources.splits("masakhaner2:fon") == ("train", "dev", "test")


@pytest.mark.shared
def test_chinese_is_characters_without_dates(shared: Path) -> None:
    read = sources.load("masakhaner:zh", "test")
    assert read.labels == ("LOC", "ORG", "PER")
    assert {len(word) for s in read for word in s.words} == {1}
    assert sources.splits("masakhaner:zh") == ("dev", "test")


@pytest.mark.shared
def test_fon_train_is_not_nfc_while_its_test_is(shared: Path) -> None:
    assert sources.load("masakhaner2:fon", "train").findings.not_nfc > 3000
    assert sources.load("masakhaner2:fon", "test").findings.not_nfc == 0


@pytest.mark.shared
def test_the_zero_shot_folder(shared: Path) -> None:
    read = sources.load(str(shared / "data" / "zeroshot"), "test")
    assert read.languages == ("da", "fa", "lv", "no", "ro")
    assert read.labels == ("LOC", "ORG", "PER")
    assert sources.splits(str(shared / "data" / "zeroshot")) == ("test",)


def test_paths_and_lists_are_names_too(tmp_path: Path) -> None:
    for language in ("one", "two"):
        put(tmp_path / language / "test.txt", language)
    loaded = sources.load(tmp_path, "test")
    assert loaded == sources.load(str(tmp_path), "test")
    assert sources.splits(tmp_path) == ("test",)
    both: list[str | Path] = [tmp_path / "one", str(tmp_path / "two")]
    assert sources.load(both, "test").sentences == loaded.sentences
    assert sources.audited(sources.whole(both)) == sources.audited(sources.whole(tmp_path))
    assert sources.absent(both) == {"one": ("train", "dev"), "two": ("train", "dev")}
    with pytest.raises(DinkuError, match="has one test twice; name each language once"):
        sources.whole([tmp_path / "one"] * 2)


def test_a_language_named_twice_is_there_once() -> None:
    assert sources.load("sample:hau,hau", "dev").sentences == sources.load("sample:hau", "dev").sentences


def test_the_cache_is_in_no_folder_that_nobody_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("DINKU_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "")
    with pytest.raises(DinkuError, match=r"~/\.cache/dinku: there is no home folder for the cache; set DINKU_HOME"):
        settings.home()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert settings.home() == tmp_path / "dinku"
    monkeypatch.setenv("DINKU_HOME", "~/mine")
    with pytest.raises(DinkuError, match="~/mine: there is no such home folder; set DINKU_HOME"):
        settings.home()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert settings.home() == tmp_path / "mine"
    monkeypatch.setenv("DINKU_HOME", "~nobody-of-that-name/x")
    with pytest.raises(DinkuError, match="there is no such home folder"):
        settings.home()
    monkeypatch.setenv("DINKU_HOME", "")  # as if it weren't there
    assert settings.home() == tmp_path / "dinku"
