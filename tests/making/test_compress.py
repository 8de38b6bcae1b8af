"""A tagger compressed to a budget: the space, the plan, the search and what it ends with."""

from __future__ import annotations

import csv
import json
import re
import shutil
import time as clock
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from made_taggers import small_corpus, taught
from made_tasks import CLASSES, TAGS, corpus_folder, labelled

import dinku as package
from dinku.data.task import Task
from dinku.making import compress as searching
from dinku.making import costs, students
from dinku.making import plan as planning
from dinku.making import search as search_
from dinku.making.budget import Budget, quantity
from dinku.making.compress import compress, planned
from dinku.making.costs import Timings, Trend
from dinku.making.outcome import Tried
from dinku.making.request import Request, SearchSettings
from dinku.making.search import Late, Search
from dinku.making.students import FAMILIES, evenly, every, first, reads
from dinku.making.table import Scored
from dinku.method import Data, Work
from dinku.methods.finetune import FineTune
from dinku.methods.words import StartWords
from dinku.model.bundle import Bundle
from dinku.model.folder import ModelFolder
from dinku.model.shape import Layer, Shape
from dinku.model.store import Store
from dinku.progress import silent
from dinku.study.definition import Study
from dinku.testing import tiny_corpus, tiny_tagger

Command = Callable[..., tuple[int, str, str]]

TWELVE = Shape("bert", 34_830, 512, 2, 384, (Layer(12, 32, 1536),) * 12, 9, 0, (0, 0))
TIMINGS = Timings(
    answer=1e-4,
    training={family: Trend(fixed=1e-4, each=1e-10) for family in FAMILIES},
    batched={"words": Trend(fixed=1e-4, each=1e-10), "transformer": Trend(fixed=1e-1, each=1e-10)},
    single={family: Trend(fixed=1e-3, each=1e-10) for family in FAMILIES},
    making=dict.fromkeys(FAMILIES, 1.0),
    seconds=0.0,
)


def test_limits_are_read_with_their_units() -> None:
    budget = Budget(size="12 MiB", keep="95%", keep_worst=0.9, speed="500/s", latency="5ms")
    assert (budget.size, budget.keep, budget.keep_worst) == (12 * 2**20, 0.95, 0.9)
    assert (budget.speed, budget.latency) == (500, 0.005)
    assert [quantity(text, "time", where="") for text in ("2h", "90 min", "30s", 5)] == [7200, 5400, 30, 5]
    assert repr(Budget()) == "Budget(F1 kept at least 95.0 %)"
    for name, text in (("size", "12XB"), ("size", "-3MB"), ("speed", "fast"), ("latency", "0ms"), ("keep", "120%")):
        with pytest.raises(package.DinkuError, match=rf"{name}: is '.*'; give"):
            Budget(**{name: text})


def test_a_missed_limit_says_how_far_it_is_to_be_relaxed() -> None:
    budget = Budget(size="12MB", keep="95%", speed="500/s", latency="5ms")
    measured = {"size": 14.2e6, "keep": 0.93, "speed": 400, "latency": 0.004}
    missed = budget.misses(measured)
    assert [miss.limit.name for miss in missed] == ["size", "keep", "speed"]
    relaxed = [miss.relaxed for miss in missed]
    assert relaxed == ["--max-size 14.3MB", "--keep 92.5%", "--min-speed 398/s"]
    looser = Budget(size="14.3MB", keep="92.5%", speed="398/s", latency="5ms")
    assert looser.misses(measured) == []


def test_the_space_has_both_kinds_and_every_student_is_declared() -> None:
    whole = list(every(TWELVE, FAMILIES))
    assert len({student.name for student in whole}) == len(whole) > 500
    assert {student.family for student in whole} == {*FAMILIES}
    sizes = [student.int8.bytes for student in whole]
    assert min(sizes) < 0.5e6
    assert max(sizes) > 30e6
    within = [student for student in whole if student.int8.bytes < 8e6]
    chosen = first(within, 6)
    assert len(chosen) == 6
    assert chosen[0].family == "words"
    assert chosen[1].family == "transformer"
    assert isinstance(chosen[0].methods()[0], StartWords)
    assert evenly(3, 12) == (0, 6, 11) or evenly(3, 12)[1] in (5, 6)


