"""What readers of formats share: how a file is to be read, and texts with marked spans turned into sentences."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl

from dinku.data.conll import from_bare, in_iob2, no_tag
from dinku.data.corpus import Corpus, Findings, Origin, Sentence
from dinku.data.spans import Span, is_iob2_tag, is_tag, orphans
from dinku.data.spans import spans as spans_of
from dinku.data.spans import tags as tags_of
from dinku.data.task import CLASSES, NER, TASKS, Task
from dinku.data.word_boundaries import joined, words
from dinku.errors import DinkuError, brief, nearest, plural

Mark = tuple[int, int, str]  # a span of a text: start, end (code points, half-open) and label


@dataclass(frozen=True)
class How:
    """How files are read where their content doesn't say it; empty means as usual.

    ``form`` is the name of the format · ``misaligned`` says what becomes of spans that cut words: *error*, *widen* them to the
    whole words, or *drop* them · ``documents`` says what one sentence is: a record's text as a *whole*, each of its *lines*, or
    *sentences* that are found in it · ``words`` are those *given* by the format (or else found by rule), those found by *rule* in
    any case, or what stands between *blanks* · ``tags`` are *bare* if they are labels without a prefix, as in ``PER O`` ·
    ``labels`` are the names of tags that are numbers: ``O,B-PER,I-PER``, ``3=PER,4=LOC``, or a file with a name a line ·
    ``task`` is what tags are, by the name of a `dinku.data.task.Task`: *ner* unless the format says otherwise · ``text`` and
    ``label`` name the columns of a text, several with blanks between, and of its class · ``quotes`` says whether cells may stand
    in quotes: by default those of a CSV may, and those of a TSV mayn't.
    """

    form: str = ""
    misaligned: Literal["error", "widen", "drop"] = "error"
    documents: Literal["", "whole", "lines", "sentences"] = ""
    words: Literal["given", "rule", "blanks"] = "given"
    tags: Literal["", "bare"] = ""
    labels: str = ""
    task: str = ""
    text: str = ""
    label: str = ""
    quotes: Literal["", "yes", "no"] = ""

    @property
    def asked_task(self) -> Task:
        """The task, *ner* unless another was asked for."""
        return TASKS[self.task] if self.task else NER

    @classmethod
    def parse(cls, query: str, *, where: str, form: str = "") -> How:
        """The options behind the question mark of a name. Raises `DinkuError` for one that isn't known.

        >>> How.parse("misaligned=drop&words=blanks", where="mine.jsonl").misaligned
        'drop'
        """
        given = dict(parse_qsl(query, keep_blank_values=True))
        return cls(form).having(where=where, **given)

    def having(self, *, where: str, **given: str) -> How:
        """The same with other options, which are checked."""
        allowed = {f.name: f for f in fields(self) if f.name != "form"}
        for name, value in given.items():
            if name not in allowed:
                remedy = f"{nearest(name, allowed)}the options are {', '.join(allowed)}"
                raise DinkuError(f"there is no option {name!r}", where=where, remedy=remedy)
            if (values := _VALUES.get(name)) and value not in values:
                remedy = f"choose {' or '.join(filter(None, values))}"
                raise DinkuError(f"{name} is {value!r}", where=where, remedy=remedy)
        return replace(self, **given)  # type: ignore[arg-type]  # checked above

    @property
    def query(self) -> str:
        """The options that differ from the usual, as `parse` reads them."""
        usual = How()
        names = [f.name for f in fields(self) if f.name != "form"]
        return "&".join(f"{n}={getattr(self, n)}" for n in names if getattr(self, n) != getattr(usual, n))

    def names(self, where: str) -> dict[int, str]:
        """The names of tags or labels that are numbers, from ``labels``; none if it is empty."""
        text = self.labels
        if text and "," not in text and "=" not in text:
            try:
                text = ",".join(Path(text).read_text(encoding="utf-8").split())
            except (OSError, UnicodeDecodeError) as error:
                remedy = "give names as in O,B-PER,I-PER, or a file with a name a line"
                raise DinkuError(f"labels can't be read ({error})", where=where, remedy=remedy) from None
        out: dict[int, str] = {}
        for at, part in enumerate(filter(None, text.split(","))):
            number, equals, name = part.partition("=")
            if equals and not number.isdecimal():
                raise DinkuError(f"labels holds {part!r}", where=where, remedy="write it as in 3=PER,4=LOC")
            out[int(number) if equals else at] = name if equals else part
        return out


AS_USUAL = How()
_VALUES: dict[str, tuple[str, ...]] = {
    "misaligned": ("error", "widen", "drop"),
    "documents": ("", "whole", "lines", "sentences"),
    "words": ("given", "rule", "blanks"),
    "tags": ("", "bare"),
    "task": ("", *TASKS),
    "quotes": ("", "yes", "no"),
}


def text_of(sentence: Sentence) -> tuple[str, tuple[tuple[int, int], ...]]:
    """A sentence's text and its words' offsets: as it was typed where that is known, else its words joined by blanks."""
    origin = sentence.origin
    if origin and origin.text is not None:
        return origin.text, origin.offsets
    return joined(sentence.words)


def marks_of(sentence: Sentence) -> tuple[str, list[Mark]]:
    """A sentence's text and the spans of its tags in it."""
    text, offsets = text_of(sentence)
    return text, [(offsets[s.start][0], offsets[s.end - 1][1], s.label) for s in spans_of(sentence.tags or ())]


