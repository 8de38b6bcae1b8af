"""Every method through the public battery, and what is particular to each."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import chain, cycle, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dinku.data import sources
from dinku.data.corpus import Corpus, Sentence
from dinku.errors import DinkuError
from dinku.method import Data, Method, Planned, Seeded, Work
from dinku.methods import vocabulary
from dinku.methods.distil import Distil
from dinku.methods.distiltext import DistilText
from dinku.methods.dynamic import QuantizeDynamic
from dinku.methods.factorize import FactorizeEmbeddings
from dinku.methods.feedforward import NarrowFeedForward
from dinku.methods.finetune import FineTune
from dinku.methods.fresh import StartFresh
from dinku.methods.heads import PruneHeads
from dinku.methods.hidden import NarrowHidden
from dinku.methods.layers import KeepLayers
from dinku.methods.llmint8 import QuantizeLLMInt8
from dinku.methods.named import StartFrom
from dinku.methods.pretrain import Pretrain
from dinku.methods.quantize import Quantize
from dinku.methods.registry import MODULES, from_json, to_json
from dinku.methods.regroup import RegroupHeads
from dinku.methods.sparsity import Sparsify
from dinku.methods.vocabulary import TrimVocabulary
from dinku.methods.words import StartWords
from dinku.model.encode import segmentation
from dinku.model.shape import Layer, Shape
from dinku.nn import surgery
from dinku.nn.tagger import Tagger
from dinku.study.recipe import Recipe
from dinku.testing import check_law, check_method, tiny_corpus, tiny_data, tiny_tagger, tiny_text
from dinku.training import fit, importance, reading, teacher_answers, while_training
from dinku.training.settings import TrainingSettings

GOLDEN = json.loads((Path(__file__).parent.parent / "golden" / "methods.json").read_text())
ONE = Work(seed=1, threads=1)
QUICK = FineTune(epochs=1, batch=8, rate=1e-3, precision="float32")
EXAMPLES: list[Method] = [
    Sparsify(0.6),
    Sparsify(0.9, embeddings=True),
    Sparsify(0.5, granularity="matrix", embeddings=True),
    Sparsify(0.5, importance="activation", embeddings=True, sentences=20),
    Sparsify(0.4, importance="taylor", granularity="matrix", embeddings=True),
    Sparsify(0.55, importance="activation", granularity="row", embeddings=True, sentences=20),
    KeepLayers((1,)),
    KeepLayers(layers=1, importance="activation"),
    RegroupHeads(2),
    PruneHeads(2),
    PruneHeads(2, importance="taylor", spread="uneven"),
    NarrowFeedForward(16, multiple=8, importance="activation"),
    NarrowFeedForward(15, multiple=3, spread="uneven"),
    NarrowHidden(10),
    NarrowHidden(12, importance="activation", sentences=8),
    FactorizeEmbeddings(5),
    FactorizeEmbeddings(7, weigh="frequency"),
    TrimVocabulary(60),
    TrimVocabulary(58, scripts=("Latin",)),
    QUICK,
    FineTune(epochs=2, batch=4, select="best", keep_zeros=False),
    replace(QUICK, epochs=2, sparsity=0.7, select="best"),
    Distil(epochs=1, batch=8, rate=1e-3, precision="float32", student=(KeepLayers((1,)),), hidden=1.0),
    Distil(epochs=2, batch=4, rate=1e-3, student=(RegroupHeads(8), Sparsify(0.5)), temperature=3.0, relations=0.5),
    StartFresh(layers=2, heads=2, hidden=12, width=20),
    Pretrain(steps=5, batch=6, rate=1e-3, window=24, precision="float32"),
    DistilText(batch=8, rate=1e-3, precision="float32", student=(KeepLayers((0,)),), hidden=0.5, sentences=30),
    DistilText(batch=8, rate=1e-3, student=(NarrowHidden(12),), sentences=30, sparsity=0.5, rise=1.0),
    Pretrain(steps=4, batch=6, rate=1e-3, window=24, precision="float32", sparsity=0.3, keep_zeros=False),
]
QUANTIZING: list[Method] = [QuantizeLLMInt8(), QuantizeLLMInt8(threshold=1.0, rest="float32"), QuantizeDynamic()]
BUNDLING: list[Method] = [Quantize(tolerance=1.0)]  # which take seconds each, and are composed in test_int8
APART: list[Method] = [  # too large, or with too large a vocabulary, for the others
    StartFrom("dinku:house"),
    StartFresh(layers=1, heads=4, hidden=8, width=16, vocabulary=330, positions=70, family="roberta"),
    StartWords(features=("word", "suffix2"), rows=50, embedding=4, width=6, depth=1, pieces=2),
]
REPLACING = {"StartFresh", "StartFrom", "StartWords"}  # what replaces the tagger, at any setting
NOTHING: dict[str, Method] = {
    "Pretrain": Pretrain(steps=0, window=24),
    "DistilText": DistilText(epochs=0, sentences=5),
    "Distil": Distil(epochs=0),
    "RegroupHeads": RegroupHeads(4),
    "KeepLayers": KeepLayers((0, 1)),
    "PruneHeads": PruneHeads(4),
    "NarrowFeedForward": NarrowFeedForward(24, multiple=8),
    "NarrowHidden": NarrowHidden(16),
    "FactorizeEmbeddings": FactorizeEmbeddings(16),
    "TrimVocabulary": TrimVocabulary(82),
    "Sparsify": Sparsify(0.0),
    "FineTune": FineTune(epochs=0, tags=("O", "B-LOC", "I-LOC", "B-PER", "I-PER")),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return replace(tiny_data(), text=tiny_text(tmp_path_factory.mktemp("data") / "text"))


@pytest.mark.usefixtures("converted_once")
@pytest.mark.parametrize("method", BUNDLING, ids=str)
def test_the_battery_of_bundles(method: Method) -> None:
    check_method(method, data=Data(tiny_corpus(120), tiny_corpus(160, seed=5, split="dev")))


@pytest.mark.parametrize("method", [*EXAMPLES, *QUANTIZING, *APART], ids=str)
def test_the_battery(method: Method, data: Data) -> None:
    name = type(method).__name__
    key = f"{name} {method.version} {json.dumps(to_json(method)[name], sort_keys=True)}"
    # Eigenvectors, from which factors are made, differ in their last bits from library to library.
    golden = GOLDEN[key] if not isinstance(method, Seeded | StartFrom | FactorizeEmbeddings) else None
    others = [m for m in EXAMPLES if m != method][:3]
    check_method(method, nothing=NOTHING.get(name), others=others, golden=golden, data=data, bare=name == "FineTune")


@pytest.mark.parametrize("first", EXAMPLES, ids=str)
def test_every_pair_of_methods_costs_what_is_declared_from_the_start(first: Method, data: Data) -> None:
    """Each on one of two families, in turns."""
    for turn, (family, pieces) in enumerate((("xlm-roberta", "unigram"), ("bert", "wordpiece"))):
        tagger = tiny_tagger(family, pieces)
        after: Any = first.resolve(tagger, data).apply(tagger, data, ONE)
        for second in [*EXAMPLES, *QUANTIZING][(EXAMPLES.index(first) + turn) % 2 :: 2]:
            if isinstance(first, TrainingSettings) and isinstance(second, TrainingSettings):
                continue  # two trainings one after the other are tested by the battery
            steps = [m.resolve(tagger, data) for m in (first, second)]
            if said := refusal(second, after):
                if second in QUANTIZING:
                    with pytest.raises(DinkuError, match=said):
                        steps[1].declare(after.shape)
                with pytest.raises(DinkuError, match=said):
                    steps[1].apply(after, data, ONE)
                continue
            measured = steps[1].apply(after, data, ONE).shape
            before = steps[0].declare(tagger.shape)
            assert isinstance(before, Shape)
            try:
                declared = steps[1].declare(before)
            except DinkuError as error:
                assert before.spread
                assert "are spread by data, and it has to know each layer's; put it before" in str(error)  # noqa: PT017
                declared = steps[1].declare(after.shape)
            assert not (broken := declared.broken_by(measured)), f"{first}, then {second}: {broken}"


def refusal(method: Method, tagger: Tagger) -> str:
    """What a method says where a tagger isn't one that it can be applied to."""
    fields = json.dumps(to_json(method))
    if not tagger.tags and method in QUANTIZING:
        return "there are no tags; fine-tune the encoder first"
    if not tagger.tags and isinstance(method, Distil):
        return "the teacher has no tags"
    if len(tagger.shape.layers) == 1 and '{"keep": [1]}' in fields:
        return "there is no layer 1 among 1"
    if isinstance(method, Distil) and '"RegroupHeads"' in fields and any(la.heads % 2 for la in tagger.shape.layers):
        return "heads is 8, which doesn't divide"
    if len(set(tagger.shape.layers)) > 1 and isinstance(method, KeepLayers) and method.layers:
        return "the layers differ in size, so that the size of 1 depends on which"
    try:
        method.declare(tagger.shape)
    except DinkuError as error:
        if ", more than the " in error.problem:
            return re.escape(error.problem)
    tagged = tagger.shape.with_tags(5)
    if not tagger.tags and "taylor" in fields and method.declare(tagged) != tagged:
        return "the tagger has no tags, whose loss it asks for; fine-tune it first"
    return ""


