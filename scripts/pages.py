"""Pages of the site that are made when it is built: a page a method, the reference of commands, and that of the API.

A hook of mkdocs (`mkdocs.yml` names it). What it writes stands in docstrings and in the commands' own help, so nothing has to be
kept in step.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import io
import json
import os
import re
import sys
from pathlib import Path, PurePosixPath
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SOURCE = "https://github.com/dinku/dinku/blob/main/"
# The parts that every method's docstring has, and their headings.
_PARTS = {
    "What it removes": "What it removes",
    "What it does": "What it does",
    "When it helps": "When it helps",
    "What it needs": "What it needs",
    "What it cannot do": "What it cannot do",
    "Source": "Where it was published",
}
_SMALL = ("spaCy", "bitsandbytes", "onnxruntime")  # names that begin with a small letter wherever they stand


def printed(*arguments: str) -> str:
    """What a ``dinku`` command prints, in this process, 100 columns wide."""
    from dinku.cli.app import app

    os.environ["COLUMNS"] = os.environ["TERMINAL_WIDTH"] = "100"
    with contextlib.redirect_stdout(io.StringIO()) as out:
        app(list(arguments), prog_name="dinku", standalone_mode=False)
    return out.getvalue().rstrip()


def markdown(text: str) -> str:
    """A docstring's text as Markdown: code in single backquotes."""
    return inspect.cleandoc(text).replace("``", "`")


def method_page(name: str, kind: Any, options: dict[str, Any]) -> str:
    """A method's page: its module's docstring under headings, its class's, and its options with their defaults."""
    module = markdown(sys.modules[kind.__module__].__doc__ or "")
    title, _, rest = module.partition("\n")
    said = title.partition(": ")[2]
    out = [f"# {name}", "", f"{said[:1].upper()}{said[1:]}", ""]
    pieces = re.split(rf"({'|'.join(_PARTS)}): ", rest.strip())
    for part, text in zip(pieces[1::2], pieces[2::2], strict=True):
        text = text.strip()
        begun = text if text.startswith(_SMALL) else f"{text[:1].upper()}{text[1:]}"
        out += [f"## {_PARTS[part]}", "", begun, ""]
    out += ["## In a study", "", "```yaml", f"- {name}: {{{needed(options)}}}", "```", ""]
    described = re.sub(r"^>>> .*(?:\n(?!\n).*)*", "", markdown(kind.__doc__ or ""), flags=re.M)
    out += [described.strip(), ""]
    if options:
        out += [
            "| option | default |",
            "|---|---|",
            *(f"| `{key}` | {shown(value)} |" for key, value in options.items()),
        ]
    if "chosen" in options.values():
        out += ["", "*chosen*: by a rule that suits the encoder and the data."]
    if "needed" in options.values():
        out += ["", "*needed*: has no default."]
    file = f"src/{kind.__module__.replace('.', '/')}.py"
    return "\n".join([*out, "", f"[Its source]({SOURCE}{file})"]) + "\n"


def needed(options: dict[str, Any]) -> str:
    """The options that must be given, as a study has them."""
    return ", ".join(f"{key}: …" for key, value in options.items() if value == "needed")


def shown(value: Any) -> str:
    """A default as Markdown."""
    return f"*{value}*" if value in ("chosen", "needed") else f"`{json.dumps(value, ensure_ascii=False)}`"


def methods() -> dict[str, str]:
    """The page of each of dinku's own methods, by name."""
    from dinku.methods.registry import find_method, names

    kinds = {name: find_method(name) for name in names()}
    own = {name: kind for name, kind in kinds.items() if kind and kind.__module__.startswith("dinku.")}
    options = json.loads(printed("methods", "--json"))
    return {name: method_page(name, kind, options[name]) for name, kind in own.items()}


def commands() -> str:
    """The reference of commands: each one's own help."""
    whole = printed("--help")
    own = [line.split()[0] for line in whole.partition("\nStart:")[2].splitlines() if re.match(r"  [a-z]", line)]
    data = [line.split()[0] for line in printed("data", "--help").splitlines() if re.match(r"  [a-z]+  ", line)]
    out = ["# Commands", "", "```text", whole, "```", ""]
    for name in [("data", each) for each in data] + [(each,) for each in own if each != "data"]:
        out += [f"## dinku {' '.join(name)}", "", "```text", printed(*name, "--help"), "```", ""]
    return "\n".join(out)


def api() -> str:
    """The reference of the API: what ``import dinku`` gives, from where it is defined."""
    tree = ast.parse((ROOT / "src" / "dinku" / "__init__.py").read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module != "__future__"]
    where = {alias.name: f"{node.module}.{alias.name}" for node in imports for alias in node.names}
    public = [name for name in sorted(where, key=str.lower) if where[name].startswith("dinku.")]
    out = [
        "# Python API",
        "",
        "All of these are names of `dinku` itself: `from dinku import Tagger`. Each is imported when it is first used.",
        "",
    ]
    for name in public:
        out += [f"::: {where[name]}", ""]
    return "\n".join(out)


def on_config(config: Any) -> Any:
    """Put a page a method into the navigation."""
    sys.path.insert(0, str(ROOT / "src"))
    (how,) = (section["How it works"] for section in config.nav if "How it works" in section)
    how += [f"how/{name}.md" for name in methods()]
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are made."""
    from mkdocs.structure.files import File

    made = {f"how/{name}.md": page for name, page in methods().items()}
    made |= {"commands.md": commands(), "api.md": api()}
    for path, content in made.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(text: str, page: Any, config: Any, files: Any) -> str:
    """Name files above their blocks, and lead links out of the documents to the repository."""
    text = re.sub(r"^```(\w+) ([\w./-]+)$", r'```\1 title="\2"', text, flags=re.M)

    def outside(link: re.Match[str]) -> str:
        target = os.path.normpath(PurePosixPath("docs", page.file.src_uri).parent / link[1])
        return link[0] if target.startswith("docs/") else f"]({SOURCE}{target})"

    return re.sub(r"\]\((\.\.[^)\s]*)\)", outside, text)
