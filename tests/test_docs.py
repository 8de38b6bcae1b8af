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
from typing import Any, NamedTuple

import encoders
import pytest
from rooms import PAGE, page

import dinku
from dinku.cli.helping import Command
from dinku.data.corpus import Corpus
from dinku.methods.registry import names
from dinku.model.installed import installed_models
from dinku.study.definition import BUILT_IN, Entry, Study
from dinku.testing import tiny_tagger
from dinku.training.settings import TrainingSettings

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
DOCS = ROOT / "docs"
STUDIES = DOCS / "howto" / "study.md"
# Pages for users, whose code runs. docs/formats.md has tests of its own, and docs/log.md and docs/decisions.md are records.
PAGES = [
    README,
    *sorted(
        {*DOCS.rglob("*.md")}
        - {DOCS / f"{name}.md" for name in ("formats", "encoders", "log", "decisions", "architecture")}
    ),
]
HERE = "https://github.com/dinku/dinku/blob/main/"
RAW = "https://raw.githubusercontent.com/dinku/dinku/main/"


class Block(NamedTuple):
    """A block of code on a page: its language, what stands behind that, and its text."""

    page: Path
    language: str
    name: str
    text: str


def blocks(page: Path, language: str) -> list[Block]:
    found = re.findall(r"^```(\w+)(?: (\S+))?\n(.*?)^```", page.read_text(encoding="utf-8"), re.S | re.M)
    return [Block(page, *each) for each in found if each[0] == language]


def every(language: str) -> list[Any]:
    """Every block of a language on the pages for users, as parameters of a test."""
    return [
        pytest.param(block, id=f"{page.relative_to(ROOT)}-{i}")
        for page in PAGES
        for i, block in enumerate(blocks(page, language))
    ]


def commands(text: str) -> list[list[str]]:
    """The arguments of each ``dinku`` in lines of a shell, without comments."""
    lines = [re.sub(r"\s+# .*", "", line).rpartition(" | ")[2] for line in text.splitlines()]
    return [shlex.split(line.partition(" > ")[0])[1:] for line in lines if line.startswith("dinku ")]


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def without_scores(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [answer | {"entities": [entity | {"score": 0} for entity in answer["entities"]]} for answer in answers]


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Callable[..., Path]) -> Path:
    return tiny_bundle()