STUDYING = Distil(epochs=1)
UNEVEN = (Layer(4, 4, 24), Layer(3, 4, 16))


@pytest.mark.parametrize(
    ("method", "layers", "said"),
    [
        (PruneHeads(100), (), "PruneHeads: heads is 100, more than the 4 heads of a layer; give at most 4"),
        (PruneHeads(5), UNEVEN, "PruneHeads: heads is 5, more than the 4 heads of a layer; give at most 4"),
        (
            PruneHeads(4, spread="uneven", importance="activation"),
            UNEVEN,
            "PruneHeads: heads is 4, more than the mean of the layers' heads, 3.5; give at most 3",
        ),
        (
            NarrowFeedForward(100_000),
            (),
            "NarrowFeedForward: width is 100,000, more than the 24 neurons of a layer; give at most 24",
        ),
        (
            NarrowFeedForward(24, spread="uneven", multiple=4),
            UNEVEN,
            "NarrowFeedForward: width is 24, more than the mean of the layers' neurons, 20.0; give at most 20",
        ),
        (NarrowHidden(17), (), "NarrowHidden: hidden is 17, more than the 16 coordinates that there are; give at most"),
        (
            FactorizeEmbeddings(384),
            (),
            "FactorizeEmbeddings: rank is 384, more than the rank that word embeddings have, 16; give at most 16",
        ),
        (
            TrimVocabulary(250_002),
            (),
            "TrimVocabulary: size is 250,002, more than the vocabulary's 82 rows; give at most 82",
        ),
        (KeepLayers(layers=3), (), "KeepLayers: layers is 3, more than the 2 layers that there are; give at most 2"),
        (KeepLayers((0, 2)), (), "KeepLayers: there is no layer 2 among 2; number them from 0 to 1"),
        (RegroupHeads(32), (), "RegroupHeads: heads is 32, which doesn't divide 16"),
    ],
    ids=str,
)
def test_more_than_there_is_is_refused_and_as_much_is_fine(method: Any, layers: tuple[Layer, ...], said: str) -> None:
    """`declare` says it, and so a plan; a student is refused alike, and so is `apply`."""
    tagger = tiny_tagger()
    shape = replace(tagger.shape, layers=layers) if layers else tagger.shape
    with pytest.raises(DinkuError) as told:
        method.declare(shape)
    assert str(told.value).startswith(said)
    with pytest.raises(DinkuError, match=re.escape(told.value.problem)):
        replace(STUDYING, student=(method,)).declare(shape)
    if not layers:
        with pytest.raises(DinkuError, match=re.escape(told.value.problem)):
            method.apply(tagger, tiny_data(), ONE)


