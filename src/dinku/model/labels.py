"""What a head's tags mean: their scheme, names given to them, and which labels a model and a corpus have in common."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dinku.data.corpus import Corpus
from dinku.data.spans import Scheme, in_scheme, is_tag, label_of
from dinku.data.task import NER, Task
from dinku.errors import DinkuError, brief
from dinku.files import content

_LAST: dict[str, Scheme] = {"E": "BIOES", "S": "BIOES", "L": "BILOU", "U": "BILOU"}


@cache
def scheme_of_head(tags: tuple[str, ...]) -> Scheme:
    """The scheme of a head's tags, as far as its tags show: BIOES or BILOU by their own letters; IO if there is no ``B-``; IOB1
    if a label has ``I-`` but no ``B-``, as when no entity of it directly followed another; otherwise IOB2.

    Answers in IO, IOB1 and IOB2 are read alike: an ``I-X`` that doesn't continue a span begins one.

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

    An empty name, or ``O``, drops a label.

    Raises `DinkuError` for anything else, and for a name that is given twice.

    >>> read_labels("PERSON=PER,MISC=")
    {'PERSON': 'PER', 'MISC': ''}
    """
    text, where = given, "--labels"
    if ("=" not in given and not given.lstrip().startswith("{")) or _is_file(given):
        where = given
        try:
            text = content(given).decode("utf-8-sig")
        except (OSError, UnicodeDecodeError):
            remedy = "write OLD=NEW,OLD=NEW (nothing after = drops a label), or name a file of such lines"
            raise DinkuError(f"{brief(given)} is neither pairs nor a file", where="--labels", remedy=remedy) from None
    if text.lstrip().startswith("{"):
        try:
            found = json.loads(text, object_pairs_hook=list)
        except ValueError as error:
            raise DinkuError(f"isn't readable JSON ({error})", where=where, remedy="correct it") from None
        if not all(isinstance(name, str) for _, name in found):
            raise DinkuError("has a name that isn't text", where=where, remedy='write {"OLD": "NEW"}')
        named = [(str(old), str(new)) for old, new in found]
    else:
        pairs = [pair.strip() for line in text.splitlines() for pair in line.split(",") if pair.strip()]
        if odd := next((pair for pair in pairs if "=" not in pair), None):
            remedy = "write OLD=NEW, or OLD= to drop a label"
            raise DinkuError(f"{brief(odd)} has no =", where=where, remedy=remedy)
        named = [(old.strip(), new.strip()) for old, new in (pair.split("=", 1) for pair in pairs)]
    if not named:
        raise DinkuError("names nothing", where=where, remedy="write OLD=NEW,OLD=NEW")
    for number, (old, new) in enumerate(named):
        if before := [other for name, other in named[:number] if name == old and other != new]:
            problem = f"names {old!r} twice, {before[0]!r} and {new!r}"
            raise DinkuError(problem, where=where, remedy="name each once")
    return dict(named)


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):  # pairs may be too long for the name of a file
        return False


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def renamed(tags: Sequence[str], names: Mapping[str, str], *, where: str, task: Task = NER) -> tuple[str, ...]:
    """A head's tags renamed: whole tags (``LABEL_1=B-PER``) first, then labels (``PERSON=PER``). A tag whose label becomes empty
    or ``O`` is ``O``.

    Raises `DinkuError` for a name that the head doesn't have, for one that no tag or label can have, and if no label is left; for
    tasks in which each unit has a label, also if one is dropped.
    """
    if not task.schemes:
        return _renamed_labels(tags, names, where=where, task=task)
    out, used = [], set[str]()
    for tag in tags:
        label = label_of(tag)
        old = next((name for name in (tag, tag.strip(), label) if name in names and (name or not tag)), None)
        if old is None:
            out.append(tag)
            continue
        used.add(old)
        new = names[old]
        if new in ("", "O"):
            out.append("O")
        elif old == label != tag:
            if not is_label(new):
                remedy = f"give a label alone: {old}={new[2:]}" if is_tag(new) else "give a label without blanks or ="
                raise DinkuError(f"{new!r} can't be the label that {old} is called", where="--labels", remedy=remedy)
            out.append(f"{tag[: len(tag) - len(label)]}{new}")
        else:
            if not is_tag(new):
                remedy = f"give a tag, such as {old}=B-{new if is_label(new) else 'PER'}"
                raise DinkuError(f"{new!r} is no tag, which {old!r} is", where="--labels", remedy=remedy)
            out.append(new)
    _check_known(names.keys() - used, tags, where)
    if not set(out) - {"O"}:
        raise DinkuError("no label would be left", where="--labels", remedy="drop fewer of them")
    return tuple(out)


def _check_known(lacking: Collection[str], tags: Sequence[str], where: str) -> None:
    if lacking:
        problem = f"its head has no {min(lacking)!r}"
        raise DinkuError(problem, where=where, remedy=f"it has {_listed(sorted(set(tags)))}")


def _renamed_labels(tags: Sequence[str], names: Mapping[str, str], *, where: str, task: Task) -> tuple[str, ...]:
    """`renamed` for a task whose tags are its labels."""
    if "" in names.values():
        problem = f"drops a label, and of {task.title} none can be dropped"
        raise DinkuError(problem, where="--labels", remedy="name each label otherwise, or leave it out")
    if wrong := [new for new in names.values() if not task.is_legal(new)]:
        raise DinkuError(f"{wrong[0]!r} isn't a label", where="--labels", remedy=f"give {task.legal}")
    _check_known(names.keys() - {*tags}, tags, where)
    return tuple(names.get(tag, tag) for tag in tags)


def is_label(name: str) -> bool:
    """Whether a name may be given to a label: tags of it are tags, and it is none itself.

    >>> [name for name in ("PER", "", "a b", "B-PER", "PER=X") if is_label(name)]
    ['PER']
    """
    return is_tag(f"B-{name}") and not is_tag(name) and "=" not in name and "," not in name


def checked(tags: tuple[str, ...], *, where: str, task: Task = NER) -> tuple[str, ...]:
    """A head's tags; raises a `DinkuError` that suggests names if they belong to no scheme, and for tags that the task doesn't
    have."""
    if not task.schemes:
        if wrong := [tag for tag in tags if not task.is_legal(tag) or tags.count(tag) > 1]:
            problem = f"its label {wrong[0][:40]!r} isn't a label, or is there twice"
            raise DinkuError(problem, where=where, remedy="rename it by --labels")
        return tags
    odd = [tag for tag in tags if not is_tag(tag)]
    if not odd and "O" in tags:
        return _of_one_scheme(tags, where)
    shown = f"{', '.join(tags[:4])}{' …' if len(tags) > 4 else ''}"
    meant = {tag: _meant(tag, i) for i, tag in enumerate(tags) if not is_tag(tag)}
    if "O" not in tags and "O" not in meant.values():
        meant[tags[0]] = "O"
    typed = shlex.quote(",".join(f"{old}={new}" for old, new in meant.items()))
    problem = f"its tags {shown} are none of IO, IOB1, IOB2, BIOES or BILOU"
    raise DinkuError(problem, where=where, remedy=f"name them by what training used: --labels {typed}")


def _of_one_scheme(tags: tuple[str, ...], where: str) -> tuple[str, ...]:
    schemes = {_LAST[tag[0]] for tag in tags if tag[0] in _LAST}
    if len(schemes) > 1:
        remedy = "name them in one scheme by --labels"
        raise DinkuError("its tags mix BIOES (E-, S-) and BILOU (L-, U-)", where=where, remedy=remedy)
    return tags


_OUTSIDE = frozenset(
    {"o", "out", "outside", "other", "none", "null", "x", "pad", "cls", "sep", "s", "/s", "unk", "mask"}
)
_WORDS = {"begin": "B", "beginning": "B", "inside": "I", "end": "E", "last": "L", "single": "S", "unit": "U"}
_FIRST = re.compile(r"([BIESLU]|begin|beginning|inside|end|last|single|unit)[-_./:](.+)", re.IGNORECASE)
_LAST_PART = re.compile(r"(.+)[-_./:]([BIESLU])", re.IGNORECASE)


def _meant(tag: str, number: int) -> str:
    """What a tag's name may stand for: the same in another spelling, a label without a prefix (IO); or an example."""
    plain = re.sub(r"\s+", "_", tag.strip())
    if tag.isprintable() and plain:
        if plain.strip("[]<>").lower() in _OUTSIDE:
            return "O"
        if found := _FIRST.fullmatch(plain):
            plain = f"{_WORDS.get(found[1].lower(), found[1].upper())}-{found[2]}"
        elif found := _LAST_PART.fullmatch(plain):
            plain = f"{found[2].upper()}-{found[1]}"
        if tag.islower():
            plain = plain.upper()
        for meant in (plain, f"I-{plain}"):
            if is_tag(meant) and not re.search(r"\d", meant):
                return meant
    return (
        "O"
        if number == 0
        else f"{'IB'[number % 2]}-{'PER' if number < 3 else 'LOC' if number < 5 else f'X{number // 2}'}"
    )


