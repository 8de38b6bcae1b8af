"""Help in groups, examples that can be typed, and the lists of methods and of the store."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.main import get_command

from dinku.cli.app import app
from dinku.cli.helping import EXAMPLES, GROUPS
from dinku.methods.registry import names
from dinku.model.store import Store

Command = Callable[..., tuple[int, str, str]]
COMMANDS = get_command(app).commands  # type: ignore[attr-defined]


def test_every_command_stands_in_a_group_and_has_two_examples(dinku: Command) -> None:
    grouped = [name for group in GROUPS.values() for name in group]
    assert sorted(grouped) == sorted({*COMMANDS} - {"help"})
    inner = {f"data {name}" for name in COMMANDS["data"].commands}
    assert {*EXAMPLES} == {*grouped, *inner} - {"data"}
    assert all(len(examples) == 2 for examples in EXAMPLES.values())
    titles = re.findall(r"^(\w+):$", dinku("--help")[1], re.M)
    assert titles == ["Options", *GROUPS]


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_have_only_options_that_there_are(name: str, dinku: Command) -> None:
    group, _, inner = name.rpartition(" ")
    command = COMMANDS[group].commands[inner] if group else COMMANDS[name]
    options = {option for parameter in command.params for option in parameter.opts}
    for example in EXAMPLES[name]:
        typed = shlex.split(example.rpartition("| ")[2])
        assert typed[: 1 + len(name.split())] == ["dinku", *name.split()]
        assert {word for word in typed if word.startswith("--")} <= options
        context = command.make_context(name, [*typed[1 + len(name.split()) :]], resilient_parsing=True)
        assert context.command is command
    head = dinku(*name.split(), "--help")[1].split("\n\n")[1]
    assert [line.strip() for line in head.splitlines()] == [*EXAMPLES[name]]


def test_help_is_a_command_too(dinku: Command) -> None:
    assert dinku("help")[1].rstrip() == dinku("--help")[1].rstrip()
    assert dinku("help", "data", "check")[1].startswith("Usage: dinku data check")
    assert dinku("help", "trian")[::2] == (2, "dinku: trian: isn't a command; did you mean train? see `dinku --help`\n")


def test_methods_lists_every_step_with_its_options(dinku: Command) -> None:
    status, out, _ = dinku("methods")
    assert status == 0
    assert sorted(re.findall(r"^(\w+) \(\w+\): ", out, re.M)) == names()
    assert "    heads=needed\n" in out
    assert "epochs=chosen" in out
    document = json.loads(dinku("methods", "KeepLayers", "--json")[1])
    assert document == {"KeepLayers": {"importance": "magnitude", "sentences": 512, "keep": [], "layers": 0}}
    assert "Keeping all of them changes nothing" in dinku("methods", "KeepLayers")[1]
    assert "KeepLayer: isn't a method; did you mean KeepLayers?" in dinku("methods", "KeepLayer")[2]


def stored(store: Store, address: str, *, whole: bool) -> None:
    folder = store.begin(address)
    folder.mkdir()
    (folder / "model").write_bytes(b"x" * 1000)
    if whole:
        store.finish(address, {"before": "", "step": {"FineTune": {}}})


def test_the_store_is_listed_and_cleaned(dinku: Command, home: Path) -> None:
    assert dinku("store")[1].startswith(f"{home / 'store'}: 0.0 MB taggers, 0.0 MB answers, 0.0 MB unfinished")
    store, whole, begun, held = Store(home / "store"), "a" * 64, "b" * 64, "c" * 64
    stored(store, whole, whole=True)
    stored(store, begun, whole=False)
    stored(store, held, whole=False)
    (store.answers / "one").mkdir(parents=True)
    (store.answers / "one" / "0.npy").write_bytes(b"x" * 500)
    document = json.loads(dinku("store", "--json")[1])
    assert [(one["address"], one["step"]) for one in document["listed"]] == [(whole, "FineTune")]
    assert (document["answers"], document["unfinished"]) == (500, 2000)
    assert re.search(r"aaaaaaaa │ FineTune", dinku("store")[1])
    with store.lock(held, wait=False):
        assert json.loads(dinku("store", "--clean", "unfinished", "--json")[1])["freed"] == 1000
    assert (store.has(whole), store.tagger(begun).exists(), store.tagger(held).exists()) == (True, False, True)
    assert json.loads(dinku("store", "--clean", "all", "--json")[1])["freed"] >= 2500
    assert not store.has(whole)
    assert not store.tagger(held).exists()
    assert not store.answers.exists()


def test_results_are_found_though_a_folder_has_the_name_of_the_study(dinku: Command, place: Path) -> None:
    study = place / "small.yaml"
    study.write_text(
        "\n".join(line for line in study.read_text().splitlines() if not line.startswith("title:")), encoding="utf-8"
    )
    status, out, _ = dinku("run", "small.yaml", "--only", "dense")
    assert status == 0
    assert re.search(r"dense seed 0 +│ +\d+\.\d │ (one|two) \d+\.\d +│ +0\.0 │ [0-9a-f]{8} ", out)
    assert "see them with: dinku report small.yaml" in out
    Path("small").mkdir()
    status, out, _ = dinku("results", "small", "--by", "arm")
    assert (status, "dense" in out) == (0, True)
    Path("small.yaml").unlink()
    assert dinku("results", "small", "--json")[0] == 0
