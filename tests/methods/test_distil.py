"""Distillation: the losses by their formulas, the transfer set, answers kept, and what is refused."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from dinku.data.corpus import Corpus, Sentence
from dinku.data.unlabelled import Text
from dinku.errors import DinkuError
from dinku.method import Category, Data, Need, Validated, Work, needs_of
from dinku.methods.distil import IGNORED, Distil
from dinku.methods.distiltext import DistilText
from dinku.methods.finetune import FineTune
from dinku.methods.fresh import StartFresh
from dinku.methods.layers import KeepLayers
from dinku.methods.regroup import RegroupHeads
from dinku.methods.sparsity import Sparsify
from dinku.methods.vocabulary import TrimVocabulary
from dinku.model import predict
from dinku.model.shape import Shape
from dinku.nn import surgery
from dinku.nn.tagger import Tagger
from dinku.testing import TAGS, tiny_corpus, tiny_data, tiny_tagger, tiny_text
from dinku.training import fit, unpadded
from dinku.training.teacher_answers import word_logits
from dinku.training.teacher_states import relation_loss, state_loss

ONE = Work(seed=1, threads=1)
FAST = Distil(epochs=1, batch=8, rate=1e-3, precision="float32", student=(KeepLayers((1,)),))


@pytest.fixture
def text(tmp_path: Path) -> Text:
    return tiny_text(tmp_path / "text")


@dataclass(frozen=True)
class Other(Validated):
    """An inner method that puts another tagger in the student's place."""

    tags: tuple[str, ...] = ()
    hidden: int = 8
    tokenizer: str = "unigram"

    version: ClassVar[int] = 1
    category: ClassVar[Category] = "start"
    needs: ClassVar[frozenset[Need]] = frozenset()

    def declare(self, shape: Shape) -> Shape:
        return self.apply(None, Data(), ONE).shape

    def apply(self, tagger: Tagger | None, data: Data, work: Work) -> Tagger:
        other = tiny_tagger("xlm-roberta", self.tokenizer, tags=())
        config = other.model.config
        config.hidden_size, config.num_hidden_layers = self.hidden, 1
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = type(other.model)(config, add_pooling_layer=False).eval()
        if self.tags:
            model = surgery.with_head(model, self.tags, seed=0)
        return replace(other, model=model, tags=self.tags)


