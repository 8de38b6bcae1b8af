"""An audit of a corpus before training: counts, and what is odd."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from dinku.data.corpus import OF_SENTENCES, Corpus, Findings


def audit(corpus: Corpus, train: Corpus | None = None) -> dict[str, Any]:
    """Counts of a split, of what is odd in it, and the first place of each oddity.

    ``spans``: by label, in the default reading · ``duplicates``: sentences that repeat an earlier one in the same language ·
    ``also_in_train``: sentences whose words also occur in ``train``, in the same language · ``longest``: the number of words of
    the longest sentence · ``first``: for each oddity the first sentence that has it, numbered from 1 within the split · the
    others as in `Findings`.
    """
    known = {(s.language, s.words) for s in train} if train else set()
    before: set[tuple[str, tuple[str, ...]]] = set()
    odd: dict[str, list[int]] = {name: [] for name in ("duplicates", "also_in_train", *OF_SENTENCES)}
    labels: Counter[str] = Counter()
    for number, s in enumerate(corpus, 1):
        key = s.language, s.words
        odd["duplicates"] += [number] if key in before else []
        odd["also_in_train"] += [number] if key in known else []
        before.add(key)
        labels.update(span.label for span in corpus.task.spans(s.tags or ()))
        findings = Findings.within([s], corpus.task)
        for name in OF_SENTENCES:
            odd[name] += [number] * getattr(findings, name)
    return {
        "sentences": len(corpus),
        "words": corpus.words,
        "spans": dict(sorted(labels.items())),
        **{name: len(numbers) for name, numbers in odd.items()},
        **{f.name: getattr(corpus.findings, f.name) for f in fields(Findings) if f.name not in OF_SENTENCES},
        "longest": max((len(s.words) for s in corpus), default=0),
        "first": {name: numbers[0] for name, numbers in odd.items() if numbers},
    }


def labels_alone(audits: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """The labels that have a span in one split only, by split; none if there is only one split."""
    return {
        split: sorted(set(own["spans"]).difference(*(a["spans"] for s, a in audits.items() if s != split)))
        if len(audits) > 1
        else []
        for split, own in audits.items()
    }


def merged(parts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The audits of several languages as one: counts are added, and ``longest`` is the greatest.

    ``first``, ``labels_alone`` and ``segmentation``, which only make sense for one language, are left out.
    """
    out: dict[str, Any] = {}
    for part in parts.values():
        for name, value in part.items():
            if name == "spans":
                out[name] = dict(sorted((Counter(out.get(name, {})) + Counter(value)).items()))
            elif name.startswith("longest"):
                out[name] = max(out.get(name, 0), value)
            elif name not in ("first", "labels_alone", "segmentation"):
                out[name] = out.get(name, 0) + value
    return out
