"""Photos as files: the suffixes of the formats that are read."""

from __future__ import annotations

from typing import Final

PHOTO_SUFFIXES: Final = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".avif", ".heic", ".heif", ".gif"),
        *(".bmp", ".dib", ".tif", ".tiff"),
    }
)
"""In lower case. A suffix says what a folder's file may be; what it is, its first bytes say."""
