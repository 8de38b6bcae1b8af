"""CoNLL in and out, what the reader counts, and what it refuses."""

from __future__ import annotations

import gzip
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dinku.data import audit, conll, sources
from dinku.data.corpus import Corpus, Findings, Sentence
from dinku.data.spans import is_iob2_tag
from dinku.errors import DinkuError
from dinku.testing import tiny_corpus

# Characters that Python's own splitting would part at, invisible ones, and ones that NFC would change.
ODD = "\xa0\u2028\x85\u3000\x0c\x1c\u200b\u200d\ufeff\u0301\u212b"
# Words that a reader could take for something else.
TRAPS = ["<html>", "<!DOCTYPE", "#", "O", "B-PER", "-DOCSTART-x", "PAR1", "version", "-"]
COUNTS = {  # sentences of train, dev and test
    "amh": (1750, 250, 500),
    "hau": (1912, 276, 552),
    "ibo": (2235, 320, 638),
    "kin": (2116, 302, 605),
    "lug": (1428, 200, 407),
    "luo": (644, 92, 186),
    "pcm": (2124, 306, 600),
    "swa": (2109, 300, 604),
    "wol": (1871, 267, 539),
    "yor": (2171, 305, 645),
}
FOUND = {  # what is odd in them; nothing else is
    ("luo", "train"): Findings(bom=1),
    ("swa", "train"): Findings(invisible=2),
    ("yor", "train"): Findings(invisible=2, orphan_tags=1),
    ("yor", "test"): Findings(orphan_tags=1),
    ("lug", "train"): Findings(orphan_tags=3),
    ("hau", "train"): Findings(orphan_tags=1),
    ("hau", "test"): Findings(orphan_tags=1),
    ("pcm", "train"): Findings(orphan_tags=5),
}


def is_word(word: str) -> bool:
    return bool(word.strip()) and word != "-DOCSTART-"


CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters=" \t\n\r\0") | st.sampled_from(ODD)
WORDS = st.text(CHARACTERS, min_size=1, max_size=6).filter(is_word) | st.sampled_from(TRAPS)
TAGS = st.sampled_from(["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ÌLÚ"])


@st.composite
def sentences(draw: st.DrawFn, labelled: bool = True) -> tuple[Sentence, ...]:
    rows = st.lists(st.tuples(WORDS, TAGS), min_size=1, max_size=5)
    made = draw(st.lists(rows, min_size=1, max_size=4))
    made[0][0] = (made[0][0][0].lstrip("\ufeff") or "x", made[0][0][1])
    if not is_word(made[0][0][0]) or not labelled:  # without a tag behind it, a first "<html" does begin a page
        made[0][0] = ("x", made[0][0][1])
    return tuple(Sentence(tuple(w for w, _ in row), tuple(t for _, t in row) if labelled else None) for row in made)


def refusal(data: bytes, **options: object) -> str:
    with pytest.raises(DinkuError) as error:
        conll.parse(data, "x.txt", **options)  # type: ignore[arg-type]
    assert error.value.status == 2
    assert "\n" not in str(error.value)
    return str(error.value)


# What is read


@given(sentences())
def test_canonical_text_survives(made: tuple[Sentence, ...]) -> None:
    text = conll.text(made)
    again = conll.parse(text.encode(), "x", iob2=True)  # which a file of a few words may not look like
    assert again.sentences == made
    assert conll.text(again) == text


@given(sentences(labelled=False))
def test_unlabelled_text_survives(made: tuple[Sentence, ...]) -> None:
    text = conll.text(made)
    again = conll.parse(text.encode(), "x", labelled=False)
    assert again.sentences == made
    assert conll.text(again) == text


@given(sentences(), st.sampled_from(["\n", "\r\n", "\r"]), st.sampled_from([" ", "\t", "   ", " \t"]), st.booleans())
def test_other_spellings_mean_the_same(made: tuple[Sentence, ...], newline: str, blank: str, four: bool) -> None:
    middle = f"NN{blank}B-NP{blank}" if four else ""
    bodies = [
        "".join(f"{w}{blank}{middle}{t}{newline}" for w, t in zip(s.words, s.tags or (), strict=True)) for s in made
    ]
    text = newline * 2 + (newline * 3).join(bodies).rstrip("\r\n")
    read = conll.parse(b"\xef\xbb\xbf" + text.encode(), "x", iob2=True)
    assert read.sentences == made
    assert read.findings == Findings.within(made) + Findings(bom=1)


