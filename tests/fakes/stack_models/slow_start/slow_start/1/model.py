"""Takes a minute to load."""

from __future__ import annotations

import time


class TritonPythonModel:
    def initialize(self, args):
        time.sleep(60)

    def execute(self, requests):
        return [None for _ in requests]
