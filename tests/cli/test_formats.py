"""Commands on files of annotation tools: read, converted, divided, and written as suggestions."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dinku.data import sources
from dinku.data.conll import write
from dinku.data.sample import sample
from dinku.data.spans import spans, tags
from dinku.scoring.tagging import Tagging
from dinku.serving.suggestions import above, certainty
from dinku.testing import tiny_tagger

pytest.importorskip("spacy")
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def tagger(tmp_path: Path) -> Path:
    return tiny_tagger().save(tmp_path / "tagger")


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """What doccano exports, with a span that cuts a word in the second text."""
    path = tmp_path / "export.jsonl"
    records = [
        {"id": 7, "text": "Amina ta je Kano.", "label": [[0, 5, "PER"], [12, 16, "LOC"]]},
        {"id": 8, "text": "Sun dawo Jos", "label": [[9, 11, "LOC"]]},
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def test_spans_that_cut_words_are_for_the_user_to_decide(export: Path, dinku: Command) -> None:
    status, out, err = dinku("data", "convert", export, "mine.conll", "--to", "conll")
    assert (status, out) == (2, "")
    assert err == (
        f"dinku: {export}: 1 of 3 spans cut words: {export}:2, 'Jo' within 'Jos'; "
        "correct them, or read it with misaligned=widen or misaligned=drop\n"
    )
    assert not Path("mine.conll").exists()
    status, out, err = dinku("data", "convert", export, "mine.conll", "--to", "conll", "--misaligned", "widen")
    assert (status, out) == (0, "mine.conll: 2 sentences\n")
    assert err.startswith("dinku: warning: ")
    assert "widened to whole words" in err
    assert Path("mine.conll").read_text().endswith("Sun O\ndawo O\nJos B-LOC\n\n")
    status, out, _ = dinku("data", "check", export, "--misaligned", "drop", "--json")
    assert json.loads(out)["splits"]["test"]["spans"] == {"LOC": 1, "PER": 1}
    status, _, err = dinku("data", "check", export, "--misaligned", "mend")
    assert (status, err.endswith("misaligned is 'mend'; choose error or widen or drop\n")) == (2, True)


def test_keys_come_along(export: Path, dinku: Command) -> None:
    for to in ("parquet", "label-studio", "jsonl"):
        assert dinku("data", "convert", export, f"as-{to}", "--to", to, "--misaligned", "widen")[0] == 0
        found = sources.load(f"as-{to}", "test")
        assert [s.origin.keys["id"] for s in found if s.origin] == [7, 8]
    assert dinku("data", "convert", "as-label-studio", "again.jsonl", "--to", "doccano")[0] == 0
    first = json.loads(Path("again.jsonl").read_text().splitlines()[0])
    assert first == {"id": 7, "text": "Amina ta je Kano.", "label": [[0, 5, "PER"], [12, 16, "LOC"]]}


def test_words_that_a_format_doesn_t_keep_are_counted(dinku: Command) -> None:
    Path("words.conll").write_text("co-op B-ORG\nne O\n\nKano B-LOC\n")
    status, out, err = dinku("data", "convert", "words.conll", "out.jsonl", "--to", "doccano")
    assert (status, err) == (0, "")
    assert out == (
        "out.jsonl: 2 sentences\n1 sentence has words that dinku's rule would split differently, "
        "and this format doesn't keep words: read it with words=blanks\n"
    )
    back = sources.load("out.jsonl?words=blanks", "test")
    assert [(s.words, s.tags) for s in back] == [(("co-op", "ne"), ("B-ORG", "O")), (("Kano",), ("B-LOC",))]


def test_a_corpus_is_divided(dinku: Command) -> None:
    assert dinku("data", "convert", "sample:hau", "all.jsonl", "--to", "doccano", "--split", "train")[0] == 0
    status, out, err = dinku("data", "split", "all.jsonl", "mine", "--dev", "40", "--test", "10%", "--json")
    assert status == 0, err
    assert [(Path(w["path"]).name, w["sentences"]) for w in json.loads(out)] == [
        ("train.jsonl", 320),
        ("dev.jsonl", 40),
        ("test.jsonl", 40),
    ]
    assert sources.format_of("mine") == "doccano"
    together = [s.words for split in sources.SPLITS for s in sources.load("mine?words=blanks", split)]
    assert sorted(together) == sorted(s.words for s in sample("hau", "train"))
    status, _, err = dinku("data", "split", "mine", "again")
    assert (status, err) == (
        2,
        "dinku: mine: is divided already, into train, dev, test; say which to divide, as in --split train\n",
    )
    for share in ("110%", "-1", "a few"):
        status, _, err = dinku("data", "split", "all.jsonl", "again", "--dev", share)
        assert (status, "--dev: is" in err or "No such option" in err) == (2, True)
    assert dinku("data", "split", "mine", "again", "--split", "train", "--to", "conll", "--test", "0")[0] == 0
    assert sorted(p.name for p in Path("again").iterdir()) == ["dev.txt", "train.txt"]


TEXTS = "Ade ba Kiland\nSeland ta wadeki Lomuland 😀 sosai\nba\n"


def found(dinku: Command, tagger: Path, *options: object) -> str:
    status, out, err = dinku("predict", tagger, *options, stdin=TEXTS.encode())
    assert status == 0, err
    return out


def test_suggestions_are_read_back_as_they_were_made(tagger: Path, dinku: Command) -> None:
    answers = [json.loads(line) for line in found(dinku, tagger, "--format", "jsonl").splitlines()]
    wanted = [[(e["start"], e["end"], e["label"]) for e in answer["entities"]] for answer in answers]
    assert any(wanted)

    def read(path: str) -> list[list[Any]]:
        from dinku.data.formats.reading import marks_of

        return [marks_of(sentence)[1] for sentence in sources.load(path, "test")]

    Path("for-doccano.jsonl").write_text(found(dinku, tagger, "--format", "doccano"), encoding="utf-8")
    assert read("for-doccano.jsonl") == wanted
    tasks = json.loads(found(dinku, tagger, "--format", "label-studio"))
    assert [task["data"] for task in tasks] == [{"text": text} for text in TEXTS.splitlines()]
    assert {task["predictions"][0]["model_version"] for task in tasks} == {"tagger"}
    accepted = [{"data": t["data"], "annotations": [{"result": t["predictions"][0]["result"]}]} for t in tasks]
    Path("accepted.json").write_text(json.dumps(accepted))
    assert read("accepted.json") == wanted
    scores = [r["score"] for t in tasks for r in t["predictions"][0]["result"]]
    assert scores == [e["score"] for answer in answers for e in answer["entities"]]
    assert found(dinku, tagger, "--format", "brat", "--out", "folder") == f"folder: {sum(map(len, wanted))} entities\n"
    assert Path("folder/annotation.conf").read_text().startswith("[entities]\nLOC\nPER\n[relations]\n")
    assert read("folder") == wanted


def test_keys_of_texts_come_along_in_suggestions(tagger: Path, dinku: Command) -> None:
    Path("texts.jsonl").write_text('{"id": 3, "text": "Ade ba Kiland", "label": "x", "from": "here"}\n')
    status, out, _ = dinku("predict", tagger, "texts.jsonl", "--format", "doccano")
    assert {key: value for key, value in json.loads(out).items() if key != "label"} == {
        "id": 3,
        "text": "Ade ba Kiland",
        "from": "here",
    }
    status, out, _ = dinku("predict", tagger, "texts.jsonl", "--format", "label-studio")
    (task,) = json.loads(out)
    assert (status, task["id"], task["data"]["from"]) == (0, 3, "here")
    assert json.loads(dinku("predict", tagger, "--format", "label-studio")[1]) == []


def test_a_threshold_leaves_out_and_an_order_puts_first(tagger: Path, dinku: Command) -> None:
    answers = [json.loads(line) for line in found(dinku, tagger, "--format", "jsonl").splitlines()]
    scores = sorted(e["score"] for answer in answers for e in answer["entities"])
    middle = scores[len(scores) // 2]
    out = found(dinku, tagger, "--format", "jsonl", "--threshold", repr(middle))
    kept = [e["score"] for line in out.splitlines() for e in json.loads(line)["entities"]]
    assert sorted(kept) == [score for score in scores if score >= middle]
    assert len(kept) < len(scores)
    assert "B-" not in found(dinku, tagger, "--format", "conll", "--threshold", "1")
    tasks = json.loads(found(dinku, tagger, "--format", "label-studio", "--sort", "uncertain"))
    certain = [task["predictions"][0]["score"] for task in tasks]
    assert certain == sorted(certain)
    assert sorted(task["data"]["text"] for task in tasks) == sorted(TEXTS.splitlines())


def test_certainty_is_that_of_the_least_certain_word() -> None:
    one = Tagging(("B-PER", "I-PER", "O", "B-LOC"), np.array([0.9, 0.7, 0.5, 0.6], np.float32))
    assert certainty(one) == pytest.approx(0.5)
    assert certainty(Tagging((), np.zeros(0, np.float32))) == 1.0
    assert above(one, 0.7).tags == ("B-PER", "I-PER", "O", "O")
    assert above(one, 0.81).tags == ("O", "O", "O", "O")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["--format", "label_studio"],
            "--format: there is no format 'label_studio'; did you mean label-studio? choose table,",
        ),
        (["--format", "brat"], "--format brat: writes a folder; name a new folder with --out"),
        (["--out", "x"], "--out: only applies to brat; leave it out"),
        (["--threshold", "1.5"], "--threshold: is 1.5; give a number from 0 to 1"),
        (["--sort", "certain"], "--sort: there is no order 'certain'; give uncertain"),
    ],
)
def test_wrong_requests_for_suggestions(options: list[str], said: str, tagger: Path, dinku: Command) -> None:
    status, out, err = dinku("predict", tagger, *options, stdin=b"Ade\n")
    assert (status, out) == (2, "")
    assert err.startswith(f"dinku: {said}")


def test_a_folder_is_not_written_over(tagger: Path, dinku: Command) -> None:
    Path("mine").mkdir()
    Path("mine/notes").write_text("x")
    status, _, err = dinku("predict", tagger, "--format", "brat", "--out", "mine", stdin=b"Ade\n")
    assert (status, err) == (2, "dinku: mine: already exists; name a new folder\n")
    assert [p.name for p in Path("mine").iterdir()] == ["notes"]


FORMS = ("conll", "jsonl", "parquet", "csv", "conllu", "spacy", "prodigy", "doccano", "label-studio", "brat")


@pytest.mark.shared
def test_real_sentences_are_equal_in_every_format(shared: Path, dinku: Command) -> None:
    """600 Hausa sentences in ten formats: words and entities come back, and what fits the rule for words needs no option."""
    assert shared
    source = sources.load("masakhaner:hau", "train").sample(600, 0)
    # Spans can't say that a tag I-X continues nothing, as a few do in this corpus.
    write([replace(s, tags=tags(spans(s.tags or ()), len(s.words))) for s in source], "hau.conll")
    gold = sources.load("hau.conll", "train")
    for form in FORMS:
        Path(form).mkdir()  # a file's name is the language of its sentences
        status, out, err = dinku("data", "convert", "hau.conll", f"{form}/hau", "--to", form)
        assert status == 0, err
        kept = "?words=blanks" if form in ("doccano", "label-studio", "brat") else ""
        assert sources.load(f"{form}/hau{kept}", "train").fingerprint == gold.fingerprint
        assert ("words that dinku's rule would split differently" in out) == bool(kept)
    moved = [sources.load(f"{form}/hau", "train") for form in ("doccano", "label-studio", "brat")]
    assert moved[0].sentences == moved[1].sentences == moved[2].sentences
    same = sum(a.words == b.words for a, b in zip(gold, moved[0], strict=True))
    assert same / 600 > 0.9
    entities = [[(s.words[i]) for i, tag in enumerate(s.tags or ()) if tag.startswith("B-")] for s in gold]
    found = [[(s.words[i]) for i, tag in enumerate(s.tags or ()) if tag.startswith("B-")] for s in moved[0]]
    assert sum(map(len, found)) == sum(map(len, entities))


def test_commands_that_learn_or_score_take_how_a_corpus_is_read(dinku: Callable[..., tuple[int, str, str]]) -> None:
    assert dinku("data", "convert", "sample:hau", "mine", "--to", "doccano", "--split", "dev")[0] == 0
    scores = []
    for corpus, options in (("sample:hau", ()), ("mine", ("--from", "doccano", "--words", "blanks"))):
        command = ("evaluate", "dinku:masakhaner", "--corpus", corpus, "--split", "dev", "--json", *options)
        status, out, err = dinku(*command)
        assert status == 0, err
        scores.append(json.loads(out)["default"])
    assert scores[0] == scores[1]
    for command in (("train", "dinku:house"), ("compress", "dinku:house"), ("evaluate", "dinku:masakhaner")):
        out_option = () if command[0] == "evaluate" else ("--out", "out")
        status, _, err = dinku(*command, "--corpus", "mine", *out_option, "--from", "docano")
        assert (status, "did you mean doccano" in err or "--from" in err) == (2, True), err