def check_task(task: Task, corpus: Corpus, *, where: str) -> None:
    """Raise `DinkuError` if a corpus isn't about what a model's head is for."""
    if task is not corpus.task:
        problem = f"is for {task.title}, and {corpus.name} is about {corpus.task.title}"
        raise DinkuError(problem, where=where, remedy=f"name a corpus of the task {task.name}, or another model")


def numbered(corpus: Corpus, tags: tuple[str, ...], task: Task = NER) -> list[NDArray[np.int64]]:
    """`Corpus.numbered` for a head of the task in any scheme, in which the corpus's tags are rewritten first."""
    check_task(task, corpus, where="the head")
    scheme = scheme_of_head(tags) if task.schemes else "IOB2"
    if scheme != "IOB2":
        sentences = []
        for sentence in corpus.sentences:
            written = in_scheme(sentence.tags or (), scheme)
            fitted = (
                tag if tag in tags or tag[0] != "B" else f"I{tag[1:]}" for tag in written
            )  # IOB1 that lacks this B-
            sentences.append(replace(sentence, tags=None if sentence.tags is None else tuple(fitted)))
        corpus = replace(corpus, sentences=tuple(sentences))
    return corpus.numbered(tags)


def check_common(tags: Collection[str], corpus: Corpus, *, where: str, task: Task = NER) -> list[str]:
    """Warnings if a model and a tagged corpus have different labels.

    Raises a `DinkuError` that suggests a mapping if they have no label in common, and one if they are of different tasks.
    """
    check_task(task, corpus, where=where)
    only_model, only_corpus = one_sided(tags, corpus.labels, name=corpus.name, where=where, task=task)
    out = [said_of_model(only_model, task)] if only_model else []
    if only_corpus:
        what = "the model misses all of that"
        out.append(
            f"only {corpus.name} has {_listed(only_corpus)}: {what} (--labels OLD={only_corpus[0]} names one so)"
        )
    return out


