"""Opens a bundle without torch, or a tagger in torch, to find entities with their offsets in text."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, overload

from dinku.errors import DinkuError, brief
from dinku.machine import check_threads
from dinku.model.folder import ModelFolder
from dinku.model.predict import each
from dinku.model.sentence_tagger import SentenceTagger
from dinku.nn.loading import open_tagger
from dinku.scoring.tagging import Tagging
from dinku.serving.lines import Line

BLOCK = 512  # lines tagged at once: enough to batch by length, and few enough to hold in memory


@dataclass(frozen=True)
class Reader:
    """An opened model, as ``dinku.open`` returns it."""

    tagger: SentenceTagger

    @property
    def precision(self) -> str:
        """*fp32*, *bf16*, *int8*, or how a tagger in torch is quantized."""
        return self.tagger.precision

    def tag(self, lines: Iterable[Line]) -> list[Tagging]:
        """The tags of every line's words, in order."""
        return self.tagger.tag([line.read_for(self.tagger.task) for line in each(lines, Line)])

    @overload
    def stream(self, lines: Iterable[str]) -> Iterator[dict[str, Any]]: ...
    @overload
    def stream(self, lines: Iterable[Line]) -> Iterator[tuple[Line, Tagging]]: ...
    def stream(
        self, lines: Iterable[str] | Iterable[Line]
    ) -> Iterator[dict[str, Any]] | Iterator[tuple[Line, Tagging]]:
        """Tag any number of lines, which are read when needed, at most `BLOCK` ahead, and answered in order.

        For a typed text it yields an object with *text* and *entities*, as ``predict --format jsonl`` prints; for a `Line` it
        yields the line and its tags.
        """
        given: Iterator[str | Line] = each(lines, str, Line)
        while block := list(islice(given, BLOCK)):
            read = [Line.typed(asked) if isinstance(asked, str) else asked for asked in block]
            for asked, line, found in zip(block, read, self.tag(read), strict=True):
                yield line.answer(found) if isinstance(asked, str) else (line, found)

    def find(self, text: str) -> list[dict[str, Any]]:
        """Entities of a text as typed: *start*, *end* (characters of the text), *label*, *text*, *score* (0 to 1).

        Of a model that labels words each of them; of one that labels texts its *label* and *score* alone.
        """
        line = Line.typed(text)
        return line.entities(self.tag([line])[0])


def open(
    model: str | os.PathLike[str],
    *,
    threads: int | None = None,
    precision: str | None = None,
    device: str = "cpu",
    labels: str = "",
) -> Reader:
    """Open a bundle or a tagger by folder, name under ``DINKU_HOME/models``, address or Hub id; it uses all cores by default.

    ``device`` is *cpu*, or *cuda* for a tagger in floating point. ``labels`` gives the head's tags or labels other names, as
    pairs or a file: *LABEL_1=B-PER*, *PERSON=PER,MISC=*. Raises `DinkuError` if the model is neither a bundle nor a tagger, or
    can't run in ``precision`` (*float32* or *bfloat16*) or on ``device``. Threads may share the reader. torch's number of
    threads is set for the whole process.

    >>> import dinku, tempfile
    >>> from dinku.testing import tiny_tagger
    >>> reader = dinku.open(tiny_tagger().save(f"{tempfile.mkdtemp()}/tagger"))
    >>> [(entity["label"], entity["text"]) for entity in reader.find("Ade ba Kiland")]
    [('LOC', 'Ade'), ('LOC', 'ba')]
    """
    if threads is not None and type(threads) is not int:
        raise DinkuError(f"threads is {brief(threads)}", where="dinku.open", remedy="give a whole number")
    check_threads(threads, where="threads")
    if not isinstance(device, str):
        raise DinkuError(f"device is {brief(device)}", where="dinku.open", remedy="give cpu or cuda")
    if precision not in (None, "float32", "bfloat16"):
        problem = f"there is no precision {precision!r}"
        raise DinkuError(problem, where="precision", remedy="choose float32 or bfloat16")
    folder = ModelFolder.of(model, labels=labels)
    if not folder.is_bundle:
        if not folder.tags:
            remedy = "name a tagger, or fine-tune this encoder first: as base of a study with a FineTune step"
            raise DinkuError("is an encoder without tags, which can't find entities", where=str(model), remedy=remedy)
        if threads:
            import torch

            torch.set_num_threads(threads)
    tagger = open_tagger(folder, threads=threads)
    if device != "cpu":
        if tagger.cpu_only:
            raise DinkuError(f"{model} only runs on a CPU", where="device", remedy="leave it out")
        from dinku.nn.torch_engine import device as usable

        tagger.to(usable(device))
    return Reader(tagger.in_precision(precision) if precision else tagger)