def test_a_file_is_read_as_its_bytes_are_and_named_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "hau.txt"
    path.write_bytes(b"Kano B-LOC\r\nta O")
    read = conll.read(path, language="hau", split="dev")
    assert read.sentences == (Sentence(("Kano", "ta"), ("B-LOC", "O"), "hau"),)
    assert (read.name, read.split, len(read), read.words) == (str(path), "dev", 1, 2)


def test_with_a_tab_a_token_may_hold_blanks() -> None:
    read = conll.parse(b"New York\tB-LOC\nis \tO\nit O\n", "x")
    assert read.sentences[0].words == ("New York", "is", "it")


def test_empty_tokens_end_a_sentence() -> None:
    # As in the Xhosa file: the token is missing, its tag stands alone behind the blank.
    data = "a O\n O\nb B-PER\nc O\n\n O\n\xa0 O\n\tO\n B-LOC\n  \nd O\n,\ne O\n"
    read = conll.parse(data.encode(), "x")
    assert [s.words for s in read] == [("a",), ("b", "c"), ("d",), ("e",)]
    assert read.findings == Findings(empty_tokens=6)


def test_empty_token_of_four_columns_and_on_the_first_line() -> None:
    read = conll.parse(b" O\na NN x O\n NN x O\nb NN x O\n", "x")
    assert [s.words for s in read] == [("a",), ("b",)]
    assert read.findings == Findings(empty_tokens=2)


def test_one_character_is_a_word_where_there_are_no_tags() -> None:
    read = conll.parse(b"a\n.\n\nb\n", "x", labelled=False)
    assert read.sentences == (Sentence(("a", ".")), Sentence(("b",)))
    assert read.findings == Findings()


def test_unlabelled_reading_ignores_other_columns() -> None:
    read = conll.parse(b"a NN\n. ,\n", "x", labelled=False)
    assert read.sentences == (Sentence(("a", ".")),)


def test_docstart_ends_a_sentence() -> None:
    read = conll.parse(b"-DOCSTART- -X- O O\n\na NN x O\n-DOCSTART-\nb NN x O\n", "x")
    assert [s.words for s in read] == [("a",), ("b",)]
    assert read.findings == Findings(docstart=2)


def test_findings_count_words_and_keep_them() -> None:
    words = ["a\u200bb", "a\u200bb", "e\u0301", "\xe9", "plain", "\u200b", "x\u2060"]
    tags = ["I-PER", "I-LOC", "I-LOC", "O", "B-PER", "I-LOC", "I-LOC"]
    data = "".join(f"{w} {t}\n" for w, t in zip(words, tags, strict=True))
    read = conll.parse(data.encode(), "x")
    assert read.sentences[0].words == tuple(words)
    assert read.sentences[0].tags == tuple(tags)
    assert read.findings == Findings(invisible=4, not_nfc=1, orphan_tags=3)


def test_findings_add_up() -> None:
    assert Findings(1, 2, 3, 4, 5, 6) + Findings(10, 20, 30, 40, 50, 60) == Findings(11, 22, 33, 44, 55, 66)


