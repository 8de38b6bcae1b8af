"""What several test modules share."""

from __future__ import annotations

from pathlib import Path

from dinku.model.store import Store
from dinku.study.definition import Study
from dinku.study.results import Results
from dinku.study.run import Runner


def runner(home: Path) -> Runner:
    return Runner(Study.read("small.yaml"), Store(home / "store"), Results(Path("results/small")))
