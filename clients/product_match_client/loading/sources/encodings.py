"""How the letters of a text file are written: what it says itself, what was asked for, else what is most likely."""

from __future__ import annotations

import codecs
import io
from pathlib import Path
from typing import BinaryIO, Final, cast

from product_match.contract.errors import ConfigError, InvalidRequestError
from product_match_client.loading.sources.archives import unpacked

UTF_8: Final = "utf-8"
_CHUNK: Final = 1 << 16
_SAMPLE_BYTES: Final = 256 * 1024
_LIKELY: Final = (
    "cp1252",
    "cp1250",
    "cp1251",
    "cp1253",
    "cp1254",
    "cp1255",
    "cp1256",
    "shift_jis",
    "gb18030",
    "euc_kr",
)
"""What shops' programs write where they do not write Unicode; the first one where several fit alike."""

_NAMES: Final = {name: f"windows-{name[2:]}" for name in _LIKELY if name.startswith("cp125")}
_ALIKE: Final = 0.1
"""Measures of a language that differ by less say nothing in a text as short as a product's."""

_BETWEEN_LETTERS: Final = "\u2019\u2018\u2013\u2014\u00b7\u00ad\u00a0\u00ae\u2122"
_BOMS: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def check_encoding(name: str) -> str:
    """Return an encoding's name as it came.

    Raises:
        InvalidRequestError: There is no such text encoding.
    """
    try:
        "".encode(name)
        codecs.getincrementaldecoder(name)
    except LookupError as error:
        raise InvalidRequestError(
            f"encoding `{name}`: there is no such text encoding; write one such as utf-8, utf-16 or windows-1252"
        ) from error
    return name


def file_encoding(file: BinaryIO) -> str:
    """Return how a file that can be rewound is written; it is rewound.

    A file of UTF-8 with a few broken lines is UTF-8: those lines are rejected, and the rest is right.

    Raises:
        InvalidRequestError: It is neither UTF-8 nor anything that can be told.
        ConfigError: What tells it is not installed.
    """
    if file.read(2) in _BOMS:
        file.seek(0)
        return "utf-16"
    file.seek(0)
    good, bad, sample = 0, 0, bytearray()
    for line in iter(lambda: file.readline(_CHUNK), b""):
        if line.isascii():
            continue
        try:
            line.decode(UTF_8)
            good += 1
        except UnicodeDecodeError:
            bad += 1
            if len(sample) < _SAMPLE_BYTES:
                sample += line
    file.seek(0)
    return UTF_8 if good >= bad else _likely(bytes(sample))


def _likely(sample: bytes) -> str:
    try:
        from charset_normalizer import from_bytes
    except ModuleNotFoundError as error:
        raise ConfigError(
            "the file is not UTF-8, and telling what it is needs charset-normalizer; give --encoding, such as "
            'windows-1252, or install it with `pip install "product-match[sources]"`'
        ) from error
    western = sample.decode(_LIKELY[0], "replace")
    if not any(letter.isalpha() for letter in western if not letter.isascii()):
        return _NAMES[_LIKELY[0]]  # signs alone, such as a euro's
    found = from_bytes(sample, cp_isolation=list(_LIKELY))
    best = found.best()
    if best is None:
        raise InvalidRequestError(
            "the file is not UTF-8, and what it is cannot be told; give --encoding, such as windows-1252"
        )
    alike = {best.encoding}
    for one in found:
        if one.chaos == best.chaos and one.coherence + _ALIKE >= best.coherence:
            alike.update(name for name in (one.encoding, *one.could_be_from_charset) if _makes_words(sample, name))
    name = next((name for name in _LIKELY if name in alike), best.encoding)
    return _NAMES.get(name, name)


def _makes_words(sample: bytes, encoding: str) -> bool:
    """Say whether there are no signs inside words, as `zl` with strokes read wrongly has them."""
    text = sample.decode(encoding, "replace")
    return not any(
        before.isalpha() and after.isalpha() and not (sign.isascii() or sign.isalpha() or sign in _BETWEEN_LETTERS)
        for before, sign, after in zip(text, text[1:], text[2:], strict=False)
    )


def path_encoding(path: Path) -> str:
    """Return how a file, or what is packed in it, is written; see file_encoding."""
    with unpacked(path) as file:
        return file_encoding(file)


def in_utf_8(file: BinaryIO, encoding: str) -> BinaryIO:
    """Return the same text in UTF-8, read as it is asked for.

    A byte that the encoding does not have stays as it is, which is no UTF-8: so the line that holds it is rejected.
    """
    if codecs.lookup(encoding).name == UTF_8:
        return file
    return cast("BinaryIO", io.BufferedReader(_Recoded(file, encoding)))


class _Recoded(io.RawIOBase):
    """Reads text of another encoding as UTF-8."""

    def __init__(self, file: BinaryIO, encoding: str) -> None:
        self._file = file
        wide = codecs.lookup(encoding).name.startswith(("utf-16", "utf-32"))
        self._decoder = codecs.getincrementaldecoder(encoding)("replace" if wide else "surrogateescape")
        self._held, self._ended = b"", False

    def readable(self) -> bool:
        """It is only for reading."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill a buffer; 0 at the end."""
        while not self._held and not self._ended:
            data = self._file.read(_CHUNK)
            self._ended = not data
            self._held = self._decoder.decode(data, self._ended).encode(UTF_8, "surrogateescape")
        count = min(len(buffer), len(self._held))
        buffer[:count] = self._held[:count]
        self._held = self._held[count:]
        return count
