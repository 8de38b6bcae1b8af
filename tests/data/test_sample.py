"""The embedded sample: what its files hold, what is made of them, and that it stays the same."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest

from dinku.data import sample as module
from dinku.data import sources
from dinku.data.conll import parse, text
from dinku.data.corpus import Corpus, Findings
from dinku.data.sample import LABELS, LANGUAGES, SIZES, sample
from dinku.data.spans import spans
from dinku.errors import DinkuError

# Of train, dev and test joined. What changes a file changes them: run the test, look at sentences, write down what it says.
GOLDEN = {
    "amh": "0ce63b2ce31d453cf72d8f294229da8c3fa48ef00d3b0b76cba5bdeb0e0b9217",
    "hau": "eaf63d75eb9aff386585fc13f1f7daa609fb2a5587f1f8f3c97b299100eac63e",
    "ibo": "5bf0cecf226c9535c7b9308d4974773fb7240310fa7e179cd56a80693fd1e8ed",
    "pcm": "20ba0fdc21394ac0b236366b15eebe47908fb8a5ebb6a6273a8deeea65d33872",
    "swa": "ee827874385d75ad7ea8478ea16f45a8ce086c811a749cf337904841941ef54d",
    "yor": "8d6da12b93f822bc7db6d1a1dfbad0530013de55bf3d149bb88a79938ae15ee2",
}
FOLDER = Path(sources.__file__).parent / "samples"
each = pytest.mark.parametrize("language", LANGUAGES)


def lines(language: str) -> dict[str, list[str]]:
    path = FOLDER / f"{language}.toml"
    return module._parsed(path.read_text(encoding="utf-8"), str(path))


def corpora(language: str) -> list[Corpus]:
    return [sample(language, split) for split in SIZES]


def names(corpus: Corpus) -> set[str]:
    """The names in a corpus, in small letters, since a sentence's first word begins with a capital."""
    return {
        " ".join(s.words[span.start : span.end]).casefold() for s in corpus for span in spans(s.tags or (), strict=True)
    }


def bare(corpus: Corpus) -> set[tuple[str, ...]]:
    """The patterns of a corpus, read back from its sentences."""
    found = set()
    for s in corpus:
        slots = [(word, tag) if tag == "O" else ("", tag) for word, tag in zip(s.words, s.tags or (), strict=True)]
        found.add(tuple(word.casefold() or tag for word, tag in slots if not tag.startswith("I-")))
    return found


# Files


@each
def test_a_file_has_enough(language: str) -> None:
    parsed = lines(language)
    assert len(parsed["patterns"]) >= 30
    for label in LABELS:
        assert len(parsed[label]) >= 200, label


@each
def test_a_file_is_nfc_and_says_that_nobody_reviewed_it(language: str) -> None:
    written = (FOLDER / f"{language}.toml").read_text(encoding="utf-8")
    assert unicodedata.is_normalized("NFC", written)
    assert written.startswith("# not reviewed by speakers\n")
    assert re.search(f'^language = "{language}"$', written, re.M)


@each
def test_no_two_lines_of_a_kind_differ_in_capitals_alone(language: str) -> None:
    for kind, there in lines(language).items():
        small = [line.casefold() for line in there]
        assert sorted(line for line in small if small.count(line) > 1) == [], kind


# Sentences


@each
def test_sizes_names_and_labels(language: str) -> None:
    for split, size in {"train": 400, "dev": 80, "test": 160}.items():
        made = sample(language, split)
        assert (len(made), made.name, made.split, made.languages) == (size, f"sample:{language}", split, (language,))
        assert made.labels == tuple(sorted(LABELS))


@each
def test_no_sentence_name_or_pattern_is_in_two_splits(language: str) -> None:
    train, dev, test = corpora(language)
    assert len({s.words for s in (*train, *dev, *test)}) == sum(SIZES.values())
    for what in (names, bare):
        assert what(train).isdisjoint(what(dev))
        assert what(train).isdisjoint(what(test))
        assert what(dev).isdisjoint(what(test))
        assert min(len(what(dev)), len(what(test))) >= 5


@each
def test_patterns_are_used_evenly_but_those_without_a_slot(language: str) -> None:
    for corpus in corpora(language):
        patterns = [p for p in bare(corpus) if any(word.startswith("B-") for word in p)]
        times = [0] * len(patterns)
        for s in corpus:
            (pattern,) = bare(Corpus("", "", (s,)))
            if pattern in patterns:
                times[patterns.index(pattern)] += 1
        assert max(times) - min(times) <= 2  # a pattern loses its turn where it would repeat a sentence


@each
def test_sentences_are_sound(language: str) -> None:
    whole = Corpus.joined(corpora(language), "")
    assert Findings.within(whole) == Findings()
    assert parse(text(whole).encode(), "", language=language).sentences == whole.sentences
    for s in whole:
        assert spans(s.tags or ()) == spans(s.tags or (), strict=True)
        letters = [c for c in s.words[0] if c.isalpha()]
        assert not letters or letters[0] == letters[0].upper()
        assert not any(re.search("[{}]", word) for word in s.words)


