"""Methods that other packages bring: found by their entry points, held to the contract, run in studies, classified by claims."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest

from dinku.claims.recipes import Steps
from dinku.errors import DinkuError
from dinku.method import INNER, Category, Data, Need, Validated, Work, needs_of, with_inner
from dinku.methods import registry
from dinku.methods.distil import Distil
from dinku.methods.layers import KeepLayers
from dinku.methods.registry import category_of, find_method, from_json, method_of, outdated, to_json
from dinku.methods.sparsity import Sparsify
from dinku.methods.vocabulary import TrimVocabulary
from dinku.model.shape import Shape
from dinku.nn.tagger import Tagger
from dinku.study.current import standing
from dinku.study.recipe import Recipe
from dinku.study.results import Results
from dinku.testing import check_method, tiny_data

PACKAGE = Path(__file__).parent.parent / "package"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package as pip installs it; dinku itself is the one that is tested."""
    source, target = tmp_path_factory.mktemp("source") / "package", tmp_path_factory.mktemp("target")
    shutil.copytree(PACKAGE, source, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--no-index"]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, "--target", str(target), str(source)], check=True)
    return target


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A function that puts a folder of packages on the path, here and in the processes that a test starts."""

    def put(folder: Path) -> None:
        monkeypatch.syspath_prepend(folder)
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]))
        forget()

    def forget() -> None:
        for cached in (registry._plugins, registry._loaded, registry._method_of, registry.find_method):
            cached.cache_clear()

    yield put
    monkeypatch.undo()
    forget()


def package(folder: Path, name: str, methods: dict[str, str], module: str = "") -> Path:
    """A package as it lies on the path, its module ``plugin_<name>``."""
    about = folder / f"{name}-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"{method} = plugin_{name}:{where}" for method, where in methods.items()]
    (about / "entry_points.txt").write_text("\n".join(["[dinku.methods]", *lines, ""]))
    (folder / f"plugin_{name}.py").write_text(module)
    return folder


def test_a_method_of_another_package_keeps_the_contract(installed: Path, found: Any) -> None:
    assert find_method("ZeroMatrix") is None
    found(installed)
    method = from_json({"ZeroMatrix": {"sparsity": 0.5, "matrix": "value"}})
    assert to_json(method) == {"ZeroMatrix": {"sparsity": 0.5, "matrix": "value"}}
    check_method(method, nothing=from_json({"ZeroMatrix": {"sparsity": 0.0}}), others=[KeepLayers((0,))])
    assert outdated({"ZeroMatrix": 6, "Sparsify": Sparsify.version}) == "ZeroMatrix 6 (now 7)"
    with pytest.raises(
        DinkuError, match=r"step: there is no method 'ZeroMatrx'; did you mean ZeroMatrix\? use one of Dis"
    ):
        from_json({"ZeroMatrx": {}})


def test_a_method_of_another_package_runs_in_a_study_and_is_classified(
    place: Path, installed: Path, found: Any
) -> None:
    (place / "zeroed.yaml").write_text(
        "{name: zeroed, base: encoder, corpus: corpus, recipes: [{arm: after, steps: ["
        "FineTune: {epochs: 1, rate: 1.0e-3}, ZeroMatrix: {sparsity: 0.5}]}]}"
    )
    command = [sys.executable, "-m", "dinku", "run", "zeroed.yaml"]
    without = subprocess.run(command, capture_output=True, text=True, cwd=place)
    assert without.returncode == 2
    assert "steps.1: there is no method 'ZeroMatrix'; use one of Distil," in without.stderr
    found(installed)
    done = subprocess.run(command, capture_output=True, text=True, cwd=place)
    assert done.returncode == 0, done.stderr
    rows, others = standing(Results(place / "results" / "zeroed"))
    assert (len(rows), others) == (2, {})
    assert rows[0].versions == {"FineTune": 3, "ZeroMatrix": 7}
    assert {(row.source, row.corpus) for row in rows} == {("corpus", "corpus (one)"), ("corpus", "corpus (two)")}
    assert rows[0].size
    assert rows[0].size.linear > rows[0].size.linear_nonzero
    assert Steps(rows[0].recipe["steps"]).place == ("after", 0.5)


def test_without_its_package_a_method_of_a_row_is_of_no_category() -> None:
    steps: list[dict[str, Any]] = [{"FineTune": {"tags": ["O"]}}, {"Elsewhere": {"sparsity": 0.5}}]
    assert category_of("Elsewhere") is None
    assert method_of(steps[1]) is None
    assert outdated({"Elsewhere": 3}) == ""
    assert Steps(steps).place is None
    assert Steps(steps[1:]).shaping == []


def test_a_package_that_is_broken_is_one_line_that_names_it(tmp_path: Path, found: Any) -> None:
    module = "from dataclasses import dataclass\nclass Plain: pass\n@dataclass(frozen=True)\nclass Bare: pass\n"
    module += "from dinku.methods.sparsity import Sparsify\n"
    module += "@dataclass(frozen=True)\nclass Odd(Sparsify):\n    category = 'odd'\n"
    package(tmp_path, "odd", {"Plain": "Plain", "Bare": "Bare", "Odd": "Odd", "Gone": "Gone", "Other": "Bare"}, module)
    found(package(tmp_path, "broken", {"Broken": "Broken"}, "import nowhere_to_be_found\n"))
    for name, said in {
        "Broken": "broken 1.0: its method Broken can't be loaded (ModuleNotFoundError: No module named "
        "'nowhere_to_be_found'); update broken, or uninstall it",
        "Gone": "odd 1.0: its method Gone can't be loaded (AttributeError: module 'plugin_odd' has no attribute 'Gone'); "
        "update odd, or uninstall it",
        "Plain": "odd 1.0: its method Plain isn't a frozen dataclass; update odd, or uninstall it",
        "Bare": "odd 1.0: its method Bare has no version; update odd, or uninstall it",
        "Other": "odd 1.0: its method Other is a class of another name, Bare; update odd, or uninstall it",
        "Odd": "odd 1.0: its method Odd has the category 'odd', which is none of training, pretraining, sparsity, structure, "
        "distillation, quantization, start; update odd, or uninstall it",
    }.items():
        with pytest.raises(DinkuError) as error:
            from_json({name: {}})
        assert str(error.value) == said
    assert from_json({"Sparsify": {"sparsity": 0.5}}) == Sparsify(0.5)  # what is broken harms no other method


def test_two_methods_of_one_name_are_refused(tmp_path: Path, found: Any) -> None:
    package(tmp_path, "first", {"Sparsify": "Sparsify", "Twice": "Twice"})
    found(package(tmp_path, "second", {"Twice": "Twice"}))
    with pytest.raises(DinkuError) as error:
        from_json({"Sparsify": {"sparsity": 0.5}})
    assert str(error.value) == "first 1.0: the method Sparsify is brought by dinku and first 1.0; uninstall first"
    with pytest.raises(DinkuError, match=r"the method Twice is brought by \w+ 1\.0 and \w+ 1\.0; uninstall \w+"):
        from_json("Twice")
    assert from_json({"KeepLayers": {"keep": [0]}}) == KeepLayers((0,))


@dataclass(frozen=True)
class Both(Validated):
    """A method that keeps inner ones in a field of a name of its own."""

    ways: tuple[Any, ...] = field(default=(), metadata=INNER)
    hidden: tuple[Any, ...] = ()

    version: ClassVar[int] = 1
    category: ClassVar[Category] = "structure"
    needs: ClassVar[frozenset[Need]] = frozenset()

    def declare(self, shape: Shape) -> Shape:
        return shape

    def apply(self, tagger: Tagger, data: Data, work: Work) -> Tagger:
        return tagger


def addresses(method: Any) -> list[str]:
    return Recipe("base", "corpus", (method,)).addresses("0" * 64, tiny_data())


def test_the_battery_asks_for_the_traits_of_a_method() -> None:
    @dataclass(frozen=True)
    class Uncategorized(Sparsify):
        category: ClassVar[Any] = "pruning"

    @dataclass(frozen=True)
    class Fraction(Both):
        category: ClassVar[Any] = "sparsity"

    with pytest.raises(AssertionError, match="Uncategorized has no category that claims know"):
        check_method(Uncategorized(0.5))
    with pytest.raises(AssertionError, match="Fraction has no field sparsity, by which claims compare"):
        check_method(Fraction())


def test_inner_methods_are_found_in_any_field_and_at_any_depth(monkeypatch: pytest.MonkeyPatch) -> None:
    deep = Both((Distil(rate=1e-3, student=(KeepLayers((0,)), TrimVocabulary(60))), Sparsify(0.5)))
    assert [type(each).__name__ for each in with_inner(deep)] == [
        *("KeepLayers", "TrimVocabulary", "Distil", "Sparsify", "Both")
    ]
    assert needs_of(deep) == {"words", "labels"}
    assert Data.seen_by(tiny_data(), deep).dev is not None
    recipe = Recipe("base", "corpus", (deep,))
    assert recipe.versions == {"Both": 1, "Distil": 2, "KeepLayers": 1, "Sparsify": 1, "TrimVocabulary": 2}
    before = addresses(deep)
    monkeypatch.setattr(KeepLayers, "version", 99)
    assert addresses(deep)[0] == before[0]
    assert addresses(deep)[1] != before[1]


def test_a_method_in_a_field_that_is_not_declared_has_no_address() -> None:
    with pytest.raises(TypeError, match=r"Sparsify stands in a field whose metadata isn't dinku\.method\.INNER"):
        addresses(Both(hidden=(Sparsify(0.5),)))


def test_every_method_declares_what_claims_go_by() -> None:
    categories: dict[str, set[str]] = {}
    for name in registry.MODULES:
        categories.setdefault(str(category_of(name)), set()).add(name)
    assert categories == {
        "training": {"FineTune"},
        "pretraining": {"Pretrain"},
        "sparsity": {"Sparsify"},
        "distillation": {"Distil", "DistilText"},
        "quantization": {"Quantize", "QuantizeDynamic", "QuantizeLLMInt8"},
        "start": {"StartFresh", "StartFrom", "StartWords"},
        "structure": {
            *("FactorizeEmbeddings", "KeepLayers", "NarrowFeedForward", "NarrowHidden"),
            *("PruneHeads", "RegroupHeads", "TrimVocabulary"),
        },
    }


def test_finding_methods_of_others_is_left_until_one_is_asked_for() -> None:
    code = "import dinku, dinku.methods, sys; dinku.methods; print('importlib.metadata' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
