"""Tags ↔ spans: seqeval's two readings, and the way back."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import BILOU, IOB1, IOB2, IOBES, Entities

from dinku.data.spans import Span, as_iob2, is_iob2_tag, orphans, scheme_of, spans, tags
from dinku.errors import DinkuError

TAGS = st.lists(st.sampled_from(["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-DATE", "I-DATE"]), max_size=12)


@st.composite
def flat_spans(draw: st.DrawFn) -> tuple[list[Span], int]:
    """Spans that don't overlap, from left to right, and the number of words they lie in."""
    cuts = sorted(draw(st.sets(st.integers(0, 12), max_size=8)))
    chosen = [Span(a, b, draw(st.sampled_from(["PER", "LOC"]))) for a, b in pairwise(cuts)]
    return [s for s in chosen if draw(st.booleans())], (cuts or [0])[-1] + draw(st.integers(0, 2))


@pytest.mark.parametrize(
    ("given", "default", "strict"),
    [
        ("", [], []),
        ("O O", [], []),
        ("B-PER I-PER O", [(0, 2, "PER")], [(0, 2, "PER")]),
        ("B-PER B-PER", [(0, 1, "PER"), (1, 2, "PER")], [(0, 1, "PER"), (1, 2, "PER")]),
        ("O I-PER I-PER", [(1, 3, "PER")], []),
        ("B-PER I-LOC", [(0, 1, "PER"), (1, 2, "LOC")], [(0, 1, "PER")]),
        ("B-PER I-LOC I-PER", [(0, 1, "PER"), (1, 2, "LOC"), (2, 3, "PER")], [(0, 1, "PER")]),
        ("I-PER B-PER I-PER", [(0, 1, "PER"), (1, 3, "PER")], [(1, 3, "PER")]),
    ],
)
def test_two_readings(given: str, default: list[Span], strict: list[Span]) -> None:
    assert spans(given.split()) == default
    assert spans(given.split(), strict=True) == strict


@given(TAGS)
def test_default_reading_is_seqevals(given: list[str]) -> None:
    assert spans(given) == [(start, last + 1, label) for label, start, last in get_entities(given)]


@given(TAGS)
def test_strict_reading_is_seqevals(given: list[str]) -> None:
    (entities,) = Entities([given], IOB2).entities
    assert spans(given, strict=True) == [(e.start, e.end, e.tag) for e in entities]


@given(flat_spans(), st.randoms())
def test_spans_survive_as_tags(flat: tuple[list[Span], int], random: Random) -> None:
    chosen, length = flat
    written = tags(sorted(chosen, key=lambda _: random.random()), length)
    assert len(written) == length
    assert spans(written) == spans(written, strict=True) == chosen
    assert orphans(written) == 0


@given(TAGS)
def test_valid_tags_survive_as_spans_and_only_those(given: list[str]) -> None:
    assert (tags(spans(given), len(given)) == tuple(given)) == (orphans(given) == 0)


@given(TAGS)
def test_readings_differ_only_where_there_are_orphans(given: list[str]) -> None:
    assert (spans(given) == spans(given, strict=True)) == (orphans(given) == 0)


@pytest.mark.parametrize(
    ("given", "count"),
    [("B-X I-X I-X", 0), ("I-X I-X", 1), ("O I-X", 1), ("B-X I-Y I-X", 2), ("B-X O I-X", 1), ("", 0)],
)
def test_orphans(given: str, count: int) -> None:
    assert orphans(given.split()) == count


@pytest.mark.parametrize("tag", ["O", "B-PER", "I-PER", "B-per", "I-a-b", "B-ÌLÚ"])
def test_iob2_tags(tag: str) -> None:
    assert is_iob2_tag(tag)


@pytest.mark.parametrize(
    "tag", ["", "o", "B-", "I-", "B", "b-PER", "B_PER", "E-PER", "S-PER", "PER", "B-A B", "B-A\xa0"]
)
def test_other_tags(tag: str) -> None:
    assert not is_iob2_tag(tag)


def test_spans_refuses_other_tags() -> None:
    with pytest.raises(DinkuError) as error:
        spans(["O", "S-PER"])
    assert str(error.value) == "word 1: 'S-PER' isn't an IOB2 tag; write tags as O, B-X or I-X"


@pytest.mark.parametrize("bad", [Span(0, 4, "PER"), Span(-1, 1, "PER"), Span(1, 1, "PER"), Span(2, 1, "PER")])
def test_tags_refuses_spans_out_of_range(bad: Span) -> None:
    with pytest.raises(DinkuError) as error:
        tags([bad], 3)
    place = f"span {bad.start}–{bad.end} PER"
    assert str(error.value) == f"{place}: doesn't lie within the 3 words; give 0 <= start < end <= words"


