"""spaCy's own files, ``.spacy``: documents with entities, read and written by spaCy. Its tokens are the words."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dinku.data.corpus import Sentence
from dinku.data.formats.format import Format, Head, all_labelled
from dinku.data.formats.reading import Collected, Mark, keys_of, text_of
from dinku.data.spans import spans
from dinku.errors import DinkuError, reason
from dinku.files import content, written

_KEYS = "dinku"  # under which a document's user data holds the other keys


def _recognizes(head: Head) -> bool:
    try:
        start = zlib.decompressobj().decompress(head.data, 200)
    except zlib.error:
        return False
    return b"attrs" in start and b"version" in start


def _read(into: Collected) -> None:
    for number, (text, marks, words, said) in enumerate(_documents(into.path), 1):
        keys = said if isinstance(said, dict) else {}
        into.text(text, marks, f"{into.path}, document {number}", keys, words)


def _documents(path: Path) -> list[tuple[str, list[Mark], list[tuple[int, int]], Any]]:
    """The text of each document, its entities, its words, and the other keys that dinku wrote."""
    from spacy.tokens import DocBin
    from spacy.vocab import Vocab

    data = content(path)
    try:
        return [
            (
                doc.text,
                [(entity.start_char, entity.end_char, entity.label_) for entity in doc.ents],
                [(token.idx, token.idx + len(token)) for token in doc if token.text.strip()],
                doc.user_data.get(_KEYS),
            )
            for doc in DocBin().from_bytes(data).get_docs(Vocab())
        ]
    except Exception as error:  # whatever malformed bytes lead to within the library
        problem = f"can't be read by spaCy ({reason(error)})"
        raise DinkuError(problem, where=str(path), remedy="write it again with DocBin.to_disk") from None


def _write(sentences: Iterable[Sentence], path: Path) -> None:
    from spacy.tokens import Doc, DocBin, Span
    from spacy.vocab import Vocab

    all_labelled(sentences, path)
    vocab = Vocab()
    store = DocBin(attrs=["ENT_IOB", "ENT_TYPE"], store_user_data=True)
    for sentence in sentences:
        words, spaces, places = _tokens(sentence)
        doc = Doc(vocab, words=words, spaces=spaces)
        inside = [Span(doc, places[s.start], places[s.end - 1] + 1, s.label) for s in spans(sentence.tags or ())]
        doc.set_ents(inside)
        if keys := keys_of(sentence):
            doc.user_data[_KEYS] = keys
        store.add(doc)
    with written(path) as file:
        file.write(store.to_bytes())


def _tokens(sentence: Sentence) -> tuple[list[str], list[bool], list[int]]:
    """A sentence's tokens as spaCy has them, whether a blank follows each, and the token of each word.

    What stands between words beside one blank is a token of its own, as in spaCy's tokenizers.
    """
    text, offsets = text_of(sentence)
    words: list[str] = []
    spaces: list[bool] = []
    places: list[int] = []
    at = 0
    for start, end in [*offsets, (len(text), len(text))]:
        between = text[at:start]
        if words and between.startswith(" "):
            spaces[-1], between = True, between[1:]
        if between:
            words.append(between)
            spaces.append(False)
        if end > start:
            places.append(len(words))
            words.append(text[start:end])
            spaces.append(False)
        at = end
    return words, spaces, places


FORMAT = Format("spacy", "spaCy .spacy", (".spacy",), _recognizes, _read, _write)
