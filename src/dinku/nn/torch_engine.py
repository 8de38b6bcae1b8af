"""The engine that runs a Hugging Face token classifier in torch."""

from __future__ import annotations

import os
import re
from collections import Counter
from contextlib import nullcontext
from importlib.metadata import version
from typing import Any, cast

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from dinku.errors import DinkuError
from dinku.model.by_length import by_length
from dinku.model.engine import held
from dinku.model.family import read_unpadded
from dinku.model.windows import Batch, Logits


def device(asked: str) -> str:
    """*cpu* or *cuda*, from one of these, *cuda:N*, or *auto*, which means a GPU if there is one.

    It makes only one GPU visible to this process, because transformers' Trainer would spread over all of them. Call it once,
    before CUDA is used. Raises `DinkuError` if there is no such device.
    """
    if asked == "cpu":
        return asked
    found = re.fullmatch(r"auto|cuda(?::(\d+))?", asked)
    if not found:
        raise DinkuError(f"there is no device {asked!r}", where="device", remedy="choose cpu, cuda, cuda:N or auto")
    number, visible = int(found[1] or 0), os.environ.get("CUDA_VISIBLE_DEVICES")
    there = [str(number)] if visible is None else visible.split(",")[number : number + 1]
    os.environ["CUDA_VISIBLE_DEVICES"] = "".join(there)
    if torch.cuda.is_available():
        return "cuda"
    if asked == "auto":
        return "cpu"
    problem = f"torch {torch.__version__} finds no GPU" + (f" {number}" if found[1] else "")
    raise DinkuError(
        problem, where="device", remedy="leave it out, or install torch with CUDA on a machine that has one"
    )


class TorchEngine:
    """Logits of a token classifier in float32, or in bfloat16 if ``precision`` says so."""

    def __init__(self, model: Any, *, precision: str = "float32") -> None:
        self.model = model
        self.precision = precision

    def logits(self, batch: Batch) -> Logits:
        """[scored words, tags], in float32 whatever the precision of the model."""
        if read_unpadded(getattr(self.model, "config", None)):
            return by_length(self._logits, cast(Any, batch))
        return self._logits(batch)

    def _logits(self, batch: Batch) -> Logits:
        was_training = self.model.training
        self.model.eval()
        low = self.precision == "bfloat16"
        device = self.model.device
        autocast = torch.autocast(device.type, dtype=torch.bfloat16) if low else nullcontext()
        with torch.inference_mode(), autocast:
            inputs = {name: torch.from_numpy(array).to(device) for name, array in batch.needed_inputs.items()}
            words = batch.scored(self.model(**inputs).logits)
        self.model.train(was_training)
        return cast(Logits, words.float().cpu().numpy())

    def executed(self, batch: Batch) -> dict[str, int]:
        """See `dinku.model.engine.InspectableEngine.executed`: *int8 linear_dynamic*, *float32 embedding*.

        bitsandbytes multiplies int8 as float32 where it has no kernel for the processor; *int8+float16* has outliers.
        """
        with _Counting() as counting:
            self.logits(batch)
        return dict(sorted(counting.found.items()))

    @property
    def kernels(self) -> str:
        own = getattr(getattr(self.model, "config", None), "quantization_config", None)
        return f"bitsandbytes {version('bitsandbytes')}" if own else f"torch {torch.backends.quantized.engine}"

    @property
    def instructions(self) -> str:
        return torch.backends.cpu.get_cpu_capability() + held()


_INT8 = {"quantized::linear_dynamic", "bitsandbytes::int8_mixed_scaled_mm", "bitsandbytes::int8_scaled_mm"}
_FLOAT = {f"aten::{name}" for name in ("linear", "matmul", "addmm", "mm", "bmm", "scaled_dot_product_attention")}
_FLOAT |= {f"aten::{name}" for name in ("embedding", "layer_norm", "native_layer_norm", "gelu", "softmax", "_softmax")}


class _Counting(TorchDispatchMode):
    """Counts the expensive operators by type."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(self, operator: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        space, _, name = str(operator.name()).partition(".")[0].partition("::")
        tensors = [a for a in args if isinstance(a, torch.Tensor) and a.is_floating_point()]
        kind = str(tensors[0].dtype).removeprefix("torch.") if tensors else ""
        if f"{space}::{name}" in _INT8:
            if space == "bitsandbytes":
                device = args[0].device.type.upper()
                own = torch._C._dispatch_has_kernel_for_dispatch_key("bitsandbytes::int8_linear_matmul", device)
                outliers = name == "int8_mixed_scaled_mm" and args[5] is not None and args[5].numel()
                kind = ("int8" if own else "int8 as float32") + f"+{kind}" * bool(outliers)
            else:
                kind = "int8"
            self.found[f"{kind} {name}"] += 1
        elif f"{space}::{name}" in _FLOAT:
            self.found[f"{kind} {name}"] += 1
        return operator(*args, **(kwargs or {}))
