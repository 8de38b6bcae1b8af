"""The corpora that are known by name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from dinku.data.formats.reading import AS_USUAL, How
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
    ``apart`` maps further languages, which differ in kind or have no train split here, to their splits. ``hub`` is the corpus's
    name on the Hub. Its files end in ``suffix`` and are read by ``how``.
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
    suffix: str = ".txt"
    how: How = AS_USUAL

    @property
    def cache(self) -> Path:
        """The folder in the cache for a copy of the repository."""
        return home() / "corpora" / self.repository.rsplit("/", 1)[-1]

    def file(self, language: str, split: str) -> Path:
        """The path in the cache of one split of a language."""
        return self.cache / self.folder / language / f"{split}{self.suffix}"

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
    "masakhane-pos": Source(
        title="MasakhaPOS",
        folder="data",
        languages=("bam", "fon", "hau", "ibo", "kin", "lug", "luo", "pcm", "swa", "wol", "yor"),
        repository="https://github.com/masakhane-io/masakhane-pos",
        commit="a42273eb27d37f3dedfc3914bfccb88199e10454",
        licence="CC BY-NC 4.0",
        citation="Dione et al. (2023), MasakhaPOS: Part-of-Speech Tagging for Typologically Diverse African Languages, ACL",
        hub="masakhane/masakhapos",
        how=How("conll", task="tags"),
    ),
    "afrisenti": Source(
        title="AfriSenti",
        folder="data",
        languages=("amh", "hau", "ibo", "kin", "pcm", "swa", "yor"),
        repository="https://github.com/afrisenti-semeval/afrisent-semeval-2023",
        commit="5aec3cfcf87b59f885e98641f72e52182776429d",
        licence="CC BY 4.0",
        citation="Muhammad et al. (2023), AfriSenti: A Twitter Sentiment Analysis Benchmark for African Languages, EMNLP",
        hub="shmuhammad/AfriSenti-twitter-sentiment",
        suffix=".tsv",
        how=How("csv-classes"),
    ),
    "masakhane-news": Source(
        title="MasakhaNEWS",
        folder="data",
        languages=("ibo", "lin", "lug", "orm", "pcm", "run", "sna", "som", "xho", "yor"),
        repository="https://github.com/masakhane-io/masakhane-news",
        commit="819be052e79e0a600e0ed4a7356594681cb5c4f3",
        licence="AFL-3.0",
        citation="Adelani et al. (2023), MasakhaNEWS: News Topic Classification for African Languages, IJCNLP-AACL",
        apart=dict.fromkeys(
            ("amh", "eng", "fra", "hau", "swa", "tir"), ("dev", "test")
        ),  # their train splits aren't hashed
        hub="masakhane/masakhanews",
        suffix=".tsv",
        how=How("csv-classes", text="headline text", label="category", quotes="yes"),
    ),
}
