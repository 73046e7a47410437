"""What of a person goes into an event: their words as they choose who runs the server, their key as a digest."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any, Final

from product_match.settings import ServingSettings, WordsKept

_DIGEST_CHARACTERS: Final = 32
_QUOTED: Final = re.compile(r"[:`'\"]")
"""Behind the first of these a message may quote a request."""


class Privacy:
    """Decides what is kept of words, of messages that may quote them, and of the key of a person."""

    def __init__(self, words: WordsKept, hash_key: str) -> None:
        """Keep words as `words` says; digests are made with `hash_key`."""
        self._words, self._key = words, hash_key.encode()

    def of_words(self, text: str, repaired: Mapping[str, str]) -> dict[str, Any]:
        """Return the fields of an event that tell what was typed; of the same words, the same digest."""
        if not text or self._words is WordsKept.LEFT_OUT:
            return {}
        if self._words is WordsKept.HASHED:
            return {"words_digest": self.digest(" ".join(text.casefold().split()))}
        return {"words": text, **({"repaired": dict(repaired)} if repaired else {})}

    def of_message(self, message: str) -> str:
        """Return an error's message; without what it may quote of a request, where words are not kept."""
        return message if self._words is WordsKept.KEPT else _QUOTED.split(message, maxsplit=1)[0].strip()

    def digest(self, text: str) -> str:
        """Return what stands for a text, such as a person's key, where it must not be kept itself."""
        return hmac.digest(self._key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hex()[
            :_DIGEST_CHARACTERS
        ]


def privacy_of(settings: ServingSettings) -> Privacy:
    """Return what the settings ask for."""
    return Privacy(settings.event_words, settings.event_hash_key.value)
