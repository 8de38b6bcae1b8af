"""The sizes of encoders that no family describes: measured on an empty model, whose weights take no memory.

dinku writes the measurement to config.json, as ``dinku_measured``, so that it can be read without torch.
"""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar

from pydantic import Field, ValidationError

from dinku.errors import DinkuError, reason
from dinku.model.family import check_readable, described, known, model_types, refusal
from dinku.model.folder import ModelFolder, is_pooled, model_tags
from dinku.model.shape import FLOAT32, EncoderShape, Scheme, Shape, scheme_of
from dinku.schema import Record, validation_error

KEY = "dinku_measured"
MOST = 4_000_000_000  # parameters: the largest encoder that is measured


class Measurement(Record, strict=True):
    """What was measured of an encoder: the ``width`` of its word embeddings, its linear layers, and its other parameters.

    The head has ``head_other`` parameters, its matrices ``head_matrices``, and for each tag ``head_tag``, including a bias if
    that is one more than the number of features read. All linear layers read ``read`` features, and those of the head
    ``head_read``; features that several layers read count once. ``encoder`` lists the first words of the names of the encoder's
    weights.
    """

    hidden: int = Field(ge=1, le=1_000_000)
    depth: int = Field(ge=1, le=1000)
    width: int = Field(ge=1, le=1_000_000)
    positions: int = Field(ge=1, le=10_000_000)
    offset: bool
    linear: tuple[tuple[int, int, int], ...]
    read: int = Field(ge=0)
    other: int = Field(ge=0)
    head_other: int = Field(ge=0)
    head_linear: tuple[tuple[int, int, int], ...]
    head_tag: int = Field(ge=1)
    head_read: int = Field(ge=0)
    encoder: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MeasuredShape(EncoderShape):
    """The sizes of an encoder whose family isn't described, with a tag head (``tags == 0``: none); see `Shape` for the rest.

    Only the rows of its word embeddings can be cut.
    """

    family: str
    vocabulary: int
    measured: Measurement
    tags: int
    zeros: int
    nonzero: tuple[int, int]
    spread: frozenset[str] = frozenset()
    scheme: Scheme = FLOAT32
    kept: int = 0
    pooled: ClassVar[bool] = False

    @property
    def hidden(self) -> int:  # type: ignore[override]
        return self.measured.hidden

    @property
    def positions(self) -> int:  # type: ignore[override]
        return self.measured.positions

    @property
    def depth(self) -> int:
        return self.measured.depth

    @property
    def offset(self) -> bool:
        return self.measured.offset

    @property
    def masked_lm(self) -> bool:
        """Always false: the masked-LM head of a checkpoint isn't opened."""
        return False

    @property
    def masked_lm_multiply_adds(self) -> int:
        return 0

    @property
    def parts(self) -> dict[str, int]:
        own = self.measured
        head = own.head_other + _weights(own.head_linear) + self.tags * own.head_tag
        return {
            "word embeddings": self.vocabulary * own.width,
            "linear layers": _weights(own.linear),
            "biases, norms and the rest": own.other,
            "tag head": head if self.tags else 0,
        }

    def matrices(self, *, embeddings: bool) -> list[tuple[int, int]]:
        linear = _each(self.measured.linear)
        return [*linear, (self.vocabulary - 1, self.measured.width)] if embeddings else linear

    def _stored(self, part: str, parameters: int) -> int:
        own = self.measured
        head = [*_each(own.head_linear), (self.tags, own.head_tag - 1)]
        matrices = {
            "linear layers": _each(own.linear),
            "tag head": head if self.scheme.head else [],
            "word embeddings": [(self.vocabulary, own.width)] if self.scheme.words else [],
        }.get(part, [])
        return self._bytes(parameters, matrices, {"linear layers": own.read, "tag head": own.head_read}.get(part, 0))

    def multiply_adds(self, subwords: int) -> int:
        """Those of linear layers for each subword, and of attention as in BERT with as many layers."""
        own = self.measured
        head = _weights(own.head_linear) + self.tags * own.head_tag if self.tags else 0
        return subwords * (self.linear + head) + 2 * subwords * subwords * own.hidden * own.depth


def _weights(matrices: Iterable[Sequence[int]]) -> int:
    return sum(rows * columns * count for rows, columns, count in matrices)


