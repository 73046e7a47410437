"""Small checkpoints of every family, made from a config with seeded random weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import sentencepiece
import torch
import transformers
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

PROJECT = Path(__file__).resolve().parent.parent.parent
MEAN = [0.48145466, 0.4578275, 0.40821073]
STD = [0.26862954, 0.26130258, 0.27577711]
CLIP_TOKENS = 2048
_CLIP_WORDS = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def sample_words() -> list[str]:
    """Return names and descriptions of the sample catalogue, to train tokenizers on."""
    lines = (PROJECT / "sample_data" / "products.jsonl").read_text(encoding="utf-8").splitlines()
    products = [json.loads(line) for line in lines]
    return [words for product in products for words in (product["name"], product["description"])]


def write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


def _save(model: transformers.PreTrainedModel, directory: Path) -> None:
    model.save_pretrained(directory)


def clip_config(
    *, patch: int = 16, image: int = 80, width: int = 64, layers: int = 2, text_width: int = 48, **text: Any
) -> transformers.CLIPConfig:
    """Return the config of a tiny CLIP with the vocabulary of `_clip_tokenizer`."""
    return transformers.CLIPConfig(
        text_config={
            "hidden_size": text_width,
            "intermediate_size": 2 * text_width,
            "num_hidden_layers": layers,
            "num_attention_heads": 4,
            "vocab_size": CLIP_TOKENS,
            "bos_token_id": CLIP_TOKENS - 2,
            "eos_token_id": CLIP_TOKENS - 1,
            "pad_token_id": CLIP_TOKENS - 1,
            **text,
        },
        vision_config={
            "hidden_size": width,
            "intermediate_size": 2 * width,
            "num_hidden_layers": layers,
            "num_attention_heads": 4,
            "image_size": image,
            "patch_size": patch,
        },
        projection_dim=40,
    )


FULL_SIZES: dict[str, dict[str, int]] = {
    "b32": {"patch": 32, "width": 768, "layers": 12, "heads": 12, "text_width": 512, "dim": 512},
    "b16": {"patch": 16, "width": 768, "layers": 12, "heads": 12, "text_width": 512, "dim": 512},
    "l14": {"patch": 14, "width": 1024, "layers": 24, "heads": 16, "text_width": 768, "dim": 768},
}
"""OpenAI's ViT-B/32, ViT-B/16 and ViT-L/14."""


def full_size_config(name: str) -> transformers.CLIPConfig:
    """Return the config of one of OpenAI's CLIPs, full vocabulary included."""
    size = FULL_SIZES[name]
    return transformers.CLIPConfig(
        text_config={
            "hidden_size": size["text_width"],
            "intermediate_size": 4 * size["text_width"],
            "num_hidden_layers": 12,
            "num_attention_heads": size["text_width"] // 64,
            "bos_token_id": 49406,
            "eos_token_id": 49407,
        },
        vision_config={
            "hidden_size": size["width"],
            "intermediate_size": 4 * size["width"],
            "num_hidden_layers": size["layers"],
            "num_attention_heads": size["heads"],
            "patch_size": size["patch"],
            "image_size": 224,
        },
        projection_dim=size["dim"],
    )


def clip_checkpoint(directory: Path, config: transformers.CLIPConfig | None = None, **preprocessor: Any) -> Path:
    """Write a CLIPModel with a tokenizer of its kind, of the sample's words."""
    config = config or clip_config()
    torch.manual_seed(1)
    _save(transformers.CLIPModel(config), directory)
    _clip_tokenizer(directory)
    size = config.vision_config.image_size
    write_json(
        directory / "preprocessor_config.json",
        {
            "image_processor_type": "CLIPImageProcessor",
            "size": {"shortest_edge": size},
            "crop_size": {"height": size, "width": size},
            "do_center_crop": True,
            "do_resize": True,
            "do_rescale": True,
            "do_normalize": True,
            "rescale_factor": 1 / 255,
            "resample": 3,
            "image_mean": MEAN,
            "image_std": STD,
            **preprocessor,
        },
    )
    return directory


