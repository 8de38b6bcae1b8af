"""What several test modules share."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dinku.claims.ledger import ledger
from dinku.claims.measurements import Measurements
from dinku.claims.verdict import Verdict
from dinku.digests import canonical
from dinku.machine import Environment
from dinku.scoring.counts import Counts
from dinku.study.archive import Archive
from dinku.study.results import Results, totals
from dinku.study.rows import Latency, Row, Size, Target

SENTENCES = 100


MACHINE = Environment(
    system="Linux x86_64",
    cpu="A Processor",
    instructions=("avx2",),
    cores=2,
    threads=1,
    python="3.11.0",
    packages={"torch": "2.8"},
    commit="0123456789abcdef",
    dirty=False,
)


def steps_of(order: str, sparsity: float, **training: Any) -> list[dict[str, Any]]:
    """The steps of dense, before, after and recovery, three epochs each."""

    def tune(epochs: int) -> dict[str, Any]:
        return {"FineTune": {"epochs": epochs, "rate": 1e-4, "keep_zeros": True, "tags": ["O", "B-PER"], **training}}

    prune = {"Sparsify": {"sparsity": sparsity, "granularity": "global", "embeddings": False}}
    return {
        "dense": [tune(3)],
        "before": [prune, tune(3)],
        "after": [tune(3), prune],
        "after with recovery": [tune(2), prune, tune(1)],
    }[order]


def counts_of(language: str, f1: int, strict: int) -> Counts:
    """A span and a word a sentence, as many right as make that F1; what a lower F1 finds a higher one finds as well."""
    ranks = np.random.default_rng(list(language.encode())).permutation(SENTENCES)
    tables = []
    for right in (f1, strict):
        table = np.zeros((SENTENCES, 2, 3), np.int64)
        table[np.arange(SENTENCES), np.arange(SENTENCES) % 2, :2] = 1
        table[np.arange(SENTENCES), np.arange(SENTENCES) % 2, 2] = ranks < right
        tables.append(table)
    return Counts(("LOC", "PER"), (language,) * SENTENCES, np.ones(SENTENCES, np.int64), tables[0], tables[1])


def lose_counts(results: Results, row: Row) -> None:
    """Make a row's counts missing, and no other's."""
    archive = Archive(results.folder / "counts.archive")
    others = {name: archive.get(name) or b"" for name in archive.names if name != row.counts_file}
    archive.path.unlink()
    archive.append(others)


@dataclass
class Made:
    """Rows with chosen F1 and times, written where a study's rows go. The fields are what rows share."""

    folder: Path
    base: str = "tiny"
    corpus: str = "masakhaner:hau,swa"
    languages: tuple[str, ...] = ("hau", "swa")
    split_size: int = SENTENCES

    @property
    def results(self) -> Results:
        return Results(self.folder)

    @property
    def measurements(self) -> Measurements:
        return Measurements.current(self.results)

    def verdict(self, claim: str) -> Verdict:
        return {v.claim: v for v in ledger(self.measurements)}[claim]

    def row(self, order: str, sparsity: float, seed: int, language: str, arm: str = "", **more: Any) -> Row:
        training = more.pop("training", {})
        recipe = {"base": self.base, "corpus": self.corpus, "seed": seed, "label_on": "first"}
        recipe["steps"] = more.pop("steps", steps_of(order, sparsity, **training))
        recipe |= {"text": more.pop("text")} if "text" in more else {}
        sentences = more.pop("sentences", SENTENCES)
        note = f" ({sentences} of {self.split_size})" if sentences < self.split_size else ""
        return Row(
            study=self.folder.name,
            arm=arm or order,
            values={} if order == "dense" else {"sparsity": sparsity},
            recipe=recipe,
            base_digest=hashlib.sha256(self.base.encode()).hexdigest(),
            seed=seed,
            corpus=f"{self.corpus} ({language}){note}",
            language=language,
            split="test",
            fingerprint=hashlib.sha256(f"{self.corpus} {language} {note}".encode()).hexdigest(),
            sentences=sentences,
            sentences_in_split=self.split_size,
            **{
                "environment": MACHINE,
                "address": hashlib.sha256(canonical(recipe).encode()).hexdigest(),
                **more,
            },
        )

    def quality(
        self,
        order: str,
        sparsity: float,
        f1: int | Mapping[str, int],
        *,
        seeds: int | Iterable[int] = 3,
        strict: int = 4,
        parameters: int = 50_000,
        bytes_disk: int = 200_000,
        **more: Any,
    ) -> None:
        """Rows of so many seeds, or of these; strict F1 is ``strict`` points less."""
        rows = list[tuple[Row, Counts, None]]()
        for seed in range(seeds) if isinstance(seeds, int) else seeds:
            for language in self.languages:
                points = f1 if isinstance(f1, int) else f1[language]
                counts = counts_of(language, points, points - strict)
                linear = parameters // 5
                size = Size(
                    parameters=parameters,
                    nonzero=parameters - round(sparsity * linear),
                    linear=linear,
                    linear_nonzero=linear - round(sparsity * linear),
                    bytes_disk=bytes_disk,
                    bytes_download=round(180_000 - 30_000 * sparsity),
                )
                row = self.row(order, sparsity, seed, language, kind="quality", spans=totals(counts), size=size, **more)
                rows.append((row, counts, None))
        self.results.add_all(rows)

    def latency(self, order: str, sparsity: float, ratio: float | Mapping[str, float], **more: Any) -> None:
        """Five rounds in which the dense tagger is up to 4 % slower or faster than itself."""
        for language in self.languages:
            by = ratio if isinstance(ratio, float) else ratio[language]
            noise = (0.96, 0.98, 1.0, 1.02, 1.04)
            times = Latency(reference="f" * 64, sentences=24, subject=(by,) * 5, dense=(1.0,) * 5, again=noise)
            more = {"sentences": 24, **more}
            self.results.add(self.row(order, sparsity, 0, language, kind="latency", latency=times, **more))


