"""Finds the weights of a model, cuts them, and puts other parts in their place.

Weights are cut in no other module. `dinku.modeling` knows the names of transformers; all other modules observe layers or replace
them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

import torch
from torch import nn
from transformers import AutoConfig, PreTrainedModel

from dinku import modeling
from dinku.data.task import NER, Task
from dinku.errors import DinkuError, plural
from dinku.model import measured
from dinku.model.folder import TASK_KEY
from dinku.model.measured import MeasuredShape
from dinku.model.shape import Shape, scheme_of
from dinku.modeling import AutoModel, AutoModelForMaskedLM
from dinku.nn import quantized


def matrices(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """The weight matrices of the encoder's linear layers, by name, in the order of the model. The head isn't one."""
    found: dict[str, torch.Tensor] = {
        f"{name}.weight": cast(nn.Parameter, module.weight)
        for name, module in model.base_model.named_modules()
        if isinstance(module, nn.Linear) and not quantized.is_pooler(model, name)
    }
    return found | quantized.matrices(model)


def changeable(model: PreTrainedModel) -> None:
    """Raise `DinkuError` for a quantized model."""
    scheme_of(model.config.to_dict()).refuse(str(model.config.name_or_path or type(model).__name__))


def is_finite(weight: torch.Tensor) -> bool:
    """Whether no number is infinite or NaN, without the extra tensor of the same size that `torch.isfinite` makes."""
    return not weight.numel() or all(bool(end.isfinite()) for end in weight.detach().aminmax())


def word_embeddings(model: PreTrainedModel) -> nn.Embedding:
    """The word embeddings, [vocabulary, hidden]; their row ``padding_idx`` is never trained nor pruned."""
    return cast(nn.Embedding, model.base_model.get_input_embeddings())


def prunable(
    model: PreTrainedModel, *, embeddings: bool, tensors: Mapping[torch.Tensor, torch.Tensor] | None = None
) -> dict[str, list[torch.Tensor]]:
    """Views on the weights that unstructured sparsity may zero, by matrix: `matrices`, and the word embeddings if asked.

    The word embeddings are two views if their padding row, which is left out, lies inside the table. With ``tensors``, they are
    views on the tensor to which these map each weight.
    """
    changeable(model)
    return prunable_views(model, embeddings=embeddings, tensors=tensors)


def prunable_views(
    model: PreTrainedModel, *, embeddings: bool, tensors: Mapping[torch.Tensor, torch.Tensor] | None = None
) -> dict[str, list[torch.Tensor]]:
    """Views of the weights that may be pruned, by name, or of the ``tensors`` that stand for them."""
    views = {name: [tensors[weight] if tensors else weight.data] for name, weight in matrices(model).items()}
    if embeddings:
        table = word_embeddings(model)
        rows = tensors[table.weight] if tensors else table.weight.data
        around = [rows] if table.padding_idx is None else [rows[: table.padding_idx], rows[table.padding_idx + 1 :]]
        views["word embeddings"] = [view for view in around if len(view)]
    return views


def meant_zeros(model: PreTrainedModel, sparse: Sequence[str]) -> dict[str, list[torch.Tensor]]:
    """Boolean masks of the zeros in sparsified parts, shaped like the views of `prunable`.

    ``sparse`` names those parts: *linear*, *embeddings*. Zeros elsewhere came with the checkpoint and don't count.
    """
    views = prunable_views(model, embeddings="embeddings" in sparse) if "linear" in sparse else {}
    return {name: [view == 0 for view in parts] for name, parts in views.items()}


def record_sizes(model: PreTrainedModel) -> None:
    """Write a model's measured sizes into its config, so that its folder can be read without torch.

    Nothing is written for a described family, whose sizes follow by arithmetic.
    """
    shape = measured.shape_of(model.config.to_dict(), tags=0)
    if isinstance(shape, MeasuredShape):
        setattr(model.config, measured.KEY, measured.document(shape))


def shape_of(model: PreTrainedModel, *, tags: int, sparse: Sequence[str] = ()) -> Shape:
    """Measure a model: check its config's arithmetic against its parameters, and count its zeros.

    The result is a `MeasuredShape` if the family isn't described. Only methods with `EncoderShape` among their ``takes`` can
    change such a model.

    Raises `DinkuError` if arithmetic and model disagree, so that a wrong declared size can't go unnoticed.
    """
    name = type(model).__name__
    heads: dict[str, Any] = {"masked_lm": has_masked_lm(model), "pooled": modeling.is_pooled(model)}
    dense = measured.shape_of(model.config.to_dict(), tags=tags, **heads, where=name)
    weights: Iterable[torch.Tensor] = model.parameters()
    if dense.scheme.terminal:
        stored = quantized.tensors(model)
        weights = quantized.parameters(stored).values()
        if (found := sum(tensor.nbytes for tensor in stored.values())) != dense.bytes:
            problem = f"has {plural(found, 'byte')} where its config says {dense.bytes:,} ({dense.scheme.name})"
            raise DinkuError(problem, where=name, remedy="quantize the model again")
    weights = list(weights)
    parameters = sum(p.numel() for p in weights)
    if parameters != dense.parameters:
        raise DinkuError(
            f"has {plural(parameters, 'parameter')} where its config says {dense.parameters:,}",
            where=name,
            remedy="use a plain Hugging Face architecture",
        )
    if isinstance(dense, MeasuredShape):  # the number alone doesn't show whether the sizes are right
        found_linear = sorted(tuple(weight.shape) for weight in matrices(model).values())
        if found_linear != sorted(dense.matrices(embeddings=False)):
            problem = "has other linear layers than its config says"
            raise DinkuError(problem, where=name, remedy="use a plain Hugging Face architecture")
    zeros = sum(int(mask.sum()) for masks in meant_zeros(model, sparse).values() for mask in masks)
    nonzero = sum(int(torch.count_nonzero(p)) for p in weights)
    return cast(Shape, replace(dense, zeros=zeros, nonzero=(nonzero, nonzero)))


def fresh(shape: Shape, *, seed: int, **special: int | None) -> PreTrainedModel:
    """An encoder of a shape whose layers are all alike, with random weights from ``seed`` as in transformers.

    ``special`` are the ids of special tokens, ``pad_token_id`` among them.
    """
    layer = shape.layers[0]
    sizes: dict[str, Any] = {
        "vocab_size": shape.vocabulary,
        "max_position_embeddings": shape.positions,
        "hidden_size": shape.hidden,
        "num_hidden_layers": len(shape.layers),
        "num_attention_heads": layer.heads,
        "intermediate_size": layer.width,
    }
    sizes = {shape.known_family.key(name): value for name, value in sizes.items()}
    if shape.known_family.types:
        sizes |= {"type_vocab_size": shape.types, "layer_norm_eps": 1e-12 if shape.family == "bert" else 1e-5}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = AutoConfig.for_model(shape.family, **sizes, **special)
        model = AutoModel.from_config(config, dtype=torch.float32, **modeling.without_pooler(AutoModel, config))
    return cast(PreTrainedModel, model.eval())


def with_head(model: PreTrainedModel, tags: Sequence[str], *, seed: int, task: Task = NER) -> PreTrainedModel:
    """A classifier for the given tags around a copy of the encoder, of the task's class, with a new random head from ``seed``.

    The head's weights are normal with the config's ``initializer_range``, its biases zero, as transformers does.
    """
    changeable(model)
    config = copy.deepcopy(model.config)
    _name(config, tags)
    config.__dict__.pop(TASK_KEY, None)
    if task is not NER:
        setattr(config, TASK_KEY, task.name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        headed: Any = modeling.HEADS[task.head].from_config(config, dtype=torch.float32)
        own = headed.base_model.state_dict()
        poolers = {name: weight for name, weight in own.items() if quantized.is_pooler(headed, name)}
        headed.base_model.load_state_dict(
            {name: weight for name, weight in model.base_model.state_dict().items() if name in own} | poolers
        )
        torch.manual_seed(seed)
        scores = scoring(headed)
        nn.init.normal_(scores.weight, std=getattr(config, "initializer_range", 0.02))
        nn.init.zeros_(scores.bias)
    return cast(PreTrainedModel, headed.eval())


def scoring(model: Any) -> nn.Linear:
    """The linear layer of a head that answers with logits, the last one."""
    head = next(getattr(model, name) for name in ("classifier", "score") if hasattr(model, name))
    return cast(nn.Linear, head.out_proj if hasattr(head, "out_proj") else head)


def name_tags(model: PreTrainedModel, tags: Sequence[str]) -> None:
    """Name the tags of a head, in the order of its logits."""
    _name(model.config, tags)


def _name(config: Any, tags: Sequence[str]) -> None:
    config.id2label = dict(enumerate(tags))
    config.label2id = {tag: i for i, tag in enumerate(tags)}


def has_masked_lm(model: PreTrainedModel) -> bool:
    """Whether a model is an encoder under a masked-LM head."""
    return type(model).__name__.endswith("ForMaskedLM")


def with_masked_lm(model: PreTrainedModel, *, seed: int) -> PreTrainedModel:
    """A masked LM around a copy of the encoder, with a new random head from ``seed`` as in transformers.

    Its decoder shares the word embeddings.
    """
    changeable(model)
    config = copy.deepcopy(model.config)
    config.tie_word_embeddings = True
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        headed: Any = AutoModelForMaskedLM.from_config(config, dtype=torch.float32)
    headed.base_model.load_state_dict(model.base_model.state_dict())
    return cast(PreTrainedModel, headed.eval())


def masked_logits(model: PreTrainedModel, hidden: torch.Tensor) -> torch.Tensor:
    """The logits [subwords, vocabulary] of a masked-LM head for the encoder's last states [subwords, hidden]."""
    head: Any = model
    if hasattr(head, "lm_head"):  # RoBERTa, XLM-R
        return cast(torch.Tensor, head.lm_head(hidden))
    if hasattr(head, "cls"):  # BERT
        return cast(torch.Tensor, head.cls(hidden))
    hidden = head.vocab_layer_norm(head.activation(head.vocab_transform(hidden)))
    return cast(torch.Tensor, head.vocab_projector(hidden))


