"""Perturbed corpora: text as typed in haste, scanned, or written informally.

Tags stay aligned by construction. The perturbation of a sentence depends only on the seed, its own words and its language, so
it is the same in any corpus. Sources: the kinds of noise of Ebrahimi et al. 2018 (arXiv 1806.09030) and of
TextFlint (arXiv 2103.11441), for the scripts of MasakhaNER.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import NamedTuple

from dinku.data.corpus import Corpus, Findings, Sentence
from dinku.data.spans import Span, folded, spans
from dinku.data.task import NER, Task
from dinku.errors import DinkuError

Names = Mapping[tuple[str, str], tuple[tuple[str, ...], ...]]  # (language, label) → the words of each name


@dataclass(frozen=True)
class Perturbation:
    """A kind of perturbation, by name, applied to the fraction ``rate`` of the places where it is possible."""

    name: str
    rate: float

    @classmethod
    def named(cls, text: str) -> Perturbation:
        """The perturbation that ``slips`` or ``slips:0.3`` means; raises `DinkuError` for any other text."""
        name, _, given = text.partition(":")
        if name not in KINDS:
            raise DinkuError("isn't known", where=f"perturbation {name!r}", remedy=f"use one of {', '.join(KINDS)}")
        try:
            rate = float(given) if given else KINDS[name].rate
        except ValueError:
            rate = math.nan
        if not 0 <= rate <= 1:
            problem = f"the rate is {given!r}"
            raise DinkuError(problem, where=f"perturbation {name!r}", remedy="give a fraction from 0 to 1")
        return cls(name, rate)

    @classmethod
    def listed(cls, text: str) -> list[Perturbation]:
        """The perturbations of a comma-separated list; ``all`` is every one. Each has its default rate unless one is given."""
        parts = [part.partition(":") for part in text.split(",")]
        return [cls.named(f"{k}:{rate}") for name, _, rate in parts for k in (KINDS if name == "all" else [name])]

    @property
    def full(self) -> str:
        """The name with the rate, also if that is the default: the form in rows."""
        return f"{self.name}:{self.rate:g}"

    def __str__(self) -> str:
        return self.name if self.rate == KINDS[self.name].rate else f"{self.name}:{self.rate:g}"

    def check(self, names: Names | None, task: Task = NER) -> None:
        """Raise `DinkuError` if *entities* has no names to insert, or if labels of the task wouldn't stay true."""
        if task is not NER and not KINDS[self.name].words_alone:
            kept = ", ".join(name for name, kind in KINDS.items() if kind.words_alone)
            problem = f"needs entities, and this is about {task.title}"
            raise DinkuError(problem, where=f"perturbation {self.name!r}", remedy=f"use {kept}")
        if self.name == "entities" and names is None:
            remedy = "evaluate on dev or test of a corpus that has a train split"
            raise DinkuError("needs names", where="perturbation 'entities'", remedy=remedy)

    def apply(self, corpus: Corpus, *, seed: int = 0, names: Names | None = None) -> Corpus:
        """The perturbed corpus, with as many sentences in the same order.

        *entities* replaces names by those in ``names``; see `unseen_names`.
        """
        self.check(names, corpus.task)
        change = KINDS[self.name].change
        out = []
        for s in corpus:
            random = Random(f"{seed}\t{self.name}\t{s.language}\t{' '.join(s.words)}")
            out.append(change(s, random, self.rate, names or {}))
        found = Findings.within(out, corpus.task)
        return Corpus(f"{corpus.name} ({self})", corpus.split, tuple(out), found, task=corpus.task)


def changed(before: Corpus, after: Corpus) -> float:
    """The fraction of sentences that a perturbation changed. If it is small, an unchanged F1 says little."""
    return sum(a.words != b.words for a, b in zip(before, after, strict=True)) / max(1, len(before))


def unseen_names(train: Corpus, others: Iterable[Corpus]) -> Names:
    """The entities of other splits by language and label, without those that train has, whatever their letter case."""
    known = {(language, label, folded(name)) for language, label, name in _entities(train)}
    entities: dict[tuple[str, str], dict[tuple[str, ...], None]] = {}
    for corpus in others:
        for language, label, name in _entities(corpus):
            if (language, label, folded(name)) not in known:
                entities.setdefault((language, label), {})[name] = None
    return {key: tuple(names) for key, names in entities.items()}


def _entities(corpus: Corpus) -> Iterable[tuple[str, str, tuple[str, ...]]]:
    for s in corpus:
        for span in corpus.task.spans(s.tags or ()):
            yield s.language, span.label, s.words[span.start : span.end]


# Changes of a word. Each returns the word itself if it doesn't apply, and never an empty word or one with a blank.

_KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")  # each row half a key to the right of the one above


