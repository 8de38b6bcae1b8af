"""Studies in studies/ that need a machine which isn't at hand: the same file runs at a hundredth of its size."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from dinku.data.sample import sample

STUDIES = Path(__file__).parents[2] / "studies"
TINY = {"heads": 2, "hidden": 32, "width": 64, "vocabulary": 400, "positions": 66, "family": "xlm-roberta"}


def smaller(document: dict[str, Any]) -> dict[str, Any]:
    """A study of AfriBERTa's shapes with tiny ones in their place, one of each grid's values, and few steps."""
    text = json.dumps(document)
    text = text.replace('{"preset": "$preset"}', json.dumps({"layers": "$layers", **TINY}))
    made: dict[str, Any] = json.loads(text)
    for recipe in made["recipes"]:
        layers = recipe["grid"].pop("preset")[0]
        recipe["grid"] = {"layers": [4 if "small" in layers else 8]} | {k: v[:1] for k, v in recipe["grid"].items()}
        for step in recipe["steps"]:
            ((name, settings),) = step.items()
            if name == "Pretrain":
                settings |= {"steps": settings["steps"] // 1000, "batch": 8, "window": 32}
            elif name in ("FineTune", "Distil"):
                settings |= {"epochs": 1, "batch": 16, "window": 48}
    made |= {"corpus": "sample:hau", "evaluate": ["sample:hau", "sample:swa"], "text": "text", "threads": 1}
    # Of the arms whose shapes are cut to the same here one is enough, and LLM.int8() needs bitsandbytes.
    arms = {recipe["arm"]: recipe for recipe in reversed(made["recipes"]) if recipe["arm"] != "LLM.int8()"}
    return made | {"recipes": [*arms.values()]}


@pytest.mark.slow
def test_afriberta_shapes_at_a_hundredth(tmp_path: Path, dinku: Callable[..., tuple[int, str, str]]) -> None:
    document = yaml.safe_load((STUDIES / "afriberta-shapes.yaml").read_text(encoding="utf-8"))
    (tmp_path / "text").mkdir()
    for language in ("hau", "swa"):
        lines = [" ".join(s.words) for s in sample(language, "train").sentences]
        (tmp_path / "text" / f"{language}.txt").write_text("\n".join(lines), encoding="utf-8")
    study = smaller(document)
    (tmp_path / "shapes.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    status, _, err = dinku("run", "shapes.yaml", "--results", "results")
    assert status == 0, err
    written = (tmp_path / "results" / "afriberta-shapes" / "rows.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in written.splitlines()]
    arms = {recipe["arm"] for recipe in study["recipes"]}
    assert (
        {row["arm"] for row in rows}
        == arms
        == {"dense", "as drawn", "before", "after", "task-specific", "dynamic int8"}
    )
    assert len({row["address"] for row in rows}) == len(arms)
    assert dinku("run", "shapes.yaml", "--results", "results")[0] == 0  # nothing is left to do