def test_the_loss_of_words_is_the_formula() -> None:
    logits = torch.randn(7, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    taught = torch.randn(7, 5, generator=torch.Generator().manual_seed(1))
    taught[2] = torch.nan  # a word that the teacher has no subword for
    gold = torch.tensor([0, 1, 2, IGNORED, IGNORED, 4, IGNORED])
    method = replace(FAST, temperature=3.0, soft=0.7, gold=0.2)
    expected = torch.zeros(())
    for i in range(7):
        if i != 2:
            p, q = (taught[i] / 3).softmax(0), (logits[i] / 3).softmax(0)
            expected = expected + 0.7 * 9 * (p * (p / q).log()).sum()
        if gold[i] != IGNORED:
            expected = expected - 0.2 * logits[i].log_softmax(0)[gold[i]]
    found = method.word_loss(logits, {"gold": gold, "taught": taught})
    torch.testing.assert_close(found, expected / 7)
    found.backward()
    assert logits.grad is not None
    assert bool(logits.grad.isfinite().all())
    alone = replace(method, soft=0.0).word_loss(logits, {"gold": torch.full((7,), IGNORED)})
    assert float(alone.detach()) == 0.0  # a batch without a tag


def test_relations_are_compared_within_windows() -> None:
    tagger = tiny_tagger()
    windows = tagger.encoder.windows([s.words for s in tiny_corpus(11)])
    tensors = unpadded.row(windows, model=tiny_tagger().model, pad=1, renumber=torch.arange(len(tagger.tokenizer)))
    n = tensors["ids"].shape[1]
    theirs, ours = (torch.randn(n, width, generator=torch.Generator().manual_seed(width)) for width in (16, 8))
    ours.requires_grad_()
    total, count, at = torch.zeros(()), 0, 0
    for window in windows:
        part = slice(at, at + len(window.ids))
        at += len(window.ids)
        for head in range(4):
            a, b = (x[part].view(len(window.ids), 4, -1)[:, head] for x in (theirs, ours))
            p, q = ((x @ x.T / x.shape[1] ** 0.5).softmax(-1) for x in (a, b))
            total = total + (p * (p / q).log()).sum()
            count += len(window.ids)
    expected, found = total / count, relation_loss(theirs, ours, tensors, heads=4)
    torch.testing.assert_close(found, expected)
    # The gradient, which is written out, is that of the formula.
    (wanted,), (had,) = (torch.autograd.grad(3 * loss, [ours]) for loss in (expected, found))
    torch.testing.assert_close(had, wanted)
    assert float(wanted.abs().max()) > 1e-4


def test_relations_keep_float32_where_training_takes_bfloat16() -> None:
    tagger = tiny_tagger()
    windows = tagger.encoder.windows([s.words for s in tiny_corpus(11)])
    tensors = unpadded.row(windows, model=tiny_tagger().model, pad=1, renumber=torch.arange(len(tagger.tokenizer)))
    n = tensors["ids"].shape[1]
    theirs, ours = (torch.randn(n, width, generator=torch.Generator().manual_seed(width)) for width in (16, 8))
    gradients = []
    for low in (False, True):
        own = ours.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            loss = relation_loss(theirs, own, tensors, heads=4)
        loss.backward()
        gradients.append(own.grad)
    assert torch.equal(gradients[0], gradients[1])  # type: ignore[arg-type]
    assert bool(gradients[0].abs().sum() > 0)  # type: ignore[union-attr]


def test_relations_are_kept_for_no_gradient() -> None:
    """What autograd keeps grows with the subwords, and not with their pairs."""
    windows = tiny_tagger().encoder.windows([("Bade",) * 60] * 16)
    tensors = unpadded.row(windows, model=tiny_tagger().model, pad=1, renumber=torch.arange(100))
    own = torch.randn(tensors["ids"].shape[1], 16, requires_grad=True)
    kept: list[int] = []

    def keep(x: torch.Tensor) -> torch.Tensor:
        kept.append(x.numel())
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        relation_loss(torch.randn_like(own), own, tensors, heads=8)
    assert kept
    assert max(kept) <= 2 * own.numel()


@pytest.mark.parametrize("kept", ["hidden", "relations"])
def test_matching_brings_student_and_teacher_together(kept: str) -> None:
    """A student that matches nothing but hidden states, or relations, comes nearer to the teacher's."""
    teacher, data = tiny_tagger(), tiny_data()
    weights: dict[str, Any] = {"soft": 0.0, "gold": 0.0, kept: 1.0}
    seen: list[float] = []
    method = replace(FAST, epochs=12, rate=1e-2, student=(Other(hidden=12),), relation_heads=2, **weights)
    whole = fit._train

    def watched(model: Any, steps: Any, collate: Any, loss: Any, *rest: Any, **named: Any) -> None:
        def told(model: Any, tensors: Any) -> torch.Tensor:
            value: torch.Tensor = loss(model, tensors)
            seen.append(float(value.detach()))
            return value

        whole(model, steps, collate, told, *rest, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "_train", watched)
        student = method.apply(teacher, data, ONE)
    assert student.tags == teacher.tags
    assert np.mean(seen[-3:]) < 0.8 * np.mean(seen[:3])


def test_a_layer_of_the_student_matches_one_of_the_teachers() -> None:
    assert FAST.mapped(4, 12) == [2, 5, 8, 11]
    assert FAST.mapped(3, 12) == [3, 7, 11]
    assert FAST.mapped(5, 12) == [1, 3, 6, 8, 11]
    assert replace(FAST, layers=(0, 11)).mapped(2, 12) == [0, 11]


def test_a_student_agrees_with_its_teacher_by_its_answers_alone(text: Text) -> None:
    data = Data(tiny_corpus(200), tiny_corpus(60, seed=1, split="dev"), text)
    teacher = FineTune(epochs=12, batch=8, rate=5e-3).apply(tiny_tagger(tags=()), data, ONE)
    student = replace(FAST, epochs=8, rate=5e-3, gold=0.0, transfer=100).apply(teacher, data, ONE)
    sentences = tiny_corpus(60, seed=7).sentences
    answers = zip(teacher.tag(sentences), student.tag(sentences), strict=True)
    pairs = [(a, b) for x, y in answers for a, b in zip(x.tags, y.tags, strict=True)]
    assert len(student.shape.layers) == 1
    assert np.mean([a == b for a, b in pairs]) > 0.85


def test_every_epoch_reads_what_is_tagged_and_an_equal_part_of_the_rest() -> None:
    labelled = [True] * 10 + [False] * 11
    epochs = FAST.windows_read(labelled, epochs=3, seed=0)
    assert [epoch[:10] for epoch in epochs] == [list(range(10))] * 3
    rest = [epoch[10:] for epoch in epochs]
    assert sorted(len(part) for part in rest) == [3, 4, 4]
    assert sorted(i for part in rest for i in part) == list(range(10, 21))


def test_a_teacher_answers_once(text: Text, tmp_path: Path) -> None:
    asked: list[int] = []
    answers = predict.answers

    def counted(engine: Any, encoder: Any, sentences: Any, **options: Any) -> Any:
        asked.append(len(sentences))
        return answers(engine, encoder, sentences, **options)

    data, work = Data(tiny_corpus(20), None, text), replace(ONE, cache=tmp_path / "cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(predict, "answers", counted)
        patch.setattr("dinku.training.teacher_answers.PART", 16)
        first = replace(FAST, transfer=40).apply(tiny_tagger(), data, work)
        assert asked == [16, 4, 16, 16, 8]
        second = replace(FAST, transfer=40, temperature=6.0).apply(tiny_tagger(), data, work)
        replace(FAST, student=()).apply(tiny_tagger(), data, work)
        assert len(asked) == 5
        sorted((tmp_path / "cache").rglob("16.npy"))[0].unlink()
        again = replace(FAST, transfer=40).apply(tiny_tagger(), data, work)
        assert len(asked) == 6
        alone = replace(FAST, transfer=40).apply(tiny_tagger(), data, ONE)
        files = sorted((tmp_path / "cache").rglob("*.npy"))
        files[0].write_bytes(files[0].read_bytes()[:-3])
        files[1].write_bytes(b"")
        files[2].write_bytes(b"PK\x03\x04 no array")
        with open(files[3], "wb") as file:
            np.save(file, np.zeros((3, 3), np.float16))
        asked.clear()
        repaired = replace(FAST, transfer=40).apply(tiny_tagger(), data, work)
        assert len(asked) == 4
    assert repaired.digest == first.digest
    assert again.digest == first.digest == alone.digest != second.digest


def test_a_teacher_of_other_heads_answers_for_itself(tmp_path: Path) -> None:
    """What differs by its config alone has the same weights, and other answers."""
    corpus, work = tiny_corpus(8), replace(ONE, cache=tmp_path / "cache")
    one, other = tiny_tagger(), RegroupHeads(1).apply(tiny_tagger(), Data(), ONE)
    answers, others = (word_logits(t, corpus, work, precision="float32") for t in (one, other))
    assert one.digest != other.digest
    assert not np.allclose(answers, others, equal_nan=True)


def test_answers_beyond_float16_are_its_greatest() -> None:
    teacher = tiny_tagger()
    teacher.model.classifier.bias.data[:] = torch.tensor([1e9, -1e9, 3.0, 0.0, 0.0])
    answers = word_logits(teacher, tiny_corpus(3), ONE, precision="float32")
    assert np.isfinite(answers).all()
    assert answers[:, 0].tolist() == [65504.0] * len(answers)
    assert answers[:, 1].tolist() == [-65504.0] * len(answers)


def test_answers_stand_by_word() -> None:
    teacher = tiny_tagger()
    corpus = Corpus("odd", "train", (Sentence(("Bade", "\u200b", "x")), Sentence(()), Sentence(("Bade",) * 150)))
    answers = word_logits(teacher, corpus, ONE, precision="float32")
    assert answers.shape == (153, 5)
    tags = [tag for found in teacher.tag(corpus.sentences) for tag in found.tags]
    known: Any = np.isfinite(answers.astype(np.float32)).all(-1)
    assert [TAGS[i] for i in answers[known].argmax(-1)] == [t for t, k in zip(tags, known, strict=True) if k]
    assert known.sum() >= 152


@pytest.mark.parametrize("options", [{"hidden": 1.0, "student": (Other(hidden=12),)}, {"relations": 1.0}], ids=str)
def test_a_kill_changes_nothing(options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    method = replace(FAST, epochs=3, **options)
    expected = method.apply(tiny_tagger(), tiny_data(), ONE).digest
    monkeypatch.setattr(fit, "CHECKPOINT_SECONDS", 0.0)

    def stop(what: str, done: int, total: int) -> None:
        if what.startswith("distilling") and done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        method.apply(tiny_tagger(), tiny_data(), replace(ONE, folder=tmp_path / "work", progress=stop))
    reached: list[int] = []
    work = replace(ONE, folder=tmp_path / "work", progress=lambda what, done, _total: reached.append(done))
    assert method.apply(tiny_tagger(), tiny_data(), work).digest == expected
    assert min(r for r in reached if r) == 5


def test_text_alone_brings_an_encoder_nearer_to_its_teacher(text: Text) -> None:
    method = DistilText(epochs=4, batch=8, rate=5e-3, sentences=100, student=(KeepLayers((0,)),), precision="float32")
    teacher, data = tiny_tagger(), Data(None, None, text)
    before, after = (replace(method, epochs=n).apply(teacher, data, ONE) for n in (0, 4))
    assert after.tags == TAGS  # the head is the teacher's
    assert torch.equal(after.model.classifier.weight, teacher.model.classifier.weight)
    windows = teacher.encoder.windows([s.words for s in tiny_corpus(20, seed=9)])
    values = []
    for student in (before, after):
        with torch.no_grad(), state_loss(method, teacher, student, ONE) as matched, unpadded.reading(student.model):
            assert matched is not None
            whole = torch.arange(teacher.model.config.vocab_size)
            row = unpadded.row(windows, model=tiny_tagger().model, pad=1, renumber=whole)
            unpadded.read(student.model, row)
            values.append(float(matched.loss({**row, **matched.tensors(windows)})))
    assert values[1] < 0.7 * values[0]
    with pytest.raises(DinkuError, match="DistilText: there is no text"):
        method.apply(teacher, tiny_data(), ONE)
    with pytest.raises(DinkuError, match="hidden and relations are 0; give one of them a weight"):
        replace(method, relations=0.0)
    assert method.needs == {"text"}
    assert needs_of(replace(method, student=(TrimVocabulary(60),))) == {"text", "words"}


def test_zeros_of_the_student_stay() -> None:
    student = replace(FAST, student=(KeepLayers((1,)), Sparsify(0.5)), epochs=2).apply(tiny_tagger(), tiny_data(), ONE)
    weights = surgery.matrices(student.model).values()
    assert sum(int((w == 0).sum()) for w in weights) == round(0.5 * sum(w.numel() for w in weights))


def test_a_student_with_another_vocabulary_is_taught_by_word() -> None:
    method = replace(FAST, student=(TrimVocabulary(60), KeepLayers((0,))))
    student = method.apply(tiny_tagger(), tiny_data(), ONE)
    assert student.shape.vocabulary == 60
    assert replace(FAST, student=(Other(tokenizer="bytes"),)).apply(tiny_tagger(), tiny_data(), ONE).tags == TAGS


def test_what_it_needs_is_what_its_student_needs_and_the_text() -> None:
    assert FAST.needs == {"labels"}
    assert replace(FAST, transfer=5).needs == {"labels", "text"}
    assert needs_of(replace(FAST, student=(TrimVocabulary(60),))) == {"labels", "words"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"temperature": 0.0}, "Distil: temperature is 0.0; give a number from 0.01 to 1,000, such as 2"),
        ({"soft": -1.0}, "Distil: soft is -1.0; give a weight from 0 to 1,000,000"),
        ({"temperature": 1e308}, "Distil: temperature is 1e+308; give a number from 0.01 to 1,000"),
        ({"relations": 1e308}, "Distil: relations is 1e+308; give a weight from 0 to 1,000,000"),
        ({"soft": 0.0, "gold": 0.0}, "Distil: all weights are 0; give one of soft, gold, hidden, relations"),
        ({"transfer": -1}, "Distil: transfer is -1"),
        ({"layers": (-1,)}, "Distil: layers is (-1,)"),
        ({"layers": (0, 1)}, "name one of the teacher's for each of the student's"),
        ({"layers": (2,)}, "name one of the teacher's for each of the student's"),
        ({"transfer": 10}, "Distil: there is no text; name a folder as the study's text"),
        ({"student": (3,)}, "Distil: student is (3,); list methods"),
        (
            {"soft": 0.0, "transfer": 5},
            "unlabelled sentences teach nothing if only gold tags count; give one of soft",
        ),
        (
            {"student": (Other(("O", "B-ORG", "I-ORG")),)},
            "Distil: the student's tags O, B-ORG, I-ORG … aren't the teacher's",
        ),
        (
            {"student": (Other(tokenizer="bytes"),), "hidden": 1.0},
            "matched subword by subword, and the student reads others",
        ),
        ({"relations": 1.0, "relation_heads": 3}, "relation_heads is 3, which doesn't divide queries"),
    ],
)
def test_what_can_not_be_is_one_line(options: dict[str, Any], said: str) -> None:
    with pytest.raises(DinkuError, match=re.escape(said)):
        replace(FAST, **options).apply(tiny_tagger(), tiny_data(), ONE)


