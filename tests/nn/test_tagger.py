"""Taggers of every family; AfriBERTa's traps on its exact architecture with random weights and a tokenizer made here."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shutil
import unicodedata
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import broken_folders
import encoders
import numpy as np
import pytest
import sentencepiece
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import save_file
from sentencepiece import sentencepiece_model_pb2
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForTokenClassification,
    AutoTokenizer,
    XLMRobertaConfig,
    pipeline,
)

from dinku.data import sources
from dinku.data.corpus import Sentence
from dinku.data.sample import LANGUAGES, sample
from dinku.errors import DinkuError
from dinku.model import inspect
from dinku.model.encode import SubwordWindow, opened
from dinku.model.folder import ModelFolder, find_folder
from dinku.model.inspect import disk_bytes
from dinku.model.shape import Shape
from dinku.nn import surgery
from dinku.nn.tagger import Tagger
from dinku.nn.tokenizer import from_sentencepiece
from dinku.nn.torch_engine import TorchEngine
from dinku.testing import TAGS, tiny_corpus, tiny_tagger

FAMILIES = [("xlm-roberta", "unigram"), ("bert", "wordpiece"), ("roberta", "bytes"), ("distilbert", "wordpiece")]
UNKNOWN = [
    "🙂",
    "中文",
    "ሰላም",
    "naïve—x",
    "a\u200bb",
    "\u200b",
    "ẹ̀kọ́",
    "Ö",
    "\u00a0",
    "½",
    "ﬁn",
    "…",
    "x🙂y🙂🙂",
    "",
    "▁",
    "▁▁x",
]


_TABLE = "roberta.embeddings.word_embeddings.weight"


@pytest.fixture(scope="module")
def spm() -> bytes:
    """A small SentencePiece Unigram model with byte fallback, of AfriBERTa's kind."""
    words = [" ".join(s.words) for s in tiny_corpus(600, seed=2)]
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(words),
        model_writer=out,
        vocab_size=500,
        model_type="unigram",
        byte_fallback=True,
        character_coverage=0.98,
        minloglevel=2,
    )
    return out.getvalue()


