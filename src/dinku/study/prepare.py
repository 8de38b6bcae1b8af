"""A study's recipes made ready to run: their bases, shapes and addresses, and what each recipe is evaluated on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from tokenizers import Tokenizer

from dinku.data.corpus import Corpus
from dinku.data.perturb import Names, Perturbation, changed
from dinku.errors import DinkuError, located
from dinku.method import Data, Method, needs_of, with_inner
from dinku.methods.fresh import StartFresh
from dinku.methods.vocabulary import TrimVocabulary
from dinku.model import inspect
from dinku.model.folder import ModelFolder
from dinku.model.kinds import kind_of
from dinku.model.shape import Costs
from dinku.study.definition import Entry
from dinku.study.recipe import Recipe, title_of
from dinku.training.settings import TrainingSettings

# Encoders whose shape is known without having their files.
PUBLISHED = {
    "castorini/afriberta_small": StartFresh(preset="afriberta_small"),
    "castorini/afriberta_base": StartFresh(preset="afriberta_base"),
    "castorini/afriberta_large": StartFresh(preset="afriberta_large"),
    "intfloat/multilingual-e5-small": StartFresh(12, 12, 384, 1536, 250_037, 512, "bert"),
}


LINE = 40  # subwords in a line of text, assumed by a plan that has no text to count


@dataclass(frozen=True)
class StartingModel:
    """The model that recipes start from.

    ``special`` is the number of special tokens, 0 if it can't be read without torch. In a plan, a model may not be ``here``, and
    only its shape is known.
    """

    folder: ModelFolder
    digest: str
    shape: Costs
    special: int
    here: bool = True

    @classmethod
    def of(cls, name: str) -> Self:
        """A model in a folder, read without torch. Weights that aren't zero are counted if that is possible without torch."""
        folder = ModelFolder.of(name)
        shape = kind_of(folder).shape(folder)
        nonzero = inspect.count_nonzero(folder, shape)
        counted = shape if nonzero is None else shape.counted(nonzero)
        file = folder.path / "tokenizer.json"
        special = len(Tokenizer.from_file(str(file)).get_added_tokens_decoder()) if file.is_file() else 0
        return cls(folder, folder.digest, counted, special)


@dataclass(frozen=True)
class Prepared:
    """A recipe with absolute values, and the addresses and declared shapes of the base and of every prefix."""

    entry: Entry
    recipe: Recipe
    data: Data
    base: StartingModel
    addresses: tuple[str, ...]
    shapes: tuple[Costs, ...]

    @property
    def address(self) -> str:
        return self.addresses[-1]

    @property
    def train(self) -> Corpus:
        assert self.data.train is not None
        return self.data.train

    @property
    def title(self) -> str:
        return f"{title_of(self.entry.arm, self.entry.values)} seed {self.recipe.seed}"


@dataclass(frozen=True)
class Subject:
    """Sentences of one language to be tagged: ``corpus``, taken from ``whole`` and possibly perturbed.

    A perturbed ``corpus`` keeps its name, and ``changed`` counts the sentences that the perturbation changed.
    """

    corpus: Corpus
    whole: Corpus
    perturbation: str = ""
    changed: int = 0

    @property
    def key(self) -> tuple[str, ...]:
        """Its part of the key of a row, for rows that are the same on every machine."""
        return self.corpus.fingerprint, self.corpus.languages[0], self.corpus.split, self.perturbation, ""

    def perturbed(self, name: str, names: Names | None) -> Subject:
        """The same sentences perturbed, by the seed 0."""
        with located(self.corpus.name):
            after = Perturbation.named(name).apply(self.corpus, names=names)
        other = round(changed(self.corpus, after) * len(after))
        after = replace(after, name=self.corpus.name, part_of=self.corpus.part_of)
        return Subject(after, self.whole, name, other)


def prepare(entry: Entry, data: Data, base: StartingModel, *, where: str, without_text: bool) -> Prepared:
    """A recipe of a study made ready to run: resolved, declared and checked before anything is trained.

    Raises `DinkuError` for a step that can't work with the data, or if no step gives the tagger tags. ``without_text`` allows
    steps to need text that isn't here.
    """

    def check(step: Method) -> None:
        _check_size(step, base.special)
        for each in with_inner(step):
            each.can_use(data.seen_by(each))
        if not without_text:
            _check_text(step, data)

    recipe, shapes = entry.recipe.resolved(data, base.shape, where=where, check=check)
    if not shapes[-1].tags:
        problem = f"no step gives {recipe.base}, an encoder without tags, any"
        raise DinkuError(problem, where=where, remedy="add FineTune to its steps")
    return Prepared(entry, recipe, data, base, tuple(recipe.addresses(base.digest, data)), shapes)


def _check_size(step: Method, special: int) -> None:
    """Raise `DinkuError` for a vocabulary smaller than its special tokens. Only reading the text tells what that needs."""
    for each in with_inner(step):
        if isinstance(each, TrimVocabulary) and each.size < special:
            problem = f"size is {each.size:,}, and {special:,} special tokens stay"
            remedy = f"give more than {special:,}, as single characters of the text stay, too"
            raise DinkuError(problem, where="TrimVocabulary", remedy=remedy)


def _check_text(step: Method, data: Data) -> None:
    """Raise `DinkuError` if a step reads more unlabelled text than there is."""
    if "text" in needs_of(step) and data.text is None:
        problem = "reads unlabelled text, and the study names none"
        remedy = "add text: and a folder of <language>.txt files"
        raise DinkuError(problem, where=type(step).__name__, remedy=remedy)
    for each in with_inner(step):
        if text := data.seen_by(each).text:
            text.check(each.reads.text_lines or 1, text.languages)


def foreign(step: Method, data: Data) -> str:
    """A warning if the text that a step reads is in none of the train split's languages; else empty."""
    text = data.seen_by(step).text
    if text is None or data.train is None or step.text_languages is not None:
        return ""
    if not {*text.languages}.isdisjoint(data.train.languages):
        return ""
    there, wanted = ", ".join(text.languages), ", ".join(data.train.languages)
    return f"{type(step).__name__} reads text in {there}, as {text.name} has none in the train split's {wanted}"


def memory_needed(step: Method, before: Costs, after: Costs) -> int:
    """The fewest bytes of memory that a step needs: both taggers, and for a training gradients and Adam's two moments.

    Word embeddings have gradients and moments only for the rows that are read, and activations come on top. A step that needs
    more than there is therefore can't be done.
    """
    learnt = after.parameters - after.parts.get("word embeddings", 0) if isinstance(step, TrainingSettings) else 0
    return before.bytes + after.bytes + 3 * 4 * learnt
