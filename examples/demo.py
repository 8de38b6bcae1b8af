"""A two-minute slice of the whole story on made-up sentences: fine-tune, prune before and after, measure, compare.

The encoder is two random layers and the sentences come from a generator, so that nothing is downloaded and nothing is
learnt about any language. The numbers show that the road works from text to report, not what pruning costs anyone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from dinku.corpus import write
from dinku.results import Results
from dinku.store import Store
from dinku.testing import tiny_corpus, tiny_tagger

STUDY = """
name: demo
title: Pruning a made-up encoder on made-up sentences
base: encoder
corpus: corpus
recipes:
  - arm: dense
    seeds: [0, 1]
    steps: [FineTune: {epochs: 8, batch: 8, rate: 5.0e-3}]
  - arm: before
    seeds: [0, 1]
    grid: {sparsity: [0.5, 0.9]}
    steps: [Sparsify: {sparsity: $sparsity}, FineTune: {epochs: 8, batch: 8, rate: 5.0e-3}]
  - arm: after
    seeds: [0, 1]
    grid: {sparsity: [0.5, 0.9]}
    steps: [FineTune: {epochs: 8, batch: 8, rate: 5.0e-3}, Sparsify: {sparsity: $sparsity}]
latency: {reference: dense, sentences: 8, rounds: 3}
"""


def main() -> None:
    folder = Path(".dinku") / "demo"
    shutil.rmtree(folder, ignore_errors=True)
    home = folder / "home"
    tiny_tagger(tags=()).save(home / "models" / "encoder")
    for split, seed, sentences in (("train", 0, 240), ("dev", 1, 60), ("test", 2, 120)):
        made = tiny_corpus(sentences, seed=seed)
        for language in made.languages:
            (folder / "corpus" / language).mkdir(parents=True, exist_ok=True)
            write(made.only(language), folder / "corpus" / language / f"{split}.txt")
    (folder / "demo.yaml").write_text(STUDY, encoding="utf-8")

    def dinku(*arguments: str) -> None:
        print(f"\n$ dinku {' '.join(arguments)}", flush=True)
        command = [str(Path(sys.executable).with_name("dinku")), *arguments]
        subprocess.run(command, check=True, cwd=folder, env={**os.environ, "DINKU_HOME": str(home.resolve())})

    dinku("inspect", "encoder")
    dinku("run", "demo.yaml")
    dinku("report", "demo.yaml", "--out", "report")
    rows = Results(folder / "results" / "demo").rows()
    tagger = folder / "tagger"
    shutil.copytree(Store(home / "store").tagger(next(row.address for row in rows if row.arm == "dense")), tagger)
    (folder / "text.txt").write_text("Badeo Adeba ki Kiland\n", encoding="utf-8")
    dinku("predict", "tagger", "text.txt")
    print(
        f"\nThe report is {folder / 'report' / 'report.md'}, its figure beside it; a tagger to play with is {tagger}."
    )


if __name__ == "__main__":
    main()
