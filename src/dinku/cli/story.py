"""The demo: fine-tune, prune before and after, quantize for a CPU, compare and predict, with the data in the package."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from dinku.data import sources
from dinku.data.corpus import Corpus, Sentence
from dinku.data.sample import Typed, typed
from dinku.data.spans import spans
from dinku.model import inspect
from dinku.model.bundle import Bundle
from dinku.model.installed import installed_models
from dinku.model.store import Store
from dinku.progress import Progress
from dinku.report import build
from dinku.report.parts import Example
from dinku.scoring.tagging import Tagging
from dinku.serving.lines import Line
from dinku.serving.reader import Reader
from dinku.serving.reader import open as open_reader
from dinku.study.definition import Study
from dinku.study.results import Results
from dinku.study.run import Runner

MASAKHANER = "dinku:masakhaner"  # of packages/dinku-masakhaner
SHOWN = 2  # sentences of each language whose entities are printed: the first with two entities or more


@dataclass(frozen=True)
class DemoResult:
    """The outcome of a demo: F1 (0 to 1) on the sample's test sentences, bytes of whole folders, sentences a second in this
    one run, in batches. ``suggestion`` is a text to try the bundle on."""

    page: Path
    bundle: Path
    f1: dict[str, float]
    bytes_disk: dict[str, int]
    speed: dict[str, float]
    quantized: str
    sentences: int
    found: tuple[tuple[Sentence, Tagging], ...]
    suggestion: str


def typed_sentences() -> Iterator[tuple[Typed, list[dict[str, Any]]]]:
    """A typed sentence in each of ten languages with what ``dinku:masakhaner`` finds in it; none if that isn't installed."""
    if MASAKHANER in installed_models():
        reader = open_reader(MASAKHANER)
        yield from ((text, reader.find(text.text)) for text in typed())


def run_demo(folder: Path, progress: Progress) -> DemoResult:
    """Run the study ``demo`` in a folder of its own, where a second run continues the first.

    Writes ``report.html`` and the other files of a report there, and the dense tagger in int8, without torch, to ``bundle-…``.
    """
    from dinku.export.card import About
    from dinku.export.card import measure as measured
    from dinku.export.pipeline import export
    from dinku.nn.tagger import Tagger

    study = Study.read("demo")
    runner = Runner(study, Store(folder / "store"), Results(folder / "results" / study.name), progress)
    runner.run()
    dense = next(p for p in runner.prepared if p.entry.arm == "dense")
    for i in range(1, len(dense.addresses)):  # a store may be thrown away; the rows are then complete without it
        runner.make(dense, i, wait=True)
    made = runner.store.tagger(dense.address)
    tagger, test = Tagger.load(made), sources.load(study.corpus, study.split)
    target = folder / f"bundle-{dense.address[:8]}"  # another version of dinku makes another tagger
    about = About(
        name="dinku's demo tagger",
        data=(study.corpus,),
        data_licence=sources.licence(study.corpus),
        weights_licence="MIT",
        recipe=dense.recipe.document()["steps"],
        address=dense.address,
    )
    if not target.exists():
        train, dev = (sources.load(study.corpus, split) for split in ("train", "dev"))
        export(tagger, target, dev, precision="int8", calibration=train, about=about, progress=progress)
    small = Bundle.open(str(target))
    names, f1, speed = {"torch, float32": tagger, "onnxruntime, int8": small}, {}, {}
    for name, each in names.items():
        start = time.perf_counter()
        say = partial(progress, f"tagging with {name}")
        counts = (
            each.evaluate(test, progress=say) if each is tagger else measured(small, test, about, progress=say).counts
        )
        speed[name], f1[name] = len(test) / (time.perf_counter() - start), counts.scores().f1
    telling = {
        language: [s for s in test.only(language) if len(spans(s.tags or ())) > 1] for language in test.languages
    }
    shown = [s for sentences in telling.values() for s in sentences[:SHOWN]]
    found = tuple(zip(shown, small.tag(shown), strict=True))
    examples = [Example(Sentence(s.words, None, s.language), spans(t.tags)) for s, t in found]
    page = next(p for p in build.write(study, runner.results, folder, examples=examples) if p.suffix == ".html")
    sizes = dict(zip(names, (inspect.disk_bytes(made), inspect.disk_bytes(target)), strict=True))
    how = small.manifest.quantization
    return DemoResult(
        page, target, f1, sizes, speed, how.summary if how else "", len(test), found, suggested(small, test)
    )


def suggested(bundle: Bundle, corpus: Corpus) -> str:
    """A text to try a bundle on, in which it finds all entities and nothing else; empty if there is none.

    Of the sentences of a tagged corpus it has the most labels, and is the shortest of these. The bundle has been tried on it.
    """
    reader, wanted = Reader(bundle), dict[str, list[tuple[str, str]]]()
    for s in corpus:
        own = [(p.text(s.words), p.label) for p in spans(s.tags or ())]
        wanted |= {Line.joined(s.words).text: own} if own else {}
    by_worth = sorted(wanted, key=lambda text: (-len({label for _, label in wanted[text]}), len(text), text))
    return next((text for text in by_worth if _entities(reader, text) == wanted[text]), "")


def _entities(reader: Reader, text: str) -> list[tuple[str, str]]:
    return [(entity["text"], entity["label"]) for entity in reader.find(text)]
