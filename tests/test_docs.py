"""What the documents say can be done."""

from __future__ import annotations

import ast
import http.client
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import encoders
import pytest
from rooms import PAGE, page

import dinku
from dinku.cli import app
from dinku.study.definition import BUILT_IN, Entry, Study
from dinku.training.settings import TrainingSettings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def without_scores(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [answer | {"entities": [entity | {"score": 0} for entity in answer["entities"]]} for answer in answers]


def test_the_studies_in_the_readme_are_some(tmp_path: Path) -> None:
    whole, part, matrix = blocks("yaml")
    top = whole[: whole.index("recipes:")]
    for block, arms in (
        (whole, ["dense", *["before"] * 3, *["after"] * 3]),
        (top + part, ["teacher", *["student"] * 3]),
        (top + matrix, ["dense"] * 3),
    ):
        (tmp_path / "mine.yaml").write_text(block, encoding="utf-8")
        assert [entry.arm for entry in Study.read(tmp_path / "mine.yaml").entries()] == arms


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Callable[..., Path]) -> Path:
    return tiny_bundle()


def test_the_python_on_bundles_in_the_readme_runs(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    block, _ = blocks("python")
    monkeypatch.chdir(bundle.parent)
    exec(compile(block, "README.md", "exec"), named := {})  # type: ignore[var-annotated]
    tagger = named["tagger"]
    first, *streamed = capsys.readouterr().out.splitlines()
    texts = re.findall(r'"([^"]+)"', block[block.index("tagger.stream([") :].partition("])")[0])
    assert ast.literal_eval(first) == tagger.find(re.findall(r'find\("([^"]+)"\)', block)[0])
    assert len(texts) == 2
    for text, line, answer in zip(texts, streamed, tagger.stream(texts), strict=True):
        assert line.startswith(text + " ")
        assert [one["start"] for one in ast.literal_eval(line.removeprefix(text + " "))] == [
            one["start"] for one in answer["entities"]
        ]


def test_the_requests_in_the_readme_are_answered_as_predict_does(bundle: Path) -> None:
    dinku = [sys.executable, "-c", "from dinku.cli.app import main; main()"]
    (block,) = (block for block in blocks("sh") if "curl" in block)
    command, *asked = block.splitlines()
    assert command.split()[:2] == ["dinku", "serve"]
    assert command.split()[2:] == ["bundle", "--port", "8000"]
    assert len(asked) == 2
    with subprocess.Popen([*dinku, "serve", str(bundle), "--port", "0"], stderr=subprocess.PIPE, text=True) as serving:
        try:
            assert serving.stderr
            port = int(serving.stderr.readline().rpartition(":")[2].partition("/")[0])
            for line in asked:
                program, _, address, _, header, _, body = shlex.split(line)
                host, _, path = address.replace("8000", str(port)).partition("/")
                assert (program, host) == ("curl", f"localhost:{port}")
                connection = http.client.HTTPConnection(host, timeout=60)
                connection.request("POST", f"/{path}", body, dict([header.split(": ")]))
                answer = json.loads(connection.getresponse().read())
                connection.close()
                given = json.loads(body)
                assert isinstance(answer, list) == isinstance(given, list)
                objects = [{"text": one} if isinstance(one, str) else one for one in listed(given)]
                told = "".join(json.dumps(one) + "\n" for one in objects)
                predict = [*dinku, "predict", str(bundle), "--jsonl", "--format", "jsonl"]
                predicted = subprocess.run(predict, input=told, capture_output=True, text=True, check=True, timeout=120)
                wanted = [json.loads(one) for one in predicted.stdout.splitlines()]
                assert without_scores(listed(answer)) == without_scores(wanted)
        finally:
            serving.terminate()
    assert serving.returncode == 0


def test_the_python_on_taggers_in_the_readme_names_what_there_is() -> None:
    _, block = blocks("python")
    imports = "\n".join(line for line in block.splitlines() if line.startswith("from"))
    named: dict[str, object] = {}
    exec(compile(imports, "README.md", "exec"), named)
    assert {"Tagger", "FineTune", "Sparsify", "sources"} <= set(named)
    compile(block, "README.md", "exec")


@pytest.mark.shared
def test_what_the_readme_types_is_answered_rightly(shared: Path) -> None:
    """By a tagger of ten languages, as the page's own is the reader's."""
    typed = set(re.findall(r"echo \"(.+)\" \| dinku predict", README)) | set(
        re.findall(r"tagger\.find\(\"(.+)\"\)", README)
    )
    typed |= set(re.findall(r"""-d '{"text": "(.+)"}'""", README))
    assert typed == {"Muhammadu Buhari ya ziyarci Lagos"}
    found = dinku.open(str(shared / "models" / "e5-masakhaner"), threads=1).find(*typed)
    assert [(e["start"], e["end"], e["label"], e["text"]) for e in found] == [
        (0, 16, "PER", "Muhammadu Buhari"),
        (28, 33, "LOC", "Lagos"),
    ]


def test_the_commands_in_the_readme_are_there() -> None:
    groups = [("", app.app), ("data ", app.data)]
    commands = [(group, command) for group, app in groups for command in app.registered_commands]
    there = {group + (c.name or c.callback.__name__) for group, c in commands if c.callback}
    named = set(re.findall(r"^(?:echo .*\| )?dinku ((?:data )?\w+)", "\n".join(blocks("sh")), re.M))
    assert named
    assert named <= there


@cache
def read(name: str) -> tuple[Study, list[Entry]]:
    """A study and its entries, some of which are hundreds."""
    study = Study.read(name)
    return study, list(study.entries())


@pytest.mark.parametrize("path", sorted((ROOT / "studies").glob("*.yaml")), ids=lambda p: p.name)
def test_every_study_reads(path: Path) -> None:
    study, entries = read(str(path))
    assert study.name == path.stem
    assert entries
    assert {entry.arm for entry in entries} <= {block.arm for block in study.recipes}


@pytest.mark.parametrize("name", [*map(str, sorted((ROOT / "studies").glob("*.yaml"))), *BUILT_IN])
def test_trainings_of_committed_studies_leave_nothing_to_choose(name: str) -> None:
    """A rule that chooses better numbers one day must not move the addresses that rows are kept by."""
    for entry in read(name)[1]:
        for step in entry.recipe.steps:
            if isinstance(step, TrainingSettings):
                assert None not in (step.rate, step.batch, getattr(step, "epochs", 0)), f"{name} ({entry.arm}): {step}"


def test_links_lead_somewhere() -> None:
    for document in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for link in re.findall(r"\]\((?!https?://)([^)#]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / link).exists(), f"{document.name}: {link}"


def test_the_container_file_copies_what_there_is() -> None:
    lines = (ROOT / "Containerfile").read_text(encoding="utf-8").splitlines()
    copied = {name for line in lines if line.startswith("COPY ") for name in line.split()[1:-1]}
    assert {"src", "pyproject.toml", "constraints.txt"} < copied
    ignored = (ROOT / ".containerignore").read_text(encoding="utf-8").split()
    for name in copied:
        assert (ROOT / name).exists()
        assert f"!{name}" in ignored
    assert "compress" not in "".join(lines)
    assert 'ENTRYPOINT ["dinku"]' in lines


def test_the_table_of_rooms_is_made_from_their_docstrings() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python tests/rooms.py"


def test_the_table_of_encoders_is_made_from_the_families() -> None:
    assert encoders.PAGE.read_text(encoding="utf-8") == encoders.page(), "run python tests/encoders.py"
