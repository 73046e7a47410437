"""ICC profiles made on the spot: RGB from primaries and a gamma, grey from a gamma, CMYK from tables."""

from __future__ import annotations

import itertools
import struct

import numpy as np
from PIL import ImageCms

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()

_D50 = np.asarray([0.9642, 1.0, 0.8249])
_BRADFORD = np.asarray([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def _fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65_536)) for value in values)


def _text(words: str) -> bytes:
    return b"desc" + bytes(4) + struct.pack(">I", len(words) + 1) + words.encode() + bytes(80)


def _profile(kind: bytes, space: bytes, between: bytes, tags: dict[bytes, bytes]) -> bytes:
    table, body = b"", b""
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    head = struct.pack(">I", start + len(body)) + b"none" + bytes([2, 0x40, 0, 0]) + kind + space + between
    head = head.ljust(36, b"\0") + b"acsp"
    head = head.ljust(68, b"\0") + _fixed(*_D50)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def _curve(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)


def _rgb(name: str, primaries: list[tuple[float, float]], white: tuple[float, float], gamma: float) -> bytes:
    def xyz(x: float, y: float) -> np.ndarray:
        return np.asarray([x / y, 1.0, (1 - x - y) / y])

    columns = np.stack([xyz(*primary) for primary in primaries], 1)
    matrix = columns * np.linalg.solve(columns, xyz(*white))
    cones = (_BRADFORD @ _D50) / (_BRADFORD @ xyz(*white))
    adapted = np.linalg.inv(_BRADFORD) @ np.diag(cones) @ _BRADFORD @ matrix
    tags = {
        b"desc": _text(name),
        b"cprt": b"text" + bytes(4) + b"none\0",
        b"wtpt": b"XYZ " + bytes(4) + _fixed(*_D50),
    }
    for letter, column in zip("rgb", adapted.T, strict=True):
        tags[f"{letter}XYZ".encode()] = b"XYZ " + bytes(4) + _fixed(*column)
        tags[f"{letter}TRC".encode()] = _curve(gamma)
    return _profile(b"mntr", b"RGB ", b"XYZ ", tags)


def _cmyk_to_lab(ink: np.ndarray) -> np.ndarray:
    """Lab of inks 0 to 1 that mix as Pillow's plain conversion has it, which is enough for a test."""
    rgb = (1 - ink[:3]) * (1 - ink[3])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = np.asarray([[0.4361, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7142]]) @ linear / _D50
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.asarray([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def _table(inputs: int, outputs: int, grid: int, values: np.ndarray) -> bytes:
    """An 8-bit lookup table (`mft1`)."""
    identity = bytes(range(256))
    head = b"mft1" + bytes(4) + bytes([inputs, outputs, grid, 0]) + _fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    return head + identity * inputs + values.astype(np.uint8).tobytes() + identity * outputs


def _cmyk() -> bytes:
    steps = 9
    axis = np.linspace(0, 1, steps)
    lab = np.asarray([_cmyk_to_lab(np.asarray(ink)) for ink in itertools.product(axis, repeat=4)])
    to_lab = np.clip(np.round(np.stack([lab[:, 0] * 2.55, lab[:, 1] + 128, lab[:, 2] + 128], -1)), 0, 255)
    grid = 17
    levels = np.linspace(0, 255, grid)
    inks = []
    for lightness, a, b in itertools.product(levels, repeat=3):
        f = (lightness / 2.55 + 16) / 116
        fs = np.asarray([f + (a - 128) / 500, f, f - (b - 128) / 200])
        xyz = np.where(fs > 6 / 29, fs**3, (fs - 16 / 116) / 7.787) * _D50
        inverse = np.asarray([[3.1339, -1.6169, -0.4906], [-0.9788, 1.9161, 0.0335], [0.0719, -0.2290, 1.4052]])
        linear = np.clip(inverse @ xyz, 0, 1)
        rgb = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
        inks.append([*(1 - rgb), 0.0])
    from_lab = np.round(np.asarray(inks) * 255)
    tags = {b"desc": _text("test inks"), b"cprt": b"text" + bytes(4) + b"none\0"}
    tags[b"wtpt"] = b"XYZ " + bytes(4) + _fixed(*_D50)
    tags[b"A2B0"] = _table(4, 3, steps, to_lab)
    tags[b"B2A0"] = _table(3, 4, grid, from_lab)
    return _profile(b"prtr", b"CMYK", b"Lab ", tags)


_D65 = (0.3127, 0.3290)
DISPLAY_P3 = _rgb("Display P3", [(0.680, 0.320), (0.265, 0.690), (0.150, 0.060)], _D65, 2.2)
ADOBE_RGB = _rgb("Adobe RGB (1998)", [(0.640, 0.330), (0.210, 0.710), (0.150, 0.060)], _D65, 2.2)
PROPHOTO = _rgb("ProPhoto", [(0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001)], (0.3457, 0.3585), 1.8)
GREY = _profile(
    b"mntr", b"GRAY", b"XYZ ",
    {b"desc": _text("linear grey"), b"cprt": b"text" + bytes(4) + b"none\0",
     b"wtpt": b"XYZ " + bytes(4) + _fixed(*_D50), b"kTRC": _curve(1.0)},
)  # fmt: skip
CMYK = _cmyk()