@pytest.mark.parametrize(
    ("method", "said"),
    [
        (replace(FAST, layers=(0, 1)), "name one of the teacher's for each of the student's"),
        (replace(FAST, layers=(7,)), "name one of the teacher's for each of the student's"),
        (replace(FAST, relations=1.0, relation_heads=3), "relation_heads is 3, which doesn't divide queries of 16"),
        (
            replace(FAST, hidden=1.0, student=(TrimVocabulary(60),)),
            "Distil: hidden states and relations are matched sub",
        ),
        (
            DistilText(student=(StartFresh(layers=1, heads=4, hidden=8, width=8, vocabulary=70),)),
            "DistilText: hidden states and relations are matched subword by subword, and the student reads others",
        ),
        (DistilText(student=(KeepLayers((2,)),)), "there is no layer 2 among 2"),
        (
            replace(FAST, student=(Other(("O", "B-X", "I-X")),)),
            "Distil: the student has 3 tags, the teacher 5; start from",
        ),
    ],
)
def test_what_can_not_be_is_declared_already(method: Distil | DistilText, said: str) -> None:
    with pytest.raises(DinkuError, match=re.escape(said)):
        method.declare(tiny_tagger().shape)


def test_a_student_may_be_deeper_where_no_layers_are_compared() -> None:
    deeper = replace(FAST, student=(StartFresh(layers=3, heads=2, hidden=8, width=8),))
    for how in (deeper, replace(deeper, relations=1.0, relation_heads=2)):
        assert len(how.apply(tiny_tagger(), tiny_data(), ONE).shape.layers) == 3
    with pytest.raises(DinkuError, match="name one of the teacher's for each of the student's"):
        replace(deeper, hidden=1.0).apply(tiny_tagger(), tiny_data(), ONE)