# What is refused


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "x.txt: has no sentence; give it at least one word with a tag"),
        (b"\n \n\r\n", "x.txt: has no sentence; give it at least one word with a tag"),
        (b"\nword\n", "x.txt:2: has a word but no tag; give each line a word, a blank and its tag"),
        (
            b"\na O\nb NN O\n",
            "x.txt:3: has 3 columns where line 2 has 2; give every line the same columns, the word first, its tag last",
        ),
        (
            b"a O\r\nbcd\r\n",
            "x.txt:2: has 1 column where line 1 has 2; give every line the same columns, the word first, its tag last",
        ),
        (
            b"a NN O\na  O\n",
            "x.txt:2: has 2 columns where line 1 has 3; give every line the same columns, the word first, its tag last",
        ),
        (b"a O\nb X-PER\n", "x.txt:2: the last column, 'X-PER', isn't an IOB2 tag; write tags as O, B-X or I-X"),
        (b"a B_PER\n", "x.txt:1: the last column, 'B_PER', isn't an IOB2 tag; write tags as O, B-X or I-X"),
        (b"a O\n\nb o\n", "x.txt:3: the last column, 'o', isn't an IOB2 tag; write tags as O, B-X or I-X"),
        (
            b"a\tO\nbc\t\n",
            "x.txt:2: has 1 column where line 1 has 2; give every line the same columns, the word first, its tag last",
        ),
        (b"a O\nb\0 O\n", "x.txt:2: holds a NUL byte; save the file as UTF-8 text"),
        (b"a O\r\rb\xe9 O\n", "x.txt:3: isn't UTF-8; save the file as UTF-8 text"),
        ("a O\n".encode("utf-16"), "x.txt:1: holds a NUL byte; save the file as UTF-8 text"),
        (
            b"\n <!doctype HTML>\n<head>",
            "x.txt: is a web page; download the raw file instead of the page that shows it",
        ),
        (
            b"\xef\xbb\xbf<HTML lang=en>\n",
            "x.txt: is a web page; download the raw file instead of the page that shows it",
        ),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            "x.txt: is a Git LFS pointer; fetch the file itself with `git lfs pull`",
        ),
        (gzip.compress(b"a O\n", mtime=0), "x.txt: is a compressed file; unpack it first"),
        (b"PK\x03\x04\x14", "x.txt: is a compressed file; unpack it first"),
        (b"PAR1\x15\x04\nPAR1", "x.txt: is a Parquet file; convert it to lines of a word, a blank and its tag"),
    ],
)
def test_malformed_text(data: bytes, message: str) -> None:
    assert refusal(data) == message


@given(
    st.lists(st.sampled_from([b"a", b"bc", b" ", b"\t", b"\n", b"\r", b"O", b"B-X", b"\xa0", b"\xc2", b"-DOCSTART-"]))
)
def test_any_bytes_are_read_or_refused(pieces: list[bytes]) -> None:
    try:
        read = conll.parse(b"".join(pieces), "x.txt")
    except DinkuError:
        return
    assert all(s.words and all(map(is_word, s.words)) for s in read)
    assert all(is_iob2_tag(tag) for s in read for tag in s.tags or ())


def test_malformed_unlabelled_text() -> None:
    assert refusal(b"\n", labelled=False) == "x.txt: has no sentence; give it at least one word"
    assert refusal(b"a\nb O\n", labelled=False) == (
        "x.txt:2: has 2 columns where line 1 has 1; give every line the same columns, the word first, its tag last"
    )


def test_a_long_tag_is_cut() -> None:
    assert len(refusal(b"a " + b"x" * 5000)) < 120


def test_missing_file_and_folder(tmp_path: Path) -> None:
    missing = tmp_path / "no"
    with pytest.raises(DinkuError) as error:
        conll.read(missing)
    assert str(error.value) == f"{missing}: isn't there; check the path"
    with pytest.raises(DinkuError) as error:
        conll.read(tmp_path)
    assert str(error.value) == f"{tmp_path}: is a folder; name one of the files in it"


def test_a_sentence_has_one_tag_a_word() -> None:
    with pytest.raises(DinkuError) as error:
        Sentence(("a", "b"), ("O",))
    assert str(error.value) == "a sentence of 2 words has 1 tag; give one tag a word"


IO = "Ade I-PER\nEko I-LOC\nbe O\n\nEko I-LOC\nAde I-PER\nBello I-PER\n"


@pytest.mark.parametrize(
    ("scheme", "text"),
    [
        ("IO", IO),
        ("IOB1", f"{IO}Ade B-PER\n"),
        ("BIOES", "Ade S-PER\nEko S-LOC\nbe O\n\nEko S-LOC\nAde B-PER\nBello E-PER\nAde S-PER\n"),
        ("BILOU", "Ade U-PER\nEko U-LOC\nbe O\n\nEko U-LOC\nAde B-PER\nBello L-PER\nAde U-PER\n"),
    ],
)
def test_other_schemes_are_read_as_iob2_and_said_so(scheme: str, text: str) -> None:
    read = conll.parse(text.encode(), "x.txt")
    last = () if scheme == "IO" else ("B-PER",)
    assert [s.tags for s in read] == [("B-PER", "B-LOC", "O"), ("B-LOC", "B-PER", "I-PER", *last)]
    assert read.notes == (f"x.txt: its tags are in {scheme}; read as IOB2, with the same entities",)
    assert read.findings == Findings()
    assert Corpus.joined([read, read], "both").notes == read.sample(1, 0).notes == read.notes
    assert read.without_tags().notes == ()