def test_as_high_a_rank_as_there_is_changes_nothing(data: Data) -> None:
    small = FactorizeEmbeddings(8).apply(tiny_tagger(), data, ONE)
    assert FactorizeEmbeddings(8).apply(small, data, ONE) is small
    with pytest.raises(DinkuError, match="rank is 10, more than the rank that word embeddings have, 8; give at most 8"):
        FactorizeEmbeddings(10).apply(small, data, ONE)


def test_matrices_whose_sizes_data_will_tell_round_either_way() -> None:
    shape = PruneHeads(2, spread="uneven").declare(tiny_tagger().shape)
    whole = Sparsify(0.5).declare(shape).nonzero
    for granularity in ("matrix", "row"):
        low, high = Sparsify(0.5, granularity).declare(shape).nonzero
        assert low < whole[0]
        assert high > whole[1]


@pytest.mark.parametrize("first", QUANTIZING, ids=str)
def test_nothing_comes_after_quantization(first: Method, data: Data) -> None:
    tagger = tiny_tagger()
    after: Any = first.apply(tagger, data, ONE)
    before = after.digest
    for second in [*EXAMPLES, *QUANTIZING]:
        second = second.resolve(tagger, data)
        with pytest.raises(DinkuError, match=r"can't change a quantized tagger .* that step comes last"):
            Recipe("base", "corpus", (first, second)).declared(tagger.shape)
        if type(second).__name__ not in REPLACING:
            with pytest.raises(DinkuError, match=r"can't change a quantized tagger .* that step comes last"):
                second.apply(after, data.seen_by(second), ONE)
    assert after.digest == before


@pytest.mark.parametrize(
    ("method", "family"), [*zip(EXAMPLES, cycle(["xlm-roberta", "bert", "roberta", "distilbert"]))], ids=str
)
def test_the_law_holds_under_a_masked_lm_head(method: Method, family: str, data: Data, tmp_path: Path) -> None:
    tagger = tiny_tagger(family, "wordpiece" if family == "bert" else "unigram", masked_lm=True)
    method, before = method.resolve(tagger, data), tagger.digest
    if said := refusal(method, tagger):
        with pytest.raises(DinkuError, match=said):
            method.apply(tagger, data, ONE)
        return
    after = method.apply(tagger, data.seen_by(method), ONE)
    assert isinstance(after, Tagger)
    check_law(method, tagger.shape, after.shape)
    assert tagger.digest == before
    assert Tagger.load(after.save(tmp_path / "after")).digest == after.digest
    assert after.shape.masked_lm == (not after.tags and type(method).__name__ not in REPLACING)
    if after.shape.masked_lm:  # the decoder stays the word embeddings
        decoder = after.model.get_output_embeddings()
        assert decoder.weight is surgery.word_embeddings(after.model).weight
        assert len(decoder.bias) == after.shape.vocabulary


def test_every_method_stands_in_the_table_and_has_an_example() -> None:
    assert {type(m).__name__ for m in (*EXAMPLES, *QUANTIZING, *BUNDLING, *APART)} == set(MODULES)
    for name in MODULES.keys() - REPLACING - {type(m).__name__ for m in (*QUANTIZING, *BUNDLING)}:
        assert isinstance(NOTHING[name], Method)
        assert type(NOTHING[name]).__name__ == name


def test_the_battery_catches_methods_that_break_the_contract() -> None:
    class Wrong(Sparsify):
        def declare(self, shape):  # type: ignore[no-untyped-def]
            return replace(shape, hidden=shape.hidden + 1)

    class Spoils(Sparsify):
        def apply(self, tagger, data, work):  # type: ignore[no-untyped-def]
            next(iter(surgery.matrices(tagger.model).values())).data.zero_()
            return tagger.copy()

    class Random(Sparsify):
        def apply(self, tagger, data, work):  # type: ignore[no-untyped-def]
            changed = tagger.copy()
            changed.model.classifier.bias.data.normal_()
            return changed

    class UsesTheSeed(Sparsify):
        def apply(self, tagger, data, work):  # type: ignore[no-untyped-def]
            changed = tagger.copy()
            changed.model.classifier.bias.data += work.seed
            return changed

    with pytest.raises(AssertionError, match="hidden=17"):
        check_method(Wrong(0.5))
    with pytest.raises(AssertionError, match="changed the tagger it was given"):
        check_method(Spoils(0.0))
    with pytest.raises(AssertionError, match="another result at the same seed"):
        check_method(Random(0.0))
    with pytest.raises(AssertionError, match="or at one not in its address"):
        check_method(UsesTheSeed(0.0))


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 0.999), st.sampled_from(["global", "matrix", "row"]), st.booleans())
def test_sparsity_is_exact(sparsity: float, granularity: str, embeddings: bool) -> None:
    tagger = tiny_tagger()
    method = Sparsify(sparsity, granularity, embeddings)  # type: ignore[arg-type]
    sparse = method.apply(tagger, Data(), ONE)
    groups = list(surgery.prunable(sparse.model, embeddings=embeddings).values())
    if granularity == "global":
        groups = [[v for views in groups for v in views]]
    if granularity == "row":
        groups = [[row] for views in groups for view in views for row in view]
    for views in groups:
        assert sum(int((v == 0).sum()) for v in views) == round(sparsity * sum(v.numel() for v in views))
    check_law(method, tagger.shape, sparse.shape)
    table, before = surgery.word_embeddings(sparse.model), surgery.word_embeddings(tagger.model)
    if not embeddings:
        assert torch.equal(table.weight, before.weight)
    assert torch.equal(sparse.model.classifier.weight, tagger.model.classifier.weight)