@pytest.fixture(scope="module")
def afriberta(spm: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """castorini/afriberta_small as it lies on the Hub: 82.5 M parameters, a pickle of weights, a SentencePiece model."""
    folder = tmp_path_factory.mktemp("afriberta_small")
    config = XLMRobertaConfig(
        vocab_size=70006,
        hidden_size=768,
        num_hidden_layers=4,
        num_attention_heads=6,
        intermediate_size=3072,
        max_position_embeddings=514,
        type_vocab_size=1,
        architectures=["XLMRobertaForMaskedLM"],
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForTokenClassification.from_config(config).roberta
    config.save_pretrained(folder)
    weights = {f"roberta.{name}": tensor for name, tensor in model.state_dict().items()}
    weights |= {"lm_head.dense.weight": torch.ones(768, 768), "lm_head.dense.bias": torch.ones(768)}
    weights |= {f"lm_head.layer_norm.{part}": torch.ones(768) for part in ("weight", "bias")}
    weights |= {"lm_head.bias": torch.ones(70006), "lm_head.decoder.weight": weights[_TABLE]}
    torch.save(weights, folder / "pytorch_model.bin")
    (folder / "sentencepiece.bpe.model").write_bytes(spm)
    return folder


def test_afriberta_loads_from_its_pickle_and_its_sentencepiece_model(afriberta: Path) -> None:
    assert not list(afriberta.glob("*.safetensors"))
    tagger = Tagger.load(afriberta)
    assert round(tagger.shape.parameters / 1e6, 1) == 83.2
    assert round(tagger.shape.with_tags(0).parameters / 1e6, 1) == 82.5
    assert inspect.inspection(ModelFolder(afriberta))["parameters"] == tagger.shape.parameters
    assert tagger.tags == ()
    assert tagger.tokenizer.model_max_length == 512  # unset there, and 514 rows of positions begin after the padding id
    stored = torch.load(afriberta / "pytorch_model.bin", weights_only=True)
    for name, tensor in surgery.named_weights(tagger.model).items():
        assert torch.equal(tensor, stored[name]), name
    long = Sentence(("Bade",) * 2000)
    batch = tagger.encoder.batch(tagger.encoder.windows([long.words])[:1])
    assert batch.ids.shape[1] == 512
    with torch.inference_mode():
        assert torch.isfinite(tagger.model.base_model(torch.from_numpy(batch.ids)).last_hidden_state).all()


@pytest.mark.parametrize("weights", ["float32", "int8"])
@pytest.mark.parametrize(("family", "tokenizer"), FAMILIES)
def test_a_masked_lm_keeps_its_head_through_a_folder(family: str, tokenizer: str, weights: Any, tmp_path: Path) -> None:
    tagger = tiny_tagger(family, tokenizer, masked_lm=True)
    folder = tagger.save(tmp_path / "masked", weights=weights)
    loaded = Tagger.load(folder)
    assert loaded.tags == ()
    assert Shape.of_folder(ModelFolder(folder)).parameters == loaded.shape.parameters == tagger.shape.parameters
    assert inspect.inspection(ModelFolder(folder))["nonzero"] == loaded.shape.nonzero[0]
    assert loaded.shape.masked_lm
    assert loaded.shape.with_tags(0).parameters == tiny_tagger(family, tokenizer, tags=()).shape.parameters
    assert Tagger.load(loaded.save(tmp_path / "again")).digest == loaded.digest
    ids = torch.arange(4, 40)[None]
    with torch.inference_mode():
        expected = loaded.model(ids).logits
        hidden = loaded.model.base_model(ids).last_hidden_state
        assert torch.equal(surgery.masked_logits(loaded.model, hidden[0]), expected[0])
        if weights == "float32":
            assert loaded.digest == tagger.digest
            plain = AutoModelForMaskedLM.from_pretrained(folder).eval()
            assert torch.equal(plain(ids).logits, expected)


@pytest.mark.parametrize("form", ["safetensors", "pickle", "old pickle"])
def test_a_masked_lms_head_is_read_whole_or_not_at_all(form: str, tmp_path: Path) -> None:
    tagger = tiny_tagger(masked_lm=True)
    folder = tagger.save(tmp_path / "masked")
    weights = {name: weight.data for name, weight in surgery.named_weights(tagger.model).items()}

    def write(part: dict[str, torch.Tensor]) -> None:
        (folder / "model.safetensors").unlink(missing_ok=True)
        if "pickle" in form:
            torch.save(part, folder / "pytorch_model.bin", _use_new_zipfile_serialization=form == "pickle")
        else:
            save_file(part, folder / "model.safetensors", metadata={"format": "pt"})

    write(weights)
    assert Tagger.load(folder).digest == tagger.digest
    write({**weights, "lm_head.decoder.weight": weights[_TABLE].clone()})  # as older versions of transformers wrote it
    assert Tagger.load(folder).digest == tagger.digest
    assert inspect.inspection(ModelFolder(folder))["parameters"] == tagger.shape.parameters
    write({name: weight for name, weight in weights.items() if name != "lm_head.dense.weight"})
    with pytest.raises(
        DinkuError, match=r"lacks 1 of its weights, or has them in another size: lm_head\.dense\.weight"
    ):
        Tagger.load(folder)
    write({name: weight for name, weight in weights.items() if "lm_head" not in name})
    bare = Tagger.load(folder)
    for name, weight in bare.model.state_dict().items():
        assert torch.equal(weight, weights[f"roberta.{name}"]), name
    assert (
        inspect.inspection(ModelFolder(folder))["parameters"]
        == bare.shape.parameters
        == Shape.of_folder(ModelFolder(folder)).parameters
    )
    (path,) = ModelFolder(folder).weight_files
    if form == "pickle":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("model/data.pkl", b"0" * 10**6)
        with pytest.raises(DinkuError, match=r"can't be read .it holds compressed data"):
            Tagger.load(folder)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DinkuError, match="can't be read"):
        Tagger.load(folder)


@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16, torch.int8])
def test_what_is_finite_is_told_without_another_tensor(kind: torch.dtype) -> None:
    largest = (torch.iinfo if kind == torch.int8 else torch.finfo)(kind).max
    assert surgery.is_finite(torch.zeros(0, 3, dtype=kind))
    assert surgery.is_finite(torch.tensor([[0, largest], [-largest, 1]], dtype=kind))
    for odd in (float("nan"), float("inf"), -float("inf")) if kind.is_floating_point else ():
        assert not surgery.is_finite(torch.tensor([[0, largest], [odd, 1]], dtype=kind))