@pytest.mark.parametrize("swapped", [False, True])
def test_a_teacher_of_another_family_reads_with_positions_of_its_own(swapped: bool) -> None:
    """BERT counts positions from 0, XLM-R from the padding id plus 1: with the same weights they answer alike."""
    ones = tiny_tagger("xlm-roberta", "unigram", tags=())
    other = tiny_tagger("bert", "unigram", tags=())
    weights = ones.model.state_dict()
    for name, weight in other.model.state_dict().items():
        first = 2 if "position_embeddings" in name else 0
        weight.copy_(weights[name][0] if "token_type" in name else weights[name][first : first + len(weight)])
    teacher, student = (other, ones) if swapped else (ones, other)
    how = replace(FAST, hidden=1.0, relations=1.0, student=())
    windows = student.windows_of(64).windows([s.words for s in tiny_corpus()])[:4]
    whole = torch.arange(len(surgery.word_embeddings(student.model).weight))
    read = {"model": student.model, "pad": student.encoder.pad, "renumber": whole}
    with torch.no_grad(), state_loss(how, teacher, student, ONE) as matched, unpadded.reading(student.model):
        assert matched is not None
        row = unpadded.row(windows, **read) | matched.tensors(windows)
        unpadded.read(student.model, row)
        assert float(matched.loss(row)) < 1e-6


