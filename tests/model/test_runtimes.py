"""Runtimes: each is described in one entry, and brings the two modules that the entry promises."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import get_args

import pytest

from dinku.errors import DinkuError
from dinku.model import runtimes
from dinku.model.runtimes import DEFAULT, RUNTIMES, Precision, Runtime, check_installed, check_precision, open_engine


def test_every_runtime_has_an_entry_and_every_precision_that_it_lacks_a_choice() -> None:
    assert set(RUNTIMES) == {*get_args(Runtime)}
    assert DEFAULT in RUNTIMES
    for name, facts in RUNTIMES.items():
        assert facts.models
        assert {*facts.models} <= {*get_args(Precision)}
        assert not {*facts.models} & {*facts.lacking}
        for precision in get_args(Precision):
            if precision in facts.models:
                check_precision(name, precision, where="export")
                assert facts.models[precision] in facts.files(precision)
            else:
                with pytest.raises(DinkuError, match="choose fp32"):
                    check_precision(name, precision, where="export")


@pytest.mark.parametrize("name", RUNTIMES)
def test_every_runtime_has_its_modules(name: Runtime) -> None:
    for module in (f"dinku.model.{name}", f"dinku.export.{name}"):
        assert importlib.util.find_spec(module), module


def test_a_runtime_that_is_not_installed_is_one_line_with_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(runtimes, "find_spec", lambda package: None)
    with pytest.raises(DinkuError) as error:
        check_installed("openvino", ["openvino"], where="export")
    assert str(error.value) == (
        "export: needs OpenVINO, and openvino isn't installed; install it with: pip install 'dinku[openvino]'"
    )
    with pytest.raises(DinkuError, match="needs OpenVINO"):
        open_engine(tmp_path / "model.xml", "openvino", "fp32", 1, inputs=["rows"])


def test_an_unknown_runtime_or_precision_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(DinkuError, match="there is no runtime 'tensorrt'; choose onnxruntime or openvino"):
        check_precision("tensorrt", "fp32", where="export")
    with pytest.raises(DinkuError, match="onnxruntime has no bf16 kernels for CPUs; choose fp32 or int8"):
        check_precision("onnxruntime", "bf16", where="export")
    with pytest.raises(DinkuError, match="there is no precision 'fp8' for openvino; choose fp32 or bf16 or int8"):
        check_precision("openvino", "fp8", where="export")
