"""Walking a study: what is refused before it starts, what a row says, and the clock of a step."""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from dinku.data.conll import read, write
from dinku.data.perturb import Perturbation
from dinku.data.spans import spans
from dinku.errors import DinkuError
from dinku.machine import memory_bytes
from dinku.method import Data, Work
from dinku.methods.finetune import FineTune
from dinku.methods.sparsity import Sparsify
from dinku.model.store import Store
from dinku.nn.loading import open_tagger
from dinku.nn.tagger import Tagger
from dinku.report import records
from dinku.report.build import write as write_report
from dinku.scoring.answers import Answers
from dinku.scoring.counts import LEARN_MORE
from dinku.scoring.error_analysis import calibration_error, tagged
from dinku.study import steps as steps_module
from dinku.study.current import Current, standing
from dinku.study.definition import Study
from dinku.study.facts import Clock, size_of
from dinku.study.plan import plan
from dinku.study.prepare import memory_needed
from dinku.study.results import Results
from dinku.study.run import Runner
from dinku.testing import facts, tiny_corpus, tiny_tagger, tiny_text

STUDY = """
name: small
title: T
base: encoder
corpus: corpus
recipes:
  - arm: dense
    steps: [FineTune: {epochs: 1, batch: 8}]
  - arm: after
    grid: {sparsity: [0.5, 0.9]}
    steps: [FineTune: {epochs: 1, batch: 8}, Sparsify: {sparsity: $sparsity}]
"""


