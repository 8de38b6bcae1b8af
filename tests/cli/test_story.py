"""The demo: what it leaves, and that a second run does nothing twice."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

import pytest

import dinku
from dinku.cli import app
from dinku.data import sources
from dinku.data.spans import spans
from dinku.model.bundle import Bundle
from dinku.model.inspect import disk_bytes
from dinku.model.store import Store
from dinku.study.definition import Study

SMALL = """
name: demo
title: A short demo
base: dinku:house
corpus: sample:hau
threads: 1
recipes:
  - arm: dense
    steps: [FineTune: {epochs: 1, batch: 4, rate: 5.0e-4, warmup: 0.1}]
  - arm: after
    grid: {sparsity: [0.5]}
    steps: [FineTune: {epochs: 1, batch: 4, rate: 5.0e-4, warmup: 0.1}, Sparsify: {sparsity: $sparsity}]
"""


def test_it_leaves_a_page_and_a_bundle_and_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "demo.yaml").write_text(SMALL)
    study = Study.read(tmp_path / "demo.yaml")
    monkeypatch.setattr(Study, "read", classmethod(lambda cls, name: study))

    def demo(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["dinku", "demo", "--out", str(tmp_path / "demo"), *arguments])
        with pytest.raises(SystemExit) as stopped:
            app.main()
        assert stopped.value.code == 0
        return capsys.readouterr().out

    told = json.loads(demo("--json"))
    page = Path(told["page"]).read_text()
    assert "A short demo (sample)" in page
    assert page.count('<p class="example"') == 2
    small = Bundle.open(told["bundle"])
    counts = small.evaluate(sources.load("sample:hau", "test"))
    f1, size = told["f1"], told["bytes_disk"]
    assert counts.scores().f1 == f1["onnxruntime, int8"]  # the row is about the bundle that is left
    assert f1["torch, float32"] > 0.05, "nothing was learnt, so the two rows being alike says nothing"
    assert abs(f1["onnxruntime, int8"] - f1["torch, float32"]) < 0.03
    assert size["onnxruntime, int8"] == disk_bytes(Path(told["bundle"])) < 0.35 * size["torch, float32"]
    assert "sample:hau test, 160 sentences; **generated" in (Path(told["bundle"]) / "README.md").read_text()
    monkeypatch.setattr(Store, "finish", lambda *_: pytest.fail("a step was made again"))
    out = demo()
    assert "160 test sentences (sample)" in out
    assert f"dinku predict {told['bundle']}" in out
    assert told["page"] in out
    (typed,) = re.findall(r"To try the bundle:  echo (.+) \| dinku predict ", out)
    (text,) = shlex.split(typed)
    (sentence,) = {s for s in sources.load("sample:hau", "test") if " ".join(s.words) == text}
    found = [(e["text"], e["label"]) for e in dinku.open(told["bundle"]).find(text)]
    assert found
    assert found == [(" ".join(sentence.words[p.start : p.end]), p.label) for p in spans(sentence.tags or ())]


def test_the_built_in_study_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    study = Study.read("demo")
    assert study.base == "dinku:house"
    assert {entry.arm for entry in study.entries()} >= {"dense", "before", "after"}
    assert json.dumps(study.model_dump(mode="json"))