def keys_of(sentence: Sentence, *without: str) -> dict[str, Any]:
    """The other keys of a sentence's record, but for those in ``without``, which the format itself uses."""
    keys = sentence.origin.keys if sentence.origin else {}
    return {name: value for name, value in keys.items() if name not in without}


@dataclass
class Collected:
    """The sentences of a file while it is read, and what was odd in it.

    A reader calls `text` for each text with marked spans, `tagged` for each sentence of tagged words, or `classified` for each
    text with one label.
    """

    path: Path
    how: How
    language: str = ""
    split: str = ""
    sentences: list[Sentence] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    findings: Findings = field(default=Findings())
    _spans: int = 0
    _cut: list[str] = field(default_factory=list)  # the places of spans that cut words
    _left_out: dict[str, list[str]] = field(default_factory=dict)  # places by reason
    _shared: dict[str, str] = field(default_factory=dict)  # equal words, labels and tags share one object
    _tags: set[str] = field(default_factory=set)
    _whole: Corpus | None = None
    _given: bool = False  # whether words and tags were given, and not found in texts
    _classified: bool = False

    @property
    def task(self) -> Task:
        """What the tags are, by what was asked and what the format has."""
        return CLASSES if self._classified else self.how.asked_task

    def text(
        self,
        text: Any,
        marks: Sequence[tuple[Any, Any, Any]],
        where: str,
        keys: Mapping[str, Any] | None = None,
        words: Sequence[tuple[int, int]] | None = None,
        documents: str = "whole",
    ) -> None:
        """Take a text, the spans marked in it, and the offsets of its words if the format gives them.

        ``documents`` is how the format itself divides texts into sentences; an option that the user gives takes precedence.
        """
        if not self.task.schemes:
            problem = f"marks spans of a text, and the task {self.task.name} is {self.task.title}"
            raise DinkuError(problem, where=where, remedy="leave task out, or name a file of another format")
        check_string(text, where)
        offsets = self._words(text, words)
        starts, ends = [start for start, _ in offsets], [end for _, end in offsets]
        spans: list[Span] = []
        for mark in sorted(map(self._checked(text, where), marks)):
            self._spans += 1
            start, end, label = mark
            first, last = bisect_right(ends, start), bisect_left(starts, end)  # the words that it touches
            if first >= last or start > starts[first] or end < ends[last - 1]:
                self._cut.append(f"{where}, {text[start:end][:40]!r}" + _whole(text, offsets, first, last))
                if self.how.misaligned != "widen" or first >= last:
                    continue
            span = Span(first, last, label)
            if not spans or first >= spans[-1].end:
                spans.append(span)
            elif span != spans[-1]:
                problem = f"the span {text[start:end][:40]!r} ({start}–{end}, {label}) overlaps another"
                raise DinkuError(problem, where=where, remedy="keep one of the two: a word can have one tag")
        if not offsets:
            return self.left_out(where, "text without a word", "texts without a word")
        at = 0
        for first, last, a, b in self._pieces(text, offsets, spans, self.how.documents or documents):
            inside: list[Span] = []
            while at < len(spans) and spans[at].end <= last:  # as no sentence ends within a span
                inside.append(Span(spans[at].start - first, spans[at].end - first, spans[at].label))
                at += 1
            own = tuple((start - a, end - a) for start, end in offsets[first:last])
            tags = tags_of(inside, last - first)
            origin = Origin(where, keys or {}, text[a:b], own)
            self._take(tuple(text[s:e] for s, e in offsets[first:last]), tags, origin)
        return None

    def tagged(
        self,
        given: Any,
        tags: Any,
        where: str,
        keys: Mapping[str, Any] | None = None,
        text: str | None = None,
        offsets: Sequence[tuple[int, int]] = (),
    ) -> None:
        """Take a sentence of words and their tags, in any scheme. Raises `DinkuError` for what aren't words and tags."""
        for name, values in (("words", given), ("tags", tags)):
            if not isinstance(values, list | tuple) or not all(isinstance(each, str) for each in values):
                raise DinkuError(f"its {name} are {brief(values)}", where=where, remedy="give a list of strings")
        if len(given) != len(tags):
            problem = f"has {plural(len(given), 'word')} and {plural(len(tags), 'tag')}"
            raise DinkuError(problem, where=where, remedy="give one tag a word")
        if self.how.tags == "bare":
            tags = [from_bare(tag) for tag in tags]
        task = self.task
        if task.each != "word":
            problem = f"has a tag for each word, and the task {task.name} is {task.title}"
            raise DinkuError(problem, where=where, remedy="leave task out, or give a text and a label")
        for word, tag in zip(given, tags, strict=True):
            check_text(word, where)
            if task.schemes and not is_tag(tag):
                raise no_tag(tag, repr(tag[:40]), where)
            if not task.schemes and not task.is_legal(tag):
                raise DinkuError(f"{tag[:40]!r} isn't a label", where=where, remedy=f"write {task.legal}")
            if not word.strip() and tag != task.outside:
                raise DinkuError(f"an empty word has the tag {tag}", where=where, remedy="remove it, or tag a word")
        if empty := sum(not word.strip() for word in given):
            self.findings += Findings(empty_tokens=empty)
            kept = [i for i, word in enumerate(given) if word.strip()]
            given, tags = [given[i] for i in kept], [tags[i] for i in kept]
            offsets = [offsets[i] for i in kept] if offsets else ()
        if not given:
            return self.left_out(where, "sentence without a word", "sentences without a word")
        origin = Origin(where, keys or {}, text, tuple(offsets))
        self._given = True
        return self._take(tuple(given), tuple(tags), origin)

    def classified(self, text: Any, label: Any, where: str, keys: Mapping[str, Any] | None = None) -> None:
        """Take a text and its label, a string or a number that ``labels`` names. Raises `DinkuError` for an empty text.

        Its words are what stands between blanks unless others are asked for, so that a tokenizer reads the text as it is.
        """
        self._classified = True
        if self.how.task and self.how.asked_task is not CLASSES:
            asked = self.how.asked_task
            problem = f"has a label for a whole text, and the task {asked.name} is {asked.title}"
            raise DinkuError(problem, where=where, remedy="leave task out, or name a file of another format")
        check_string(text, where)
        if isinstance(label, list) and len(label) == 1:
            label = label[0]
        if isinstance(label, list):
            problem = f"has {plural(len(label), 'label')} ({brief(label)})"
            raise DinkuError(problem, where=where, remedy="give each text one label")
        if type(label) is int:
            label = (self._numbers or {}).get(label, str(label))
        if not isinstance(label, str) or not CLASSES.is_legal(label := label.strip()):
            raise DinkuError(f"its label is {brief(label)}", where=where, remedy=f"give it {CLASSES.legal}")
        offsets = words(text) if self.how.words == "rule" else blanks(text)
        if not offsets:
            raise DinkuError("has a label and no text", where=where, remedy="give it a text, or remove it")
        origin = Origin(where, keys or {}, text, tuple(offsets))
        self._take(tuple(text[a:b] for a, b in offsets), (label,), origin)

    @cached_property
    def _numbers(self) -> dict[int, str]:
        return self.how.names(str(self.path))

    def take(self, corpus: Corpus) -> None:
        """Take a corpus that is read already."""
        self._whole, self._given = corpus, True

    def left_out(self, where: str, what: str, whats: str = "") -> None:
        """Count a record that is left out, and note the reason."""
        self._left_out.setdefault(f"{what}\0{whats}", []).append(where)

    def corpus(self) -> Corpus:
        """The sentences in IOB2. Raises `DinkuError` if there are none, or spans cut words and *error* was asked."""
        corpus = self._corpus() if self._whole is None else self._whole
        anew = self.how.words != "given" or self.how.documents == "sentences"
        if not anew or not self._given:
            return corpus
        if not self.task.schemes:
            problem = f"its words are given, each with a label ({self.task.name}), and can't be found anew"
            raise DinkuError(problem, where=str(self.path), remedy="leave words and documents out")
        again = Collected(self.path, replace(self.how, form=""), self.language, self.split, notes=list(corpus.notes))
        for number, sentence in enumerate(corpus, 1):
            origin = sentence.origin or Origin(f"{self.path}, sentence {number}")
            text, marks = marks_of(sentence)
            again.text(text, marks, origin.where, origin.keys, text_of(sentence)[1])
        return replace(again._corpus(), findings=corpus.findings)

    def _corpus(self) -> Corpus:
        name = str(self.path)
        if self._cut:
            problem = f"{len(self._cut):,} of {plural(self._spans, 'span')} cut words: {'; '.join(self._cut[:3])}"
            if self.how.misaligned == "error":
                remedy = "correct them, or read it with misaligned=widen or misaligned=drop"
                raise DinkuError(problem, where=name, remedy=remedy)
            done = "widened to whole words" if self.how.misaligned == "widen" else "dropped"
            self.notes.append(f"{name}: {problem}; {done}")
        for what, places in self._left_out.items():
            self.notes.append(f"{name}: {plural(len(places), *what.split(chr(0)))} left out, the first at {places[0]}")
        if not self.sentences:
            raise DinkuError(
                "has no sentence", where=name, remedy="; ".join(self.notes) or "give it a text with a word"
            )
        sentences = self.sentences
        task = self.task
        if task.schemes and (
            any(not is_iob2_tag(tag) for tag in self._tags) or any(orphans(s.tags or ()) for s in sentences)
        ):
            sentences, notes = in_iob2(sentences, self._tags, name, False)
            self.notes.extend(notes)
        findings = self.findings + Findings.within(sentences, task)
        return Corpus(name, self.split, tuple(sentences), findings, tuple(self.notes), task=task)

    def _take(self, given: tuple[str, ...], tags: tuple[str, ...], origin: Origin) -> None:
        shared = self._shared
        self._tags.update(tags)
        same = [tuple(shared.setdefault(each, each) for each in values) for values in (given, tags)]
        self.sentences.append(Sentence(same[0], same[1], self.language, origin, self.task.each))

    def _words(self, text: str, given: Sequence[tuple[int, int]] | None) -> Sequence[tuple[int, int]]:
        if self.how.words == "blanks":
            return blanks(text)
        return words(text) if given is None or self.how.words == "rule" else given

    def _checked(self, text: str, where: str) -> Callable[[tuple[Any, Any, Any]], Mark]:
        """Checks a mark, and trims the white space at its ends, which no word has."""

        def check(mark: tuple[Any, Any, Any]) -> Mark:
            start, end, label = mark
            if type(start) is not int or type(end) is not int:
                raise DinkuError(
                    f"a span is {brief(list(mark))}", where=where, remedy="give its start and end as numbers"
                )
            if not 0 <= start <= end <= len(text):
                problem = f"the span {start}–{end} doesn't lie within the {plural(len(text), 'character')} of the text"
                remedy = "check that the offsets are this text's, and count characters from 0"
                raise DinkuError(problem, where=where, remedy=remedy)
            if not isinstance(label, str):
                remedy = "name the labels, as in labels=3=PER,4=LOC"
                raise DinkuError(f"the label of a span is {brief(label)}", where=where, remedy=remedy)
            name = "_".join(label.split())
            if not is_iob2_tag(f"B-{name}"):
                raise DinkuError(f"the label {label!r} can't stand in a tag", where=where, remedy="rename it")
            if name != label and (note := f"{self.path}: the label {label!r} is read as {name}") not in self.notes:
                self.notes.append(note)
            bare = text[start:end]
            start += len(bare) - len(bare.lstrip())
            return start, max(start, end - len(bare) + len(bare.rstrip())), name

        return check

    def _pieces(
        self, text: str, offsets: Sequence[tuple[int, int]], spans: Sequence[Span], documents: str
    ) -> Iterator[tuple[int, int, int, int]]:
        """The sentences of a text: each one's first word and the one after its last, and its start and end in the text."""
        if documents == "whole":
            yield 0, len(offsets), 0, len(text)
            return
        ends = lines(text) if documents == "lines" else sentence_ends(text, self.language)
        starts = [start for start, _ in offsets]
        inside = {i for span in spans for i in range(span.start + 1, span.end)}
        cuts = sorted({bisect_left(starts, end) for end in ends} - inside - {0, len(offsets)})
        for first, last in pairwise([0, *cuts, len(offsets)]):
            yield first, last, offsets[first][0], offsets[last - 1][1]


