"""``dinku.open`` and what it gives: one reader for all threads, every wrong request told alike."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest

from dinku.data.corpus import Corpus, Sentence
from dinku.errors import DinkuError
from dinku.model.bundle import Bundle
from dinku.nn.tagger import Tagger
from dinku.scoring.tagging import Tagging
from dinku.serving import reader
from dinku.serving.lines import Line
from dinku.testing import tiny_corpus, tiny_tagger

ENGINES = ("torch", "onnxruntime", "openvino")
THREADS = 8


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Callable[..., Path]) -> dict[str, Path]:
    """The same tagger for each engine."""
    torch = tiny_tagger().save(tmp_path_factory.mktemp("models") / "torch")
    return {"torch": torch, **{runtime: tiny_bundle(runtime) for runtime in ENGINES[1:]}}


@pytest.mark.parametrize("engine", ENGINES)
def test_a_pipe_in_place_of_any_file_of_a_model_is_refused(
    engine: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    """Whoever waits for what is written to it hangs, and so would this test."""
    names = [path.relative_to(folders[engine]) for path in folders[engine].rglob("*") if path.is_file()]
    names += [Path(name) for name in ("special_tokens_map.json", "added_tokens.json", "pytorch_model.bin", "vocab.txt")]
    for name in names:
        shutil.rmtree(tmp_path / "model", ignore_errors=True)
        shutil.copytree(folders[engine], tmp_path / "model")
        (tmp_path / "model" / name).unlink(missing_ok=True)
        os.mkfifo(tmp_path / "model" / name)
        with pytest.raises(DinkuError, match=f"{re.escape(str(name))}: is a pipe or a device, not a file"):
            reader.open(str(tmp_path / "model"))


@cache
def opened(model: str) -> Any:
    return reader.open(model, threads=1)


Asked = Callable[[str], object]
S = Sentence(("ba",))
WRONG: list[tuple[str, Asked]] = [
    *(
        (f"open({v!r:.20})", partial(lambda v, _: reader.open(v), v))
        for v in (None, 5, b"x", ["a"], "", "a\0b", "x" * 5000)
    ),
    *((f"threads={v!r}", partial(lambda v, m: reader.open(m, threads=v), v)) for v in (1.5, 0, -1, "2", True, [1])),
    *((f"precision={v!r}", partial(lambda v, m: reader.open(m, precision=v), v)) for v in ("int4", 5, list[str](), "")),
    *((f"device={v!r}", partial(lambda v, m: reader.open(m, device=v), v)) for v in ("gpu", "", 5, None)),
    *((f"find({v!r})", partial(lambda v, m: opened(m).find(v), v)) for v in (None, 5, b"x", ["a"])),
    *((f"stream({v!r})", partial(lambda v, m: [*opened(m).stream(v)], v)) for v in (None, 5, "ba", b"x", [None], [S])),
    *((f"tag({v!r})", partial(lambda v, m: opened(m).tag(v), v)) for v in (None, 5, "ba", [5], [S])),
    *(
        (f"tagger.tag({v!r})", partial(lambda v, m: opened(m).tagger.tag(v), v))
        for v in (None, "ba", ["ba"], [("ba",)])
    ),
    *(
        (f"tagger.tag([{v!r}])", partial(lambda v, m: opened(m).tagger.tag([Sentence(v)]), v))
        for v in ((1, 2), None, ("\ud800",))
    ),
    *((f"tokens={v!r}", partial(lambda v, m: opened(m).tagger.tag([S], tokens=v), v)) for v in (0, -1, 1.5, "a")),
    *((f"most={v!r}", partial(lambda v, m: opened(m).tagger.tag([S], most=v), v)) for v in (0, "a")),
    *((f"evaluate({v!r})", partial(lambda v, m: opened(m).tagger.evaluate(v), v)) for v in (None, "sample:hau", (S,))),
    ("evaluate(untagged)", lambda model: opened(model).tagger.evaluate(Corpus("c", "test", (S,)))),
]


@pytest.mark.parametrize("ask", [ask for _, ask in WRONG], ids=[name for name, _ in WRONG])
def test_whatever_is_wrong_is_a_dinku_error(ask: Asked, folders: dict[str, Path]) -> None:
    for engine in ("torch", "onnxruntime"):
        with pytest.raises(DinkuError) as error:
            ask(str(folders[engine]))
        assert error.value.status == 2
        assert error.value.remedy
        assert len(str(error.value)) < 500


def test_what_only_a_tagger_or_a_bundle_is_asked_for(folders: dict[str, Path]) -> None:
    for label_on in ("last", "", 5):
        with pytest.raises(DinkuError, match=f"label_on is {label_on!r}; choose first or first_content"):
            Tagger.load(folders["torch"], label_on=label_on)  # type: ignore[arg-type]
    for name in (None, "", "x" * 5000):
        with pytest.raises(DinkuError, match=r"isn't the name of a model|can't be looked for \(File name too long\)"):
            Tagger.load(name)  # type: ignore[arg-type]
    with pytest.raises(DinkuError, match="there is no precision 'int4'; choose float32 or bfloat16"):
        Tagger.load(folders["torch"]).in_precision("int4").tag([S])
    for threads in (0, 1.5, "2"):
        with pytest.raises(DinkuError, match=f"threads is {threads!r}; give a whole number, 1 or more"):
            Bundle.open(folders["onnxruntime"], threads=threads)  # type: ignore[arg-type]
    assert reader.open(folders["onnxruntime"], threads=1).find("") == []  # a path will do, and so will no text


def test_an_encoder_without_tags_is_refused_at_opening(tmp_path: Path) -> None:
    bare = tiny_tagger(tags=()).save(tmp_path / "encoder")
    for name in ("dinku:house", str(bare)):
        with pytest.raises(DinkuError, match=f"{name}: is an encoder without tags, .*; name a tagger, or fine-tune"):
            reader.open(name)


def assert_same(found: list[Tagging], wanted: list[Tagging]) -> None:
    assert [each.tags for each in found] == [each.tags for each in wanted]
    for mine, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(mine.scores, theirs.scores, atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_threads_that_share_a_reader_get_their_own_answers(engine: str, folders: dict[str, Path]) -> None:
    sentences = [" ".join(s.words) for s in tiny_corpus(THREADS * 40, seed=3)]
    texts = [sentences[number::THREADS] for number in range(THREADS)]
    alone = reader.open(str(folders[engine]), threads=1)
    entities = [[alone.find(text) for text in own] for own in texts]
    tagged = [alone.tag(map(Line.typed, own)) for own in texts]
    assert len({str(each) for own in entities for each in own}) > THREADS  # whose answers differ
    shared, together = reader.open(str(folders[engine]), threads=1), Barrier(THREADS)

    def work(number: int) -> None:
        own, lines = texts[number], [Line.typed(text) for text in texts[number]]
        together.wait()
        for _ in range(3):
            for text, wanted in zip(own, entities[number], strict=True):
                found = shared.find(text)
                assert [{**e, "score": None} for e in found] == [{**e, "score": None} for e in wanted]
                np.testing.assert_allclose([e["score"] for e in found], [e["score"] for e in wanted], atol=1e-5)
            assert_same([tagging for _, tagging in shared.stream(lines)], tagged[number])
            assert_same(shared.tag(lines), tagged[number])

    with ThreadPoolExecutor(THREADS) as pool:
        for done in [pool.submit(work, number) for number in range(THREADS)]:
            done.result()
