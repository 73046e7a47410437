"""Where the files lie that come with the code: the models' adapters, the encoder and the sample catalogue.

Each is looked for where it was installed, then in the project's own folder. The encoder and the sample are in a
distribution of their own, `product-match-sample`, since a client needs neither.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from product_match.contract.errors import ConfigError

_HERE: Final = Path(__file__).resolve().parent
_PROJECT: Final = _HERE.parent.parent

MODEL_REPOSITORY: Final = Path("model_repository")
ENCODER: Final = Path("default_encoder/embedded")
SAMPLE: Final = Path("sample_data")
"""Folders of a checkout."""

SAMPLE_PACKAGE: Final = "product_match_sample"
PLACES: Final = (_HERE / "adapters", _PROJECT / MODEL_REPOSITORY)
"""What `setup.py` puts into a wheel, and the folder of a checkout."""


def shipped_adapters(places: Sequence[Path] = PLACES) -> Path:
    """Return the folder whose `<model>/1/model.py` files a model repository is assembled from.

    Raises:
        ConfigError: There is none.
    """
    found = _first_folder(places)
    if found is None:
        raise ConfigError(
            f"the models' adapters are in none of {', '.join(map(str, places))}; install the project again "
            "(`pip install .` in a checkout), or give the folder model_repository of a checkout"
        )
    return found


def shipped_encoder(places: Sequence[Path] | None = None) -> Path:
    """Return the encoder directory that a new catalogue starts with.

    Raises:
        ConfigError: There is none.
    """
    instead = "an encoder directory of `ensemble-builder build` with --encoder"
    return _of_sample("encoder", instead, places or (*_installed("encoder"), _PROJECT / ENCODER))


def shipped_sample(places: Sequence[Path] | None = None) -> Path:
    """Return the folder of the sample catalogue.

    Raises:
        ConfigError: There is none.
    """
    instead = "the folder of one with --sample-data"
    return _of_sample("sample catalogue", instead, places or (*_installed("sample_data"), _PROJECT / SAMPLE))


def _of_sample(what: str, instead: str, places: Sequence[Path]) -> Path:
    found = _first_folder(places)
    if found is None:
        raise ConfigError(
            f"the {what} that comes with the project is not installed; "
            f"`pip install product-match-sample` brings it, or give {instead}"
        )
    return found.resolve()  # an editable installation has links


def _installed(folder: str) -> list[Path]:
    package = importlib.util.find_spec(SAMPLE_PACKAGE)
    places = package.submodule_search_locations if package is not None else None
    return [Path(place) / folder for place in places or ()]


def _first_folder(places: Sequence[Path]) -> Path | None:
    return next((place for place in places if place.is_dir()), None)
