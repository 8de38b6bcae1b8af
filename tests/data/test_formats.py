"""Formats of other tools: recognized, read, written, and refused with a place where they are malformed."""

from __future__ import annotations

import json
import re
import string
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dinku.data import sources
from dinku.data.convert import convert, divided
from dinku.data.corpus import Corpus, Origin, Sentence
from dinku.data.formats.reading import How, text_of
from dinku.data.formats.registry import FORMATS, read, recognized, write
from dinku.data.spans import Span, tags
from dinku.data.task import NER
from dinku.data.word_boundaries import words
from dinku.errors import DinkuError

pytest.importorskip("spacy")

PAGE = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
WRITERS = [name for name, form in FORMATS.items() if form.write and NER in form.tasks]
TWO = [
    (("Amina", "Bello", "ta", "je", "Kano", "."), ("B-PER", "I-PER", "O", "O", "B-LOC", "O")),
    (("Jiya", "'yan", "Najeriya", "sun", "dawo", "."), ("O", "O", "B-LOC", "O", "O", "O")),
]


def put(path: Path, *records: Any) -> Path:
    """A file of JSON lines, or of a text."""
    text = records[0] if isinstance(records[0], str) else "".join(json.dumps(each) + "\n" for each in records)
    path.write_text(text, encoding="utf-8")
    return path


def content(corpus: Corpus) -> list[tuple[tuple[str, ...], tuple[str, ...] | None]]:
    return [(s.words, s.tags) for s in corpus]


def refusal(path: Path, how: How | None = None) -> str:
    with pytest.raises(DinkuError) as error:
        read(path, how or How())
    assert error.value.status == 2
    return str(error.value).removeprefix(f"{path.parent}/")


# The page


