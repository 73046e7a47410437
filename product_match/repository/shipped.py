"""Where the models' adapters lie: in the package where it was installed, else in the project's own folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from product_match.contract.errors import ConfigError

_HERE: Final = Path(__file__).resolve().parent
PLACES: Final = (_HERE / "adapters", _HERE.parent.parent / "model_repository")
"""What `setup.py` puts into a wheel, and the folder of a checkout."""


def shipped_adapters(places: Sequence[Path] = PLACES) -> Path:
    """Return the folder whose `<model>/1/model.py` files a model repository is assembled from.

    Raises:
        ConfigError: There is none.
    """
    for place in places:
        if place.is_dir():
            return place
    raise ConfigError(
        f"the models' adapters are in none of {', '.join(map(str, places))}; install the project again "
        "(`pip install .` in a checkout), or give the folder model_repository of a checkout"
    )
