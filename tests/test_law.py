"""The law of the rooms: a file imports only from rooms above its own, and no files import one another in a circle."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "dinku"
GROUND = ("errors", "settings", "schema", "digests", "files", "machine", "progress")
ROOMS = (
    *("data", "scoring", "model", "modeling", "nn", "serving", "method", "training", "export", "methods"),
    *("study", "claims", "report", "making", "testing", "cli", "__main__"),
)  # in this order; a single file is a room of its own
WITH_TORCH = ("modeling", "nn", "training", "export", "testing")  # where torch may be imported at the top of a file
FILES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts): path
    for path in sorted(SOURCE.rglob("*.py"))
    if path != SOURCE / "__init__.py"
}


def room(name: str) -> str:
    return name.split(".")[0]


def height(name: str) -> int:
    return 0 if room(name) in GROUND else 1 + ROOMS.index(room(name))


@cache
def imported(name: str) -> frozenset[str]:
    """The files of dinku that a file imports: at its top, inside functions, and for types alone."""
    names = set()
    for node in ast.walk(ast.parse(FILES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.removeprefix("dinku.") for alias in node.names if alias.name.startswith("dinku.")}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "dinku":
            above = node.module.removeprefix("dinku").removeprefix(".")
            for alias in node.names:
                inner = f"{above}.{alias.name}".removeprefix(".")
                names.add(inner if inner in FILES else above)
    return frozenset(name if name in FILES else f"{name}.__init__" for name in names if name)


def test_every_file_stands_in_a_room() -> None:
    assert {room(name) for name in FILES} == {*GROUND, *ROOMS}


@pytest.mark.parametrize("name", FILES)
def test_a_file_imports_only_from_rooms_above_its_own(name: str) -> None:
    below = sorted(other for other in imported(name) if height(other) > height(name))
    assert not below, f"{name} imports {', '.join(below)}, in rooms below its own"


def test_no_files_import_one_another_in_a_circle() -> None:
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " imports ".join((*path[path.index(name) :], name))
        if name not in done:
            for other in sorted(imported(name)):
                visit(other, (*path, name))
            done.add(name)

    for name in FILES:
        visit(name, ())


@pytest.mark.parametrize("folder", sorted(path.parent.name for path in SOURCE.glob("*/__init__.py")))
def test_a_room_is_a_folder_with_a_line_that_says_what_it_is(folder: str) -> None:
    tree = ast.parse((SOURCE / folder / "__init__.py").read_text(encoding="utf-8"))
    said = ast.get_docstring(tree)
    assert said
    assert "\n" not in said
    assert len(tree.body) == 1 or folder == "methods"  # whose classes are imported from it by name


@pytest.mark.parametrize("name", [name for name in FILES if room(name) not in WITH_TORCH])
def test_torch_is_imported_at_the_top_only_where_it_is_at_home(name: str) -> None:
    tree = ast.parse(FILES[name].read_text(encoding="utf-8"))
    tops = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name for node in tops if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in tops if isinstance(node, ast.ImportFrom)}
    assert not {each.split(".")[0] for each in names} & {"torch", "transformers", "accelerate"}


def test_methods_do_not_import_one_another() -> None:
    for name in FILES:
        if room(name) == "methods" and name not in ("methods.registry", "methods.__init__"):
            assert not {other for other in imported(name) if room(other) == "methods"}, name
