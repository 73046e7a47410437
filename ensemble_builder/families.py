"""Which families of checkpoints there are."""

from __future__ import annotations

from typing import Final

from ensemble_builder.checkpoint import Checkpoint
from ensemble_builder.clip import ClipFamily
from ensemble_builder.dual_encoder import DualEncoderFamily
from ensemble_builder.family import Family
from ensemble_builder.siglip import Siglip2Family, SiglipFamily
from product_match.contract.errors import CheckpointError

FAMILIES: Final[tuple[Family, ...]] = (ClipFamily(), Siglip2Family(), SiglipFamily(), DualEncoderFamily())


def family_of(checkpoint: Checkpoint) -> Family:
    """Return the family of a checkpoint.

    Raises:
        CheckpointError: No family takes this architecture.
    """
    for family in FAMILIES:
        if family.accepts(checkpoint):
            return family
    found = checkpoint.config.get("architectures") or checkpoint.config.get("model_type")
    known = ", ".join(dict.fromkeys(name for family in FAMILIES for name in family.architectures))
    raise CheckpointError(
        f"checkpoint {checkpoint.directory}: config.json names the architecture {found!r}; supported are {known}"
    )
