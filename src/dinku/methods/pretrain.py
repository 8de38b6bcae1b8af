"""Pretrain: masked-LM training of an encoder on unlabelled text in several languages, from nothing or continued.

What it does: hides subwords of the text and trains the encoder to predict them; a masked-LM head replaces a tag head. When it
helps: to adapt an encoder to languages of which it has seen little, or to train a new one after `StartFresh`. What it needs:
unlabelled text. What it cannot do: tag; fine-tune the encoder afterwards. Source: Devlin et al. 2019 (arXiv 1810.04805) for the
loss, Conneau et al. 2019 (arXiv 1911.02116) for one language a window and temperature sampling over languages, Ogueji et al.
2021 (AfriBERTa) for doing it on little text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from dinku.data.unlabelled import Text, draws
from dinku.errors import DinkuError, plural
from dinku.method import Category, Data, Need, Planned, Reading, Work
from dinku.model.encode import SubwordEncoder, SubwordWindow
from dinku.model.shape import Shape
from dinku.model.windows import Ids
from dinku.training.settings import TrainingSettings

if TYPE_CHECKING:
    import torch

    from dinku.nn.tagger import Tagger

HIDDEN = 0.15  # the share of a window's subwords that is to be predicted
AS_MASK, AS_ANY = 0.8, 0.1  # the shares of these that are shown as <mask>, and as any other subword
LINES = 10_000  # read at a time


@dataclass(frozen=True)
class Pretrain(TrainingSettings):
    """Train for ``steps`` of ``batch`` windows, each of ``window`` subwords of one language, packed end to end.

    Windows of a language are drawn in proportion to the number of its windows to the power of ``alpha``. ``languages`` are by
    default all languages of the text; as a student's method it reads only the train split's languages. In each window 15 % of
    the subwords are to be predicted: 80 % of these are masked, 10 % are replaced by any subword, and 10 % stay as they are. All
    rows of the word embeddings are trained. `dinku.training.settings.TrainingSettings` describes the other fields.
    """

    rate: float = 1e-4
    batch: int = 32
    window: int = 128
    warmup: float = 0.1
    weight_decay: float = 0.01
    steps: int = 10_000
    alpha: float = 0.3
    languages: tuple[str, ...] = ()

    version: ClassVar[int] = 1
    category: ClassVar[Category] = "pretraining"
    needs: ClassVar[frozenset[Need]] = frozenset({"text"})

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(
            steps=(self.steps >= 0, "give 0 or more"),
            sparsity=(not self.sparsity or self.steps > 0, "give a step or more in which it rises"),
            alpha=(0 <= self.alpha <= 1, "give a number from 0 to 1"),
            languages=(len(set(self.languages)) == len(self.languages), "name each language once"),
        )

    @property
    def text_languages(self) -> tuple[str, ...]:
        return self.languages

    @property
    def reads(self) -> Reading:
        return Reading(text_subwords=self.steps * self.batch * self.window)

    def resolve(self, tagger: Tagger | Planned | None, data: Data) -> Self:
        if data.text is not None:
            self._check(data.text)
        return self

    def _check(self, text: Text) -> None:
        if unknown := [language for language in self.languages if language not in text.files]:
            remedy = f"choose from {', '.join(text.languages)}"
            raise DinkuError(f"has no language {unknown[0]!r}", where=text.name, remedy=remedy)

    def declare(self, shape: Shape) -> Shape:
        if not self.steps:
            return shape
        headed = shape if shape.masked_lm else shape.with_masked_lm()
        return self.trained(headed, headed.tags, pooled=headed.pooled)

    def apply(self, tagger: Tagger, data: Data, work: Work) -> Tagger:
        import torch

        from dinku.nn import surgery
        from dinku.training import fit

        tagger.check_changeable(self)
        self.declare(tagger.shape)
        text = data.text_for(self)
        encoder = tagger.windows_of(self.window)
        if encoder.length < self.window:
            problem = f"window is {self.window}, and the model reads {plural(encoder.length, 'subword')} at most"
            raise DinkuError(problem, where="Pretrain", remedy=f"give {encoder.length} or fewer")
        if not self.steps:
            return tagger.copy()
        if surgery.has_masked_lm(tagger.model):
            masked = tagger.copy()
        else:
            masked = replace(tagger, model=surgery.with_masked_lm(tagger.model, seed=work.seed), tags=())
        hidden = Hidden(tagger, encoder, self._streams(text, encoder, work), self, work.seed)

        def targets(batch: Sequence[int]) -> dict[str, Any]:
            return {"gold": torch.from_numpy(np.concatenate([hidden.gold(i) for i in batch]))}

        examples = fit.Examples(hidden, [range(len(hidden))], targets, hidden.lengths)
        return fit.fit(masked, examples, fit.Objective(masked_loss, all_rows=True), self, work, note="pretraining")

    def _streams(self, text: Text, encoder: SubwordEncoder, work: Work) -> list[NDArray[np.int32]]:
        """The subwords of each language, end to end; raises `DinkuError` if there are none at all."""
        self._check(text)
        out = []
        for language in self.languages or text.languages:
            lines, read, parts = text.lines(language), 0, [np.zeros(0, np.int32)]
            while part := list(islice(lines, LINES)):
                read += len(part)
                work.progress(f"{plural(read, 'line')} of {language} read", 0, self.steps)
                parts.append(encoder.stream(part))
            out.append(np.concatenate(parts))
        if not any(map(len, out)):
            raise DinkuError("its files hold no text", where=text.name, remedy="fill them, a sentence a line")
        return out


class Hidden(Sequence[SubwordWindow]):
    """The windows that training reads, each with some of its subwords hidden.

    The languages of windows and their places in the text are drawn beforehand; a window is made when it is asked for. Its ``ids``
    are the subwords as they are shown, ``at`` the places of the hidden ones, and `gold` gives the subwords that are hidden there.
    What is hidden depends only on the seed and the window's number, so that a resumed run hides the same.
    """

    def __init__(
        self, tagger: Tagger, encoder: SubwordEncoder, streams: Sequence[NDArray[np.int32]], how: Pretrain, seed: int
    ) -> None:
        tokenizer = tagger.tokenizer
        if tokenizer.mask_token_id is None:
            remedy = "name one in tokenizer_config.json, as mask_token"
            raise DinkuError("its tokenizer has no mask token", where=tagger.name, remedy=remedy)
        self.mask = tokenizer.mask_token_id
        self.any = np.array(sorted({*tokenizer.get_vocab().values()} - {*tokenizer.all_special_ids}))
        self.streams, self.seed = streams, seed
        self.before, self.after = encoder.around
        self.room = encoder.length - len(self.before) - len(self.after)
        sizes = [-(-len(stream) // self.room) for stream in streams]
        drawn = draws(sizes, how.steps * how.batch, alpha=how.alpha, seed=seed)
        self.language = np.repeat(np.arange(len(streams)), [len(d) for d in drawn])
        self.place = np.concatenate(drawn)
        ends = np.array([len(stream) for stream in streams])[self.language]
        around = encoder.length - self.room
        self.lengths = (np.minimum(ends - self.place * self.room, self.room) + around).tolist()

    def __len__(self) -> int:
        return len(self.place)

    def __getitem__(self, i: Any) -> Any:
        return self._made(i)[0]

    def gold(self, i: int) -> Ids:
        """The hidden subwords [hidden] of a window."""
        return self._made(i)[1]

    def _made(self, i: int) -> tuple[SubwordWindow, Ids]:
        start = self.place[i] * self.room
        inside = self.streams[self.language[i]][start : start + self.room].astype(np.int64)
        random = np.random.default_rng((self.seed, i))
        at = np.sort(random.permutation(len(inside))[: max(1, round(HIDDEN * len(inside)))])
        gold, how = inside[at], random.random(len(at))
        others = self.any[random.integers(0, len(self.any), len(at))]
        inside[at] = np.where(how < AS_MASK, self.mask, np.where(how < AS_MASK + AS_ANY, others, gold))
        ids = np.r_[self.before, inside, self.after].astype(np.int64)
        return SubwordWindow(i, ids, at + len(self.before), at), gold


def masked_loss(model: Any, batch: dict[str, Any]) -> torch.Tensor:
    """Cross-entropy, the mean over the hidden subwords, of logits [hidden, vocabulary] computed there alone."""
    import torch

    from dinku.nn import surgery
    from dinku.training import unpadded

    states = unpadded.read(model.base_model, batch).last_hidden_state[0]
    logits = surgery.masked_logits(model, states.index_select(0, batch["speaks"].to(states.device)))
    return torch.nn.functional.cross_entropy(logits.float(), batch["gold"])