@each
def test_it_stays_the_same(language: str) -> None:
    assert Corpus.joined(corpora(language), "").fingerprint == GOLDEN.get(language, "isn't written down")


def test_golden_has_no_language_more() -> None:
    assert set(GOLDEN) == set(LANGUAGES) >= {"amh", "hau", "ibo", "pcm", "swa", "yor"}


def test_a_name_comes_once_in_a_sentence() -> None:
    own = {"patterns": ["{LOC} na {LOC}"], "LOC": ["Aba", "Udi"], "PER": ["x"], "ORG": ["x"], "DATE": ["x"]}
    assert {s.words for s in module._sentences(own, "ibo")} == {("Aba", "na", "Udi"), ("Udi", "na", "Aba")}
    assert list(module._sentences(own | {"LOC": ["Aba"]}, "ibo")) == []


# By name


def test_by_name() -> None:
    assert sources.load("sample:hau", "train") == sample("hau", "train")
    two = sources.load("sample:yor, hau", "dev")
    assert (two.name, two.languages, len(two)) == ("sample:yor, hau", ("yor", "hau"), 160)
    assert sources.load("sample:all", "test").languages == LANGUAGES
    assert sources.splits("sample:all") == sources.splits("sample:hau") == ("train", "dev", "test")
    assert sources.licence("sample:hau") == sources.licence("sample:all") == "Apache-2.0"


def test_a_language_that_is_not_there() -> None:
    message = rf"sample:hu: the sample has no language 'hu'; .*it has all, {', '.join(LANGUAGES)}$"
    for ask in (sources.splits, sources.licence, lambda name: sources.load(name, "test")):
        with pytest.raises(DinkuError, match=message):
            ask("sample:hu")
    with pytest.raises(DinkuError, match=r"^sample:../hau: the sample has no language '../hau'; the known ones are "):
        sample("../hau", "test")
    with pytest.raises(DinkuError, match=r"^sample:hau: the sample has no split 'all'; .* train, dev, test$"):
        sample("hau", "all")


# Files that somebody edits


def file(**changed: str) -> str:
    """A file with a line a kind, but for what is given."""
    texts = {"patterns": "Na {PER} .", "PER": "Ada", "LOC": "Aba", "ORG": "FC Aba", "DATE": "2010"} | changed
    return "".join(f"{kind} = '''\n{lines}\n'''\n" for kind, lines in texts.items())


def test_a_small_file_is_read() -> None:
    assert module._parsed(file(PER="Ada\nObi Eze"), "f")["PER"] == ["Ada", "Obi Eze"]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (
            file(patterns="Na {PERSON} ."),
            r"f: line 1 of patterns has an unknown slot '{PERSON}'; .*{PER}, {LOC}, {ORG}, {DATE}$",
        ),
        (file(patterns="Na {PER}."), "f: line 1 of patterns has an unknown slot '{PER}.'"),
        (file(patterns="Na (LOC) . }"), "f: line 1 of patterns has an unknown slot '}'"),
        (file(patterns="Na <LOC> {ORG ."), "f: line 1 of patterns has an unknown slot '{ORG'"),
        (file(ORG="FC {LOC}"), "f: line 1 of ORG has an unknown slot '{LOC}'; only patterns have slots"),
        (file(LOC="Aba\n\nUdi"), "f: line 2 of LOC is empty or has an empty word; "),
        (file(LOC="Aba\n Udi"), "f: line 2 of LOC is empty or has an empty word; "),
        (file(LOC="Aba\nIgbo  Ukwu"), "f: line 2 of LOC is empty or has an empty word; "),
        (file(LOC=""), "f: line 1 of LOC is empty or has an empty word; "),
        (file(DATE="2010\n2011\n2010"), "f: DATE has a line twice: '2010'; keep one of them"),
        (file().replace("DATE =", "DATES ="), "f: has no text DATE; add DATE = '''…'''"),
        (file() + "more = 1 2", "f: isn't TOML "),
    ],
)
def test_what_is_wrong_in_a_file_is_said(written: str, message: str) -> None:
    with pytest.raises(DinkuError) as error:
        module._parsed(written, "f")
    assert re.match(message, str(error.value)), str(error.value)


@pytest.mark.parametrize("written", [file(), file(PER="\n".join(map(str, range(99))), patterns="Na {PER} .\nEe .")])
def test_a_file_with_too_little_is_refused(written: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hau.toml").write_text(written, encoding="utf-8")
    monkeypatch.setattr(module, "_FOLDER", tmp_path)
    with pytest.raises(DinkuError, match=r"hau.toml: has too few patterns or names for 400 train sentences; add lines"):
        sample("hau", "train")