def _each(matrices: Iterable[Sequence[int]]) -> list[tuple[int, int]]:
    return [(rows, columns) for rows, columns, count in matrices for _ in range(count)]


def shape_of(
    config: Mapping[str, Any],
    *,
    tags: int | None = None,
    masked_lm: bool = False,
    pooled: bool | None = None,
    where: str = "config.json",
) -> Shape | MeasuredShape:
    """The dense shape that a ``config.json`` describes, with its own tags or with so many: by arithmetic for a described family,
    otherwise by measurement.

    Raises `DinkuError` for an architecture that dinku doesn't open, a config without its sizes, or one that only torch can
    measure if torch isn't installed.
    """
    if config.get("model_type") in model_types():
        check_readable(config, where=where)
    if described(config):
        return Shape.of_config(config, tags=tags, masked_lm=masked_lm, pooled=pooled, where=where)
    if config.get("model_type") not in model_types():
        raise refusal(config.get("model_type"), where=where)
    if KEY in config:
        try:
            vocabulary, measured = int(config[KEY]["vocabulary"]), _recorded(config[KEY])
        except ValidationError as error:
            raise validation_error(error, where=where, remedy="restore the file") from None
        except (TypeError, KeyError, ValueError):
            raise DinkuError(f"{KEY} isn't what dinku wrote", where=where, remedy="restore the file") from None
    else:
        vocabulary, measured = _measured(architecture(config), where)
    tags = len(model_tags(config)) if tags is None else tags
    if tags and (is_pooled(config) if pooled is None else pooled):
        problem = f"has a head that labels whole texts, over a {config.get('model_type')}, which isn't described"
        remedy = f"use one of {', '.join(family.name for family in known())}"
        raise DinkuError(problem, where=where, remedy=remedy)
    dense = MeasuredShape(
        family=str(config["model_type"]),
        vocabulary=vocabulary,
        measured=measured,
        tags=tags,
        zeros=0,
        nonzero=(0, 0),
        scheme=scheme_of(config, where=where),
    )
    return replace(dense, nonzero=(0, dense.parameters))


def shape_of_folder(folder: ModelFolder) -> Shape | MeasuredShape:
    """The dense shape of a model folder, from its config and the names of its weights."""
    return shape_of(folder.config, masked_lm=folder.masked_lm, where=folder.config_file)


def document(shape: MeasuredShape) -> dict[str, Any]:
    """The document of a measured shape, for config.json."""
    return {"vocabulary": shape.vocabulary, **shape.measured.model_dump()}


def _recorded(given: Mapping[str, Any]) -> Measurement:
    own = {key: value for key, value in given.items() if key != "vocabulary"}
    measured = Measurement.model_validate_json(json.dumps(own))
    if min((n for each in (*measured.linear, *measured.head_linear) for n in each), default=1) < 1:
        raise ValueError("a matrix without rows or columns")
    return measured


def architecture(config: Mapping[str, Any]) -> str:
    """The part of a config that determines an encoder's sizes and answers, as JSON: all but labels, names and storage."""
    without = {
        "id2label",
        "label2id",
        "architectures",
        "_name_or_path",
        "name_or_path",
        "quantization_config",
        "num_labels",
    }
    without |= {"transformers_version", "dtype", "torch_dtype"}
    own = {key: value for key, value in config.items() if key not in without and not key.startswith("dinku_")}
    return json.dumps(own, sort_keys=True)


