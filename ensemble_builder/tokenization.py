"""The checkpoint's tokenizer, and the tokenizer.json that serving reads."""

from __future__ import annotations

import json
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from ensemble_builder.checkpoint import Checkpoint
from ensemble_builder.loading import one_line
from product_match.contract.errors import CheckpointError

_SPACE: Final = "\N{LOWER ONE EIGHTH BLOCK}"
"""What sentencepiece writes for a space."""
_UNMATCHED: Final = "\ufdd0"
"""No character, by Unicode's own word, so that no text holds it."""

TOKENIZER_FILES: Final = (
    ("tokenizer.json",),
    ("vocab.json", "merges.txt"),
    ("vocab.txt",),
    ("spiece.model",),
    ("sentencepiece.bpe.model",),
    ("tokenizer.model",),
)
"""What a tokenizer is made from, one set of files or another."""


def load_tokenizer(checkpoint: Checkpoint) -> Any:
    """Load the checkpoint's own tokenizer.

    Raises:
        CheckpointError: Its files are missing or damaged, or it has no padding token.
    """
    import transformers

    _check_files(checkpoint)
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint.directory, local_files_only=True)
    except Exception as error:  # the tokenizers library raises bare Exception for a damaged tokenizer.json
        raise CheckpointError(
            f"checkpoint {checkpoint.directory}: its tokenizer cannot be loaded ({one_line(error)}); "
            "tokenizer.json, or the files that it is made from, must be there and whole"
        ) from error
    if tokenizer.pad_token_id is None:
        raise CheckpointError(
            f"checkpoint {checkpoint.directory}: the tokenizer has no padding token; name one as pad_token in "
            "tokenizer_config.json"
        )
    vocabulary = checkpoint.text_config.get("vocab_size")
    if vocabulary is not None and len(tokenizer) > vocabulary:
        raise CheckpointError(
            f"checkpoint {checkpoint.directory}: the tokenizer has {len(tokenizer):,} tokens and the text tower "
            f"{vocabulary:,}; tokenizer and weights must belong together"
        )
    return tokenizer


def _check_files(checkpoint: Checkpoint) -> None:
    """Look for the files of a tokenizer: without any, transformers makes an empty one.

    Raises:
        CheckpointError: They are missing.
    """
    have = {path.name for path in checkpoint.directory.iterdir()}
    if any(have.issuperset(files) for files in TOKENIZER_FILES):
        return
    for files in TOKENIZER_FILES:
        some = have.intersection(files)
        if some:
            missing = ", ".join(sorted(set(files) - some))
            raise CheckpointError(
                f"checkpoint {checkpoint.directory}: the tokenizer has {', '.join(sorted(some))} and no {missing}; "
                "download that too"
            )
    raise CheckpointError(
        f"checkpoint {checkpoint.directory}: tokenizer.json is missing, and so is every other file that a tokenizer "
        f"is made from ({'; '.join(' with '.join(files) for files in TOKENIZER_FILES[1:])}); download it too"
    )


def lowers_text(tokenizer: Any) -> bool:
    """Say whether a tokenizer lower-cases by itself, as its normaliser tells."""
    words = "A Red Dress"
    return bool(tokenizer(words).input_ids == tokenizer(words.lower()).input_ids)


