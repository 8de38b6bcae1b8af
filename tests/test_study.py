"""A study: what its YAML becomes, and what is wrong with one."""

from __future__ import annotations

from pathlib import Path

import pytest

from dinku.errors import DinkuError
from dinku.methods.finetune import FineTune
from dinku.methods.sparsity import Sparsify
from dinku.study import Study

HEAD = "name: s\ntitle: T\nbase: b\ncorpus: c\n"
GRID = """
x-training: &training {epochs: 2}
recipes:
  - arm: both
    seeds: [0, 3]
    grid: {sparsity: [0.5, 0.9], granularity: [global, matrix]}
    steps: [FineTune: *training, Sparsify: {sparsity: $sparsity, granularity: $granularity}]
  - arm: dense
    steps: [FineTune]
"""


def read(tmp_path: Path, text: str) -> Study:
    path = tmp_path / "s.yaml"
    path.write_text(text, encoding="utf-8")
    return Study.read(path)


def test_a_grid_is_every_combination_of_its_values_and_seeds(tmp_path: Path) -> None:
    entries = list(read(tmp_path, HEAD + GRID).entries())
    assert len(entries) == 2 * 2 * 2 + 1
    assert [e.recipe.seed for e in entries[:8]] == [0] * 4 + [3] * 4
    assert entries[1].values == {"sparsity": 0.5, "granularity": "matrix"}
    assert entries[1].recipe.steps == (FineTune(epochs=2), Sparsify(0.5, granularity="matrix"))
    assert entries[-1].recipe.steps == (FineTune(),)
    assert len({e.recipe for e in entries}) == 9


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("recipes: []", "recipes: "),
        ("recipes: [{arm: a, steps: [Prune: {}]}]", r"recipes\.0 \(a\): there is no method 'Prune'"),
        ("recipes: [{arm: a, steps: [Sparsify: {sparsity: $p}]}]", r"\$p isn't in the grid; add p to grid"),
        ("recipes: [{arm: a, steps: [Sparsify: {}]}]", "Sparsify"),
        ("recipes: [{arm: a, steps: [FineTune]}, {arm: b, steps: [FineTune]}]", "is the same recipe as one of 'a'"),
        ("recipes: [{arm: a, steps: [FineTune]}]\nlatency: {reference: d}", "there is no arm 'd' with seed 0"),
        ("recipes: [{arm: a, steps: [FineTune]}]\nlabel_on: last", "label_on: "),
        ("recipes: [{arm: a, steps: [FineTune]}]\nrate: 2", "rate: "),
        ("recipes: [{arm: a, steps: [FineTune], grid: {x: [true]}}]", r"recipes\.0\.grid\.x"),
        ("recipes: [", r"s\.yaml:\d+: isn't YAML"),
    ],
)
def test_a_wrong_study_is_told_by_its_field(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(DinkuError, match=problem) as error:
        read(tmp_path, HEAD + text)
    assert "\n" not in str(error.value)


def test_no_mapping_is_no_study(tmp_path: Path) -> None:
    with pytest.raises(DinkuError, match="holds no study"):
        read(tmp_path, "- a\n")
