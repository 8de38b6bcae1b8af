"""Bundles and taggers put on the Hub, from where ``hf:owner/name`` opens them."""

from __future__ import annotations

import os
import re

from dinku.data import learned
from dinku.errors import DinkuError, reason
from dinku.model.bundle import FILE, read_manifest
from dinku.model.folder import HUB, ModelFolder
from dinku.settings import offline

_CARD = "README.md"


def push(folder: ModelFolder, repository: str, *, private: bool = False, message: str = "") -> str:
    """Put a bundle or a tagger into a repository of the Hub, as one commit; the address of the commit.

    The repository is made if it doesn't exist; in one that does, files of the same names are replaced. A bundle is checked first,
    file by file. Nothing beside the model is uploaded but its card. Raises `DinkuError`, of status 1 if the Hub refuses.
    """
    name = repository.removeprefix(HUB)
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", name, re.ASCII):
        raise DinkuError("isn't a name on the Hub", where=repository, remedy="write it as owner/name")
    if offline():
        raise DinkuError("DINKU_OFFLINE forbids the network", where=repository, remedy="unset it")
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError

    names = _files(folder)
    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None, library_name="dinku")
    try:
        api.create_repo(name, private=private or None, exist_ok=True)
        operations = [CommitOperationAdd(each, str(folder.path / each)) for each in names]
        return str(api.create_commit(name, operations, commit_message=message or "Upload with dinku").commit_url)
    except (HfHubHTTPError, OSError) as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        remedy = "check the connection, the proxy or HF_ENDPOINT, and run the same again"
        if status in (401, 403):
            remedy = "log in with `hf auth login`, or set HF_TOKEN to a token that may write there"
        raise DinkuError(
            f"the Hub doesn't take it ({reason(error)})", where=repository, remedy=remedy, status=1
        ) from None


def _files(folder: ModelFolder) -> list[str]:
    """The files of a bundle, once they are checked, or of a tagger, and their card."""
    beside = [name for name in (_CARD, learned.FILE) if (folder.path / name).is_file()]
    if folder.is_bundle:
        return [*read_manifest(folder).files, FILE, *beside]
    if not folder.tags:
        remedy = "name a bundle or a tagger"
        raise DinkuError("is an encoder without tags", where=str(folder), remedy=remedy)
    return [*(path.name for path in folder.files), *beside]
