"""What pyproject.toml can't say: the wheel takes the JavaScript modules in ``js/`` along, as ``dinku/js``."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent


class WithModules(build_py):
    """Copies ``js/`` beside the package's own files. An editable install finds it in the clone."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / "dinku" / "js"
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(HERE / "js", target, ignore=shutil.ignore_patterns("node_modules", "*.json", "*.md"))


setup(cmdclass={"build_py": WithModules})