def tokenizer_json(checkpoint: Checkpoint, tokenizer: Any) -> str:
    """Return the text of tokenizer.json, with no truncation and no padding of its own: serving does both.

    Raises:
        CheckpointError: The tokenizer has no form that the tokenizers library can run.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None and type(tokenizer).__name__ == "SiglipTokenizer":
        backend = _from_sentencepiece(tokenizer)
    if backend is None:
        raise CheckpointError(
            f"checkpoint {checkpoint.directory}: {type(tokenizer).__name__} has no fast form, so there is no "
            "tokenizer.json to serve with; save the checkpoint with a fast tokenizer"
        )
    content = json.loads(backend.to_str())
    content["truncation"] = None
    content["padding"] = None
    if content["model"]["type"] == "Unigram":
        _hide_control_pieces(content, tokenizer.all_special_ids)
    return json.dumps(content, ensure_ascii=False) + "\n"


def _hide_control_pieces(content: dict[str, Any], control: Sequence[int]) -> None:
    """Make the control tokens of a Unigram vocabulary match no text.

    sentencepiece never finds them in text; the tokenizers library looks for every piece, `</s>` too, which would end
    the text for the encoder. Where they are put around a text, they are told by their ids.
    """
    vocabulary = content["model"]["vocab"]
    for place in control:
        if place < len(vocabulary):
            vocabulary[place][0] = _UNMATCHED + vocabulary[place][0]
    content["added_tokens"] = [token for token in content["added_tokens"] if token["id"] not in control]


def _from_sentencepiece(slow: Any) -> Tokenizer:
    """Rebuild SigLIP's sentencepiece tokenizer, which transformers ships no fast form of.

    Source: transformers SiglipTokenizer.canonicalize_text and _tokenize, step by step; the build's token check
    compares the two.
    """
    model = _sentencepiece_model(Path(slow.vocab_file))
    pieces = [(piece.piece, piece.score) for piece in model.pieces]
    fast = Tokenizer(models.Unigram(pieces, unk_id=slow.unk_token_id, byte_fallback=False))
    steps: list[normalizers.Normalizer] = [normalizers.Replace(_SPACE, " ")]
    if slow.do_lower_case:
        steps.append(normalizers.Lowercase())
    steps += [
        normalizers.Replace(Regex("[" + "".join(f"\\x{{{ord(mark):02x}}}" for mark in string.punctuation) + "]"), ""),
        normalizers.Replace(Regex(r"\s+"), " "),
        normalizers.Strip(),
    ]
    if model.normalizer_spec.precompiled_charsmap:
        steps.append(normalizers.Precompiled(model.normalizer_spec.precompiled_charsmap))
    steps.append(normalizers.Replace(Regex(" {2,}"), " "))
    fast.normalizer = normalizers.Sequence(steps)
    fast.pre_tokenizer = pre_tokenizers.Metaspace(replacement=_SPACE, prepend_scheme="always")
    fast.post_processor = processors.TemplateProcessing(
        single=f"$A {slow.eos_token}", special_tokens=[(slow.eos_token, slow.eos_token_id)]
    )
    fast.add_special_tokens([slow.eos_token, slow.unk_token])
    return fast


def _sentencepiece_model(path: Path) -> Any:
    """Read what is needed of a sentencepiece model.

    sentencepiece's own protobuf module fits one range of protobuf only, and not the one that tritonclient asks for,
    so the few fields are declared here. Source of the numbers: sentencepiece_model.proto.
    """
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="sentencepiece_part.proto", package="sentencepiece_part")
    _message(file, "Piece", ("piece", 1, field.TYPE_STRING, ""), ("score", 2, field.TYPE_FLOAT, ""))
    _message(file, "NormalizerSpec", ("precompiled_charsmap", 2, field.TYPE_BYTES, ""))
    _message(
        file,
        "Model",
        ("pieces", 1, field.TYPE_MESSAGE, "Piece"),
        ("normalizer_spec", 3, field.TYPE_MESSAGE, "NormalizerSpec"),
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    model = message_factory.GetMessageClass(pool.FindMessageTypeByName("sentencepiece_part.Model"))()
    model.ParseFromString(path.read_bytes())
    return model


def _message(
    file: descriptor_pb2.FileDescriptorProto,
    name: str,
    *fields: tuple[str, int, descriptor_pb2.FieldDescriptorProto.Type.ValueType, str],
) -> None:
    message = file.message_type.add(name=name)
    for field, number, kind, of in fields:
        label = (
            descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED
            if field == "pieces"
            else descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL
        )
        entry = message.field.add(name=field, number=number, type=kind, label=label)
        if of:
            entry.type_name = f".sentencepiece_part.{of}"
