"""Unlabelled text: a folder of ``<language>.txt``, a sentence or a paragraph a line, compressed or not."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from dinku.corpus import Corpus, Sentence
from dinku.errors import DinkuError
from dinku.words import words

_OPENERS: dict[str, Any] = {"": open, ".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}


@dataclass(frozen=True)
class Text:
    """Files by language, under the name by which they were asked for."""

    name: str
    files: Mapping[str, Path]

    @classmethod
    def open(cls, name: str) -> Self:
        """The text in a folder; raises `DinkuError` where there is none."""
        folder = Path(name).expanduser()
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

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of the languages and the files as they are stored, as hex."""
        whole = hashlib.sha256()
        for language, path in self.files.items():
            with open(path, "rb") as file:
                whole.update(f"{language} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
        return whole.hexdigest()

    def lines(self, language: str) -> Iterator[str]:
        """The lines of a language that aren't blank, as they stand; raises `DinkuError` naming a line that isn't UTF-8."""
        path = self.files[language]
        number = 0
        try:
            with _OPENERS[path.name.partition(".txt")[2]](path, "rb") as file:
                for number, raw in enumerate(file, 1):
                    if line := raw.decode("utf-8-sig" if number == 1 else "utf-8").strip():
                        yield line
        except UnicodeDecodeError:
            raise DinkuError("isn't UTF-8", where=f"{path}:{number}", remedy="convert the file to UTF-8") from None
        except (OSError, EOFError, lzma.LZMAError) as error:
            raise DinkuError(
                f"can't be read ({error})", where=f"{path}:{number + 1}", remedy="fetch it again"
            ) from None

    def chosen(self, languages: Iterable[str]) -> list[str]:
        """Of these languages those that the text has, or all that it has where it has none of them."""
        return [language for language in dict.fromkeys(languages) if language in self.files] or list(self.files)

    def check(self, sentences: int, languages: Iterable[str]) -> None:
        """Raise `DinkuError` where there are fewer lines in these languages, or a line can't be read."""
        chosen = self.chosen(languages)
        if (there := sum(self._counts[language] for language in chosen)) < sentences:
            problem = f"holds {there:,} lines in {', '.join(chosen)}, fewer than {sentences:,}"
            raise DinkuError(problem, where=self.name, remedy="ask for fewer, or add text")

    @cached_property
    def _counts(self) -> dict[str, int]:
        return {language: sum(1 for _ in self.lines(language)) for language in self.files}

    def sample(self, sentences: int, languages: Iterable[str]) -> Corpus:
        """That many lines at random, unlabelled, as evenly from these languages as their texts allow, always the same ones.

        Languages are those of `chosen`; raises as `check` does.
        """
        self.check(sentences, languages)
        chosen = self.chosen(languages)
        lines = {language: list(self.lines(language)) for language in chosen}
        out: list[Sentence] = []
        # The shortest first: what it lacks of an even share, the others make up for.
        for rank, language in enumerate(sorted(chosen, key=lambda each: (len(lines[each]), each))):
            share = min(len(lines[language]), (sentences - len(out)) // (len(chosen) - rank))
            picked = np.random.default_rng(0).choice(len(lines[language]), share, replace=False)
            for line in (lines[language][i] for i in sorted(picked.tolist())):
                out.append(Sentence(tuple(line[a:b] for a, b in words(line)), None, language))
        return Corpus(self.name, "text", tuple(out))