def test_windows_are_no_longer_than_a_teacher_that_is_matched_can_read() -> None:
    long = tuple(word for s in tiny_corpus() for word in s.words)[:200]
    data = Data(Corpus("long", "train", (Sentence(long, ("O",) * len(long), "one"),)))
    student = (StartFresh(layers=2, heads=4, hidden=16, width=24, positions=300),)
    for weights in ({"hidden": 1.0}, {"relations": 1.0}, {}):
        made = replace(FAST, student=student, **weights).apply(tiny_tagger(), data, ONE)  # type: ignore[arg-type]
        assert made.shape.positions == 300


def test_gold_tags_that_count_nothing_are_not_looked_at() -> None:
    teacher = tiny_tagger(tags=("O", "B-X", "I-X"))
    with pytest.raises(DinkuError, match=r"has the tag .*, which isn't among the head's"):
        FAST.apply(teacher, tiny_data(), ONE)
    assert replace(FAST, gold=0.0).apply(teacher, tiny_data(), ONE).tags == teacher.tags


def test_a_student_has_weights_of_its_own_and_is_copied_once(monkeypatch: pytest.MonkeyPatch) -> None:
    copies: list[int] = []
    copy = Tagger.copy

    def counted(self: Tagger) -> Tagger:
        copies.append(1)
        return copy(self)

    monkeypatch.setattr(Tagger, "copy", counted)
    for student in ((), (TrimVocabulary(82),), (KeepLayers((0,)),)):
        teacher = tiny_tagger()
        cut = replace(FAST, student=student).cut(teacher, tiny_data(), ONE)
        cut.model.classifier.bias.data += 1
        assert teacher.digest == tiny_tagger().digest
    assert len(copies) == 2  # KeepLayers made a copy itself