def named_weights(model: PreTrainedModel) -> dict[str, nn.Parameter]:
    """All parameters by name; tied ones appear once, under the name of the parameter that they are tied to."""
    tied = model.all_tied_weights_keys
    return {name: weight for name, weight in model.named_parameters(remove_duplicate=False) if name not in tied}


def with_layers(model: PreTrainedModel, keep: Sequence[int]) -> PreTrainedModel:
    """A copy of a model with some of its layers; the other layers aren't copied first."""
    changeable(model)
    memo: dict[int, Any] = {id(layer): nn.Identity() for i, layer in enumerate(modeling.layers(model)) if i not in keep}
    smaller = copy.deepcopy(model, memo)
    kept = nn.ModuleList(modeling.layers(smaller)[i] for i in keep)
    smaller.base_model.set_submodule(modeling.family_of(smaller).layers, kept)
    modeling.describe(smaller)
    return smaller


def with_heads(model: PreTrainedModel, heads: int) -> PreTrainedModel:
    """A copy of a model whose attention cuts the same weights into another number of heads."""
    changeable(model)
    other = copy.deepcopy(model)
    for layer in modeling.layers(other):
        modeling.set_heads(layer, heads, modeling.linears(layer).out.in_features // heads)
    modeling.describe(other)
    return other


def with_units(
    model: PreTrainedModel,
    *,
    heads: Sequence[Sequence[int]] | None = None,
    neurons: Sequence[Sequence[int]] | None = None,
) -> PreTrainedModel:
    """A copy of a model with only some heads, or feed-forward neurons, of each layer, by their indices."""
    changeable(model)
    smaller = copy.deepcopy(model)
    for i, layer in enumerate(modeling.layers(smaller)):
        own = modeling.linears(layer)
        if heads is not None:
            size = modeling.head_size(layer)
            inner = (torch.tensor(heads[i])[:, None] * size + torch.arange(size)).flatten()
            for linear in own.into_heads:
                _cut(linear, rows=_stacked(linear, inner, own.stacked))
            _cut(own.out, columns=inner)
            modeling.set_heads(layer, len(heads[i]), size)
        if neurons is not None:
            kept = torch.tensor(neurons[i])
            _cut(own.widen, rows=_stacked(own.widen, kept, own.wide))
            _cut(own.narrow, columns=kept)
    modeling.describe(smaller)
    return smaller


def with_hidden(model: PreTrainedModel, keep: Sequence[int]) -> PreTrainedModel:
    """A copy of a model with only some coordinates of its hidden states, by their indices; all parts that use them shrink."""
    changeable(model)
    smaller, kept = copy.deepcopy(model), torch.tensor(keep)
    tags = hasattr(model, "classifier") or hasattr(model, "score")
    family, hidden, decoder = modeling.family_of(model), model.config.hidden_size, smaller.get_output_embeddings()
    build = family.build(model.config.to_dict())
    projected = bool(build and build.width)  # then the width of the embeddings isn't that of the hidden states
    projection = smaller.base_model.get_submodule(family.projection) if projected else None
    within = {linear for layer in modeling.layers(smaller) for linear in modeling.linears(layer).all}
    for layer in modeling.layers(smaller):
        own = modeling.linears(layer)
        for linear in own.reading:
            _cut(linear, columns=kept)
        for linear in (own.out, own.narrow):
            _cut(linear, rows=kept)
    for module in _modules(smaller, family.embeddings if projected else ""):
        if isinstance(module, modeling.FactorizedEmbedding):
            module.projection = nn.Parameter(module.projection.data[kept])
        elif isinstance(module, nn.Embedding) and module.embedding_dim == hidden:
            module.weight, module.embedding_dim = nn.Parameter(module.weight.data[:, kept]), len(keep)
        elif isinstance(module, nn.LayerNorm):
            module.normalized_shape = (len(keep),)
            module.weight = nn.Parameter(module.weight.data[kept])
            if module.bias is not None:
                module.bias = nn.Parameter(module.bias.data[kept])
        elif module is projection:
            _cut(cast(nn.Linear, module), rows=kept)
        elif isinstance(module, nn.Linear) and module not in within and module is not decoder:
            scores_tags = bool(tags) and module is scoring(smaller)  # other parts of a head also write hidden states
            _cut(module, rows=None if scores_tags else kept, columns=kept)
    if isinstance(decoder, nn.Linear):
        decoder.in_features, decoder.weight = len(keep), word_embeddings(smaller).weight
    modeling.describe(smaller)
    return smaller


def _modules(model: PreTrainedModel, without: str) -> Iterator[nn.Module]:
    """The modules of a model, except those in the part of its encoder named ``without``."""
    left_out = set(model.base_model.get_submodule(without).modules()) if without else set()
    return (module for module in model.modules() if module not in left_out)


def _stacked(linear: nn.Linear, units: torch.Tensor, stacked: int) -> torch.Tensor:
    """The rows of some units in a linear layer that stacks several matrices."""
    each = linear.out_features // stacked
    return torch.cat([units + start * each for start in range(stacked)])


def _cut(linear: nn.Linear, *, rows: torch.Tensor | None = None, columns: torch.Tensor | None = None) -> None:
    """Keep only some outputs and inputs of a linear layer."""
    weight = linear.weight.data
    if rows is not None:
        weight = weight[rows]
        if linear.bias is not None:
            linear.bias = nn.Parameter(linear.bias.data[rows])
    if columns is not None:
        weight = weight[:, columns]
    linear.weight = nn.Parameter(weight.contiguous())
    linear.out_features, linear.in_features = weight.shape


def with_rank(model: PreTrainedModel, rank: int, weights: torch.Tensor) -> PreTrainedModel:
    """A copy of a model whose word embeddings are the nearest product of that rank (Eckart and Young 1936).

    Nearest by the sum of squared differences, with the rows weighted by ``weights`` [vocabulary]. Rows of zeros stay zero.
    """
    changeable(model)
    table = word_embeddings(model)
    whole = table.weight.data.double()
    if isinstance(table, modeling.FactorizedEmbedding):
        whole = whole @ table.projection.data.double().T
    axes = torch.linalg.eigh(whole.T @ (whole * weights.double()[:, None])).eigenvectors[:, -rank:]
    part = modeling.FactorizedEmbedding(len(whole), rank, whole.size(1), table.padding_idx)
    part.weight, part.projection = (nn.Parameter(w.float().contiguous()) for w in (whole @ axes, axes))
    smaller = copy.deepcopy(model, {id(table): part})
    modeling.factorize(smaller, part)
    modeling.describe(smaller)
    return smaller


@contextmanager
def listening(modules: Sequence[nn.Module]) -> Iterator[list[torch.Tensor]]:
    """What each module answered when it was last called, in a list that fills as they are."""
    heard: list[Any] = [None] * len(modules)

    def hear(i: int, answer: Any) -> None:
        heard[i] = answer if isinstance(answer, torch.Tensor) else answer[0]

    hooks = [m.register_forward_hook(lambda _m, _in, out, i=i: hear(i, out)) for i, m in enumerate(modules)]
    try:
        yield heard
    finally:
        for hook in hooks:
            hook.remove()


def with_rows(model: PreTrainedModel, rows: Sequence[int], *, pad: int) -> PreTrainedModel:
    """A copy of a model with only some rows of its word embeddings, in their order; ``pad`` is the padding row's new index.

    A masked-LM head then only scores those rows.
    """
    changeable(model)
    table, decoder = word_embeddings(model), _decoder(model)
    whole = [table.weight, *([decoder.bias] if decoder else [])]
    few: dict[int, Any] = {id(part): nn.Parameter(part.data[torch.tensor(rows)].clone()) for part in whole}
    smaller = copy.deepcopy(model, few)  # the whole table isn't copied first
    if decoder := _decoder(smaller):
        decoder.out_features = len(rows)
    table = word_embeddings(smaller)
    table.num_embeddings = smaller.config.vocab_size = len(rows)
    if recorded := getattr(smaller.config, measured.KEY, None):
        recorded["vocabulary"] = len(rows)
    if table.padding_idx is not None:
        table.padding_idx = pad
    smaller.config.pad_token_id = pad
    return smaller


def _decoder(model: PreTrainedModel) -> nn.Linear | None:
    """The last layer of a masked-LM head, whose weight is the word embeddings."""
    return cast(nn.Linear, model.get_output_embeddings()) if has_masked_lm(model) else None
