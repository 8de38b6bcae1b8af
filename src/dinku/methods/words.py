"""StartWords: a new word network, which reads whole words by hashed features instead of subwords by attention.

What it removes: the whole encoder; in its place stand a table of a few thousand embeddings and a few convolutions, some hundred
times smaller and faster. When it helps: as the student of `Distil`, with as much unlabelled text as there is, for the languages
of that text. What it needs: nothing; whatever trains it needs tagged sentences. What it cannot do: tag languages that it never
read, where an encoder that was pretrained on many languages still finds about half of the names.
Source: spaCy's tok2vec (Miranda et al. 2022, arXiv 2212.09255): hashed embeddings of several features of a word, mixed by
a maxout layer and read by residual maxout convolutions (Collobert et al. 2011 for convolutions over words).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, ClassVar

from dinku.errors import DinkuError
from dinku.method import Category, Data, Need, Seeded, Validated, Work
from dinku.model.word_features import MOST_HASHES
from dinku.model.word_shape import WordShape

if TYPE_CHECKING:
    from dinku.model.sentence_tagger import SentenceTagger
    from dinku.model.shape import Costs
    from dinku.nn.word_tagger import WordTagger

MOST_ROWS = 10_000_000


@dataclass(frozen=True)
class StartWords(Seeded, Validated):
    """Start from a word network with random weights from the seed; see `dinku.model.word_shape.WordShape`.

    ``features`` of a word are those of `dinku.model.word_features.WordFeatures`, each hashed by ``hashes`` functions to one table
    of ``rows`` embeddings of ``embedding`` numbers. ``width`` is the size of a word's vector, ``depth`` how many convolutions
    read it, each over ``window`` words on either side, ``pieces`` of how many linear functions a maxout layer takes the largest.

    >>> from dinku.methods import StartWords
    >>> StartWords(rows=5000, depth=2).rows
    5000
    """

    features: tuple[str, ...] = ("word", "prefix1", "prefix2", "prefix3", "suffix1", "suffix2", "suffix3", "shape")
    rows: int = 12_000
    hashes: int = MOST_HASHES
    embedding: int = 96
    width: int = 96
    depth: int = 4
    window: int = 1
    pieces: int = 3

    version: ClassVar[int] = 1
    category: ClassVar[Category] = "start"
    needs: ClassVar[frozenset[Need]] = frozenset()

    @property
    def own_vocabulary(self) -> bool:
        return True

    def __post_init__(self) -> None:
        super().__post_init__()
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, int) and not 1 <= value <= MOST_ROWS:
                remedy = f"give a number from 1 to {MOST_ROWS:,}"
                raise DinkuError(f"{each.name} is {value:,}", where="StartWords", remedy=remedy)
        self._shape.word_features  # noqa: B018  # which refuses features that there aren't

    @property
    def _shape(self) -> WordShape:
        return WordShape(**{each.name: getattr(self, each.name) for each in fields(self)}, tags=0)

    def declare(self, shape: Costs) -> WordShape:
        new = self._shape
        matrices = sum(rows * columns for rows, columns in new.matrices.values()) - new.embedding
        ones = new.parts["layer norms"] // 2
        return replace(new, nonzero=(matrices + ones - new.parameters // 1000, matrices + ones))

    def apply(self, tagger: SentenceTagger, data: Data, work: Work) -> WordTagger:
        from dinku.nn.word_network import fresh_network
        from dinku.nn.word_tagger import WordTagger

        return WordTagger(fresh_network(self._shape, seed=work.seed), ())
