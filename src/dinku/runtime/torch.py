"""The engine that runs a Hugging Face token classifier in torch."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dinku.encode import Batch


class TorchEngine:
    """Logits of a token classifier in float32, or in bfloat16 where ``precision`` says so."""

    def __init__(self, model: Any, *, precision: str = "float32") -> None:
        self.model = model
        self.precision = precision

    def logits(self, batch: Batch) -> NDArray[np.float32]:
        """[scored words, tags], in float32 whatever the precision of the model."""
        was_training = self.model.training
        self.model.eval()
        low = self.precision == "bfloat16"
        device = self.model.device
        autocast = torch.autocast(device.type, dtype=torch.bfloat16) if low else nullcontext()
        with torch.inference_mode(), autocast:
            ids = torch.from_numpy(batch.ids).to(device)
            mask = None if batch.full else torch.from_numpy(batch.mask).to(device)
            out = self.model(input_ids=ids, attention_mask=mask).logits  # [windows, subwords, tags]
            words = out[torch.from_numpy(batch.rows).to(device), torch.from_numpy(batch.columns).to(device)]
        self.model.train(was_training)
        return words.float().cpu().numpy()