def test_ids_equal_those_of_the_sentencepiece_library(spm: bytes, tmp_path: Path) -> None:
    (tmp_path / "sentencepiece.bpe.model").write_bytes(spm)
    oracle = sentencepiece.SentencePieceProcessor(model_proto=spm)
    tokenizer = from_sentencepiece(tmp_path / "sentencepiece.bpe.model")
    words = UNKNOWN + [w for s in tiny_corpus(200, seed=8) for w in s.words]
    random = np.random.default_rng(0)
    letters = [*"abdeikmnost-’", "ẹ", "ɖ", "ŋ", "ሰ", "ß", "中", "🙂", "\u0301", "\u0300", "\u0323", "\u200b", "\u200d"]
    made = ["".join(random.choice(letters, int(random.integers(1, 12)))) for _ in range(3000)]
    words += [unicodedata.normalize(form, word) for word in made for form in ("NFC", "NFD")]
    assert any(oracle.id_to_piece(i).startswith("<0x") for w in UNKNOWN for i in oracle.encode(w))  # bytes are met
    for word in words:
        expected = [i + 1 if i else 3 for i in oracle.encode(word)]
        assert (
            tokenizer.backend_tokenizer.encode([word], is_pretokenized=True, add_special_tokens=False).ids == expected
        ), word


def test_ids_equal_the_librarys_on_the_real_corpora(spm: bytes, tmp_path: Path, shared: Path) -> None:
    (tmp_path / "sentencepiece.bpe.model").write_bytes(spm)
    oracle = sentencepiece.SentencePieceProcessor(model_proto=spm)
    backend = from_sentencepiece(tmp_path / "sentencepiece.bpe.model").backend_tokenizer
    words = sorted({w for name in ("all", "zh") for s in sources.load(f"masakhaner:{name}", "test") for w in s.words})
    found = backend.encode_batch([[w] for w in words], is_pretokenized=True, add_special_tokens=False)
    wrong = [w for w, e in zip(words, found, strict=True) if e.ids != [i + 1 if i else 3 for i in oracle.encode(w)]]
    assert wrong == []
    assert len(words) > 30_000


@pytest.mark.parametrize(("family", "tokenizer"), FAMILIES)
def test_a_saved_tagger_opens_in_plain_transformers_and_tags_alike(family: str, tokenizer: str, tmp_path: Path) -> None:
    tagger = tiny_tagger(family, tokenizer)
    folder = tagger.save(tmp_path / "tagger")
    sentences = [*tiny_corpus(60, seed=3), Sentence(("🙂", "ßß", "Bade", "\u200b", "x" * 30))]
    expected = [t.tags for t in tagger.tag(sentences)]
    assert piped(folder, sentences) == expected
    assert len({tag for tags in expected for tag in tags}) > 2
    assert Tagger.load(folder).digest == tagger.digest
    # a bare encoder keeps its weights through a folder too
    bare = tiny_tagger(family, tokenizer, tags=())
    assert Tagger.load(bare.save(tmp_path / "encoder")).digest == bare.digest


@pytest.mark.parametrize(("family", "tokenizer"), FAMILIES)
def test_a_saved_tokenizer_is_named_as_transformers_4_and_5_know_it(
    family: str, tokenizer: str, tmp_path: Path
) -> None:
    folder = tiny_tagger(family, tokenizer).save(tmp_path / "tagger")
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    assert settings["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert settings.get("add_prefix_space") == (True if tokenizer == "bytes" else None)  # which transformers 4 asks for
    assert {p.stat().st_mode & 0o777 for p in folder.iterdir()} == {path.stat().st_mode & 0o777}
    digest = ModelFolder(folder).digest
    path.write_text(path.read_text().replace("PreTrainedTokenizerFast", "TokenizersBackend"))  # as dinku wrote it once
    assert ModelFolder(folder).digest == digest


def test_what_no_weight_tells_enters_the_digest(tmp_path: Path) -> None:
    tagger = tiny_tagger()
    digests = {tagger.digest}
    for change in ({"hidden_act": "relu"}, {"layer_norm_eps": 1e-3}):
        folder = tagger.save(tmp_path / next(iter(change)))
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | change))
        digests.add(Tagger.load(folder).digest)
    assert len(digests) == 3


