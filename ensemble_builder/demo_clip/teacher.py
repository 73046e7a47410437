"""A convolutional teacher: on few photos it learns more than a vision transformer, and then tells it what it saw."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Teacher(nn.Module):
    """A residual network with one linear head for each thing that labels tell.

    Args:
        heads: Name of a head to its number of classes.
        widths: Channels of the four stages.
        depth: Blocks in each stage.
    """

    def __init__(self, heads: dict[str, int], widths: tuple[int, ...] = (48, 96, 192, 384), depth: int = 2) -> None:
        super().__init__()
        self.width = widths[-1]
        stem = widths[0]
        layers: list[nn.Module] = [
            nn.Conv2d(3, stem, 5, stride=2, padding=2, bias=False),
            nn.BatchNorm2d(stem),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, padding=1),
        ]
        last = stem
        for stage, width in enumerate(widths):
            for block in range(depth):
                layers.append(_Block(last, width, stride=2 if stage > 0 and block == 0 else 1))
                last = width
        self.trunk = nn.Sequential(*layers)
        self.dropout = nn.Dropout(0.2)
        self.heads = nn.ModuleDict({name: nn.Linear(last, count) for name, count in heads.items()})

    def features(self, pixels: Tensor) -> Tensor:
        """Return the pooled features.

        Args:
            pixels: [n, 3, h, w] normalised.

        Returns:
            [n, width of the last stage].
        """
        pooled: Tensor = self.trunk(pixels.contiguous(memory_format=torch.channels_last)).mean(dim=(2, 3))
        return pooled

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """Return the logits of every head.

        Args:
            pixels: [n, 3, h, w] normalised.

        Returns:
            Head name to [n, classes].
        """
        pooled = self.dropout(self.features(pixels))
        return {name: head(pooled) for name, head in self.heads.items()}


class _Block(nn.Module):
    """Two 3 x 3 convolutions with a squeeze-and-excitation gate and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )
        last = nn.BatchNorm2d(outputs)
        nn.init.zeros_(last.weight)
        self.second = nn.Sequential(nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), last)
        self.gate = nn.Sequential(
            nn.Linear(outputs, outputs // 8), nn.ReLU(inplace=True), nn.Linear(outputs // 8, outputs), nn.Sigmoid()
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride, ceil_mode=True) if stride > 1 else nn.Identity(),
                nn.Conv2d(inputs, outputs, 1, bias=False),
                nn.BatchNorm2d(outputs),
            )

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.second(self.first(inputs))
        hidden = hidden * self.gate(hidden.mean(dim=(2, 3)))[:, :, None, None]
        return torch.relu(hidden + self.shortcut(inputs))
