"""Which families of checkpoints there are."""

from __future__ import annotations

from typing import Final

from ensemble_builder.checkpoint import Checkpoint
from ensemble_builder.clip import ChineseClipFamily, ClipFamily, MetaClip2Family
from ensemble_builder.dual_encoder import DualEncoderFamily
from ensemble_builder.family import Family
from ensemble_builder.formats import refuse_architecture
from ensemble_builder.siglip import Siglip2Family, SiglipFamily

FAMILIES: Final[tuple[Family, ...]] = (
    ClipFamily(),
    MetaClip2Family(),
    ChineseClipFamily(),
    Siglip2Family(),
    SiglipFamily(),
    DualEncoderFamily(),
)


def family_of(checkpoint: Checkpoint) -> Family:
    """Return the family of a checkpoint.

    Raises:
        CheckpointError: No family takes this architecture.
    """
    for family in FAMILIES:
        if family.accepts(checkpoint):
            return family
    raise refuse_architecture(checkpoint.directory, checkpoint.config)
