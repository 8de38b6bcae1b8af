"""Writes docs/notebooks/*.ipynb from the cells below, executed: ``python scripts/notebooks.py [NAME …]``.

It needs nbclient and ipykernel, which nothing else does: ``pip install nbclient ipykernel``. ``tests/test_notebooks.py`` runs the
same cells without them.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "notebooks"

# Text and code in turn, beginning with text.
NOTEBOOKS: dict[str, tuple[str, ...]] = {
    "tag": (
        "# Tag text\n\n`pip install dinku dinku-masakhaner`: no torch, no network. `dinku:masakhaner` finds people, places, "
        "organisations and dates in ten African languages; it is 1.8 MB.",
        'import dinku\n\ntagger = dinku.open("dinku:masakhaner")\ntagger',
        "`find` gives the entities of one text. `start` and `end` count its characters.",
        'text = "Shugaba Muhammadu Buhari ya gana da jami\'an Majalisar Dinkin Duniya a Abuja"\n'
        "for entity in tagger.find(text):\n"
        "    print(f\"{entity['label']:5} {entity['score']:.2f}  {entity['text']}\")\n"
        '    assert text[entity["start"] : entity["end"]] == entity["text"]',
        "`stream` reads any number of texts, some hundreds ahead.",
        "texts = [\n"
        '    "Rais Samia Suluhu Hassan alitembelea mji wa Dodoma siku ya Jumatatu",\n'
        '    "Tiwa Savage go perform for Lagos on Saturday",\n'
        '    "Peter Obi gara ahịa dị na Onitsha",\n'
        "]\n"
        "for answer in tagger.stream(texts):\n"
        '    print([(entity["text"], entity["label"]) for entity in answer["entities"]])',
        "How good is it on sentences of your own? `load` reads a file or a folder in any format that dinku knows. Here it is the "
        "sample that comes along: its sentences are generated, so that these numbers say nothing about a language.",
        'test = dinku.load("sample:hau,swa,yor", "test")\n'
        "counts = tagger.tagger.evaluate(test)\n"
        "for language in test.languages:\n"
        "    scores = counts.only(language).scores()\n"
        '    print(f"{language}  F1 {100 * scores.f1:.1f}  precision {100 * scores.precision:.1f}  '
        'recall {100 * scores.recall:.1f}")',
        "Next: [make one of your own sentences](compress.ipynb).",
    ),
    "compress": (
        "# Make a small tagger\n\n`pip install 'dinku[compress]'`. `dinku.compress` trains a tagger on your sentences, makes small "
        "students of it, and ends with one bundle that keeps your limits. Here the corpus is generated, and the search as short as "
        "can be: some minutes on two cores.",
        "import dinku\n\n"
        'budget = dinku.Budget(size="8MB", keep=0.9)\n'
        'made = dinku.compress("dinku:house", "sample:hau", budget, effort="quick", out="small")\n'
        "made",
        "`made` has what was chosen, what it costs, and what was tried.",
        "print(made.chosen.student.summary)\n"
        "print(f\"{made.facts['size'] / 1e6:.1f} MB, {made.facts['speed']:.0f} sentences a second on this machine\")\n"
        "print(f\"keeps {100 * made.facts['keep']:.0f} % of the tagger's F1 on {made.test.split}\")",
        "The bundle lies in `small`, with a card that names the worst language and what was lost; the study that makes it again, and "
        "the figure of all students, in `small-search`.",
        'from pathlib import Path\n\nprint(*sorted(p.name for p in Path("small").iterdir()))\n'
        'print(*sorted(p.name for p in Path("small-search").iterdir()))\n'
        'print(dinku.open("small").find("Amina Bello ta je Kano ranar Litinin"))',
        'With your own sentences: `dinku.compress("dinku:house", "my-folder", budget, text="my-texts")`, where `my-texts` holds '
        "unlabelled text, which helps most.",
    ),
    "rows": (
        "# Ask the rows\n\nEvery measurement of a study is a row in `results/`, with counts by sentence, so that new questions can be "
        "asked of old runs. This notebook asks the rows that come with dinku's repository what pruning costs.",
        "from pathlib import Path\n\nfrom dinku.claims.measurements import Measurements\nfrom dinku.study.results import Results\n\n"
        'found = Measurements.current(Results(Path("results/paper-cpu"))).quality.clean.seen\n'
        "len(found.rows), sorted({row.arm for row in found.rows})",
        "`clean` are rows of text as it is, without added noise; `seen` those in languages that were trained on: a mean never mixes "
        "these with languages never seen. A run is one recipe with one seed; `mean` is its F1, averaged over languages.",
        'runs = {(run.rows[0].arm, run.rows[0].values.get("sparsity", 0), run.seed): run for run in found.runs}\n'
        "for (arm, sparsity, seed), run in sorted(runs.items()):\n"
        '    if arm in ("dense", "before", "after"):\n'
        '        print(f"{arm:7} {sparsity:4.0%}  seed {seed}  {run.mean:.1f}")',
        "Two runs over the same sentences are compared sentence by sentence. The interval is that of a paired bootstrap over sentences "
        "and, where there are several, over seeds.",
        "from dinku.claims.compare import contrast\n\n"
        'dense = [runs["dense", 0, seed] for seed in (0, 1, 2)]\n'
        'for arm in ("before", "after"):\n'
        "    pruned = [runs[arm, 0.6, seed] for seed in (0, 1, 2)]\n"
        '    print(f"{arm} at 60 %: {contrast(dense, pruned)}")',
    ),
}


def notebook(cells: tuple[str, ...]) -> dict[str, Any]:
    """A notebook without outputs, in version 4.5 of the format."""
    out = []
    for number, source in enumerate(cells):
        kind: dict[str, Any] = {"cell_type": "markdown"}
        if number % 2:
            kind = {"cell_type": "code", "execution_count": None, "outputs": []}
        out.append(kind | {"id": f"cell-{number}", "metadata": {}, "source": source.splitlines(keepends=True)})
    about = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return {"cells": out, "metadata": about, "nbformat": 4, "nbformat_minor": 5}


def executed(name: str) -> dict[str, Any]:
    """A notebook with what its cells print, run in an empty folder that has dinku's ``results``."""
    import nbformat
    from nbclient import NotebookClient

    document = nbformat.reads(json.dumps(notebook(NOTEBOOKS[name])), as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "results").symlink_to(ROOT / "results")
        code = os.pathsep.join(str(ROOT / path) for path in ("src", "packages/dinku-masakhaner/src"))
        os.environ |= {"PYTHONPATH": code, "DINKU_HOME": f"{folder}/home", "DINKU_OFFLINE": "1"}
        NotebookClient(document, timeout=3600, resources={"metadata": {"path": folder}}).execute()
        text = nbformat.writes(document).replace(folder, "/home/you")
    found: dict[str, Any] = json.loads(text)
    for cell in found["cells"]:
        cell["metadata"] = {}
        outputs = cell.get("outputs", [])
        cell["outputs"] = [o for o in outputs if o.get("name") != "stderr"]  # progress
        if cell["cell_type"] != "code":
            del cell["outputs"]
    found["metadata"] = notebook(())["metadata"]
    return found


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for asked in sys.argv[1:] or NOTEBOOKS:
        text = json.dumps(executed(asked), ensure_ascii=False, indent=1)
        (FOLDER / f"{asked}.ipynb").write_text(text + "\n", encoding="utf-8")
