"""StartFresh: a new encoder with random weights and, on request, a new vocabulary from the study's text.

What it removes: everything that was learnt. When it helps: before `Pretrain`, to make an encoder for languages that others
leave out, and as a student of any shape. What it needs: text in the languages, to make a vocabulary. What it cannot do: tag
anything well before it is trained. Source: AfriBERTa (Ogueji et al. 2021) for the shapes and the vocabulary: SentencePiece's
Unigram with byte fallback, under XLM-R's table of special tokens; Conneau et al. 2019 (arXiv 1911.02116) for temperature
sampling over languages.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from dinku.errors import DinkuError, plural
from dinku.method import Category, Data, Need, Seeded, Validated, Work
from dinku.model.shape import EncoderShape, Layer, Shape

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from dinku.data.unlabelled import Text
    from dinku.nn.tagger import Tagger

Family = Literal["", "bert", "distilbert", "roberta", "xlm-roberta"]
Preset = Literal["", "afriberta_small", "afriberta_base", "afriberta_large"]

_AFRIBERTA = {"heads": 6, "hidden": 768, "width": 3072, "vocabulary": 70_006, "positions": 514, "family": "xlm-roberta"}
PRESETS: dict[str, dict[str, Any]] = {
    "afriberta_small": {"layers": 4, **_AFRIBERTA},
    "afriberta_base": {"layers": 8, **_AFRIBERTA},
    "afriberta_large": {"layers": 10, **_AFRIBERTA},
}
_TYPES = {
    "bert": 2,
    "distilbert": 0,
    "roberta": 1,
    "xlm-roberta": 1,
}  # types of tokens in the published models of a family
_BEYOND = 2  # <pad> and <mask>, which XLM-R's table has beside SentencePiece's pieces


@dataclass(frozen=True)
class StartFresh(Seeded, Validated):
    """Start from an encoder of ``layers``, ``heads``, ``hidden`` size and feed-forward ``width``, drawn from the seed.

    ``preset`` is replaced at once by the numbers that it stands for: *afriberta_small*, *_base* or *_large*. ``positions`` and
    ``family`` are by default the tagger's. ``vocabulary`` is the exact number of pieces of a new tokenizer, trained on at most
    ``lines`` of the study's text, in the train split's languages if it has any of them. Lines of a language are drawn in
    proportion to their number to the power of ``alpha``. The tokenizer is the same for every seed. With 0 the tagger's
    tokenizer stays.
    """

    layers: int = 0
    heads: int = 0
    hidden: int = 0
    width: int = 0
    vocabulary: int = 0
    positions: int = 0
    family: Family = ""
    alpha: float = 0.3
    lines: int = 1_000_000
    preset: Preset = ""

    version: ClassVar[int] = 1
    category: ClassVar[Category] = "start"
    takes: ClassVar[tuple[type, ...]] = (EncoderShape,)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.preset:
            numbers = PRESETS[self.preset]
            if given := [name for name in numbers if getattr(self, name)]:
                problem = f"preset is {self.preset}, and {given[0]} is given too"
                raise DinkuError(problem, where="StartFresh", remedy="give a preset, or numbers")
            for name, value in {**numbers, "preset": ""}.items():
                object.__setattr__(self, name, value)
        for name in ("layers", "heads", "hidden", "width", "lines"):
            if getattr(self, name) < 1:
                problem = f"{name} is {getattr(self, name)}"
                remedy = f"give 1 or more, or a preset, one of {', '.join(get_args(Preset)[1:])}"
                raise DinkuError(problem, where="StartFresh", remedy=remedy)
        for name in ("vocabulary", "positions"):
            if getattr(self, name) < 0:
                raise DinkuError(f"{name} is {getattr(self, name)}", where="StartFresh", remedy="give 0 or more")
        if self.hidden % self.heads:
            problem = f"hidden is {self.hidden}, which isn't a multiple of {plural(self.heads, 'head')}"
            raise DinkuError(problem, where="StartFresh", remedy="choose heads that divide it")
        if not 0 <= self.alpha <= 1:
            raise DinkuError(f"alpha is {self.alpha}", where="StartFresh", remedy="give a number from 0 to 1")

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"text"}) if self.vocabulary else frozenset()

    @property
    def own_vocabulary(self) -> bool:
        return bool(self.vocabulary)

    def declare(self, shape: Shape) -> Shape:
        family = self.family or shape.family
        if family not in _TYPES:
            remedy = f"give family, one of {', '.join(_TYPES)}"
            raise DinkuError(f"can't make a fresh encoder of the type {family}", where="StartFresh", remedy=remedy)
        new = Shape(
            family=family,
            vocabulary=self.vocabulary or shape.vocabulary,
            positions=self.positions or shape.positions,
            types=_TYPES[family],
            hidden=self.hidden,
            layers=(Layer(self.heads, self.hidden // self.heads, self.width),) * self.layers,
            tags=0,
            zeros=0,
            nonzero=(0, 0),
        )
        # Biases and padding rows start at zero, and norms at one. A random weight is hardly ever zero.
        drawn = sum(new.weights(embeddings=True)) + (new.positions + new.types - 1) * new.hidden
        ones = new.parts["layer norms"] // 2
        return replace(new, nonzero=(drawn + ones - new.parameters // 1000, new.parameters))

    def apply(self, tagger: Tagger, data: Data, work: Work) -> Tagger:
        from dinku.model.encode import window_of
        from dinku.nn import surgery

        tokenizer = copy.deepcopy(tagger.tokenizer)
        if self.vocabulary:
            tokenizer = self._tokenizer(data.text_for(self), work)
        shape = self.declare(tagger.shape)
        window = window_of(shape, tokenizer.pad_token_id, float("inf"))
        if window < 8:
            problem = f"positions is {shape.positions}, room for windows of {plural(window, 'subword')}"
            raise DinkuError(problem, where="StartFresh", remedy="give more")
        tokenizer.model_max_length = window
        special = {name: getattr(tokenizer, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
        model = surgery.fresh(shape, seed=work.seed, **special)
        return replace(tagger, model=model, tokenizer=tokenizer, tags=(), sparse=())

    def _tokenizer(self, text: Text, work: Work) -> PreTrainedTokenizerFast:
        """A tokenizer of exactly `vocabulary` pieces; raises `DinkuError` if the text has too little or too much for that."""
        import io

        import sentencepiece

        from dinku.nn.tokenizer import sentencepiece_tokenizer

        total = 0

        def lines() -> Iterator[str]:
            nonlocal total
            for total, line in enumerate(text.drawn(self.lines, text.languages, alpha=self.alpha), 1):
                if total % 10_000 == 1:
                    work.progress("reading for a vocabulary", total, self.lines)
                yield line

        model = io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=lines(),
                model_writer=model,
                model_type="unigram",
                vocab_size=self.vocabulary - _BEYOND,
                byte_fallback=True,
                character_coverage=0.9995,
                max_sentence_length=1 << 24,  # by default it skips lines of more than 4,192 bytes
                num_threads=16,  # not this machine's number, because sums depend on it
                minloglevel=2,
            )
        except (RuntimeError, OSError) as error:
            reason = str(error).strip().splitlines()[-1].rsplit("] ", 1)[-1][:200]
            if reason.startswith("Vocabulary size"):  # SentencePiece's numbers, turned into those that a user gives
                reason = re.sub(r"\d+", lambda found: str(int(found[0]) + _BEYOND), reason)
            problem = f"can't make {self.vocabulary:,} pieces from {plural(total, 'line')} ({reason})"
            raise DinkuError(problem, where=text.name, remedy="choose another vocabulary, or add text") from None
        return sentencepiece_tokenizer(model.getvalue(), where="StartFresh")
