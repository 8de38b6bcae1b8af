"""The corpora that are known by name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from dinku.settings import home


class Fetched(NamedTuple):
    """A file of a corpus in the cache, and whether it has just been fetched."""

    path: Path
    bytes: int
    state: Literal["fetched", "there"]


@dataclass(frozen=True)
class Source:
    """A corpus in several languages, at one commit of a repository.

    ``folder`` is the folder of the language folders in the repository; ``languages`` are those that ``all`` stands for;
    ``apart`` maps further languages, which differ in kind, to their splits. ``hub`` is the corpus's name on the Hub.
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
        """The folder in the cache for a copy of the repository."""
        return home() / "corpora" / self.repository.rsplit("/", 1)[-1]

    def file(self, language: str, split: str) -> Path:
        """The path in the cache of one split of a language."""
        return self.cache / self.folder / language / f"{split}.txt"

    @property
    def mirror(self) -> str:
        """The address to fetch the repository's files from: ``DINKU_MIRROR``, else GitHub at the pinned commit."""
        there = f"{self.repository.replace('github.com', 'raw.githubusercontent.com')}/{self.commit}"
        return (os.environ.get("DINKU_MIRROR") or there).rstrip("/")

    @property
    def published(self) -> dict[str, tuple[str, int]]:
        """The sha256 and size in bytes of every data file of the repository, by path."""
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