def piped(folder: Path, sentences: list[Sentence]) -> list[tuple[str, ...]]:
    """The tag of each word that `transformers.pipeline` gives its first subword; O where it gives none."""
    model = AutoModelForTokenClassification.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    pipe = pipeline("token-classification", model=model, tokenizer=tokenizer, ignore_labels=[])
    out = []
    for sentence in sentences:
        tags = ["O"] * len(sentence.words)
        words = tokenizer(list(sentence.words), is_split_into_words=True).word_ids()
        (found,) = pipe([list(sentence.words)], is_split_into_words=True)
        inner = [w for w in words if w is not None]
        assert len(inner) == len(found)
        for at in range(len(inner) - 1, -1, -1):
            tags[inner[at]] = found[at]["entity"]
        out.append(tuple(tags))
    return out


def test_pipeline_tags_the_real_test_sets_as_dinku_does(shared: Path, tmp_path: Path) -> None:
    """Every word of every sixtieth sentence that fits one window, ten languages; `benchmarks/tagging.py` takes them all."""
    tagger = Tagger.load(shared / "models" / "e5-masakhaner")
    folder = tagger.save(tmp_path / "float32")
    every = sources.load("masakhaner:all", "test").sentences[::60]
    windows = Counter(w.sentence for w in tagger.encoder.windows([s.words for s in every]))
    sentences = [s for i, s in enumerate(every) if windows[i] == 1]
    found, expected = piped(folder, sentences), [t.tags for t in tagger.tag(sentences)]
    different = [i for i, (a, b) in enumerate(zip(found, expected, strict=True)) if a != b]
    assert different == []
    assert sum(len(s.words) for s in sentences) > 1_500


def test_batch_size_and_padding_do_not_change_predictions() -> None:
    tagger = tiny_tagger()
    sentences = [*list(tiny_corpus(40, seed=6)), Sentence(("Bade",) * 150)]
    alone = [tagger.tag([s])[0] for s in sentences]
    for tokens, most in ((60, 16), (4096, 64), (1024, 1)):
        together = tagger.tag(sentences, tokens=tokens, most=most)
        assert [t.tags for t in together] == [t.tags for t in alone]
        for a, b in zip(together, alone, strict=True):
            np.testing.assert_allclose(a.scores, b.scores, atol=1e-5)


def test_bfloat16_changes_scores_but_not_the_model() -> None:
    tagger = tiny_tagger()
    before = tagger.digest
    low = tagger.in_precision("bfloat16").tag(list(tiny_corpus(8)))
    high = tagger.tag(list(tiny_corpus(8)))
    assert any(not np.array_equal(a.scores, b.scores) for a, b in zip(low, high, strict=True))
    for a, b in zip(low, high, strict=True):
        np.testing.assert_allclose(a.scores, b.scores, atol=0.1)
    assert tagger.digest == before


def test_a_word_without_subwords_is_outside_and_sentences_may_be_empty() -> None:
    tagger = tiny_tagger()
    found = tagger.tag([Sentence(()), Sentence(("",)), Sentence(("", "Bade", ""))])
    assert [len(t.tags) for t in found] == [0, 1, 3]
    assert found[1].tags == ("O",)
    assert (found[2].tags[0], found[2].tags[2]) == ("O", "O")


def test_label_on_is_kept_in_the_folder(tmp_path: Path) -> None:
    tagger = tiny_tagger()
    folder = Tagger(tagger.model, tagger.tokenizer, tagger.tags, "first_content", ("linear",)).save(tmp_path / "t")
    assert Tagger.load(folder).label_on == "first_content"
    assert Tagger.load(folder).sparse == ("linear",)
    assert Tagger.load(folder, label_on="first").label_on == "first"