def test_a_table_whose_config_names_no_padding_keeps_its_padding_row(tmp_path: Path) -> None:
    folder = tiny_tagger("bert", "wordpiece").save(tmp_path / "tagger")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "pad_token_id": None}))
    tagger, how = Tagger.load(folder), Sparsify(0.9, embeddings=True)
    assert how.apply(tagger, Data(), Work()).shape.zeros == how.declare(tagger.shape).zeros


def test_the_smallest_weights_go_and_the_first_among_equals() -> None:
    scores = [torch.tensor([[3.0, 1.0], [1.0, 2.0]]), torch.tensor([1.0, 0.5])]
    first, second = importance.least(scores, 3)
    assert first.tolist() == [[False, True], [True, False]]
    assert second.tolist() == [False, True]
    rows = importance.least_of_rows(torch.tensor([[3.0, 1.0, 1.0], [0.0, 0.0, 0.0]]), 1)
    assert rows.tolist() == [[False, True, False], [True, False, False]]
    assert not any(bool(m.any()) for m in importance.least(scores, 0))
    assert all(bool(m.all()) for m in importance.least(scores, 6))


def test_zeros_that_came_with_a_checkpoint_count_but_are_not_kept() -> None:
    tagger = tiny_tagger()
    weight = surgery.matrices(tagger.model)["encoder.layer.0.attention.self.query.weight"]
    weight.data[:8] = 0
    data = tiny_data()
    assert tagger.shape.zeros == 0
    trained = QUICK.apply(tagger, data, ONE)
    assert int((surgery.matrices(trained.model)["encoder.layer.0.attention.self.query.weight"] == 0).sum()) == 0
    sparse = Sparsify(0.0625, "matrix").apply(tagger, Data(), ONE)  # fewer than are there: they all stay
    kept = QUICK.apply(sparse, data, ONE)
    assert int((surgery.matrices(kept.model)["encoder.layer.0.attention.self.query.weight"] == 0).sum()) == 128


@pytest.mark.parametrize("embeddings", [False, True])
def test_fine_tuning_keeps_exactly_the_zeros_of_sparsity(embeddings: bool) -> None:
    sparse = Sparsify(0.7, embeddings=embeddings).apply(tiny_tagger(tags=()), Data(), ONE)
    trained = replace(QUICK, epochs=3).apply(sparse, tiny_data(), ONE)
    before = surgery.prunable(sparse.model, embeddings=True)
    after = surgery.prunable(trained.model, embeddings=True)
    for name, views in before.items():
        for old, new in zip(views, after[name], strict=True):
            if embeddings or name != "word embeddings":
                assert torch.equal(old == 0, new == 0), name
            assert not torch.equal(old, new), name
    free = replace(QUICK, keep_zeros=False).apply(sparse, tiny_data(), ONE)
    assert int((surgery.matrices(free.model)["encoder.layer.1.output.dense.weight"] == 0).sum()) == 0
    pad = surgery.word_embeddings(trained.model)
    assert torch.equal(pad.weight[pad.padding_idx], torch.zeros(16))


def test_sparsity_rises_by_a_cubic_curve_and_then_stays() -> None:
    levels = fit.rising(0.2, 0.8, 100, over=0.5)
    assert levels[50] == 0.8
    assert max(levels) == 50
    assert len(levels) == fit.RAISES
    assert levels[25] == pytest.approx(0.8 - 0.6 / 8)  # (1 − 1/2)³
    rising = [level for _, level in sorted(levels.items())]
    assert rising == sorted(rising)
    assert rising[0] > 0.2
    assert fit.rising(0.0, 0.5, 1, over=0.5) == {1: 0.5}


