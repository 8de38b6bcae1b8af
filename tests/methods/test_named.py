"""A named model in the tagger's place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dinku.errors import DinkuError
from dinku.method import Data, Work
from dinku.methods.distil import Distil
from dinku.methods.named import StartFrom
from dinku.methods.registry import from_json
from dinku.methods.sparsity import Sparsify
from dinku.model.folder import ModelFolder
from dinku.nn.tagger import Tagger
from dinku.study.recipe import Recipe
from dinku.testing import check_law, check_method, tiny_data, tiny_tagger

ONE = Work(seed=1, threads=1)


@pytest.mark.parametrize("kind", ["tagger", "masked", "sparse", "encoder"])
def test_the_battery(kind: str, tmp_path: Path) -> None:
    tagger = tiny_tagger(masked_lm=kind == "masked", tags=() if kind == "encoder" else tiny_tagger().tags)
    if kind == "sparse":
        tagger = Sparsify(0.5).apply(tagger, Data(), ONE)
    method = StartFrom(str(tagger.save(tmp_path / "base")))
    check_method(method, others=[Sparsify(0.5)])
    after = method.resolve(None, Data()).apply(tiny_tagger("bert", "wordpiece"), Data(), ONE)
    assert after.digest == tagger.digest


def test_the_content_enters_the_address_and_a_changed_model_is_refused(tmp_path: Path) -> None:
    folder = tiny_tagger().save(tmp_path / "base")
    method = StartFrom(str(folder))
    resolved = method.resolve(None, Data())
    assert resolved.digest == ModelFolder(folder).digest
    before = Recipe("base", "corpus", (method,)).resolved(Data())[0].addresses("d", Data())[1]
    (folder / "model.safetensors").unlink()
    Sparsify(0.5).apply(tiny_tagger(), Data(), ONE).save(tmp_path / "other")
    for path in (tmp_path / "other").iterdir():
        path.replace(folder / path.name)
    assert Recipe("base", "corpus", (method,)).resolved(Data())[0].addresses("d", Data())[1] != before
    assert resolved.resolve(None, Data()) == resolved
    for use in (lambda: resolved.declare(tiny_tagger().shape), lambda: resolved.apply(tiny_tagger(), Data(), ONE)):
        with pytest.raises(DinkuError, match=r"base: holds another model \(\w{12}\) than was asked for") as caught:
            use()
        assert "\n" not in str(caught.value)


def test_a_named_model_is_a_student(tmp_path: Path) -> None:
    student = tiny_tagger("bert", "wordpiece", masked_lm=True)
    teacher = tiny_tagger()
    folder = student.save(tmp_path / "student")
    method = Distil(student=(StartFrom(str(folder)),), epochs=1, batch=8, precision="float32").resolve(
        teacher, tiny_data()
    )
    assert method.student[0].digest == ModelFolder(folder).digest
    after = method.apply(teacher, tiny_data(), ONE)
    check_law(method, teacher.shape, after.shape)
    assert after.shape.family == "bert"
    assert after.tags == teacher.tags


def test_label_on_stays_the_recipes(tmp_path: Path) -> None:
    folder = tiny_tagger().save(tmp_path / "base")
    tagger = replace(tiny_tagger(), label_on="first_content")
    assert StartFrom(str(folder)).apply(tagger, Data(), ONE).label_on == "first_content"
    assert Tagger.load(folder).label_on == "first"


def test_what_is_no_model_is_one_line() -> None:
    for base, said in (("", "base is ''; name a model"), ("nowhere", "there is no such model; name a folder")):
        with pytest.raises(DinkuError, match=said):
            from_json({"StartFrom": {"base": base}}).resolve(None, Data())