def test_a_file_in_iob2_keeps_its_orphans_and_many_are_said() -> None:
    few = conll.parse(b"a B-X\nb O\n" * 20 + b"a I-X\n", "x.txt")
    assert (few.findings.orphan_tags, few.notes, few.sentences[0].tags[-1:]) == (1, (), ("I-X",))  # type: ignore[index]
    many = conll.parse(b"a B-X\nb O\na I-X\n", "x.txt")
    assert many.notes == ("x.txt: 1 of 2 entities begin with I-, the others with B-; read as IOB2",)
    assert many.sentences[0].tags == ("B-X", "O", "I-X")
    kept = conll.parse(b"a I-X\n", "x.txt", iob2=True)
    assert kept.sentences[0].tags == ("I-X",)
    assert kept.notes == ("x.txt: every entity begins with I-, as in IO; read as IOB2, so strict F1 counts none",)
    assert refusal(b"a S-X\nb U-X\n") == (
        "x.txt: mixes tags of BIOES (S-) and of BILOU (U-); write all tags in one scheme, best in IOB2"
    )


# What is written


def test_write_replaces_the_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    made = (Sentence(("Kano", "ta"), ("B-LOC", "O"), "hau"), Sentence(("É",), ("O",)))
    conll.write(Corpus("x", "dev", made), path)
    assert path.read_bytes() == "Kano B-LOC\nta O\n\nÉ O\n\n".encode()
    with pytest.raises(DinkuError):
        conll.write([Sentence(("fine", "not fine"), ("O", "O"))], path)
    assert path.read_bytes() == "Kano B-LOC\nta O\n\nÉ O\n\n".encode()
    conll.write(made[1:], path)
    assert path.read_bytes() == "É O\n\n".encode()
    assert list(tmp_path.iterdir()) == [path]


def test_write_where_the_system_refuses(tmp_path: Path) -> None:
    path = tmp_path / "no" / "out.txt"
    with pytest.raises(DinkuError) as error:
        conll.write([Sentence(("a",), ("O",))], path)
    assert str(error.value) == (
        f"{path}: can't be written (No such file or directory); check the folder, its permissions and space"
    )
    assert error.value.status == 1


def test_a_failed_replacement_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.mkdir()
    with pytest.raises(DinkuError, match="can't be written"):
        conll.write([Sentence(("a",), ("O",))], path)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("word", ["", " ", "a b", "a\tb", "a\nb", "a\rb", "a\0b", "\xa0", "\ud800", "-DOCSTART-"])
def test_words_that_cannot_be_written(word: str) -> None:
    with pytest.raises(DinkuError) as error:
        conll.text([Sentence(("a", word), ("O", "O"))])
    message = f"the word {word!r} can't be written as CoNLL; replace or split it"
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ([Sentence(("a",), ("S-X",))], "the tag 'S-X' can't be written as CoNLL; use O, B-X or I-X"),
        ([Sentence((), ())], "a sentence without words can't be written as CoNLL; leave it out"),
        (
            [Sentence(("a",), ("O",)), Sentence(("a",))],
            "labelled and unlabelled sentences can't share a file; write them apart",
        ),
        (
            [Sentence(("\ufeffa",), ("O",))],
            "the first word begins with U+FEFF, which reads as a byte-order mark; remove it",
        ),
    ],
)
def test_sentences_that_cannot_be_written(made: list[Sentence], message: str) -> None:
    with pytest.raises(DinkuError) as error:
        conll.text(made)
    assert str(error.value) == message


# The corpus


def small(name: str = "x", split: str = "dev", languages: str = "hsh") -> Corpus:
    names = {"h": "hau", "s": "swa"}
    made = (Sentence((f"w{i}\u200b", "z"), ("I-PER", "B-LOC"), names[c]) for i, c in enumerate(languages))
    return Corpus(name, split, tuple(made), Findings(bom=1, invisible=len(languages), orphan_tags=len(languages)))


