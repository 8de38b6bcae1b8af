"""Weights stored in a quarter of their bytes, as int8 with one scale for each row; they are read back as float32.

Scales are by row because rare pieces have small word embeddings, which one scale for the whole table would round to zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

FILE = "model.int8.safetensors"
_SCALE = ".scale"
Arrays = dict[str, NDArray[Any]]


def packed(weights: Mapping[str, NDArray[np.float32]]) -> Arrays:
    """Every matrix [rows, columns] as int8, with its scales [rows] as ``<name>.scale``; other tensors unchanged.

    A value is rounded to the nearest of 255 steps between minus and plus its row's greatest magnitude: zero stays zero,
    and no value moves by more than half a step, which is 1/254 of that magnitude.
    """
    out: Arrays = {}
    for name, weight in weights.items():
        if weight.ndim != 2:
            out[name] = np.asarray(weight, np.float32)
            continue
        scale = np.abs(weight).max(1) / np.float32(127)
        scale[scale == 0] = 1
        out[name] = np.rint(weight / scale[:, None]).astype(np.int8)
        out[name + _SCALE] = scale
    return out


def unpacked(stored: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float32]]:
    """The weights from what `packed` returned, in float32. Raises `KeyError` if a matrix lacks its scales."""
    out = {}
    for name, values in stored.items():
        if values.dtype == np.int8:
            out[name] = values.astype(np.float32) * stored[name + _SCALE][:, None]
        elif not name.endswith(_SCALE):
            out[name] = values.astype(np.float32)
    return out
