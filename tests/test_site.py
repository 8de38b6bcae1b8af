"""The documentation's site: it builds without warnings, is whole, and loads nothing from other hosts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dinku.methods.registry import find_method, names

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_the_site_is_built_without_a_warning_and_needs_no_other_host(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="needs dinku[docs]")
    pytest.importorskip("material", reason="needs dinku[docs]")
    pytest.importorskip("mkdocstrings", reason="needs dinku[docs]")
    site = tmp_path / "site"
    # Any request would go to a proxy that isn't there.
    nowhere = {f"{scheme}_proxy": "http://127.0.0.1:9" for scheme in ("http", "https", "HTTP", "HTTPS")}
    environment = os.environ | nowhere | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert built.returncode == 0, built.stderr
    pages = {page.relative_to(site).as_posix(): page.read_text(encoding="utf-8") for page in site.rglob("*.html")}
    own = {name for name in names() if (method := find_method(name)) and method.__module__.startswith("dinku.")}
    assert len(own) > 10
    assert {f"how/{name}.html" for name in own} <= set(pages)
    assert "dinku compress" in pages["commands.html"]
    assert "dinku.nn.tagger.Tagger" in pages["api.html"]
    for name, page in pages.items():
        loaded = re.findall(r"<(?:script|img|iframe|link)\b[^>]*(?:src|href)=\"((?:https?:)?//[^\"]+)\"", page)
        assert loaded == [], name