def test_what_a_corpus_tells() -> None:
    it = small()
    assert (len(it), it.words, it.languages, it.labels) == (3, 6, ("hau", "swa"), ("LOC", "PER"))
    assert list(it) == list(it.sentences)


def test_fingerprint_is_of_the_content_alone() -> None:
    it = small()
    assert it.fingerprint == small("other", "test").fingerprint == Corpus("y", "", it.sentences).fingerprint
    assert (
        it.fingerprint == "ef52d746b489ec230bcb757b85d9788ebbc9084cd51ef741c219bdd2eff5709f"
    )  # addresses of results rest on it
    others = [
        it.without_tags(),
        it.only("hau"),
        small(languages="shh"),
        Corpus("x", "dev", tuple(Sentence(s.words, s.tags) for s in it)),
        Corpus("x", "dev", tuple(Sentence(s.words, ("B-PER", "B-LOC"), s.language) for s in it)),
        Corpus("x", "dev", it.sentences[::-1]),
    ]
    assert len({it.fingerprint, *(o.fingerprint for o in others)}) == len(others) + 1


def test_fingerprint_tells_where_words_and_sentences_end() -> None:
    made: list[list[tuple[str, ...]]] = [
        [("a b",)],
        [("a", "b")],
        [("a",), ("b",)],
        [('a","b',)],
        [("a\nb",)],
        [("ab",)],
        [()],
        [],
    ]
    prints = {Corpus("", "", tuple(Sentence(words) for words in ws)).fingerprint for ws in made}
    assert len(prints) == len(made)


def test_without_tags() -> None:
    bare = small().without_tags()
    assert all(s.tags is None for s in bare)
    assert [(s.words, s.language) for s in bare] == [(s.words, s.language) for s in small()]
    assert bare.findings == Findings(bom=1, invisible=3)
    assert bare.labels == ()


def test_only() -> None:
    it = small()
    assert it.only("hau").sentences == (it.sentences[0], it.sentences[2])
    assert it.only(["hau"]).findings == Findings(invisible=2, orphan_tags=2)
    assert it.only("hau").name == "x (hau)"
    assert it.only(["swa", "hau"]) is it
    with pytest.raises(DinkuError) as error:
        it.only(["hau", "yor"])
    assert str(error.value) == "x: has nothing in 'yor'; it holds hau, swa"


def test_joined() -> None:
    both = Corpus.joined([small(), small("y", "dev", "s")], "z")
    assert (both.name, both.split, both.languages) == ("z", "dev", ("hau", "swa"))
    assert both.sentences == small().sentences + small(languages="s").sentences
    assert both.findings == Findings(bom=2, invisible=4, orphan_tags=4)
    assert Corpus.joined([small(split="train"), small()], "z").split == "train+dev"
    with pytest.raises(DinkuError) as error:
        Corpus.joined([], "z")
    assert str(error.value) == "z: there is nothing to join; give at least one corpus"


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 3))
def test_sample(n: int, total: int, seed: int) -> None:
    it = small(languages="h" * total)
    drawn = it.sample(n, seed)
    if n >= total:
        assert drawn is it
        return
    assert len(drawn) == n
    assert drawn.name == f"x ({n} of {total})"
    assert drawn.sentences == tuple(s for s in it if s in set(drawn))  # old order, no sentence twice
    assert drawn == it.sample(n, seed)
    assert set(drawn) <= set(it.sample(n + 1, seed))
    assert drawn.findings == Findings(invisible=n, orphan_tags=n)


def test_sample_depends_on_its_seed_and_never_changes() -> None:
    it = small(languages="h" * 100)
    assert it.sample(10, 0).sentences != it.sample(10, 1).sentences
    assert [s.words[0][1:-1] for s in it.sample(5, 0)] == ["44", "61", "68", "72", "92"]
    with pytest.raises(DinkuError) as error:
        it.sample(0, 0)
    assert str(error.value) == "x: can't sample 0 sentences; ask for at least one"


