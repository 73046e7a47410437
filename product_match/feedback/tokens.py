"""The token of an answer: a JSON Web Token that says which answer it was and which products it held.

It carries what a report needs of the answer, so that feedback can be counted where no event log is kept. Products are
digests of six bytes under the answer's own id: a thousand of them are 8 kB, and nobody can write one in.
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import jwt
from jwt.exceptions import ExpiredSignatureError, PyJWTError
from jwt.types import Options

from product_match.contract.errors import InvalidRequestError
from product_match.feedback.keys import SigningKeys

AUDIENCE: Final = "feedback"
"""Keeps apart what the same key may sign for something else."""

MOST_FURTHER: Final = 200
"""Products of a token besides matches: variants, duplicates, and what would match with fewer filters."""

_REQUIRED: Final[Options] = {"require": ["exp", "jti"]}
_DIGEST_BYTES: Final = 6
_DAY_S: Final = 86_400


@dataclass(frozen=True, kw_only=True)
class AnswerFacts:
    """What a token says of its answer.

    Attributes:
        answer_id: Names the answer; `_id` of its event, where events are kept.
        kind: "words", "photo", "photo_and_words", "like" or "browse".
        outcome: Of the answer.
        encoder: `name@revision`.
        person: Digest of the key of the person who asked; empty where none was given.
        offset: How many better matches were passed over.
    """

    answer_id: str
    kind: str
    outcome: str
    encoder: str
    person: str = ""
    offset: int = 0


@dataclass(frozen=True, kw_only=True)
class AnswerToken:
    """A token that was checked.

    Attributes:
        facts: What it says of its answer.
        ranks: From 1, by the digest of a product.
    """

    facts: AnswerFacts
    ranks: Mapping[bytes, int]

    def rank_of(self, product_id: str) -> int:
        """Return a product's rank in the answer, from 1.

        Raises:
            InvalidRequestError: The answer does not hold it.
        """
        try:
            return self.ranks[_digest(self.facts.answer_id, product_id)]
        except KeyError as error:
            raise InvalidRequestError(
                f"feedback: product {product_id!r:.80} is not among the {len(self.ranks)} products of the answer "
                "that the token is of; send the `product_id` of a match beside the token of its own answer"
            ) from error


class TokenSigner:
    """Signs the tokens of answers."""

    def __init__(self, keys: SigningKeys, days: float, clock: Callable[[], float] = time.time) -> None:
        """Sign with the first of `keys`; a token is taken for `days` after its answer."""
        self._key, self._lifetime_s, self._clock = keys.signing, int(days * _DAY_S), clock
        self._headers = {"kid": str(keys.signing.key_id)}

    def sign(self, facts: AnswerFacts, product_ids: Sequence[str], further: Sequence[tuple[str, int]] = ()) -> str:
        """Return the token of an answer.

        Args:
            facts: What it says of the answer.
            product_ids: Of the matches, best first.
            further: Other products that the answer names, with the rank that each counts for; the first
                `MOST_FURTHER` of them take feedback.
        """
        kept = further[:MOST_FURTHER]
        claims: dict[str, Any] = {
            "aud": AUDIENCE,
            "jti": facts.answer_id,
            "exp": int(self._clock()) + self._lifetime_s,
            "k": facts.kind,
            "o": facts.outcome,
            "e": facts.encoder,
            "p": _packed(facts.answer_id, product_ids),
        }
        if kept:
            claims["f"] = _packed(facts.answer_id, [product_id for product_id, _ in kept])
            claims["r"] = [rank for _, rank in kept]
        if facts.person:
            claims["u"] = facts.person
        if facts.offset:
            claims["n"] = facts.offset
        return jwt.encode(claims, self._key, headers=self._headers)


class TokenReader:
    """Checks tokens that come back."""

    def __init__(self, keys: SigningKeys) -> None:
        """Believe every one of `keys`."""
        self._keys = keys.believed

    def read(self, token: str) -> AnswerToken:
        """Check a token, and return what it says.

        Raises:
            InvalidRequestError: It is forged, damaged, expired, or none.
        """
        claims = self._claims(token)
        try:
            matches = _unpacked(claims["p"])
            further = dict(zip(_unpacked(claims.get("f", "")), claims.get("r", []), strict=True))
            facts = AnswerFacts(
                answer_id=claims["jti"],
                kind=claims["k"],
                outcome=claims["o"],
                encoder=claims["e"],
                person=claims.get("u", ""),
                offset=claims.get("n", 0),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidRequestError(
                f"feedback_token: it is signed, but is not of an answer ({error!r:.80}); send the "
                "`feedback_token` of one"
            ) from error
        # A match that another names, too, counts at its own rank.
        ranks = {**further, **{digest: place for place, digest in enumerate(matches, start=facts.offset + 1)}}
        return AnswerToken(facts=facts, ranks=ranks)

    def _claims(self, token: str) -> dict[str, Any]:
        try:
            name = jwt.get_unverified_header(token).get("kid")
            key = self._keys.get(str(name))
            if key is None:
                raise InvalidRequestError(
                    f"feedback_token: signed with the key {name!r:.60}, which this server does not believe; it is of "
                    "another server, or older than the keys: ask again, and send the token of the new answer"
                )
            return jwt.decode(token, key, algorithms=[key.algorithm_name], audience=AUDIENCE, options=_REQUIRED)
        except ExpiredSignatureError as error:
            raise InvalidRequestError(
                "feedback_token: it has expired; feedback is taken for a time after the answer: ask again, and send "
                "the token of the new answer"
            ) from error
        except (PyJWTError, ValueError) as error:
            raise InvalidRequestError(
                f"feedback_token: it is forged or damaged ({error!s:.80}); send the `feedback_token` of an answer "
                "unchanged"
            ) from error


def _packed(answer_id: str, product_ids: Sequence[str]) -> str:
    digests = b"".join(_digest(answer_id, product_id) for product_id in product_ids)
    return base64.urlsafe_b64encode(digests).decode()


def _unpacked(text: str) -> list[bytes]:
    packed = base64.urlsafe_b64decode(text)
    return [packed[start : start + _DIGEST_BYTES] for start in range(0, len(packed), _DIGEST_BYTES)]


def _digest(answer_id: str, product_id: str) -> bytes:
    text = product_id.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=_DIGEST_BYTES, key=answer_id.encode()[:64]).digest()
