"""Models side by side: who runs when, what is run, what is told. No time is asserted."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from dinku.cli.app import main
from dinku.data.conll import write
from dinku.errors import DinkuError
from dinku.serving import bench
from dinku.testing import tiny_corpus, tiny_tagger

TEXTS = ["Badeo Adeba ki", "", "Kiland", "muna lo", "wa"]


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Callable[..., Path]) -> Path:
    return tiny_bundle()


def noted(log: Path, batch_of: str = "len(texts)") -> list[str]:
    """A command that attends by writing down what it is given."""
    code = f"""
import sys, time
from dinku.serving.bench import attend
def opened(asked):
    print("noise on stdout")
    def tag(texts):
        with open({str(log)!r}, "a") as file: print(asked["model"], {batch_of}, file=file)
        time.sleep(0.001)
    return "odd", tag
attend(opened)
"""
    return [sys.executable, "-c", code]


def test_models_take_turns_over_all_texts(tmp_path: Path) -> None:
    log = tmp_path / "log"
    asked = {"texts": TEXTS, "threads": 1}
    with bench.bench_process("a", noted(log), asked) as a, bench.bench_process("b", noted(log), asked) as b:
        said: list[tuple[int, int]] = []
        told = bench.compare([a, b], batches=(2, 5), rounds=2, progress=lambda *n: said.append(n))
    calls = [line.split() for line in log.read_text().splitlines()]
    passes: list[tuple[str, list[int]]] = []
    for name, size in calls:
        if not passes or sum(passes[-1][1]) == len(TEXTS):
            passes.append((name, []))
        assert passes[-1][0] == name
        passes[-1][1].append(int(size))
    kinds = {"1": [1] * 5, "2": [2, 2, 1], "5": [5]}
    turns = [(name, kinds[batch]) for batch in kinds for name in "ab"]
    rounds = [passes[n : n + 6] for n in range(0, len(passes), 6)]
    assert len(rounds) == 3  # one of them warms up
    for each in rounds:
        assert each in [turns[n:] + turns[:n] for n in range(6)]
    assert rounds[1] != rounds[2]
    assert said == [(n, 18) for n in range(1, 19)]
    for model in told:
        assert model["precision"] == "odd"
        assert set(model["by_batch"]) == {"2", "5"}
        assert model["best_batch"] == int(max(model["by_batch"], key=model["by_batch"].get))
        assert model["sentences_per_second"] == pytest.approx(model["by_batch"][str(model["best_batch"])])
        for name in ("sentences_per_second", "p50_ms", "p95_ms", "ratio_to_first"):
            low, high = model[f"{name}_interval"]
            assert low <= model[name] <= high
        assert 0 < model["resident_bytes"] <= model["peak_bytes"]
        assert model["p50_ms"] <= model["p95_ms"]
    assert told[0]["ratio_to_first"] == 1


def test_numbers_are_those_of_the_rounds() -> None:
    class Fixed:
        model, precision, memory = "m", "fp32", bench.Memory(1, 2)

        def __init__(self, factor: float) -> None:
            one = [[9.0] * 4, [1.0, 2.0, 3.0, 4.0], [2.0, 4.0, 6.0, 8.0]]  # the first warms up
            self.seconds = {1: [[factor * s for s in r] for r in one], 4: [[9.0], [factor * 5.0], [factor * 11.0]]}

    told = bench._results_of(Fixed(2.0), (1, 4), Fixed(1.0))  # type: ignore[arg-type]
    assert told["by_batch"] == {"1": pytest.approx((4 / 20 + 4 / 40) / 2), "4": pytest.approx((4 / 10 + 4 / 22) / 2)}
    assert told["best_batch"] == 4
    assert told["ratio_to_first"] == 0.5
    assert told["ratio_to_first_interval"] == [0.5, 0.5]
    assert told["p50_ms"] == 2 * 3500


def test_the_command_tells_what_the_design_fixes(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tiny_corpus(6), tmp_path / "corpus.txt")
    tagger = tiny_tagger().save(tmp_path / "tagger")

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["dinku", "bench", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        return (int(stopped.value.code or 0), *capsys.readouterr())

    usual = ("--corpus", tmp_path / "corpus.txt", "--rounds", 1, "--threads", 1)
    status, out, err = run(tagger, bundle, *usual, "--batch", 4, "--json")
    assert status == 0, err
    told = json.loads(out)
    keys = {"model", "precision", "sentences_per_second", "p50_ms", "p95_ms", "resident_bytes", "ratio_to_first"}
    assert [m["model"] for m in told["models"]] == [str(tagger), str(bundle)]
    assert all(keys <= set(m) for m in told["models"])
    assert (told["sentences"], told["threads"], told["models"][0]["precision"]) == (6, 1, "fp32")
    # A bundle's process has no torch in it, which takes more than its whole model and engine.
    assert told["models"][1]["peak_bytes"] < told["models"][0]["peak_bytes"]
    status, out, _ = run(bundle, bundle, *usual)
    assert status == 0
    assert "to the first" in out
    numbered = json.loads((shutil.copytree(tagger, tmp_path / "numbered") / "config.json").read_text())
    numbered["id2label"] = {str(i): f"LABEL_{i}" for i in range(5)}
    (tmp_path / "numbered" / "config.json").write_text(json.dumps(numbered))
    names = "LABEL_0=O,LABEL_1=B-LOC,LABEL_2=I-LOC,LABEL_3=B-PER,LABEL_4=I-PER"
    status, out, err = run(tagger, tmp_path / "numbered", *usual, "--batch", 4, "--json", "--labels", names)
    assert (status, len(json.loads(out)["models"])) == (0, 2), err
    for wrong, said in (
        ((tmp_path / "nothing", *usual), "nothing"),
        ((tmp_path / "numbered", *usual), "--labels LABEL_0=O,LABEL_1=B-PER,LABEL_2=I-PER"),
        ((tagger, *usual, "--labels", "XYZ=PER"), "its head has no 'XYZ'"),
        ((bundle, *usual, "--precision", "bfloat16"), "--precision: a bundle has one precision"),
        ((bundle, *usual, "--batch", 0), "--batch: must be at least 1 (got 0)"),
        ((bundle, *usual[:-1], 0), "--threads: is 0; give 1 to "),
        ((bundle, "--corpus", tmp_path / "gone.txt"), "gone.txt"),
    ):
        status, out, err = run(*wrong)
        assert (status, out) == (2, ""), err
        assert said in err.splitlines()[-1]


def test_memory_is_told_to_be_unknown_where_the_system_does_not_say(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    absent = tmp_path / "status"
    resident, peak = bench._memory(absent)  # by getrusage, which knows the most alone
    assert resident == peak
    assert resident is not None
    monkeypatch.setitem(sys.modules, "resource", None)  # as on Windows
    assert bench._memory(absent) == bench.Memory(None, None)
    write(tiny_corpus(2), tmp_path / "corpus.txt")
    monkeypatch.setattr(bench.BenchProcess, "memory", bench.Memory(None, None))
    asked = ["--corpus", str(tmp_path / "corpus.txt"), "--rounds", "1", "--threads", "1", "--batch", "1"]
    for form in ([], ["--json"]):
        monkeypatch.setattr(sys, "argv", ["dinku", "bench", str(bundle), *asked, *form])
        with pytest.raises(SystemExit, match="0"):
            main()
        out = capsys.readouterr().out
        if form:
            assert json.loads(out)["models"][0]["resident_bytes"] is None
        else:
            assert "not measured" in out
            assert "memory can't be measured on this system" in out


def failing(code: str) -> Sequence[str]:
    return [sys.executable, "-c", f"from dinku.serving.bench import attend\n{code}"]


def test_a_process_that_ends_is_told() -> None:
    asked = {"texts": ["a"], "threads": 1}
    dying = failing("import os\nattend(lambda asked: ('x', lambda texts: os._exit(3)))")
    with (
        bench.bench_process("m", dying, asked) as each,
        pytest.raises(DinkuError, match="m: its process ended") as raised,
    ):
        each.run(1)
    assert raised.value.status == 1
    missing = failing("def opened(asked): import there_is_none\nattend(opened)")
    with pytest.raises(ModuleNotFoundError) as absent, bench.bench_process("m", missing, asked):
        pass
    assert absent.value.name == "there_is_none"
