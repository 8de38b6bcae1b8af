"""``dinku.open`` and what it gives: one reader for all threads, every wrong request told alike."""

from __future__ import annotations

import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest

from dinku import reader
from dinku.errors import DinkuError
from dinku.export import export
from dinku.predict import Line, Tagging
from dinku.testing import tiny_corpus, tiny_tagger

ENGINES = ("torch", "onnxruntime", "openvino")
THREADS = 8


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same tagger for each engine."""
    root = tmp_path_factory.mktemp("models")
    tagger = tiny_tagger()
    tagger.save(root / "torch")
    for runtime in ENGINES[1:]:
        export(tagger, root / runtime, tiny_corpus(160), runtime=runtime, threads=1)
    return {engine: root / engine for engine in ENGINES}


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
