"""The card of a bundle, its ``README.md``: what it is, how well it tags, how it was made, and its licences."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dinku.data import learned, sources
from dinku.data.corpus import Corpus
from dinku.data.languages import is_code
from dinku.data.task import NER, Task
from dinku.errors import DinkuError, plural
from dinku.export import javascript
from dinku.files import written
from dinku.model.bundle import Bundle, Manifest
from dinku.progress import Count
from dinku.scoring.counts import Counts

_PART = re.compile(r"\(\d+ of \d+\)")  # which `Corpus.sample` writes into its name
_HUB_SPLITS = {"train": "train", "dev": "validation", "test": "test"}
# The Hub's names of licences. Ours differ only in case and hyphens, as in "CC BY-NC 4.0".
_LICENCES = {
    *(
        "mit",
        "apache-2.0",
        "bsd",
        "bsd-2-clause",
        "bsd-3-clause",
        "isc",
        "unlicense",
        "mpl-2.0",
        "artistic-2.0",
        "wtfpl",
    ),
    *(
        "gpl",
        "gpl-2.0",
        "gpl-3.0",
        "lgpl",
        "lgpl-2.1",
        "lgpl-3.0",
        "agpl-3.0",
        "afl-3.0",
        "epl-2.0",
        "eupl-1.1",
        "zlib",
    ),
    *("cc", "cc0-1.0", "cc-by-2.0", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0"),
    *("cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0"),
    *("cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "odc-by", "odbl", "pddl", "openrail", "bigscience-openrail-m"),
}


@dataclass(frozen=True)
class Measured:
    """A bundle's ``counts`` over the sentences of a corpus, for its card. The corpus's name shows whether it is only a sample.

    ``seen`` says for each sentence whether the tagger learned from it; ``None`` if that isn't known.
    """

    corpus: str
    split: str
    counts: Counts
    seen: Sequence[bool] | None = None


@dataclass(frozen=True)
class About:
    """Facts for a card and ``bundle.json`` that the tagger itself doesn't show: its origin and licences.

    ``data`` names its training corpora, ``recipe`` lists the steps that made it in canonical form, ``address`` is that of the
    last step, and ``latency`` a sentence about speed that says where it was measured.
    """

    name: str = ""
    data: tuple[str, ...] = ()
    data_licence: str = ""
    weights_licence: str = ""
    recipe: Any = None
    address: str = ""
    latency: str = ""


def measure(
    made: Bundle,
    corpus: Corpus,
    about: About,
    *,
    known: frozenset[int] = frozenset(),
    progress: Count | None = None,
) -> Measured:
    """Evaluate a bundle on a corpus, and write its card again with the result.

    ``known`` are the fingerprints of what its tagger learned from, by `dinku.data.learned`; the card also gives F1 without those
    sentences.
    """
    counts = made.evaluate(corpus, progress=progress)
    seen = learned.seen(corpus, known) if known else None
    found = Measured(called(corpus), corpus.split, counts, seen)
    with written(made.folder / "README.md") as file:
        text = card(made.manifest, made.tags, about, found, unread=unread_parts(made.folder), task=made.task)
        file.write(text.encode())
    return found


def unseen(corpus: Corpus, known: frozenset[int], *, where: str) -> None:
    """Raise `DinkuError` if a tagger learned from half of the test sentences or more."""
    shared = sum(learned.seen(corpus, known))
    if 2 * shared >= len(corpus):
        problem = f"the tagger learned from {shared:,} of the {plural(len(corpus), 'sentence')} of the test split"
        raise DinkuError(problem, where=where, remedy="name a corpus with a test split that it hasn't seen")


def card(
    manifest: Manifest,
    tags: tuple[str, ...],
    about: About,
    measured: Measured | None = None,
    *,
    unread: Sequence[str] = (),
    task: Task = NER,
) -> str:
    """The model card: metadata for the Hub, then text for people, with languages from the lowest F1 up."""
    size = sum(f.bytes for f in manifest.files.values())
    labels = ", ".join(filter(None, dict.fromkeys(map(task.label_of, tags))))
    languages = sorted(filter(is_code, {*measured.counts.languages})) if measured else []
    licence = (about.data_licence or about.weights_licence).lower().replace(" ", "-")
    name = about.name or "A tagger"
    header: dict[str, Any] = {
        "language": languages,
        "license": licence if licence in _LICENCES else "other",
        "pipeline_tag": task.hub,
        "tags": [task.hub, *["named-entity-recognition"] * task.schemes, "dinku", manifest.runtime],
        "datasets": list(dict.fromkeys(filter(None, map(sources.on_hub, about.data)))),
        "model-index": _model_index(name, measured),
    }
    out = ["---", *_yaml(header), "---", "", f"# {name}", ""]
    out += [
        f"{task.does.format(labels)}. {size / 1e6:.1f} MB, {manifest.precision}, for {manifest.runtime}; made with dinku.",
        "",
    ]
    out += [f"## {task.heading}", "", *_f1(measured), ""]
    out += ["## Use", "", *_use(manifest, unread, task), ""]
    gate = manifest.gate
    out += ["## Compared with the tagger it was made from", ""]
    compared = gate["words"] if task.each == "word" else gate["sentences"]
    words = f"{plural(compared, task.each)} ({gate['corpus']} {gate['split']})"
    out += [f"{100 * gate['equal']:.2f} % of the {'tags' if task.schemes else 'labels'} of {words} are equal."]
    out += [f"Largest difference of a logit: {gate['logits']:.2g}, where the largest logit is {gate['largest']:.2g};"]
    out += [f"other sentences in its batch change a logit by up to {gate['batch']:.2g}.", ""]
    if manifest.precision == "bf16" and not any("bfloat16" in name for name in gate["executed"]):
        out += [
            "The processor that compared them has no bf16 and computed in fp32, so that bf16 itself was not compared.",
            "",
        ]
    if manifest.quantization:
        out += [manifest.quantization.summary, ""]
    if about.latency:
        out += ["## Speed", "", about.latency, ""]
    out += ["## How it was made", ""]
    if about.recipe:
        out += ["```json", json.dumps(about.recipe, indent=1, ensure_ascii=False), "```", ""]
    facts = {"Tagger (sha256)": manifest.provenance["tagger"], "Address": about.address}
    facts |= {"Versions": ", ".join(f"{name} {number}" for name, number in manifest.provenance["versions"].items())}
    facts |= {"Learned from": ", ".join(about.data)}
    facts |= {"Licence of the data": about.data_licence or "not stated; ask whoever trained it"}
    facts |= {
        "Licence of the weights": about.weights_licence or "not stated; that of the encoder and of the data apply"
    }
    out += [f"- {key}: {value}" for key, value in facts.items() if value]
    return "\n".join(out) + "\n"


def _f1(measured: Measured | None) -> list[str]:
    """The table of F1, and the corpus on which it was measured."""
    if measured is None:
        return ["Not measured."]
    of = f"{measured.corpus} {measured.split}, {plural(len(measured.counts), 'sentence')}"
    if _PART.search(measured.corpus):
        of += "; **a part of them, not the whole split**"
    if measured.corpus.startswith("sample:"):
        of += "; **generated sentences (sample), which say nothing about a language**"
    worst = sorted(measured.counts.by_language().items(), key=lambda item: (item[1].f1, item[0]))
    rows = [f"| {language or 'unknown'} | {100 * s.f1:.2f} | {s.support:,} |" for language, s in worst]
    mean = sum(s.f1 for _, s in worst) / len(worst)
    if len(rows) > 1:
        rows.append(f"| mean of languages | {100 * mean:.2f} | {sum(s.support for _, s in worst):,} |")
    task = measured.counts.task
    first = [f"{task.told[0].upper()}{task.told[1:]} on {of}.", *_seen(measured), ""]
    if task is not NER:
        accuracy, macro = 100 * measured.counts.accuracy, 100 * measured.counts.macro_f1
        first[1:1] = [f"Over all of them accuracy is {accuracy:.2f}, macro-F1 {macro:.2f}."]
    return [*first, f"| | {task.score} | {task.unit}s |", "| - | -: | -: |", *rows]


def _seen(measured: Measured) -> list[str]:
    """Whether the tagger learned from any of the test sentences, as far as known."""
    if measured.seen is None:
        return [
            "The sentences that the tagger learned from aren't recorded, so whether these are among them isn't known."
        ]
    apart = [i for i, known in enumerate(measured.seen) if not known]
    if (shared := len(measured.seen) - len(apart)) == 0:
        return ["The tagger learned from none of them."]
    f1 = 100 * measured.counts.at(apart).scores().f1 if apart else 0.0
    measure = "micro-F1" if measured.counts.task is NER else measured.counts.task.score
    of = f"**The tagger learned from {shared:,} of them.** Over the other {len(apart):,} in all {measure} is {f1:.2f}"
    return [f"{of}, where it is {100 * measured.counts.scores().f1:.2f} over every one."]


def _use(manifest: Manifest, unread: Sequence[str], task: Task = NER) -> list[str]:
    """How to run the bundle, and how its offsets count."""
    out = ["```python", "import dinku  # pip install dinku", "", 'dinku.open("this folder").find("…")', "```", ""]
    if task.each != "word":
        return [*out, *_use_classes(manifest, unread)]
    out += ["Offsets count Unicode code points, as Python does. A string of JavaScript counts UTF-16 units, of which a"]
    out += ["character beyond U+FFFF has two: there, use `Array.from(text).slice(start, end).join('')`.", ""]
    if manifest.runtime != "onnxruntime":
        return out[:-1]
    if "tokenizer.json" not in manifest.files:
        return [
            *out,
            "It reads whole words, by features that dinku hashes: transformers and transformers.js can't open it.",
        ]
    if unread:
        return [*out, f"transformers.js doesn't read its tokenizer as dinku does: {', '.join(unread)}."]
    out += [
        "transformers.js reads this folder, too. It doesn't part text into words: put blanks around punctuation. A word's"
    ]
    out += [
        "tag is that of its first subword, and its pipeline leaves out subwords that are a bare `▁` or unknown: take"
    ]
    return [*out, "tags from the logits of `AutoModelForTokenClassification`."]


def _use_classes(manifest: Manifest, unread: Sequence[str]) -> list[str]:
    """How to run what labels whole texts, and how it reads them."""
    out = [
        "It labels a text by the state of its first subword (pooling: first). A text longer than a window is read in several, and"
    ]
    out += ["the mean of their logits decides."]
    if manifest.runtime != "onnxruntime":
        return out
    if unread:
        return [*out, "", f"transformers.js doesn't read its tokenizer as dinku does: {', '.join(unread)}."]
    return [
        *out,
        "",
        "transformers.js reads this folder, too, as `text-classification`; it cuts texts off at a window's length.",
    ]


def _model_index(name: str, measured: Measured | None) -> list[dict[str, Any]]:
    """F1 by language in the Hub's format, if the bundle was tested on a whole split of one of the Hub's data sets."""
    data = sources.on_hub(measured.corpus) if measured else ""
    if measured is None or not data or _PART.search(measured.corpus):
        return []
    task = measured.counts.task
    metric = "accuracy" if task.average == "micro" and not task.schemes else "f1"
    named = f"{task.told[0].upper()}{task.told[1:]}".partition(" (")[0]
    results = [
        {
            "task": {"type": task.hub, "name": "Named entity recognition" if task.schemes else task.title.capitalize()},
            "dataset": {"name": data, "type": data, "config": language, "split": _HUB_SPLITS[measured.split]},
            "metrics": [{"type": metric, "value": round(scores.f1, 4), "name": named}],
        }
        for language, scores in sorted(measured.counts.by_language().items())
        if measured.split in _HUB_SPLITS
    ]
    return [{"name": name, "results": results}] if results else []


def _yaml(header: Mapping[str, Any]) -> list[str]:
    import yaml

    return yaml.safe_dump({k: v for k, v in header.items() if v}, sort_keys=False, allow_unicode=True).splitlines()


def called(corpus: Corpus) -> str:
    """A corpus's name; of a path only the last part, because a card shouldn't reveal folders of this machine."""
    return Path(corpus.name).name


def unread_parts(folder: Path) -> list[str]:
    """The parts of a bundle's tokenizer that transformers.js can't read."""
    tokenizer = folder / "tokenizer.json"
    if not tokenizer.is_file():
        return []  # a model of whole words
    return javascript.unread(json.loads(tokenizer.read_text(encoding="utf-8")))
