"""Linear layers in int8: bitsandbytes' LLM.int8() and PyTorch's dynamic layers, and their tensors in a folder."""

from __future__ import annotations

import copy
import logging
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import nn
from transformers import PreTrainedModel

from dinku.errors import DinkuError
from dinku.model.shape import DYNAMIC, LLM_INT8, Scheme, scheme_of
from dinku.modeling import is_pooled

_SCALE = ".weight.scale"  # as in `packing`, which so reads a dynamic tagger's folder as what its int8 stands for
THRESHOLD = "llm_int8_threshold"  # in config.json
Tensors = dict[str, torch.Tensor]


class LLMInt8Linear(nn.Linear):
    """bitsandbytes' ``Linear8bitLt`` for inference, whose separate state is a parameter and a buffer here.

    It can therefore be copied, moved to another device and saved like any layer. Names and values are those of
    ``Linear8bitLt``. ``weight`` int8 [out, in], ``SCB`` float32 [out]: a weight is int8 · SCB / 127.
    """

    SCB: torch.Tensor

    def __init__(self, weight: torch.Tensor, scales: torch.Tensor, bias: torch.Tensor | None, threshold: float) -> None:
        super().__init__(weight.shape[1], weight.shape[0], bias is not None, device="meta")
        self.weight = nn.Parameter(weight, requires_grad=False)
        if bias is not None:
            self.bias = nn.Parameter(bias, requires_grad=False)
        self.register_buffer("SCB", scales)
        self.threshold = threshold

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """[…, in] → […, out], in the precision of the input; input columns with an outlier are multiplied in that precision."""
        library = bitsandbytes()
        state = library.MatmulLtState()
        state.CB, state.SCB, state.threshold = self.weight.data, self.SCB, self.threshold
        state.has_fp16_weights = state.is_training = False
        return cast(torch.Tensor, library.matmul(input, self.weight, bias=self.bias, state=state))


def bitsandbytes() -> Any:
    """The library bitsandbytes; raises `DinkuError` if it isn't installed.

    Its warnings about missing four-bit kernels, and about inputs that LLM.int8() rounds to float16, are suppressed.
    """
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    try:
        import bitsandbytes as library
    except ImportError as error:
        reason = "isn't installed" if isinstance(error, ModuleNotFoundError) else f"can't be loaded ({error})"
        remedy = "install it with: pip install 'dinku[quantize]'"
        raise DinkuError(f"bitsandbytes {reason}", where="LLM.int8()", remedy=remedy) from None
    return library


def to_llm_int8(model: PreTrainedModel, *, threshold: float, rest: str) -> PreTrainedModel:
    """A copy of a tagger whose encoder has the linear layers of LLM.int8(), and whose other weights have the dtype ``rest``.

    As bitsandbytes does, weights are rounded to float16 first. Raises `DinkuError` for a weight that float16 can't hold.
    """
    library = bitsandbytes()
    other = copy.deepcopy(model).requires_grad_(False)
    linear = _linear(other, LLM_INT8[rest])
    for name, layer in linear.items():
        weight, scales, _ = library.functional.int8_vectorwise_quant(layer.weight.data.to(torch.float16))
        weight[scales == 0] = 0  # such a row was divided by zero
        other.set_submodule(name, LLMInt8Linear(weight, scales, _data(layer.bias), threshold))
    for parameter in other.parameters():
        if parameter.is_floating_point():
            parameter.data = parameter.data.to(getattr(torch, rest))
    config: Any = other.config
    config.dtype = rest
    config.quantization_config = {  # what transformers and bitsandbytes read
        "quant_method": "bitsandbytes",
        "load_in_8bit": True,
        "load_in_4bit": False,
        "llm_int8_has_fp16_weight": False,
        "llm_int8_skip_modules": [name for name in _linear(model, DYNAMIC) if name not in linear],
        THRESHOLD: threshold,
    }
    for name, tensor in tensors(other).items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            problem = f"{name} holds values beyond 65,504, which float16 can't"
            raise DinkuError(problem, where="LLM.int8()", remedy="use QuantizeDynamic")
    return other


def to_dynamic(model: PreTrainedModel) -> PreTrainedModel:
    """A copy of a tagger whose linear layers, the tag head among them, are PyTorch's dynamic int8 ones."""
    from torch.ao.quantization import quantize_dynamic

    with _deprecated():
        other = cast(PreTrainedModel, quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8))
    cast(Any, other.config).dinku_quantized = "dynamic"
    return other.requires_grad_(False)


