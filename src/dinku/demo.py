"""The whole story on what dinku carries along: fine-tune, prune before and after, store in int8, compare, predict."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from dinku import measure, report, sources
from dinku.corpus import Sentence
from dinku.page import Example
from dinku.predict import Tagging
from dinku.results import Results
from dinku.run import Report, Runner
from dinku.spans import spans
from dinku.store import Store
from dinku.study import Study

SPOKEN = 2  # sentences of each language that are tagged aloud: the first ones with two entities or more


@dataclass(frozen=True)
class Told:
    """What a demo ends in. F1 in 0…1 over the sample's test sentences, bytes of whole folders."""

    page: Path
    tagger: Path
    f1: dict[str, float]
    bytes_disk: dict[str, int]
    sentences: int
    found: tuple[tuple[Sentence, Tagging], ...]


def demo(folder: Path, progress: Report) -> Told:
    """Run the study ``demo`` in a folder of its own, where a second run goes on from the first.

    Leaves ``report.html`` and its kin there, and in ``tagger-…`` the dense tagger with int8 weights.
    """
    from dinku.tagger import Tagger

    study = Study.read("demo")
    runner = Runner(study, Store(folder / "store"), Results(folder / "results" / study.name), progress)
    runner.run()
    dense = next(p for p in runner.prepared if p.entry.arm == "dense")
    for i in range(1, len(dense.addresses)):  # a store may be thrown away; the rows are then complete without it
        runner._make(dense, i, wait=True)
    made = runner.store.tagger(dense.address)
    target = folder / f"tagger-{dense.address[:8]}"  # another version of dinku makes another tagger
    if not target.exists():
        Tagger.load(made).save(target, weights="int8")
    small = Tagger.load(target)
    test = sources.load(study.corpus, study.split)
    f1 = {}
    for name, tagger in (("float32", Tagger.load(made)), ("int8", small)):
        counts = tagger.evaluate(test, progress=partial(progress, f"tagging with {name} weights"))
        f1[name] = counts.scores().f1
    telling = {
        language: [s for s in test.only(language) if len(spans(s.tags or ())) > 1] for language in test.languages
    }
    shown = [s for sentences in telling.values() for s in sentences[:SPOKEN]]
    found = tuple(zip(shown, small.tag(shown), strict=True))
    examples = [Example(Sentence(s.words, None, s.language), spans(t.tags)) for s, t in found]
    page = next(p for p in report.write(study, runner.results, folder, examples=examples) if p.suffix == ".html")
    sizes = {"float32": measure.disk_bytes(made), "int8": measure.disk_bytes(target)}
    return Told(page, target, f1, sizes, len(test), found)
