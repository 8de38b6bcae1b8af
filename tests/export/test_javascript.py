"""Bundles in transformers.js: the real library reads them as they are, with the same subwords, labels and scores."""

from __future__ import annotations

import base64
import json
import subprocess
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentencepiece
from tokenizers import Tokenizer, normalizers
from transformers import PreTrainedTokenizerFast

from dinku.data import sources
from dinku.data.corpus import Sentence
from dinku.data.sample import LANGUAGES, sample
from dinku.export import javascript
from dinku.export.pipeline import export
from dinku.model.bundle import Bundle
from dinku.model.encode import SubwordWindow
from dinku.model.folder import find_folder
from dinku.nn import surgery
from dinku.nn.tagger import Tagger
from dinku.nn.tokenizer import sentencepiece_tokenizer
from dinku.testing import TAGS, tiny_corpus, tiny_tagger

HERE = Path(__file__).parent / "javascript"
# Words parted by blanks, in several scripts, and what normalizers are for.
TEXTS = (
    "Muhammadu Buhari ya ziyarci Lagos a ranar Litinin .",
    "ጠቅላይ ሚኒስትር ዐቢይ አሕመድ በአዲስ አበባ ተናገሩ ።",
    "Ààrẹ Bọ́lá Tinúbú ti dé sí Ìbàdàn",
    "رئيس الوزراء في القاهرة يوم الأحد",
    "阿 比 让 的 总 统",
    "Премьер-министр прибыл в Найроби",
    "😀 Amina 🎉 Bello 🇳🇬 Kano",
    "ﬁn ½ № ① Ｋａｎｏ ～ ㎏",
    "x",
)
ODD = ("a\u200bb c\u00add \u00a0 e\ufeff f\u0007g ▁ h\u2028i", " a  b\t", "", " ")

Asked = tuple[str, Sequence[str], bool]  # a bundle, texts, and whether they are tagged


@pytest.fixture(scope="session")
def library(node_modules: Path) -> Path:
    """The file that node imports transformers.js from."""
    return node_modules / "@huggingface" / "transformers" / "dist" / "transformers.node.mjs"


