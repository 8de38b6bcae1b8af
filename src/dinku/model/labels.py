"""What a head's tags mean: their scheme, names given to them, and which labels a model and a corpus have in common."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dinku.data.corpus import Corpus
from dinku.data.spans import Scheme, in_scheme, is_tag, label_of
from dinku.data.task import NER, Task
from dinku.errors import DinkuError
from dinku.files import content

_LAST: dict[str, Scheme] = {"E": "BIOES", "S": "BIOES", "L": "BILOU", "U": "BILOU"}


@cache
def scheme_of_head(tags: tuple[str, ...]) -> Scheme:
    """The scheme of a head's tags, as far as it shows: BIOES or BILOU by their own letters; IO without any ``B-``; IOB1 where a
    label has an ``I-`` and no ``B-``, as it has if no entity directly follows another; else IOB2.

    Answers in IO, IOB1 and IOB2 are read alike: an ``I-X`` that nothing continues begins a span.

    >>> scheme_of_head(("O", "B-LOC", "I-LOC", "I-PER"))
    'IOB1'
    """
    letters = {tag[0] for tag in tags if tag != "O"}
    if last := sorted(letters & _LAST.keys()):
        return _LAST[last[0]]
    if "B" not in letters and letters:
        return "IO"
    labels = {prefix: {tag[2:] for tag in tags if tag[0] == prefix} for prefix in "BI"}
    return "IOB1" if labels["I"] - labels["B"] else "IOB2"


def read_labels(given: str) -> dict[str, str]:
    """Names for tags or labels, from ``PERSON=PER,MISC=`` or from a file: a JSON object, or such pairs in lines.

    Raises `DinkuError` for what is neither.

    >>> read_labels("PERSON=PER,MISC=")
    {'PERSON': 'PER', 'MISC': ''}
    """
    text = given
    if "=" not in given or Path(given).is_file():
        try:
            text = content(given).decode()
        except (OSError, UnicodeDecodeError):
            remedy = "write OLD=NEW,OLD=NEW (nothing after = drops a label), or name a file of such lines"
            raise DinkuError(f"{given!r} is neither pairs nor a file", where="--labels", remedy=remedy) from None
    if text.lstrip().startswith("{"):
        try:
            found = json.loads(text)
        except ValueError as error:
            raise DinkuError(f"isn't readable JSON ({error})", where=given, remedy="correct it") from None
        if not all(isinstance(name, str) for name in found.values()):
            raise DinkuError("names something that is no text", where=given, remedy='write {"OLD": "NEW"}')
        return dict(found)
    pairs = [pair.strip() for line in text.splitlines() for pair in line.split(",") if pair.strip()]
    if odd := next((pair for pair in pairs if "=" not in pair), None):
        raise DinkuError(f"{odd!r} has no =", where="--labels", remedy="write OLD=NEW, or OLD= to drop a label")
    named = [(old.strip(), new.strip()) for old, new in (pair.split("=", 1) for pair in pairs)]
    return dict(named)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def renamed(tags: Sequence[str], names: Mapping[str, str], *, where: str, task: Task = NER) -> tuple[str, ...]:
    """A head's tags under other names: those of whole tags (``LABEL_1=B-PER``) first, then those of labels (``PERSON=PER``). A
    tag whose label becomes empty is ``O``.

    Raises `DinkuError` for a name that the head hasn't got, and where a label is to be dropped that a task can't do without.
    """
    if not task.schemes and "" in names.values():
        problem = f"drops a label, and of {task.title} none can be dropped"
        raise DinkuError(problem, where="--labels", remedy="name each label otherwise, or leave it out")
    out, used = [], set[str]()
    for tag in tags:
        if tag in names:
            used.add(tag)
            out.append(names[tag] or "O")
            continue
        label = label_of(tag)
        if label in names:
            used.add(label)
            out.append(f"{tag[: len(tag) - len(label)]}{names[label]}" if names[label] else "O")
        else:
            out.append(tag)
    if lacking := sorted(names.keys() - used):
        raise DinkuError(f"its head has no {lacking[0]!r}", where=where, remedy=f"it has {_listed(sorted(set(tags)))}")
    return tuple(out)


def checked(tags: tuple[str, ...], *, where: str, task: Task = NER) -> tuple[str, ...]:
    """A head's tags; raises `DinkuError` with the names to type where they belong to no scheme, or the task has no such tags."""
    if not task.schemes:
        if wrong := [tag for tag in tags if not task.is_legal(tag) or tags.count(tag) > 1]:
            problem = f"its label {wrong[0][:40]!r} is no label, or there twice"
            raise DinkuError(problem, where=where, remedy="rename it by --labels")
        return tags
    odd = [tag for tag in tags if not is_tag(tag)]
    if not odd and "O" in tags:
        return _of_one_scheme(tags, where)
    shown = f"{', '.join(tags[:4])}{' …' if len(tags) > 4 else ''}"
    meant = {tag: _meant(tag, i) for i, tag in enumerate(tags) if not is_tag(tag)}
    if "O" not in tags and "O" not in meant.values():
        meant[tags[0]] = "O"
    typed = ",".join(f"{old}={new}" for old, new in meant.items())
    problem = f"its tags {shown} are none of IO, IOB1, IOB2, BIOES or BILOU"
    raise DinkuError(problem, where=where, remedy=f"name them by what training used: --labels {typed}")