def test_text_without_a_subword_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("\u200b\n" * 9)
    data = Data(None, None, Text.open(str(tmp_path)))
    with pytest.raises(DinkuError, match="DistilText: nothing that it would read yields a subword; check the text"):
        DistilText(sentences=5).apply(tiny_tagger(), data, ONE)


def test_teacher_and_corpus_must_fit() -> None:
    with pytest.raises(DinkuError, match="the teacher has no tags; fine-tune it first"):
        FAST.apply(tiny_tagger(tags=()), tiny_data(), ONE)
    with pytest.raises(DinkuError, match="the teacher has no tags; fine-tune it first"):
        FAST.declare(tiny_tagger(tags=()).shape)
    with pytest.raises(DinkuError, match="has the tag B-PER, which isn't among the head's"):
        FAST.apply(tiny_tagger(tags=("O", "B-LOC", "I-LOC")), tiny_data(), ONE)


def test_losses_do_not_depend_on_what_a_batch_holds_of_each() -> None:
    """All words of a batch weigh the same: a lone tagged word isn't worth more than the others."""
    logits = torch.randn(10, 5, generator=torch.Generator().manual_seed(0))
    gold = torch.tensor([1] + [IGNORED] * 9)
    found = replace(FAST, soft=0.0).word_loss(logits, {"gold": gold})
    torch.testing.assert_close(found, F.cross_entropy(logits[:1], gold[:1]) / 10)
