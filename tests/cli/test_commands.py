"""The commands as a user meets them: what they print, their JSON, and what a wrong request is answered."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from made_config import AFRIBERTA
from made_server import serving
from transformers import AutoConfig, AutoModelForTokenClassification

from dinku import __version__
from dinku.cli.app import main
from dinku.cli.terminal import duration, watching
from dinku.data import conll, sources
from dinku.data.catalogue import Source
from dinku.data.conll import read, write
from dinku.data.corpus import Sentence
from dinku.errors import DinkuError
from dinku.nn.tagger import Tagger
from dinku.serving.bench import bench
from dinku.testing import tiny_corpus, tiny_tagger

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def tagger(tmp_path: Path) -> Path:
    return tiny_tagger().save(tmp_path / "tagger")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    for split, seed in (("train", 0), ("dev", 1), ("test", 2)):
        for language in ("one", "two"):
            (tmp_path / "corpus" / language).mkdir(parents=True, exist_ok=True)
            write(tiny_corpus(16, seed=seed), tmp_path / "corpus" / language / f"{split}.txt")
    return tmp_path / "corpus"


STUDY = """
name: small
title: A small study
base: encoder
corpus: corpus
recipes:
  - arm: dense
    steps: [FineTune: {epochs: 1, batch: 8}]
  - arm: after
    grid: {sparsity: [0.6, 0.9]}
    steps: [FineTune: {epochs: 1, batch: 8}, Sparsify: {sparsity: $sparsity}]