def _of_one_scheme(tags: tuple[str, ...], where: str) -> tuple[str, ...]:
    schemes = {_LAST[tag[0]] for tag in tags if tag[0] in _LAST}
    if len(schemes) > 1:
        remedy = "name them in one scheme by --labels"
        raise DinkuError("its tags mix BIOES (E-, S-) and BILOU (L-, U-)", where=where, remedy=remedy)
    return tags


def _meant(tag: str, number: int) -> str:
    """What a tag's name may stand for: the same without what can't stand in a tag, or in capitals; or an example."""
    plain = "".join(letter for letter in tag if letter.isprintable() and not letter.isspace())
    for meant in (plain, plain.upper()):
        if is_tag(meant):
            return meant
    return (
        "O"
        if number == 0
        else f"{'IB'[number % 2]}-{'PER' if number < 3 else 'LOC' if number < 5 else f'X{number // 2}'}"
    )


def check_task(task: Task, corpus: Corpus, *, where: str) -> None:
    """Raise `DinkuError` where a corpus isn't about what a model's head is for."""
    if task is not corpus.task:
        problem = f"is for {task.title}, and {corpus.name} is about {corpus.task.title}"
        raise DinkuError(problem, where=where, remedy=f"name a corpus of the task {task.name}, or another model")


def numbered(corpus: Corpus, tags: tuple[str, ...], task: Task = NER) -> list[NDArray[np.int64]]:
    """`Corpus.numbered` for a head of the task in any scheme: the corpus's tags are rewritten in it."""
    check_task(task, corpus, where="the head")
    scheme = scheme_of_head(tags) if task.schemes else "IOB2"
    if scheme != "IOB2":
        sentences = []
        for sentence in corpus.sentences:
            written = in_scheme(sentence.tags or (), scheme)
            fitted = (tag if tag in tags or tag[0] != "B" else f"I{tag[1:]}" for tag in written)  # IOB1 without that B-
            sentences.append(replace(sentence, tags=None if sentence.tags is None else tuple(fitted)))
        corpus = replace(corpus, sentences=tuple(sentences))
    return corpus.numbered(tags)


def check_common(tags: Collection[str], corpus: Corpus, *, where: str, task: Task = NER) -> list[str]:
    """What to warn of, where a model and a tagged corpus have other labels.

    Raises `DinkuError` with the mapping to type if they have none in common, and where the two are of different tasks.
    """
    check_task(task, corpus, where=where)
    own, theirs = {label_of(tag) for tag in tags} - {""} if task.schemes else {*tags}, set(corpus.labels)
    if not theirs or not own:
        return []
    if not own & theirs:
        pairs = ",".join(f"{label}={_nearest(label, sorted(theirs))}" for label in sorted(own))
        problem = f"its labels {_listed(sorted(own))} aren't those of {corpus.name}, {_listed(sorted(theirs))}"
        raise DinkuError(problem, where=where, remedy=f"say which are the same: --labels {pairs}")
    out = []
    if alone := sorted(own - theirs):
        what = "what it finds of that counts as wrong"
        drop = f" (--labels {alone[0]}= drops it)" * task.schemes
        out.append(f"only the model has {_listed(alone)}: {what}{drop}")
    if alone := sorted(theirs - own):
        what = "the model misses all of that"
        out.append(f"only {corpus.name} has {_listed(alone)}: {what} (--labels OLD={alone[0]} names one so)")
    return out


def _nearest(label: str, others: Sequence[str]) -> str:
    """The label that another begins with or is begun by, in any case; empty if there is none."""
    small = label.lower()
    return next((each for each in others if small.startswith(each.lower()) or each.lower().startswith(small)), "")
