"""What a tagger learned from, as fingerprints that its folder keeps."""

from __future__ import annotations

from pathlib import Path

import pytest

from dinku.data import learned
from dinku.errors import DinkuError
from dinku.method import Data, Work
from dinku.methods.distil import Distil
from dinku.methods.finetune import FineTune
from dinku.methods.layers import KeepLayers
from dinku.methods.sparsity import Sparsify
from dinku.model import inspect
from dinku.model.folder import ModelFolder
from dinku.nn.tagger import Tagger
from dinku.testing import tiny_corpus, tiny_tagger


def test_a_sentence_is_known_however_it_is_parted() -> None:
    assert learned.fingerprint(("Ọjọ", ".")) == learned.fingerprint(("O\u0323jo\u0323.",)) < 1 << 64
    assert learned.fingerprint(("a", "b")) != learned.fingerprint(("b", "a"))
    assert learned.seen(tiny_corpus(3), learned.fingerprints([tiny_corpus(3).sentences[1].words])) == [
        False,
        True,
        False,
    ]


@pytest.mark.slow
def test_training_is_recorded_and_goes_along_through_folders_and_steps(tmp_path: Path) -> None:
    train, other = tiny_corpus(6), tiny_corpus(6, seed=4)
    known = learned.fingerprints(s.words for s in train)
    tagger = FineTune(epochs=1).apply(tiny_tagger(), Data(train), Work(threads=1))
    assert tagger.learned == known
    assert tiny_tagger().learned == frozenset()
    folder = tagger.save(tmp_path / "tagger")
    assert Tagger.load(folder).learned == known
    assert Sparsify(sparsity=0.5).apply(tagger, Data(), Work()).learned == known
    student = Distil(epochs=1, student=(KeepLayers(keep=(0,)),)).apply(tagger, Data(other), Work(threads=1))
    assert student.learned == known | learned.fingerprints(s.words for s in other)
    size, digest = inspect.disk_bytes(folder), ModelFolder(folder).digest
    (folder / learned.FILE).write_bytes(b"cut off")
    with pytest.raises(DinkuError, match=r"learned\.bin: isn't whole; remove it"):
        Tagger.load(folder)
    (folder / learned.FILE).unlink()
    assert (inspect.disk_bytes(folder), ModelFolder(folder).digest) == (size, digest)
    assert Tagger.load(folder).digest == tagger.digest