def test_each_level_reads_more_and_nothing_but_the_data_decides_how_much() -> None:
    for family in FAMILIES:
        for text in (0, 10_000, 200_000):
            amounts = [reads(family, level, train=4000, text=text, batch=16).sentences(4000) for level in range(4)]
            assert amounts == sorted(set(amounts))
    assert reads("transformer", 1, train=50, text=0, batch=8).epochs > 6  # few sentences want steps


def test_a_line_through_two_points_neither_falls_nor_begins_below_zero() -> None:
    assert Trend.through([(10, 2.0), (20, 3.0)]).at(30) == 4.0
    assert Trend.through([(10, 3.0), (20, 2.0)]).at(30) == 3.0
    steep = Trend.through([(10, 1.0), (20, 4.0)])
    assert (steep.fixed, steep.at(20)) == (0.0, 4.0)


@pytest.fixture
def small_space(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "measured", lambda *_, **__: TIMINGS)
    words = {"rows": (100, 200, 400), "width": (8, 16), "depth": (1, 2), "grams": (False,)}
    monkeypatch.setattr(students, "_WORDS", words)


def test_a_plan_trains_nothing_and_keeps_to_its_time(dinku: Command, home: Path, small_space: None) -> None:
    taught(home / "models" / "tagger", epochs=0)
    small_corpus(Path("mine"))
    status, out, err = dinku("compress", "tagger", "--corpus", "mine", "--min-speed", "500/s", "--plan", "--json")
    document = json.loads(out)
    assert (status, document["schedule"]) == (0, [8, 3, 1])
    assert document["fitting"] == {"words": 12, "transformer": 0}
    assert not (home / "store").exists()
    status, out, err = dinku("compress", "tagger", "--corpus", "mine", "--max-latency", "10ms", "--plan")
    assert status == 0
    assert "12 of 12 word networks" in out
    assert "without --text, students only learn from the tagged sentences" in err
    long, short = (planned(Request.of("tagger", "mine", settings=SearchSettings(time=time))) for time in ("10h", "1s"))
    assert (len(long.schedule), long.schedule[0] > 12, short.schedule) == (4, True, (1,))
    assert "more than --time leaves" in short.notes[-1]
    status, _, err = dinku("compress", "tagger", "--corpus", "mine", "--min-speed", "1000000/s", "--out", "none")
    assert (status, Path("none").exists()) == (1, False)
    assert re.search(r"no student can keep it; the nearest, a word network, .*; relax it to --min-speed \d+/s\n$", err)


def test_a_search_that_is_late_stops_what_goes_on_once_it_has_something(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path, small_space: None
) -> None:
    monkeypatch.chdir(tmp_path)
    taught(home / "models" / "tagger", epochs=0)
    small_corpus(Path("mine"))
    what = replace(Request.of("tagger", "mine", settings=SearchSettings(time="60s")), began=clock.monotonic() - 59)
    search = Search(what, planned(what), silent)
    first_, last = (search._reporting("stage", "study", last=each) for each in (False, True))
    first_("distilling", 1, 2)
    student = search.plan.fitting[0]
    made = Tried(student, 0, Scored("dev", {}), {}, "", (), False, Path())
    search.tried[student.name, 0] = made
    last("distilling", 1, 2)
    with pytest.raises(Late):
        first_("distilling", 1, 2)
    search.tried["int8", 0] = replace(made, final=True)
    last("distilling", 1, 2)
    late = replace(search, request=replace(what, began=clock.monotonic() - 64))
    with pytest.raises(Late):
        late._reporting("stage", "study", last=True)("distilling", 1, 2)