@pytest.fixture
def examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every example of docs/formats.md as a file."""
    monkeypatch.chdir(tmp_path)
    for language, name, text in re.findall(r"^```(\w+)(?: (\S+))?\n(.*?)^```", PAGE, re.S | re.M):
        if name:
            Path(name).parent.mkdir(exist_ok=True)
            Path(name).write_text(text, encoding="utf-8")
        elif language == "python":
            exec(compile(text, "docs/formats.md", "exec"), {})
    return tmp_path


def test_every_example_is_read_as_the_same_sentences(examples: Path) -> None:
    forms = {
        "conll.txt": "conll",
        "bilou.conll": "conll",
        "tokens.jsonl": "jsonl",
        "numbers/tokens.jsonl": "jsonl",
        "tokens.parquet": "parquet",
        "words.csv": "csv",
        "tree.conllu": "conllu",
        "words.iob2": "uner",
        "docs.spacy": "spacy",
        "prodigy.jsonl": "prodigy",
        "spacy.jsonl": "prodigy",
        "doccano.jsonl": "doccano",
        "doccano-old.jsonl": "doccano",
        "studio.json": "label-studio",
        "studio-min.json": "label-studio",
        "brat": "brat",
        "bytes.jsonl": "byte-spans",
    }
    assert set(forms.values()) == {name for name, form in FORMATS.items() if NER in form.tasks}
    # numbers/labels.txt belongs to the file beside it, and the folders to their files
    there = {str(p.relative_to(examples)) for p in examples.rglob("*") if p.is_file() and p.parent.name != "brat"}
    assert there - {"numbers/labels.txt"} == forms.keys() - {"brat"}
    for name, form in forms.items():
        assert recognized(Path(name)).name == form, name
        options = {"doccano-old.jsonl": "?labels=3=PER,4=LOC", "docs.spacy": "?words=rule"}.get(name, "")
        for asked in (f"{name}{options}", f"{form}:{name}{options}"):
            corpus = sources.load(asked, "train")
            assert content(corpus) == TWO, asked
            assert corpus.split == "train"


def test_the_page_lists_every_format() -> None:
    assert set(re.findall(r"^\| `(\S+)` \|", PAGE, re.M)) == set(FORMATS)
    assert set(re.findall(r"^- `(\w+)`:", PAGE, re.M)) == {f for f in How.__dataclass_fields__ if f != "form"}


# Spans and words


def test_spans_that_cut_words_are_counted_and_named(tmp_path: Path) -> None:
    path = put(
        tmp_path / "a.jsonl",
        {"text": "Amina ta je Kano.", "label": [[0, 4, "PER"], [12, 16, "LOC"]]},
        {"text": "Sun dawo Jos", "label": [[3, 13 - 1, "LOC"], [0, 2, "PER"]]},
    )
    places = f"{path}:1, 'Amin' within 'Amina'; {path}:2, 'Su' within 'Sun'"
    said = f"2 of 4 spans cut words: {places}"
    assert refusal(path) == f"a.jsonl: {said}; correct them, or read it with misaligned=widen or misaligned=drop"
    wide = read(path, How(misaligned="widen"))
    assert [s.tags for s in wide] == [("B-PER", "O", "O", "B-LOC", "O"), ("B-PER", "B-LOC", "I-LOC")]
    assert wide.notes == (f"{path}: {said}; widened to whole words",)
    less = read(path, How(misaligned="drop"))
    assert [s.tags for s in less] == [("O", "O", "O", "B-LOC", "O"), ("O", "B-LOC", "I-LOC")]
    assert less.notes[0].endswith("; dropped")


def test_overlapping_spans_are_refused_with_their_place(tmp_path: Path) -> None:
    record = {"text": "Amina Bello ta je", "label": [[0, 11, "PER"], [6, 11, "LOC"]]}
    for misaligned in ("error", "widen", "drop"):
        path = put(tmp_path / "a.jsonl", {"text": "Jos", "label": [[0, 3, "LOC"]]}, record)
        said = refusal(path, How(misaligned=misaligned))
        assert said.startswith("a.jsonl:2: the span 'Bello' (6–11, LOC) overlaps another; ")
    again = put(tmp_path / "b.jsonl", record | {"label": [[0, 11, "PER"], [0, 11, "PER"]]})
    assert read(again).sentences[0].tags == ("B-PER", "I-PER", "O", "O")
    other = put(tmp_path / "c.jsonl", record | {"label": [[0, 11, "PER"], [0, 11, "ORG"]]})
    assert "overlaps another" in refusal(other)


def test_blanks_at_the_ends_of_spans_cut_nothing(tmp_path: Path) -> None:
    path = put(tmp_path / "a.jsonl", {"text": "Amina  ta je Kano ", "label": [[0, 7, "PER"], [12, 18, "LOC"]]})
    assert read(path).sentences[0].tags == ("B-PER", "O", "O", "B-LOC")


def test_texts_are_split_as_asked(tmp_path: Path) -> None:
    text = "Dr. Amina ta je Kano. Ta dawo.\nAn je St. Louis. Shi ke nan"
    label = [[4, 9, "PER"], [16, 20, "LOC"], [37, 46, "LOC"]]
    path = put(tmp_path / "a.jsonl", {"id": 5, "text": text, "label": label})
    whole = read(path, language="eng")
    assert [len(s.words) for s in whole] == [len(words(text))]
    lines = read(path, How(documents="lines"), language="eng")
    assert [text_of(s)[0] for s in lines] == ["Dr. Amina ta je Kano. Ta dawo.", "An je St. Louis. Shi ke nan"]
    found = read(path, How(documents="sentences"), language="eng")
    assert [text_of(s)[0] for s in found] == ["Dr. Amina ta je Kano.", "Ta dawo.", "An je St. Louis.", "Shi ke nan"]
    assert [s.tags for s in found][2] == ("O", "O", "B-LOC", "I-LOC", "I-LOC", "O")
    assert [s.origin.keys for s in found if s.origin] == [{"id": 5}] * 4
    joined = put(tmp_path / "b.jsonl", {"text": "Jaridar Jos Today. Kullum ta fito.", "label": [[0, 25, "ORG"]]})
    assert len(read(joined, How(documents="sentences"))) == 1  # as no sentence ends within an entity


def test_words_are_given_or_found(tmp_path: Path) -> None:
    tokens = [{"start": 0, "end": 5}, {"start": 5, "end": 6}, {"start": 6, "end": 9}, {"start": 9, "end": 10}]
    path = put(
        tmp_path / "a.jsonl",
        {"text": "Jos'i-Kan.", "tokens": tokens, "spans": [{"start": 6, "end": 9, "label": "LOC"}]},
    )
    assert [read(path, How(words=w)).sentences[0].words for w in ("given", "rule")] == [
        ("Jos'i", "-", "Kan", "."),
        ("Jos'i", "-", "Kan", "."),
    ]
    assert read(path, How(words="blanks", misaligned="widen")).sentences[0].words == ("Jos'i-Kan.",)
    conll = put(tmp_path / "b.conll", "co-op B-ORG\nJos B-LOC\n")
    assert content(read(conll, How(words="rule"))) == [
        (("co", "-", "op", "Jos"), ("B-ORG", "I-ORG", "I-ORG", "B-LOC")),
    ]


def test_labels_with_blanks_become_words_of_tags(tmp_path: Path) -> None:
    corpus = read(put(tmp_path / "a.jsonl", {"text": "Jos", "label": [[0, 3, "Home town"]]}))
    assert corpus.sentences[0].tags == ("B-Home_town",)
    assert corpus.notes == (f"{tmp_path}/a.jsonl: the label 'Home town' is read as Home_town",)


def test_utf16_offsets_are_told_by_the_text(tmp_path: Path) -> None:
    def task(start: int, end: int, **said: str) -> dict[str, Any]:
        value = {"start": start, "end": end, "labels": ["LOC"], **said}
        return {"data": {"text": "😀😀 Kano ne"}, "annotations": [{"result": [{"type": "labels", "value": value}]}]}

    path = put(tmp_path / "a.json", task(5, 9, text="Kano"), task(3, 7, text="Kano"), task(5, 9))
    assert [s.tags for s in read(path)] == [("O", "O", "B-LOC", "O")] * 3
    bad = put(tmp_path / "b.json", task(5, 8, text="Kano"))
    assert refusal(bad).startswith("b.json:1: a span says 'Kano', but at 5–8 the text has 'no '")


def test_bare_labels_are_read_when_asked(tmp_path: Path) -> None:
    conll = put(tmp_path / "a.conll", "Amina PER\nBello PER\nta O\nKano LOC\n")
    assert refusal(conll).endswith(
        "write tags as O, B-X or I-X, or read bare labels with tags=bare, or labels of each word with task=tags"
    )
    lists = put(
        tmp_path / "b.jsonl", {"tokens": ["Amina", "Bello", "ta", "Kano"], "ner_tags": ["PER", "PER", "O", "LOC"]}
    )
    for path in (conll, lists):
        corpus = sources.load(f"{path}?tags=bare", "test")
        assert [s.tags for s in corpus] == [("B-PER", "I-PER", "O", "B-LOC")]
        assert "are in IO" in corpus.notes[0]


def test_some_examples_and_tasks_are_left_out_and_counted(tmp_path: Path) -> None:
    done = {"data": {"text": "Jos"}, "annotations": [{"result": []}]}
    path = put(tmp_path / "a.json", done, done | {"annotations": []}, done | {"annotations": [{"was_cancelled": True}]})
    corpus = read(path)
    assert [s.tags for s in corpus] == [("O",)]
    assert corpus.notes == (f"{path}: 2 tasks without an annotation left out, the first at {path}:2",)


# Malformed files

MALFORMED: list[tuple[str, str, str]] = [
    ("a.jsonl", '{"text": "Jos", "label": [[0, 3, "LOC"]]}\n{"text": ', "a.jsonl:2: isn't JSON (expecting value)"),
    ("a.jsonl", '{"text": "Jos"\n', "a.jsonl:1: isn't JSON (expecting ',' delimiter)"),
    ("a.json", '[{"text": "Jos", "label": [[0, 3, "LOC"]]}\n', "a.json:2: isn't JSON (a comma or ] is missing)"),
    ("a.json", "", "a.json: holds no record"),
    ("a.json", "[]", "a.json: holds no record"),
    ("a.json", '[{"text": "Jos", "label": [[0, 3, "LOC"]]}] []', "a.json:1: goes on after its list of records"),
    (
        "a.jsonl",
        '{"x": 1}\n',
        "a.jsonl: is JSON whose first records tell no format (its keys are x); say which of byte-spans, doccano,",
    ),
    (
        "a.jsonl",
        '{"text": "Jos", "label": [[0, 4, "LOC"]]}',
        "a.jsonl:1: the span 0–4 doesn't lie within the 3 characters",
    ),
    ("a.jsonl", '{"text": "Jos", "label": [[-1, 3, "LOC"]]}', "a.jsonl:1: the span -1–3 doesn't lie within"),
    ("a.jsonl", '{"text": "Jos", "label": [[0, "3", "LOC"]]}', "a.jsonl:1: a span is [0, '3', 'LOC']"),
    ("a.jsonl", '{"text": "Jos", "label": [[0, 3, 7]]}', "a.jsonl:1: the label of a span is 7"),
    ("a.jsonl", '{"text": "Jos", "label": [[0, 3, ""]]}', "a.jsonl:1: the label '' can't stand in a tag"),
    ("a.jsonl", '{"text": "J", "label": [[0, 1, "L"]]}\n{"text": 3, "label": []}', "a.jsonl:2: its text is 3"),
    ("a.jsonl", '{"text": "J", "label": [[0, 1, "L"]]}\n{"label": []}', "a.jsonl:2: has no text"),
    ("a.jsonl", '{"text": "J", "label": [[0, 1, "L"]]}\n7', "a.jsonl:2: isn't an object"),
    (
        "a.jsonl",
        '{"text": "J", "label": [[0, 1, "L"]]}\n{"text": "J", "label": [7]}',
        "a.jsonl:2: one of its labels is 7",
    ),
    ("a.jsonl", '{"text": "\\ud83d Jos", "label": [[0, 1, "L"]]}', "a.jsonl:1: holds half of a surrogate pair"),
    ("a.jsonl", '{"text": "Jos", "label": [[1, 1, "LOC"]]}', "a.jsonl: 1 of 1 span cut words: {}:1, ''"),
    ("a.jsonl", '{"tokens": ["a"], "ner_tags": []}', "a.jsonl:1: has 1 word and 0 tags"),
    ("a.jsonl", '{"tokens": ["a"], "ner_tags": [1]}', "a.jsonl:1: its tags are numbers, whose names aren't known"),
    ("a.jsonl", '{"tokens": ["a"], "ner_tags": ["X"]}', "a.jsonl:1: 'X' isn't an IOB2 tag"),
    ("a.jsonl", '{"tokens": ["a", 3], "ner_tags": ["O", "O"]}', "a.jsonl:1: its words are ['a', 3]"),
    ("a.jsonl", '{"tokens": [" "], "ner_tags": ["B-X"]}', "a.jsonl:1: an empty word has the tag B-X"),
    ("a.jsonl", '{"tokens": ["a"], "ner_tags": ["O"]}\n{"tokens": []}', "a.jsonl:2: has no tokens or no ner_tags"),
    (
        "a.jsonl",
        '{"text": "ẹ", "spans": [{"start_byte": 0, "limit_byte": 2, "label": "X"}]}',
        "a.jsonl:1: the span of bytes 0–2 doesn't begin and end with a character",
    ),
    (
        "a.jsonl",
        '{"text": "Jos", "spans": [{"start": 0, "end": 3, "label": "L"}], "tokens": [{"start": 2, "end": 1}]}',
        "a.jsonl:1: the token 2–1 doesn't follow the one before it in the text",
    ),
    ("a.json", '[{"data": {}, "annotations": [{"result": []}]}]', "a.json:1: has no text"),
    (
        "a.json",
        '[{"data": {"a": "x", "b": "y"}, "annotations": [{"result": []}]}]',
        "a.json:1: its text may be any of a, b",
    ),
    ("a.json", '[{"data": {"text": "x"}, "annotations": [{}]}]', "a.json:1: an annotation has no list of results"),
    ("a.json", '[{"data": {"text": "x"}, "annotations": [{"result": [3]}]}]', "a.json:1: a result is 3"),
    (
        "a.json",
        '[{"data": {"text": "x"}, "annotations": [{"result": [{"value": {"startOffset": 0}}]}]}]',
        "a.json:1: its spans are of HTML",
    ),
    (
        "a.json",
        '[{"data": {"text": "x"}, "annotations": [{"result": [{"value": {"start": 0, "end": 5, "labels": ["L"]}}]}]}]',
        "a.json:1: the span 0–5 doesn't lie within",
    ),
    ("a.csv", "sentence,word,tag\n1,Jos\n", "a.csv:2: has 2 columns where the first row has 3"),
    ("a.csv", 'sentence,word,tag\n1,"Jos,B-LOC\n', "a.csv:2: isn't CSV (unexpected end of data)"),
    ("a.csv", "sentence,word,tag\n1,Jos,LOC\n", "a.csv:2: 'LOC' isn't an IOB2 tag"),
    ("a.csv", "sentence,word,tag\n", "a.csv: has no sentence"),
    ("a.conllu", "1\ta" + "\t_" * 8 + "\n2\tb\n", "a.conllu:2: has 2 columns between tabs, not ten"),
    ("a.conllu", "1\ta" + "\t_" * 8 + "\n\n", "a.conllu: has no entities: no word has NER= in its last column, MISC"),
    (
        "a.conllu",
        "1\ta" + "\t_" * 7 + "\tEntity=(e1-person)\n\n",
        "a.conllu:1: Entity='(e1-person)' of word 1 has brackets",
    ),
    ("a.conllu", "1\ta" + "\t_" * 7 + "\tNER=X\n\n", "a.conllu:1: 'X' isn't an IOB2 tag"),
    ("a.iob2", "1\tKano\tB-LOC\n2\n", "a.iob2:2: isn't a word of Universal NER"),
    ("a.iob2", "1\tKano\tLOC\n", "a.iob2:1: 'LOC' isn't an IOB2 tag"),
    ("a.parquet", "PAR1 and no more", "a.parquet: can't be read as Parquet ("),
]


@pytest.mark.parametrize(("name", "text", "said"), MALFORMED)
def test_malformed_files_are_refused_with_place_and_remedy(name: str, text: str, said: str, tmp_path: Path) -> None:
    path = put(tmp_path / name, text)
    form = {".conllu": "conllu", ".iob2": "uner"}.get(path.suffix, "")
    message = refusal(path, How(form))
    assert message.startswith(said.format(path))
    assert "; " in message  # a remedy


def test_malformed_brat_is_refused(tmp_path: Path) -> None:
    def folder(name: str, text: str | None, entities: str) -> Path:
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.ann").write_text(entities, encoding="utf-8")
        if text is not None:
            (tmp_path / name / "x.txt").write_text(text, encoding="utf-8")
        return tmp_path / name

    assert refusal(folder("a", None, "")).startswith("a/x.ann: has no text beside it; put x.txt there")
    assert refusal(folder("b", "Jos", "T1 LOC 0 3 Jos")).startswith("b/x.ann:1: isn't an entity of brat")
    assert refusal(folder("c", "Jos", "\nT1\tLOC 1 3\tJos")).startswith(
        "c/x.ann:2: says 'Jos', but at 1 3 the text has 'os'"
    )
    assert refusal(folder("d", "Jos", "T1\tLOC 0 9\tJos")).startswith("d/x.ann:1: says 'Jos', but at 0 9")
    pieces = folder("e", "Jos da Kano", "T1\tLOC 0 3;7 11\tJos Kano\nR1\tnear Arg1:T1 Arg2:T1\n")
    assert refusal(pieces).startswith("e/x.ann:1: is an entity in 2 pieces, 'Jos Kano'")
    assert read(pieces, How(misaligned="widen")).sentences[0].tags == ("B-LOC", "I-LOC", "I-LOC")
    assert read(pieces, How(misaligned="drop")).sentences[0].tags == ("O", "O", "O")


def test_malformed_spacy_files_are_refused(tmp_path: Path) -> None:
    write([Sentence(("Jos",), ("B-LOC",))], tmp_path / "a.spacy", "spacy")
    whole = (tmp_path / "a.spacy").read_bytes()
    (tmp_path / "a.spacy").write_bytes(whole[:-9])
    assert refusal(tmp_path / "a.spacy", How("spacy")).startswith("a.spacy: can't be read by spaCy (")


def damaged(data: bytes, random: Random) -> bytes:
    """A file with a few bytes changed, removed, put in or cut off."""
    out = bytearray(data)
    for _ in range(random.choice((1, 2, 5))):
        at = random.randrange(max(1, len(out)))
        way = random.randrange(4)
        if way == 0:
            out[at : at + 1] = bytes([random.randrange(256)])
        elif way == 1:
            del out[at : at + random.choice((1, 20))]
        elif way == 2:
            out[at:at] = random.choice((b'"', b"{", b"]", b",", b"\n", b"\t", b"null", b"-1", b"1e999", b"\0", b"\xff"))
        else:
            out = out[:at] or bytearray(b"x")
    return bytes(out)


@pytest.mark.slow
@pytest.mark.parametrize("form", WRITERS)
def test_damaged_files_are_refused_or_read_and_nothing_else(form: str, tmp_path: Path) -> None:
    random, made = Random(form), tmp_path / "made"
    write(sources.load("sample:hau", "dev").sentences[:5], made, form)
    path = made / "made.ann" if made.is_dir() else made
    whole = path.read_bytes()
    refused = 0
    for _ in range(60):
        path.write_bytes(damaged(whole, random))
        for how in (How(form), How()):
            try:
                read(made, how)
            except DinkuError as error:
                assert error.remedy  # noqa: PT017 - most are refused, and each has one
                refused += 1
    assert refused > 40


WRONG: tuple[Any, ...] = (None, 7, -1, 1.5, True, "x", [], {}, [[]], [None])


def spoilt(value: Any, random: Random) -> Any:
    """A JSON value in which one value somewhere within is another."""
    if isinstance(value, dict | list) and value and random.random() < 0.85:
        copy = value.copy()
        place = random.choice(list(value)) if isinstance(value, dict) else random.randrange(len(value))
        copy[place] = spoilt(copy[place], random)
        return copy
    return random.choice(WRONG)


@pytest.mark.slow
def test_json_of_other_shapes_is_refused_or_read_and_nothing_else(examples: Path) -> None:
    random = Random(0)
    for name, form in (
        ("tokens.jsonl", "jsonl"),
        ("prodigy.jsonl", "prodigy"),
        ("spacy.jsonl", "prodigy"),
        ("doccano.jsonl", "doccano"),
        ("doccano-old.jsonl", "doccano"),
        ("studio.json", "label-studio"),
        ("studio-min.json", "label-studio"),
        ("bytes.jsonl", "byte-spans"),
    ):
        text = Path(name).read_text(encoding="utf-8")
        records = json.loads(text) if name.endswith(".json") else [json.loads(line) for line in text.splitlines()]
        refused = 0
        for _ in range(150):
            put(examples / "spoilt.jsonl", *(spoilt(record, random) for record in records))
            for how in (How(form), How()):
                try:
                    read(examples / "spoilt.jsonl", how)
                except DinkuError as error:
                    assert error.remedy  # noqa: PT017
                    refused += 1
        assert refused > 100, name


def test_latin_1_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "Jos", "label": [[0, 3, "LOC"]]}\n{"text": "caf\xe9", "label": []}\n')
    assert refusal(tmp_path / "a.jsonl", How("doccano")).startswith("a.jsonl:2: isn't UTF-8")


def test_options_are_checked(tmp_path: Path) -> None:
    path = put(tmp_path / "a.jsonl", {"text": "Jos", "label": [[0, 3, "LOC"]]})
    for query, said in (
        ("missaligned=drop", "there is no option 'missaligned'; did you mean misaligned? the options are"),
        ("misaligned=no", "misaligned is 'no'; choose error or widen or drop"),
        ("labels=x=PER,y=LOC", "labels holds 'x=PER'; write it as in 3=PER,4=LOC"),
        ("labels=nowhere.txt", "labels can't be read ("),
    ):
        with pytest.raises(DinkuError) as error:
            sources.load(f"{path}?{query}", "test")
        assert error.value.status == 2
        assert said in str(error.value)
    with pytest.raises(DinkuError, match="there is no format 'docano'; did you mean doccano"):
        sources.spelled(str(path), form="docano")
    with pytest.raises(DinkuError, match="is known, and so is how it is read"):
        sources.spelled("sample:hau", form="doccano")


@pytest.mark.parametrize(("name", "library"), [("a.spacy", "spacy"), ("a.conllu", "conllu"), ("a.parquet", "pyarrow")])
def test_what_needs_a_library_says_so(
    name: str,
    library: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    dinku: Callable[..., tuple[int, str, str]],
) -> None:
    write(
        [Sentence(("Jos",), ("B-LOC",))],
        tmp_path / name,
        next(f.name for f in FORMATS.values() if Path(name).suffix == f.suffixes[0]),
    )
    for module in [each for each in sys.modules if each.split(".")[0] == library]:
        monkeypatch.delitem(sys.modules, module)

    class Missing:
        @staticmethod
        def find_spec(module: str, *_: object) -> None:
            if module.split(".")[0] == library:
                raise ModuleNotFoundError(name=library)

    monkeypatch.setattr(sys, "meta_path", [Missing, *sys.meta_path])
    status, _, err = dinku("data", "check", tmp_path / name)
    extra = "parquet" if library == "pyarrow" else "formats"
    assert (status, err) == (2, f"dinku: this command needs {library}; install it with: pip install 'dinku[{extra}]'\n")


# There and back

LETTERS = st.text(string.ascii_letters + "ɓɗẹàሰ市😀'-.,!?", min_size=1, max_size=6)
GAPS = st.sampled_from([" ", "  ", "", " "])
KEYS = st.dictionaries(st.sampled_from(["id", "doc", "note"]), st.text(string.ascii_letters, min_size=1), max_size=2)


@st.composite
def sentences(draw: st.DrawFn, *, joined: bool) -> Sentence:
    """A sentence; without ``joined`` its text has the words that the rule finds, in any spacing, and keys."""
    given = draw(st.lists(LETTERS, min_size=1, max_size=6))
    text = " ".join(given) if joined else "".join(word + draw(GAPS) for word in given)
    places = [(m.start(), m.end()) for m in re.finditer(r"\S+", text)] if joined else words(text)
    spans, at = [], 0
    while at < len(places):
        end = min(len(places), at + draw(st.integers(1, 3)))
        if draw(st.booleans()):
            spans.append(Span(at, end, draw(st.sampled_from(["PER", "LOC", "a-b"]))))
        at = end
    origin = None if joined else Origin("made", draw(KEYS), text, tuple(places))
    return Sentence(tuple(text[a:b] for a, b in places), tags(spans, len(places)), "", origin)


def back(given: Sequence[Sentence], folder: Path, form: str, how: How) -> Corpus:
    import uuid

    path = folder / f"{uuid.uuid4().hex}{FORMATS[form].suffixes[0]}"
    write(given, path, form)
    return read(path, how)


FAST = settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.slow
@pytest.mark.parametrize("form", WRITERS)
@FAST
@given(made=st.lists(sentences(joined=True), min_size=1, max_size=4))
def test_words_and_tags_survive_every_format(form: str, made: list[Sentence], tmp_path: Path) -> None:
    how = How(form) if FORMATS[form].words else How(form, words="blanks")
    assert content(back(made, tmp_path, form, how)) == [(s.words, s.tags) for s in made]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["doccano", "label-studio", "prodigy", "spacy", "brat", "conllu"])
@FAST
@given(
    made=st.lists(
        sentences(joined=False).filter(lambda s: text_of(s)[0].strip() == text_of(s)[0]), min_size=1, max_size=4
    )
)
def test_texts_survive_formats_of_texts(form: str, made: list[Sentence], tmp_path: Path) -> None:
    found = back(made, tmp_path, form, How(form))
    assert content(found) == [(s.words, s.tags) for s in made]
    assert [text_of(s) for s in found] == [text_of(s) for s in made]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["doccano", "label-studio", "prodigy", "spacy", "conllu", "jsonl", "parquet"])
@FAST
@given(made=st.lists(sentences(joined=False), min_size=1, max_size=4))
def test_keys_survive_formats_that_have_a_place_for_them(form: str, made: list[Sentence], tmp_path: Path) -> None:
    found = back(made, tmp_path, form, How(form))
    keys = [s.origin.keys if s.origin else {} for s in made]
    there = [{k: v for k, v in s.origin.keys.items() if v is not None} for s in found if s.origin]
    assert there == keys


@pytest.mark.slow
@pytest.mark.parametrize("first", WRITERS)
def test_what_is_converted_is_what_it_was(first: str, tmp_path: Path) -> None:
    convert("sample:hau,ibo", tmp_path / "a", first)
    back = f"{tmp_path}/a" + ("" if FORMATS[first].words else "?words=blanks")
    for split in sources.SPLITS:
        assert sources.load(back, split).fingerprint == sources.load("sample:hau,ibo", split).fingerprint
    assert sources.format_of(back) == first
    assert {split: list(parts) for split, parts in sources.whole(back).items()} == {
        split: ["hau", "ibo"] for split in sources.SPLITS
    }


def test_a_conversion_replaces_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("mine")
    with pytest.raises(DinkuError, match="already exists"):
        convert("sample:hau", tmp_path / "a", "conll", split="dev")
    assert (tmp_path / "a").read_text() == "mine"
    with pytest.raises(DinkuError, match="there is no format 'byte-spans' to write"):
        convert("sample:hau", tmp_path / "b", "byte-spans")
    assert not (tmp_path / "b").exists()


# Divided


def test_equal_sentences_are_on_one_side() -> None:
    made = [Sentence((f"w{i % 40}", str(i % 3)), ("O", "O"), "hau") for i in range(200)]
    corpus = Corpus("mine", "train", tuple(made))
    parts = divided(corpus, {"dev": 0.2, "test": 0.2}, seed=3)
    texts = {split: {s.words for s in part} for split, part in parts.items()}
    assert not texts["train"] & texts["dev"]
    assert not texts["train"] & texts["test"]
    assert not texts["dev"] & texts["test"]
    assert sum(map(len, parts.values())) == 200
    assert 30 <= len(parts["dev"]) <= 40
    again = divided(corpus, {"dev": 0.2, "test": 0.2}, seed=3)
    assert {k: v.fingerprint for k, v in again.items()} == {k: v.fingerprint for k, v in parts.items()}
    other = divided(corpus, {"dev": 0.2, "test": 0.2}, seed=4)
    assert other["dev"].fingerprint != parts["dev"].fingerprint


def test_documents_stay_together_where_there_are_many() -> None:
    made = [Sentence((f"w{i}",), ("O",), "", Origin(f"x:{i // 5}")) for i in range(200)]
    parts = divided(Corpus("mine", "train", tuple(made)), {"dev": 0.2}, seed=0)
    places = {split: {s.origin.where for s in part if s.origin} for split, part in parts.items()}
    assert not places["train"] & places["dev"]
    assert len(parts["dev"]) == 40


def test_a_corpus_that_is_too_small_is_not_divided() -> None:
    corpus = Corpus("mine", "train", (Sentence(("a",), ("O",)),) * 20)
    with pytest.raises(DinkuError, match="can't be divided: dev would be empty"):
        divided(corpus, {"dev": 0.1, "test": 0.1}, seed=0)
