import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from dinku.data import sources
from dinku.data.corpus import Corpus, Sentence
from dinku.errors import DinkuError
from dinku.model.encode import SubwordEncoder, opened, subwords_of
from dinku.model.folder import ModelFolder, find_folder
from dinku.model.installed import HOUSE
from dinku.model.windows import buckets
from dinku.nn.tagger import Tagger
from dinku.testing import tiny_corpus, tiny_tagger, tiny_tokenizer

LETTERS = Tokenizer(models.WordLevel({"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "a": 4, "b": 5}, unk_token="<unk>"))
LETTERS.pre_tokenizer = pre_tokenizers.Split("", "isolated")
LETTERS.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(0, 30), max_size=60), st.integers(4, 24))
def test_every_word_with_a_subword_is_scored_once_at_its_first_subword(lengths: list[int], room: int) -> None:
    words = ["a" + "b" * (n - 1) if n else "" for n in lengths]
    windows = SubwordEncoder(LETTERS, room, pad=1).windows([words])
    scored = [int(w) for window in windows for w in window.words]
    assert scored == [i for i, n in enumerate(lengths) if n]
    for window in windows:
        assert len(window.ids) <= room
        assert (window.ids[0], window.ids[-1]) == (0, 2)
        assert (window.ids[window.at] == 4).all()  # "a" begins each word, and only begins one


@given(st.lists(st.integers(0, 30), max_size=60), st.integers(4, 24), st.integers(1, 70))
def test_a_sentence_read_in_stretches_has_the_same_windows(lengths: list[int], room: int, most: int) -> None:
    words = ["a" + "b" * (n - 1) if n else "" for n in lengths]
    encoder = SubwordEncoder(LETTERS, room, pad=1)
    reading, pauses = encoder.stretches(words, most), 0
    while True:
        try:
            next(reading)
            pauses += 1
        except StopIteration as read:
            windows = read.value
            break
    assert pauses == max(0, -(-len(words) // most) - 1)
    wanted = encoder.windows([words])
    assert len(windows) == len(wanted)
    for window, other in zip(windows, wanted, strict=True):
        assert all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in zip(window, other, strict=True))


def test_windows_overlap_so_that_words_at_a_cut_keep_context_on_both_sides() -> None:
    windows = SubwordEncoder(LETTERS, 12, pad=1).windows([["a"] * 40])
    for earlier, later in pairwise(windows):
        assert later.words[0] == earlier.words[-1] + 1
        assert earlier.at[-1] < len(earlier.ids) - 2  # words follow the last one scored …
        assert later.at[0] > 1  # … and come before the first


def test_a_sentence_that_fits_is_one_window_and_equals_the_tokenizers_own_ids() -> None:
    tokenizer = tiny_tokenizer("unigram", tiny_corpus())
    sentences = [s.words for s in tiny_corpus(20, seed=4)]
    windows = SubwordEncoder(tokenizer.backend_tokenizer, 512, 1).windows(sentences)
    expected = tokenizer([list(s) for s in sentences], is_split_into_words=True)["input_ids"]
    assert [w.ids.tolist() for w in windows] == expected


def test_label_on_first_content_passes_over_a_bare_word_mark() -> None:
    pieces = [
        ("<s>", 0.0),
        ("<pad>", 0.0),
        ("</s>", 0.0),
        ("<unk>", 0.0),
        ("▁", -1.0),
        ("中", -2.0),
        ("国", -2.0),
        ("▁a", -1.0),
    ]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    sentence = [["中国", "a", "▁"]]
    (first,) = SubwordEncoder(tokenizer, 16, 1, "first").windows(sentence)
    (content,) = SubwordEncoder(tokenizer, 16, 1, "first_content").windows(sentence)
    assert first.ids.tolist() == content.ids.tolist() == [4, 5, 6, 7, 4]
    assert first.at.tolist() == [0, 3, 4]
    assert content.at.tolist() == [1, 3, 4]  # the last word has nothing but its mark


def test_batches_pad_and_gather() -> None:
    encoder = SubwordEncoder(LETTERS, 32, pad=1)
    batch = encoder.batch(encoder.windows([["ab", "a"], ["a"]]))
    assert batch.ids.tolist() == [[0, 4, 5, 4, 2], [0, 4, 2, 1, 1]]
    assert batch.mask.tolist() == [[1] * 5, [1, 1, 1, 0, 0]]
    assert not batch.full
    assert (batch.rows.tolist(), batch.columns.tolist()) == ([0, 0, 1], [1, 3, 1])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 200), max_size=80), st.integers(1, 600), st.integers(1, 16))
