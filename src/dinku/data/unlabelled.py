"""Unlabelled text: a folder of ``<language>.txt`` files, one sentence or paragraph a line, compressed or not."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dinku.data.corpus import Corpus, Sentence
from dinku.data.word_boundaries import VERSION, words
from dinku.errors import DinkuError, plural
from dinku.files import os_errors_as_dinku

_OPENERS: dict[str, Any] = {"": open, ".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}


@dataclass(frozen=True)
class Text:
    """Files by language, under the name by which they were requested.

    A file that changes after it was first read is an error, because a step's address names the content that the step reads.
    """

    name: str
    files: Mapping[str, Path]
    _seen: dict[str, tuple[tuple[int, ...], str]] = field(default_factory=dict, repr=False, compare=False)
    _counts: dict[str, int] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def open(cls, name: str) -> Self:
        """The text in a folder; raises `DinkuError` if there is none."""
        try:
            folder = Path(name).expanduser()
        except RuntimeError:
            raise DinkuError("names a user who isn't known", where=name, remedy="write the folder's path out") from None
        if not folder.is_dir():
            raise DinkuError("there is no such folder", where=name, remedy="name one of <language>.txt files")
        files: dict[str, Path] = {}
        for path in sorted(folder.iterdir()):
            stem, dot, suffix = path.name.partition(".txt")
            if dot and stem and suffix in _OPENERS and not stem.startswith(".") and path.is_file():
                if stem in files:
                    raise DinkuError(
                        f"has {stem} twice: {files[stem].name} and {path.name}", where=name, remedy="remove one"
                    )
                files[stem] = path
        if not files:
            remedy = "put <language>.txt files there, or .txt.gz, .txt.xz, .txt.bz2"
            raise DinkuError("holds no text", where=name, remedy=remedy)
        return cls(name, files)

    @property
    def languages(self) -> tuple[str, ...]:
        return tuple(self.files)

    def only(self, languages: Iterable[str]) -> Text:
        """The text in the languages of `chosen` only."""
        chosen = self.chosen(languages)
        return replace(self, files={language: path for language, path in self.files.items() if language in chosen})

    @property
    def fingerprint(self) -> str:
        """sha256 of the languages, of the stored files and of the rules for word boundaries, as hex."""
        whole = hashlib.sha256(f"words {VERSION}\n".encode())
        for language in self.files:
            whole.update(f"{language} {self._digest(language)}\n".encode())
        return whole.hexdigest()

    def _digest(self, language: str) -> str:
        """sha256 of a stored file; raises `DinkuError` if it differs from the first one taken."""
        path = self.files[language]
        with os_errors_as_dinku(path, reading=True), open(path, "rb") as file:
            state = os.fstat(file.fileno())
            version = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
            known = self._seen.get(language)
            if known and known[0] == version:
                return known[1]
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if known and known[1] != digest:
            remedy = "put it back, or run again to start from what it holds now"
            raise DinkuError("has changed since it was first read", where=str(path), remedy=remedy, status=1)
        self._seen[language] = version, digest
        return digest

    def lines(self, language: str) -> Iterator[str]:
        """The lines of a language that aren't blank.

        Raises `DinkuError` that names a line that isn't UTF-8, or a file that has changed.
        """
        path = self.files[language]
        at = 0
        self._digest(language)
        try:
            with _OPENERS[path.name.partition(".txt")[2]](path, "rb") as file:
                for at, raw in enumerate(file, 1):
                    if line := raw.decode("utf-8-sig" if at == 1 else "utf-8").strip():
                        yield line
        except UnicodeDecodeError:
            raise DinkuError("isn't UTF-8", where=f"{path}:{at}", remedy="convert the file to UTF-8") from None
        except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
            raise DinkuError(f"can't be read ({error})", where=f"{path}:{at + 1}", remedy="fetch it again") from None
        self._digest(language)

    def chosen(self, languages: Iterable[str]) -> list[str]:
        """The requested languages the text contains, or all of its languages if it contains none of them."""
        return [language for language in dict.fromkeys(languages) if language in self.files] or list(self.files)

    def check(self, sentences: int, languages: Iterable[str]) -> None:
        """Raise `DinkuError` if there are fewer lines in these languages, or a line can't be read."""
        chosen = self.chosen(languages)
        if (there := sum(map(self.count, chosen))) < sentences:
            problem = f"holds {plural(there, 'line')} in {', '.join(chosen)}, fewer than {sentences:,}"
            raise DinkuError(problem, where=self.name, remedy="ask for fewer, or add text")

    def count(self, language: str) -> int:
        """The number of lines of a language that aren't blank."""
        if language not in self._counts:
            self._counts[language] = sum(1 for _ in self.lines(language))
        return self._counts[language]

    def sample(self, sentences: int, languages: Iterable[str]) -> Corpus:
        """A random sample of lines, unlabelled, as evenly from the languages of `chosen` as their texts allow; always the same.

        Raises as `check` does. Only the sampled lines are held in memory.
        """
        self.check(sentences, languages)
        chosen = self.chosen(languages)
        out: list[Sentence] = []
        # The shortest text first: the others make up for what it lacks of an even share.
        for rank, language in enumerate(sorted(chosen, key=lambda each: (self.count(each), each))):
            there = self.count(language)
            share = min(there, (sentences - len(out)) // (len(chosen) - rank))
            picked = np.zeros(there, bool)
            picked[np.random.default_rng(0).choice(there, share, replace=False)] = True
            for at, line in enumerate(self.lines(language)):  # to the end, where `lines` checks for changes
                if at < there and picked[at]:
                    out.append(Sentence(tuple(line[a:b] for a, b in words(line)), None, language))
        return Corpus(self.name, "text", tuple(out))

    def drawn(self, lines: int, languages: Iterable[str], *, alpha: float) -> Iterator[str]:
        """At most that many lines of the languages of `chosen`, drawn with temperature; always the same.

        `shares` gives the languages' shares by their numbers of lines; a language with too few lines is read repeatedly.
        The lines come in the order of the languages and of their files.
        """
        chosen = self.chosen(languages)
        sizes = [self.count(language) for language in chosen]
        drawn = draws(sizes, min(lines, sum(sizes)), alpha=alpha, seed=0) if any(sizes) else []
        for language, size, picked in zip(chosen, sizes, drawn, strict=bool(drawn)):
            times = np.bincount(picked, minlength=size).tolist()
            for at, line in enumerate(self.lines(language)):
                yield from (line,) * (times[at] if at < size else 0)


def shares(sizes: Sequence[int], alpha: float) -> NDArray[np.float64]:
    """The share of each of several languages: in proportion to its size to the power of ``alpha``, 0 to 1.

    At 1 shares are proportional to the sizes; at 0 they are equal for all languages that have anything. Source: Conneau et
    al. 2019 (arXiv 1911.02116), after Conneau and Lample 2019 (arXiv 1901.07291), whose exponent is 0.3 and 0.7.
    """
    there = np.asarray(sizes, np.float64)
    powers = np.where(there > 0, there**alpha, 0.0)
    return powers / powers.sum()


def draws(sizes: Sequence[int], total: int, *, alpha: float, seed: int) -> list[NDArray[np.int64]]:
    """The indices drawn from each of several languages, each below the language's size; ``total`` in all, divided by `shares`.

    No index is drawn twice before every index of its language has been drawn once.
    """
    exact = shares(sizes, alpha) * total
    counts = exact.astype(np.int64)
    short = np.argsort(counts - exact, kind="stable")[
        : total - counts.sum()
    ]  # the languages that rounding down cost most
    counts[short] += 1
    out = []
    for which, (size, count) in enumerate(zip(sizes, counts.tolist(), strict=True)):
        random = np.random.default_rng((seed, which))
        rounds = [random.permutation(size) for _ in range(-(-count // size))] if count else []
        out.append(np.concatenate([np.zeros(0, np.int64), *rounds])[:count])
    return out
