"""Corpora of other tasks than entities: read, refused with a place and a remedy, and written back."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from dinku.data import sources
from dinku.data.convert import convert
from dinku.data.corpus import Corpus, Sentence
from dinku.data.perturb import Perturbation
from dinku.data.task import CLASSES, MOST_LABELS, NER, TAGS, task_named
from dinku.errors import DinkuError

POS = "Amina PROPN\nta AUX\ntafi VERB\n. PUNCT\n\nKano PROPN\nce AUX\n\n"


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def refusal(name: object) -> str:
    with pytest.raises(DinkuError) as error:
        sources.load(str(name), "train")
    assert error.value.status == 2
    assert error.value.remedy
    return str(error.value).replace(str(Path(str(name).partition("?")[0]).parent), "…")


def test_a_task_says_which_tags_are_legal_and_what_they_mean() -> None:
    assert [task.is_legal("B-PER") for task in (NER, TAGS, CLASSES)] == [True, True, True]
    assert [task.is_legal("world news") for task in (NER, TAGS, CLASSES)] == [False, False, True]
    assert [task.is_legal("a\tb") for task in (NER, TAGS, CLASSES)] == [False] * 3
    assert NER.tags_of(["LOC"]) == ("O", "B-LOC", "I-LOC")
    assert TAGS.tags_of(["INTJ", "SYM"]) == ("INTJ", "SYM")
    assert [s.label for s in NER.spans(("B-PER", "I-PER", "O"))] == ["PER"]
    assert [s.label for s in TAGS.spans(("INTJ", "INTJ"))] == ["INTJ", "INTJ"]
    assert [task.units(5) for task in (NER, TAGS, CLASSES)] == [5, 5, 1]
    assert all(pickle.loads(pickle.dumps(task)) is task for task in (NER, TAGS, CLASSES))
    with pytest.raises(DinkuError, match="there is no task 'tag'; did you mean tags"):
        task_named("tag", where="here")


def test_words_with_labels(tmp_path: Path) -> None:
    path = put(tmp_path / "hau" / "train.txt", POS)
    corpus = sources.load(f"{path}?task=tags", "train")
    assert (corpus.task, corpus.labels) == (TAGS, ("AUX", "PROPN", "PUNCT", "VERB"))
    assert corpus.tags == corpus.labels
    assert [array.tolist() for array in corpus.numbered(corpus.tags)] == [[1, 0, 3, 2], [1, 0]]
    assert corpus.only("hau").sample(1, 0).task is TAGS
    assert sources.load(f"{path.parent}?task=tags", "train").fingerprint == corpus.fingerprint
    assert refusal(path).endswith("or labels of each word with task=tags")


def test_labels_of_words_in_other_formats(tmp_path: Path) -> None:
    corpus = sources.load(f"{put(tmp_path / 'train.txt', POS)}?task=tags", "train")
    for form, suffix in (("jsonl", "jsonl"), ("csv", "csv"), ("conll", "conll")):
        convert(f"{tmp_path / 'train.txt'}?task=tags", tmp_path / f"out.{suffix}", form)
        back = sources.load(f"{tmp_path / f'out.{suffix}'}?task=tags", "train")
        assert [(s.words, s.tags) for s in back] == [(s.words, s.tags) for s in corpus]
    with pytest.raises(DinkuError, match="doccano can't hold a label a word; choose jsonl or csv or conll"):
        convert(f"{tmp_path / 'train.txt'}?task=tags", tmp_path / "doccano.jsonl", "doccano")
    marked = put(tmp_path / "marked.jsonl", json.dumps({"text": "Amina ta tafi", "label": [[0, 5, "PER"]]}))
    assert "marks spans of a text, and the task tags is a label a word" in refusal(f"{marked}?task=tags")


ROWS = [("Abu mai kyau", "positive"), ("Ba kyau, ba dadi", "negative"), ('Ya ce "to"\nsai ya tafi', "neutral")]


def test_texts_with_labels_in_csv_hold_commas_quotes_and_line_breaks(tmp_path: Path) -> None:
    quoted = "".join('"{}",{}\n'.format(text.replace('"', '""'), label) for text, label in ROWS)
    corpus = sources.load(str(put(tmp_path / "train.csv", "tweet,label\n" + quoted)), "train")
    assert corpus.task is CLASSES
    assert [(s.origin and s.origin.text, s.tags) for s in corpus] == [(text, (label,)) for text, label in ROWS]
    assert corpus.sentences[2].words == ("Ya", "ce", '"to"', "sai", "ya", "tafi")
    for form, suffix in (("csv-classes", "csv"), ("jsonl-classes", "jsonl")):
        convert(str(tmp_path / "train.csv"), tmp_path / f"out.{suffix}", form)
        back = sources.load(str(tmp_path / f"out.{suffix}"), "train")
        assert [(s.words, s.tags, s.each) for s in back] == [(s.words, s.tags, "sentence") for s in corpus]
    with pytest.raises(DinkuError, match="conll can't hold a label a sentence"):
        convert(str(tmp_path / "train.csv"), tmp_path / "train.txt", "conll")


def test_a_tsv_has_no_quotes_unless_it_is_said(tmp_path: Path) -> None:
    path = put(tmp_path / "train.tsv", 'text\tlabel\n"Abu\tpositive\n"Ba" kyau\tnegative\n')
    assert [s.words for s in sources.load(str(path), "train")] == [('"Abu',), ('"Ba"', "kyau")]
    assert "isn't CSV" in refusal(f"{path}?quotes=yes")
    path = put(tmp_path / "news.tsv", 'category\theadline\ttext\nsport\tKano\t"sun\nci"\n')
    corpus = sources.load(f"{path}?quotes=yes&text=headline+text", "train")
    assert corpus.sentences[0].words == ("Kano", "sun", "ci")
    assert refusal(path).startswith("…/news.tsv:2: has 3 columns") or "has" in refusal(path)


def test_json_lines_of_texts_with_labels(tmp_path: Path) -> None:
    records = [{"text": "Abu", "label": "a"}, {"text": "Ba", "label": ["b"]}, {"text": "Ce", "label": 2, "id": 7}]
    path = put(tmp_path / "train.jsonl", "\n".join(map(json.dumps, records)))
    assert [s.tags for s in sources.load(str(path), "train")] == [("a",), ("b",), ("2",)]
    assert [s.tags for s in sources.load(f"{path}?labels=x,y,z", "train")][2] == ("z",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '{"text": "Abu", "label": "a"}\n{"text": "Ba", "label": ["a", "b"]}',
            ":2: has 2 labels (['a', 'b']); give each",
        ),
        ('{"text": "Abu", "label": "a"}\n{"text": "  ", "label": "b"}', ":2: has a label and no text; give it a text"),
        ('{"text": "Abu", "label": "a"}\n{"text": "Ba"}', ":2: has the columns text; name them text and label"),
        ('{"text": "Abu", "label": "a"}\n{"text": "Ba", "label": ""}', ":2: its label is ''; give it a label"),
        ('{"text": "Abu", "label": "a"}\n{"text": 7, "label": "b"}', ":2: its text is 7; give the text as a string"),
        ('{"text": "Abu", "label": "a"}\n{"text": "Ba", "label": null}', ":2: has no label; give each text a label"),
    ],
)
def test_odd_records_are_refused_by_line(text: str, said: str, tmp_path: Path) -> None:
    assert said in refusal(put(tmp_path / "train.jsonl", text))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("text,label,label\nAbu,a,b\n", ":1: has two columns 'label'; keep one"),
        ("text,label\nAbu,a\nBa,a,b\n", ":3: has 3 columns where the first row has 2; give a text one label"),
        ("text,label\nAbu,a\n ,b\n", ":3: has a label and no text"),
        ("text,label\nAbu,a\nBa,\n", ":3: its label is ''"),
        ('text,label\nAbu,a\n"Ba,b\n', "isn't CSV (unexpected end of data)"),
        ("text,label\n", "has no sentence"),
    ],
)
def test_odd_rows_are_refused_by_line(text: str, said: str, tmp_path: Path) -> None:
    assert said in refusal(put(tmp_path / "train.csv", text))


def test_as_many_labels_as_can_be_told_apart() -> None:
    names = [f"intent {i}" for i in range(MOST_LABELS + 1)]
    CLASSES.check_labels(names[:151], where="mine")
    with pytest.raises(DinkuError, match="mine: has 257 labels, such as intent 0, intent 1, intent 2; check that"):
        CLASSES.check_labels(names, where="mine")
    with pytest.raises(DinkuError, match="mine: has one label, a, so that nothing can be learned"):
        TAGS.check_labels(["a"], where="mine")
    NER.check_labels([], where="mine")


def test_tasks_are_not_joined(tmp_path: Path) -> None:
    put(tmp_path / "a.txt", POS)
    put(tmp_path / "b.csv", "text,label\nAbu,a\n")
    with pytest.raises(
        DinkuError, match=r"a label a word \(tags\) and a label a sentence \(classes\); name corpora of one"
    ):
        sources.load([f"{tmp_path / 'a.txt'}?task=tags", str(tmp_path / "b.csv")], "train")


def test_perturbations_that_keep_labels_true() -> None:
    corpus = Corpus("mine", "test", (Sentence(("Amina", "tana"), ("PROPN", "AUX"), "hau"),), task=TAGS)
    upper = Perturbation.named("upper").apply(corpus)
    assert (upper.sentences[0].words, upper.sentences[0].tags, upper.task) == (
        ("AMINA", "TANA"),
        ("PROPN", "AUX"),
        TAGS,
    )
    for name in ("mixing", "punctuation", "entities", "elongation"):
        with pytest.raises(DinkuError, match="needs entities, and this is about a label a word; use diacritics, slips"):
            Perturbation.named(name).check({}, TAGS)


@pytest.mark.shared
def test_the_known_corpora_of_other_tasks(shared: Path, home: Path) -> None:
    for name, folder in (("masakhane-pos", "masakhane-pos"), ("afrisent-semeval-2023", "afrisenti")):
        (home / "corpora" / name).symlink_to(shared / "data" / folder)
    pos = sources.load("masakhane-pos:all", "test")
    assert (len(pos), len(pos.labels), pos.task, len(pos.languages)) == (6795, 17, TAGS, 11)
    tweets = sources.load("afrisenti:hau,swa", "test")
    assert (len(tweets), tweets.labels, tweets.task) == (6051, ("negative", "neutral", "positive"), CLASSES)
    assert {s.each for s in tweets} == {"sentence"}
