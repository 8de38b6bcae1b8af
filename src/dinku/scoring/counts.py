"""Scores from stored counts: span F1 of entities, in seqeval's default reading and in strict IOB2; other tasks' measures.

Counts are kept by sentence and label, so that scores can be added up, intervals computed again, and any two runs over the
same sentences compared later.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import chain
from typing import Any, NamedTuple, Self, cast

import numpy as np
from numpy.typing import NDArray

from dinku.data.corpus import Corpus
from dinku.data.task import NER, Task, task_named
from dinku.errors import DinkuError, plural
from dinku.files import content, written
from dinku.scoring.npz import arrays

# What to do about a tagger that finds nothing.
LEARN_MORE = "train it on more sentences, or leave out rate, batch and epochs, which then suit the encoder and the data"
AGAIN = "restore it, or remove it and run the study again"  # the remedy for a missing or damaged file of counts

Ints = NDArray[np.signedinteger[Any]]
Floats = NDArray[np.float64]


class Scores(NamedTuple):
    """Ratios in 0…1, and the number of gold spans; of other tasks than entities, of gold units."""

    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Counts:
    """Numbers of spans by sentence and label: ``default`` and ``strict`` are [sentence, label, 3], for gold, predicted, correct.

    ``languages`` and ``words`` hold one value for each sentence. ``task`` says what is counted: spans of words, words or
    sentences. Counts of two corpora can be added. Counts read from a file use the narrowest signed integers that hold them, so
    that a report can hold thousands; numpy widens sums, but not products.

    >>> from dinku.scoring.counts import count
    >>> count([("B-PER", "I-PER", "O", "B-LOC")], [("B-PER", "I-PER", "O", "O")])
    Counts(F1 66.7, 2 spans)
    """

    labels: tuple[str, ...]
    languages: tuple[str, ...]
    words: Ints
    default: Ints
    strict: Ints
    task: Task = NER

    def __repr__(self) -> str:
        scores = self.scores()
        return f"Counts({self.task.score} {100 * scores.f1:.1f}, {plural(scores.support, self.task.unit)})"

    def __len__(self) -> int:
        return len(self.languages)

    def __add__(self, other: Counts) -> Counts:
        return Counts.total([self, other])

    @classmethod
    def total(cls, parts: Sequence[Counts]) -> Self:
        """The counts of one or more corpora joined, in their order."""
        labels = tuple(sorted({label for c in parts for label in c.labels}))
        check_task(parts)
        made = cls(
            labels,
            tuple(chain.from_iterable(c.languages for c in parts)),
            np.concatenate([c.words for c in parts]),
            np.concatenate([_widened(c.default, c.labels, labels) for c in parts]),
            np.concatenate([_widened(c.strict, c.labels, labels) for c in parts]),
            parts[0].task,
        )
        for strict in (False, True):
            if all(strict in c._known_totals for c in parts):  # then sums needn't be made of sentences once more
                own = made._known_totals[strict] = {}
                for name, sums in (item for c in parts for item in c._known_totals[strict].items()):
                    own[name] = own[name] + sums if name in own else sums
        return made

    def totals(self, *, strict: bool = False) -> list[list[int]]:
        """[label, 3] over all sentences."""
        flat = self._flat(strict=strict)
        return (_ones(len(self), flat.dtype) @ flat).astype(np.int64).reshape(-1, 3).tolist()

    def totals_of_both(self) -> tuple[list[list[int]], list[list[int]]]:
        """`totals` in the default and the strict reading, in less time than one after the other."""
        flat = np.concatenate([self._flat(strict=strict) for strict in (False, True)], axis=1)
        over = (_ones(len(self), flat.dtype) @ flat).astype(np.int64).reshape(2, len(self.labels), 3)
        if self.languages and self.languages.count(self.languages[0]) == len(self):
            by_language = over.sum(1).astype(np.float64)
            self._known_totals.update(
                {strict: {self.languages[0]: by_language[int(strict)]} for strict in (False, True)}
            )
        default, strictly = over.tolist()
        return default, strictly

    def table(self, *, strict: bool = False) -> Ints:
        """[sentence, label, 3] in one reading."""
        return self.strict if strict else self.default

    @property
    def silence(self) -> str:
        """A warning if the tagger finds nothing though there are entities; otherwise empty."""
        gold, predicted, _ = np.asarray(self.totals()).reshape(-1, 3).sum(0).tolist()
        if predicted or not gold:
            return ""  # as it always is where every unit has a label
        return f"finds nothing: not one entity in {plural(len(self), 'sentence')}, which hold {gold:,}"

    def only(self, language: str) -> Counts:
        """The sentences in one language."""
        return self._rows(np.array([name == language for name in self.languages], bool))

    def at(self, chosen: Sequence[int]) -> Counts:
        """The sentences with these numbers, from 0."""
        return self._rows(np.array(chosen, np.int64))

    def only_labels(self, labels: Iterable[str]) -> Counts:
        """The spans of these labels."""
        kept = [i for i, label in enumerate(self.labels) if label in set(labels)]
        names = tuple(self.labels[i] for i in kept)
        return replace(self, labels=names, default=self.default[:, kept], strict=self.strict[:, kept])

    def over(self, labels: tuple[str, ...]) -> Counts:
        """The same counts over more labels, which are sorted and have these among them."""
        if labels == self.labels:
            return self
        default, strict = (_widened(table, self.labels, labels) for table in (self.default, self.strict))
        return replace(self, labels=labels, default=default, strict=strict)

    def scores(self, *, strict: bool = False) -> Scores:
        """The task's average over labels, of all sentences: its ``f1`` is the task's measure."""
        return self._averaged(np.asarray(self.totals(strict=strict)).reshape(-1, 3))

    @property
    def accuracy(self) -> float:
        """The part of the labelled units that got the right label; of entities micro-F1."""
        return _scores(np.asarray(self.totals()).reshape(-1, 3).sum(0)).f1

    @property
    def macro_f1(self) -> float:
        """The mean F1 of the labels that gold has; 0 where it has none."""
        found = [s.f1 for s in self.by_type().values() if s.support]
        return sum(found) / len(found) if found else 0.0

    def _averaged(self, by_label: Ints | Floats) -> Scores:
        """Scores from [label, 3] by the task's average."""
        if self.task.average == "micro":
            return _scores(by_label.sum(0))
        each, support = [_scores(totals) for totals in by_label], int(by_label[:, 0].sum())
        precision, recall, f1 = (sum(s.support * s[i] for s in each) / max(1, support) for i in range(3))
        return Scores(precision, recall, f1, support)

    def by_type(self, *, strict: bool = False) -> dict[str, Scores]:
        totals = self.totals(strict=strict)
        return {label: _scores(each) for label, each in zip(self.labels, totals, strict=True)}

    def by_language(self, *, strict: bool = False) -> dict[str, Scores]:
        if self.task.average == "micro":
            return {name: _scores(totals) for name, totals in self._totals(strict=strict).items()}
        return {name: self._averaged(totals) for name, totals in self._totals_by_label(strict=strict).items()}

    @cached_property
    def _by_language(self) -> dict[str, Ints]:
        """The numbers of each language's sentences, with languages in the order of their first sentence."""
        return _places(self.languages)

    def _totals_by_label(self, *, strict: bool) -> dict[str, Floats]:
        """[label, 3] over the sentences of each language."""
        sums = (_membership(self.languages) @ self._flat(strict=strict)).astype(np.float64)
        return dict(zip(self._by_language, sums.reshape(len(sums), len(self.labels), 3), strict=True))

    def _totals(self, *, strict: bool) -> dict[str, Floats]:
        """[3] over the sentences of each language and all labels."""
        if strict not in self._known_totals:
            sums = _membership(self.languages) @ self._flat(strict=strict)  # [language, label × 3]
            by_language = sums.reshape(len(sums), len(self.labels), 3).sum(1, dtype=np.float64)
            self._known_totals[strict] = dict(zip(self._by_language, by_language, strict=True))
        return self._known_totals[strict]

    @cached_property
    def _known_totals(self) -> dict[bool, dict[str, Floats]]:
        return {}

    def _flat(self, *, strict: bool) -> NDArray[np.floating[Any]]:
        """[sentence, label × 3]; products with it are several times as fast as sums over narrow integers.

        They are exact: sums of whole numbers are in single precision, too, as long as they stay below 2^24.
        """
        table = self.table(strict=strict)
        kind = np.float32 if table.dtype.itemsize == 1 and len(table) * len(self.labels) < 2**17 else np.float64
        return table.reshape(len(table), 3 * len(self.labels)).astype(kind)

    def _spans(self, *, strict: bool) -> NDArray[np.floating[Any]]:
        """[sentence, 3] over all labels."""
        flat = self._flat(strict=strict)
        return flat @ np.tile(np.eye(3, dtype=flat.dtype), (len(self.labels), 1))

    @cached_property
    def _sentences(self) -> bytes:
        """A digest that is equal if and only if two runs were scored on the same sentences with the same gold spans."""
        digest = hashlib.sha256(_languages_digest(self.languages))
        if self.task is not NER:
            digest.update(self.task.name.encode())
        digest.update(_compact(self.words).tobytes())
        for table in (self.default, self.strict):
            gold = _compact(table[..., 0])
            any_of = _ones(len(gold), np.dtype(np.float32)) @ gold.astype(np.float32)  # thirty times as fast as `any`
            found = np.flatnonzero(any_of)  # labels without a gold span don't change the digest
            present = gold if len(found) == len(self.labels) else narrowed(gold[:, found])
            digest.update(f"{[self.labels[i] for i in found]} {present.dtype}".encode() + present.tobytes())
        return digest.digest()

    @cached_property
    def _f1_of(self) -> dict[Hashable, Floats]:
        """[draw] the F1 of earlier draws, kept because a report compares each run with several others."""
        return {}

    def _rows(self, rows: NDArray[Any]) -> Counts:
        kept = np.arange(len(self))[rows]
        languages = tuple(self.languages[i] for i in kept)
        return replace(
            self, languages=languages, words=self.words[kept], default=self.default[kept], strict=self.strict[kept]
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a compressed ``.npz``, whole or not at all.

        Raises `DinkuError`, of status 1, where the system refuses to write.
        """
        with written(path) as file:
            np.savez_compressed(file, **self._arrays)

    def to_bytes(self) -> bytes:
        """What `save` writes, not compressed."""
        file = io.BytesIO()
        np.savez(file, **self._arrays)
        return file.getvalue()

    @property
    def _arrays(self) -> dict[str, Any]:
        names = {name: np.array(getattr(self, name), dtype=np.str_) for name in ("labels", "languages")}
        if self.task is not NER:
            names["task"] = np.array([self.task.name])
        return names | {name: narrowed(getattr(self, name)) for name in ("words", "default", "strict")}

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote; raises `DinkuError` for anything else."""
        try:
            return cls.from_bytes(content(path), where=str(path))
        except FileNotFoundError:
            raise DinkuError("isn't there", where=str(path), remedy=AGAIN) from None
        except OSError as error:
            raise DinkuError(f"holds no counts ({error})", where=str(path), remedy=AGAIN) from None

    @classmethod
    def from_bytes(cls, data: bytes, *, where: str, checked: bool = False) -> Self:
        """Read what `save` or `to_bytes` wrote; raises a `DinkuError` about ``where`` for anything else.

        The checksum of data that was ``checked`` already isn't computed again.
        """
        try:
            stored = arrays(data, checked=checked)
            labels, languages = (_names(stored[name]) for name in ("labels", "languages"))
            words, default, strict = (_signed(stored[name]) for name in ("words", "default", "strict"))
            task = task_named(_names(stored["task"])[0], where=where) if "task" in stored else NER
        except Exception as error:  # a damaged archive fails in struct, zlib or numpy, each with errors of its own
            problem = f"holds no counts ({str(error) or type(error).__name__})"
            raise DinkuError(problem, where=where, remedy=AGAIN) from None
        shape = (len(languages), len(labels), 3)
        if words.shape != shape[:1] or default.shape != shape or strict.shape != shape:
            raise DinkuError("holds counts that don't fit together", where=where, remedy=AGAIN)
        return cls(labels, languages, words, default, strict, task)


def count(
    gold: Sequence[Sequence[str]],
    predicted: Sequence[Sequence[str]],
    languages: Sequence[str] | None = None,
    *,
    task: Task = NER,
    words: Sequence[int] | None = None,
) -> Counts:
    """Counts of a task's tags against such tags, sentence by sentence: of entities, those are IOB2.

    ``languages`` holds the language code of each sentence; without it, every sentence has the empty code. ``words`` are the
    numbers of words of sentences, by default as many as a sentence has tags. Raises `DinkuError` if there aren't as many
    predictions or languages as sentences, or, naming the sentence (from 1), if it doesn't have as many predicted as gold tags or
    a tag isn't legal.
    """
    if len(gold) != len(predicted):
        raise DinkuError(
            f"{plural(len(gold), 'gold sentence')}, {len(predicted):,} predicted", remedy="score the same sentences"
        )
    if languages is not None and len(languages) != len(gold):
        problem = f"{plural(len(gold), 'sentence')}, {plural(len(languages), 'language')}"
        raise DinkuError(problem, remedy="give each sentence its language, or none")
    lengths = np.fromiter(map(len, gold), np.int64, len(gold))
    differ = np.flatnonzero(lengths != np.fromiter(map(len, predicted), np.int64, len(predicted)))
    if len(differ):
        at = int(differ[0])
        problem = f"{plural(len(gold[at]), 'gold tag')}, {len(predicted[at]):,} predicted"
        raise DinkuError(problem, where=f"sentence {at + 1}", remedy=f"give every {task.each} one tag")
    kinds: dict[str, int] = {}
    codes = [_codes(tags, kinds) for tags in (gold, predicted)]
    for tag in kinds:
        if not task.is_legal(tag):
            at = next(i for i, (g, p) in enumerate(zip(gold, predicted, strict=True), 1) if tag in (*g, *p))
            kind = "an IOB2 tag" if task.schemes else "a label"
            raise DinkuError(f"{tag!r} isn't {kind}", where=f"sentence {at}", remedy=f"write {task.legal}")
    labels = tuple(sorted({task.label_of(tag) for tag in kinds} - {""}))
    # An O between sentences ends every span, so that all sentences can be one array of tags.
    sentence = np.repeat(np.arange(len(gold)), lengths + 1)
    number = {label: i for i, label in enumerate(labels)}
    begin = np.array([task.begins(tag) for tag in kinds] + [False])
    label = np.array([number.get(task.label_of(tag), -1) for tag in kinds] + [-1])
    flat = [np.insert(code, np.cumsum(lengths), len(kinds)) for code in codes]
    tables = []
    for strict in (False, True):
        reference, found = (_spans(begin[code], label[code], strict=strict) for code in flat)
        tables.append(_tally(reference, found, sentence, len(gold), len(labels)))
    names = tuple(languages) if languages is not None else ("",) * len(gold)
    own = lengths if words is None else np.asarray(words, np.int64)
    return Counts(labels, names, own, tables[0], tables[1], task)


def _codes(sentences: Sequence[Sequence[str]], kinds: dict[str, int]) -> Ints:
    """All tags one after another, as indices into ``kinds``, to which new tags are added."""
    for tag in dict.fromkeys(chain.from_iterable(sentences)):
        kinds.setdefault(tag, len(kinds))
    return np.fromiter(map(kinds.__getitem__, chain.from_iterable(sentences)), np.int64)


def _spans(begin: NDArray[np.bool_], label: Ints, *, strict: bool) -> tuple[Ints, Ints, Ints]:
    """(start, end, label) of each span in one array of tags that ends in O; ``label`` is -1 for O.

    A tag continues the one before it if it is ``I-`` with the same label. In the default reading, any other tag but O opens a
    span. In the strict reading only ``B-`` does; an orphan ``I-`` and the tags that continue it belong to no span.
    """
    same = np.concatenate([[False], label[1:] == label[:-1]]) & ~begin
    runs = np.flatnonzero(~same)  # a run is a tag and the tags that continue it
    stops = np.append(runs[1:], len(label))
    opens = (begin if strict else label >= 0)[runs]
    starts = runs[opens]
    return starts, stops[opens], label[starts]


def _tally(
    gold: tuple[Ints, Ints, Ints], found: tuple[Ints, Ints, Ints], sentence: Ints, sentences: int, labels: int
) -> Ints:
    table = np.zeros((sentences, labels, 3), np.int64)
    _, at_gold, at_found = np.intersect1d(gold[0], found[0], assume_unique=True, return_indices=True)
    right = at_gold[(gold[1][at_gold] == found[1][at_found]) & (gold[2][at_gold] == found[2][at_found])]
    for column, (starts, names) in enumerate(
        ((gold[0], gold[2]), (found[0], found[2]), (gold[0][right], gold[2][right]))
    ):
        np.add.at(table, (sentence[starts], names, column), 1)
    return table


def _scores(totals: Sequence[int] | Ints | Floats) -> Scores:
    """seqeval's own arithmetic, in its order, so that floats are equal to the last bit; 0/0 is 0."""
    gold, predicted, correct = (int(n) for n in totals)
    precision = correct / predicted if predicted else 0.0
    recall = correct / gold if gold else 0.0
    f1 = 2.0 * precision * recall / (precision + recall) if precision + recall else 0.0
    return Scores(precision, recall, f1, gold)


def averaged(totals: Iterable[Sequence[int]], task: Task = NER) -> float:
    """The task's measure (0 to 1) from gold, predicted and correct of each label; 0 where there is nothing.

    >>> averaged([(4, 4, 3), (2, 1, 1)])
    0.7272727272727273
    """
    table = [*totals]
    if task.average == "micro":
        gold, predicted, correct = (sum(column) for column in zip(*table, strict=True)) if table else (0, 0, 0)
        return 2 * correct / (gold + predicted) if gold + predicted else 0.0
    return sum(gold * averaged([(gold, predicted, correct)]) for gold, predicted, correct in table) / max(
        1, sum(gold for gold, *_ in table)
    )


def without_absent(counts: Counts) -> tuple[Counts, int]:
    """Counts without the labels that have no gold span, and how many predicted spans that drops.

    A predicted DATE can only cost F1 on a corpus that doesn't annotate DATE, so F1 is given both with and without such labels.
    """
    kept = [label for i, label in enumerate(counts.labels) if counts.default[:, i, 0].any()]
    fewer = counts.only_labels(kept)
    return fewer, int(counts.default[..., 1].sum() - fewer.default[..., 1].sum())


def document(counts: Counts) -> dict[str, Any]:
    """What ``score`` and ``evaluate`` print as JSON; with ``without_absent`` if a label without gold spans was predicted.

    For tasks other than entities it also says which task, and what is measured.
    """
    out: dict[str, Any] = {} if counts.task is NER else _measures(counts)
    out |= {
        "default": counts.scores()._asdict(),
        "strict": counts.scores(strict=True)._asdict(),
        "by_type": {label: s._asdict() for label, s in counts.by_type().items()},
        "words": int(counts.words.sum()),
        "sentences": len(counts),
    }
    fewer, dropped = without_absent(counts)
    if dropped and counts.task.schemes:
        out["without_absent"] = {
            "default": fewer.scores()._asdict(),
            "strict": fewer.scores(strict=True)._asdict(),
            "dropped": dropped,
        }
    if len(set(counts.languages)) > 1:
        strict = counts.by_language(strict=True)
        out["by_language"] = {
            name: {"default": s._asdict(), "strict": strict[name]._asdict()} for name, s in counts.by_language().items()
        }
    return out


def _measures(counts: Counts) -> dict[str, Any]:
    """The task, the name of its measure, and what else is usual to tell."""
    task = counts.task
    return {"task": task.name, "measure": task.measure, "accuracy": counts.accuracy, "macro_f1": counts.macro_f1}


def check_task(runs: Sequence[Counts]) -> None:
    """Raise `DinkuError` unless all counts are of one task."""
    tasks = list(dict.fromkeys(run.task for run in runs))
    if len(tasks) > 1:
        problem = f"counts of {tasks[0].title} and of {tasks[1].title}"
        raise DinkuError(problem, where="scores", remedy="compare runs of one task")


def align(gold: Corpus, predicted: Corpus) -> None:
    """Raise a `DinkuError` that names the first difference if two corpora don't hold the same words."""
    for place, (a, b) in enumerate(zip(gold, predicted, strict=False), 1):
        if a.words != b.words:
            at = next((i for i, (v, w) in enumerate(zip(a.words, b.words, strict=False)) if v != w), None)
            at = min(len(a.words), len(b.words)) if at is None else at
            here, there = (repr(s.words[at]) if at < len(s.words) else "the sentence's end" for s in (a, b))
            problem = f"has {there} where {gold.name} has {here}"
            where = f"{predicted.name}: sentence {place}, word {at + 1}"
            raise DinkuError(problem, where=where, remedy="score predictions on the same words")
    if len(gold) != len(predicted):
        problem = f"has {plural(len(predicted), 'sentence')} where {gold.name} has {len(gold)}"
        raise DinkuError(problem, where=predicted.name, remedy="score predictions on the same sentences")


def worst(runs: Sequence[Counts]) -> Counts:
    """For each sentence, the counts of the run with the most wrong and missed spans, as an adversary would choose.

    If several runs are equally bad, the first one counts. Raises `DinkuError` unless all runs have the same sentences with the
    same gold spans.
    """
    alike = [replace(run, words=runs[0].words, strict=run.default) for run in runs]
    for other in alike[1:]:
        check_same(alike[0], other)
    labels = tuple(sorted({label for run in runs for label in run.labels}))
    tables = {s: np.stack([_widened(run.table(strict=s), run.labels, labels) for run in runs]) for s in (False, True)}
    gold, predicted, correct = np.moveaxis(tables[False].sum(2), -1, 0)  # [run, sentence]
    chosen = (gold + predicted - 2 * correct).argmax(0)
    at = np.arange(len(runs[0]))
    words = np.stack([run.words for run in runs])[chosen, at]
    return Counts(labels, runs[0].languages, words, tables[False][chosen, at], tables[True][chosen, at], runs[0].task)


def check_same(a: Counts, b: Counts) -> None:
    """Raise `DinkuError` unless two runs were scored on the same sentences with the same gold spans."""
    if a._sentences != b._sentences:
        raise DinkuError(
            "the runs aren't over the same sentences", where="paired", remedy="compare runs on one test set"
        )


def same_gold(a: Counts, b: Counts) -> bool:
    """Whether two runs have the same languages and numbers of gold spans in order: one text, perturbed or not."""
    gold = [c.default[..., 0].sum(1) for c in (a, b)]
    return a.languages == b.languages and np.array_equal(*gold)


def _widened(table: Ints, labels: tuple[str, ...], to: tuple[str, ...]) -> Ints:
    """The same counts over more labels."""
    if labels == to:
        return table
    out = np.zeros((len(table), len(to), 3), table.dtype)
    out[:, [to.index(label) for label in labels]] = table
    return out


def narrowed(values: NDArray[Any]) -> NDArray[Any]:
    """The same numbers in the narrowest unsigned integers that hold them."""
    return values.astype(np.min_scalar_type(int(values.max(initial=0))))


def _compact(values: NDArray[Any]) -> NDArray[Any]:
    """What `narrowed` makes of numbers that aren't negative, one after another in memory."""
    return np.ascontiguousarray(values).view(np.uint8) if values.dtype.itemsize == 1 else narrowed(values)


@lru_cache(maxsize=64)
def _ones(size: int, kind: np.dtype[Any]) -> NDArray[Any]:
    return np.ones(size, kind)


@lru_cache(maxsize=64)  # as many runs are over the same sentences
def _places(languages: tuple[str, ...]) -> dict[str, Ints]:
    names = np.array(languages, dtype=object)
    return {name: np.flatnonzero(names == name) for name in dict.fromkeys(languages)}


@lru_cache(maxsize=8)  # 200 kB for ten languages of 500 sentences
def _membership(languages: tuple[str, ...]) -> NDArray[np.float32]:
    """[language, sentence] 1 if the sentence is in the language, with languages in the order of their first sentence."""
    out = np.zeros((len(_places(languages)), len(languages)), np.float32)
    for own, places in zip(out, _places(languages).values(), strict=True):
        own[places] = 1
    return out


@lru_cache(maxsize=64)
def _languages_digest(languages: tuple[str, ...]) -> bytes:
    return hashlib.sha256("\0".join(languages).encode()).digest()


def _names(names: NDArray[Any]) -> tuple[str, ...]:
    """An array of names as text; equal ones are shared, as thousands of files have them. Raises `ValueError` for other arrays."""
    if names.dtype.kind != "U" or names.ndim != 1:
        raise ValueError("no text")
    return _texts(names.tobytes(), names.dtype.str)


@lru_cache(maxsize=256)
def _texts(held: bytes, kind: str) -> tuple[str, ...]:
    return tuple(np.frombuffer(held, kind).tolist()) if held else ()


def _signed(values: NDArray[Any]) -> Ints:
    """The same numbers in the narrowest signed integers that hold them, so that differences don't wrap around."""
    kind = np.min_scalar_type(-1 - int(values.max(initial=0)))
    return cast("Ints", values.view(kind) if kind.itemsize == values.itemsize else values.astype(kind))