def test_buckets_hold_every_index_once_within_their_bounds(lengths: list[int], tokens: int, most: int) -> None:
    groups = buckets(lengths, tokens, most)
    assert sorted(i for group in groups for i in group) == list(range(len(lengths)))
    for group in groups:
        assert len(group) <= most
        assert len(group) == 1 or max(lengths[i] for i in group) * len(group) <= tokens


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(DinkuError, match="label_on is 'last'"):
        SubwordEncoder(LETTERS, 32, 1, "last")  # type: ignore[arg-type]
    with pytest.raises(DinkuError, match="windows of 3 subwords hold no word"):
        SubwordEncoder(LETTERS, 3, 1)


@pytest.mark.shared
def test_no_gold_word_of_the_real_test_sets_is_lost(shared: Path) -> None:
    tokenizer = Tokenizer.from_file(str(shared / "models" / "e5-masakhaner" / "tokenizer.json"))
    corpus = sources.load("masakhaner:all", "test")
    sentences = [s.words for s in corpus] + [s.words for s in sources.load("masakhaner:zh", "test")]
    for length in (64, 512):
        scored = [np.zeros(len(s), int) for s in sentences]
        for window in SubwordEncoder(tokenizer, length, 1).windows(sentences):
            scored[window.sentence][window.words] += 1
        lost = [
            word for s, n in zip(sentences, scored, strict=True) for word, times in zip(s, n, strict=True) if times != 1
        ]
        assert all(not tokenizer.encode([word], is_pretokenized=True, add_special_tokens=False).ids for word in lost)


def assert_opens_alike(folder: Path, corpus: Corpus) -> None:
    """A folder read without torch, and by `Tagger`."""
    encoder, tagger = opened(ModelFolder(folder)), Tagger.load(folder)
    assert encoder
    assert (encoder.length, encoder.pad, encoder.unknown_id) == (
        tagger.encoder.length,
        tagger.encoder.pad,
        tagger.encoder.unknown_id,
    )
    words = [s.words for s in corpus]
    for mine, other in zip(encoder.windows(words), tagger.encoder.windows(words), strict=True):
        assert (mine.ids.tolist(), mine.at.tolist()) == (other.ids.tolist(), other.at.tolist())


@pytest.mark.parametrize(
    ("family", "tokenizer"),
    [("xlm-roberta", "unigram"), ("bert", "wordpiece"), ("roberta", "bytes"), ("distilbert", "wordpiece")],
)
def test_a_folder_is_read_without_torch_as_with_it(family: str, tokenizer: str, tmp_path: Path) -> None:
    folder = tiny_tagger(family, tokenizer).save(tmp_path / "tagger")
    assert_opens_alike(folder, Corpus("t", "test", (*tiny_corpus().sentences, Sentence(("市", "ẹ́") * 40))))


def test_the_house_encoder_is_read_without_torch_as_with_it() -> None:
    assert_opens_alike(find_folder(HOUSE), sources.load("sample:all", "dev"))


@pytest.mark.shared
def test_a_real_encoder_is_read_without_torch_as_with_it(shared: Path) -> None:
    assert_opens_alike(shared / "models" / "e5-masakhaner", sources.load("masakhaner:yor,zh", "test").sample(300, 0))


def test_a_folder_that_names_no_padding_is_read_by_its_tokenizer_alone(tmp_path: Path) -> None:
    folder = tiny_tagger("bert", "wordpiece").save(tmp_path / "tagger")
    tokenizer = (folder / "tokenizer.json").read_text()
    for config in ("{}", '{"model_max_length": null}', None):
        if config:
            (folder / "tokenizer_config.json").write_text(config)
        else:
            (folder / "tokenizer_config.json").unlink()
        assert_opens_alike(folder, tiny_corpus())
    padding = {"strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": None, "pad_type_id": 0}
    for name, said in (("[PAD]", None), ("empty", {**padding, "pad_token": "empty", "pad_id": 1}), ("empty", None)):
        document = json.loads(tokenizer) | {"padding": said, "added_tokens": []}
        document["model"]["vocab"][name] = document["model"]["vocab"].pop("<pad>")
        (folder / "tokenizer.json").write_text(json.dumps(document))
        if name == "[PAD]" or said:
            assert_opens_alike(folder, tiny_corpus())
            assert Tagger.load(folder).encoder.pad == 1
        else:
            assert opened(ModelFolder(folder)) is None
            with pytest.raises(DinkuError, match="its tokenizer has no padding token; name one in"):
                Tagger.load(folder)


def test_what_transformers_has_to_open_is_left_to_it(tmp_path: Path) -> None:
    folder = tiny_tagger().save(tmp_path / "tagger")
    (folder / "tokenizer_config.json").write_text('{"pad_token": {"content": "<pad>"}, "model_max_length": 20}')
    reader = opened(ModelFolder(folder))
    assert reader
    assert (reader.pad, reader.length, reader.unknown_id) == (1, 20, 3)  # which side files need not name
    for broken in ("[1]", "{", '{"model_max_length": "many"}', '{"model_max_length": NaN}', '{"model_max_length": -1}'):
        (folder / "tokenizer_config.json").write_text(broken)
        with pytest.raises(DinkuError, match="its tokenizer can't be read"):
            opened(ModelFolder(folder))
        with pytest.raises(DinkuError, match=r"its tokenizer can't be read|windows of -1 subwords"):
            assert Tagger.load(folder).encoder
    (folder / "tokenizer.json").unlink()
    assert opened(ModelFolder(folder)) is None


