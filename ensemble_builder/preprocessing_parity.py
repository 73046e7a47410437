"""Whether serving's pixels and tokens are those of the checkpoint's own image processor and tokenizer."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from ensemble_builder.embeddings import Encoders
from ensemble_builder.family import Family
from ensemble_builder.image_rules import ImageRules
from ensemble_builder.parity import COSINE_LIMITS, cosines, refuse_failures
from ensemble_builder.photos import Photo
from ensemble_builder.report import BuildReport, Check
from product_match.contract.encoder import EncoderSpec
from product_match.contract.errors import ParityError
from product_match.preprocessing.images import ImagePreprocessor
from product_match.preprocessing.texts import TextPreprocessor

PIXEL_ERROR_LIMIT: Final = 1.0
DRAFT_COSINE_LIMIT: Final = 0.998
PHOTOS: Final = 24
LARGE_FACTOR: Final = 5
"""The large version of a photo is this many times the encoder's size, so that `draft` skips most of its JPEG data."""

SPELLED: Final = (
    "red dress <|endoftext|> blue shoes <|startoftext|>",
    "red </s> dress <s> blue <pad> <eos> shoes <bos> <unk>",
    "[CLS] red dress [SEP] blue [PAD] shoes [MASK] [UNK]",
)
"""Control tokens of one tokenizer or another, spelled out."""
TOKEN_CORPUS: Final = (
    "",
    "a",
    "red shoes",
    "Blue DENIM Jacket",
    "A photo of a women's long-sleeved t-shirt (navy), size M/L!",
    "don't  stop   believin'",
    "  leading and trailing blanks  ",
    "tabs\tand\nnew\r\nlines",
    "naïve café crème brûlée",
    "cafe\u0301 with a combining accent",
    "GROSSE STRASSE, große Straße",
    "Ärmelloses Kleid für Mädchen",
    "ropa de niño, camisón y pañuelo",
    "красное платье с цветами",
    "κόκκινο φόρεμα",
    "赤いドレス",
    "红色连衣裙",
    "빨간 드레스",
    "लाल पोशाक",
    "فستان أحمر",
    "שמלה אדומה",
    "ชุดสีแดง",
    "👟 sneakers 🔥🔥",
    "👩‍👩‍👧‍👦 family 🏳️‍🌈 flag",
    "emoji only: 🙂",
    "ﬁligree ﬂower ① ½ ㎏ Ｆｕｌｌ ｗｉｄｔｈ",
    "zero\u200bwidth and non\u00a0breaking",
    "100% cotton, $39.99 (was $59.99) -50%",
    "SKU-1042_B/7 #42 @home &co. {x} [y] <z>",
    "C++ & C# \\ backslash | pipe ~ tilde ^ caret ` grave",
    "supercalifragilisticexpialidocious" * 4,
    "word " * 15,
    "a much longer description of a garment than most people would type into a search box " * 3,
    "1 2 3 4 5 6 7 8 9 10 " * 30,
    "🙂" * 90,
    "İstanbul ışık",
    "ſtrange ẞ letters",
    *SPELLED,
)
"""Unicode of many scripts, emoji, long, empty, mixed case, blanks, punctuation and control tokens spelled out."""


def check_tokens(
    *,
    tokenizer: Any,
    family: Family,
    model: Any,
    spec: EncoderSpec,
    directory: Path,
    encoders: Encoders,
    report: BuildReport,
) -> None:
    """Compare tokens, padding and text embeddings with the checkpoint's own, over TOKEN_CORPUS.

    Raises:
        ParityError: A text has other tokens, or its embedding differs.
    """
    ours = TextPreprocessor(spec, directory)
    control = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    different, pairs = [], []
    for text in TOKEN_CORPUS:
        own = family.own_tokens(tokenizer, text, spec.context_length)
        found = ours.tokenize([text])
        length = found.input_ids.shape[1]
        same = found.input_ids[0].tolist() == own.ids[:length] and all(
            token == spec.pad_id for token in own.ids[length:]
        )
        if not same and text in SPELLED and _inside(own.ids, own.end) & control:
            # The checkpoint's own takes these for control tokens even where it is asked not to; serving must not.
            same = not _inside(found.input_ids[0].tolist(), int(found.eot_index[0, 0])) & control
            if same:
                continue
        if not same:
            different.append(f"{text[:40]!r}: {_unlike(found.input_ids[0].tolist(), own.ids)}")
            continue
        embedding = encoders.text({"input_ids": found.input_ids, "eot_index": found.eot_index})
        ids, ends = np.asarray([own.ids], dtype=np.int32), np.asarray([[own.end]], dtype=np.int32)
        pairs.append((embedding[0], family.reference_texts(model, ids, ends)[0]))
    report.at_most("texts of the corpus with other tokens", len(different), 0, len(TOKEN_CORPUS))
    if different:
        raise ParityError(
            f"{len(different)} of {len(TOKEN_CORPUS)} texts have other tokens than the checkpoint's own tokenizer "
            f"gives, such as {different[0]}; serving cannot use this tokenizer"
        )
    values = cosines(np.stack([pair[0] for pair in pairs]), np.stack([pair[1] for pair in pairs]))
    what = "texts of the corpus, words to embedding, lowest cosine"
    refuse_failures([report.at_least(what, values.min(), COSINE_LIMITS[spec.precision], len(values))])