def _around(row: int, at: int) -> str:
    above = _KEYS[row - 1][at : at + 2] if row else ""
    below = _KEYS[row + 1][max(0, at - 1) : at + 1] if row < 2 else ""
    return above + _KEYS[row][max(0, at - 1) : at] + _KEYS[row][at + 1 : at + 2] + below


_BESIDE = {key: _around(row, at) for row, keys in enumerate(_KEYS) for at, key in enumerate(keys)}
_HOOKED = str.maketrans("ƁɓƊɗƘƙƳƴŊŋƐɛƆɔƉɖƝɲ", "BbDdKkYyNnEeOoDdNn")
# Latin letters, and what scanning mistakes them for.
_ALIKE = (
    *(("rn", "m"), ("m", "rn"), ("cl", "d"), ("d", "cl"), ("vv", "w"), ("w", "vv"), ("l", "1"), ("I", "l"), ("i", "í")),
    *(("O", "0"), ("o", "c"), ("e", "c"), ("c", "e"), ("h", "b"), ("u", "n"), ("n", "u"), ("S", "5"), ("B", "8")),
    *(("g", "q"), ("a", "o"), ("t", "f"), ("ẹ", "e"), ("ọ", "o"), ("ṣ", "s")),
)
# Rows of Ethiopic syllables that sound alike in Amharic: the same vowels in the same order, eight code points a row.
_SOUND_ALIKE = (("ሀ", "ሐ", "ኀ"), ("ሠ", "ሰ"), ("አ", "ዐ"), ("ጸ", "ፀ"))
_ROW_OF = {ord(row): [ord(other) for other in rows if other != row] for rows in _SOUND_ALIKE for row in rows}


def _bare(word: str, _: Random) -> str:
    """Without tone marks, dots below and hooks, as on a keyboard that has none."""
    marks = (c for c in unicodedata.normalize("NFD", word) if unicodedata.category(c) != "Mn")
    return unicodedata.normalize("NFC", "".join(marks)).translate(_HOOKED) or word


def _slip(word: str, random: Random) -> str:
    """One slip of a finger: two letters exchanged, one lost, doubled, or its neighbour on the keyboard."""
    letters = [i for i, c in enumerate(word) if c.isalpha()]
    if not letters:
        return word
    at = random.choice(letters)
    kind = random.choice(("exchange", "lose", "double", "beside"))
    if kind == "exchange" and at + 1 < len(word):
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if kind == "lose" and len(letters) > 1:
        return word[:at] + word[at + 1 :]
    if kind == "beside" and (key := _beside(word[at], random)):
        return word[:at] + key + word[at + 1 :]
    return word[: at + 1] + word[at:]


def _beside(letter: str, random: Random) -> str:
    """A neighbouring key's letter; for an Ethiopic syllable, which is typed as consonant and vowel, one with another vowel."""
    if 0x1200 <= ord(letter) <= 0x1357:
        row = [chr(ord(letter) & ~7 | vowel) for vowel in range(7)]
        return random.choice([c for c in row if c != letter and c.isalpha()])
    plain = unicodedata.normalize("NFD", letter)[0]
    near = _BESIDE.get(plain.lower(), "")
    return random.choice(near.upper() if plain.isupper() else near) if near else ""


def _scanned(word: str, random: Random) -> str:
    """One letter or pair of letters read as what it looks like."""
    there = [(old, new, at) for old, new in _ALIKE for at in range(len(word)) if word.startswith(old, at)]
    if not there:
        return word
    old, new, at = random.choice(there)
    return word[:at] + new + word[at + len(old) :]


def _sounding(word: str, random: Random) -> str:
    """Every Ethiopic syllable that has homophones in Amharic replaced by one of them."""
    out = []
    for c in word:
        others = _ROW_OF.get(ord(c) & ~7)
        out.append(chr(random.choice(others) | ord(c) & 7) if others and ord(c) & 7 != 7 else c)
    return "".join(out)


def _drawn_out(word: str, random: Random) -> str:
    """The last vowel, or in Ethiopic the last syllable, repeated three to five times."""
    vowels = [i for i, c in enumerate(word) if unicodedata.normalize("NFD", c)[0].lower() in "aeiouɛɔ"]
    vowels = vowels or [i for i, c in enumerate(word) if 0x1200 <= ord(c) <= 0x1357]
    if not vowels:
        return word
    at = vowels[-1]
    return word[:at] + word[at] * random.randint(3, 5) + word[at + 1 :]


Change = Callable[[Sentence, Random, float, Names], Sentence]


def _each(word: Callable[[str, Random], str], *, outside: bool = False) -> Change:
    """A change of each word, or with ``outside`` of the words outside entities only."""

    def change(s: Sentence, random: Random, rate: float, _: Names) -> Sentence:
        tags = s.tags if outside and s.tags else ("O",) * len(s.words)
        words = tuple(
            word(w, random) if random.random() < rate and t == "O" else w for w, t in zip(s.words, tags, strict=True)
        )
        return replace(s, words=words)

    return change


