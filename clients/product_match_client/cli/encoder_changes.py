"""Follows a change of encoder to its end, for `reindex` and `rollback`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from product_match.contract.errors import InvalidRequestError, ProductMatchError, UnavailableError
from product_match_client.cli.output import Console
from product_match_client.cli.progress import Progress
from product_match_client.client import ProductMatchClient

POLL_S: Final = 0.5
AWAY_S: Final = 60.0
"""How long the server may be away meanwhile."""

_SHOWN: Final = ("encoder", "from", "products", "embedded", "reused", "seconds", "held_s", "message")


def follow(client: ProductMatchClient, change: Mapping[str, Any], console: Console) -> dict[str, Any]:
    """Wait until a change of encoder has ended, and return how.

    Args:
        client: Of the server.
        change: How it stood when it was asked for.
        console: Where its progress is shown.

    Raises:
        ProductMatchError: It failed, or another took its place.
        UnavailableError: The server is away.
    """
    stage = ""
    with Progress(console, "products") as progress:
        while change.get("state") in ("requested", "running"):
            if change.get("stage") and change["stage"] != stage:
                stage = str(change["stage"])
                console.note(f"reindex: {stage}")
            progress.total = change.get("total")
            progress.advance(done=max(0, int(change.get("done", 0)) - progress.done))
            time.sleep(POLL_S)
            change = _asked_again(client, change)
    if change.get("state") != "done":
        raise ProductMatchError(f"the encoder was not changed: {change.get('message', change)}")
    return {name: change[name] for name in _SHOWN if name in change}


def show(change: Mapping[str, Any], console: Console, *, as_json: bool) -> None:
    """Print how a change of encoder ended."""
    if as_json or not console.for_person:
        console.json(dict(change))
    else:
        console.line(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in change.items()))


def _asked_again(client: ProductMatchClient, change: Mapping[str, Any]) -> Mapping[str, Any]:
    give_up = time.monotonic() + AWAY_S
    while True:
        try:
            now: Mapping[str, Any] = client.status().get("reindex", {})
            break
        except InvalidRequestError:
            raise
        except ProductMatchError as error:  # a model's process that has just died is an internal error
            if time.monotonic() > give_up:
                raise UnavailableError(
                    f"the server is away ({error}); once it is back, run the same command again to go on"
                ) from error
            time.sleep(POLL_S)
    if now.get("id") != change.get("id"):
        raise ProductMatchError(
            f"another change of encoder has begun meanwhile ({now.get('encoder')}); `product-match status` shows it"
        )
    return now