def test_a_tokenizer_without_a_place_for_the_sentence_is_refused(tmp_path: Path) -> None:
    folder = tiny_tagger().save(tmp_path / "tagger")
    document = json.loads((folder / "tokenizer.json").read_text())
    document["post_processor"]["single"] = [s for s in document["post_processor"]["single"] if "SpecialToken" in s]
    (folder / "tokenizer.json").write_text(json.dumps(document))
    for read in (lambda: opened(ModelFolder(folder)), lambda: Tagger.load(folder).encoder):
        with pytest.raises(DinkuError, match="gives special tokens and no sentence"):
            read()


@pytest.mark.parametrize("kind", ["unigram", "wordpiece", "bytes"])
def test_ids_without_word_embeddings_are_refused_at_opening(kind: str, tmp_path: Path) -> None:
    folder = tiny_tagger("bert", kind).save(tmp_path / "tagger")
    rows = json.loads((folder / "config.json").read_text())["vocab_size"]
    given = (folder / "tokenizer.json").read_text()

    def added(document: dict[str, Any]) -> None:
        document["added_tokens"].append({**document["added_tokens"][0], "id": rows, "content": "zzz"})

    def in_vocabulary(document: dict[str, Any]) -> None:
        vocabulary = document["model"]["vocab"]
        vocabulary.append(["zzz", -1.0]) if kind == "unigram" else vocabulary.update(zzz=rows + 7)

    def around(document: dict[str, Any]) -> None:
        document["post_processor"]["special_tokens"]["<s>"]["ids"] = [rows]

    for change, last in ((added, rows), (in_vocabulary, rows + (kind != "unigram") * 7), (around, rows)):
        document = json.loads(given)
        change(document)
        (folder / "tokenizer.json").write_text(json.dumps(document))
        for read in (opened, Tagger.load):
            with pytest.raises(
                DinkuError, match=f"the tokenizer's ids go to {last}, the model has {rows} word embeddings"
            ):
                read(ModelFolder(folder))
    (folder / "tokenizer.json").write_text(given)
    assert opened(ModelFolder(folder))


def test_subwords_are_counted_once_and_the_longest_with_what_stands_around_it() -> None:
    corpus = Corpus("t", "test", (Sentence(("ab", "b")), Sentence(("a",) * 9), Sentence(("c",)), Sentence(())))
    encoder = SubwordEncoder(LETTERS, 10, pad=1)
    assert [ids.tolist() for ids in encoder.subwords([s.words for s in corpus])] == [[4, 5, 5], [4] * 9, [3], []]
    counted = subwords_of(encoder, corpus)
    assert counted == {"subwords": 3 + 9 + 1, "longest_subwords": 11, "over_window": 1, "unknown": 1}


@pytest.mark.parametrize("kind", ["unigram", "wordpiece", "bytes"])
def test_words_that_hold_an_unknown_subword_are_counted_once(kind: str) -> None:
    corpus = tiny_corpus(20)
    encoder = SubwordEncoder(tiny_tokenizer(kind, corpus).backend_tokenizer, 66, 0)
    odd = ("\u4e2d\u6587", "\u4e2d" + corpus.sentences[0].words[0], "\u4e2dx\u6587")
    sentences = [corpus.sentences[0].words, odd, (), odd[:1]]
    subwords, unknown = encoder.unknown(sentences)
    assert subwords == sum(map(len, encoder.subwords(sentences)))
    assert unknown == (0 if kind == "bytes" else 4)


@pytest.mark.shared
def test_a_trimmed_vocabulary_knows_its_own_languages_and_not_chinese(shared: Path) -> None:
    """Counted again word by word, each alone."""
    encoder = opened(ModelFolder(shared / "models" / "e5-masakhaner"))
    assert encoder is not None
    unknown = encoder.unknown_id
    for name, least, most in (("masakhaner:zh", 0.5, 1.0), ("masakhaner:hau", 0.0, 0.01)):
        part = sources.load(name, "test").sample(40, seed=0)
        words = [word for s in part for word in s.words]
        alone = [encoder.tokenizer.encode([w], is_pretokenized=True, add_special_tokens=False).ids for w in words]
        assert encoder.unknown([s.words for s in part])[1] == sum(unknown in ids for ids in alone)
        assert least <= sum(unknown in ids for ids in alone) / len(words) <= most