def read(library: Path, root: Path, bundles: Sequence[Asked]) -> list[dict[str, Any]]:
    asked = [{"name": name, "texts": list(texts), "tags": tags} for name, texts, tags in bundles]
    document = json.dumps({"library": str(library), "root": str(root), "bundles": asked})
    done = subprocess.run(["node", HERE / "read.mjs"], input=document, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def house() -> Tagger:
    """The encoder that comes along, whose tokenizer has ``Nmt``, under a head of random weights."""
    encoder = Tagger.load("dinku:house")
    encoder.tokenizer.model_max_length = 64  # so that little is compared
    model = surgery.with_head(encoder.model, TAGS, seed=0)
    model.classifier.weight.data *= 40  # so that no two labels are nearly as likely
    return replace(encoder, model=model.eval(), tags=TAGS)


@pytest.fixture(scope="module")
def at_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of `house`."""
    folder = tmp_path_factory.mktemp("bundles") / "house"
    export(house(), folder, sample("hau", "dev"), threads=1)
    return folder


@pytest.fixture(scope="module")
def spm(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerFast:
    """A tokenizer with a ``Precompiled`` map of characters, and few enough pieces for unknown characters to be met."""
    folder = tmp_path_factory.mktemp("spm")
    text = [" ".join(s.words) for language in LANGUAGES for s in sample(language, "train")]
    (folder / "text").write_text("\n".join(text), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "text"), model_prefix=str(folder / "m"), vocab_size=600, minloglevel=3, num_threads=1
    )
    return sentencepiece_tokenizer((folder / "m.model").read_bytes(), where="spm")


def scores(logits: Any) -> np.ndarray[Any, Any]:
    powers = np.exp(np.asarray(logits, np.float64) - np.max(logits, -1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def test_transformers_js_tags_as_dinku_does(library: Path, at_home: Path) -> None:
    sentences = [s.words for language in LANGUAGES for s in sample(language, "test").sentences[:9]]
    texts = [*TEXTS, *(" ".join(words) for words in sentences if len(words) < 12)]  # each of one window
    assert len(texts) > 25
    (there,) = read(library, at_home.parent, [("house", texts, True)])
    bundle, tokenizer = Bundle.open(str(at_home), threads=1), Tokenizer.from_file(str(at_home / "tokenizer.json"))
    tagged = bundle.tag([Sentence(tuple(text.split(" "))) for text in texts])
    labels = set()
    for n, (text, tagging) in enumerate(zip(texts, tagged, strict=True)):
        words = tokenizer.encode(text.split(" "), is_pretokenized=True)
        assert there["ids"][n] == tokenizer.encode(text).ids == words.ids, text
        every = scores(there["logits"][n])
        names = [bundle.tags[i] for i in every.argmax(1)]
        for word, (tag, score) in enumerate(zip(tagging.tags, tagging.scores, strict=True)):
            if word in words.word_ids:  # one that yields no subword is tagged by nobody
                at = words.word_ids.index(word)
                assert (names[at], every[at].max()) == (tag, pytest.approx(float(score), abs=1e-4)), text
                labels.add(tag)
        found = there["found"][n]  # of its pipeline, which leaves out subwords that are a bare mark, or unknown
        assert [(f["entity"], f["score"]) for f in found] == [
            (names[f["index"]], pytest.approx(every[f["index"]].max(), abs=1e-4)) for f in found
        ]
        left_out = {tokenizer.token_to_id(token) for token in ("<s>", "</s>", "<unk>", "▁")}
        assert [f["index"] for f in found] == [i for i, id in enumerate(words.ids) if id not in left_out], text
    assert len(labels) >= 4


def test_it_reads_every_kind_of_tokenizer_and_int8(library: Path, spm: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    taggers = {kind: tiny_tagger(family, kind) for family, kind in (("bert", "wordpiece"), ("roberta", "bytes"))}
    taggers["spm"] = _with_tokenizer(tiny_tagger(), spm)
    corpus = tiny_corpus(160)
    for name, tagger in taggers.items():
        how: dict[str, Any] = {"precision": "int8", "tolerance": 1.0} if name == "spm" else {}
        export(tagger, tmp_path / name, corpus, calibration=corpus, threads=1, **how)
    short = [text for text in TEXTS if len(text) < 30] + [" ".join(s.words) for s in corpus.sentences[:5]]
    asked: list[Asked] = [(name, texts, tags) for name in taggers for texts, tags in ((TEXTS, False), (short, True))]
    asked.append(("spm", ODD, False))
    for (name, texts, _), there in zip(asked, read(library, tmp_path, asked), strict=True):
        tokenizer = Tokenizer.from_file(str(tmp_path / name / "tokenizer.json"))
        assert there["ids"] == [each.ids for each in tokenizer.encode_batch(texts)], name
        bundle = Bundle.open(str(tmp_path / name), threads=1)
        for ids, logits in zip(there["ids"], there["logits"], strict=False):
            every = np.arange(len(ids))
            own = bundle.engine.logits(bundle.encoder.batch([SubwordWindow(0, np.array(ids), every, every)]))
            assert scores(logits) == pytest.approx(scores(own), abs=1e-4)


def _with_tokenizer(tagger: Tagger, tokenizer: PreTrainedTokenizerFast) -> Tagger:
    """A tiny tagger with as many word embeddings as a tokenizer has pieces."""
    tokenizer.model_max_length = 64
    rows = np.resize(np.arange(tagger.model.config.vocab_size), len(tokenizer))
    return replace(tagger, model=surgery.with_rows(tagger.model, rows.tolist(), pad=1), tokenizer=tokenizer)


def test_nmt_is_written_so_that_it_does_the_same_to_every_character() -> None:
    document = json.loads(Tokenizer.from_file(str(find_folder("dinku:house") / "tokenizer.json")).to_str())
    assert javascript.unread(document) == ["Nmt (normalizer)"]
    written = javascript.rewritten(document)
    assert javascript.unread(written) == []
    assert javascript.rewritten(written) == written
    own, other = (Tokenizer.from_str(json.dumps(d)).normalizer for d in (document, written))
    points = [*range(0xD800), *range(0xE000, 0x30000)]
    assert [p for p in points if own.normalize_str(f"a{chr(p)}b") != other.normalize_str(f"a{chr(p)}b")] == []


def test_a_map_of_characters_is_written_as_what_it_does(spm: PreTrainedTokenizerFast) -> None:
    document = json.loads(spm.backend_tokenizer.to_str())
    written = javascript.rewritten(document)
    assert "Precompiled" not in json.dumps(written)
    own, other = (Tokenizer.from_str(json.dumps(d)).normalizer for d in (document, written))
    nfkc = normalizers.NFKC().normalize_str  # by the tables of an older Unicode
    points = [p for p in (*range(0xD800), *range(0xE000, 0x30000)) if unicodedata.category(chr(p)) != "Cn"]
    points = [p for p in points if nfkc(chr(p)) == unicodedata.normalize("NFKC", chr(p))]
    assert len(points) > 100_000
    assert [p for p in points if own.normalize_str(f"a{chr(p)}b") != other.normalize_str(f"a{chr(p)}b")] == []
    for text in ("e\u0323\u0301 ẹ\u0301 ọ̀ n\u0304", "～ ａ～", "🇳🇬\u200d👩"):
        assert own.normalize_str(text) == other.normalize_str(text)


def test_what_cannot_be_written_otherwise_is_left_and_named() -> None:
    lone = {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(b"\0" * 4).decode()}
    model = {"type": "Unigram", "byte_fallback": True}
    given = {"normalizer": lone, "pre_tokenizer": {"type": "UnicodeScripts"}, "model": model}
    assert javascript.rewritten(given) == given  # without NFC before it
    assert javascript.unread(given) == [
        "Precompiled (normalizer)",
        "UnicodeScripts (pre-tokenizer)",
        "bytes in place of unknown characters (model)",
    ]
    assert javascript.unread({"normalizer": None, "model": {"type": "WordLevel"}}) == ["WordLevel (model)"]
    assert json.loads(normalizers.Nmt().__getstate__()) == {"type": "Nmt"}


def test_real_text_gives_the_same_subwords(library: Path, shared: Path, at_home: Path) -> None:
    corpus = sources.load(["masakhaner:all", "masakhaner:zh"], "test")
    texts = [*ODD, *(" ".join(s.words) for s in corpus.sentences[::4])]
    assert len(texts) > 1500
    (there,) = read(library, at_home.parent, [("house", texts, False)])
    own = Tagger.load("dinku:house").tokenizer.backend_tokenizer.encode_batch(texts)
    assert there["ids"] == [each.ids for each in own]