def one_sided(
    tags: Collection[str], labels: Collection[str], *, name: str, where: str, task: Task = NER
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The labels that only a head's ``tags`` have, and those that only the corpus of this name has; none where a side has no
    labels at all.

    Raises `DinkuError` with the mapping to type if they have none in common.

    >>> one_sided(("O", "B-PER", "B-MISC"), ("PER", "LOC"), name="mine", where="tagger")
    (('MISC',), ('LOC',))
    """
    own, theirs = {label_of(tag) for tag in tags if tag != "O"} if task.schemes else {*tags}, set(labels)
    if not theirs or not own:
        return (), ()
    if not own & theirs:
        problem = f"its labels {_listed(sorted(own))} aren't those of {name}, {_listed(sorted(theirs))}"
        raise DinkuError(problem, where=where, remedy=f"say which are the same: --labels {mapping(own, theirs)}")
    return tuple(sorted(own - theirs)), tuple(sorted(theirs - own))


def said_of_model(labels: Sequence[str], task: Task = NER) -> str:
    """What to warn of, where only the model has these labels."""
    dropped = ",".join(f"{label}=" for label in labels)
    drop = f" (--labels {dropped} {'drops it' if len(labels) == 1 else 'drops them'})" * task.schemes
    return f"only the model has {_listed(labels)}: what it finds of that counts as wrong{drop}"


def mapping(own: Collection[str], theirs: Collection[str]) -> str:
    """Pairs to type after ``--labels``, each of a model's labels with the one of a corpus that it may stand for."""
    return ",".join(f"{label}={_nearest(label, sorted(theirs))}" for label in sorted(own))


def _nearest(label: str, others: Sequence[str]) -> str:
    """The label that is a prefix of another, or begins with it, in any letter case; empty if there is none."""
    small = label.lower()
    return next((each for each in others if small.startswith(each.lower()) or each.lower().startswith(small)), "")
