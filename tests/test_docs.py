"""What the documents say can be done."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import dinku
from dinku import cli
from dinku.method import Trained
from dinku.reader import Reader
from dinku.study import BUILT_IN, Study

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


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


def test_the_python_in_the_readme_names_what_there_is() -> None:
    three, block = blocks("python")
    assert len(three.split("\n\n")) == 2
    assert re.findall(r"^(?:import|tagger = dinku)\b.*|tagger\.\w+", three, re.M) == [
        "import dinku",
        'tagger = dinku.open("bundle")',
        "tagger.find",
    ]
    assert callable(dinku.open)
    assert callable(Reader.find)
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
    groups = [("", cli.app), ("data ", cli.data)]
    commands = [(group, command) for group, app in groups for command in app.registered_commands]
    there = {group + (c.name or c.callback.__name__) for group, c in commands if c.callback}
    named = set(re.findall(r"^(?:echo .*\| )?dinku ((?:data )?\w+)", "\n".join(blocks("sh")), re.M))
    assert named
    assert named <= there


@pytest.mark.parametrize("path", sorted((ROOT / "studies").glob("*.yaml")), ids=lambda p: p.name)
def test_every_study_reads(path: Path) -> None:
    study = Study.read(path)
    assert study.name == path.stem
    assert list(study.entries())


@pytest.mark.parametrize("name", [*map(str, sorted((ROOT / "studies").glob("*.yaml"))), *BUILT_IN])
def test_trainings_of_committed_studies_leave_nothing_to_choose(name: str) -> None:
    """A rule that chooses better numbers one day must not move the addresses that rows are kept by."""
    for entry in Study.read(name).entries():
        for step in entry.recipe.steps:
            if isinstance(step, Trained):
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
