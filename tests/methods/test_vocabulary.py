"""Trimming where tokenizers are odd and texts are mixed; the rest of it stands with the other methods."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from dinku.data.corpus import Corpus, Sentence
from dinku.data.unlabelled import Text
from dinku.errors import DinkuError
from dinku.method import Data, Work
from dinku.methods import vocabulary
from dinku.methods.layers import KeepLayers
from dinku.methods.registry import to_json
from dinku.methods.vocabulary import TrimVocabulary
from dinku.model.encode import segmentation
from dinku.nn import surgery
from dinku.nn.tagger import Tagger
from dinku.testing import check_method, tiny_data, tiny_tagger

SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")
TEXT = ("bade kilo", "ba")


def corpus(*lines: str) -> Corpus:
    return Corpus("text", "train", tuple(Sentence(tuple(line.split())) for line in lines))


def wordpiece(vocab: dict[str, int], prefix: str = "##") -> Tokenizer:
    model = models.WordPiece(vocab, unk_token="<unk>", continuing_subword_prefix=prefix)
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.BertProcessing(("</s>", 2), ("<s>", 0))
    return tokenizer


def numbered(*pieces: str) -> dict[str, int]:
    return {piece: i for i, piece in enumerate((*SPECIAL, *pieces))}


def tagger_of(backend: Tokenizer, rows: int, **names: str) -> Tagger:
    """A tagger of that many rows, each of which holds nothing but its number."""
    tokenizer: Any = PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", model_max_length=64, **names)
    small = tiny_tagger("bert", "wordpiece")
    model = surgery.with_rows(small.model, [0] * rows, pad=tokenizer.pad_token_id)
    surgery.word_embeddings(model).weight.data[:] = torch.arange(float(rows))[:, None]
    return replace(small, model=model, tokenizer=tokenizer)


def rows_of(tagger: Tagger) -> dict[str, int]:
    """Which of the old rows a piece has now."""
    table = surgery.word_embeddings(tagger.model).weight[:, 0].int().tolist()
    return {piece: table[i] for piece, i in tagger.tokenizer.get_vocab().items()}


def trim(tagger: Tagger, size: int, text: Corpus, **named: Any) -> Tagger:
    trimmed = TrimVocabulary(size, **named).apply(tagger, Data(text), Work())
    assert trimmed.model.config.vocab_size == len(surgery.word_embeddings(trimmed.model).weight) == size
    before = tagger.tokenizer.get_vocab()
    assert rows_of(trimmed) == {piece: before[piece] for piece in trimmed.tokenizer.get_vocab()}
    return trimmed


LETTERS = ("b", "k", "##a", "##d", "##e", "##i", "##l", "##o", "a", "d", "e", "i", "l", "o", "##b", "##k")


@pytest.mark.parametrize("fields", [{"size": "100"}, {"size": 2.5}, {"size": True}, {"size": 9, "scripts": ["Latin"]}])
def test_fields_of_another_type_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(DinkuError, match="TrimVocabulary"):
        TrimVocabulary(**fields)


def test_ids_with_holes_and_rows_that_no_piece_names() -> None:
    vocab = numbered("bade", "kilo", "bamu", *LETTERS)
    holes = {piece: i + 3 * (i > 5) + 2 * (i > 9) for piece, i in vocab.items()}
    for rows in (max(holes.values()) + 1, 40):
        tagger = tagger_of(wordpiece(holes), rows)
        assert trim(tagger, 22, corpus(*TEXT)).tokenizer.get_vocab().keys() == holes.keys() - {"bamu"}
        trim(tagger, 25, corpus(*TEXT))  # there are more rows than pieces, so that the first unnamed ones fill up
        after = trim(tagger, 22, corpus(*TEXT))
        assert segmentation(tagger.encoder, after.encoder, corpus(*TEXT))[""].as_before == 2


def test_ids_beyond_the_rows_are_refused_before_anything_is_trimmed(tmp_path: Path) -> None:
    vocab = numbered("bade", *LETTERS)
    folder = tagger_of(wordpiece({**vocab, "kilo": 40}), 40).save(tmp_path / "tagger")
    with pytest.raises(DinkuError, match="the tokenizer's ids go to 40, the model has 40 word embeddings"):
        Tagger.load(folder)


def test_ids_that_can_not_be_renumbered_are_refused() -> None:
    vocab = numbered("bade", "kilo", *LETTERS)
    last = len(vocab)
    backend = wordpiece({**vocab, "x": last + 1})
    backend.add_tokens(["<added>"])  # the library gives it the number of pieces, which "x" has
    assert backend.token_to_id("<added>") == backend.token_to_id("x")
    with pytest.raises(DinkuError, match=r"TrimVocabulary: can't renumber its tokenizer, whose ids have holes") as told:
        trim(tagger_of(backend, 30), last, corpus(*TEXT))
    assert "\n" not in str(told.value)


def test_unknown_and_the_ends_of_sentences_stay_though_no_token_is_added() -> None:
    vocab = numbered("bade", "kilo", "bamu", *LETTERS)
    ends = ("</s>", 2), ("<s>", 0)
    for processor in (
        processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ends),
        processors.BertProcessing(*ends),
        processors.RobertaProcessing(*ends),
        processors.Sequence([processors.ByteLevel(), processors.BertProcessing(*ends)]),
    ):
        backend = wordpiece(vocab)
        backend.post_processor = processor
        tagger = tagger_of(backend, len(vocab))
        assert list(tagger.tokenizer.get_added_vocab()) == ["<pad>"]
        trimmed = trim(tagger, 22, corpus(*TEXT))
        assert {*SPECIAL} <= trimmed.tokenizer.get_vocab().keys()
        for line, whole in (("ba", "<s> b ##a </s>"), ("市", "<s> <unk> </s>")):
            read = trimmed.tokenizer.backend_tokenizer.encode(line.split(), is_pretokenized=True)
            assert " ".join(read.tokens) == whole
            table = surgery.word_embeddings(trimmed.model).weight[:, 0].tolist()
            assert [table[i] for i in read.ids] == [vocab[piece] for piece in read.tokens]


def test_unknown_stays_in_a_unigram_vocabulary() -> None:
    pieces = [*SPECIAL, "▁", "bade", "ki", *"badekilo"]
    backend = Tokenizer(models.Unigram([(p, -float(i)) for i, p in enumerate(pieces)], unk_id=3))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    trimmed = trim(tagger_of(backend, len(pieces)), len(set(pieces)) - 1, corpus("bade", "lo"))
    assert trimmed.tokenizer.backend_tokenizer.encode("市").ids[-1] == trimmed.tokenizer.get_vocab()["<unk>"]


def test_the_prefix_within_words_is_the_tokenizers_own() -> None:
    vocab = numbered("bade", "kilo", "bamu", *(piece.replace("##", "@@") for piece in LETTERS))
    tagger = tagger_of(wordpiece(vocab, "@@"), len(vocab))
    assert trim(tagger, 22, corpus(*TEXT)).tokenizer.get_vocab().keys() == vocab.keys() - {"bamu"}
    greek = tagger_of(wordpiece({**vocab, "@@λ": len(vocab)}, "@@"), len(vocab) + 1)
    assert "@@λ" not in trim(greek, 22, corpus(*TEXT)).tokenizer.get_vocab()


def test_a_stray_letter_stays_alone() -> None:
    vocab = numbered("bade", "kilo", "bamu", *LETTERS, "λ", "μ", "7", "!", "́")
    tagger = tagger_of(wordpiece(vocab), len(vocab))
    stray = corpus(*["bade kilo"] * 20, "λ")
    kept = trim(tagger, len(vocab) - 1, stray).tokenizer.get_vocab().keys()
    assert vocab.keys() - kept == {"μ"}
    assert {"λ", "μ"} <= trim(tagger, len(vocab) - 1, corpus(*["bade kilo"] * 20, "λ λ")).tokenizer.get_vocab().keys()
    kept = trim(tagger, len(vocab) - 2, stray, scripts=("Greek",)).tokenizer.get_vocab().keys()
    assert {"λ", "μ"} <= kept


def test_pieces_of_unlabelled_sentences_count_along(tmp_path: Path) -> None:
    vocab = numbered("bade", "kilo", "bamu", *LETTERS, "λ")
    tagger, train = tagger_of(wordpiece(vocab), len(vocab)), corpus(*TEXT, "bade")
    (tmp_path / "yor.txt").write_text("bamu bamu\n\nbamu λ λ λ\n", encoding="utf-8")
    data = Data(train, text=Text.open(str(tmp_path)))
    words = {"bade", "kilo", "bamu", "λ"}

    def kept(size: int, sentences: int) -> set[str]:
        trimmed = TrimVocabulary(size, sentences=sentences).apply(tagger, data, Work())
        return words & trimmed.tokenizer.get_vocab().keys()

    assert kept(22, 0) == {"bade", "kilo"}
    assert kept(21, 2) == {"bamu"}  # three times, a stray letter as often, and later
    assert kept(23, 2) == {"bamu", "bade", "λ"}
    assert to_json(TrimVocabulary(60)) == {"TrimVocabulary": {"size": 60, "scripts": []}}  # as its rows have it
    assert TrimVocabulary(60).needs == {"words"}
    assert TrimVocabulary(60, sentences=1).needs == {"words", "text"}
    check_method(TrimVocabulary(60, sentences=2), others=(KeepLayers((1,)),), data=replace(tiny_data(), text=data.text))
    with pytest.raises(DinkuError, match="TrimVocabulary: there is no text; name a folder as the study's text"):
        TrimVocabulary(22, sentences=1).apply(tagger, Data(train), Work())
    with pytest.raises(DinkuError, match="holds 2 lines in yor, fewer than 3"):
        TrimVocabulary(22, sentences=3).apply(tagger, data, Work())
    with pytest.raises(DinkuError, match="sentences is -1; give the number of unlabelled sentences, 0 or more"):
        TrimVocabulary(22, sentences=-1)


@pytest.mark.parametrize(
    ("letters", "script"),
    [
        ("aẸʃＡｂﬁⁿª", "LATIN"),
        ("ሰላ", "ETHIOPIC"),
        ("市㐀豈々〆", "CJK"),
        ("カｶ", "KATAKANA"),
        ("한ﾡ", "HANGUL"),
        ("عﻉ", "ARABIC"),
        ("λµ", "GREEK"),
        ("7٣۴፩²½Ⅷ①\u0301\u0323\u093e\u30990.,;።ʼʽーｰ▁₦ \u200d", ""),
        ("→😀©", "SYMBOL"),
    ],
)
def test_the_script_of_a_letter(letters: str, script: str) -> None:
    assert {c: vocabulary._script(c) for c in letters} == dict.fromkeys(letters, script)
    if script not in ("", "SYMBOL"):
        TrimVocabulary(60, scripts=(script.title(),))


def test_no_word_of_a_name_that_is_no_script_may_be_chosen() -> None:
    for name in ("Fullwidth", "Halfwidth", "Modifier", "Combining", "Arabic-Indic", "Mathematical", "Symbol", ""):
        with pytest.raises(DinkuError, match="there is no script"):
            TrimVocabulary(60, scripts=(name,))
    assert "FULLWIDTH" in unicodedata.name("Ａ")


def test_every_subword_of_the_text_counts_once() -> None:
    vocab = numbered("bade", "kilo", "bamu", *LETTERS)
    tagger = tagger_of(wordpiece(vocab), len(vocab))
    # "kilo" stands 20 times where windows of 64 subwords overlap, and once more, "bade" 21 times where they don't
    kept = trim(tagger, 21, corpus(" ".join(["ba"] * 20 + ["kilo"] * 20 + ["ba"] * 40), *["bade"] * 21))
    assert "bade" in kept.tokenizer.get_vocab()
    assert "kilo" not in kept.tokenizer.get_vocab()


def merged(lines: list[str], *, of_bytes: bool, size: int = 400) -> Tokenizer:
    """A BPE tokenizer trained on a text."""
    tokenizer = Tokenizer(models.BPE(unk_token=None if of_bytes else "<unk>"))
    tokenizer.pre_tokenizer = (
        pre_tokenizers.ByteLevel(add_prefix_space=True) if of_bytes else pre_tokenizers.Metaspace()
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet() if of_bytes else []
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=[*SPECIAL], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(lines, trainer)
    tokenizer.post_processor = processors.BertProcessing(("</s>", 2), ("<s>", 0))
    return tokenizer


STORY = ["Ọmọ náà ń kọ́ ẹ̀kọ́ ní ilé-ẹ̀kọ́ rẹ̀", "kikọ kika kikun kikọrọ", "ilé ẹlẹ́kọ̀ọ́ ọlọ́mọ ilẹ̀ ẹkọ", "abababa bababab aba"]


@pytest.mark.parametrize("of_bytes", [True, False])
def test_merges_give_the_same_pieces_wherever_these_stay(of_bytes: bool) -> None:
    """Trimmed to every size, words whose pieces stay are segmented as before, and others fall apart into what stays."""
    tagger = tagger_of(merged(STORY, of_bytes=of_bytes), 400)
    text = corpus(*STORY)
    whole = tagger.tokenizer.backend_tokenizer
    rows = len(tagger.tokenizer)
    least = 4 + len(
        {*whole.get_vocab()} & ({*pre_tokenizers.ByteLevel.alphabet()} if of_bytes else {*"".join(STORY), "▁"})
    )
    for size in (least, least + 3, least + 10, least + 25, rows - 1):
        small = trim(tagger, size, text).tokenizer.backend_tokenizer
        kept = small.get_vocab().keys()
        assert len(kept) == size
        as_before = 0
        for word in {w for line in STORY for w in line.split()} | {"kokoro", "bilẹ̀", "Ẹ"}:
            before, after = (t.encode([word], is_pretokenized=True, add_special_tokens=False) for t in (whole, small))
            if {*before.tokens} <= kept:
                assert after.tokens == before.tokens, (size, word)
                as_before += 1
            assert "".join(after.tokens).replace("<unk>", "") == "".join(before.tokens).replace("<unk>", "")
        assert as_before or size == least
    assert rows_of(trim(tagger, rows - 1, text)).items() <= rows_of(tagger).items()


def test_merges_of_another_kind_are_refused() -> None:
    odd = Tokenizer(models.BPE({"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "a": 4}, [], end_of_word_suffix="</w>"))
    odd.post_processor = processors.BertProcessing(("</s>", 2), ("<s>", 0))
    with pytest.raises(DinkuError, match="type BPE with end_of_word_suffix; use a model with"):
        trim(tagger_of(odd, 5), 4, corpus("a"))


def test_the_words_of_entities_that_are_read_otherwise_are_counted() -> None:
    tagger = tagger_of(merged(STORY, of_bytes=False), 400)
    sentence = Sentence(("kikọrọ", "ilé", "kika"), ("B-PER", "O", "B-LOC"), "yor")
    text = Corpus("text", "train", (sentence,))
    same = segmentation(tagger.encoder, trim(tagger, len(tagger.tokenizer) - 1, text).encoder, text)["yor"]
    assert same.entity_words == (0, 2)
    fewest = next(n for n in range(5, 400) if _trims(tagger, n, text))
    less = segmentation(tagger.encoder, trim(tagger, fewest, text).encoder, text)["yor"]
    assert less.entity_words == (2, 2)
    assert less.subwords[1] > less.subwords[0]


def _trims(tagger: Tagger, size: int, text: Corpus) -> bool:
    try:
        trim(tagger, size, text)
    except DinkuError:
        return False
    return True