@pytest.mark.parametrize("order", [1, -1])
def test_tags_refuses_spans_that_overlap(order: int) -> None:
    given = [Span(0, 3, "PER"), Span(1, 2, "LOC")][::order]
    with pytest.raises(DinkuError) as error:
        tags(given, 3)
    place = f"span {given[1].start}–{given[1].end} {given[1].label}"
    assert str(error.value) == f"{place}: overlaps another span; keep one of the two: IOB2 is flat"


def test_tags_refuses_labels_that_cannot_stand_in_a_tag() -> None:
    with pytest.raises(DinkuError) as error:
        tags([Span(0, 1, "a place")], 1)
    assert str(error.value) == ("span 0–1 a place: 'a place' can't stand in a tag; give a label without white space")


# Other schemes

LABELS = st.sampled_from(["PER", "LOC"])


@st.composite
def spanned(draw: st.DrawFn) -> tuple[list[Span], int]:
    """Spans of a sentence, side by side or apart."""
    out, at = [], 0
    for gap, length, label in draw(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3), LABELS), max_size=5)):
        out.append(Span(at + gap, at + gap + length, label))
        at += gap + length
    return out, at + draw(st.integers(0, 1))


def written(made: list[Span], length: int, scheme: str) -> list[str]:
    """Tags of spans by the textbook."""
    out = ["O"] * length
    for number, (start, end, label) in enumerate(made):
        touches = number > 0 and made[number - 1][1:] == (start, label)
        single, last = {"BIOES": ("S", "E"), "BILOU": ("U", "L")}.get(scheme, ("B", "I"))
        letters = [*"B", *"I" * (end - start - 2), last] if end - start > 1 else [single]
        if scheme == "IO" or (scheme == "IOB1" and not touches):
            letters[0] = "I"
        out[start:end] = [f"{letter}-{label}" for letter in letters]
    return out


@given(st.lists(spanned(), min_size=1, max_size=4), st.sampled_from(["IOB2", "IO", "IOB1", "BIOES", "BILOU"]))
def test_the_same_spans_in_any_scheme_are_what_seqeval_reads(made: list[tuple[list[Span], int]], scheme: str) -> None:
    sentences = [written(*sentence, scheme) for sentence in made]
    found = scheme_of(sentences, {tag for tags in sentences for tag in tags})
    classes = {"IOB2": IOB2, "IO": IOB1, "IOB1": IOB1, "BIOES": IOBES, "BILOU": BILOU}
    expected = [
        [Span(e.start, e.end, e.tag) for e in sentence]
        for sentence in Entities(sentences, classes[scheme], delimiter="-").entities
    ]
    after = [as_iob2(tags) if found != "IOB2" else tuple(tags) for tags in sentences]
    assert [spans(tags, strict=True) for tags in after] == [spans(tags) for tags in after] == expected
    if scheme != "IO":  # which tells nothing of spans side by side
        assert expected == [sentence for sentence, _ in made]


@given(st.sampled_from(["IES", "LU"]), st.data())
def test_any_tags_of_other_schemes_are_read_as_seqeval_reads_them(letters: str, data: st.DataObject) -> None:
    tag = st.builds("{}-{}".format, st.sampled_from(f"BI{letters}"), LABELS) | st.just("O")
    tags = data.draw(st.lists(tag, max_size=8))
    theirs = [tag.translate({ord("L"): "E", ord("U"): "S"}) if tag[:2] in ("L-", "U-") else tag for tag in tags]
    theirs = [f"{new[0]}{old[1:]}" for new, old in zip(theirs, tags, strict=True)]
    found = spans(as_iob2(tags))
    assert [(s.label, s.start, s.end - 1) for s in found] == get_entities(theirs)


def test_which_scheme_a_file_is_in() -> None:
    def scheme(*sentences: str) -> str:
        tagged = [text.split() for text in sentences]
        return scheme_of(tagged, {tag for tags in tagged for tag in tags})

    assert scheme("O O") == scheme("O B-X I-X") == scheme("B-X B-X", "I-X") == "IOB2"
    assert scheme(*["I-X"] * 99, "O B-X") == "IOB2"  # what IOB1 never has
    assert scheme("O I-X I-X", "I-Y") == "IO"
    assert scheme("O I-X B-X", "I-Y") == "IOB1"
    assert scheme("O S-X") == scheme("B-X E-X") == "BIOES"
    assert scheme("O U-X") == scheme("B-X L-X") == "BILOU"
    with pytest.raises(DinkuError, match=r"mixes tags of BIOES \(E-\) and of BILOU \(U-\); write all tags in one"):
        scheme("B-X E-X U-X")
