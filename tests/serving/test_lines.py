"""Files of lines: read as they are wanted, in order, and refused in one line where they are no text."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dinku.data.conll import parse
from dinku.errors import DinkuError
from dinku.serving import lines, reader
from dinku.serving.lines import Source
from dinku.testing import tiny_tagger


def source(data: bytes) -> Source:
    return Source("f", io.BytesIO(data))


class Endless(io.RawIOBase):
    """Lines without end, which counts those that were asked for."""

    def __init__(self, line: bytes) -> None:
        self.line, self.read_lines = line, 0

    def readline(self, size: int | None = -1, /) -> bytes:
        self.read_lines += 1
        return self.line if self.read_lines % 3 else b"\n"


@pytest.mark.parametrize(
    ("kind", "line"), [("typed", b"Ade lo\n"), ("jsonl", b'{"text": "Ade"}\n'), ("conll", b"Ade O\n")]
)
def test_a_file_is_read_no_further_than_a_block_ahead(kind: str, line: bytes) -> None:
    endless = Endless(line)
    given = getattr(lines, kind)(Source("f", endless))  # type: ignore[arg-type]
    tagging = reader.Reader(tiny_tagger()).stream(given)
    assert len(list(islice(tagging, 2 * reader.BLOCK))) == 2 * reader.BLOCK
    assert endless.read_lines <= 3 * 2 * reader.BLOCK


def test_blocks_come_in_order() -> None:
    texts = [f"Ade{n} lo" for n in range(reader.BLOCK + 5)]
    found = reader.Reader(tiny_tagger()).stream(lines.typed(source("\n".join(texts).encode())))
    assert [line.text for line, _ in found] == texts


def test_texts_are_answered_without_end() -> None:
    opened = reader.Reader(tiny_tagger())
    texts = ["Ade lo", "", "Kiland \U0001f600 Adeba"]
    found = [*islice(opened.stream(cycle(texts)), 7)]
    assert [answer["text"] for answer in found] == (texts * 3)[:7]
    for answer in found:
        assert answer.keys() == {"text", "entities"}
        wanted = opened.find(answer["text"])
        assert [e | {"score": 0} for e in answer["entities"]] == [e | {"score": 0} for e in wanted]


def test_json_lines_keep_their_keys() -> None:
    data = b'{"id": 7, "text": "Ade lo", "entities": "old"}\n\n{"text": ""}'
    (line, empty) = lines.jsonl(source(data))
    (found, nothing) = reader.Reader(tiny_tagger()).tag([line, empty])
    answer = line.answer(found)
    assert (answer["id"], answer["text"]) == (7, "Ade lo")
    assert answer["entities"] == line.entities(found)
    assert empty.answer(nothing) == {"text": "", "entities": []}
    json.dumps(answer)


@given(st.lists(st.sampled_from(["a", "b c", "ẹ O", "x\ty z", "-DOCSTART-", " ", "", "\u2028", "c\rd"]), max_size=12))
def test_conll_is_read_as_a_whole_file_is(told: list[str]) -> None:
    def read(words: Callable[[bytes], list[tuple[str, ...]]]) -> object:
        try:
            return words("\n".join(told).encode())
        except DinkuError as refused:
            return refused.problem.partition(" where")[0]

    whole = read(lambda data: [s.words for s in parse(data, "f", labelled=False)])
    assert read(lambda data: [line.sentence.words for line in lines.conll(source(data))]) == whole


@pytest.mark.parametrize(
    ("kind", "data", "said"),
    [
        ("typed", b"a\n\xff", "f:2: isn't UTF-8"),
        ("typed", b"a\0", "f:1: holds a NUL byte"),
        ("typed", b"a" * (lines.LONGEST + 2), "f:1: is longer than 16 MB; give it a sentence a line"),
        ("jsonl", b'{"text": "\\ud800"}', "f:1: isn't JSON (unexpected end of hex escape)"),
        ("jsonl", b"[" * 100_000, "f:1: isn't JSON (recursion limit exceeded)"),
        ("jsonl", b'{"text": 3}', "f:1: isn't an object with a text"),
        ("conll", b"PK\x03\x04 O", "f: is a compressed file; unpack it first"),
        ("conll", b"a O\nb\n", "f:2: has 1 column where line 1 has 2"),
    ],
)
def test_what_is_no_text_is_told(kind: str, data: bytes, said: str) -> None:
    with pytest.raises(DinkuError) as raised:
        list(getattr(lines, kind)(source(data)))
    assert str(raised.value).startswith(said)


def test_a_sentence_of_ten_thousand_words_and_odd_characters_are_read() -> None:
    opened = reader.Reader(tiny_tagger())
    odd = "Ade\x07\x1b[31mlo \u200f\u202eki\U0001f600\ufffe\x85"
    given = [*lines.typed(source(("ba " * 10_000 + "\n" + odd).encode()))]
    long, strange = opened.tag(given)
    assert len(long.tags) == 10_000
    assert given[1].text == odd
    assert all(given[1].text[e["start"] : e["end"]] == e["text"] for e in given[1].entities(strange))


def test_what_is_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(b"ba\r\nde")
    said: list[int] = []
    with lines.opened(tmp_path / "t") as text:
        text.read = said.append
        assert [line.text for line in lines.typed(text)] == ["ba", "de"]
    assert (said, text.size) == ([4, 2], 6)


def test_three_lines_of_python(tmp_path: Path) -> None:
    import dinku

    tagger = dinku.open(str(tiny_tagger().save(tmp_path / "tagger")), threads=1)
    found: Iterator[str] = (e["text"] for e in tagger.find("  Badeo Adeba ki"))
    assert all(text in "Badeo Adeba ki" for text in found)
    assert tagger.precision == "fp32"
    with pytest.raises(AttributeError, match="no attribute 'close'"):
        dinku.close  # noqa: B018


def test_json_and_conll_are_not_taken_for_text() -> None:
    for data, said in (
        (
            b'{"text": "Ade lo"}\n',
            'holds JSON, whose braces would be tagged as words; read it as JSON lines, with {"text"',
        ),
        (b'\n{"id": 3, "sentence": "Ade lo"}', "holds JSON"),
        (b'[\n  {"text": "Ade lo"}\n]', "holds JSON"),
        (b"{\n", "holds JSON"),
        (b"Ade B-PER\nlo O\n\nEko S-LOC\n", "holds CoNLL, whose tags would be tagged as words; read it as CoNLL"),
        (b"Ade\tNN\tB-PER\nlo\tV\tO\n.\t.\tO\n", "holds CoNLL"),
    ):
        with pytest.raises(DinkuError) as error:
            list(lines.typed(source(data)))
        assert str(error.value).startswith(f"f: {said}")
    for text in (
        b"[Ade] lo\nEko\n",
        b"{Ade} lo\n",
        b"blood group O\nAde lo Eko .\nvitamin B-12\n",
        b"",
        b"\n\nO\nO\nO\n",
    ):
        assert [line.text for line in lines.typed(source(text))] == text.decode().split("\n")[:-1]


def test_the_end_of_a_files_name_tells_what_it_holds() -> None:
    kinds = {"a.jsonl": "jsonl", "a.NDJSON": "jsonl", "a.conll": "conll", "a.txt": "typed", "a": "typed", "-": "typed"}
    assert {name: lines.kind_of(Path(name)) for name in kinds} == kinds
    assert lines.kind_of(None) == "typed"
