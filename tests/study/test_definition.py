"""A study: what its YAML becomes, and what is wrong with one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dinku.cli import app
from dinku.errors import DinkuError
from dinku.methods.distil import Distil
from dinku.methods.finetune import FineTune
from dinku.methods.layers import KeepLayers
from dinku.methods.sparsity import Sparsify
from dinku.study.definition import BUILT_IN, Study

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


def test_a_grid_may_hold_lists(tmp_path: Path) -> None:
    grid = "recipes: [{arm: a, grid: {keep: [[0, 1], [2, 3]]}, steps: [KeepLayers: {keep: $keep}]}]"
    first, second = read(tmp_path, HEAD + grid).entries()
    assert first.recipe.steps == (KeepLayers((0, 1)),)
    assert second.recipe.steps == (KeepLayers((2, 3)),)
    assert second.values == {"keep": [2, 3]}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("recipes: []", r"s\.yaml: recipes is \[\]; give at least 1"),
        ("recipes: 3", "recipes is 3; give a list"),
        ("recipes: [3]", r"recipes\.0 is 3; write it as key: value"),
        ("recipes: [{arm: a|b, steps: []}]", r"recipes\.0\.arm is 'a\|b'; give one line without \|"),
        ("recipes: [{arm: a}]", r"recipes\.0\.steps is missing; add it"),
        ("recipes: [{arm: a, steps: FineTune}]", r"recipes\.0\.steps is 'FineTune'; give a list"),
        ("recipes: [{arm: a, steps: [FineTune, 3]}]", r"recipes\.0 \(a\): steps\.1: 3 isn't one method"),
        ("recipes: [{arm: a, steps: [Prune: {}]}]", r"recipes\.0 \(a\): steps\.0: there is no method 'Prune'"),
        (
            "recipes: [{arm: a, steps: [FineTune: {version: 3}]}]",
            "FineTune has no field 'version'; its fields are rate,",
        ),
        ("recipes: [{arm: a, steps: [FineTune: {needs: [text]}]}]", "FineTune has no field 'needs'"),
        ("recipes: [{arm: a, steps: [FineTune: {1: 2, a: 3}]}]", "FineTune has no field 1; "),
        (
            "recipes: [{arm: a, steps: [FineTune: {epochs: x}]}]",
            r"s\.yaml: recipes\.0 \(a\): steps\.0: FineTune\.epochs is 'x'; give a whole number",
        ),
        (
            "recipes: [{arm: a, steps: [FineTune: {epochs: -1}]}]",
            r"\(a\): steps\.0: FineTune: epochs is -1; give 0 or more",
        ),
        (
            "recipes: [{arm: a, steps: [FineTune: {select: worst}]}]",
            r"FineTune\.select is 'worst'; give 'last' or 'best'",
        ),
        (
            "recipes: [{arm: a, steps: [KeepLayers: {keep: [0, x]}]}]",
            r"KeepLayers\.keep\.1 is 'x'; give a whole number",
        ),
        ("recipes: [{arm: a, steps: [Sparsify: {sparsity: $p}]}]", r"\$p isn't in the grid; add p to grid"),
        ("recipes: [{arm: a, steps: [Sparsify: {}]}]", r"Sparsify\.sparsity is missing; add it"),
        ("recipes: [{arm: a, steps: [FineTune]}, {arm: b, steps: [FineTune]}]", "is the same recipe as one of 'a'"),
        ("recipes: [{arm: a, steps: [FineTune]}]\nlatency: {reference: d}", "there is no arm 'd' with seed 0"),
        (
            "recipes: [{arm: a, steps: [FineTune]}]\nlatency: {reference: a, rounds: 1}",
            r"latency\.rounds is 1; give 2 or more",
        ),
        ("recipes: [{arm: a, steps: [FineTune]}]\nlabel_on: last", "label_on is 'last'; give 'first'"),
        ("recipes: [{arm: a, steps: [FineTune]}]\nrate: 2", "there is no field rate"),
        ("recipes: [{arm: a, steps: [FineTune]}]\nthreads: many", "threads is 'many'; give a whole number"),
        ("recipes: [{arm: a, steps: [FineTune]}]\nthreads: true", "threads is True; give a whole number"),
        ("recipes: [{arm: a, steps: [FineTune]}]\nthreads: 0", "threads is 0; give 1 or more"),
        ('recipes: [{arm: "a\\e[31m", steps: [FineTune]}]', r"recipes\.0\.arm is .*; give one line of printable"),
        ('recipes: [{arm: "\\ud83d", steps: [FineTune]}]', r"recipes\.0\.arm is .*; give one line of printable"),
        (f"recipes: [{{arm: a, steps: [FineTune], grid: {{x: [1{'0' * 400}]}}}}]", r"grid\.x\.0 is 1.*; give a number"),
        (f"recipes: [{{arm: a, steps: [FineTune], grid: {{x: [1{'0' * 5000}]}}}}]", "isn't YAML"),
        (
            "\n".join(["x-0: &m0 {" + ", ".join(f"k{i}: 0" for i in range(30)) + "}"])
            + "".join(f"\nx-{n}: &m{n} {{<<: [{', '.join([f'*m{n - 1}'] * 30)}]}}" for n in range(1, 8)),
            r"s\.yaml:\d+: isn't YAML \(it merges too much\)",
        ),
        ("recipes: [{arm: a, steps: [FineTune]}]\n3: 4", "there is no field 3"),
        ("recipes: [{arm: a, steps: [FineTune], grid: {1: [2]}}]", r"recipes\.0\.grid\.1 is 1; give text"),
        (
            "recipes: [{arm: a, steps: [FineTune], grid: {x: [true]}}]",
            r"recipes\.0\.grid\.x\.0 is True; give a number, text or",
        ),
        (
            "recipes: [{arm: a, steps: [FineTune], grid: {x: [[null]]}}]",
            r"recipes\.0\.grid\.x\.0 is \[None\]; give a number",
        ),
        ("recipes: [{arm: a, steps: [FineTune], grid: {x: [[[0]]]}}]", r"grid\.x\.0 is \[\[0\]\]; give a number"),
        ("recipes: [{arm: a, steps: [FineTune], grid: {x: [.nan]}}]", r"grid\.x\.0 is nan; give a number"),
        ("recipes: [", r"s\.yaml:\d+: isn't YAML"),
    ],
)
def test_a_wrong_study_is_told_by_its_field(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(DinkuError, match=problem) as error:
        read(tmp_path, HEAD + text)
    assert "\n" not in str(error.value)


def test_a_section_is_a_part_of_a_study(tmp_path: Path) -> None:
    blocks = (
        "recipes: [{arm: a, section: one, steps: [FineTune]}, {arm: b, section: two, steps: [KeepLayers: {keep: [0]}]}]"
    )
    whole = read(tmp_path, HEAD + blocks)
    part = Study.read(f"{tmp_path / 's.yaml'}:two")
    assert [entry.arm for entry in whole.entries()] == ["a", "b"]
    assert [entry.arm for entry in part.entries()] == ["b"]
    timed = (
        HEAD
        + blocks.replace("FineTune]}", "FineTune]}, {arm: a, base: other, steps: [FineTune]}")
        + "\nlatency: {reference: a}"
    )
    read(tmp_path, timed)
    part = Study.read(f"{tmp_path / 's.yaml'}:two")
    assert [(e.arm, e.recipe.base) for e in part.entries()] == [
        ("a", whole.base),
        ("b", whole.base),
    ]  # what b is timed against
    read(tmp_path, HEAD + blocks)
    part = Study.read(f"{tmp_path / 's.yaml'}:two")
    assert part.document() == whole.document()  # kept beside the rows whole, whichever part was run
    with pytest.raises(DinkuError, match=r"s\.yaml: there is no section 'three'; choose of one, two"):
        Study.read(f"{tmp_path / 's.yaml'}:three")
    with pytest.raises(
        DinkuError, match="no such study; name a YAML file, or one of the built-in demo, paper, paper-cpu"
    ):
        Study.read("nowhere:two")


@pytest.mark.parametrize("name", BUILT_IN)
def test_what_is_built_in_can_be_read(name: str) -> None:
    study = Study.read(name)
    assert study.name == name
    assert list(study.entries())
    for section in {block.section for block in study.recipes if block.section}:
        assert list(Study.read(f"{name}:{section}").entries())


def test_the_papers_grid_is_all_there() -> None:
    recipes = [entry.recipe for entry in Study.read("paper").entries()]
    assert {r.base for r in recipes} == {f"castorini/afriberta_{size}" for size in ("small", "base", "large")}
    own = [r for r in recipes if "small" not in r.base]
    pruned = {(type(r.steps[0]).__name__, s.sparsity) for r in own for s in r.steps if isinstance(s, Sparsify)}
    levels = [*(n / 10 for n in range(1, 10)), 0.95]
    assert pruned == {(first, level) for first in ("Sparsify", "FineTune") for level in levels}
    assert {s.temperature for r in own for s in r.steps if isinstance(s, Distil)} == {2, 3, 6}
    names = {type(s).__name__ for r in own for s in r.steps}
    assert {"DistilText", "QuantizeLLMInt8", "QuantizeDynamic"} <= names


def test_what_is_merged_twice_over_is_no_key_that_stands_twice(tmp_path: Path) -> None:
    told = "x-a: &a {epochs: 1, batch: 2}\nx-b: &b {<<: *a, epochs: 3}\n"
    study = read(tmp_path, told + HEAD + "recipes: [{arm: a, steps: [FineTune: {<<: *b, batch: 4}]}]")
    (entry,) = study.entries()
    assert isinstance(step := entry.recipe.steps[0], FineTune)
    assert (step.epochs, step.batch) == (3, 4)


def test_a_base_may_be_one_of_the_grids(tmp_path: Path) -> None:
    study = read(tmp_path, HEAD + "recipes: [{arm: a, base: $b, grid: {b: [x, y]}, steps: [FineTune]}]")
    assert [entry.recipe.base for entry in study.entries()] == ["x", "y"]


def test_no_mapping_is_no_study(tmp_path: Path) -> None:
    with pytest.raises(DinkuError, match="holds no study"):
        read(tmp_path, "- a\n")


BOMB = "x-a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"x-{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (HEAD + "recipe: []\nrecipes: [{arm: a, steps: [FineTune]}]", "there is no field recipe; correct its name"),
        (HEAD + "recipes: {arm: a}", r"recipes is \{'arm': 'a'\}; give a list"),
        (HEAD + "recipes: [{arm: a, steps: [Shrink]}]", r"steps\.0: there is no method 'Shrink'"),
        (
            HEAD + "recipes: [{arm: a, grid: {p: [1]}, steps: [Sparsify: {sparsity: $s}]}]",
            r"\$s isn't in the grid; add s",
        ),
        (
            HEAD + "recipes: [{arm: a, grid: {p: [1]}, steps: [Sparsify: {sparsity: 0.5}]}]",
            r"recipes\.0 \(a\): grid\.p is used by no step; write \$p where it belongs, or remove it",
        ),
        (HEAD + "recipes: [{arm: a, steps: [FineTune]}]\nrecipes: []", ":6: isn't YAML .recipes stands there twice"),
        (
            HEAD + "recipes: [{arm: a, steps: [FineTune: {epochs: 1, epochs: 2}]}]",
            ":5: isn't YAML .epochs stands there",
        ),
        (HEAD + "recipes: [{arm: a, seeds: [true], steps: [FineTune]}]", r"recipes\.0\.seeds\.0 is True"),
        (
            HEAD
            + f"recipes: [{{arm: a, grid: {{p: {[*range(200)]}, q: {[*range(200)]}}}, steps: [A: {{p: $p, q: $q}}]}}]",
            r"recipes\.0 \(a\): makes 40,000 recipes; leave at most 10,000",
        ),
        ("name: s\ntitle: T\ncorpus: c\nrecipes: [{arm: a, steps: []}]", "base is missing; add it"),
        (HEAD + "recipes: []", r"recipes is \[\]; give at least 1"),
        (
            HEAD + "recipes: [{arm: a, seeds: [0, 0], steps: [FineTune]}]",
            "is the same recipe as one of 'a'; remove one",
        ),
        (HEAD + "recipes: *nowhere", r":5: isn't YAML \(found undefined alias 'nowhere'\)"),
        (HEAD + "recipes: &r [{arm: a, steps: *r}]", "is nested too deeply, or within itself"),
        (HEAD + "recipes: [{arm: a, steps: [&s {FineTune: *s}]}]", "is nested too deeply, or within itself"),
        (HEAD + f"recipes: [{{arm: a, steps: {'[' * 40}{']' * 40}}}]", "is nested too deeply, or within itself"),
        (BOMB + HEAD + "recipes: [{arm: a, steps: *i}]", r"holds [\d,]+ values, .*; write at most 100,000"),
        (HEAD + "recipes: !!python/object/apply:os.getcwd []", r":5: isn't YAML \(could not determine a constructor"),
        ("\0\1\2", "isn't YAML"),
    ],
)
def test_a_wrong_file_is_told_in_a_line_with_what_to_do(
    tmp_path: Path, text: str, problem: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "s.yaml").write_text(text, encoding="utf-8")
    assert refused(tmp_path, capsys, monkeypatch, problem) == ["s.yaml"]


@pytest.mark.parametrize("kind", ["folder", "binary"])
def test_what_is_no_text_is_told_so(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "s.yaml"
    file.mkdir() if kind == "folder" else file.write_bytes(b"\xff\xfe\0\1")
    assert refused(tmp_path, capsys, monkeypatch, r"can't be read .*; name a YAML file") == ["s.yaml"]


def refused(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, problem: str
) -> list[str]:
    """Have ``dinku run`` refuse ``s.yaml``; what there is in the folder afterwards."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.argv", ["dinku", "run", "s.yaml"])
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert ended.value.code == 2
    out, told = capsys.readouterr()
    assert out == ""
    assert re.search(problem, told)
    assert "s.yaml" in told
    assert told.count("\n") == 1
    assert len(told) < 400
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("path", [r"C:\data\mine.yaml", "c:/data/mine.yaml"])
def test_a_path_on_windows_is_no_section(path: str) -> None:
    with pytest.raises(DinkuError) as error:
        Study.read(path)
    assert str(error.value).startswith(f"{path}: no such study; name a YAML file")


def test_a_study_without_a_title_goes_by_its_name(tmp_path: Path) -> None:
    study = read(tmp_path, "name: mine\nbase: b\ncorpus: c\nrecipes: [{arm: a, steps: []}]")
    assert study.title == "mine"
    (tmp_path / "study.json").write_text(study.document())
    assert Study.read(tmp_path / "study.json") == study
    with pytest.raises(DinkuError, match="one line of printable characters"):
        read(tmp_path, "name: mine\ntitle: ''\nbase: b\ncorpus: c\nrecipes: [{arm: a, steps: []}]")