latency: {reference: dense, sentences: 2, rounds: 2}
"""


def test_score_prints_the_json_that_others_rely_on(dinku: Command, tmp_path: Path) -> None:
    gold = [Sentence(("a", "b", "c"), ("B-PER", "I-PER", "O")), Sentence(("d",), ("B-LOC",))]
    found = [Sentence(("a", "b", "c"), ("I-PER", "I-PER", "O")), Sentence(("d",), ("B-LOC",))]
    write(gold, tmp_path / "gold.txt")
    write(found, tmp_path / "found.txt")
    status, out, err = dinku("score", "gold.txt", "found.txt", "--json")
    document = json.loads(out)
    assert (status, err) == (0, "")
    assert document["default"] == {"precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 2}
    assert document["strict"] == {"precision": 1.0, "recall": 0.5, "f1": 2 / 3, "support": 2}
    assert document["by_type"]["LOC"]["f1"] == 1.0
    assert (document["words"], document["sentences"]) == (4, 2)
    status, out, err = dinku("score", "gold.txt", "found.txt")
    assert status == 0
    assert "66.67" in out


def test_score_of_other_schemes_is_that_of_the_entities(dinku: Command, tmp_path: Path) -> None:
    files = {
        "iob2": "a B-PER\nb I-PER\nc O\nd B-LOC\n",
        "io": "a I-PER\nb I-PER\nc O\nd I-LOC\n",
        "bilou": "a B-PER\nb L-PER\nc O\nd U-LOC\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    for gold, found, strict, said in (
        ("io", "io", 1.0, "io: its tags are in IO; read as IOB2, with the same entities"),
        ("bilou", "bilou", 1.0, "bilou: its tags are in BILOU; read as IOB2, with the same entities"),
        ("io", "iob2", 1.0, "io: its tags are in IO; read as IOB2"),
        ("iob2", "bilou", 1.0, "bilou: its tags are in BILOU; read as IOB2"),
        ("iob2", "io", 0.0, "io: every entity begins with I-, as in IO; read as IOB2, so strict F1 counts none"),
    ):
        status, out, err = dinku("score", gold, found, "--json")
        document = json.loads(out)
        assert (status, document["default"]["f1"], document["strict"]["f1"]) == (0, 1.0, strict), (gold, found)
        assert err.startswith(f"dinku: warning: {said}")
        assert err.count("\n") == 1
    status, out, err = dinku("data", "check", "io", "--json")
    (split,) = json.loads(out)["splits"].values()
    assert (split["orphan_tags"], err.count("its tags are in IO")) == (0, 1)


def test_inspect_on_afriberta_large_and_small(dinku: Command, tmp_path: Path) -> None:
    for layers, millions in ((10, 125.05), (4, 82.5)):
        folder = tmp_path / f"layers-{layers}"
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({**AFRIBERTA, "num_hidden_layers": layers}))
        with torch.device("meta"):
            exact = AutoModelForTokenClassification.from_config(AutoConfig.from_pretrained(folder))
        one = torch.ones(1)  # whose views of any size take four bytes in a file
        stored = {name: one.expand(tensor.shape) for name, tensor in exact.state_dict().items()}
        torch.save(stored, folder / "pytorch_model.bin")
        status, out, _ = dinku("inspect", folder, "--json")
        found = json.loads(out)
        assert status == 0
        assert found["parameters"] / 1e6 == pytest.approx(millions, abs=0.05)
        assert found["bytes"] == 4 * found["parameters"]
        assert found["nonzero"] == found["parameters"]
        assert (found["layers"], found["hidden"], found["vocabulary"]) == (layers, 768, 70006)
        first = found["components"][0]
        assert first["name"] == "word embeddings"
        if layers == 10:
            assert round(100 * first["bytes"] / found["bytes"]) == 43
        assert found["bytes_disk"] == sum(path.stat().st_size for path in folder.iterdir())
        assert 0 < found["bytes_download"] < found["bytes_disk"]
    status, out, _ = dinku("inspect", folder)
    assert "word embeddings" in out
    assert "MB on disk" in out
    assert "MB as a zstd download" in out


def test_evaluate_in_detail(dinku: Command, tagger: Path, corpus: Path, tmp_path: Path) -> None:
    other = tiny_tagger("bert", "wordpiece").save(tmp_path / "other")
    asked = (
        "evaluate",
        tagger,
        "--corpus",
        corpus,
        "--detail",
        "--against",
        other,
        "--perturb",
        "slips:0.5,upper,entities",
    )
    status, out, err = dinku(*asked, "--worst-of", 2, "--json")
    assert status == 0, err
    told = json.loads(out)
    assert sum(told["detail"]["errors"].values()) - told["detail"]["errors"]["spurious"] == told["default"]["support"]
    assert (
        told["detail"]["known_names"]["support"] + told["detail"]["new_names"]["support"] == told["default"]["support"]
    )
    assert 0 <= told["detail"]["calibration_error"] <= 1
    alone = json.loads(dinku("evaluate", other, "--corpus", corpus, "--json")[1])
    lost = {loss["where"]: loss for loss in told["against"]["by_language"]}
    assert lost["one"]["before"] == alone["by_language"]["one"]["default"]["f1"]
    assert lost["one"]["after"] == told["by_language"]["one"]["default"]["f1"]
    assert told["against"]["difference"]["difference"] == pytest.approx(told["default"]["f1"] - alone["default"]["f1"])
    assert 0 < told["against"]["agreement"]["words"] < 1
    status, _, err = dinku("evaluate", tagger, "--corpus", corpus, "--against", other, "--changed", "changed.txt")
    assert status == 0, err
    blocks = [block.split("\n") for block in Path("changed.txt").read_text().strip().split("\n\n")]
    won = [int(block[0].partition("right spans ")[2].partition(":")[0]) for block in blocks]
    assert won == sorted(won)
    assert len(blocks) == round((1 - told["against"]["agreement"]["sentences"]) * told["sentences"])
    for head, *lines in blocks:
        language, number = re.match(r"# (\w+) (\d+), right spans", head).groups()  # type: ignore[union-attr]
        sentence = sources.load(str(corpus), "test").sentences[int(number) - 1]
        assert sentence.language == language
        words, gold, before, after = zip(*(line.split("\t") for line in lines), strict=True)
        assert (words, gold) == (sentence.words, sentence.tags)
        assert before != after
    assert [p["perturbation"] for p in told["perturbed"]] == ["slips:0.5", "upper", "entities"]
    for p in told["perturbed"]:
        assert p["changed"] > 0
        assert p["default"]["support"] == told["default"]["support"]
        assert p["difference"]["difference"] == pytest.approx(p["default"]["f1"] - told["default"]["f1"])
    status, out, _ = dinku(*asked)
    assert status == 0
    for said in (
        "calibration error",
        "names that train has",
        "the worst first",
        "the two agree on",
        "sentences changed",
    ):
        assert said in out


def test_evaluate_agrees_with_score_on_what_it_saved(
    dinku: Command, tagger: Path, corpus: Path, tmp_path: Path
) -> None:
    status, out, _ = dinku("evaluate", tagger, "--corpus", corpus, "--save", "found.txt", "--json")
    evaluated = json.loads(out)
    assert status == 0
    assert set(evaluated["by_language"]) == {"one", "two"}
    sentences = [*read(corpus / "one" / "test.txt"), *read(corpus / "two" / "test.txt")]
    write(sentences, tmp_path / "gold.txt")
    _, out, _ = dinku("score", "gold.txt", "found.txt", "--json")
    scored = json.loads(out)
    assert {k: evaluated[k] for k in ("default", "strict", "by_type", "words", "sentences")} == scored


def test_labels_that_one_side_alone_has_are_told(dinku: Command, tagger: Path) -> None:
    make("other.txt", "Badeo O\nKiland B-XYZ\nAdeba B-PER\n\n")
    status, out, err = dinku("evaluate", tagger, "--corpus", "other.txt", "--json")
    assert (status, json.loads(out)["by_type"]["XYZ"]["recall"]) == (0, 0.0)
    assert "only other.txt has XYZ: the model misses all of that" in err
    assert "only the model has LOC: what it finds of that counts as wrong (--labels LOC= drops it)" in err
    make("known.txt", "Badeo O\nKiland B-LOC\nAdeba B-PER\n\n")
    assert "only " not in dinku("evaluate", tagger, "--corpus", "known.txt")[2]
    make("foreign.txt", "Badeo O\nKiland B-PLACE\nAdeba B-PERSON\n\n")
    status, _, err = dinku("evaluate", tagger, "--corpus", "foreign.txt")
    assert (status, "say which are the same: --labels LOC=,PER=PERSON" in err) == (2, True)
    status, out, _ = dinku("evaluate", tagger, "--corpus", "foreign.txt", "--labels", "LOC=PLACE,PER=PERSON", "--json")
    assert (status, set(json.loads(out)["by_type"])) == (0, {"PLACE", "PERSON"})
    renamed = shutil.copytree(tagger, tagger.parent / "renamed")
    config = json.loads((renamed / "config.json").read_text())
    config["id2label"] = {
        i: tag.replace("PER", "PERSON").replace("LOC", "PLACE") for i, tag in config["id2label"].items()
    }
    (renamed / "config.json").write_text(json.dumps(config))
    how = ("--corpus", "foreign.txt", "--labels", "LOC=PLACE,PER=PERSON", "--json")
    status, out, err = dinku("evaluate", tagger, "--against", renamed, *how)
    assert (status, set(json.loads(out)["by_type"])) == (0, {"PLACE", "PERSON"}), err


def test_evaluate_says_that_nothing_was_found(dinku: Command, tagger: Path, corpus: Path, tmp_path: Path) -> None:
    mute = Tagger.load(tagger)
    mute.model.classifier.weight.data.zero_()
    mute.model.classifier.bias.data = (torch.arange(len(mute.tags)) == mute.tags.index("O")).float()
    mute.save(tmp_path / "mute")
    status, out, err = dinku("evaluate", "mute", "--corpus", corpus, "--json")
    document = json.loads(out)
    assert (status, document["default"]["f1"]) == (0, 0.0)
    n = document["default"]["support"]
    said = f"mute finds nothing: not one entity in {document['sentences']} sentences, which hold {n}; train it on more"
    assert err.count(said) == 1
    assert "finds nothing" not in dinku("evaluate", tagger, "--corpus", corpus)[2]


def test_predict_reads_conll_as_evaluate_does(dinku: Command, tagger: Path, corpus: Path, tmp_path: Path) -> None:
    gold = corpus / "one" / "test.txt"
    dinku("evaluate", tagger, "--corpus", gold, "--save", "saved.txt")
    status, out, _ = dinku("predict", tagger, gold, "--conll", "--format", "conll")
    assert (status, out) == (0, Path("saved.txt").read_text())
    words = "".join("".join(f"{w}\n" for w in s.words) + "\n" for s in read(gold))
    status, out, _ = dinku("predict", tagger, "--conll", "--format", "conll", stdin=words.encode())
    assert (status, out) == (0, Path("saved.txt").read_text())
    status, out, _ = dinku("predict", tagger, gold, "--conll", "--format", "jsonl")
    assert [json.loads(line)["text"] for line in out.splitlines()] == [" ".join(s.words) for s in read(gold)]
    make("blank.txt", "Bade o\tO\nki\tO\n\n")  # a word that holds a blank
    _, out, _ = dinku("predict", tagger, "blank.txt", "--conll", "--format", "conll")
    make("found.txt", out)
    assert dinku("score", "blank.txt", "found.txt")[0] == 0


def test_what_stdout_can_not_encode_is_escaped(tagger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text.txt").write_text("Ẹ̀kọ́ Adeba ṣe\n", encoding="utf-8")

    def ascii_output(*arguments: object) -> str:
        written = io.BytesIO()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["dinku", *map(str, arguments)])
            patch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
            with pytest.raises(SystemExit, match="0"):
                main()
            return written.getvalue().decode("ascii")

    command = [sys.executable, "-m", "dinku", "data", "list"]
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    listed = subprocess.run(command, capture_output=True, env=environment, check=True).stdout.decode("ascii")
    assert "MasakhaNER 1.0" in listed
    assert "\\u1eb8" in ascii_output("predict", tagger, tmp_path / "text.txt")
    line = ascii_output("predict", tagger, tmp_path / "text.txt", "--format", "jsonl")
    assert json.loads(line)["text"] == "Ẹ̀kọ́ Adeba ṣe"


@pytest.mark.parametrize("width", [20, 60, 80])
def test_a_terminal_of_any_width_loses_no_number(
    dinku: Command, tagger: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    commands: list[list[object]] = [
        ["data", "check", "sample:hau,yor", "--model", "dinku:house"],
        ["data", "list"],
        ["inspect", tagger],
    ]
    for command in commands:
        wide = dinku(*command)[1]
        with monkeypatch.context() as patch:
            patch.setenv("COLUMNS", str(width))
            patch.setenv("FORCE_COLOR", "1")  # which is how rich is told that it writes to a terminal
            narrow = re.sub(r"\x1b\[[0-9;]*m", "", dinku(*command)[1])
        numbers = [re.findall(r"[│] +([0-9][0-9.,%]*)(?= )", text) for text in (wide, narrow)]
        assert sorted(set(numbers[0])) == sorted(set(numbers[1]))
        assert "…" not in narrow
        table = [line for line in narrow.splitlines() if line[:1] in ("┃", "│")]
        assert width < 60 or max(map(len, table)) <= width


def test_predict_gives_offsets_into_the_text_as_given(dinku: Command, tagger: Path) -> None:
    text = "  Badeo\tAdeba  ki \n\nKiland\n"
    status, out, _ = dinku("predict", tagger, "-", "--format", "jsonl", stdin=text.encode())
    lines = [json.loads(line) for line in out.splitlines()]
    assert status == 0
    assert [line["text"] for line in lines] == ["  Badeo\tAdeba  ki ", "", "Kiland"]
    entities = [(line["text"], e) for line in lines for e in line["entities"]]
    assert entities
    for whole, entity in entities:
        assert whole[entity["start"] : entity["end"]] == entity["text"]
        assert entity["text"] == entity["text"].strip()
        assert 0 < entity["score"] <= 1
    status, out, _ = dinku("predict", tagger, "-", "--format", "conll", stdin=text.encode())
    assert [line.split(" ")[0] for line in out.splitlines() if line] == ["Badeo", "Adeba", "ki", "Kiland"]
    status, out, _ = dinku("predict", tagger, "-", stdin=text.encode())
    assert "Kiland" in out


def test_a_study_from_plan_to_claims(dinku: Command, corpus: Path, home: Path) -> None:
    tiny_tagger(tags=()).save(home / "models" / "encoder")
    Path("small.yaml").write_text(STUDY)
    _, out, _ = dinku("plan", "small.yaml", "--json")
    plan = json.loads(out)
    assert (plan["recipes"], plan["trainings"], plan["trainings_unshared"], plan["trainings_to_do"]) == (3, 1, 3, 1)
    status, out, err = dinku("run", "small.yaml", "--json")
    rows = json.loads(out)
    assert status == 0
    assert [r["kind"] for r in rows].count("quality") == 6
    assert [r["kind"] for r in rows].count("latency") == 4
    assert "fine-tuning" in err
    assert {round(r["size"]["linear_nonzero"] / r["size"]["linear"], 2) for r in rows if r["kind"] == "quality"} == {
        1,
        0.4,
        0.1,
    }
    status, out, err = dinku("run", "small.yaml")
    assert (status, err) == (0, "")
    assert "10 rows" in out
    status, out, _ = dinku("report", "small.yaml", "--json")
    assert all(Path(path).is_file() for path in json.loads(out).values())
    assert str(home) in out
    status, out, _ = dinku("claims", "small.yaml", "--json")
    assert [v["claim"] for v in json.loads(out)] == [
        *(f"C{i}" for i in range(1, 9)),
        "Q1",
        "Q2",
        "Q3",
        "N1",
        "N2",
        "N3",
    ]
    assert {"claim", "verdict", "measured", "interval", "rows"} <= set(json.loads(out)[0])
    status, out, _ = dinku("plan", "small.yaml")
    assert status == 0
    assert "3 recipes, 3 with all their rows" in " ".join(out.split())
    assert "Sparsify (sparsity 0.6)" in out


def test_rows_are_filtered_grouped_and_merged(
    dinku: Command, corpus: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_tagger(tags=()).save(home / "models" / "encoder")
    Path("small.yaml").write_text(STUDY)
    assert dinku("results", "small.yaml")[0] == 2
    dinku("run", "small.yaml", "--only", "dense")
    status, out, _ = dinku("results", "small.yaml", "--where", "language=one", "--json")
    told = json.loads(out)
    assert status == 0
    assert [(row["arm"], row["language"]) for row in told["rows"]] == [("dense", "one")]
    assert told["failures"] == []
    _, out, _ = dinku("results", "--by", "arm", "--across", "language", "--json")
    (line,) = json.loads(out)["rows"]
    assert set(line) == {"arm", "one", "two", "rows"}
    status, out, _ = dinku("results", "small", "--by", "arm,language")  # by its name, without its file
    assert status == 0
    assert "2 rows of small" in out
    for asked in ((), ("--by", "arm", "--across", "language")):
        status, out, _ = dinku("results", "small", "--where", "language=three", *asked)
        assert (status, out) == (0, "none of 2 rows meets --where; language holds one, two\n")
    _, out, _ = dinku("results", "small", "--csv", "rows.csv")
    assert out == "2 rows in rows.csv\n"
    assert Path("rows.csv").read_text().splitlines()[0].startswith("kind,study,arm,")
    _, out, _ = dinku("results", "small", "--merge", "all")
    assert out == "2 rows added to all\n"
    _, out, _ = dinku("results", "small", "--results", "results", "--results", "all", "--json")
    assert len(json.loads(out)["rows"]) == 2
    status, _, err = dinku("results", "small", "--results", "results", "--results", "nowhere", "--merge", "all")
    assert (status, err) == (2, "dinku: nowhere: no such folder; name the folder that holds results\n")
    for more in (("--where", "language=one"), ("--by", "arm"), ("--csv", "x.csv")):
        assert dinku("results", "small", "--merge", "other", *more)[::2] == (
            2,
            "dinku: --merge: adds all rows unchanged; leave the other options out\n",
        )
    assert not Path("other").exists()
    status, out, _ = dinku("results", "small", "--by", "arm, language", "--by", "seed", "--json")
    assert list(json.loads(out)["rows"][0]) == ["arm", "language", "seed", "f1_default", "rows"]
    for wrong in (
        ("--across", "language"),
        ("--value", "seed"),
        ("--by", "foo"),
        ("--where", "language=xx", "--by", "foo,arm"),
    ):
        assert dinku("results", "small", *wrong)[0] == 2


def test_no_rows_are_left_out_in_silence(dinku: Command, corpus: Path, home: Path) -> None:
    tiny_tagger(tags=()).save(home / "models" / "encoder")
    Path("small.yaml").write_text(STUDY)
    dinku("run", "small.yaml", "--only", "dense")
    for name, problem in (("larger", "isn't a study that has rows in results; name a YAML file, or one of small"),):
        assert dinku("results", name)[::2] == (2, f"dinku: {name}: {problem}\n")
    assert (
        dinku("results", "results/small")[2]
        == "dinku: results/small: can't be read (Is a directory); name a YAML file\n"
    )
    Path("larger").mkdir()  # such as its corpus: a folder is no study
    for command in ("results", "report", "claims"):
        assert dinku(command, "larger")[::2] == (2, f"dinku: larger: {problem}\n")
    Path("small").mkdir()
    assert dinku("results", "small")[0] == 0
    assert dinku("plan", "small")[0] == dinku("run", "small", "--only", "dense")[0] == 0  # as `report` knows it
    assert dinku("plan", "small:before")[::2] == (
        2,
        "dinku: results/small/study.json: there is no section 'before'; leave it out\n",
    )
    status, out, err = dinku("claims", "paper-cpu")
    where = "has no rows to judge; run `dinku run paper-cpu`, or name the folder that its rows are in with --results"
    assert (status, out, err) == (2, "", f"dinku: results/paper-cpu: {where}\n")
    shutil.copytree("results/small", "results/copy")
    status, _, err = dinku("results")
    assert (status, "results/copy/study.json: is the study 'small'; keep it in a folder named small" in err) == (
        2,
        True,
    )
    Path("results/copy/study.json").unlink()
    status, out, err = dinku("results")
    assert status == 0
    assert "2 rows of small" in out
    assert "results/copy: its rows are left out, as there is no study.json beside them" in err
    shutil.rmtree("results/copy")
    # Another study of that name keeps its description, and the rows of both are told.
    Path("small.yaml").write_text(STUDY.replace("title: ", "title: Another "))
    dinku("run", "small.yaml", "--only", "dense", "--results", "there")
    status, out, err = dinku("results", "--results", "results", "--results", "there")
    assert (status, "small is described otherwise in there" in err) == (0, True)
    before = Path("results/small/study.json").read_text()
    _, _, err = dinku("results", "--results", "there", "--merge", "results")
    assert "results/small/study.json: is another study of that name, and is kept" in err
    assert Path("results/small/study.json").read_text() == before


@pytest.mark.usefixtures("corpus")
def test_a_conflict_in_one_study_keeps_all_from_being_merged(dinku: Command, home: Path) -> None:
    tiny_tagger(tags=()).save(home / "models" / "encoder")
    for name in ("a", "z"):
        Path(f"{name}.yaml").write_text(STUDY.replace("name: small", f"name: {name}"))
        dinku("run", f"{name}.yaml", "--only", "dense")
    shutil.copytree("results", "there")
    rows = [json.loads(line) for line in Path("there/z/rows.jsonl").read_text().splitlines()]
    for row in rows:
        row["spans"]["default"] = {label: [g + 1, p, c] for label, (g, p, c) in row["spans"]["default"].items()}
    Path("there/z/rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    status, _, err = dinku("results", "--results", "results", "--results", "there", "--merge", "all")
    assert (status, "with other counts in there/z" in err) == (1, True)
    assert not Path("all").exists()


def test_parquet_needs_pyarrow(dinku: Command, corpus: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_tagger(tags=()).save(home / "models" / "encoder")
    Path("small.yaml").write_text(STUDY)
    dinku("run", "small.yaml", "--only", "dense")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    status, _, err = dinku("results", "small", "--parquet", "rows.parquet")
    assert (status, err) == (2, "dinku: this command needs pyarrow; install it with: pip install 'dinku[parquet]'\n")
    assert not Path("rows.parquet").exists()


def test_what_failed_before_there_was_a_row_is_shown(
    dinku: Command, corpus: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dinku.methods.finetune import FineTune

    tiny_tagger(tags=()).save(home / "models" / "encoder")
    Path("small.yaml").write_text(STUDY)

    def broken(*_: object) -> None:
        raise RuntimeError("[/a/path] can't be")

    with monkeypatch.context() as patch:
        patch.setattr(FineTune, "apply", broken)
        status, _, err = dinku("run", "small.yaml")
    assert (status, "see them with `dinku results`" in err) == (1, True)
    for asked in (("small.yaml",), ()):
        status, out, _ = dinku("results", *asked)
        assert status == 0
        assert out.startswith("failed ×1: dense seed 0: FineTune: RuntimeError: [/a/path] can't be")
    dinku("run", make("other.yaml", STUDY.replace("name: small", "name: other")), "--only", "dense")
    status, out, err = dinku("report", "--json")  # of what can be reported, with a warning about the other
    assert (status, [*json.loads(out)]) == (0, ["other"])
    assert err == "dinku: warning: results/small: has no rows to report; run `dinku run STUDY` first\n"
    Path("third.yaml").write_text(STUDY.replace("name: small", "name: third"))
    dinku("run", "third.yaml", "--only", "dense")
    status, out, _ = dinku("report", "--out", "there", "--json")
    assert [*json.loads(out)] == ["other", "third", "*"]
    assert {path.name for path in Path("there").iterdir()} == {
        "other",
        "third",
        "report.html",
        "report.md",
        "report.tex",
    }
    Path("results/small/rows.jsonl").write_text("no row\n")  # what is damaged isn't passed over
    assert dinku("report")[0] == 2


def test_progress_on_a_terminal_shows_what_was_said_as_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with watching() as report:
        report("[node1 42] failed at [/a/path]", 1, 2)
    assert "[node1 42] failed at [/a/path]" in capsys.readouterr().err


def test_rows_can_be_read_without_the_file_of_their_study(dinku: Command, corpus: Path, home: Path) -> None:
    tiny_tagger(tags=()).save(home / "models" / "encoder")
    Path("small.yaml").write_text(STUDY)
    dinku("run", "small.yaml", "--only", "dense")
    _, named, _ = dinku("report", "small.yaml", "--json")
    page = Path(json.loads(named)["report.html"]).read_bytes()
    Path("small.yaml").unlink()
    status, out, _ = dinku("report", "--out", "there", "--json")
    (written,) = json.loads(out).values()
    assert status == 0
    assert Path(written["report.html"]).read_bytes() == page
    status, out, _ = dinku("claims", "--json")
    assert {v["study"] for v in json.loads(out)} == {"small"}
    _, alone, _ = dinku("claims", "small")
    status, told, _ = dinku("claims")
    assert status == 0
    assert told == alone
    assert re.findall(r"([CQN]\d) \w", told) == [*(f"C{i}" for i in range(1, 9)), "Q1", "Q2", "Q3", "N1", "N2", "N3"]
    assert "small: measures no claim" in told
    status, told, _ = dinku("claims", "small", "c5", "Q1")
    assert (status, re.findall(r"^[CQN]\d  .*", told, re.M)) == (0, ["C5  not measured", "Q1  not measured"])
    assert "It holds if the bytes that the shape's arithmetic says" in told
    assert "A question of ours, as a statement: Beyond 50 %" in told
    assert [v["claim"] for v in json.loads(dinku("claims", "C2", "--json")[1])] == ["C2"]
    assert "C12: isn't a claim; name one of C1, C2" in dinku("claims", "C12")[2]
    assert "large: is a second study; name one" in dinku("claims", "small", "large")[2]
    status, _, err = dinku("claims", "--results", "nowhere")
    assert status == 2
    assert "holds the rows of no study; name a study" in err


def test_what_a_study_made_is_had_by_its_address(dinku: Command, corpus: Path, home: Path) -> None:
    tiny_tagger(tags=()).save(home / "models" / "encoder")
    Path("small.yaml").write_text(STUDY)
    _, ran, _ = dinku("run", "small.yaml", "--only", "dense", "--json")
    address = next(row["address"] for row in json.loads(ran))
    made = [
        dinku("inspect", name, "--json")
        for name in (address, address[:8], home / "store" / address[:2] / address / "tagger")
    ]
    assert [status for status, _, _ in made] == [0, 0, 0]
    told = [{k: v for k, v in json.loads(out).items() if k != "model"} for _, out, _ in made]
    assert told[0] == told[1] == told[2]
    status, out, _ = dinku("evaluate", address[:12], "--corpus", corpus, "--json")
    assert status == 0
    for row in (row for row in json.loads(ran) if row["address"] == address):
        gold = sum(counts[0] for counts in row["spans"]["default"].values())
        assert json.loads(out)["by_language"][row["language"]]["default"]["support"] == gold
    (home / "store" / address[:2] / f"{address[:8]}{'0' * 56}").mkdir()
    (home / "store" / address[:2] / f"{address[:8]}{'0' * 56}" / "step.json").write_text("{}")
    assert "is the beginning of several addresses" in dinku("inspect", address[:8])[2]
    with open(home / "store" / address[:2] / address / "tagger" / "tokenizer.json", "ab") as file:
        file.write(b" ")
    status, _, err = dinku("inspect", address)
    assert (status, err.count("\n")) == (1, 1)
    assert "tokenizer.json: isn't as it was written; remove" in err


def test_a_section_is_run_alone_and_reported_with_the_whole(dinku: Command, corpus: Path, home: Path) -> None:
    tiny_tagger(tags=()).save(home / "models" / "encoder")
    tuned = "steps: [FineTune: {epochs: 1, batch: 8, rate: 1.0e-3}]"
    parts = f"  - {{arm: a, section: one, {tuned}}}\n  - {{arm: b, section: two, seeds: [1], {tuned}}}\n"
    Path("small.yaml").write_text(f"{STUDY.partition('recipes:')[0]}recipes:\n{parts}")
    status, out, _ = dinku("run", "small.yaml:one")
    assert status == 0
    assert "see them with: dinku report small.yaml\n" in out
    assert {row["arm"] for row in json.loads(dinku("results", "small.yaml", "--json")[1])["rows"]} == {"a"}
    for command in ("report", "claims", "results"):
        status, _, err = dinku(command, "small.yaml:one")
        assert (status, err) == (
            2,
            "dinku: small.yaml:one: is a section, and rows belong to the whole study; name small.yaml\n",
        )


def test_a_grid_of_lists_from_plan_to_report(dinku: Command, corpus: Path, home: Path) -> None:
    tiny_tagger(tags=()).save(home / "models" / "encoder")
    grid = "grid: {keep: [[1], [0, 1], [0]]}"
    steps = "steps: [FineTune: {epochs: 1, batch: 8, rate: 1.0e-3}, KeepLayers: {keep: $keep}]"
    Path("small.yaml").write_text(f"{STUDY.partition('recipes:')[0]}recipes:\n  - arm: less\n    {grid}\n    {steps}\n")
    status, out, _ = dinku("plan", "small.yaml")
    assert status == 0
    assert [out.count(f"KeepLayers (keep {kept})") for kept in ("0", "1", "0 1")] == [1, 1, 1]
    assert "FineTune (rate 0.001, batch 8, warmup 0.0, epochs 1, seed 0)" in out
    status, out, _ = dinku("run", "small.yaml", "--json")
    assert (status, [row["values"]["keep"] for row in json.loads(out)].count([0, 1])) == (0, 2)
    status, out, _ = dinku("report", "small.yaml", "--json")
    text = Path(json.loads(out)["report.md"]).read_text()
    assert status == 0
    assert text.index("| less keep [0] ") < text.index("| less keep [1] ") < text.index("| less keep [0, 1] ")


def test_only_some_arms(dinku: Command, corpus: Path, home: Path) -> None:
    tiny_tagger(tags=()).save(home / "models" / "encoder")
    Path("small.yaml").write_text(STUDY)
    _, out, _ = dinku("run", "small.yaml", "--only", "dense", "--json")
    assert {row["arm"] for row in json.loads(out)} == {"dense"}
    status, _, err = dinku("run", "small.yaml", "--only", "befor")
    assert status == 2
    assert err.splitlines()[-1] == "dinku: small: no arm is named 'befor'; choose of 'dense', 'after'"


def make(name: str, content: str | bytes) -> str:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    return name


GOOD = "a B-PER\nb O\n\n"
ONE_LAYER = json.dumps({**AFRIBERTA, "num_hidden_layers": 1})


def model(config: str) -> str:
    return str(Path(make("m/config.json", config)).parent)


def evaluated(corpus: str, *options: str) -> list[str]:
    return ["evaluate", "tagger", "--corpus", corpus, *options]


def study(old: str, new: str) -> list[str]:
    assert old in STUDY
    return ["run", make("s.yaml", STUDY.replace(old, new))]


WRONG: list[tuple[str, Callable[[], list[Any]], str]] = [
    ("no such command", lambda: ["nonsense"], "No such command 'nonsense'"),
    ("no such flag", lambda: ["score", "--fast"], "No such option"),
    ("missing argument", lambda: ["score", make("g", GOOD)], "Missing argument 'PRED'"),
    ("missing option", lambda: ["evaluate", "tagger"], "Missing option '--corpus'"),
    (
        "unknown noise",
        lambda: evaluated(make("g", GOOD), "--perturb", "typos"),
        "perturbation 'typos': isn't known; use one of diacritics",
    ),
    (
        "noise rate",
        lambda: evaluated(make("g", GOOD), "--perturb", "slips:2"),
        "the rate is '2'; give a fraction from 0 to 1",
    ),
    (
        "nothing to perturb",
        lambda: evaluated(make("g", GOOD), "--worst-of", "3"),
        "--worst-of: needs --perturb; name the perturbations to try",
    ),
    (
        "names of none",
        lambda: evaluated(make("g", GOOD), "--perturb", "entities"),
        "needs names; evaluate on dev or test of a corpus that has a train",
    ),
    ("no such file", lambda: ["score", "gold", "pred"], "gold: isn't there"),
    ("a folder for a file", lambda: ["score", ".", "."], ".: is a folder"),
    ("columns change", lambda: ["score", make("g", "a O\nb x y O\n"), "g"], "g:2: "),
    ("no IOB2 tag", lambda: ["score", make("g", "a O\nb X-PER\n"), "g"], "g:2: "),
    ("NUL bytes", lambda: ["score", make("g", b"a O\nb\0 O\n"), "g"], "g:2: "),
    ("not UTF-8", lambda: ["score", make("g", b"a O\n\xff\xfe O\n"), "g"], "g:2: "),
    ("an empty device", lambda: ["data", "check", "/dev/null"], "/dev/null: is neither a file nor a folder; save"),
    ("a pipe for a corpus", lambda: evaluated("/dev/stdin"), "/dev/stdin: is neither a file nor a folder; save"),
    ("a folder for text", lambda: ["predict", "tagger", "."], ".: can't be read (Is a directory)"),
    ("a folder for CoNLL", lambda: ["predict", "tagger", ".", "--conll"], ".: can't be read (Is a directory)"),
    ("no CoNLL", lambda: ["predict", "tagger", make("g", "a O\nb\n"), "--conll"], "g:2: has 1 column"),
    ("a demo in a file", lambda: ["demo", "--out", make("g", "")], "g: is a file; give --out a folder"),
    ("empty file", lambda: ["score", make("g", ""), "g"], "g: "),
    ("a web page", lambda: ["score", make("g", "<!DOCTYPE html>\n<html>"), "g"], "is a web page"),
    (
        "an LFS pointer",
        lambda: ["score", make("g", "version https://git-lfs.github.com/spec/v1\n"), "g"],
        "LFS pointer",
    ),
    ("other words", lambda: ["score", make("g", GOOD), make("p", "a O\nc O\n\n")], "p: sentence 1, word 2"),
    ("other sentences", lambda: ["score", make("g", GOOD + GOOD), make("p", GOOD)], "p: "),
    ("no such model", lambda: ["inspect", "nowhere"], "nowhere: there is no such model"),
    ("a file for a model", lambda: ["inspect", make("m", "x")], "m: isn't a folder"),
    ("no config", lambda: ["inspect", str(Path(make("m/x", "")).parent)], "config.json"),
    (
        "config no JSON",
        lambda: ["inspect", model("{")],
        "config.json: isn't readable JSON",
    ),
    (
        "other architecture",
        lambda: ["inspect", model('{"model_type": "t5"}')],
        "'t5'",
    ),
    (
        "no weights",
        lambda: ["inspect", model(ONE_LAYER)],
        "holds no weights",
    ),
    ("no such corpus", lambda: evaluated("masakaner:hau"), "did you mean masakhaner"),
    ("no such language", lambda: evaluated("masakhaner:haus"), "did you mean hau"),
    (
        "no such split",
        lambda: evaluated("masakhaner:hau", "--split", "tset"),
        "no split 'tset'",
    ),
    (
        "folder without the split",
        lambda: evaluated(str(Path(make("c/train.txt", GOOD)).parent)),
        "has no test split",
    ),
    ("not in the cache", lambda: evaluated("masakhaner2:xho"), "isn't there"),
    (
        "no such precision",
        lambda: evaluated(make("g", GOOD), "--precision", "int4"),
        "choose float32 or bfloat16",
    ),
    (
        "no such format",
        lambda: ["predict", "tagger", "-", "--format", "xml"],
        "choose table, conll, jsonl, doccano, ",
    ),
    ("text not UTF-8", lambda: ["predict", "tagger", make("t", b"fine\n\xff\n")], "t:2: isn't UTF-8"),
    (
        "two formats",
        lambda: ["predict", "tagger", "-", "--conll", "--jsonl"],
        "--conll and --jsonl: exclude each other; give",
    ),
    ("no threads", lambda: ["predict", "tagger", "-", "--threads", "0"], "--threads: is 0; give 1 to "),
    *(
        (
            f"too many threads to {command[0]}",
            lambda command=command: [*command, "--threads", "20000"],
            "--threads: is 20,000; give 1 to ",
        )
        for command in (
            ["predict", "tagger", "-"],
            ["serve", "tagger"],
            ["bench", "tagger", "--corpus", "sample:hau"],
            ["run", "s.yaml"],
        )
    ),
    (
        "too many processes",
        lambda: ["run", "s.yaml", "--processes", "20000"],
        "--processes: is 20,000; give 1 to ",
    ),
    ("no processes", lambda: ["run", "s.yaml", "--processes", "0"], "--processes: is 0; give 1 to "),
    ("no threads to run", lambda: ["run", "s.yaml", "--threads", "0"], "--threads: is 0; give 1 to "),
    (
        "far too many threads",
        lambda: ["serve", "tagger", "--threads", "20000"],
        "--threads: is 20,000; give 1 to ",
    ),
    (
        "no JSON",
        lambda: ["predict", "tagger", make("t", '{"text": "a"}\n{"te\n'), "--jsonl"],
        "t:2: isn't JSON (EOF while",
    ),
    (
        "no text in it",
        lambda: ["predict", "tagger", make("t", '["a"]\n'), "--jsonl"],
        "t:1: isn't an object with a text",
    ),
    ("no such text", lambda: ["predict", "tagger", "nothing.txt"], "nothing.txt: can't be read"),
    ("data of a path", lambda: ["data", "fetch", make("t", GOOD)], "isn't fetched from anywhere; name a known corpus"),
    ("data of nothing named", lambda: ["data", "fetch"], "Missing argument 'CORPUS'"),
    ("data of no such family", lambda: ["data", "fetch", "masakaner:hau"], "did you mean masakhaner"),
    ("data of no such language", lambda: ["data", "fetch", "masakhaner:haus"], "did you mean hau"),
    ("data that comes along", lambda: ["data", "fetch", "sample:hau"], "comes inside dinku"),
    ("data no CoNLL", lambda: ["data", "check", make("g", "a O\nb X-PER\n")], "g:2: "),
    ("data for no such model", lambda: ["data", "check", make("g", GOOD), "--model", "none"], "no such model"),
    ("before what", lambda: ["data", "check", make("g", GOOD), "--before", "none"], "--before: needs --model; name"),
    ("data of nothing", lambda: ["data", "check", "nowhere"], "nowhere: isn't there"),
    ("data without a command", lambda: ["data", "chekc", "t"], "No such command 'chekc'"),
    (
        "no such script",
        lambda: study(
            "Sparsify: {sparsity: $sparsity}",
            "Sparsify: {sparsity: $sparsity}, TrimVocabulary: {size: 9, scripts: [Latn]}",
        ),
        "Latn",
    ),
    (
        "saving over a file",
        lambda: ["evaluate", "tagger", "--corpus", make("g", GOOD), "--save", "g"],
        "g: already exists; give --save a new file",
    ),
    ("no such study", lambda: ["run", "s.yaml"], "s.yaml: no such study"),
    ("study no YAML", lambda: ["plan", make("s.yaml", "name: [x\n")], "s.yaml:"),
    (
        "study without recipes",
        lambda: ["plan", make("s.yaml", "name: s\ntitle: t\nbase: b\ncorpus: c\n")],
        "recipes is missing; add it",
    ),
    (
        "study with an unknown step",
        lambda: study("Sparsify", "Sparsfy"),
        "there is no method 'Sparsfy'",
    ),
    ("study with a wrong value", lambda: study("0.9", "9"), "sparsity is 9"),
    (
        "study of a corpus that isn't there",
        lambda: study("corpus: corpus", "corpus: elsewhere"),
        "elsewhere: ",
    ),
    (
        "a study whose reference lacks the seed",
        lambda: study("rounds: 2", "rounds: 2, seeds: [1]"),
        "no arm 'dense' with seed 1",
    ),
    ("a study with an empty grid", lambda: study("[0.6, 0.9]", "[]"), "recipes.1.grid.sparsity is []; give at least 1"),
    ("a study with no number", lambda: study("[0.6, 0.9]", "[.nan]"), "recipes.1.grid.sparsity.0"),
    (
        "a study with a negative seed",
        lambda: study("arm: dense", "arm: dense\n    seeds: [-1]"),
        "recipes.0.seeds.0 is -1; give 0 or more",
    ),
    (
        "a study that would learn from a test split",
        lambda: study("corpus: corpus", f"corpus: {make('c/test.txt', GOOD)}"),
        "c/test.txt: is the test split, which no recipe may learn from",
    ),
    (
        "a study that would be tested on what it learnt",
        lambda: study("base: encoder\ncorpus: corpus", f"base: tagger\ncorpus: {make('whole.txt', GOOD)}"),
        "evaluates on what it learns from",
    ),
    ("tags that are lists", lambda: ["inspect", model('{"id2label": ["O"]}')], "id2label"),
    ("a NUL byte in text", lambda: ["predict", "tagger", make("t", b"a\0b\n")], "t:1: holds a NUL byte"),
    ("no such address", lambda: ["inspect", "deadbeef"], "deadbeef: isn't an address in"),
    ("a path that leads nowhere", lambda: ["inspect", "../my-tagger"], "../my-tagger: there is no such model"),
    ("no name of a model", lambda: ["inspect", "a--b/c..d"], "a--b/c..d: "),
    (
        "nothing to change from",
        lambda: evaluated(make("g", GOOD), "--changed", "c"),
        "--changed: needs --against; name the tagger to compare with",
    ),
    ("report without rows", lambda: ["report", make("s.yaml", STUDY)], "dinku run"),
]


@pytest.mark.parametrize(("arguments", "said"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG])
def test_a_wrong_request_is_one_line_and_status_2(
    arguments: Callable[[], list[Any]], said: str, dinku: Command, tagger: Path
) -> None:
    before = set(Path().rglob("*"))
    asked = arguments()
    made = set(Path().rglob("*"))
    status, out, err = dinku(*asked)
    lines = [line for line in err.splitlines() if line]
    assert (status, out) == (2, "")
    assert len(lines) == 1
    assert lines[0].startswith("dinku: ")
    assert said in lines[0]
    assert set(Path().rglob("*")) == made, "something was left half-written"
    assert before <= made


def test_debug_adds_the_traceback(dinku: Command) -> None:
    assert "--debug" in dinku("--help")[1]
    for asked, last in (
        (["--debug", "inspect", "nowhere"], "dinku: nowhere: there is no such model"),
        (["inspect", "nowhere", "--debug"], "dinku: nowhere: there is no such model"),
        (["nonsense", "--debug"], "dinku: No such command 'nonsense'"),
    ):
        status, _, err = dinku(*asked)
        assert status == 2
        assert err.startswith("Traceback")
        assert err.splitlines()[-1].startswith(last)
    status, _, err = dinku("inspect", "--", "--debug")  # which is a name then
    assert (status, err[:16]) == (2, "dinku: --debug: ")


def test_work_that_fails_is_status_1(dinku: Command, tagger: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dinku.nn.tagger import Tagger

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the disk\nis full")

    monkeypatch.setattr(Tagger, "tag", fail)
    status, _, err = dinku("predict", tagger, "-", stdin=b"a\n")
    assert (status, err) == (1, "dinku: RuntimeError: the disk is full; run it with --debug to see where\n")


def test_interruption_and_a_closed_pipe(
    dinku: Command, tagger: Path, tiny_bundle: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from dinku.nn.tagger import Tagger

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Tagger, "tag", interrupt)
    status, _, err = dinku("predict", tagger, "-", stdin=b"a\n")
    assert (status, err.strip()) == (130, "dinku: interrupted; run the same command again to go on")
    text = Path("text.txt")
    text.write_text("Badeo ki\n" * 20_000)
    command = "from dinku.cli.app import main; main()"
    predicting = [sys.executable, "-c", command, "predict", str(tiny_bundle()), str(text), "--format", "conll"]
    with subprocess.Popen(predicting, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 0


def test_streams_that_are_closed_or_full_are_told(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "dinku"]
    gold = tmp_path / "gold"
    gold.write_text(GOOD)

    def run(redirected: str, *arguments: object) -> tuple[int, str, str]:
        script = f'exec "$@" {redirected}'
        asked = ["bash", "-c", script, "bash", *command, *map(str, arguments)]
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        done = subprocess.run(asked, capture_output=True, text=True, check=False, env=environment)
        return done.returncode, done.stdout, done.stderr

    status, out, _ = run("", "score", gold, gold, "--json")
    assert (status, json.loads(out)["default"]["f1"]) == (0, 1.0)
    closed = "dinku: stdout: is closed; send it to a file, or to /dev/null\n"
    assert run(">&-", "score", gold, gold) == (2, "", closed)
    assert run(">&- 2>&-", "score", gold, gold) == (2, "", "")
    assert run("2>&-", "score", gold, gold, "--json") == (0, out, "")
    assert run("2>&-", "score", gold, tmp_path / "none", "--json") == (2, "", "")
    full = "dinku: stdout: No space left on device; free some space, then run the same command again\n"
    assert run(">/dev/full", "score", gold, gold, "--json") == (1, "", full)
    asked = ("predict", tiny_tagger().save(tmp_path / "tagger"))
    assert run("<&-", *asked) == (2, "", "dinku: stdin: is closed; name a file, or send text there\n")


KNOWN = {"sample", "masakhaner", "masakhaner2", "masakhane-pos", "masakhane-news", "afrisenti"}


def test_data_is_listed_checked_and_fetched(dinku: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    status, out, _ = dinku("data", "list", "--json")
    assert {c["name"] for c in json.loads(out)} == KNOWN
    status, out, _ = dinku("data", "check", "sample:hau,yor", "--model", "dinku:house", "--json")
    found = json.loads(out)["splits"]
    assert status == 0
    assert list(found) == ["train", "dev", "test"]
    keys = {"sentences", "words", "spans", "orphan_tags", "invisible", "not_nfc", "duplicates", "also_in_train"}
    assert keys <= set(found["train"])
    assert found["test"]["sentences"] == sum(p["sentences"] for p in found["test"]["by_language"].values()) == 320
    assert found["test"]["longest_subwords"] > found["test"]["longest"]
    same = ["data", "check", "sample:hau", "--model", "dinku:house", "--before", "dinku:house"]
    told = json.loads(dinku(*same, "--json")[1])["splits"]["test"]["by_language"]["hau"]["segmentation"]
    assert told["as_before"] == told["sentences"] == 160
    assert told["entity_words"][0] == 0 < told["entity_words"][1]
    assert "100.0%" in dinku(*same)[1]
    make("short.txt", "a O\n\n" * 9)
    out = dinku("data", "check", "short.txt", "--model", "dinku:house")[1]
    assert "1.00" in out, "special tokens were counted as subwords of words"
    make("odd/train.txt", "a B-PER\nb I-LOC\n\na O\n\na O\n\n")
    make("odd/test.txt", "a O\n\n")
    status, out, _ = dinku("data", "check", "odd")
    assert "odd train: 1 tag I-X continues nothing, first in sentence 1" in out
    assert "odd train: 1 sentence repeats an earlier one, first in sentence 3" in out
    assert "odd test: 1 sentence also stands in train, first in sentence 1" in out
    assert "odd: LOC is in 1 of 2 splits; test lacks it" in out
    assert "odd test: there is no entity; every tag is O" in out
    assert "odd train: there is no entity" not in out
    assert "one sentence" not in out
    make("joined/train.txt", "a B-PER\n" * 201)
    read: list[Path] = []
    parse = conll.parse

    def noted(data: bytes, name: str, **named: Any) -> Any:
        read.append(Path(name))
        return parse(data, name, **named)

    monkeypatch.setattr(conll, "parse", noted)
    status, out, _ = dinku("data", "check", "joined", "--model", "dinku:house")
    assert "joined train: all 201 words are one sentence; is the blank line after each missing?" in out
    assert read == [Path("joined/train.txt")], "it was read more than once"
    make("both/one/train.txt", GOOD)
    make("both/one/test.txt", GOOD)
    make("both/two/test.txt", GOOD)
    status, out, _ = dinku("data", "check", "both")
    assert "one test: 1 sentence also stands in train" in out
    assert "one has no dev here" in out
    assert "two has no train and no dev here; whether its other splits repeat it is unknown" in out
    document = json.loads(dinku("data", "check", "both", "--json")[1])
    assert document["absent"] == {"one": ["dev"], "two": ["train", "dev"]}
    assert {split: part["labels_alone"] for split, part in document["splits"].items()} == {"train": [], "test": []}
    make("co[/x]us", "a B-[/x]\n\n")
    status, out, _ = dinku("data", "check", "co[/x]us")
    assert status == 0
    assert out.count("[/x]") >= 2
    monkeypatch.setenv("DINKU_OFFLINE", "1")
    monkeypatch.setenv("DINKU_HOME", "elsewhere")
    status, _, err = dinku("data", "fetch", "masakhaner:hau")
    assert status == 2
    assert "DINKU_OFFLINE forbids the network" in err


def test_data_is_fetched_from_a_mirror(dinku: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    body = GOOD.encode()
    paths = [f"data/hau/{split}.txt" for split in ("train", "dev", "test")]
    monkeypatch.setattr(Source, "published", dict.fromkeys(paths, (hashlib.sha256(body).hexdigest(), len(body))))
    monkeypatch.setenv("DINKU_HOME", "fresh")
    with serving() as server:
        server.body = body
        monkeypatch.setenv("DINKU_MIRROR", server.url)
        status, out, err = dinku("data", "fetch", "masakhaner:hau", "--json")
        assert status == 0
        fetched = {"bytes": len(body), "state": "fetched"}
        assert json.loads(out) == [{"path": f"fresh/corpora/masakhane-ner/{path}", **fetched} for path in paths]
        assert err.splitlines()[-1].startswith("MasakhaNER 1.0: CC BY-NC 4.0; cite Adelani et al. (2021)")
        assert [asked.removeprefix("/data/file/") for asked in server.asked] == paths
        status, out, err = dinku("data", "fetch", "masakhaner:hau")
        assert (status, out) == (0, "0 files fetched, 3 were there; 0.0 MB in all\n")
        assert len(server.asked) == 3
        make(f"fresh/corpora/masakhane-ner/{paths[1]}", "mine")
        status, _, err = dinku("data", "fetch", "masakhaner:hau")
        assert status == 2
        assert "dev.txt: is there, but isn't the file that was published; delete it, or fetch with --force" in err
        assert "1 file fetched" in dinku("data", "fetch", "masakhaner:hau", "--force")[1]
        server.ways = ["404"]
        make(f"fresh/corpora/masakhane-ner/{paths[1]}", "mine")
        status, out, err = dinku("data", "fetch", "masakhaner:hau", "--force")
        assert (status, out) == (1, "")
        assert err.splitlines()[-1].startswith(
            f"dinku: {server.url}/{paths[1]}: can't be fetched: the server answered 404"
        )
    assert dinku("data", "check", "masakhaner:hau")[0] == 2, "what a person wrote over a file was lost"


def test_without_a_command_it_is_help(dinku: Command) -> None:
    for command in ([], ["data"]):
        status, out, err = dinku(*command)
        assert (status, err) == (0, "")
        assert out == dinku(*command, "--help")[1]
        assert out.startswith(" ".join(["Usage: dinku", *command, "[OPTIONS] COMMAND"]))


def test_help_and_version(dinku: Command) -> None:
    status, out, _ = dinku("--help")
    assert status == 0
    for command in ("inspect", "plan", "run", "report", "claims", "evaluate", "score", "predict"):
        assert command in out
    for group, title in (((), "Start:\n"), (("data",), "Commands:\n")):  # each command in one whole line
        commands = dinku(*group, "--help")[1].partition(title)[2].splitlines()
        commands = [line for line in commands if line and not line.endswith(":")]
        assert len(commands) >= 3
        assert [line for line in commands if not re.fullmatch(r"  \w+ +[A-Z][^.]{4,53}\.", line)] == []
    assert dinku("--version")[:2] == (0, f"dinku {__version__}\n")


def test_flags_are_named_here_and_parameters_in_python(dinku: Command) -> None:
    make("there.txt", GOOD)
    assert dinku("bench", "tagger", "--corpus", "there.txt", "--rounds", "0")[::2] == (
        2,
        "dinku: --rounds: must be at least 1 (got 0)\n",
    )
    with pytest.raises(DinkuError, match=r"^rounds: must be at least 1 \(got 0\)"):
        bench([], ["a"], threads=1, rounds=0)
    with pytest.raises(DinkuError, match=r"^threads: is 20,000; give 1 to "):
        bench([], ["a"], threads=20_000)


def test_long_times_are_days() -> None:
    assert [duration(s) for s in (29, 3000, 3600, 47.9 * 3600, 8646.96 * 3600)] == [
        "29 s",
        "50 min",
        "1 h 0 min",
        "47 h 54 min",
        "360 days",
    ]