@lru_cache(maxsize=64)
def _measured(config: str, where: str) -> tuple[int, Measurement]:
    """The rows of the word embeddings and the `Measurement` of a config given as JSON."""
    try:
        import torch
        from transformers import AutoConfig, AutoModelForTokenClassification
    except ModuleNotFoundError:
        remedy = "install it with: pip install 'dinku[compress]'"
        raise DinkuError("only torch can measure its architecture", where=where, remedy=remedy) from None
    given = json.loads(config)
    kind = given.pop("model_type")
    try:
        sizes = AutoConfig.for_model(kind, **given)
        models = []
        for tags in (2, 3):
            own = copy.deepcopy(sizes)
            own.num_labels = tags
            with torch.device("meta"):
                models.append(AutoModelForTokenClassification.from_config(own, dtype=torch.float32).eval())
        two, three = models
        if _parameters(two) > MOST:
            remedy = "use a smaller encoder"
            raise DinkuError(f"has {_parameters(two):,} parameters, too many to measure", where=where, remedy=remedy)
        read = _read_on_meta(two)
        if read is None:  # its code looks at values, which an empty model doesn't have
            sizes.num_labels = 2
            read = _features_read(AutoModelForTokenClassification.from_config(sizes, dtype=torch.float32).eval(), "cpu")
        return measurement(two, three, read)
    except DinkuError:
        raise
    except Exception as error:  # a config that transformers can't build fails in many ways
        problem = f"transformers can't build a {kind} from it ({reason(error)})"
        raise DinkuError(problem, where=where, remedy="restore the file") from None


def measurement(two: Any, three: Any, read: Mapping[str, int]) -> tuple[int, Measurement]:
    """The rows of the word embeddings, and the measurement of an encoder on empty models with two and with three tags.

    ``read`` gives, for each linear layer, the number of features that no earlier layer reads.
    """
    from torch import nn

    base, config = two.base_model, two.config
    table = base.get_input_embeddings()
    linear = [module for module in base.modules() if isinstance(module, nn.Linear)]
    inside = {id(module) for module in base.modules()}
    all_linear = {name: module for name, module in two.named_modules() if isinstance(module, nn.Linear)}
    head = {name: module for name, module in all_linear.items() if id(module) not in inside}
    head_tag = _parameters(three) - _parameters(two)
    (scores,) = [each for each in head.values() if each.out_features == 2 and each.in_features == head_tag - 1]
    rest = [module for module in head.values() if module is not scores]
    in_head = _parameters(two) - _parameters(base)
    tables = [m for name, m in base.named_modules() if isinstance(m, nn.Embedding) and "position" in name]
    positions = getattr(config, "max_position_embeddings", None)
    depth = getattr(config, "num_hidden_layers", None)
    measured = Measurement(
        hidden=scores.in_features,
        depth=depth if isinstance(depth, int) and depth > 0 else 1,
        width=table.embedding_dim,
        positions=positions if isinstance(positions, int) and positions > 0 else 512,
        offset=any(each.padding_idx is not None for each in tables),
        linear=_counted(linear),
        read=sum(features for name, features in read.items() if name not in head),
        other=_parameters(base) - table.weight.numel() - sum(module.weight.numel() for module in linear),
        head_other=in_head - 2 * head_tag - sum(module.weight.numel() for module in rest),
        head_linear=_counted(rest),
        head_tag=head_tag,
        head_read=sum(read.get(name, 0) for name in head),
        encoder=(two.base_model_prefix, *(name for name, _ in base.named_children())),
    )
    return table.num_embeddings, measured


def _parameters(model: Any) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _counted(linears: Iterable[Any]) -> tuple[tuple[int, int, int], ...]:
    found = Counter((module.out_features, module.in_features) for module in linears)
    return tuple((rows, columns, count) for (rows, columns), count in sorted(found.items()))


def _read_on_meta(model: Any) -> Counter[str] | None:
    """The result of `_features_read` on an empty model; none if its code looks at values."""
    for masked in (False, True):
        try:
            return _features_read(model, "meta", masked=masked)
        except (RuntimeError, NotImplementedError):
            continue
    return None


def _features_read(model: Any, device: str, *, masked: bool = False) -> Counter[str]:
    """For each linear layer, the number of features that it reads and no earlier layer does."""
    import torch

    read: Counter[str] = Counter()
    seen: list[Any] = []  # kept alive, so that no other tensor gets the identity of one of them

    def look(name: str, given: Any) -> None:
        if not any(given[0] is each for each in seen):
            seen.append(given[0])
            read[name] += given[0].shape[-1]

    linears = [(name, module) for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)]
    hooks = [m.register_forward_pre_hook(lambda _, given, name=name: look(name, given)) for name, m in linears]
    try:
        with torch.inference_mode():
            ids = torch.zeros((1, 4), dtype=torch.long, device=device)
            model(input_ids=ids, **({"attention_mask": torch.ones_like(ids)} if masked else {}))
    finally:
        for hook in hooks:
            hook.remove()
    return read
