"""Parquet with ``tokens`` and ``ner_tags``, as the library datasets writes it; read and written by pyarrow."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from dinku.data.corpus import Sentence
from dinku.data.formats import classes
from dinku.data.formats.format import Format, Head, all_labelled
from dinku.data.formats.names import namer, of_features
from dinku.data.formats.reading import Collected, keys_of
from dinku.data.formats.token_lists import TAGS, TOKENS, columns
from dinku.errors import DinkuError, reason
from dinku.files import content, written

_METADATA = b"huggingface"  # where the library datasets keeps features


def _recognizes(head: Head) -> bool:
    return head.data.startswith(b"PAR1")


def _read(into: Collected) -> None:
    import pyarrow
    import pyarrow.parquet

    name = str(into.path)
    try:
        file = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(content(into.path)))
        there = file.schema_arrow.names
        features = _features(file.schema_arrow.metadata)
        if not (named := columns(there)):
            if classified := classes.columns(there, into.how):
                return _read_classes(into, file, classified, of_features(features, classified[1]))
            raise DinkuError(f"has the columns {', '.join(there)}", where=name, remedy="name them tokens and ner_tags")
        tokens, tags = named
        names = namer(into.path, into.how, tags, features)
        for number, row in enumerate(_rows(file), 1):
            where = f"{name}, row {number}"
            keys = {key: value for key, value in row.items() if key not in named}
            into.tagged(row[tokens], names(row[tags], where), where, keys)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DinkuError(f"can't be read as Parquet ({reason(error)})", where=name, remedy="fetch it again") from None


def _read_classes(into: Collected, file: Any, named: tuple[list[str], str], names: dict[int, str]) -> None:
    """Texts with one label each, whose numbers the features may name."""
    for number, row in enumerate(_rows(file), 1):
        label = row[named[1]]
        row[named[1]] = names.get(label, label) if type(label) is int else label
        classes.take(into, row, named, f"{into.path}, row {number}")


def _rows(file: Any) -> Iterator[dict[str, Any]]:
    for batch in file.iter_batches(batch_size=1024):
        yield from batch.to_pylist()


def _features(metadata: Any) -> Any:
    try:
        return json.loads((metadata or {})[_METADATA])["info"]["features"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return None


def _write(sentences: Iterable[Sentence], path: Path) -> None:
    """Tags are numbers, and their names stand in the metadata, where the library datasets looks for them."""
    import pyarrow
    import pyarrow.parquet

    all_labelled(sentences, path)
    labels = sorted({tag[2:] for s in sentences for tag in s.tags or () if tag != "O"})
    names = ["O", *(f"{prefix}-{label}" for label in labels for prefix in "BI")]
    number = {name: i for i, name in enumerate(names)}
    data: dict[str, Any] = {
        "tokens": pyarrow.array([list(s.words) for s in sentences], pyarrow.list_(pyarrow.string())),
        "ner_tags": pyarrow.array(
            [[number[tag] for tag in s.tags or ()] for s in sentences], pyarrow.list_(pyarrow.int64())
        ),
    }
    keys = [keys_of(sentence, *TOKENS, *TAGS) for sentence in sentences]
    own = {
        key: _column([each.get(key) for each in keys]) for key in dict.fromkeys(key for each in keys for key in each)
    }
    features: dict[str, Any] = {key: {"dtype": _dtype(array.type), "_type": "Value"} for key, array in own.items()}
    features["tokens"] = {"feature": {"dtype": "string", "_type": "Value"}, "_type": "List"}
    features["ner_tags"] = {"feature": {"names": names, "_type": "ClassLabel"}, "_type": "List"}
    metadata = {_METADATA: json.dumps({"info": {"features": features}})}
    table = pyarrow.table(own | data).replace_schema_metadata(metadata)
    with written(path) as file:
        pyarrow.parquet.write_table(table, file)


def _column(values: Iterable[Any]) -> Any:
    """A column of values that are alike: whole numbers, numbers, truth values or strings, and JSON for all others."""
    import pyarrow

    values = list(values)
    for of, kind in (
        (bool, pyarrow.bool_()),
        (int, pyarrow.int64()),
        (float, pyarrow.float64()),
        (str, pyarrow.string()),
    ):
        if all(value is None or type(value) is of for value in values) and not (
            of is int and any(value is not None and abs(value) >= 1 << 63 for value in values)
        ):
            return pyarrow.array(values, kind)
    texts = [value if value is None or isinstance(value, str) else json.dumps(value, default=str) for value in values]
    return pyarrow.array(texts, pyarrow.string())


def _dtype(kind: Any) -> str:
    return {"double": "float64"}.get(str(kind), str(kind))


FORMAT = Format("parquet", "Parquet of tokens and ner_tags", (".parquet",), _recognizes, _read, _write)