@pytest.mark.parametrize("kept", [True, False])
def test_zeros_grow_while_a_tagger_trains(kept: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []
    loss = fit._train

    def watch(model, *rest, after_step, **named):  # type: ignore[no-untyped-def]
        def then(n: int) -> None:
            after_step(n)
            zeros = [(w == 0).flatten() for w in surgery.matrices(model).values()]
            seen.append((n, int(torch.cat(zeros).sum())))
            if masks and kept:  # what is zero once stays zero
                assert bool(torch.cat(zeros)[masks[-1]].all())
            masks.append(torch.cat(zeros))

        return loss(model, *rest, after_step=then, **named)

    masks: list[torch.Tensor] = []
    monkeypatch.setattr(fit, "_train", watch)
    before = Sparsify(0.3, embeddings=True).apply(tiny_tagger(tags=()), Data(), ONE)
    table = surgery.word_embeddings(before.model).weight == 0
    method = replace(QUICK, epochs=8, sparsity=0.75, rise=0.5, keep_zeros=kept)
    after = method.apply(before, tiny_data(), ONE)
    total, last = sum(before.shape.weights(embeddings=False)), len(seen)
    zeros = [n for _, n in seen]
    start = zeros[0] / total
    assert (0.3 < start < 0.45) if kept else (0 < start < 0.2)
    assert zeros == sorted(zeros)
    assert len(set(zeros)) > 8
    assert zeros[last // 2 - 1 :] == [round(0.75 * total)] * (last - last // 2 + 1)
    assert after.sparse == ("embeddings", "linear")
    assert "held_zeros" not in dict(after.model.named_children())
    same = surgery.word_embeddings(after.model).weight == 0
    assert torch.equal(same, table) == kept
    # Sparser than asked beforehand, it stays as it is.
    less = replace(QUICK, sparsity=0.5).apply(after, tiny_data(), ONE)
    assert sum(int((w == 0).sum()) for w in surgery.matrices(less.model).values()) == round(0.75 * total)


def test_fine_tuning_learns_and_adds_a_head() -> None:
    data = Data(tiny_corpus(200), tiny_corpus(60, seed=1, split="dev"))
    bare = tiny_tagger(tags=())
    trained = FineTune(epochs=12, batch=8, rate=5e-3).apply(bare, data, ONE)
    assert trained.tags == ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
    assert trained.evaluate(data.dev).scores().f1 > 0.5  # type: ignore[arg-type]
    assert not trained.model.training


def test_compact_embeddings_change_nothing_but_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    data, method = tiny_data(), replace(QUICK, epochs=2)
    compact = method.apply(tiny_tagger(), data, ONE)
    monkeypatch.setattr(reading, "_used", lambda tagger, windows: None)
    whole = method.apply(tiny_tagger(), data, ONE)
    for (name, a), b in zip(compact.model.state_dict().items(), whole.model.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5, msg=name)


@pytest.mark.parametrize(("family", "tokenizer"), [("roberta", "bytes"), ("distilbert", "wordpiece")])
def test_other_families_fine_tune_too(family: str, tokenizer: str) -> None:
    trained = replace(QUICK, epochs=2).apply(tiny_tagger(family, tokenizer, tags=()), tiny_data(), ONE)
    check_law(
        replace(QUICK, epochs=2).resolve(None, tiny_data()),
        tiny_tagger(family, tokenizer, tags=()).shape,
        trained.shape,
    )


def test_selection_on_dev_takes_the_best_epoch() -> None:
    data = Data(tiny_corpus(100), tiny_corpus(60, seed=1, split="dev"))
    method = FineTune(epochs=6, batch=8, rate=8e-3, precision="float32")
    epochs = [replace(method, epochs=6).apply(tiny_tagger(tags=()), data, ONE)]
    best = replace(method, select="best").apply(tiny_tagger(tags=()), data, ONE)
    scores = [t.evaluate(data.dev).scores().f1 for t in (*epochs, best)]  # type: ignore[arg-type]
    assert scores[-1] >= scores[0]


def test_training_tells_its_loss_as_it_falls() -> None:
    told: list[str] = []
    work = replace(ONE, progress=lambda what, _done, _total: told.append(what))
    replace(QUICK, epochs=8).apply(tiny_tagger(tags=()), tiny_data(), work)
    losses = [float(note.partition(", loss ")[2]) for note in told if "loss" in note]
    assert len(set(told)) >= 9
    assert losses[-1] < losses[0] - 0.1


def test_windows_cover_long_sentences_in_training() -> None:
    long = Corpus("long", "train", (Sentence(("Bade",) * 300, ("B-PER",) * 300, "one"),))
    seen: list[int] = []
    loss = fit._train

    def count(model, steps, collate, *rest, **named):  # type: ignore[no-untyped-def]
        seen.extend(collate(step)["gold"].numel() for step in steps)
        return loss(model, steps, collate, *rest, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "_train", count)
        replace(QUICK, window=16).apply(tiny_tagger(tags=()), Data(long, long), ONE)
    assert sum(seen) == 300


class Killed(Exception):
    pass


@pytest.mark.parametrize(
    "given", [{"select": "last"}, {"select": "best"}, {"select": "best", "sparsity": 0.8, "rise": 0.9}], ids=str
)
def test_training_that_is_killed_resumes_to_the_same_weights(
    given: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit, "CHECKPOINT_SECONDS", 0.0)
    method = FineTune(epochs=3, batch=4, rate=1e-3, **given)
    sparse = Sparsify(0.5, embeddings=True).apply(tiny_tagger(tags=()), Data(), ONE)
    expected = method.apply(sparse, tiny_data(), ONE).digest

    def until(limit: int):  # type: ignore[no-untyped-def]
        def progress(what: str, done: int, total: int) -> None:
            reached.append(done)
            if done == limit:
                raise Killed

        return progress

    for limit in (4, 9, 15):
        reached: list[int] = []
        with pytest.raises(Killed):
            method.apply(sparse, tiny_data(), Work(seed=1, threads=1, folder=tmp_path / "work", progress=until(limit)))
        assert reached[0] > limit - 7  # it went on from where it was
    # a checkpoint that wasn't finished is passed over, though its number is the highest
    (tmp_path / "work" / "checkpoint-17").mkdir()
    (tmp_path / "work" / "checkpoint-17" / "model.safetensors").write_bytes(b"half")
    reached = []
    after = method.apply(sparse, tiny_data(), Work(seed=1, threads=1, folder=tmp_path / "work", progress=until(-1)))
    assert reached[0] == 15
    assert after.digest == expected
    reached = []  # killed after the last step and before the tagger was saved, it loses next to nothing
    again = method.apply(sparse, tiny_data(), Work(seed=1, threads=1, folder=tmp_path / "work", progress=until(-1)))
    assert reached == [18]
    assert again.digest == expected


@pytest.mark.parametrize(
    ("layers", "hidden", "sentences", "numbers"),
    [
        (4, 384, 100, (3e-4, 8, 0.1, 58)),  # dinku:house
        (4, 384, 300, (3e-4, 8, 0.1, 20)),
        (4, 384, 600, (3e-4, 8, 0.1, 10)),
        (4, 384, 1903, (3e-4, 8, 0.1, 4)),
        (4, 384, 12_000, (3e-4, 16, 0.1, 3)),
        (12, 384, 300, (1e-4, 8, 0.1, 20)),  # multilingual-e5-small
        (8, 768, 300, (7.5e-5, 8, 0.1, 20)),  # AfriBERTa base
        (12, 768, 300, (5e-5, 8, 0.1, 20)),  # XLM-R base
        (2, 16, 1, (3e-4, 8, 0.1, 60)),
    ],
)
def test_numbers_suit_the_encoder_and_the_data(
    layers: int, hidden: int, sentences: int, numbers: tuple[float, int, float, int]
) -> None:
    shape = replace(tiny_tagger(tags=()).shape, hidden=hidden, layers=(Layer(12, hidden // 12, 4 * hidden),) * layers)
    train = Corpus("c", "train", (Sentence(("a",), ("B-PER",)),) * sentences)
    resolved = FineTune().resolve(Planned(shape), Data(train))
    assert (*resolved.pace, resolved.epochs) == numbers
    own = FineTune(2, batch=3, warmup=0.0).resolve(Planned(shape), Data(train))  # what is given stays
    assert (*own.pace, own.epochs) == (numbers[0], 3, 0.0, 2)
    assert FineTune(rate=1e-3).resolve(None, Data(train)) == FineTune(
        50, rate=1e-3, batch=16, warmup=0.0, tags=train.tags
    )
    with pytest.raises(DinkuError, match="FineTune: its rate depends on the encoder; give rate"):
        FineTune().resolve(None, Data(train))


def test_epochs_come_first_by_place() -> None:
    assert FineTune(3) == FineTune(epochs=3)
    assert Distil(2, (KeepLayers((0,)),)) == Distil(epochs=2, student=(KeepLayers((0,)),))


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ({"RegroupHeads": {"heads": True}}, "step: RegroupHeads.heads is True; give a number"),
        ({"FineTune": {"rate": True}}, "step: FineTune.rate is True; give a number"),
        ({"KeepLayers": {"keep": [False, 1]}}, "step: KeepLayers.keep is False; give a number"),
    ],
)
def test_true_is_no_number(step: object, said: str) -> None:
    with pytest.raises(DinkuError) as caught:
        from_json(step)
    assert str(caught.value) == said
    assert from_json({"FineTune": {"keep_zeros": False}}) == FineTune(keep_zeros=False)


def test_a_model_is_back_on_the_cpu_wherever_training_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU; where there is none it is told by what it was last asked to be moved to."""
    moved: list[str] = []
    tagger, to = tiny_tagger(), torch.nn.Module.to

    def noted(self: torch.nn.Module, where: object) -> torch.nn.Module:
        moved.append(str(where))
        return to(self, "cpu")

    monkeypatch.setattr(torch.nn.Module, "to", noted)

    def stop(*_: object, **__: object) -> None:
        moved.append("stopped")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fit, "_train", stop)
        with pytest.raises(KeyboardInterrupt):
            QUICK.apply(tagger, tiny_data(), ONE)
    assert moved[-2:] == ["stopped", "cpu"]
    with monkeypatch.context() as patch:
        patch.setattr("dinku.model.predict.answers", stop)
        with pytest.raises(KeyboardInterrupt):
            teacher_answers.word_logits(tagger, tiny_corpus(), ONE, precision="float32")
    assert moved[-2:] == ["stopped", "cpu"]


def test_a_plan_takes_every_sentence_once_an_epoch_at_random() -> None:
    lengths = np.random.default_rng(0).integers(3, 100, 1000).tolist()
    all_of_them = [range(1000)] * 3
    epochs = fit.plan(lengths, all_of_them, batch=16, seed=5)
    assert len(epochs) == 3
    for steps in epochs:
        assert len(steps) == 63
        assert sorted(chain(*steps)) == list(range(1000))
    batches = list(chain(*epochs))
    assert all(lengths[a] <= lengths[b] for step in batches for a, b in pairwise(step))
    # Batches of like length would train another model: these are as mixed as chance makes them.
    means = [np.mean([lengths[i] for i in step]) for step in batches if len(step) == 16]
    assert np.std(means) < 1.2 * np.std(lengths) / 4
    assert epochs[0] != epochs[1]
    assert epochs == fit.plan(lengths, all_of_them, batch=16, seed=5)
    assert epochs != fit.plan(lengths, all_of_them, batch=16, seed=6)
    some = fit.plan(lengths, [range(5), range(5, 30)], batch=16, seed=5)
    assert [sorted(chain(*steps)) for steps in some] == [list(range(5)), list(range(5, 30))]


def test_quick_dropout_has_dropouts_mean_and_rate() -> None:
    torch.manual_seed(0)
    x = torch.ones(1000, 500)
    dropped = while_training.dropped(x, 0.1)
    assert abs(float((dropped == 0).float().mean()) - 0.1) < 0.002
    assert abs(float(dropped.mean()) - 1) < 0.002
    assert torch.equal(while_training.dropped(x, 0.0), x)


def test_quick_dropout_is_taken_out_again() -> None:
    model = tiny_tagger().model
    before = {name: module.forward for name, module in model.named_modules()}
    with while_training.quick_dropout(model):
        assert any(module.forward != before[name] for name, module in model.named_modules())
    assert {name: module.forward for name, module in model.named_modules()} == before


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ({"Sparsify": {"sparsity": 1.0}}, "sparsity is 1.0; give the fraction of zeros"),
        ({"Sparsify": {"sparsity": -0.1}}, "sparsity is -0.1"),
        ({"Sparsify": {"sparsity": "much"}}, "Sparsify.sparsity is 'much'; give a number"),
        (
            {"Sparsify": {"ratio": 0.5}},
            "Sparsify has no field 'ratio'; its fields are importance, sentences, sparsity",
        ),
        ({"Sparsify": {}}, "Sparsify.sparsity is missing; add it"),
        (
            {"Sparsify": {"sparsity": 0.5, "granularity": "head"}},
            "granularity is 'head'; give 'global', 'matrix' or 'row'",
        ),
        ({"FineTune": {"sparsity": 1}}, "sparsity is 1.0; give the fraction of zeros, 0 ≤ sparsity < 1"),
        (
            {"FineTune": {"sparsity": 0.5, "rise": 0}},
            "rise is 0.0; give the fraction of steps over which sparsity rises",
        ),
        ({"FineTune": {"sparsity": 0.5, "epochs": 0}}, "sparsity is 0.5; give an epoch or more in which it rises"),
        ({"Pretrain": {"sparsity": 0.5, "steps": 0}}, "sparsity is 0.5; give a step or more in which it rises"),
        ({"Sparsfy": {}}, "there is no method 'Sparsfy'; did you mean Sparsify? use one of Distil, DistilText"),
        ({"FineTune": {"epochs": -1}}, "epochs is -1; give 0 or more"),
        ({"FineTune": {"rate": 0}}, "rate is 0.0; give a positive number"),
        ({"FineTune": {"batch": 0}}, "batch is 0; give 1 or more"),
        ({"FineTune": {"window": 3}}, "window is 3; give 8 subwords or more"),
        ({"FineTune": {"select": "dev"}}, "FineTune.select is 'dev'; give 'last' or 'best'"),
        ({"FineTune": 3}, "the fields of FineTune are 3"),
        ([1], "isn't one method with its fields"),
        ({"FineTune": {}, "Sparsify": {}}, "isn't one method with its fields"),
    ],
)
def test_wrong_steps_are_one_line(step: object, said: str) -> None:
    with pytest.raises(DinkuError) as caught:
        from_json(step, where="study.yaml")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (Data(), "there is no train split"),
        (Data(tiny_corpus().without_tags()), "has sentences without tags"),
        (
            Data(Corpus("c", "train", (Sentence(("", ""), ("O", "O")),))),
            "FineTune: no text that it would read has a subword",
        ),
        (
            Data(Corpus("c", "train", (Sentence(("a",), ("B-DATE",)),))),
            "has the tag B-DATE, which isn't among the head's",
        ),
    ],
)
def test_wrong_data_is_one_line(data: Data, said: str) -> None:
    method = FineTune(epochs=1, tags=("O", "B-LOC", "I-LOC"))
    with pytest.raises(DinkuError, match=said):
        method.apply(tiny_tagger(tags=()), data, ONE)


def test_training_that_diverges_says_so() -> None:
    with pytest.raises(DinkuError, match="no longer finite; lower the learning rate") as caught:
        replace(QUICK, rate=1e30, clip=1e30, epochs=2).apply(tiny_tagger(tags=()), tiny_data(), ONE)
    assert caught.value.status == 1


def test_a_sparse_tagger_stays_sparse_through_a_folder(tmp_path: Path) -> None:
    sparse = Sparsify(0.6).apply(tiny_tagger(tags=()), Data(), ONE)
    loaded = Tagger.load(sparse.save(tmp_path / "sparse"))
    assert loaded.shape == sparse.shape
    assert loaded.shape.zeros == round(0.6 * sum(loaded.shape.weights(embeddings=False)))


def test_layers_that_are_not_there_are_told() -> None:
    with pytest.raises(DinkuError, match="there is no layer 2 among 2; number them from 0 to 1"):
        KeepLayers((0, 2)).apply(tiny_tagger(), Data(), ONE)
    for keep in ((1, 0), (0, 0), (-1, 0)):
        with pytest.raises(DinkuError, match="number the layers that stay from 0, rising"):
            KeepLayers(keep)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Sparsify(None), "Sparsify: sparsity is None; give a number"),  # type: ignore[arg-type]
        (lambda: Sparsify("0.5"), "Sparsify: sparsity is '0.5'; give a number"),  # type: ignore[arg-type]
        (lambda: Sparsify(True), "Sparsify: sparsity is True; give a number"),
        (lambda: Sparsify(0.5, []), "Sparsify: granularity is []; give 'global', 'matrix' or 'row'"),  # type: ignore[arg-type]
        (lambda: Sparsify(0.5, embeddings=1), "Sparsify: embeddings is 1; give true or false"),  # type: ignore[arg-type]
        (lambda: RegroupHeads("2"), "RegroupHeads: heads is '2'; give a whole number"),  # type: ignore[arg-type]
        (lambda: FineTune(epochs="3"), "FineTune: epochs is '3'; give a whole number"),  # type: ignore[arg-type]
        (lambda: FineTune(tags=["O"]), "FineTune: tags is ['O']; give a list (in Python, a tuple)"),  # type: ignore[arg-type]
        (lambda: FineTune(select="worst"), "FineTune: select is 'worst'; give 'last' or 'best'"),  # type: ignore[arg-type]
        (lambda: Distil(layers=1), "Distil: layers is 1; give a list (in Python, a tuple)"),  # type: ignore[arg-type]
        (lambda: KeepLayers(2), "KeepLayers: keep is 2; give a list (in Python, a tuple)"),  # type: ignore[arg-type]
        (lambda: KeepLayers([0]), "KeepLayers: keep is [0]; give a list (in Python, a tuple)"),  # type: ignore[arg-type]
        (lambda: KeepLayers(("a",)), "KeepLayers: keep.0 is 'a'; give a whole number"),  # type: ignore[arg-type]
    ],
)
def test_a_field_of_another_type_is_one_line(make: Callable[[], Method], said: str) -> None:
    with pytest.raises(DinkuError) as caught:
        make()
    assert str(caught.value) == said


@pytest.mark.parametrize("family", ["xlm-roberta", "bert", "roberta", "distilbert"])
def test_the_layers_and_pieces_that_stay_are_the_same(family: str) -> None:
    tagger, data = tiny_tagger(family), tiny_data()
    smaller = KeepLayers((1,)).apply(tagger, data, ONE)
    weights = {name: w for name, w in surgery.matrices(tagger.model).items() if ".1." in name}
    for (name, weight), other in zip(weights.items(), surgery.matrices(smaller.model).values(), strict=True):
        assert torch.equal(weight, other), name
    trimmed = TrimVocabulary(60).apply(tagger, data, ONE)
    pieces = tagger.tokenizer.get_vocab()
    for piece, row in trimmed.tokenizer.get_vocab().items():
        old = surgery.word_embeddings(tagger.model).weight[pieces[piece]]
        assert torch.equal(old, surgery.word_embeddings(trimmed.model).weight[row]), piece
    one = KeepLayers((1,)).apply(trimmed, data, ONE)
    assert one.digest == TrimVocabulary(60).apply(smaller, data, ONE).digest  # they touch different parts


@pytest.mark.parametrize(
    ("family", "pieces"), [("xlm-roberta", "unigram"), ("bert", "wordpiece"), ("roberta", "bytes")]
)
def test_text_whose_pieces_stay_reads_as_before_and_predicts_to_the_bit(family: str, pieces: str) -> None:
    tagger = tiny_tagger(family, pieces)
    part = Corpus("part", "train", tiny_corpus(60).sentences[:6])
    used = {int(i) for w in tagger.encoder.windows([s.words for s in part]) for i in w.ids}
    names, *_, built = vocabulary._pieces(tagger)
    needed = sum(len(names[i]) > 1 for i in built.closed(used))  # with what they are merged from
    with pytest.raises(DinkuError, match="special tokens and single characters stay; give") as told:
        trim(tagger, part, 1)
    least = int(str(told.value).split("give ")[1].split(" ")[0])
    trimmed = trim(tagger, part, least + needed)
    assert len(trimmed.tokenizer) == least + needed < len(tagger.tokenizer)
    (one, two) = segmentation(tagger.encoder, trimmed.encoder, part).values()
    for language in (one, two):
        assert language.as_before == language.sentences
        assert language.subwords[0] == language.subwords[1]
        assert language.unknown[0] == language.unknown[1]
    for sentence in part:
        before, after = (t.encoder.batch(t.encoder.windows([sentence.words])) for t in (tagger, trimmed))
        with torch.inference_mode():
            logits = [t.model(torch.from_numpy(b.ids)).logits for t, b in ((tagger, before), (trimmed, after))]
        assert torch.equal(*logits)


def trim(tagger: Tagger, corpus: Corpus, size: int) -> Tagger:
    return TrimVocabulary(size).apply(tagger, Data(corpus), ONE)


def test_below_what_the_text_needs_the_rarest_pieces_go() -> None:
    tagger, corpus = tiny_tagger("bert", "wordpiece"), tiny_corpus(60)
    small, smaller = (trim(tagger, corpus, size) for size in (80, 60))
    counts = np.bincount(np.concatenate([w.ids for w in tagger.encoder.windows([s.words for s in corpus])]))
    names = {i: piece for piece, i in tagger.tokenizer.get_vocab().items()}
    long = {names[i]: n for i, n in enumerate(counts) if n and len(names[i].removeprefix("##")) > 1}
    special = set(tagger.tokenizer.all_special_tokens)
    kept = small.tokenizer.get_vocab().keys() & long.keys() - special
    gone = long.keys() - kept - special
    assert gone
    assert max(long[piece] for piece in gone) <= min(long[piece] for piece in kept)
    found = segmentation(tagger.encoder, smaller.encoder, corpus)
    assert set(found) == {"one", "two"}
    for language in found.values():
        assert language.as_before < language.sentences
        assert language.subwords[0] < language.subwords[1]
        # Words fall apart into single characters, which stay.
        assert language.unknown[0] == language.unknown[1]


def test_scripts_say_which_characters_stay() -> None:
    tagger = tiny_tagger()
    corpus = Corpus("latin", "train", (Sentence(("bade", "kilo")),))
    ethiopic = {"ሰ", "ላ"}
    assert not ethiopic & set(trim(tagger, corpus, 60).tokenizer.get_vocab())
    both = TrimVocabulary(60, scripts=("latin", "Ethiopic")).apply(tagger, Data(corpus), ONE)
    assert ethiopic <= set(both.tokenizer.get_vocab())
    with pytest.raises(DinkuError, match="there is no script 'Latn'; use Unicode's name of it"):
        TrimVocabulary(60, scripts=("Latn",))
    TrimVocabulary(60, scripts=("Han",))


def test_there_is_no_trimming_without_text() -> None:
    with pytest.raises(DinkuError, match="there is no text"):
        TrimVocabulary(60).apply(tiny_tagger(), Data(), ONE)


@pytest.mark.shared
def test_real_text_reads_as_before_when_all_its_pieces_stay(shared: Path) -> None:
    tagger = Tagger.load(shared / "models" / "e5-masakhaner")
    corpus = sources.load("masakhaner:hau,yor,amh", "test").sample(300, seed=0)
    small = trim(tagger, corpus, 9000)
    assert small.shape.vocabulary == 9000
    for language, found in segmentation(tagger.encoder, small.encoder, corpus).items():
        assert found.as_before == found.sentences, language
        assert found.unknown[0] == found.unknown[1]
    sentences = corpus.sentences[::30]
    before, after = (t.tag(sentences) for t in (tagger, small))
    assert [t.tags for t in before] == [t.tags for t in after]