@contextmanager
def _deprecated() -> Iterator[None]:
    """Suppress the warnings about PyTorch's quantized tensors, which are deprecated and only used in this module."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.ao.quantization is deprecated", DeprecationWarning)
        warnings.filterwarnings("ignore", ".*functions that produce tensors with dtype torch.quint8", UserWarning)
        yield


def _dynamic(model: PreTrainedModel) -> dict[str, Any]:
    """PyTorch's dynamic linear layers by name."""
    if getattr(model.config, "dinku_quantized", None) != "dynamic":
        return {}
    from torch.ao.nn.quantized import dynamic

    return {name: layer for name, layer in model.named_modules() if isinstance(layer, dynamic.Linear)}


def matrices(model: PreTrainedModel) -> Tensors:
    """The int8 weights [out, in] of the dynamic linear layers of a model's encoder, which aren't parameters, by name in it."""
    layers = {name: layer for name, layer in _dynamic(model.base_model).items() if not is_pooler(model, name)}
    return {f"{name}.weight": layer.weight().int_repr() for name, layer in layers.items()}


def tensors(model: PreTrainedModel) -> Tensors:
    """The tensors that a folder keeps for a quantized tagger, by name."""
    own = _dynamic(model)
    out = {k: v for k, v in model.state_dict().items() if not any(k.startswith(f"{name}.") for name in own)}
    for name, layer in own.items():
        weight, bias = layer._weight_bias()
        out[f"{name}.weight"] = weight.int_repr()
        if bias is not None:
            out[f"{name}.bias"] = bias.detach()
        out[name + _SCALE] = torch.tensor([weight.q_scale()], dtype=torch.float32)
    return out


def parameters(stored: Mapping[str, torch.Tensor]) -> Tensors:
    """Those of `tensors` that are weights, not scales."""
    return {name: tensor for name, tensor in stored.items() if not name.endswith((".SCB", _SCALE))}


def restored(model: PreTrainedModel, stored: Tensors, *, where: str) -> PreTrainedModel:
    """A tagger with int8 layers from the ``stored`` tensors. It reuses ``model``, which has the config and the dtype of the rest.

    Raises `DinkuError` if a tensor is missing, unknown, or of another size or type than the config says, or if the library that
    multiplies them isn't installed.
    """
    scheme = scheme_of(model.config.to_dict(), where=where)
    linear = _linear(model, scheme)
    wanted = {name: (tuple(weight.shape), weight.dtype) for name, weight in model.named_parameters()}
    if scheme.scales == "row":
        bitsandbytes()
        given = cast(Any, model.config).quantization_config.get(THRESHOLD)
        if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given < math.inf:
            raise DinkuError(f"{THRESHOLD} is {given!r}", where=where, remedy="give 0 or more, such as 6.0")
    scale = ".SCB" if scheme.scales == "row" else _SCALE
    for name, layer in linear.items():
        wanted[f"{name}.weight"] = (tuple(layer.weight.shape), torch.int8)
        wanted[name + scale] = ((layer.out_features if scheme.scales == "row" else 1,), torch.float32)
    stored = {name: tensor for name, tensor in stored.items() if not name.endswith(".weight_format")}
    found = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in stored.items()}
    if wrong := [name for name in {*wanted, *found} if wanted.get(name) != found.get(name)]:
        problem = f"doesn't fit config.json: {min(wrong)} is missing, unknown, or of another size or type"
        raise DinkuError(problem, where=where, remedy="quantize the model again")
    for name in linear:
        weight, bias, scales = (stored.get(name + end) for end in (".weight", ".bias", scale))
        assert weight is not None
        assert scales is not None
        model.set_submodule(name, _layer(model, weight, bias, scales, scheme))
    for name, parameter in model.named_parameters():
        parameter.data = stored[name]
    return model.requires_grad_(False)


def _layer(
    model: PreTrainedModel, weight: torch.Tensor, bias: torch.Tensor | None, scales: torch.Tensor, scheme: Scheme
) -> nn.Module:
    if scheme.scales == "row":
        return LLMInt8Linear(weight, scales, bias, cast(Any, model.config).quantization_config[THRESHOLD])
    from torch.ao.nn.quantized import dynamic

    with _deprecated():
        layer = dynamic.Linear(weight.shape[1], weight.shape[0], bias is not None)
        layer.set_weight_bias(torch._make_per_tensor_quantized_tensor(weight, scales.item(), 0), bias)
    return cast(nn.Module, layer)


def _data(bias: nn.Parameter | None) -> torch.Tensor | None:
    return None if bias is None else bias.data


def is_pooler(model: PreTrainedModel, name: str) -> bool:
    """Whether a part of a model's encoder is the pooler of a head that labels whole texts, and so belongs to that head."""
    return is_pooled(model) and name.split(".")[0] == "pooler"


def _linear(model: PreTrainedModel, scheme: Scheme) -> dict[str, nn.Linear]:
    """The linear layers that a scheme stores as int8, by name."""
    within = {id(module) for name, module in model.base_model.named_modules() if not is_pooler(model, name)}
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and (scheme.head or id(module) in within)
    }
