"""A study's recipes with their bases, shapes and addresses, and what each is evaluated on, before anything runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Self

from tokenizers import Tokenizer

from dinku.data.corpus import Corpus
from dinku.data.perturb import Names, Perturbation, changed
from dinku.errors import DinkuError
from dinku.method import Data, Method, with_students
from dinku.methods.fresh import StartFresh
from dinku.methods.vocabulary import TrimVocabulary
from dinku.model import inspect
from dinku.model.folder import ModelFolder
from dinku.model.kinds import kind_of
from dinku.model.shape import Costs
from dinku.study.definition import Entry
from dinku.study.recipe import Recipe
from dinku.training.settings import Trained

# Encoders whose shape is known without their files.
PUBLISHED = {
    "castorini/afriberta_small": StartFresh(preset="afriberta_small"),
    "castorini/afriberta_base": StartFresh(preset="afriberta_base"),
    "castorini/afriberta_large": StartFresh(preset="afriberta_large"),
    "intfloat/multilingual-e5-small": StartFresh(12, 12, 384, 1536, 250_037, 512, "bert"),
}


LINE = 40  # subwords in a line of text, where a plan has no text to count


@dataclass(frozen=True)
class StartingModel:
    """What recipes start from. ``special`` tokens are 0 where they can't be told without torch; a plan may know a shape alone."""

    folder: ModelFolder
    digest: str
    shape: Costs
    special: int
    here: bool = True

    @classmethod
    def of(cls, name: str) -> Self:
        """Look at a model without torch: its weights are counted where they can be."""
        folder = ModelFolder.of(name)
        shape = kind_of(folder).shape(folder)
        nonzero = inspect.count_nonzero(folder, shape)
        counted = shape if nonzero is None else shape.counted(nonzero)
        file = folder.path / "tokenizer.json"
        special = len(Tokenizer.from_file(str(file)).get_added_tokens_decoder()) if file.is_file() else 0
        return cls(folder, folder.digest, counted, special)


@dataclass(frozen=True)
class Prepared:
    """A recipe with absolute values, and the addresses and declared shapes of its prefixes."""

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
        values = " ".join(f"{key}={value}" for key, value in self.entry.values.items())
        return " ".join(part for part in (self.entry.arm, values, f"seed {self.recipe.seed}") if part)


@dataclass(frozen=True)
class Subject:
    """Sentences of one language to be tagged, of ``whole`` in its split, and how they were perturbed, if they were.

    ``corpus`` keeps the name of what it was made of; ``changed`` sentences of it are other than they were there.
    """

    corpus: Corpus
    whole: Corpus
    perturbation: str = ""
    changed: int = 0

    @property
    def key(self) -> tuple[str, ...]:
        """What tells it in the key of a row that isn't of one machine."""
        return self.corpus.fingerprint, self.corpus.languages[0], self.corpus.split, self.perturbation, ""

    def perturbed(self, name: str, names: Names | None) -> Subject:
        """It perturbed, by the seed 0."""
        with placed(self.corpus.name):
            after = Perturbation.named(name).apply(self.corpus, names=names)
        other = round(changed(self.corpus, after) * len(after))
        return Subject(replace(after, name=self.corpus.name), self.whole, name, other)


@contextmanager
def placed(where: str) -> Iterator[None]:
    """Say of what is refused within the block where it stands."""
    try:
        yield
    except DinkuError as error:
        inner = f"{where}: {error.where}" if error.where else where
        raise DinkuError(error.problem, where=inner, remedy=error.remedy, status=error.status) from None


def check_size(step: Method, special: int) -> None:
    """Refuse a vocabulary that hasn't room for the special tokens; what the text needs is known when it is read."""
    for each in with_students(step):
        if isinstance(each, TrimVocabulary) and each.size < special:
            problem = f"size is {each.size:,}, and {special:,} special tokens stay"
            remedy = f"give more than {special:,}, as single characters of the text stay, too"
            raise DinkuError(problem, where="TrimVocabulary", remedy=remedy)


def check_text(step: Method, data: Data) -> None:
    """Refuse a step that reads unlabelled text where there is none, or more of it than there is, before anything is trained."""
    if "text" in step.needs and data.text is None:
        problem, remedy = (
            "reads unlabelled text, and the study names none",
            "add text: and a folder of <language>.txt files",
        )
        raise DinkuError(problem, where=type(step).__name__, remedy=remedy)
    for each in with_students(step):
        if text := data.of(each).text:
            text.check(getattr(each, "transfer", 0) or getattr(each, "sentences", 0) or 1, text.languages)


def foreign(step: Method, data: Data) -> str:
    """What is odd about the text that a step reads: that it is in none of the languages of the train split."""
    text = data.of(step).text
    if text is None or data.train is None or hasattr(step, "languages"):
        return ""
    if not {*text.languages}.isdisjoint(data.train.languages):
        return ""
    there, wanted = ", ".join(text.languages), ", ".join(data.train.languages)
    return f"{type(step).__name__} reads text in {there}, as {text.name} has none in the train split's {wanted}"


def memory_needed(step: Method, before: Costs, after: Costs) -> int:
    """The bytes that a step holds at least: both taggers, and where it learns gradients and Adam's two moments.

    Word embeddings have these only for the rows that are read, and activations come on top, so that what needs more than
    there is can't be done.
    """
    learnt = after.parameters - after.parts.get("word embeddings", 0) if isinstance(step, Trained) else 0
    return before.bytes + after.bytes + 3 * 4 * learnt