def _one_slip(s: Sentence, random: Random, rate: float, _: Names) -> Sentence:
    """One slip in one word of the sentence."""
    where = [i for i, word in enumerate(s.words) if any(map(str.isalpha, word))]
    if not where or random.random() >= rate:
        return s
    at = random.choice(where)
    return replace(s, words=(*s.words[:at], _slip(s.words[at], random), *s.words[at + 1 :]))


def _unpunctuated(s: Sentence, random: Random, rate: float, _: Names) -> Sentence:
    """Words that are only punctuation removed, and apostrophes, hyphens and full stops removed from other words.

    No entity and no sentence loses all of its words; the first remaining word of an entity has the ``B``.
    """
    words = [
        "".join(c for c in w if unicodedata.category(c)[0] != "P") if random.random() < rate else w for w in s.words
    ]
    entities = spans(s.tags or ())
    for span in entities:
        if not any(words[span.start : span.end]):
            words[span.start] = s.words[span.start]
    if not any(words):
        return s
    left = _joined(s, [(tuple(filter(None, words[p.start : p.end])), p.label) for p in _cut(entities, len(words))])
    return left if s.tags else replace(left, tags=None)


def _mixed(s: Sentence, random: Random, rate: float, _: Names) -> Sentence:
    """Function words of English or French inserted between words, never within an entity."""
    others = _FRENCH if s.language in _BESIDE_FRENCH else _ENGLISH
    words: list[str] = []
    tags: list[str] = []
    for word, tag in zip(s.words, s.tags or ("O",) * len(s.words), strict=True):
        if random.random() < rate and not tag.startswith("I-"):
            words.append(random.choice(others))
            tags.append("O")
        words.append(word)
        tags.append(tag)
    return replace(s, words=tuple(words), tags=None if s.tags is None else tuple(tags))


def _renamed(s: Sentence, random: Random, rate: float, names: Names) -> Sentence:
    """Entities replaced by others of the same language and label."""
    parts: list[tuple[tuple[str, ...], str]] = []
    for span in _cut(spans(s.tags or ()), len(s.words)):
        own = s.words[span.start : span.end]
        others = [name for name in names.get((s.language, span.label), ()) if name != own] if span.label else []
        parts.append((random.choice(others) if others and random.random() < rate else own, span.label))
    return _joined(s, parts)


def _cut(entities: list[Span], words: int) -> list[Span]:
    """The whole sentence as spans: its entities, and each word between them as a span without a label."""
    within = {place for span in entities for place in range(span.start, span.end)}
    return sorted([*entities, *(Span(i, i + 1, "") for i in range(words) if i not in within)])


def _joined(s: Sentence, parts: list[tuple[tuple[str, ...], str]]) -> Sentence:
    """A sentence made of parts with their labels, in valid IOB2; the sentence itself if no word changed."""
    words = tuple(word for part, _ in parts for word in part)
    if words == s.words:
        return s
    tags = (f"{'I' if i else 'B'}-{label}" if label else "O" for part, label in parts for i in range(len(part)))
    return replace(s, words=words, tags=tuple(tags))


_ENGLISH = ("the", "and", "of", "to", "in", "for", "is", "but", "because", "so", "with", "that", "then", "very", "just")
_FRENCH = ("le", "la", "et", "de", "les", "pour", "est", "mais", "donc", "avec", "que", "dans", "alors", "très", "sur")
_BESIDE_FRENCH = frozenset({"bam", "bbj", "ewe", "fon", "mos", "run", "wol"})  # spoken where French is written


class Kind(NamedTuple):
    """A change, its default rate, and whether it is one of words alone, which leaves tags of any task true."""

    change: Change
    rate: float
    words_alone: bool = False


KINDS: Mapping[str, Kind] = {
    "diacritics": Kind(_each(_bare), 1.0, words_alone=True),
    "slips": Kind(_each(_slip), 0.15, words_alone=True),
    "one-slip": Kind(_one_slip, 1.0, words_alone=True),
    "lower": Kind(_each(lambda word, _: word.lower()), 1.0, words_alone=True),
    "upper": Kind(_each(lambda word, _: word.upper()), 1.0, words_alone=True),
    "punctuation": Kind(_unpunctuated, 1.0),
    "ocr": Kind(_each(_scanned), 0.15, words_alone=True),
    "homophones": Kind(_each(_sounding), 1.0, words_alone=True),
    "mixing": Kind(_mixed, 0.1),
    "elongation": Kind(_each(_drawn_out, outside=True), 0.1),
    "entities": Kind(_renamed, 1.0),
}