@pytest.mark.slow
def test_a_search_from_start_to_end(
    dinku: Command, home: Path, small_space: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped and continued, then longer, then for what nothing keeps; its study makes the same bundle."""
    monkeypatch.setattr(planning, "_EFFORTS", {"quick": (2,), "default": (3, 1)})
    monkeypatch.setattr(search_, "_MORE", 1)
    taught(home / "models" / "tagger", epochs=6)
    small_corpus(Path("mine"))
    made: list[str] = []
    finish = Store.finish

    def noted(self: Store, address: str, step: dict[str, Any]) -> None:
        finish(self, address, step)
        made.append(address)

    monkeypatch.setattr(Store, "finish", noted)
    budget, how = Budget(speed="500/s", keep="50%"), {"effort": "quick", "out": "small", "threads": 1}

    def stopped(what: str, done: int, total: int) -> None:
        if len(made) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compress("tagger", "mine", budget, progress=stopped, **how)  # type: ignore[arg-type]
    assert not Path("small").exists()
    result = compress("tagger", "mine", budget, **how)  # type: ignore[arg-type]
    assert len(made) == len(set(made)), "what was made before the stop was made again"
    final, folder = result.chosen, Path("small")
    assert final.student.family == "words"
    assert not result.missed
    assert final.scored.f1 == max(t.scored.f1 for t in result.tried if t.final)
    bundle = Bundle.open(str(folder), threads=1)
    test = package.load("mine", "test")
    assert bundle.evaluate(test.only("one")).scores().f1 == pytest.approx(result.test.by_language["one"])
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert f"and least in **{next(iter(result.test.kept(result.dense_test)))}**" in card
    assert "## What was lost" in card
    assert "The tagger learned from" in card
    assert "It is a word network, which only knows the languages that it was trained on" in card
    beside = Path("small-search")
    assert {path.name for path in beside.iterdir()} == {"study.yaml", "students.csv", "front.svg", "front.png"}
    lines = list(csv.DictReader((beside / "students.csv").read_text().splitlines()))
    assert len(lines) == len(result.tried)
    assert "<svg" in (beside / "front.svg").read_text()
    assert "<caption>Compressed(small: word network" in result._repr_html_()

    before = len(made)
    study = Study.read(beside / "study.yaml")
    assert [block.arm for block in study.recipes] == ["dense", "small"]
    status, out, _ = dinku("run", beside / "study.yaml")
    assert (status, len(made)) == (0, before), "the study made something that the search hadn't"
    assert final.address[:8] in out
    stored = ModelFolder(Store(home / "store").tagger(final.address))
    assert stored.digest == ModelFolder(folder).digest

    longer = compress("tagger", "mine", budget, effort="default", threads=1)
    assert {t.address for t in result.tried if not t.final} <= {t.address for t in longer.tried}
    assert len(made) == len(set(made))
    assert longer.folder == longer.chosen.folder

    status, _, err = dinku(
        *("compress", "tagger", "--corpus", "mine", "--min-speed", "500/s", "--effort", "quick"),
        *("--keep", "100%", "--out", "none", "--threads", "1"),
    )
    kept = result.chosen.facts["keep"] >= 1
    assert (status, Path("none").exists()) == ((0, True) if kept else (1, False))
    if not kept:
        assert "missed on dev; the nearest is a word network" in err
        assert re.search(r"relax it to --keep \d+\.\d%", err)
    status, _, err = dinku("compress", "tagger", "--corpus", "mine", "--out", "small")
    assert (status, "small: already exists" in err) == (2, True)


def test_labels_that_the_tagger_does_not_know_are_told_with_a_remedy(home: Path, small_space: None) -> None:
    taught(home / "models" / "tagger", epochs=0)
    with pytest.raises(
        package.DinkuError, match=r"tagger: doesn't know DATE, ORG, .*; train it first: dinku train tagger"
    ):
        planned(Request.of("tagger", "sample:hau"))


def test_labels_on_one_side_alone_are_named(home: Path, small_space: None) -> None:
    tags = package.load("sample:hau", "train").tags
    tagger = home / "models" / "tagger"

    def ask(labels: str = "") -> Request:
        return Request.of("tagger", "sample:hau", settings=SearchSettings(labels=labels))

    def named(**names: str) -> None:
        shutil.rmtree(tagger, ignore_errors=True)
        tiny_tagger(tags=[f"{tag[:2]}{names.get(tag[2:], tag[2:])}" for tag in tags]).save(tagger)

    named(PER="PERSON")
    wanted = r"doesn't know PER, which sample:hau has, and knows PERSON, which that lacks; .* --labels PERSON=PER$"
    with pytest.raises(package.DinkuError, match=wanted):
        planned(ask())
    assert not any("only the model" in note for note in planned(ask("PERSON=PER")).notes)
    named(**{label: f"{label}X" for label in ("DATE", "LOC", "ORG", "PER")})
    with pytest.raises(package.DinkuError, match=r"aren't those of sample:hau, .* --labels DATEX=DATE,LOCX=LOC,"):
        planned(ask())
    shutil.rmtree(tagger)
    tiny_tagger(tags=[*tags, "B-MISC", "I-MISC"]).save(tagger)
    notes = planned(ask()).notes
    assert [note for note in notes if "only the model has MISC" in note and "(--labels MISC= drops it)" in note]
    assert not any("MISC" in note for note in planned(ask("MISC=")).notes)


def test_a_bundle_is_refused_with_a_remedy(tiny_bundle: Callable[..., Path]) -> None:
    with pytest.raises(package.DinkuError, match=r"is a bundle, from which a search can't start; name the tagger that"):
        planned(Request.of(tiny_bundle(), "sample:hau"))


def test_a_corpus_too_small_for_int8_is_refused_before_work(tmp_path: Path, home: Path, small_space: None) -> None:
    taught(home / "models" / "tagger", epochs=0)
    small_corpus(tmp_path / "mine", sentences=60)
    with pytest.raises(
        package.DinkuError, match=r"mine: has 60 train sentences, too few to compress with; int8 is cal"
    ):
        planned(Request.of("tagger", tmp_path / "mine"))


@pytest.mark.slow
def test_a_machine_is_measured_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = {"rows": (100, 200, 400), "width": (8, 16), "depth": (1, 2), "grams": (False,)}
    monkeypatch.setattr(students, "_WORDS", words)
    tagger, data = taught(home / "models" / "tagger", epochs=1)
    timings = costs.measured(tagger, data, ["words"], engine="onnxruntime", threads=1)
    assert min(timings.answer, timings.making["words"], timings.training["words"].at(1e6)) > 0
    assert timings.batched["words"].at(1e5) <= timings.single["words"].at(1e5) * 1.5
    monkeypatch.setattr(costs, "_timed", lambda *_: pytest.fail("it was measured again"))
    assert costs.measured(tagger, data, ["words"], engine="onnxruntime", threads=1) == timings


@pytest.mark.slow
@pytest.mark.parametrize("task", [TAGS, CLASSES], ids=lambda task: task.name)
def test_other_tasks_are_compressed_too(
    task: Task, home: Path, small_space: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(planning, "_EFFORTS", {"quick": (1,)})
    monkeypatch.setattr(search_, "_MORE", 1)
    name = corpus_folder(tmp_path / "mine", task, sentences=200)
    base, data = tiny_tagger(tags=()), Data(labelled(tiny_corpus(100), task))
    step = FineTune(epochs=2, rate=1e-2, batch=16).resolve(base, data)
    step.apply(base, data, Work(threads=1)).save(home / "models" / "tagger")
    out = tmp_path / "small"
    made = compress("tagger", name, Budget(keep="10%"), effort="quick", out=out, threads=1)
    assert task is TAGS or made.chosen.student.family == "transformer"  # no word network labels whole texts
    bundle = Bundle.open(out, threads=1)
    assert bundle.task is task
    test = package.load(name, "test")
    assert bundle.evaluate(test.only("one")).scores().f1 == pytest.approx(made.test.by_language["one"])
    assert f"of that tagger's mean {task.score} on test" in (out / "README.md").read_text(encoding="utf-8")