TUNE = {"FineTune": {"epochs": 3, "rate": 1e-4}}


LESS = {"KeepLayers": {"keep": [0, 1, 2]}}


def distil(**fields: Any) -> dict[str, Any]:
    return {"Distil": {"epochs": 3, "temperature": 2.0, "student": [LESS], **fields}}


HOME = ("hau", "swa")


class Tagged(Made):
    """Rows on any corpus and language, clean or perturbed."""

    def on(
        self,
        order: str,
        sparsity: float,
        f1: Mapping[str, int],
        *,
        corpus: str = "",
        perturbation: str = "",
        seeds: int | Iterable[int] = 3,
        labels: tuple[str, ...] = ("LOC", "PER"),
        features: Mapping[str, Mapping[str, int]] | None = None,
        changed: int | None = None,
        **more: Any,
    ) -> None:
        rows = list[tuple[Row, Counts, None]]()
        for seed in range(seeds) if isinstance(seeds, int) else seeds:
            for language, value in f1.items():
                counts = counts_of(language, value, value)
                counts = Counts(labels, *(getattr(counts, n) for n in ("languages", "words", "default", "strict")))
                target = {
                    "words": 100,
                    "subwords": 150,
                    "unknown": 3,
                    "types": 80,
                    "of": 100,
                    "names": 100,
                    "new_names": 50,
                }
                target |= {"train_sentences": 1000 * (language in HOME)} | dict((features or {}).get(language, {}))
                name = corpus or self.corpus
                row = self.row(
                    order, sparsity, seed, language, kind="quality", spans=totals(counts), **more
                ).model_copy(
                    update={
                        "corpus": f"{name} ({language})",
                        "fingerprint": f"{name} {language} {perturbation}".encode().hex().ljust(64, "0")[-64:],
                        "perturbation": perturbation,
                        "changed": changed,
                        "target": Target(trained=HOME, **target),
                    }
                )
                rows.append((row, counts, None))
        self.results.add_all(rows)

    def pruned(self, corpus: str, f1: Mapping[float, Mapping[str, int]], **more: object) -> None:
        for sparsity, of in f1.items():
            self.on("before" if sparsity else "dense", sparsity, of, corpus=corpus, **more)  # type: ignore[arg-type]
