"""Signing keys as a JSON Web Key Set (RFC 7517): the first signs, all of them are believed.

A key is changed by putting a new one in front: tokens that the old one signed are taken until they expire, then it
can be taken out. `HS256` is one secret for signing and checking; `EdDSA` (Ed25519) can be checked by who cannot sign.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from jwt import PyJWK
from jwt.exceptions import PyJWTError

from product_match.contract.errors import ConfigError

ALGORITHMS: Final = ("HS256", "EdDSA")
LEAST_SECRET_BYTES: Final = 32
"""As long as the digest, as RFC 7518 asks."""

MAKE: Final = "`product-match feedback key FILE` makes a file of keys"


@dataclass(frozen=True, kw_only=True)
class SigningKeys:
    """The keys of one server.

    Attributes:
        signing: Signs; the first of the set.
        believed: Every key by its id (`kid`), the signing one too.
    """

    signing: PyJWK
    believed: Mapping[str, PyJWK]


def read_keys(text: str) -> SigningKeys:
    """Read one JSON Web Key, or a set of them.

    Raises:
        ConfigError: It is neither, a key cannot be used or has no id of its own, or the first cannot sign.
    """
    keys = [_key(number, entry) for number, entry in enumerate(_entries(text), start=1)]
    believed = {str(key.key_id): key for key in keys}
    if len(believed) < len(keys):
        raise ConfigError(f"feedback keys: two of the {len(keys)} have one `kid`; give each an id of its own")
    if keys[0].algorithm_name == "EdDSA" and not hasattr(keys[0].key, "sign"):
        raise ConfigError(
            f"feedback keys: the first, {keys[0].key_id}, is a public key, which cannot sign; put a private one first"
        )
    return SigningKeys(signing=keys[0], believed=believed)


def _entries(text: str) -> list[Any]:
    try:
        held = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"feedback keys: not JSON ({error}); {MAKE}") from error
    entries = held.get("keys", [held]) if isinstance(held, dict) else None
    if not isinstance(entries, list) or not entries:
        raise ConfigError(f"feedback keys: expected a JSON Web Key or a set of at least one; {MAKE}")
    return entries


def _key(number: int, entry: Any) -> PyJWK:
    if not isinstance(entry, dict) or not isinstance(entry.get("kid"), str) or not entry["kid"]:
        raise ConfigError(f"feedback keys: number {number} has no `kid`, a text that names it; {MAKE}")
    name = entry["kid"]
    if entry.get("alg") not in ALGORITHMS:
        raise ConfigError(
            f"feedback keys: {name} is for {entry.get('alg')!r:.40}; expected `alg` to be {' or '.join(ALGORITHMS)}"
        )
    try:
        key = PyJWK(entry)
    except (PyJWTError, ValueError, TypeError) as error:
        raise ConfigError(f"feedback keys: {name} cannot be read ({error}); {MAKE}") from error
    if isinstance(key.key, bytes) and len(key.key) < LEAST_SECRET_BYTES:
        raise ConfigError(
            f"feedback keys: the secret of {name} has {len(key.key)} bytes, {LEAST_SECRET_BYTES} are needed; {MAKE}"
        )
    return key


def make_key(algorithm: str, key_id: str) -> dict[str, str]:
    """Return a new key as a JSON Web Key.

    Args:
        algorithm: One of `ALGORITHMS`.
        key_id: Its name.
    """
    if algorithm == "EdDSA":
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from jwt.algorithms import OKPAlgorithm

        made: dict[str, str] = json.loads(OKPAlgorithm.to_jwk(Ed25519PrivateKey.generate()))
    else:
        secret = base64.urlsafe_b64encode(secrets.token_bytes(LEAST_SECRET_BYTES)).rstrip(b"=").decode()
        made = {"kty": "oct", "k": secret}
    return {**made, "kid": key_id, "alg": algorithm}


def put_key_in_front(path: Path, algorithm: str, key_id: str, *, kept: int) -> list[str]:
    """Put a new key in front of those of a file, which is made if it is missing; only its owner can read it.

    Args:
        path: The file.
        algorithm: One of `ALGORITHMS`.
        key_id: The new key's name.
        kept: How many of the keys before stay.

    Returns:
        The ids of all keys, the new one first.

    Raises:
        ConfigError: The file holds something else, has a key of that name, or cannot be written.
    """
    try:
        before = _entries(path.read_text(encoding="utf-8")) if path.exists() else []
        held = [make_key(algorithm, key_id), *before[:kept]]
        text = json.dumps({"keys": held}, indent=2) + "\n"
        ids = list(read_keys(text).believed)
        partial = path.with_name(f"{path.name}.partial")
        partial.unlink(missing_ok=True)
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        partial.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read or written ({error.strerror}); give another file") from error
    return ids