def test_saving_is_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tagger = tiny_tagger()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    with pytest.raises(DinkuError, match="already exists; name a new folder"):
        tagger.save(tmp_path / "full")

    def fail(*_: Any, **__: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(type(tagger.tokenizer), "save_pretrained", fail)
    with pytest.raises(DinkuError, match=r"can.t be written .no space left"):
        tagger.save(tmp_path / "new")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["full"]


def broken(folder: Path, name: str) -> None:
    """Break a saved tagger in the way that is named."""
    config = json.loads((folder / "config.json").read_text())
    if name == "no config":
        (folder / "config.json").unlink()
    elif name == "config no JSON":
        (folder / "config.json").write_text("{")
    elif name == "remote code":
        (folder / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "evil.Model"}}))
    elif name == "tags":
        (folder / "config.json").write_text(
            json.dumps({**config, "id2label": {str(i): f"LABEL_{i}" for i in range(5)}})
        )
    elif name == "labels without names":
        rest = {key: value for key, value in config.items() if key not in ("id2label", "label2id")}
        (folder / "config.json").write_text(json.dumps({**rest, "num_labels": 10**12}))
    elif name.startswith("sizes without"):  # a model of 400 GB
        (folder / "config.json").write_text(json.dumps({**config, "vocab_size": 10**7, "hidden_size": 10**4}))
        if "int8" in name:
            (folder / "model.safetensors").rename(folder / "model.int8.safetensors")
    elif name == "family":
        (folder / "config.json").write_text(json.dumps({**config, "model_type": "t5"}))
    elif name == "cut weights":
        raw = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(raw[: len(raw) // 2])
    elif name == "no weights":
        (folder / "model.safetensors").unlink()
    elif name == "a weight missing":
        weights = torch.load(folder / "w.bin", weights_only=True)
        weights.pop("classifier.weight")
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    elif name == "another size":
        weights = torch.load(folder / "w.bin", weights_only=True)
        weights["classifier.weight"] = torch.zeros(3, 16)
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    elif name == "not finite":
        weights = torch.load(folder / "w.bin", weights_only=True)
        weights["classifier.weight"][0, 0] = float("nan")
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    elif name == "a pickle of code":
        (folder / "model.safetensors").unlink()
        torch.save({"classifier.weight": Path}, folder / "pytorch_model.bin")
    elif name == "no tokenizer":
        (folder / "tokenizer.json").unlink()
    elif name == "tokenizer no JSON":
        (folder / "tokenizer.json").write_text("{}")
    elif name == "tokenizer too large":
        (folder / "config.json").write_text(json.dumps({**config, "vocab_size": 40}))
        weights = torch.load(folder / "w.bin", weights_only=True)
        key = "roberta.embeddings.word_embeddings.weight"
        save_file({**weights, key: weights[key][:40].clone()}, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no config", "config.json"),
        ("config no JSON", "isn't readable JSON"),
        ("remote code", "asks for remote code, which is never run"),
        ("tags", "are none of IO, IOB1, IOB2, BIOES or BILOU"),
        ("labels without names", "its id2label or architectures aren't"),
        ("sizes without weights", r"can't be read: 100,[\d,]+ parameters don't fit into [\d,]+ bytes"),
        ("sizes without int8 weights", r"can't be read: 100,[\d,]+ parameters don't fit into [\d,]+ bytes"),
        ("family", "'t5' is an encoder–decoder; use one of"),
        ("cut weights", "its weights can't be read"),
        ("no weights", "its weights can't be read"),
        ("a weight missing", "lacks 1 of its weights, or has them in another size: classifier.weight"),
        ("another size", "classifier.weight"),
        ("not finite", "classifier.weight isn't finite"),
        ("a pickle of code", "its weights"),
        ("no tokenizer", "holds no tokenizer; put the tokenizer.json there"),
        ("tokenizer no JSON", "its tokenizer can't be read"),
        ("tokenizer too large", "the tokenizer's ids go to 81, the model has 40 word embeddings"),
    ],
)
def test_a_broken_folder_is_one_line(name: str, said: str, tmp_path: Path) -> None:
    tagger = tiny_tagger()
    folder = tagger.save(tmp_path / "tagger")
    torch.save(tagger.model.state_dict(), folder / "w.bin")
    broken(folder, name)
    with pytest.raises(DinkuError, match=said) as caught:
        Tagger.load(folder)
    text = str(caught.value)
    assert str(folder) in text
    assert "; " in text  # the remedy
    assert "\n" not in text


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("layer_norm_eps", "x", "transformers doesn't take it"),
        ("hidden_act", "nope", "config.json names 'nope', which transformers doesn't know"),
        ("is_decoder", True, "is set up as a decoder"),
        ("position_embedding_type", "relative_key", "'relative_key', which transformers no longer computes"),
    ],
)
def test_a_config_that_would_be_read_otherwise_is_refused(key: str, value: object, said: str, tmp_path: Path) -> None:
    folder = tiny_tagger().save(tmp_path / "tagger")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, key: value}))
    with pytest.raises(DinkuError, match=said):
        Tagger.load(folder)


def test_a_config_without_a_padding_id_takes_the_tokenizers(tmp_path: Path) -> None:
    folder = tiny_tagger().save(tmp_path / "tagger")
    wanted = Tagger.load(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "pad_token_id": None}))
    found = Tagger.load(folder)
    assert found.digest == wanted.digest
    assert [t.tags for t in found.tag(tiny_corpus(4).sentences)] == [
        t.tags for t in wanted.tag(tiny_corpus(4).sentences)
    ]


