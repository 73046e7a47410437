"""Models in other formats and of other kinds: named, each with what to use instead."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from product_match.contract.errors import CheckpointError

SUPPORTED: Final = (
    "CLIP, SigLIP and SigLIP2 of fixed resolution, MetaCLIP 2, Chinese-CLIP, VisionTextDualEncoderModel, open_clip's"
)

_IMAGE_ONLY: Final = (
    "has an image tower alone; join it with a text tower as a VisionTextDualEncoderModel and train that on pairs"
)
_TEXT_ONLY: Final = (
    "has a text tower alone; join it with an image tower as a VisionTextDualEncoderModel and train that on pairs"
)
_HALF: Final = "is one half of a CLIP; give the folder of the whole model"
_GENERATES: Final = (
    "writes text rather than embeddings of photos and words in one space; use a CLIP or SigLIP of the same size"
)
_PAIRWISE: Final = (
    "looks at photo and words together, so that no catalogue can be embedded beforehand; use a CLIP or SigLIP"
)

REFUSED: Final[Mapping[str, str]] = {
    "Siglip2Model": (
        "is SigLIP2 NaFlex, whose image shapes follow the photo's, and one shape is served; use a SigLIP2 of fixed "
        "resolution, such as google/siglip2-base-patch16-224"
    ),
    "AltCLIPModel": "is not supported; use MetaCLIP 2 or a multilingual SigLIP2 for several languages",
    "AlignModel": "is not supported; use a CLIP or SigLIP, or train its towers as a VisionTextDualEncoderModel",
    "FlavaModel": "is not supported; use a CLIP or SigLIP",
    "GroupViTModel": "finds parts of photos; use a CLIP or SigLIP",
    "CLIPSegForImageSegmentation": "finds parts of photos; use the CLIP that it was made from",
    "XCLIPModel": "takes films rather than photos; use a CLIP or SigLIP",
    "OwlViTForObjectDetection": "finds objects in photos; use a CLIP or SigLIP",
    "Owlv2ForObjectDetection": "finds objects in photos; use a CLIP or SigLIP",
    "BlipForImageTextRetrieval": _PAIRWISE,
    "BlipModel": _PAIRWISE,
    "Blip2Model": _GENERATES,
    "BridgeTowerForImageAndTextRetrieval": _PAIRWISE,
    "ViltForImageAndTextRetrieval": _PAIRWISE,
    "ClapModel": "takes sounds rather than photos; use a CLIP or SigLIP",
    "CLIPVisionModel": _HALF,
    "CLIPVisionModelWithProjection": _HALF,
    "CLIPTextModel": _HALF,
    "CLIPTextModelWithProjection": _HALF,
    "SiglipVisionModel": _HALF,
    "SiglipTextModel": _HALF,
    "TimmWrapperModel": _IMAGE_ONLY,
    "TimmWrapperForImageClassification": _IMAGE_ONLY,
}
"""Architectures that a shop may well bring, and cannot be served."""

_KINDS: Final[tuple[tuple[str, str], ...]] = (
    ("ForConditionalGeneration", _GENERATES),
    ("ForCausalLM", _GENERATES),
    ("ForImageClassification", _IMAGE_ONLY),
    ("ForMaskedLM", _TEXT_ONLY),
    ("ForSequenceClassification", _TEXT_ONLY),
)
"""How the names of other architectures end."""
_TEXT_MODELS: Final = ("Bert", "Roberta", "MPNet", "XLM", "T5", "Electra", "Deberta")
_IMAGE_MODELS: Final = ("ViT", "Dinov", "ConvNext", "Swin", "ResNet", "EfficientNet", "Beit", "DeiT")


def refuse_architecture(directory: Path, config: Mapping[str, Any]) -> CheckpointError:
    """Return the error that names an architecture that is not supported, with what to use instead."""
    found = config.get("architectures") or [config.get("model_type")]
    name = str(found[0]) if isinstance(found, list) and found else str(found)
    if "auto_map" in config:
        what = "brings code of its own, which is not run; use a checkpoint of one of transformers' own architectures"
    else:
        what = REFUSED.get(name) or _of_a_kind(name)
    return CheckpointError(f"checkpoint {directory}: {name} {what} (accepted: {SUPPORTED})")


def _of_a_kind(name: str) -> str:
    for ending, what in _KINDS:
        if name.endswith(ending):
            return what
    if name.startswith(_TEXT_MODELS):
        return _TEXT_ONLY
    if name.startswith(_IMAGE_MODELS):
        return _IMAGE_ONLY
    return "is not supported; use a CLIP or SigLIP"


def refuse_other_formats(source: Path) -> None:
    """Name the format of what is no checkpoint in Hugging Face format.

    Raises:
        CheckpointError: `source` is of another format that is known by its files.
    """
    what = _file_format(source) if source.is_file() else _folder_format(source)
    if what is not None:
        raise CheckpointError(f"checkpoint {source}: {what}")


def _file_format(file: Path) -> str | None:
    if file.suffix in {".safetensors", ".bin"}:
        return f"is a file; give its folder, which must hold config.json and the tokenizer too: {file.parent}"
    if file.suffix in {".pt", ".pth", ".ckpt"}:
        return (
            "is a PyTorch file without a config; save the model with `save_pretrained` of transformers, or with "
            "`open_clip.push_to_hf_hub` of open_clip, and give the folder"
        )
    if file.suffix in {".onnx", ".gguf", ".engine", ".plan"}:
        return f"is a {file.suffix[1:].upper()} file, which cannot be checked against its source; give the checkpoint"
    return "is a file; give a folder in Hugging Face format, or the id of a hub model"


def _folder_format(directory: Path) -> str | None:
    def has(name: str) -> bool:
        return (directory / name).is_file()

    if has("adapter_config.json"):
        return (
            "holds a LoRA adapter, and not a whole model; merge it into its base with "
            "`PeftModel.from_pretrained(...).merge_and_unload().save_pretrained(FOLDER)` and give that folder"
        )
    if has("modules.json"):
        inner = next((path.name for path in sorted(directory.glob("*CLIPModel")) if path.is_dir()), None)
        if inner:
            return f"is a sentence-transformers folder; its CLIP lies in {directory / inner}: give that"
        return f"is a sentence-transformers folder of a text model, which {_TEXT_ONLY}"
    if has("model_index.json"):
        return "is a diffusers folder, which makes photos; give the checkpoint of a CLIP or SigLIP"
    if has("config.json") and _is_timm(directory / "config.json"):
        return f"is a timm model, which {_IMAGE_ONLY}"
    if not has("config.json") and not has("open_clip_config.json"):
        for pattern, what in (("*.gguf", "GGUF"), ("*.onnx", "ONNX"), ("*.h5", "Keras"), ("*.msgpack", "Flax")):
            if next(directory.glob(pattern), None) is not None:
                return f"holds {what} files and no config.json; give the checkpoint that they were made from"
    return None


def _is_timm(path: Path) -> bool:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and "architecture" in config and "pretrained_cfg" in config
