"""Corpora that are known by name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dinku.settings import home


@dataclass(frozen=True)
class Source:
    """A corpus in several languages, as one commit of a repository holds it.

    ``folder`` is the place of the language folders in the repository; ``languages`` is what ``all`` stands for;
    ``apart`` maps languages that lie beside them, but differ in kind, to the splits that they have.
    ``hub`` is what the Hub calls it.
    """

    title: str
    folder: str
    languages: tuple[str, ...]
    repository: str
    commit: str
    licence: str
    citation: str
    apart: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    hub: str = ""

    @property
    def cache(self) -> Path:
        """Where a copy of the repository is looked for."""
        return home() / "corpora" / self.repository.rsplit("/", 1)[-1]

    def file(self, language: str, split: str) -> Path:
        """Where the file of one split is looked for."""
        return self.cache / self.folder / language / f"{split}.txt"

    @property
    def mirror(self) -> str:
        """Where the repository's files are fetched from: ``DINKU_MIRROR``, else GitHub at the pinned commit."""
        there = f"{self.repository.replace('github.com', 'raw.githubusercontent.com')}/{self.commit}"
        return (os.environ.get("DINKU_MIRROR") or there).rstrip("/")

    @property
    def published(self) -> dict[str, tuple[str, int]]:
        """sha256 and bytes of every file of the repository's data, by its path."""
        table = Path(__file__).with_name(f"{self.cache.name}.sha256").read_text(encoding="ascii")
        lines = (line.split(maxsplit=2) for line in table.splitlines())
        return {path: (digest, int(size)) for digest, size, path in lines}


_REPOSITORY = "https://github.com/masakhane-io/masakhane-ner"


_COMMIT = "ba5843cd08aa491d5f96a5e809e71eb9ec461391"


SOURCES: Mapping[str, Source] = {
    "masakhaner": Source(
        title="MasakhaNER 1.0",
        folder="data",
        languages=("amh", "hau", "ibo", "kin", "lug", "luo", "pcm", "swa", "wol", "yor"),
        repository=_REPOSITORY,
        commit=_COMMIT,
        licence="CC BY-NC 4.0",
        citation="Adelani et al. (2021), MasakhaNER: Named Entity Recognition for African Languages, TACL 9",
        apart={"zh": ("dev", "test")},  # characters instead of words, and no DATE
        hub="masakhane/masakhaner",
    ),
    "masakhaner2": Source(
        title="MasakhaNER 2.0",
        folder="MasakhaNER2.0/data",
        languages=(
            *("bam", "bbj", "ewe", "fon", "hau", "ibo", "kin", "lug", "luo", "mos"),
            *("nya", "pcm", "sna", "swa", "tsn", "twi", "wol", "xho", "yor", "zul"),
        ),
        repository=_REPOSITORY,
        commit=_COMMIT,
        licence="CC BY-NC 4.0",
        citation="Adelani et al. (2022), MasakhaNER 2.0: Africa-centric Transfer Learning for Named Entity Recognition, "
        "EMNLP",
        hub="masakhane/masakhaner2",
    ),
}