def test_the_table_of_broken_folders_is_what_they_are_answered() -> None:
    assert encoders.PAGE.read_text(encoding="utf-8") == broken_folders.page(), "run python tests/broken_folders.py"
    assert len(broken_folders.FOLDERS) >= 20
    cells = broken_folders.table().splitlines()[2:]
    assert all(re.search(r"\| model(/[a-z.]+)?: .*; .* \|$", line) for line in cells)


def spelt_out(folder: Path, kind: str) -> None:
    """Replace a folder's tokenizer.json by the older files that stand for it."""
    document = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").unlink()
    settings: dict[str, Any] = {"model_max_length": 64}
    vocabulary = document["model"]["vocab"]
    if kind == "unigram":
        proto = sentencepiece_model_pb2.ModelProto()
        specials = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0)]
        for piece, score in [*specials, *vocabulary[5:]]:
            proto.pieces.add(piece=piece, score=score)
        proto.trainer_spec.model_type = 1
        proto.normalizer_spec.name = "identity"
        (folder / "sentencepiece.bpe.model").write_bytes(proto.SerializeToString())
    elif kind == "wordpiece":
        (folder / "vocab.txt").write_text("".join(f"{p}\n" for p in sorted(vocabulary, key=vocabulary.__getitem__)))
        names = {"unk": "<unk>", "pad": "<pad>", "cls": "<s>", "sep": "</s>", "mask": "<mask>"}
        settings |= {"do_lower_case": False, "strip_accents": False, "tokenizer_class": "BertTokenizer"}
        settings |= {f"{name}_token": token for name, token in names.items()}
    else:
        (folder / "vocab.json").write_text(json.dumps(vocabulary))
        merges = "".join(f"{' '.join(merge)}\n" for merge in document["model"]["merges"])
        (folder / "merges.txt").write_text(f"#version: 0.2\n{merges}")
        settings |= {"tokenizer_class": "RobertaTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


@pytest.mark.parametrize("older", [False, True], ids=["tokenizer.json", "older files"])
@pytest.mark.parametrize(("family", "kind"), [("bert", "wordpiece"), ("xlm-roberta", "unigram"), ("roberta", "bytes")])
def test_a_folder_that_lacks_a_file_is_refused_or_answers_as_the_whole(
    family: str, kind: str, older: bool, tmp_path: Path
) -> None:
    """Each of its files is taken away, emptied or cut in half; and all but config.json and the weights are taken away."""
    tagger, sentences = tiny_tagger(family, kind), tiny_corpus(30, seed=4).sentences
    folder = tagger.save(tmp_path / "tagger")
    words = [s.words for s in sentences]
    if older:
        spelt_out(folder, kind)
    (folder / "special_tokens_map.json").write_text('{"pad_token": "<pad>", "unk_token": "<unk>"}')
    whole = Tagger.load(folder)
    wanted, ids = whole.tag(sentences), [w.ids.tolist() for w in whole.encoder.windows(words)]
    if kind != "unigram" or not older:  # a SentencePiece model numbers its pieces in another way
        assert [t.tags for t in wanted] == [t.tags for t in tagger.tag(sentences)]
    names = sorted(path.name for path in folder.iterdir())
    settings = [name for name in names if name not in ("config.json", "model.safetensors")]
    damages = [((name,), keep) for name in names for keep in (None, 0.0, 0.5)] + [(tuple(settings), None)]
    refused = set()
    for damaged, keep in damages:
        shutil.rmtree(tmp_path / "damaged", ignore_errors=True)
        shutil.copytree(folder, tmp_path / "damaged")
        for name in damaged:
            path = tmp_path / "damaged" / name
            raw = path.read_bytes()
            path.unlink()
            if keep is not None:
                path.write_bytes(raw[: int(keep * len(raw))])
        try:
            found = Tagger.load(path.parent).tag(sentences)
            assert [t.tags for t in found] == [t.tags for t in wanted], f"{damaged} {keep}: other tags, in silence"
        except DinkuError:  # whose text is that of `test_a_broken_folder_is_one_line`
            refused.add((damaged, keep))
        with contextlib.suppress(DinkuError):
            encoder = opened(ModelFolder(path.parent))
            assert encoder is None or [w.ids.tolist() for w in encoder.windows(words)] == ids, f"{damaged} {keep}"
    pieces = "tokenizer.json" if not older else {"bytes": "vocab.json", "wordpiece": "vocab.txt"}.get(kind, settings[0])
    for name in ("config.json", "model.safetensors", pieces):
        assert {((name,), keep) for keep in (None, 0.0, 0.5)} <= refused
    assert (tuple(settings), None) in refused


@pytest.mark.parametrize("control", ["\x1b[31m", "\x07", "\x9b", "\u202e", "\u2067", "\ud800"])
def test_labels_that_a_terminal_would_obey_are_refused(control: str, tmp_path: Path) -> None:
    folder = tiny_tagger().save(tmp_path / "tagger")
    config = json.loads((folder / "config.json").read_text())
    config["id2label"]["1"] = f"B-{control}LOC"
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(DinkuError, match="are none of IO, IOB1, IOB2, BIOES or BILOU") as error:
        Tagger.load(folder)
    assert control not in str(error.value)
    assert ascii(control)[1:-1] in str(error.value)


def test_older_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    """transformers would lower-case by default, and make a tokenizer of another kind than the file is for."""
    folder = tiny_tagger("bert", "wordpiece").save(tmp_path / "tagger")
    spelt_out(folder, "wordpiece")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    for changed, said in (
        ({"do_lower_case": None}, r"doesn't say whether its vocab\.txt is of lower-cased text; add do_lower_case"),
        ({"tokenizer_class": "RobertaTokenizer"}, "its vocabulary isn't one of a RobertaTokenizer, which lacks"),
    ):
        (folder / "tokenizer_config.json").write_text(json.dumps(settings | changed))
        with pytest.raises(DinkuError, match=said):
            Tagger.load(folder)


def test_what_is_no_model_is_told_so(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DinkuError, match="there is no such model; name a folder"):
        Tagger.load("nowhere")
    (tmp_path / "file").write_text("x")
    with pytest.raises(DinkuError, match="is no folder"):
        Tagger.load(tmp_path / "file")
    with pytest.raises(DinkuError, match="isn't in the Hub's cache"):
        Tagger.load("castorini/afriberta_small")
    monkeypatch.delenv("DINKU_OFFLINE", raising=False)
    for error in (LocalEntryNotFoundError("no answer"), ConnectionError(111, "refused")):
        monkeypatch.setattr("huggingface_hub.snapshot_download", Mock(side_effect=error))
        with pytest.raises(DinkuError, match="and the Hub can't be reached; check the connection, the proxy or HF_END"):
            find_folder("castorini/afriberta_small")
    with pytest.raises(DinkuError, match="is an encoder without tags; fine-tune it first"):
        tiny_tagger(tags=()).tag([Sentence(("a",))])
    shutil.copytree(tiny_tagger().save(tmp_path / "t"), home / "models" / "mine")
    assert Tagger.load("mine").tags == TAGS


def test_the_engine_leaves_the_mask_out_only_where_nothing_is_padded() -> None:
    tagger = tiny_tagger()
    encoder = tagger.encoder
    even = encoder.batch(encoder.windows([["Bade"], ["Bade"]]))
    odd = encoder.batch(encoder.windows([["Bade"], ["Bade", "kilo", "muna"]]))
    assert even.full
    assert not odd.full
    logits = TorchEngine(tagger.model).logits
    np.testing.assert_allclose(logits(even)[0], logits(odd)[0], atol=1e-5)


def test_the_house_encoder_comes_along_and_reads_its_languages() -> None:
    house = Tagger.load("dinku:house")
    assert house.tags == ()
    assert disk_bytes(find_folder("dinku:house")) <= 16e6
    assert (len(house.shape.layers), house.shape.vocabulary, house.shape.hidden) == (4, 18_000, 384)
    unknown = house.tokenizer.unk_token_id
    for language in LANGUAGES:
        sentences = [s.words for s in sample(language, "test")]
        lost = {sentences[w.sentence][i] for w in house.encoder.windows(sentences) for i in lost_words(w, unknown)}
        assert all("ǹ" in word.lower() for word in lost), language  # which XLM-R's pieces never had


def lost_words(window: SubwordWindow, unknown: int) -> list[int]:
    """The words of a window in which a subword is unknown."""
    ends = [*window.at[1:], len(window.ids)]
    return [int(w) for w, a, b in zip(window.words, window.at, ends, strict=True) if unknown in window.ids[a:b]]