@pytest.fixture
def desk(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which a reader of the pages works: with a bundle ``small`` and a text ``notes.txt``."""
    (tmp_path / "small").symlink_to(bundle)
    (tmp_path / "notes.txt").write_text("Amina ta isa Kano\nMusa yana Legas\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_studies_on_the_page_of_studies_are_some(tmp_path: Path) -> None:
    whole, part, matrix = (block.text for block in blocks(STUDIES, "yaml"))
    top = whole[: whole.index("recipes:")]
    for block, arms in (
        (whole, ["dense", *["before"] * 3, *["after"] * 3]),
        (top + part, ["teacher", *["student"] * 3]),
        (top + matrix, ["dense"] * 3),
    ):
        (tmp_path / "mine.yaml").write_text(block, encoding="utf-8")
        assert [entry.arm for entry in Study.read(tmp_path / "mine.yaml").entries()] == arms


@pytest.mark.parametrize("block", every("sh"))
def test_commands_are_understood(
    block: Block, dinku: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every command is one, with options and values that it takes; nothing is run."""
    monkeypatch.setattr(Command, "invoke", lambda self, context: None)
    for arguments in commands(block.text):
        assert dinku(*arguments) == (0, "", ""), arguments


@pytest.mark.parametrize("block", every("console"))
def test_commands_print_what_the_pages_say(
    block: Block, desk: Path, dinku: Callable[..., tuple[int, str, str]]
) -> None:
    for own in (each for kind in ("json", "text") for each in blocks(block.page, kind) if each.name):
        (desk / own.name).write_text(own.text, encoding="utf-8")
    for shown in block.text.split("$ dinku ")[1:]:
        line, _, wanted = shown.partition("\n")
        _, out, err = dinku(*shlex.split(line))
        printed = "\n".join(line.rstrip() for line in (out + err).splitlines())
        assert re.fullmatch(re.escape(wanted.rstrip()).replace("…", ".*"), printed), printed


@pytest.mark.parametrize(
    "block", [each for each in every("python") if each.values[0].page != STUDIES and not each.values[0].name]
)
def test_python_on_the_pages_runs(block: Block, desk: Path) -> None:
    exec(compile(block.text, str(block.page), "exec"), {})


def test_the_python_on_training_runs(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it stands on the page, but on a tiny encoder and eight sentences."""
    (block,) = blocks(STUDIES, "python")
    from dinku.data import sources
    from dinku.nn.tagger import Tagger

    asked, load = list[str](), sources.load

    def few(name: str, split: str) -> Corpus:
        asked.append(name)
        return load("sample:hau", split).sample(8, 0)

    def tiny(name: str) -> Tagger:
        asked.append(name)
        return tiny_tagger()

    monkeypatch.setattr(sources, "load", few)
    monkeypatch.setattr(Tagger, "load", tiny)
    exec(compile(block.text.replace("FineTune()", "FineTune(epochs=1)"), "study.md", "exec"), {})
    assert asked == ["masakhaner:hau", "masakhaner:hau", "castorini/afriberta_small"]
    assert (desk / "my-tagger" / "config.json").exists()


def test_the_python_in_the_readme_prints_what_the_bundle_finds(
    bundle: Path, desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (block,) = blocks(README, "python")
    exec(compile(block.text, "README.md", "exec"), named := {})  # type: ignore[var-annotated]
    tagger = named["tagger"]
    first, *streamed = capsys.readouterr().out.splitlines()
    texts = re.findall(r'"([^"]+)"', block.text[block.text.index("tagger.stream([") :].partition("])")[0])
    assert ast.literal_eval(first) == tagger.find(re.findall(r'find\("([^"]+)"\)', block.text)[0])
    assert len(texts) == 2
    for text, line, answer in zip(texts, streamed, tagger.stream(texts), strict=True):
        assert line.startswith(text + " ")
        assert [one["start"] for one in ast.literal_eval(line.removeprefix(text + " "))] == [
            one["start"] for one in answer["entities"]
        ]


def test_the_requests_in_the_readme_are_answered_as_predict_does(bundle: Path) -> None:
    dinku = [sys.executable, "-c", "from dinku.cli.app import main; main()"]
    (block,) = (block.text for block in blocks(README, "sh") if "curl" in block.text)
    asked = block.splitlines()
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


@pytest.mark.shared
def test_what_the_readme_asks_is_answered_rightly(shared: Path) -> None:
    """By a tagger of ten languages, as the page's own is the reader's."""
    text = README.read_text(encoding="utf-8")
    asked = set(re.findall(r"tagger\.find\(\"(.+)\"\)", text)) | set(re.findall(r"""-d '{"text": "(.+)"}'""", text))
    assert asked == {"Muhammadu Buhari ya ziyarci Lagos"}
    found = dinku.open(str(shared / "models" / "e5-masakhaner"), threads=1).find(*asked)
    assert [(e["start"], e["end"], e["label"], e["text"]) for e in found] == [
        (0, 16, "PER", "Muhammadu Buhari"),
        (28, 33, "LOC", "Lagos"),
    ]


def test_the_first_command_of_the_readme_prints_what_it_says(dinku: Callable[..., tuple[int, str, str]]) -> None:
    """By the model of packages/dinku-masakhaner, where that holds one: scores may differ by a hundredth or two."""
    text = README.read_text(encoding="utf-8")
    (asked,) = re.findall(r"^echo \"(.+)\" \| dinku predict dinku:masakhaner$", text, re.M)
    shown = blocks(README, "text")[0].text
    assert text[: text.index(shown)].count("\n") < 40
    assert shown.splitlines()[0] == asked
    folder = installed_models().get("dinku:masakhaner")
    if folder is None or not (folder / "config.json").exists():
        pytest.skip("dinku-masakhaner isn't installed with its model")
    status, printed, _ = dinku("predict", "dinku:masakhaner", stdin=f"{asked}\n".encode())
    score = r"0\.\d\d"
    assert status == 0
    assert re.sub(score, "", printed) == re.sub(score, "", shown)
    for ours, said in zip(re.findall(score, printed), re.findall(score, shown), strict=True):
        assert abs(float(ours) - float(said)) < 0.03


def test_the_readme_is_short_and_stands_alone() -> None:
    """On a package index there is nothing beside it: links and images are absolute."""
    text = README.read_text(encoding="utf-8")
    assert text.count("\n") <= 150
    assert re.findall(r"\]\((?!https://)[^)]*\)", text) == []


def anchors(page: Path) -> set[str]:
    """The names of a page's headings, as GitHub and the site make them."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


@pytest.mark.parametrize(
    "page", [*PAGES, *DOCS.glob("*.md"), ROOT / "CONTRIBUTING.md"], ids=lambda p: str(p.relative_to(ROOT))
)
def test_links_lead_somewhere(page: Path) -> None:
    made = {f"{name}.md" for name in names()}  # a page a method, which the site makes
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        own = link.removeprefix(HERE).removeprefix(RAW)
        if own.startswith(("https://", "http://")):
            continue
        path, _, anchor = own.partition("#")
        target = (ROOT if own != link else page.parent) / path if path else page
        if target.parent == DOCS / "how" and target.name in made:
            continue
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


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


def test_the_method_on_its_page_is_the_one_that_tests_install() -> None:
    (block,) = (each for each in blocks(DOCS / "howto" / "method.md", "python") if each.name == "method")
    assert block.text in (ROOT / "tests" / "package" / "src" / "dinku_zeroing" / "__init__.py").read_text(
        encoding="utf-8"
    )
