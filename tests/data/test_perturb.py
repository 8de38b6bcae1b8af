"""Perturbed corpora: tags stay aligned, each kind does what its name says, and the same everywhere."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dinku.data import sample, sources
from dinku.data.conll import parse, text
from dinku.data.corpus import Corpus, Sentence
from dinku.data.perturb import KINDS, Names, Perturbation, changed, unseen_names
from dinku.data.spans import spans
from dinku.errors import DinkuError

TEST = Corpus.joined([sample.sample(language, "test") for language in sample.LANGUAGES], "sample:all")
TRAIN = Corpus.joined([sample.sample(language, "train") for language in sample.LANGUAGES], "sample:all")
NAMES = unseen_names(TRAIN, [TEST])
SAME_WORDS = ("diacritics", "slips", "one-slip", "lower", "upper", "ocr", "homophones", "elongation")
WORDS = st.text(st.characters(exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp")), min_size=1, max_size=6)
TAGS = st.sampled_from(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"])


@st.composite
def sentences(draw: st.DrawFn) -> Sentence:
    pairs = draw(st.lists(st.tuples(WORDS, TAGS), min_size=1, max_size=8))
    return Sentence(
        tuple(w for w, _ in pairs), tuple(t for _, t in pairs), draw(st.sampled_from(["amh", "hau", "wol"]))
    )


def labels(s: Sentence) -> list[str]:
    return [span.label for span in spans(s.tags or ())]


@pytest.mark.parametrize("kind", KINDS)
@given(sentences(), st.integers(0, 3))
def test_tags_stay_aligned(kind: str, sentence: Sentence, seed: int) -> None:
    corpus = Corpus("x", "test", (sentence,))
    names = {("hau", "PER"): (("Audu",), ("Ladi", "Musa"))}
    (after,) = Perturbation.named(kind).apply(corpus, seed=seed, names=names).sentences
    assert after.tags is not None
    assert len(after.words) == len(after.tags)
    assert after.words
    assert all(word and not word.isspace() for word in after.words)
    assert labels(after) == labels(sentence)
    assert after.language == sentence.language
    if kind in SAME_WORDS:
        assert after.tags == sentence.tags


@pytest.mark.parametrize("kind", KINDS)
def test_the_sample_perturbed(kind: str) -> None:
    perturbation = Perturbation.named(kind)
    after = perturbation.apply(TEST, seed=1, names=NAMES)
    assert len(after) == len(TEST)
    assert changed(TEST, after) > 0.05
    assert parse(text(after).encode(), "x").sentences == tuple(Sentence(s.words, s.tags) for s in after)
    # A sentence becomes the same whatever stands around it, and another with another seed unless nothing is drawn.
    alone = perturbation.apply(TEST.only("yor"), seed=1, names=NAMES)
    assert alone.sentences == after.only("yor").sentences
    again = perturbation.apply(TEST, seed=2, names=NAMES)
    assert (again.sentences == after.sentences) == (kind in ("diacritics", "lower", "upper", "punctuation"))
    assert Perturbation(kind, 0.0).apply(TEST, names=NAMES).sentences == TEST.sentences
    bare = perturbation.apply(TEST.without_tags(), seed=1, names=NAMES)
    assert all(s.tags is None for s in bare)


def one(kind: str, words: str, language: str = "hau", tags: str = "") -> str:
    sentence = Sentence(tuple(words.split()), tuple(tags.split()) if tags else ("O",) * len(words.split()), language)
    (after,) = Perturbation(kind, 1.0).apply(Corpus("x", "test", (sentence,))).sentences
    return " ".join(f"{w}/{t}" if tags else w for w, t in zip(after.words, after.tags or (), strict=True))


def test_what_each_does() -> None:
    assert one("diacritics", "Olúṣẹ́gun ɗan ƙasa ̀") == "Olusegun dan kasa ̀"
    assert one("lower", "Kano DA amh") == "kano da amh"
    assert one("upper", "Kano ƙasa") == "KANO ƘASA"
    assert one("punctuation", "Ya 'yan Kano , !", tags="O O B-LOC O O") == "Ya/O yan/O Kano/B-LOC"
    assert one("punctuation", '" Abu - bakr "', tags="B-PER I-PER I-PER I-PER O") == "Abu/B-PER bakr/I-PER"
    assert one("punctuation", "Kano / Abuja ,", tags="B-LOC I-ORG I-LOC O") == "Kano/B-LOC //B-ORG Abuja/B-LOC"
    assert one("punctuation", ". . .") == ". . ."
    assert set(one("homophones", "ሀገር")) <= set("ሀሐኀገር")
    assert one("homophones", "ሀገር") != "ሀገር"
    assert one("elongation", "sannu Kano 12", tags="O B-LOC O").split("/")[0].rstrip("u") == "sann"
    assert " Kano/B-LOC 12/O" in one("elongation", "sannu Kano 12", tags="O B-LOC O")
    mixed = one("mixing", "Audu Bello ya tafi", tags="B-PER I-PER O O").split()
    assert [mixed[i] for i in (1, 2, 4, 6)] == ["Audu/B-PER", "Bello/I-PER", "ya/O", "tafi/O"]
    assert len(mixed) == 7
    assert one("ocr", "12 ሀ") == "12 ሀ"
    assert one("ocr", "e") == "c"


def slips(word: str) -> set[str]:
    """All that slips make of a word."""
    slipped = Perturbation.named("slips:1").apply(
        Corpus("x", "", tuple(Sentence((word,), None, str(i)) for i in range(500)))
    )
    return {s.words[0] for s in slipped}


def test_a_slip_is_one_edit() -> None:
    for seed in range(200):
        corpus = Corpus("x", "test", (Sentence(("Kano", "ƙasa", "12"), ("B-LOC", "O", "O"), "hau"),))
        (after,) = Perturbation.named("one-slip").apply(corpus, seed=seed).sentences
        differing = [(a, b) for a, b in zip(corpus.sentences[0].words, after.words, strict=True) if a != b]
        assert len(differing) <= 1
        assert all(abs(len(a) - len(b)) <= 1 for a, b in differing)
        assert after.words[2] == "12"
    assert slips("g") == {"gg", *"tyfhvb"}  # a word of one letter can't lose it
    assert slips("የg") >= {"gየ", "የ", "g"}


def test_an_amharic_slip_stays_on_the_consonant() -> None:
    assert slips("በ") == {"በበ", *"ቡቢባቤብቦ"}


def test_names_of_others_take_the_places_of_entities() -> None:
    assert all(len(names) > 20 for names in NAMES.values())
    known = {w.casefold() for s in TRAIN for p in spans(s.tags or ()) for w in [" ".join(s.words[p.start : p.end])]}
    assert not known & {" ".join(name).casefold() for names in NAMES.values() for name in names}
    after = Perturbation.named("entities").apply(TEST, names=NAMES)
    for a, b in zip(TEST, after, strict=True):
        own = [w for w, t in zip(a.words, a.tags or (), strict=True) if t == "O"]
        assert own == [w for w, t in zip(b.words, b.tags or (), strict=True) if t == "O"]
        for span in spans(b.tags or ()):
            assert b.words[span.start : span.end] in NAMES[b.language, span.label]


def test_rates() -> None:
    assert Perturbation.named("slips:0.3") == Perturbation("slips", 0.3)
    assert str(Perturbation.named("slips:0.3")) == "slips:0.3"
    assert Perturbation.listed("all") == [Perturbation(name, kind.rate) for name, kind in KINDS.items()]
    assert Perturbation.listed("ocr:0.1,all:0.3")[1:] == [Perturbation(name, 0.3) for name in KINDS]
    assert str(Perturbation.named("slips:0.15")) == "slips"
    few, many = (changed(TEST, Perturbation("slips", rate).apply(TEST)) for rate in (0.02, 0.5))
    assert few < 0.5 < many


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("typos", "perturbation 'typos': isn't known; use one of diacritics, slips"),
        ("slips:x", "perturbation 'slips': the rate is 'x'; give a fraction from 0 to 1"),
        ("slips:2", "the rate is '2'"),
        ("slips:nan", "the rate is 'nan'"),
    ],
)
def test_wrong_names(text: str, says: str) -> None:
    with pytest.raises(DinkuError, match=says.replace("(", r"\(")):
        Perturbation.named(text)


def test_entities_need_names() -> None:
    with pytest.raises(DinkuError, match="needs names"):
        Perturbation.named("entities").apply(TEST)


@cache
def real_corpus() -> tuple[Corpus, Names]:
    """MasakhaNER's test split, and the names of its dev split that train lacks; read once for all kinds."""
    test, dev, train = (sources.load("masakhaner:all", split) for split in ("test", "dev", "train"))
    return test, unseen_names(train, [dev])


@pytest.mark.shared
@pytest.mark.usefixtures("shared")
@pytest.mark.parametrize("kind", KINDS)
def test_real_sentences(kind: str) -> None:
    test, names = real_corpus()
    after = Perturbation.named(kind).apply(test, names=names)
    assert [labels(s) for s in after] == [labels(s) for s in test]
    text(after)
