"""All is declared in pyproject.toml but this: a wheel carries the models' adapters, which lie outside packages."""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

PROJECT = Path(__file__).resolve().parent


class BuildWithAdapters(build_py):
    """Puts `model_repository/<model>/1/model.py` where `product_match.repository.shipped` looks for it."""

    def run(self) -> None:
        """Build the packages, and copy; an editable installation finds the folder itself."""
        super().run()
        if self.editable_mode:
            return
        target = Path(self.build_lib) / "product_match" / "repository" / "adapters"
        shutil.rmtree(target, ignore_errors=True)
        for adapter in sorted((PROJECT / "model_repository").glob("*/1/model.py")):
            place = target / adapter.relative_to(PROJECT / "model_repository")
            place.parent.mkdir(parents=True)
            shutil.copyfile(adapter, place)


setup(cmdclass={"build_py": BuildWithAdapters})
