"""Taggers as bundles: what is written, what opens, what is refused, and the card."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from onnx import numpy_helper
from tokenizers import Tokenizer

from dinku.cli import app
from dinku.data import learned
from dinku.data.conll import write
from dinku.data.corpus import Corpus, Sentence
from dinku.errors import DinkuError
from dinku.export import convert, gate, pipeline
from dinku.export.card import About, Measured, card, unseen
from dinku.method import Data, Work
from dinku.methods.dynamic import QuantizeDynamic
from dinku.model import bundle
from dinku.model.bundle import Bundle
from dinku.model.folder import ModelFolder
from dinku.model.inspect import disk_bytes, inspection
from dinku.model.onnx_file import AGAIN
from dinku.model.runtimes import RUNTIMES
from dinku.model.store import Store
from dinku.nn.tagger import Tagger
from dinku.scoring.counts import LEARN_MORE, count
from dinku.serving import reader
from dinku.testing import tiny_corpus, tiny_tagger

pytestmark = pytest.mark.usefixtures("converted_once")


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return tiny_corpus(160, seed=5, split="dev")


@pytest.fixture(scope="module")
def tagger() -> Tagger:
    """One that is sure of its tags, so that bf16 has none to turn over, and finds something, so that it is exported."""
    tagger = tiny_tagger("bert", "wordpiece")
    random = torch.Generator().manual_seed(3)
    for parameter in tagger.model.parameters():  # of what is equal, one is stored
        if parameter.dim() == 1:
            parameter.data += 0.01 * torch.rand(parameter.shape, generator=random)
    for parameter in tagger.model.classifier.parameters():
        parameter.data.zero_()
    tagger.model.classifier.bias.data[0] = 1.1
    tagger.model.classifier.weight.data[1, 4] = (
        0.5  # where a feature is more than 2.2; of few words it is, of none about that
    )
    return tagger


@pytest.fixture(scope="module")
def bundles(
    tagger: Tagger, corpus: Corpus, converted_once: None, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], Path]:
    root = tmp_path_factory.mktemp("bundles")
    out: dict[tuple[str, str], Path] = {}
    for runtime, precision in ((name, each) for name, facts in RUNTIMES.items() for each in facts.models):
        out[runtime, precision] = root / f"{runtime}-{precision}"
        pipeline.export(
            tagger,
            out[runtime, precision],
            corpus,
            runtime=runtime,
            precision=precision,
            calibration=tiny_corpus(120),
            threads=1,
        )
    return out


def test_a_bundle_tags_as_its_tagger(bundles: dict[tuple[str, str], Path], tagger: Tagger, corpus: Corpus) -> None:
    wanted = tagger.tag(corpus.sentences)
    for (_, precision), folder in bundles.items():
        opened = Bundle.open(str(folder), threads=1)
        found = opened.tag(corpus.sentences)
        same = [a == b for x, y in zip(found, wanted, strict=True) for a, b in zip(x.tags, y.tags, strict=True)]
        assert sum(same) >= gate.EQUAL[precision] * len(same)
        error = max(float(np.abs(a.scores - b.scores).max()) for a, b in zip(found, wanted, strict=True))
        assert error < {"fp32": 1e-5, "bf16": 0.02, "int8": 0.1}[precision]
        assert [t.tags for t in found] == [t.tags for t in wanted] or precision != "fp32"
        assert opened.tags == tagger.tags


def test_its_bytes_are_declared(bundles: dict[tuple[str, str], Path], tagger: Tagger) -> None:
    for (_, precision), folder in bundles.items():
        found = inspection(ModelFolder(folder))
        assert found["parameters"] == tagger.shape.parameters
        if precision != "int8":
            assert found["bytes"] == tagger.shape.bytes // (2 if precision == "bf16" else 1)
        assert found["bytes"] < disk_bytes(folder)
    found = inspection(ModelFolder(bundles["onnxruntime", "int8"]))
    weights = onnx.load(bundles["onnxruntime", "int8"] / "onnx" / "model_quantized.onnx").graph.initializer
    stored = [numpy_helper.to_array(t) for t in weights if not t.name.endswith("zero_point")]
    assert sum(t.nbytes for t in stored if t.dtype != np.int64) == pytest.approx(found["bytes"], abs=400)


def test_it_opens_in_plain_onnxruntime(bundles: dict[tuple[str, str], Path], tagger: Tagger) -> None:
    """The layout of transformers.js: config, tokenizer and model where it looks for them, and of these names."""
    folder = bundles["onnxruntime", "fp32"]
    session = onnxruntime.InferenceSession(folder / "onnx" / "model.onnx", providers=["CPUExecutionProvider"])
    encoded = Tokenizer.from_file(str(folder / "tokenizer.json")).encode("ba deki Adelo")
    ids = np.array([encoded.ids], np.int64)
    given = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    (logits,) = session.run(["logits"], {v.name: given[v.name] for v in session.get_inputs()})
    config = json.loads((folder / "config.json").read_text())
    assert logits.shape == (1, len(encoded.ids), len(config["id2label"]))
    assert config["model_type"] == "bert"
    assert config["transformers.js_config"] == {"dtype": "fp32"}
    assert json.loads((folder / "tokenizer_config.json").read_text())["tokenizer_class"]


def test_nothing_in_it_names_this_machine(bundles: dict[tuple[str, str], Path]) -> None:
    for folder in bundles.values():
        for path in folder.rglob("*"):
            assert not path.is_file() or str(Path.home()).encode() not in path.read_bytes()
            assert not path.is_file() or str(folder.parent).encode() not in path.read_bytes()


def _gone(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()


def _altered(folder: Path) -> None:
    path = folder / "onnx" / "model.onnx"
    raw = bytearray(path.read_bytes())
    raw[-100] ^= 1
    path.write_bytes(raw)


def _longer(folder: Path) -> None:
    with open(folder / "config.json", "a") as file:
        file.write(" ")


def _rewritten(change: Callable[[dict], None]) -> Callable[[Path], None]:  # type: ignore[type-arg]
    return lambda folder: _rewritten_json(folder / "bundle.json", change)


def _rewritten_json(path: Path, change: Callable[[dict], None]) -> None:  # type: ignore[type-arg]
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def _untagged(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(path.read_text().replace("ForTokenClassification", "Model"))
    _resummed(folder, "config.json")


def _unpadded(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        path = folder / name
        path.write_text(path.read_text().replace('"<pad>"', '"empty"'))
        _resummed(folder, name)
    _rewritten_json(folder / "tokenizer_config.json", lambda t: t.pop("pad_token"))
    _resummed(folder, "tokenizer_config.json")


def _linked(folder: Path) -> None:
    outside = folder.parent / "outside.json"
    shutil.move(folder / "tokenizer.json", outside)
    (folder / "tokenizer.json").symlink_to(outside)


def _described_elsewhere(folder: Path) -> None:
    shutil.move(folder / "bundle.json", folder.parent)
    (folder / "bundle.json").symlink_to(folder.parent / "bundle.json")


def _external(folder: Path) -> None:
    """Weights in a file outside, under a checksum that is right."""
    path = folder / "onnx" / "model.onnx"
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="weights", size_threshold=0, convert_attribute=True)
    _resummed(folder)


def _resummed(folder: Path, name: str = "onnx/model.onnx") -> None:
    _rewritten(lambda m: m["files"].update({name: bundle.summed(folder / name).model_dump()}))(folder)


def _retagged(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(path.read_text().replace('"O"', '"X"'))
    _resummed(folder, "config.json")


def _hidden(folder: Path) -> None:
    """The same in an attribute of a node in a subgraph."""
    path = folder / "onnx" / "model.onnx"
    model = onnx.load(path)
    tensor = onnx.TensorProto(dims=[1], data_type=1, data_location=onnx.TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../../outside")
    inner = onnx.helper.make_node("Constant", [], ["x"], value=tensor)
    graph = onnx.helper.make_graph([inner], "g", [], [onnx.helper.make_tensor_value_info("x", 1, [1])])
    model.graph.node.append(onnx.helper.make_node("If", ["c"], ["y"], then_branch=graph, else_branch=graph))
    path.write_bytes(model.SerializeToString())
    _resummed(folder)


def _reworded(folder: Path) -> None:
    path = folder / "tokenizer.json"
    _rewritten_json(path, lambda d: d["model"]["vocab"].update(zzz=len(d["model"]["vocab"]) + 7))
    _resummed(folder, "tokenizer.json")


def _overlong(folder: Path) -> None:
    """A key of more than 32 bits, which protobuf cuts off."""
    path = folder / "onnx" / "model.onnx"
    path.write_bytes(path.read_bytes() + b"\xea\x80\x80\x80\x10\x00")
    _resummed(folder)


def _deep(folder: Path) -> None:
    """Graphs within graphs, deeper than protobuf reads."""
    inner = b""
    for _ in range(40):
        for key in (b"\x32", b"\x2a", b"\x0a"):  # the graph of an attribute of a node
            inner = key + _varint(len(inner)) + inner
    (folder / "onnx" / "model.onnx").write_bytes(b"\x3a" + _varint(len(inner)) + inner)
    _resummed(folder)


def _varint(number: int) -> bytes:
    return bytes([number & 127 | 128, number >> 7])


def _empty(folder: Path) -> None:
    (folder / "onnx" / "model.onnx").write_bytes(b"")
    _resummed(folder)


def _garbage(folder: Path) -> None:
    (folder / "onnx" / "model.onnx").write_bytes(b"\xff" * 64)
    _resummed(folder)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (_gone, "tokenizer.json: can't be read"),
        (_altered, "model.onnx: isn't the file that was exported"),
        (_longer, "config.json: isn't the file that was exported"),
        (_rewritten(lambda m: m["files"].pop("tokenizer.json")), "doesn't list tokenizer.json"),
        (
            _rewritten(lambda m: m["files"].update({"../x": m["files"]["config.json"]})),
            r"lists \.\./x, as no bundle does",
        ),
        (_rewritten(lambda m: m.update(runtime="pickle")), "runtime is 'pickle'"),
        (_rewritten(lambda m: m.update(precision="bf16")), "onnxruntime has no precision bf16"),
        (_rewritten(lambda m: m.update(format=2)), "format is 2"),
        (_rewritten(lambda m: m.update(more=1)), "there is no field more"),
        (_rewritten(lambda m: m.update(length=10_000)), "windows of 10,000 subwords are longer than its model's"),
        (lambda folder: (folder / "bundle.json").write_text("{"), "bundle.json: Invalid JSON: EOF"),
        (lambda folder: (folder / "bundle.json").write_text("[]"), "bundle.json: Input should be an object"),
        (_rewritten(lambda m: m["files"]["config.json"].update(sha256="0")), "files.config.json.sha256 is '0'"),
        (_untagged, "config.json: names no tags"),
        (_unpadded, "tokenizer_config.json: names no padding token"),
        (_retagged, "config.json: its tags X, .* are none of IO, IOB1"),
        (_reworded, r"the tokenizer's ids go to \d+, the model has \d+ word embeddings"),
        (_linked, "leads outside of the bundle"),
        (_described_elsewhere, "bundle.json: leads outside of the bundle"),
        (_external, "keeps weights in another file"),
        (_hidden, "keeps weights in another file"),
        (_overlong, "is no ONNX file"),
        (_garbage, "is no ONNX file"),
        (_deep, "is no ONNX file"),
        (_empty, "is no ONNX file"),
    ],
)
def test_a_damaged_or_hostile_bundle_is_refused_before_an_engine_sees_it(
    damage: Callable[[Path], None],
    says: str,
    bundles: dict[tuple[str, str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(bundles["onnxruntime", "fp32"], folder)
    damage(folder)
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *a, **k: pytest.fail("an engine saw it"))
    with pytest.raises(DinkuError, match=says) as error:
        Bundle.open(str(folder))
    assert error.value.status == 2
    assert error.value.remedy == AGAIN or "IOB1" in says or "embeddings" in says


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_bundle_that_lacks_a_file_is_refused(
    runtime: str, bundles: dict[tuple[str, str], Path], tmp_path: Path
) -> None:
    """Each of its files is taken away, emptied or cut in half."""
    whole = bundles[runtime, "fp32"]
    for name in (*bundle.read_manifest(ModelFolder(whole)).files, bundle.FILE):
        raw = (whole / name).read_bytes()
        for left in (None, b"", raw[: len(raw) // 2]):
            shutil.rmtree(tmp_path / "bundle", ignore_errors=True)
            shutil.copytree(whole, tmp_path / "bundle")
            path = tmp_path / "bundle" / name
            path.unlink() if left is None else path.write_bytes(left)
            with pytest.raises(DinkuError) as error:
                reader.open(str(tmp_path / "bundle"), threads=1)
            assert str(tmp_path / "bundle") in str(error.value)
            assert error.value.remedy


def test_the_card_may_be_edited_and_a_hub_snapshot_links(
    bundles: dict[tuple[str, str], Path], corpus: Corpus, tmp_path: Path
) -> None:
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "abc"
    shutil.copytree(bundles["onnxruntime", "fp32"], snapshot)
    blobs.mkdir()
    for number, path in enumerate(p for p in sorted(snapshot.rglob("*")) if p.is_file()):
        shutil.move(path, blobs / str(number))
        path.symlink_to(blobs / str(number))
    (snapshot / "README.md").unlink()
    (snapshot / "README.md").write_text("mine")
    (snapshot / "special_tokens_map.json").write_text("{")  # which isn't listed, and so not read
    assert len(Bundle.open(str(snapshot), threads=1).tag(corpus.sentences[:3])) == 3


def test_what_the_gate_refuses_is_not_written(
    tagger: Tagger, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "LOGITS", 0.0)
    with pytest.raises(DinkuError, match=r"a logit differs by .* nothing was written") as error:
        pipeline.export(tagger, tmp_path / "out", corpus, threads=1)
    assert error.value.status == 1
    assert list(tmp_path.iterdir()) == []


def test_ranges_are_measured_on_all_languages_alike(tagger: Tagger, corpus: Corpus, tmp_path: Path) -> None:
    uneven = Corpus("u", "train", tiny_corpus(300).only("one").sentences + tiny_corpus(120).only("two").sentences)
    chosen = convert.balanced(uneven, 100)
    assert [len(chosen.only(language)) for language in ("one", "two")] == [50, 50]
    with pytest.raises(DinkuError, match="has 20 sentences, too few"):
        pipeline.export(
            tagger, tmp_path / "a", corpus, runtime="openvino", precision="int8", calibration=tiny_corpus(20)
        )
    with pytest.raises(DinkuError, match="int8 needs sentences"):
        pipeline.export(tagger, tmp_path / "a", corpus, runtime="openvino", precision="int8")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_asked_for_is_refused(tagger: Tagger, corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(DinkuError, match="no bf16 kernels for CPUs; choose fp32"):
        pipeline.export(tagger, tmp_path / "out", corpus, precision="bf16")
    with pytest.raises(DinkuError, match="there is no runtime 'tpu'; choose"):
        pipeline.export(tagger, tmp_path / "out", corpus, runtime="tpu")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(DinkuError, match="already exists"):
        pipeline.export(tagger, tmp_path / "full", corpus)
    assert [p.name for p in tmp_path.iterdir()] == ["full"]


def test_sentences_too_few_are_told_before_anything_is_converted(
    tagger: Tagger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convert, "to_onnx", lambda *_: pytest.fail("it was converted"))
    with pytest.raises(DinkuError, match="words, too few to compare tags on"):
        pipeline.export(tagger, tmp_path / "out", tiny_corpus(10))


def test_a_bundle_is_the_end(bundles: dict[tuple[str, str], Path]) -> None:
    with pytest.raises(DinkuError, match="is a bundle, which can only be run"):
        Tagger.load(bundles["onnxruntime", "fp32"])


def test_a_kill_leaves_nothing_that_opens(bundles: dict[tuple[str, str], Path], tmp_path: Path) -> None:
    code = (
        "import shutil, sys\nfrom pathlib import Path\nfrom dinku.export import convert, gate, pipeline\n"
        "from dinku.testing import tiny_corpus, tiny_tagger\n"
        "def stop(*a, **k): print('there', flush=True); sys.stdin.read()\n"
        "gate.Reference.gate = stop\n"
        "convert.to_onnx = lambda tagger, path: shutil.copyfile(sys.argv[2], path)\n"  # which the gate never sees
        "pipeline.export(tiny_tagger(), Path(sys.argv[1]), tiny_corpus(160), threads=1)\n"
    )
    converted = bundles["onnxruntime", "fp32"] / "onnx" / "model.onnx"
    command = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path / "out"), str(converted)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == "there\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdin.close()
    process.stdout.close()
    assert not (tmp_path / "out").exists()
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".out.")
    with pytest.raises(DinkuError, match=r"holds no bundle\.json"):
        Bundle.open(str(left))


def _card(name: str, corpus: Corpus, folder: Path) -> tuple[dict, str]:  # type: ignore[type-arg]
    tags = [s.tags or () for s in corpus]
    wrong = [("O",) * len(t) if s.language == "one" else t for s, t in zip(corpus, tags, strict=True)]
    counts = count(tags, wrong, [s.language for s in corpus])
    about = About(name="mine", data=("masakhaner:hau",), data_licence="CC BY-NC 4.0", recipe=[{"FineTune": {}}])
    opened = Bundle.open(str(folder))
    text = card(opened.manifest, opened.tags, about, Measured(name, "test", counts))
    _, header, body = text.split("---\n", 2)
    return yaml.safe_load(header), body


def test_the_card_gives_the_worst_language_first(bundles: dict[tuple[str, str], Path], corpus: Corpus) -> None:
    header, body = _card("masakhaner:hau", corpus, bundles["onnxruntime", "fp32"])
    assert "language" not in header  # they are no codes of languages
    assert header["license"] == "cc-by-nc-4.0"
    assert header["pipeline_tag"] == "token-classification"
    assert header["datasets"] == ["masakhane/masakhaner"]  # its name on the Hub
    assert "Learned from: masakhaner:hau" in body
    assert "token-classification" in header["tags"]
    assert body.index("| one | 0.00 |") < body.index("| two | 100.00 |") < body.index("| mean of languages | 50.00 |")
    assert "masakhaner:hau test, 160 sentences.\n" in body
    assert '"FineTune"' in body
    assert "CC BY-NC 4.0" in body


def test_the_metadata_is_what_the_hub_takes(bundles: dict[tuple[str, str], Path], corpus: Corpus) -> None:
    named = {"one": "hau", "two": "mine"}
    there = Corpus("", "test", tuple(Sentence(s.words, s.tags, named[s.language]) for s in corpus))
    counts = count([s.tags or () for s in there], [s.tags or () for s in there], [s.language for s in there])
    opened = Bundle.open(str(bundles["onnxruntime", "fp32"]))
    about = About(name="mine", data=("masakhaner2:hau", "sample:hau", "mine"), data_licence="no such licence")
    text = card(opened.manifest, opened.tags, about, Measured("masakhaner2:hau", "test", counts))
    data: Any = ModelCard(text).data  # which reads a model-index by the Hub's own rules
    assert (data.language, data.license, data.datasets) == (["hau"], "other", ["masakhane/masakhaner2"])
    found = [
        (r.dataset_type, r.dataset_config, r.dataset_split, r.metric_type, r.metric_value) for r in data.eval_results
    ]
    assert found == [("masakhane/masakhaner2", lang, "test", "f1", 1.0) for lang in ("hau", "mine")]
    assert {(r.task_type, r.dataset_name) for r in data.eval_results} == {
        ("token-classification", "masakhane/masakhaner2")
    }
    for name in ("masakhaner2:hau (10 of 90)", "mine", "sample:hau"):  # neither a whole test, nor one of the Hub's
        text = card(opened.manifest, opened.tags, about, Measured(name, "test", counts))
        data = ModelCard(text).data
        assert data.eval_results is None


def test_the_card_tells_what_was_tested_on_and_learned_from(
    bundles: dict[tuple[str, str], Path], corpus: Corpus
) -> None:
    opened = Bundle.open(str(bundles["onnxruntime", "fp32"]))
    tags = [s.tags or () for s in corpus]
    known = [i < 40 for i in range(len(corpus))]  # the first forty are right, and no other is
    found = [t if k else ("O",) * len(t) for t, k in zip(tags, known, strict=True)]
    counts = count(tags, found, [s.language for s in corpus])

    def told(seen: list[bool] | None) -> str:
        return card(opened.manifest, opened.tags, About(), Measured("mine", "test", counts, seen))

    assert "**The tagger learned from 40 of them.** Over the other 120 in all micro-F1 is 0.00, where it is" in told(
        known
    )
    assert "The tagger learned from none of them." in told([False] * len(corpus))
    assert "The sentences that the tagger learned from aren't recorded" in told(None)
    learnt = learned.fingerprints(s.words for s in corpus.sentences[:80])
    with pytest.raises(
        DinkuError, match=r"mine test: the tagger learned from \d+ of the 160 sentences of the test split"
    ):
        unseen(corpus, learnt, where="mine test")
    unseen(tiny_corpus(160, seed=99), learned.fingerprints([("never",)]), where="")


def test_the_card_says_how_offsets_count_and_what_javascript_reads(
    bundles: dict[tuple[str, str], Path], tagger: Tagger
) -> None:
    written = (bundles["onnxruntime", "fp32"] / "README.md").read_text()
    assert "Offsets count Unicode code points" in written
    assert "transformers.js reads this folder, too." in written
    assert "transformers.js" not in (bundles["openvino", "fp32"] / "README.md").read_text()
    manifest = Bundle.open(str(bundles["onnxruntime", "fp32"])).manifest
    odd = card(manifest, tagger.tags, About(), unread=["WordLevel (model)"])
    assert "transformers.js doesn't read its tokenizer as dinku does: WordLevel (model)." in odd


def test_a_part_or_a_sample_is_never_shown_as_the_whole(bundles: dict[tuple[str, str], Path], corpus: Corpus) -> None:
    folder = bundles["onnxruntime", "fp32"]
    part = corpus.sample(10, 0)
    assert "tiny (10 of 160) test, 10 sentences; **a part of them" in _card(part.name, part, folder)[1]
    assert "160 sentences; **generated sentences (sample)" in _card("sample:hau", corpus, folder)[1]
    assert "Not measured." in (folder / "README.md").read_text()


def _run(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["dinku", *arguments])
    with pytest.raises(SystemExit) as end:
        app.main()
    return int(end.value.code or 0)


def test_the_command(
    tagger: Tagger, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tagger.save(tmp_path / "tagger")
    mine = tmp_path / "mine"
    mine.mkdir()
    for split in ("train", "dev", "test"):
        write(corpus, mine / f"{split}.txt")
    out = tmp_path / "out"
    asked = ["export", str(folder), str(out), "--corpus", str(mine), "--licence", "MIT", "--json"]
    assert _run(asked, monkeypatch) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["runtime"], told["precision"], told["gate"]["equal"]) == ("onnxruntime", "fp32", 1.0)
    assert told["bytes_disk"] == disk_bytes(out)
    card = (out / "README.md").read_text()
    (out / "README.md").unlink()  # which the Hub's cache of a bundle lacks
    copied = Bundle.open(out).save(tmp_path / "copied")
    assert {path.name for path in copied.iterdir()} == {path.name for path in out.iterdir()}
    (out / "README.md").write_text(card)
    assert "| mine |" in card
    assert "Licence of the weights: MIT" in card
    header = yaml.safe_load(card.split("---\n")[1])
    assert (header["license"], header.get("datasets", [])) == (
        "mit",
        [],
    )  # what it is compared on isn't what it learned from
    asked = ["export", str(folder), "told", "--trained-on", "masakhaner:hau", "--corpus", str(mine / "dev.txt")]
    monkeypatch.chdir(tmp_path)
    assert _run(asked, monkeypatch) == 0
    header = yaml.safe_load(Path("told/README.md").read_text().split("---\n")[1])
    assert (header["license"], header["datasets"]) == ("cc-by-nc-4.0", ["masakhane/masakhaner"])
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert _run(["inspect", "../told"], monkeypatch) == 0
    capsys.readouterr()
    assert _run([*asked[:2], "again", "--corpus", str(mine / "test.txt")], monkeypatch) == 2
    assert "is the test split, and bundles are compared on dev" in capsys.readouterr().err
    assert not Path("again").exists()
    assert str(tmp_path) not in (out / "bundle.json").read_text()
    assert _run(["evaluate", str(out), "--corpus", str(mine), "--json"], monkeypatch) == 0
    by_bundle = capsys.readouterr().out
    assert _run(["evaluate", str(folder), "--corpus", str(mine), "--json"], monkeypatch) == 0
    assert capsys.readouterr().out == by_bundle
    assert _run(["predict", str(out), str(mine / "test.txt"), "--conll", "--precision", "bfloat16"], monkeypatch) == 2
    assert "a bundle has one precision" in capsys.readouterr().err
    assert _run(["export", str(folder), str(out)], monkeypatch) == 2
    assert "already exists" in capsys.readouterr().err
    assert _run(["inspect", str(out), "--json"], monkeypatch) == 0
    assert json.loads(capsys.readouterr().out)["bytes"] == tagger.shape.bytes


def test_a_tagger_that_finds_nothing_is_refused(tagger: Tagger, corpus: Corpus, tmp_path: Path) -> None:
    mute = tagger.copy()
    mute.model.classifier.weight.data.zero_()
    with pytest.raises(
        DinkuError, match=r"finds nothing: not one entity in 160 sentences, which hold \d+ \(tiny\); "
    ) as caught:
        pipeline.export(mute, tmp_path / "bundle", corpus, threads=1)
    assert caught.value.status == 1
    assert caught.value.remedy == LEARN_MORE
    assert not list(tmp_path.iterdir())
    assert not pipeline.export(mute, tmp_path / "bundle", corpus, threads=1, silent=True).evaluate(corpus).scores().f1
    untagged = corpus.without_tags()  # nobody knows what there is to find
    pipeline.export(mute, tmp_path / "other", untagged, threads=1)


def test_one_file_is_never_calibration_dev_and_test_at_once(
    tagger: Tagger, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(tagger.save(tmp_path / "tagger"))
    write(corpus, tmp_path / "mine.conll")
    write(corpus, tmp_path / "dev.txt")
    asked = ["export", folder, str(tmp_path / "out"), "--corpus"]
    assert _run([*asked, str(tmp_path / "mine.conll")], monkeypatch) == 2
    assert "mine.conll: is one file, which can't be calibration, dev and test at once" in capsys.readouterr().err
    assert _run([*asked, str(tmp_path / "dev.txt"), "--precision", "int8"], monkeypatch) == 2
    assert "dev.txt: has no train split, whose sentences int8 is calibrated on" in capsys.readouterr().err
    learnt = replace(tagger, learned=learned.fingerprints(s.words for s in corpus)).save(tmp_path / "learnt")
    for split in ("train", "dev", "test"):
        (tmp_path / "corpus").mkdir(exist_ok=True)
        write(corpus, tmp_path / "corpus" / f"{split}.txt")
    asked = ["export", str(learnt), str(tmp_path / "out"), "--corpus", str(tmp_path / "corpus")]
    assert _run(asked, monkeypatch) == 2
    assert "learned from 160 of the 160 sentences of the test split; name a corpus" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert _run(["evaluate", str(learnt), "--corpus", str(tmp_path / "corpus"), "--json"], monkeypatch) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["learned_from"] == 160
    assert "learned from 160 of the 160 sentences" in shown.err


def test_a_bundle_tells_what_its_tagger_learned_from(
    tagger: Tagger, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(corpus, tmp_path / "test.txt")
    learnt = replace(tagger, learned=learned.fingerprints(s.words for s in corpus))
    assert len(learnt.learned) > 100
    whole = pipeline.export(learnt, tmp_path / "whole", corpus, threads=1)
    plain = pipeline.export(tagger, tmp_path / "plain", corpus, threads=1)
    assert (whole.learned, whole.digest, plain.learned) == (learnt.learned, plain.digest, frozenset())
    assert disk_bytes(tmp_path / "whole") - disk_bytes(tmp_path / "plain") < 100  # of the card
    assert (
        _run(["evaluate", str(tmp_path / "whole"), "--corpus", str(tmp_path / "test.txt"), "--json"], monkeypatch) == 0
    )
    shown = capsys.readouterr()
    assert json.loads(shown.out)["learned_from"] == 160
    assert "learned from 160 of the 160 sentences" in shown.err
    monkeypatch.setattr(learned, "MOST", 40)
    some = pipeline.export(learnt, tmp_path / "some", corpus, threads=1)
    assert some.learned == frozenset(sorted(learnt.learned)[:40])
    assert whole.save(tmp_path / "copy").joinpath(learned.FILE).read_bytes() == b"".join(
        number.to_bytes(8, "little") for number in sorted(learnt.learned)
    )
    assert (
        _run(["evaluate", str(tmp_path / "some"), "--corpus", str(tmp_path / "test.txt"), "--json"], monkeypatch) == 0
    )
    told = re.search(
        r"learned from about 160 of the 160 sentences of .* \((\d+) of the (\d+) that its sample",
        capsys.readouterr().err,
    )
    assert told
    assert told[1] == told[2]


def test_int8_without_a_corpus_is_told_before_the_work(
    tagger: Tagger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(*_: object, **__: object) -> None:
        raise DinkuError("the work began")

    monkeypatch.setattr(pipeline, "export", work)
    folder = str(tagger.save(tmp_path / "tagger"))
    assert _run(["export", folder, str(tmp_path / "out"), "--precision", "int8"], monkeypatch) == 2
    told, began = capsys.readouterr().err.splitlines()[-2:]
    assert "warning: without --corpus int8 is calibrated and compared on generated sentences" in told
    assert began == "dinku: the work began"


def test_what_is_in_int8_already_is_copied_as_it_is(
    bundles: dict[tuple[str, str], Path],
    tagger: Tagger,
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    store, address = Store(home / "store"), "ab" * 32
    Bundle.open(str(bundles["onnxruntime", "int8"])).save(store.begin(address))
    store.finish(address, {"step": {}, "before": ""})
    assert _run(["export", address[:8], str(tmp_path / "out"), "--precision", "int8", "--json"], monkeypatch) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["bundle"], told["runtime"], told["precision"]) == (str(tmp_path / "out"), "onnxruntime", "int8")
    assert _files(tmp_path / "out") == _files(bundles["onnxruntime", "int8"])
    Bundle.open(str(tmp_path / "out"))
    for option, value in (("runtime", "openvino"), ("precision", "fp32"), ("corpus", "sample:hau"), ("licence", "MIT")):
        assert _run(["export", address[:8], str(tmp_path / "other"), f"--{option}", value], monkeypatch) == 2
        assert (
            f"is int8 for onnxruntime already, and is copied as it is; leave --{option} out" in capsys.readouterr().err
        )
    quantized = QuantizeDynamic().apply(tagger, Data(), Work()).save(tmp_path / "quantized")
    assert _run(["export", str(quantized), str(tmp_path / "copied"), "--json"], monkeypatch) == 0
    assert json.loads(capsys.readouterr().out)["runtime"] == "torch"
    assert _files(tmp_path / "copied") == _files(quantized)
    assert _run(["export", str(quantized), str(tmp_path / "x"), "--runtime", "onnxruntime"], monkeypatch) == 2
    assert not (tmp_path / "x").exists()


def _files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