def _whole(text: str, offsets: Sequence[tuple[int, int]], first: int, last: int) -> str:
    return (
        f" within {text[offsets[first][0] : offsets[last - 1][1]][:60]!r}" if first < last else ", which holds no word"
    )


def check_string(text: Any, where: str) -> None:
    """Raise `DinkuError` for what isn't text."""
    if not isinstance(text, str):
        raise DinkuError(f"its text is {brief(text)}", where=where, remedy="give the text as a string")
    check_text(text, where)


def check_text(text: str, where: str) -> None:
    """Raise `DinkuError` for half a surrogate pair, which no file can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        problem = "holds half of a surrogate pair"
        raise DinkuError(problem, where=where, remedy="write the character whole, in UTF-8") from None


def blanks(text: str) -> list[tuple[int, int]]:
    """The start and end of each run of characters other than white space.

    >>> blanks("a  b-c ")
    [(0, 1), (3, 6)]
    """
    out, at = [], 0
    for word in text.split():
        at = text.index(word, at)
        out.append((at, at + len(word)))
        at += len(word)
    return out


def lines(text: str) -> list[int]:
    """Where the lines of a text end."""
    return [at for at, character in enumerate(text) if character in "\n\r"]


def sentence_ends(text: str, language: str) -> list[int]:
    """Where the sentences of a text end, as the library sentencex finds them for a language; line breaks end one, too."""
    from sentencex import get_sentence_boundaries

    found = get_sentence_boundaries(_TWO_LETTERS.get(language, language or "en"), text)
    return [each["end_index"] for each in found] + lines(text)


# sentencex knows languages by two letters, where they have such a code.
_TWO_LETTERS = {
    **{
        "amh": "am",
        "bam": "bm",
        "ewe": "ee",
        "hau": "ha",
        "ibo": "ig",
        "kin": "rw",
        "lug": "lg",
        "nya": "ny",
        "sna": "sn",
    },
    **{
        "swa": "sw",
        "tsn": "tn",
        "twi": "tw",
        "wol": "wo",
        "xho": "xh",
        "yor": "yo",
        "zul": "zu",
        "eng": "en",
        "fra": "fr",
    },
}