@pytest.fixture
def runner(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    monkeypatch.chdir(tmp_path)
    tiny_tagger(tags=()).save(home / "models" / "encoder")
    Path("corpus").mkdir()
    for split, seed in (("train", 0), ("dev", 1), ("test", 2)):
        write(tiny_corpus(12, seed=seed), f"corpus/{split}.txt")
    return made(home)


def made(home: Path, changed: str = "") -> Runner:
    Path("s.yaml").write_text(STUDY + changed, encoding="utf-8")
    return Runner(Study.read("s.yaml"), Store(home / "store"), Results(Path("results/small")))


def test_a_row_says_all_that_it_stands_on(runner: Runner, home: Path) -> None:
    runner.run(["after"])
    rows = runner.results.rows()
    assert len(rows) == 2
    for row in rows:
        assert row.size is not None
        assert round(row.size.sparsity, 2) == row.values["sparsity"]
        assert (row.sentences, row.sentences_in_split, row.split) == (12, 12, "test")
        (training,) = row.trainings
        assert training.seconds > 0
        assert training.precision in ("float32", "bfloat16")
        assert training.address in runner.prepared[0].addresses  # made once for both
        assert row.environment.threads == runner.threads
    document = plan(runner)
    assert document["trainings"] == 1
    assert document["trainings_unshared"] == 3
    assert document["trainings_to_do"] == 0
    assert document["recipes_done"] == 2  # the dense one's tagger is made, its rows aren't


def test_a_sample_says_of_how_many(runner: Runner, home: Path) -> None:
    part = made(home, "sentences: 5\n")
    part.run(["dense"])
    (row,) = part.results.rows()
    assert (row.sentences, row.sentences_in_split) == (5, 12)
    assert "5 of 12" in row.corpus


def test_it_refuses_to_test_on_what_it_learns_from(runner: Runner, home: Path) -> None:
    for split in ("train", "dev"):
        Path("corpus/test.txt").write_bytes(Path(f"corpus/{split}.txt").read_bytes())
        with pytest.raises(DinkuError, match=f"evaluates on what it learns from: corpus test is its {split} split"):
            made(home).run()
    with pytest.raises(DinkuError, match="no arm is named 'other'; choose of 'dense', 'after'"):
        runner.run(["other"])


def changed(home: Path, old: str, new: str) -> Runner:
    assert old in STUDY
    Path("s.yaml").write_text(STUDY.replace(old, new), encoding="utf-8")
    return Runner(Study.read("s.yaml"), Store(home / "store"), Results(Path("results/small")))


def test_what_can_not_end_well_is_refused_before_it_starts(runner: Runner, home: Path) -> None:
    dense = "  - arm: dense\n    steps: [FineTune: {epochs: 1, batch: 8}]"
    wrong = {
        "  - arm: bare\n    steps: [Sparsify: {sparsity: 0.5}]": r"small \(bare\): no step gives encoder, an encoder without",
        "  - arm: none\n    steps: []": r"small \(none\): no step gives encoder, an encoder without tags, any; add FineTune",
        "  - arm: few\n    steps: [TrimVocabulary: {size: 3}, FineTune: {epochs: 1}]": "size is 3, and 5 special tokens stay",
        "  - arm: gone\n    steps: [FineTune: {epochs: 1}, KeepLayers: {keep: [7]}]": r"small \(gone\): steps.1: KeepLayers: ",
        "  - arm: all\n    steps: [PruneHeads: {heads: 100}, FineTune: {epochs: 1}]": (
            r"small \(all\): steps.0: PruneHeads: heads is 100, more than the 4 heads of a layer; give at most 4"
        ),
        "  - arm: dumb\n    steps: [Distil: {epochs: 1}]": r"small \(dumb\): steps.0: Distil: the teacher has no tags",
        "  - arm: odd\n    steps: [FineTune: {epochs: 1}, Distil: {relations: 1, relation_heads: 3}]": (
            r"small \(odd\): steps.1: Distil: relation_heads is 3, which doesn't divide queries of 16 numbers; choose"
        ),
        "  - arm: map\n    steps: [FineTune: {epochs: 1}, Distil: {layers: [0, 7]}]": (
            r"small \(map\): steps.1: Distil: layers is \(0, 7\) for 2 layers"
        ),
        "  - arm: cut\n    steps: [FineTune: {epochs: 1}, Distil: {hidden: 1, student: [TrimVocabulary: {size: 60}]}]": (
            r"small \(cut\): steps.1: Distil: hidden states and relations are matched subword by subword"
        ),
        **{
            f"  - arm: mute\n    steps: [{step}, FineTune: {{epochs: 1}}]": (
                rf"small \(mute\): steps.0: {step.partition(':')[0]}: reads unlabelled text, and the study names none"
            )
            for step in (
                "Pretrain: {steps: 1}",
                "DistilText: {sentences: 1}",
                "StartFresh: {layers: 1, heads: 1, hidden: 8, width: 8, vocabulary: 300}",
            )
        },
        (
            "  - arm: nested\n    steps: [FineTune: {epochs: 1}, Distil: {student: "
            "[StartFresh: {layers: 1, heads: 1, hidden: 8, width: 8, vocabulary: 300}]}]"
        ): r"small \(nested\): steps.1: Distil: reads unlabelled text, and the study names none",
    }
    for block, said in wrong.items():
        with pytest.raises(DinkuError, match=said):
            plan(changed(home, dense, block))
    tiny_tagger().save(home / "models" / "tagger")
    tagged = STUDY.replace("base: encoder", "base: tagger").replace(dense, next(iter(wrong)))
    Path("s.yaml").write_text(tagged, encoding="utf-8")
    assert plan(Runner(Study.read("s.yaml"), runner.store, runner.results))["recipes"] == 3


def test_students_share_their_teacher_and_its_answers(runner: Runner, home: Path) -> None:
    tiny_text(Path("text"))
    distil = "Distil: {epochs: 1, batch: 8, temperature: $t, transfer: 20, student: [KeepLayers: {keep: [0]}]}"
    study = STUDY[: STUDY.index("  - arm: after")] + (
        "  - arm: distilled\n    grid: {t: [2.0, 6.0]}\n    steps:\n"
        f"      - FineTune: {{epochs: 1, batch: 8}}\n      - {distil}\n"
        "text: text\n"
    )
    Path("s.yaml").write_text(study, encoding="utf-8")
    made = Runner(Study.read("s.yaml"), runner.store, runner.results)
    document = plan(made)
    assert (document["trainings"], document["trainings_unshared"]) == (3, 5)
    made.run()
    assert len(made.results.rows()) == 3
    assert {len(p.recipe.document()["text"]) for p in made.prepared} == {4}
    answers = sorted(made.store.answers.rglob("*.npy"))
    assert len(answers) == 2  # of one teacher to the train split and to the transfer set
    assert plan(made)["recipes_done"] == 3
    (Path("text") / "one.txt").write_text("another text")
    changed = Runner(Study.read("s.yaml"), runner.store, runner.results)
    assert plan(changed)["recipes_done"] == 1  # the teacher never sees it
    for old, new, said in (
        (
            "transfer: 20",
            "transfer: 200",
            "text: holds 61 lines in one, two, fewer than 200; ask for fewer, or add text",
        ),
        (
            "student: [",
            "student: [TrimVocabulary: {size: 60, sentences: 300}, ",
            "text: holds 61 lines in one, two, fewer than 300; ask for fewer, or add text",
        ),
        (
            "text: text\n",
            "",
            r"small \(distilled\): steps.1: Distil: reads unlabelled text, and the study names none; add",
        ),
    ):
        Path("s.yaml").write_text(study.replace(old, new), encoding="utf-8")
        doomed = Runner(Study.read("s.yaml"), runner.store, runner.results)
        with pytest.raises(DinkuError, match=said):
            plan(doomed)


def test_what_steps_need_of_the_data_is_checked_before_anything_is_trained(runner: Runner, home: Path) -> None:
    """At the start of a run as by a plan, at any depth; nothing is left in the store."""
    dense = "  - arm: dense\n    steps: [FineTune: {epochs: 1, batch: 8}]"
    first = "FineTune: {epochs: 1}"
    best, inner = "FineTune: {epochs: 1, select: best}", "Distil: {epochs: 1, select: best}"
    Path("corpus/dev.txt").unlink()
    for last, said in (
        ("Quantize: {}", "steps.1: Quantize: there is no dev split; name a corpus that has one"),
        (best, "steps.1: FineTune: there is no dev split"),
        (f"Distil: {{student: [{best}]}}", "steps.1: FineTune: there is no dev split"),
        (f"Distil: {{student: [Distil: {{student: [{inner}]}}]}}", "steps.1: Distil: there is no dev split"),
        (
            "FineTune: {epochs: 1, tags: [O, B-PER, I-PER]}",
            "steps.1: FineTune: corpus: has the tag B-LOC, which isn't among",
        ),
    ):
        doomed = changed(home, dense, f"  - arm: last\n    steps: [{first}, {last}]")
        for work in (plan, Runner.run):
            with pytest.raises(DinkuError, match=rf"^small \(last\): {said}"):
                work(doomed)
    assert not (home / "store").exists()
    fine = changed(home, dense, f"  - arm: last\n    steps: [{first}, FineTune: {{epochs: 0, tags: [O, B-PER]}}]")
    assert plan(fine)["trainings"] == 1  # as no epochs train nothing


def test_text_in_other_languages_is_warned_of_and_said_in_the_row(runner: Runner, home: Path) -> None:
    tiny_text(Path("text"))
    distil = "Distil: {epochs: 1, batch: 8, transfer: 20, student: [KeepLayers: {keep: [0]}]}"
    study = STUDY[: STUDY.index("  - arm: after")] + (
        f"  - arm: distilled\n    steps: [FineTune: {{epochs: 1, batch: 8}}, {distil}]\ntext: text\n"
    )
    for language in ("one", "two"):  # a corpus in files of its own tells its languages
        Path(f"corpora/{language}").mkdir(parents=True)
        for split, seed in (("train", 0), ("dev", 1), ("test", 2)):
            write(tiny_corpus(12, seed=seed).only(language), f"corpora/{language}/{split}.txt")
    Path("s.yaml").write_text(study.replace("corpus: corpus", "corpus: corpora"), encoding="utf-8")
    good = Runner(Study.read("s.yaml"), runner.store, runner.results)
    assert good.warnings == plan(good)["warnings"] == []
    good.run(["distilled"])
    (_, distilled) = good.results.rows()[0].trainings
    assert distilled.warning == ""
    assert distilled.consumes == good.data["corpora"].fingerprints()
    step = good.store.step(distilled.address)
    assert step["consumes"] == distilled.consumes

    for name in ("one", "two"):
        (Path("text") / f"{name}.txt").rename(Path("text") / f"{name}x.txt")
    odd = Runner(Study.read("s.yaml"), runner.store, Results(Path("results/odd")))
    said = "Distil reads text in onex, twox, as text has none in the train split's one, two"
    assert odd.warnings == plan(odd)["warnings"] == [said]
    odd = replace(odd, study=odd.study.model_copy(update={"name": "odd"}))
    odd.run(["distilled"])
    assert [t.warning for t in odd.results.rows()[0].trainings] == ["", said]
    assert [s["warning"] for s in plan(odd)["steps"]] == ["", said]


def test_a_plan_counts_what_teachers_read_and_what_is_read_of_text(runner: Runner, home: Path) -> None:
    tiny_text(Path("text"))

    def work(*steps: str) -> list[float]:
        blocks = "".join(f"  - arm: a{i}\n    steps: [{each}]\n" for i, each in enumerate(steps))
        Path("s.yaml").write_text(STUDY[: STUDY.index("  - arm: dense")] + blocks + "text: text\n", encoding="utf-8")
        document = plan(Runner(Study.read("s.yaml"), runner.store, runner.results))
        return [s["multiply_adds_to_do"] for s in document["steps"]]

    tune = "FineTune: {epochs: 1}"
    teacher, plain, hotter = work(f"{tune}, Distil: {{epochs: 1}}", f"{tune}, Distil: {{epochs: 1, temperature: 3.0}}")
    assert plain == pytest.approx(teacher * 4 / 3)
    assert hotter == teacher  # the teacher has answered
    (_, hidden) = work(f"{tune}, Distil: {{epochs: 2, soft: 0.0, hidden: 1.0}}")
    assert hidden == pytest.approx(2 * teacher * 4 / 3)
    (_, more, most) = work(
        f"{tune}, Distil: {{epochs: 2, soft: 0.0, hidden: 1.0, transfer: 50}}",
        f"{tune}, Distil: {{epochs: 2, soft: 0.0, hidden: 1.0, transfer: 100}}",
    )
    assert most - more == pytest.approx(more - hidden)
    once, _, twice, _ = work(
        f"DistilText: {{sentences: 50, epochs: 1}}, {tune}", f"DistilText: {{sentences: 50, epochs: 2}}, {tune}"
    )
    assert 0 < 2 * once == pytest.approx(twice)
    once, _, twice, _ = work(
        f"Pretrain: {{steps: 5, window: 32}}, {tune}", f"Pretrain: {{steps: 10, window: 32}}, {tune}"
    )
    assert 0 < 2 * once == pytest.approx(twice)


def test_a_step_may_tell_of_progress_before_it_trains(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Clock, "EVERY", 0.0)  # seconds are kept at once, as where a teacher reads for minutes
    before = FineTune.apply

    def slow(self: FineTune, tagger: Tagger, data: Data, work: Work) -> Tagger:
        work.progress("the teacher reads", 0, 1)
        return before(self, tagger, data, work)

    monkeypatch.setattr(FineTune, "apply", slow)
    runner.run(["dense"])
    assert len(runner.results.rows()) == 1


def test_recipes_may_start_from_other_bases(runner: Runner, home: Path) -> None:
    tiny_tagger("bert", "wordpiece", tags=()).save(home / "models" / "other")
    study = STUDY.replace(
        "  - arm: after", "  - arm: other\n    base: other\n    steps: [FineTune: {epochs: 1}]\n  - arm: after"
    )
    Path("s.yaml").write_text(study, encoding="utf-8")
    made = Runner(Study.read("s.yaml"), runner.store, runner.results)
    made.run(["dense", "other"])
    rows = {row.arm: row for row in made.results.rows()}
    assert {arm: row.recipe["base"] for arm, row in rows.items()} == {"dense": "encoder", "other": "other"}
    assert rows["dense"].base_digest != rows["other"].base_digest


def test_a_run_that_fails_before_it_has_a_row_leaves_no_results(
    runner: Runner, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(Path().rglob("*"))
    with monkeypatch.context() as patch:
        patch.setattr(Sparsify, "apply", lambda *_: pytest.fail("stopped"))
        with pytest.raises(pytest.fail.Exception):
            runner.run(["after"])
    assert set(Path().rglob("*")) == before
    Path("results").write_text("a file")
    with pytest.raises(DinkuError, match=r"results/small: can't be written \(Not a directory\)") as caught:
        runner.run(["after"])
    assert caught.value.status == 1
    Path("results").unlink()
    runner.run(["dense"])
    assert Study.read("results/small/study.json") == runner.study


def test_a_failed_step_is_kept_with_its_reason_and_the_rest_goes_on(
    runner: Runner, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def broken(self: Sparsify, tagger: Tagger, data: Data, work: Work) -> Tagger:
        tries.append(self.sparsity)
        if self.sparsity == 0.5:
            raise RuntimeError("a matrix\nthat can't be")
        return before(self, tagger, data, work)

    before = Sparsify.apply
    with monkeypatch.context() as patch:
        patch.setattr(Sparsify, "apply", broken)
        for attempts in (1, 2):
            with pytest.raises(
                DinkuError, match=r"results/small: 1 step failed, and 1 recipe lack.* can't be"
            ) as caught:
                runner.run()
            assert caught.value.status == 1
            (failure,) = Results(Path("results/small")).failures()
            assert (failure.recipe, failure.name, failure.attempts) == (
                "after sparsity=0.5 seed 0",
                "Sparsify",
                attempts,
            )
            assert failure.reason == "RuntimeError: a matrix that can't be"
            assert failure.address == runner.prepared[1].address
        assert {(row.arm, *row.values.values()) for row in runner.results.rows()} == {("dense",), ("after", 0.9)}
    assert tries == [0.5, 0.9, 0.5]  # tried once in each run
    runner.run()
    assert len(runner.results.rows()) == 3
    assert runner.results.failures() == []
    assert not Path("results/small/failures.jsonl").exists()


def test_a_recipe_that_fails_on_after_a_step_of_it_was_mended_is_told(
    runner: Runner, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no")

    with monkeypatch.context() as patch:
        patch.setattr(Sparsify, "apply", broken)
        with pytest.raises(DinkuError, match="Sparsify"):
            runner.run()
    with monkeypatch.context() as patch:
        patch.setattr(Runner, "_evaluate", broken)
        with pytest.raises(DinkuError, match=r"2 steps failed, and 2 recipes lack rows .*tagging"):
            runner.run()
    runner.run()
    assert len(runner.results.rows()) == 3


def test_what_recipes_share_fails_once_for_all(runner: Runner, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    def broken(self: FineTune, tagger: Tagger, data: Data, work: Work) -> Tagger:
        tries.append(self)
        raise DinkuError("diverged", where="FineTune", remedy="lower the rate", status=1)

    monkeypatch.setattr(FineTune, "apply", broken)
    with pytest.raises(DinkuError, match=r"1 step failed, and 3 recipes lack .*diverged; lower the rate"):
        runner.run()
    assert len(tries) == 1


def test_what_the_system_refuses_stops_the_run(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: FineTune, tagger: Tagger, data: Data, work: Work) -> Tagger:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "weights")

    monkeypatch.setattr(FineTune, "apply", full)
    with pytest.raises(OSError, match="No space left"):
        runner.run()
    assert not Path("results").exists()

    def disguised(self: FineTune, tagger: Tagger, data: Data, work: Work) -> Tagger:
        raise RuntimeError("write failed")

    monkeypatch.setattr(FineTune, "apply", disguised)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=100))
    with pytest.raises(DinkuError, match=r"store: has no room left .*; free some space") as caught:
        runner.run()
    assert caught.value.status == 1
    assert not Path("results").exists()


def test_a_step_that_can_not_fit_is_refused_before_it_starts(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = runner.prepared[0].shapes
    learnt = after.parameters - after.parts["word embeddings"]
    needed = memory_needed(runner.prepared[0].recipe.steps[0], before, after)
    assert needed == before.bytes + after.bytes + 12 * learnt
    assert memory_needed(Sparsify(0.5), before, after) == before.bytes + after.bytes
    with monkeypatch.context() as patch:
        patch.setattr("dinku.machine.memory_bytes", lambda: needed - 1)
        patch.setattr(FineTune, "apply", lambda *_: pytest.fail("it was started"))
        with pytest.raises(DinkuError, match=r"needs 0\.0 GB of memory at least, and there are 0\.0"):
            runner.run(["dense"])
    (failure,) = runner.results.failures()
    assert "run it on a machine that has more" in failure.reason
    runner.run(["dense"])
    assert memory_bytes() > 1e8


def test_a_plan_does_without_an_encoder_of_published_shape(runner: Runner, home: Path) -> None:
    def planned(name: str, text: str = "") -> dict[str, Any]:
        study = STUDY.replace("base: encoder", f"base: {name}") + text
        Path("s.yaml").write_text(study, encoding="utf-8")
        made = Runner(Study.read("s.yaml"), runner.store, runner.results, planning=True)
        return plan(made)

    document = planned("castorini/afriberta_large")
    tags = document["steps"][0]["parameters"] - 125_045_768  # PAPER's 125.05 M has nine tags
    assert document["steps"][0]["bytes"] == 4 * document["steps"][0]["parameters"]
    assert abs(tags) < 10 * 769
    assert document["warnings"] == ["castorini/afriberta_large isn't here: sizes are as it was published"]
    assert document["gpu_hours"] > 0
    with pytest.raises(DinkuError, match="no such folder"):
        planned("castorini/unknown")
    Path("s.yaml").write_text(STUDY.replace("base: encoder", "base: castorini/afriberta_large"), encoding="utf-8")
    with pytest.raises(DinkuError, match="no such folder"):
        Runner(Study.read("s.yaml"), runner.store, runner.results).run()


def test_each_base_is_timed_against_its_own_reference(runner: Runner, home: Path) -> None:
    tiny_tagger("bert", "wordpiece", tags=()).save(home / "models" / "other")
    more = (
        "  - arm: dense\n    base: other\n    steps: [FineTune: {epochs: 1, batch: 8}]\n"
        "  - arm: after\n    base: other\n    steps: [FineTune: {epochs: 1, batch: 8}, Sparsify: {sparsity: 0.5}]\n"
        "latency: {reference: dense, sentences: 1, rounds: 2}\n"
    )
    both = made(home, more)
    both.run()
    dense = {p.recipe.base: p.address for p in both.prepared if p.entry.arm == "dense"}
    timed = {(row.recipe["base"], row.latency.reference) for row in both.results.rows() if row.latency}
    assert timed == set(dense.items())


def test_a_plan_tells_steps_by_the_fields_that_were_asked_for(runner: Runner, home: Path) -> None:
    steps = "FineTune: {epochs: 1, batch: 8}, Sparsify: {sparsity: $sparsity}"
    more = "FineTune: {rate: 0.001}, Sparsify: {sparsity: $sparsity, embeddings: true}, KeepLayers: {keep: [0]}"
    more += ", TrimVocabulary: {size: 70, scripts: [Latin, Ethiopic]}"
    names = [step["name"] for step in plan(changed(home, steps, more))["steps"]]
    assert "FineTune (rate 0.001, batch 16, warmup 0.0, epochs 50, seed 0)" in names
    assert "Sparsify (sparsity 0.5, embeddings True)" in names
    assert names.count("KeepLayers (keep 0)") == 2
    assert names.count("TrimVocabulary (size 70, scripts Latin Ethiopic)") == 2


def test_size_counts_weights_and_files(tmp_path: Path) -> None:
    tagger = Sparsify(0.5).apply(tiny_tagger(), Data(), Work())
    folder = tagger.save(tmp_path / "t")
    size = size_of(Tagger.load(folder), folder)
    assert size.parameters == tagger.shape.parameters
    assert size.linear == sum(tagger.shape.weights(embeddings=False))
    assert size.linear_nonzero == size.linear - round(size.linear / 2)
    assert size.bytes_disk > size.bytes_download > 0


def test_the_clock_goes_on_where_a_kill_left_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    first = Clock(tmp_path / "seconds")
    now += 4
    first.keep()
    assert not first.file.exists()  # not at every step
    now += 4
    first.keep()
    now += 2  # killed before it was kept again
    second = Clock(tmp_path / "seconds")
    now += 1
    assert second.seconds == pytest.approx(8 + 1)


QUANTIZED = """
  - arm: int8
    steps: [FineTune: {epochs: 1, batch: 8}, QuantizeLLMInt8: {}]
  - arm: dynamic
    steps: [FineTune: {epochs: 1, batch: 8}, QuantizeDynamic: {}]
latency: {reference: dense, sentences: 3, rounds: 2}
"""


def test_quantized_arms_are_stored_timed_and_say_how_they_compute(runner: Runner, home: Path) -> None:
    runner = made(home, QUANTIZED)
    declared = {step["name"]: step["bytes"] for step in plan(runner)["steps"]}
    runner.run(["dense", "int8", "dynamic"])
    rows = runner.results.rows()
    quality = {row.arm: row for row in rows if row.kind == "quality"}
    assert quality["dense"].numerics is None
    assert "numerics" not in quality["dense"].model_dump_json(exclude_none=True)
    dense = quality["dense"].size
    for arm, name in (("int8", "QuantizeLLMInt8"), ("dynamic", "QuantizeDynamic")):
        row = quality[arm]
        assert row.numerics is not None
        assert (row.numerics.sentences, row.trainings) == (12, quality["dense"].trainings)
        assert row.size is not None
        assert dense is not None
        assert (row.size.parameters, row.size.linear) == (dense.parameters, dense.linear)
        assert row.size.bytes_disk < dense.bytes_disk
        assert declared[name] == Tagger.load(runner.store.tagger(row.address)).shape.bytes
    assert {row.arm for row in rows if row.kind == "latency"} == {"int8", "dynamic"}


def test_a_step_after_quantization_is_refused_before_anything_runs(runner: Runner, home: Path) -> None:
    bad = "  - arm: bad\n    steps: [FineTune: {epochs: 1}, QuantizeDynamic: {}, Sparsify: {sparsity: 0.5}]\n"
    with pytest.raises(DinkuError, match=r"Sparsify: can't change a quantized tagger .*: that step comes last"):
        plan(made(home, bad))
    assert not (home / "store").exists()


def test_each_perturbation_of_each_corpus_is_a_row_of_its_own(runner: Runner, home: Path) -> None:
    runner.run(["dense"])
    (clean,) = runner.results.rows()
    assert clean.target is not None
    test, train = read("corpus/test.txt", language="corpus"), read("corpus/train.txt", language="corpus")
    names = {" ".join(s.words[p.start : p.end]).casefold() for s in train for p in spans(s.tags or ())}
    own = [" ".join(s.words[p.start : p.end]).casefold() for s in test for p in spans(s.tags or ())]
    assert (clean.target.words, clean.target.types) == (test.words, len({w.casefold() for s in test for w in s.words}))
    assert (clean.target.names, clean.target.new_names) == (len(own), sum(name not in names for name in own))
    assert (clean.target.train_sentences, clean.target.trained, clean.seen) == (12, ("corpus",), True)
    assert clean.perturbation == ""

    noisy = made(
        home, "perturb: [slips:0.5, lower:0, slips:0.5]\nlatency: {reference: dense, sentences: 3, rounds: 2}\n"
    )
    missing = [len(noisy.missing(p)) for p in noisy.prepared]
    assert missing == [2, 3, 3]  # the clean row is there, and the same perturbation counts once
    noisy.run()
    rows = noisy.results.rows()
    assert len(rows) == 9 + 2  # perturbed text isn't timed
    assert [len(noisy.missing(p)) for p in noisy.prepared] == [0, 0, 0]
    dense = {row.perturbation: row for row in rows if row.arm == "dense"}
    assert set(dense) == {"", "slips:0.5", "lower:0"}
    assert len({row.counts_file for row in rows}) == 9 + 2
    slips, same = dense["slips:0.5"], dense["lower:0"]
    assert slips.changed is not None
    assert 0 < slips.changed <= 12
    assert slips.fingerprint != clean.fingerprint
    assert (same.changed, same.fingerprint, same.spans) == (0, clean.fingerprint, clean.spans)
    assert {row.corpus for row in dense.values()} == {clean.corpus}
    golds = {c.table()[..., 0].sum() for c in map(noisy.results.counts, dense.values())}
    assert golds == {clean.target.names}
    again = made(home, "perturb: [slips:0.5, lower:0]\n")  # the same sentences are perturbed alike at any time
    assert [len(again.missing(p)) for p in again.prepared] == [0, 0, 0]

    with pytest.raises(DinkuError, match=r"perturb is \['noise'\]; give one of diacritics, slips"):
        made(home, "perturb: [noise]\n")
    zeroshot = made(home, "perturb: [entities]\nevaluate: [other.txt]\n")
    write(tiny_corpus(6, seed=3), "other.txt")
    with pytest.raises(DinkuError, match=r"other.*: perturbation 'entities': needs names; evaluate on dev or test"):
        zeroshot.run()


def test_recipes_of_other_corpora_are_tagged_on_all_targets(runner: Runner, home: Path) -> None:
    """A matrix of sources and targets, with a language that none was trained on and lacks a label."""
    for language, seed in (("one", 0), ("two", 5), ("far", 9)):
        Path(f"corpora/{language}").mkdir(parents=True)
        for number, split in enumerate(("train", "dev", "test")):
            part = tiny_corpus(12, seed=seed + number)
            kept = [s for s in part if language != "far" or "B-PER" not in (s.tags or ())]
            write(kept, f"corpora/{language}/{split}.txt")
    study = STUDY[: STUDY.index("recipes:")].replace("corpus: corpus", "corpus: corpora/one") + (
        "evaluate: [corpora/one, corpora/two, corpora/far]\nrecipes:\n"
        "  - arm: source\n    corpus: $source\n    grid: {source: [corpora/one, corpora/two]}\n"
        "    steps: [FineTune: {epochs: 1, batch: 8}]\n"
    )
    Path("s.yaml").write_text(study, encoding="utf-8")
    matrix = Runner(Study.read("s.yaml"), runner.store, runner.results)
    document = plan(matrix)
    assert (document["trainings"], document["trainings_unshared"]) == (2, 2)
    matrix.run()
    rows = matrix.results.rows()
    assert {(row.recipe["corpus"], row.language): row.seen for row in rows} == {
        (f"corpora/{source}", target): source == target for source in ("one", "two") for target in ("one", "two", "far")
    }
    assert len({row.address for row in rows}) == 2
    assert {row.values["source"] for row in rows} == {"corpora/one", "corpora/two"}
    for row in rows:
        assert row.target is not None
        assert row.target.trained == (str(row.recipe["corpus"]).removeprefix("corpora/"),)
    assert {tuple(row.spans["default"]) for row in rows if row.spans and row.language != "far"} == {("LOC", "PER")}
    Path("corpora/far/test.txt").write_bytes(Path("corpora/two/train.txt").read_bytes())
    mixed = Runner(Study.read("s.yaml"), runner.store, runner.results)
    Path("corpora/two/test.txt").write_bytes(Path("corpora/two/train.txt").read_bytes())
    with pytest.raises(DinkuError, match="evaluates on what it learns from: corpora/two test is its train split"):
        mixed.run()


def test_the_old_rows_of_the_committed_study_are_complete_and_read_as_they_were() -> None:
    """No row of it tells what it was perturbed by, or what its language was to the tokenizer."""
    root = Path(__file__).parent.parent.parent
    results = Results(root / "results" / "pruning-cpu")
    rows = results.rows()
    assert len(rows) == 300
    assert all(row.seen and not row.perturbation and row.target is None for row in rows)
    keys = {(row.address, row.language) for row in rows if row.kind == "quality" and results.has_counts(row)}
    recipes = list(Study.read(root / "studies" / "pruning-cpu.yaml").entries())
    assert len(keys) == 4 * len(recipes)
    arms = {(row.arm, str(row.values), row.seed) for row in rows if row.kind == "quality"}
    assert arms == {(e.arm, str(e.values), e.recipe.seed) for e in recipes}


@pytest.mark.shared
def test_the_old_rows_are_complete_for_the_study_with_its_real_base_and_corpus(shared: Path, home: Path) -> None:
    """With the base's digest as the rows have it, as the base itself is made elsewhere."""
    root = Path(__file__).parent.parent.parent
    study, results = Study.read(root / "studies" / "pruning-cpu.yaml"), Results(root / "results" / "pruning-cpu")
    tiny_tagger(tags=()).save(home / "models" / "e5-small-4")  # whose shape enters no address
    runner = Runner(study, Store(home / "store"), results)
    digest = next(row.base_digest for row in results.rows())
    runner.bases["e5-small-4"] = replace(runner.bases["e5-small-4"], digest=digest)
    assert [p.title for p in runner.prepared if runner.missing(p)] == []


def test_what_was_found_is_kept_and_told_apart_without_the_model(runner: Runner, home: Path) -> None:
    noisy = made(home, "perturb: [slips:0.5]\nsentences: 8\n")
    noisy.run(["dense"])
    results, test = noisy.results, read("corpus/test.txt", language="corpus", split="test")
    sample = test.sample(8, seed=0)
    tagger = Tagger.load(noisy.store.tagger(noisy.prepared[0].address))
    for row in results.rows():
        corpus = Perturbation.named(row.perturbation).apply(sample) if row.perturbation else sample
        found = tagger.tag(corpus.sentences)
        answers = results.answers(row)
        assert answers is not None
        assert answers.found == tuple(t.tags for t in found)
        told, direct = (calibration_error(answers.gold, taggings) for taggings in (tagged(answers), found))
        assert told == pytest.approx(direct, abs=2e-3)
        file = results.folder / "answers" / row.counts_file
        Answers.of(answers.gold, answers.gold, answers.scores).save(file)
        with pytest.raises(DinkuError, match="doesn't add up to its row"):
            results.answers(row)
        file.unlink()
        assert results.answers(row) is None


def test_a_report_is_of_what_the_study_now_says_and_names_the_rest(runner: Runner, home: Path) -> None:
    """As where a train file changes in place: the old rows are as many as the new, or more, and either may come first by hash."""

    def reported() -> tuple[list[str], str]:
        text = next(path for path in write_report(runner.study, runner.results, Path("out")) if path.suffix == ".md")
        now, _, rest = text.read_text().partition("## Outdated")
        return re.findall(r"^\| (dense|after .*?) \| (\S+)", now.partition("## F1")[2], re.M), rest

    runner.run()
    first = read("corpus/train.txt", language="corpus").fingerprint
    assert reported()[1] == ""
    assert Current.read(runner.results.folder).whole
    for seed, only in ((5, ["dense"]), (6, ["dense"]), (0, [])):  # the last is the first again
        write(tiny_corpus(12, seed=seed), "corpus/train.txt")
        made(home).run(only)
        now, others = standing(runner.results)
        learnt = {each.consumes["train"] for row in now for each in row.trainings}
        assert learnt == {made(home).data["corpus"].train.fingerprint}  # type: ignore[union-attr]
        assert {*others} == {"another train split"}
    assert learnt == {first}
    assert len(now) == 3
    _, rest = reported()
    assert "### another train split\n\n2 rows." in rest
    found = records.records(runner.results.rows(), {"small": Current.read(runner.results.folder)})
    assert Counter(each["outdated"] for each in found) == {"": 3, "another train split": 2}


def test_what_else_may_change_under_a_name_is_told(runner: Runner, home: Path) -> None:
    def others(runner: Runner) -> dict[str, int]:
        runner.run(["dense"])
        return {otherwise: len(rows) for otherwise, rows in standing(runner.results)[1].items()}

    assert others(runner) == {}
    write(tiny_corpus(12, seed=7), "corpus/test.txt")
    assert others(made(home)) == {"other test sentences": 1}
    longer = changed(home, "dense\n    steps: [FineTune: {epochs: 1", "dense\n    steps: [FineTune: {epochs: 2")
    assert others(longer) == {"other steps": 1, "other steps, other test sentences": 1}
    shutil.rmtree(home / "models" / "encoder")
    tiny_tagger("bert", tags=()).save(home / "models" / "encoder")
    assert others(made(home)) == {
        "another base": 1,
        "another base, other steps": 1,
        "another base, other test sentences": 1,
    }
    # A study that no run has kept anything of, as rows of older versions of dinku, is told by its rows alone.
    Path("results/small/current.json").unlink()
    assert standing(runner.results)[1] == {}
    Path("results/small/current.json").write_text("{")
    with pytest.raises(DinkuError, match=r"results/small/current.json: is damaged"):
        standing(runner.results)


def test_a_plan_says_the_numbers_that_a_training_leaves_open(runner: Runner, home: Path) -> None:
    """They are `suited` to the encoder as it then is; beside a rate that is given the rest is AfriBERTa's, as it ever was."""
    steps = "FineTune: {epochs: 1, batch: 8}"
    left = changed(home, f"    steps: [{steps}]", "    steps: [KeepLayers: {keep: [1]}, FineTune: {}]")
    (after,) = {p.recipe.steps[-1] for p in left.prepared if p.entry.arm == "dense"}
    assert isinstance(after, FineTune)
    assert after == FineTune(60, rate=3e-4, batch=8, warmup=0.1, tags=after.tags)
    names = [step["name"] for step in plan(left)["steps"]]
    assert names[1] == "FineTune (rate 0.0003, batch 8, warmup 0.1, epochs 60, seed 0)"
    given = changed(home, f"    steps: [{steps}]", "    steps: [FineTune: {rate: 5.0e-5}]")
    same = changed(
        home, f"    steps: [{steps}]", "    steps: [FineTune: {rate: 5.0e-5, batch: 16, epochs: 50, warmup: 0}]"
    )
    assert given.prepared[0].addresses == same.prepared[0].addresses
    student = "Distil: {batch: 4, student: [KeepLayers: {keep: [1]}]}"
    taught = changed(home, f"    steps: [{steps}]", f"    steps: [{steps}, {student}]")
    said = "Distil (rate 0.0003, batch 4, warmup 0.1, epochs 60, student KeepLayers (keep 1), seed 0)"
    assert plan(taught)["steps"][1]["name"] == said


def test_recipes_that_find_nothing_are_named(runner: Runner, home: Path) -> None:
    mute = tiny_tagger()
    mute.model.classifier.weight.data.zero_()
    mute.model.classifier.bias.data = (torch.arange(len(mute.tags)) == mute.tags.index("O")).float()
    mute.save(home / "models" / "mute")
    tiny_tagger().save(home / "models" / "talking")
    blocks = "".join(
        f"  - {{arm: {name}, base: {name}, steps: [Sparsify: {{sparsity: 0.0}}]}}\n" for name in ("mute", "talking")
    )
    Path("s.yaml").write_text(STUDY.partition("recipes:")[0] + "recipes:\n" + blocks)
    both = Runner(Study.read("s.yaml"), runner.store, runner.results)
    assert both.silent(both.prepared) == ""  # as nothing is known yet
    both.run()
    assert both.silent(both.prepared) == f"1 recipe finds nothing, not one entity (mute seed 0); {LEARN_MORE}"
    assert both.silent(both.chosen(["talking"])) == ""


IN_MEMORY = """
name: small
title: T
base: encoder
corpus: corpus
recipes:
  - arm: all
    steps:
      - TrimVocabulary: {size: 40}
      - FineTune: {epochs: 1, batch: 8}
      - Sparsify: {sparsity: 0.5}
      - FineTune: {epochs: 1, batch: 8}
      - KeepLayers: {layers: 1}
  - {arm: half, steps: [FineTune: {epochs: 1, batch: 8}, QuantizeLLMInt8: {rest: float16}]}
  - {arm: dynamic, steps: [FineTune: {epochs: 1, batch: 8}, QuantizeDynamic: {}]}
"""


def test_a_tagger_in_memory_is_the_one_that_would_be_read_back(
    runner: Runner, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("s.yaml").write_text(IN_MEMORY, encoding="utf-8")
    read_back = Counter[str]()
    opened = open_tagger

    def noted(folder: Any, **how: Any) -> Any:
        read_back[folder.path.name] += 1
        return opened(folder, **how)

    monkeypatch.setattr(steps_module, "open_tagger", noted)
    found = []
    for name in ("in memory", "read back"):
        if name == "read back":
            monkeypatch.setattr(Runner, "_keep_in_memory", lambda self, taggers: None)
        one = Runner(Study.read("s.yaml"), Store(home / name), Results(Path("results", name, "small")))
        one.run()
        digests = [Tagger.load(one.store.tagger(a)).digest for p in one.prepared for a in p.addresses[1:]]
        files = {
            p.relative_to(home / name): p.read_bytes() for p in (home / name).glob("*/*/tagger/**/*") if p.is_file()
        }
        found.append((facts(one.results), digests, read_back.copy(), files))
        read_back.clear()
    assert found[0][1] == found[1][1]
    assert found[0][0] == found[1][0]
    assert found[0][3] == found[1][3]
    assert len(found[0][0]) == 3
    assert (found[0][2]["tagger"], found[1][2]["tagger"]) == (0, 9)
