"""Where torch works: what may be asked for, and that rows say so. No GPU is needed; where there is one, it is used."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from made_study import runner

from dinku.errors import DinkuError
from dinku.machine import Environment, environment
from dinku.method import Work
from dinku.methods.dynamic import QuantizeDynamic
from dinku.methods.finetune import FineTune
from dinku.methods.sparsity import Sparsify
from dinku.nn.torch_engine import device
from dinku.serving import reader
from dinku.study.results import Results
from dinku.testing import tiny_tagger

GPU = torch.cuda.is_available()


def test_the_cpu_is_always_there_and_auto_takes_a_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device("cpu") == device("auto") == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device("auto") == device("cuda") == "cuda"


@pytest.mark.parametrize(
    ("visible", "asked", "left"),
    [(None, "cuda:2", "2"), ("4,5,6", "cuda:1", "5"), ("4,5", "cuda", "4"), ("4", "cuda:1", "")],
)
def test_one_gpu_is_left_in_sight(visible: str | None, asked: str, left: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible or "")
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")

    def available() -> bool:
        seen.append(os.environ["CUDA_VISIBLE_DEVICES"])
        return True

    monkeypatch.setattr(torch.cuda, "is_available", available)
    assert device(asked) == "cuda"
    assert seen == [left]


@pytest.mark.parametrize("asked", ["gpu", "cuda:", "cuda:x", "CPU", ""])
def test_a_device_that_there_is_not_is_refused(asked: str) -> None:
    with pytest.raises(DinkuError, match=r"device: there is no device .*; choose cpu, cuda, cuda:N or auto"):
        device(asked)


@pytest.mark.skipif(GPU, reason="there is a GPU here")
@pytest.mark.parametrize("command", [["run", "small.yaml"], ["evaluate", "encoder", "--corpus", "corpus"]])
def test_a_gpu_that_there_is_not_is_one_line(command: list[str], place: Path) -> None:
    run = [sys.executable, "-P", "-c", "from dinku.cli.app import main; main()", *command, "--device", "cuda"]
    done = subprocess.run(run, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr == f"dinku: --device: torch {torch.__version__} finds no GPU; {done.stderr.partition('; ')[2]}"
    assert not Path("results").exists()


def test_bundles_and_quantized_taggers_stay_on_the_cpu(tmp_path: Path) -> None:
    made = QuantizeDynamic().apply(tiny_tagger(), Any, Work())  # type: ignore[arg-type]
    made.save(tmp_path / "int8")
    with pytest.raises(DinkuError, match="only runs on a CPU"):
        reader.open(str(tmp_path / "int8"), device="cuda")


def test_training_and_tagging_get_the_device_and_rows_name_it(
    place: Path,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The CPU by another name stands for a GPU, as what is asked here is who is told of it."""
    study = (place / "small.yaml").read_text(encoding="utf-8")
    short = study[: study.index("  - arm: before")].replace("seeds: [0, 1]", "seeds: [0]")
    short = short.replace("epochs: 4", "epochs: 1").replace("steps: [", "steps: [Sparsify: {sparsity: 0.5}, ")
    (place / "small.yaml").write_text(short, encoding="utf-8")
    told: dict[str, str] = {}
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU {device}")
    for method in (FineTune, Sparsify):
        apply = method.apply

        def noted(self: Any, tagger: Any, data: Any, work: Work, apply: Any = apply) -> Any:
            told[type(self).__name__] = work.device
            return apply(self, tagger, data, replace(work, device="cpu"))

        monkeypatch.setattr(method, "apply", noted)
    moved: list[str] = []
    to = torch.nn.Module.to

    def noted_move(self: torch.nn.Module, where: str) -> torch.nn.Module:
        moved.append(where)
        return to(self, "cpu")

    monkeypatch.setattr(torch.nn.Module, "to", noted_move)
    replace(runner(home), cores=1, device="cuda").run()
    assert told == {"FineTune": "cuda", "Sparsify": "cpu"}
    assert "cuda" in moved
    rows = Results(Path("results/small")).rows()
    assert [row.environment.gpu for row in rows] == ["GPU cuda"] * 2
    assert all("GPU cuda" in row.trainings[0].machine for row in rows)
    cuda, cpu = rows[0].environment, environment(rows[0].environment.threads)
    assert cuda.machine == f"{cpu.machine}|GPU cuda"


def test_an_environment_without_a_gpu_is_written_as_before() -> None:
    here = environment(1)
    written = here.model_dump_json(exclude_none=True)
    assert "gpu" not in written
    assert Environment.model_validate_json(written) == here