def _inside(ids: Sequence[int], end: int) -> set[int]:
    """Return the ids between the first and the last token."""
    return set(ids[1:end])


def _unlike(found: Sequence[int], own: Sequence[int]) -> str:
    place = next((n for n, (a, b) in enumerate(zip(found, own, strict=False)) if a != b), min(len(found), len(own)))
    return f"from position {place}, {list(found[place : place + 4])} instead of {list(own[place : place + 4])}"


def check_pixels(
    *,
    processor: Any,
    family: Family,
    model: Any,
    spec: EncoderSpec,
    rules: ImageRules,
    photos: Sequence[Photo],
    encoders: Encoders,
    report: BuildReport,
) -> None:
    """Compare pixels and image embeddings with the checkpoint's own processor, on photos as they are and enlarged.

    Raises:
        ParityError: The pixels or the embeddings of a photo differ by more than the limits.
    """
    ours = ImagePreprocessor(spec, threads=1)
    errors, pairs = [], []
    for data in photo_files(photos, spec):
        own = _own_values(processor, data, family)
        found = ours.pixels(data)
        errors.append(float(np.abs(found.astype(np.float64) - _to_pixels(own, rules)).mean()))
        embedding = encoders.image({"pixel_values": found[None]})[0]
        pairs.append((embedding, family.reference_images(model, torch.from_numpy(own[None]))[0]))
    angles = cosines(np.stack([pair[0] for pair in pairs]), np.stack([pair[1] for pair in pairs]))
    checks: list[Check] = []
    half = len(errors) // 2
    for kind, values in (("as they are", errors[:half]), ("enlarged, through draft", errors[half:])):
        what = f"pixels against the processor, photos {kind}"
        checks.append(report.at_most(f"{what}, mean error", float(np.mean(values)), PIXEL_ERROR_LIMIT, half))
        report.note_figure(f"{what}, worst photo", max(values), half)
    what = "photos to embeddings, lowest cosine"
    checks.append(report.at_least(what, angles.min(), DRAFT_COSINE_LIMIT, len(angles)))
    refuse_failures(checks)


def photo_files(photos: Sequence[Photo], spec: EncoderSpec) -> list[bytes]:
    """Return encoded photos: some as they are, and each of those as a JPEG large enough for the `draft` path."""
    step = max(1, len(photos) // PHOTOS)
    files = [photo.path.read_bytes() for photo in photos[::step][:PHOTOS]] or synthetic_photos(PHOTOS // 2)
    return files + [_enlarged(data, LARGE_FACTOR * spec.resize_size_px) for data in files]


def synthetic_photos(count: int, seed: int = 11) -> list[bytes]:
    """Return JPEGs of soft random shapes, for where there are no photos at all."""
    random = np.random.default_rng(seed)
    files = []
    for index in range(count):
        small = Image.fromarray(random.integers(0, 256, (5, 6, 3), dtype=np.uint8), "RGB")
        files.append(_jpeg(small.resize((300 + 40 * (index % 4), 420 - 30 * (index % 5)), Image.Resampling.BICUBIC)))
    return files


def _enlarged(data: bytes, short_side: int) -> bytes:
    with Image.open(io.BytesIO(data)) as image:
        factor = short_side / min(image.size)
        size = (round(image.width * factor), round(image.height * factor))
        return _jpeg(image.convert("RGB").resize(size, Image.Resampling.BICUBIC))


def _jpeg(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=92)
    return stream.getvalue()


def _own_values(processor: Any, data: bytes, family: Family) -> NDArray[np.float32]:
    """Return the processor's normalised values [3, H, W] of a photo decoded in full and turned upright."""
    with Image.open(io.BytesIO(data)) as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
    return family.own_values(processor, upright)


def _to_pixels(values: NDArray[np.float32], rules: ImageRules) -> NDArray[np.float64]:
    """Undo the normalisation: [3, H, W] to [H, W, 3], 0 to 255."""
    channels_last = values.astype(np.float64).transpose(1, 2, 0)
    result: NDArray[np.float64] = (
        channels_last * np.asarray(rules.std) + np.asarray(rules.mean)
    ) / rules.rescale_factor
    return result