def test_reading_is_fast() -> None:
    data = "".join(
        f"w{i % 5000}é {'O' if i % 9 else 'B-PER'}\n" + "\n" * (i % 25 == 0) for i in range(300_000)
    ).encode()
    start = time.process_time()
    assert conll.parse(data, "x").words == 300_000
    assert time.process_time() - start < 1.5  # about 0.3 s


# Real corpora


@pytest.mark.shared
@pytest.mark.parametrize("language", COUNTS)
def test_masakhaner_has_the_sentences_it_is_published_with(shared: Path, language: str) -> None:
    for split, count in zip(("train", "dev", "test"), COUNTS[language], strict=True):
        path = shared / "data" / "masakhane-ner" / "data" / language / f"{split}.txt"
        read = conll.read(path, language=language, split=split)
        assert len(read) == count
        assert read.labels == ("DATE", "LOC", "ORG", "PER")
        assert conll.text(read).rstrip() == path.read_bytes().decode("utf-8-sig").rstrip()
        assert read.findings == FOUND.get((language, split), Findings())
        assert read.notes == ()


def test_an_audit_counts_what_is_odd_and_says_where() -> None:
    twice = Sentence(("a", "b"), ("B-PER", "O"), "x")
    other = Sentence(("a", "b"), ("O", "O"), "y")  # the same words in another language are no duplicate
    odd = Sentence(("c\u200b", "e\u0301", "d"), ("I-LOC", "O", "B-PER"), "x")
    train = Corpus("t", "train", (twice, other), Findings(bom=1, empty_tokens=2))
    test = Corpus("t", "test", (odd, twice, twice), Findings())
    found = audit.audit(test, train)
    assert found == {
        "sentences": 3,
        "words": 7,
        "spans": {"LOC": 1, "PER": 3},
        "duplicates": 1,
        "also_in_train": 2,
        "orphan_tags": 1,
        "invisible": 1,
        "not_nfc": 1,
        "bom": 0,
        "empty_tokens": 0,
        "docstart": 0,
        "longest": 3,
        "first": {"duplicates": 3, "also_in_train": 2, "orphan_tags": 1, "invisible": 1, "not_nfc": 1},
    }
    both = audit.merged({"x": found, "y": audit.audit(train)})
    assert (both["sentences"], both["bom"], both["empty_tokens"], both["longest"]) == (5, 1, 2, 3)
    assert both["spans"] == {"LOC": 1, "PER": 4}
    assert "first" not in both


def test_labels_alone() -> None:
    audits = {"train": {"spans": {"PER": 3, "LOC": 1}}, "dev": {"spans": {"PER": 1}}, "test": {"spans": {"MISC": 1}}}
    assert audit.labels_alone(audits) == {"train": ["LOC"], "dev": [], "test": ["MISC"]}
    assert audit.labels_alone({"test": {"spans": {"PER": 1}}}) == {"test": []}


@pytest.mark.shared
def test_an_audit_of_masakhaner_finds_what_is_known_to_be_in_it(shared: Path) -> None:
    found = sources.audited(sources.whole("masakhaner:all"))
    also = {language: part["also_in_train"] for language, part in found["test"].items() if part["also_in_train"]}
    assert also == {"ibo": 7, "swa": 11, "yor": 5, "kin": 1, "lug": 1, "wol": 1}
    assert found["train"]["luo"]["bom"] == 1
    assert {language for language, part in found["train"].items() if part["invisible"]} == {"swa", "yor"}
    assert {"hau", "lug", "pcm", "yor"} == {
        language for parts in found.values() for language, part in parts.items() if part["orphan_tags"]
    }
    fon = sources.audited(sources.whole("masakhaner2:fon"))
    assert fon["train"]["fon"]["not_nfc"] > 0
    assert fon["test"]["fon"]["not_nfc"] == 0
    chinese = sources.audited(sources.whole("masakhaner:zh"))
    assert list(chinese) == ["dev", "test"]
    assert set(chinese["test"]["zh"]["spans"]) == {"PER", "ORG", "LOC"}


def test_a_part_of_a_part_knows_the_whole_corpus() -> None:
    corpus = tiny_corpus()
    part = corpus.only("one").sample(3, seed=0)
    assert (part.name, part.source, corpus.source) == ("tiny (one) (3 of 12)", "tiny", "tiny")
    assert part.without_tags().source == "tiny"