def _clip_tokenizer(directory: Path) -> None:
    """Write CLIP's tokenizer with merges of the sample's words: bytes, bytes that end a word, merges, two marks."""
    start, end = "<|startoftext|>", "<|endoftext|>"
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token=end))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_CLIP_WORDS), "removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=CLIP_TOKENS, end_of_word_suffix="</w>", initial_alphabet=letters, show_progress=False
    )
    tokenizer.train_from_iterator(sample_words(), trainer)
    content = json.loads(tokenizer.to_str())
    merges = [tuple(pair) for pair in content["model"]["merges"]]
    single = [*letters, *(f"{letter}</w>" for letter in letters)]
    tokens = list(dict.fromkeys([*single, *("".join(pair) for pair in merges)]))[: CLIP_TOKENS - 2]
    tokens += [f"<|unused_{number}|>" for number in range(CLIP_TOKENS - 2 - len(tokens))]
    merges = [pair for pair in merges if "".join(pair) in set(tokens)]
    vocabulary = {token: number for number, token in enumerate([*tokens, start, end])}
    tokenizer.model = models.BPE(vocab=vocabulary, merges=merges, end_of_word_suffix="</w>", unk_token=end)
    tokenizer.add_special_tokens([start, end])
    tokenizer.post_processor = processors.RobertaProcessing(
        (end, CLIP_TOKENS - 1), (start, CLIP_TOKENS - 2), trim_offsets=False, add_prefix_space=False
    )
    tokenizer.save(str(directory / "tokenizer.json"))
    write_json(directory / "vocab.json", vocabulary)
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (directory / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    write_json(
        directory / "tokenizer_config.json",
        {
            "tokenizer_class": "CLIPTokenizer",
            "model_max_length": 77,
            "bos_token": start,
            "eos_token": end,
            "pad_token": end,
            "unk_token": end,
        },
    )


def with_preprocessor(source: Path, directory: Path, **changes: Any) -> Path:
    """Copy a checkpoint and change what its preprocessor_config.json says."""
    shutil.copytree(source, directory)
    path = directory / "preprocessor_config.json"
    write_json(path, {**json.loads(path.read_text(encoding="utf-8")), **changes})
    return directory


def _siglip_towers(image: int, patch: int, vocabulary: int) -> dict[str, Any]:
    common = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    return {
        "text_config": {**common, "vocab_size": vocabulary, "max_position_embeddings": 64, "projection_size": 64},
        "vision_config": {**common, "image_size": image, "patch_size": patch},
    }


def _siglip_preprocessor(directory: Path, size: int) -> None:
    write_json(
        directory / "preprocessor_config.json",
        {
            "image_processor_type": "SiglipImageProcessor",
            "size": {"height": size, "width": size},
            "do_resize": True,
            "do_rescale": True,
            "do_normalize": True,
            "rescale_factor": 1 / 255,
            "resample": 3,
            "image_mean": [0.5, 0.5, 0.5],
            "image_std": [0.5, 0.5, 0.5],
        },
    )


def siglip_checkpoint(directory: Path) -> Path:
    """Write a SiglipModel with a sentencepiece tokenizer trained on the sample's words."""
    torch.manual_seed(2)
    _save(transformers.SiglipModel(transformers.SiglipConfig(**_siglip_towers(80, 16, 700))), directory)
    _siglip_preprocessor(directory, 80)
    text = directory / "words.txt"
    text.write_text("\n".join(words.lower() for words in sample_words()), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(text),
        model_prefix=str(directory / "spiece"),
        vocab_size=600,
        model_type="unigram",
        bos_id=-1,
        pad_id=-1,
        eos_id=1,
        unk_id=2,
        user_defined_symbols=["<pad>"],
        minloglevel=2,
    )
    text.unlink()
    (directory / "spiece.vocab").unlink()
    write_json(
        directory / "tokenizer_config.json",
        {
            "tokenizer_class": "SiglipTokenizer",
            "model_max_length": 64,
            "do_lower_case": True,
            "eos_token": "</s>",
            "pad_token": "</s>",
            "unk_token": "<unk>",
        },
    )
    return directory


def _gemma_tokenizer(directory: Path) -> None:
    """Write a BPE tokenizer of Gemma's kind: bytes for what it does not know, no start token, an end token."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    tokens = [*special, *(f"<0x{value:02X}>" for value in range(256))]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    trainer = trainers.BpeTrainer(vocab_size=900, special_tokens=tokens, show_progress=False)
    tokenizer.train_from_iterator((words.lower() for words in sample_words()), trainer)
    # Training marks the bytes as special too, which would match them in text.
    content = json.loads(tokenizer.to_str())
    content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] in special]
    tokenizer = Tokenizer.from_str(json.dumps(content))
    tokenizer.post_processor = processors.TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", 1)])
    tokenizer.save(str(directory / "tokenizer.json"))
    write_json(
        directory / "tokenizer_config.json",
        {
            "tokenizer_class": "GemmaTokenizer",
            "model_max_length": 64,
            "padding_side": "right",
            "add_bos_token": False,
            "add_eos_token": True,
            "bos_token": "<bos>",
            "eos_token": "<eos>",
            "pad_token": "<pad>",
            "unk_token": "<unk>",
            "mask_token": "<mask>",
        },
    )


def siglip2_checkpoint(directory: Path) -> Path:
    """Write a SigLIP2 checkpoint of fixed resolution."""
    torch.manual_seed(3)
    _save(transformers.SiglipModel(transformers.SiglipConfig(**_siglip_towers(80, 16, 1000))), directory)
    _siglip_preprocessor(directory, 80)
    _gemma_tokenizer(directory)
    return directory


def dual_checkpoint(
    directory: Path,
    vision: transformers.PreTrainedConfig | None = None,
    text: transformers.PreTrainedConfig | None = None,
    *,
    size: int = 80,
    **config: Any,
) -> Path:
    """Write a VisionTextDualEncoderModel: a ViT and a BERT with a WordPiece tokenizer of the sample's words."""
    common = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
    vision = vision or transformers.ViTConfig(**common, image_size=size, patch_size=16)
    text = text or transformers.BertConfig(**common, vocab_size=800)
    torch.manual_seed(5)
    both = transformers.VisionTextDualEncoderConfig.from_vision_text_configs(
        vision, text, projection_dim=40, **config
    )
    _save(transformers.VisionTextDualEncoderModel(both), directory)
    write_json(
        directory / "preprocessor_config.json",
        {
            "image_processor_type": "CLIPImageProcessor",
            "size": {"shortest_edge": size},
            "crop_size": {"height": size, "width": size},
            "image_mean": [0.5, 0.5, 0.5],
            "image_std": [0.5, 0.5, 0.5],
        },
    )
    _word_pieces(directory, int(text.vocab_size))
    return directory


def _word_pieces(directory: Path, size: int) -> None:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(sample_words(), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(directory / "tokenizer.json"))
    write_json(
        directory / "tokenizer_config.json",
        {
            "tokenizer_class": "BertTokenizer",
            "do_lower_case": True,
            "model_max_length": 512,
            "cls_token": "[CLS]",
            "sep_token": "[SEP]",
            "pad_token": "[PAD]",
            "unk_token": "[UNK]",
            "mask_token": "[MASK]",
        },
    )


def chinese_clip_checkpoint(directory: Path) -> Path:
    """Write a ChineseCLIPModel with a WordPiece tokenizer."""
    common = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = transformers.ChineseCLIPConfig(
        text_config={**common, "vocab_size": 800},
        vision_config={**common, "image_size": 80, "patch_size": 16},
        projection_dim=40,
    )
    torch.manual_seed(6)
    _save(transformers.ChineseCLIPModel(config), directory)
    write_json(
        directory / "preprocessor_config.json",
        {"image_processor_type": "ChineseCLIPImageProcessor", "size": {"height": 80, "width": 80}, "crop_size": 80},
    )
    _word_pieces(directory, 800)
    return directory


def metaclip2_checkpoint(directory: Path) -> Path:
    """Write a MetaClip2Model with a tokenizer of XLM-V's kind: <s>, text, </s> of id 2."""
    common = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
    special = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
    config = transformers.MetaClip2Config(
        text_config={**common, **special, "vocab_size": 900, "projection_dim": 40},
        vision_config={**common, "image_size": 80, "patch_size": 16, "projection_dim": 40},
        projection_dim=40,
    )
    torch.manual_seed(7)
    _save(transformers.MetaClip2Model(config), directory)
    write_json(
        directory / "preprocessor_config.json",
        {"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 80}, "crop_size": 80},
    )
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokens = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=600, special_tokens=tokens, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(sample_words(), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.save(str(directory / "tokenizer.json"))
    write_json(
        directory / "tokenizer_config.json",
        {
            "tokenizer_class": "XLMRobertaTokenizer",
            "model_max_length": 77,
            "bos_token": "<s>",
            "cls_token": "<s>",
            "eos_token": "</s>",
            "sep_token": "</s>",
            "pad_token": "<pad>",
            "unk_token": "<unk>",
        },
    )
    return directory
