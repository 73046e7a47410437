"""The commands of the model `catalogue`: one JSON object in, one JSON object out.

get      ids                                products by id
list     after, limit, filter               a page of products in the order of ids
export   after, limit                       the same with words and the photo's digest, to load elsewhere
images   digests                            the photos of products, in base64
count    filter                             how many products
hashes   ids                                content hashes, to skip what has not changed
update   products, wait                     merge fields; null takes a field away
delete   ids or filter, wait                remove products
verify   repair, continue                   compare documents and vector index
rebuild                                     start to derive a fresh index from the documents
drop     confirm                            remove everything
reindex  encoder                            start to embed everything with another encoder, and switch to it
rollback                                    go back to the encoder before
rules    set, remove                        what the shop wants shown first or last; effective within seconds
status                                      what the index is, how large, and what troubles it
capabilities                                models, options with types and ranges, filters, limits

and those of `event_commands`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from product_match.catalogue.arguments import Arguments
from product_match.catalogue.event_commands import EVENT_OPERATIONS, EventAccess
from product_match.catalogue.opening import Catalogue
from product_match.catalogue.rules import change_rules
from product_match.contract import limits
from product_match.contract.capabilities import capabilities
from product_match.contract.errors import InvalidRequestError, NotFoundError
from product_match.contract.filters import read_filter
from product_match.contract.products import point_id
from product_match.documents.filling import read_filling
from product_match.documents.images import load_images
from product_match.documents.removal import remove_matching, remove_products
from product_match.documents.selection import fitting_page
from product_match.documents.store import Document
from product_match.documents.updating import Updated, update_products
from product_match.encoder_change.requests import read_change, request_reindex, request_rollback
from product_match.index.verification import Verification

Result = dict[str, Any]

VERIFY_SLICE_S: Final = 2.0
"""A comparison answers after about this time and is continued by the next command."""

MAX_PAGE: Final = 1000
MAX_ANSWER_BYTES: Final = limits.MAX_COMMAND_BYTES

_SHOWN: Final = dict.fromkeys(
    ("product_id", "product", "rev", "pending", "encoder", "updated_at", "content_hash", "deleted"), 1
)
_EXPORTED: Final = {**_SHOWN, "query_text": 1, "image_sha256": 1, "image_count": 1, "vectors": 1}


def perform(
    catalogue: Catalogue, command: bytes, events: EventAccess, allow: Callable[[str], None] = lambda _: None
) -> Result:
    """Perform one command.

    Args:
        catalogue: What to work on.
        command: A JSON object with `operation` and what this operation takes.
        events: What commands about events work on.
        allow: Refuses, by its name, a command that the caller may not give.

    Returns:
        What goes back as JSON.

    Raises:
        InvalidRequestError: The command is not understood; the message says what is.
        NotFoundError: Nothing of what is named exists.
        UnavailableError: A store does not answer.
    """
    given = _parse(command)
    name = given.pop("operation", None)
    arguments = Arguments(str(name), given)
    if isinstance(name, str) and (name in OPERATIONS or name in EVENT_OPERATIONS):
        allow(name)
    if isinstance(name, str) and name in OPERATIONS:
        return OPERATIONS[name](catalogue, arguments)
    if isinstance(name, str) and name in EVENT_OPERATIONS:
        return EVENT_OPERATIONS[name](events, arguments)
    known = ", ".join((*OPERATIONS, *EVENT_OPERATIONS))
    raise InvalidRequestError(f"command: `operation` is {name!r:.80}; known operations are {known}")


def _parse(command: bytes) -> Result:
    if len(command) > limits.MAX_COMMAND_BYTES:
        raise InvalidRequestError(
            f"command: {len(command):,} bytes, the limit is {limits.MAX_COMMAND_BYTES:,}; send several commands"
        )
    try:
        given = json.loads(command)
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(
            f'command: not valid JSON in UTF-8 ({error}); send an object such as {{"operation": "count"}}'
        ) from error
    if not isinstance(given, dict):
        raise InvalidRequestError(
            f'command: expected a JSON object such as {{"operation": "count"}}, got {type(given).__name__}'
        )
    return given


def _get(catalogue: Catalogue, arguments: Arguments) -> Result:
    ids = arguments.ids("ids", MAX_PAGE)
    arguments.finish()
    found = catalogue.documents.read([point_id(product_id) for product_id in ids], _SHOWN, hurry=True)
    by_id = {d["product_id"]: d for d in found.values() if not d.get("deleted")}
    if not by_id:
        raise NotFoundError(f"get: none of the {len(ids)} products is in the catalogue, the first is {ids[0]:.80}")
    shown = [_shown(by_id[product_id]) for product_id in ids if product_id in by_id]
    return {"products": shown, "unknown": [product_id for product_id in ids if product_id not in by_id]}


def _list(catalogue: Catalogue, arguments: Arguments, fields: Mapping[str, int] = _SHOWN) -> Result:
    after, limit = arguments.text("after", ""), arguments.integer("limit", 100, 1, MAX_PAGE)
    product_filter = read_filter(arguments.take("filter"))
    arguments.finish()
    page = fitting_page(catalogue.documents, product_filter, after, limit, fields)
    shown: list[Result] = []
    left_bytes = MAX_ANSWER_BYTES
    for document in page:
        entry = _shown(document)
        left_bytes -= len(json.dumps(entry["product"]))
        if left_bytes < 0 and shown:
            break
        shown.append(entry)
    more = len(page) == limit or len(shown) < len(page)
    return {"products": shown, "next": shown[-1]["id"] if more and shown else None}


def _export(catalogue: Catalogue, arguments: Arguments) -> Result:
    return _list(catalogue, arguments, _EXPORTED)


def _images(catalogue: Catalogue, arguments: Arguments) -> Result:
    digests = arguments.ids("digests", MAX_PAGE)
    arguments.finish()
    images: dict[str, list[str]] = {}
    unknown: list[str] = []
    size = 0
    for number, digest in enumerate(digests):
        photos = load_images(catalogue.documents.images, digest)
        if photos is None:
            unknown.append(digest)
            continue
        size += sum(len(photo) for photo in photos)
        if images and size > MAX_ANSWER_BYTES:
            return {"images": images, "unknown": unknown, "left": digests[number:]}
        images[digest] = [base64.b64encode(photo).decode() for photo in photos]
    return {"images": images, "unknown": unknown, "left": []}


def _count(catalogue: Catalogue, arguments: Arguments) -> Result:
    product_filter = read_filter(arguments.take("filter"))
    arguments.finish()
    return {"count": catalogue.documents.count(product_filter)}


def _hashes(catalogue: Catalogue, arguments: Arguments) -> Result:
    ids = arguments.ids("ids", limits.MAX_COMMAND_IDS)
    arguments.finish()
    return {"hashes": catalogue.documents.hashes(ids)}


def _update(catalogue: Catalogue, arguments: Arguments) -> Result:
    updates = arguments.objects("products", limits.MAX_COMMAND_IDS)
    wait = arguments.flag("wait")
    arguments.finish()
    results = update_products(catalogue.documents, updates)
    done = [result.receipt for result in results if isinstance(result, Updated)]
    if not done:
        # All of them failed, so the first failure is the answer.
        raise next(result for result in results if not isinstance(result, Updated))
    searchable = _applied(catalogue, {receipt.point_id: receipt.rev for receipt in done}, wait)
    entries: list[Result] = []
    for update, result in zip(updates, results, strict=True):
        if isinstance(result, Updated):
            entry = result.receipt.to_dict(searchable=searchable)
            if result.stale_words:
                entry["text_embedding"] = "kept"
                entry["stale_words"] = list(result.stale_words)
            entries.append(entry)
        else:
            entries.append({"id": update.get("id"), "error": type(result).triton_code, "message": str(result)})
    return {"updated": sum(receipt.outcome.value == "updated" for receipt in done), "results": entries}


def _delete(catalogue: Catalogue, arguments: Arguments) -> Result:
    given = arguments.take("filter")
    ids = arguments.ids("ids", limits.MAX_COMMAND_IDS) if given is None else []
    wait = arguments.flag("wait")
    arguments.finish()
    if given is None:
        removed = remove_products(catalogue.documents, ids)
        unknown = [product_id for product_id in dict.fromkeys(ids) if product_id not in removed]
        if not removed:
            raise NotFoundError(
                f"delete: none of the {len(ids)} products is in the catalogue, the first is {ids[0]:.80}"
            )
        answer: Result = {"deleted": len(removed), "unknown": unknown}
    else:
        product_filter = read_filter(given)
        if product_filter is None:
            raise InvalidRequestError("delete: an empty filter fits every product; use `drop` to remove all of them")
        removed = remove_matching(catalogue.documents, product_filter, limits.MAX_COMMAND_IDS)
        answer = {"deleted": len(removed), "more": len(removed) == limits.MAX_COMMAND_IDS}
    applied = _applied(catalogue, {point_id(product_id): rev for product_id, rev in removed.items()}, wait)
    return answer if applied is None else {**answer, "applied": applied}


def _verify(catalogue: Catalogue, arguments: Arguments) -> Result:
    repair, state = arguments.flag("repair"), arguments.take("continue")
    arguments.finish()
    verification = Verification(catalogue.documents, catalogue.owner, repair=repair)
    if state is not None:
        verification.resume_from(state if isinstance(state, dict) else {})
    report = verification.run(VERIFY_SLICE_S)
    going_on = None if verification.done else verification.to_state()
    return {"done": verification.done, "report": report.to_dict(), "continue": going_on}


def _rebuild(catalogue: Catalogue, arguments: Arguments) -> Result:
    arguments.finish()
    return {"rebuild": catalogue.owner.rebuild()}


def _reindex(catalogue: Catalogue, arguments: Arguments) -> Result:
    directory = arguments.text("encoder", "")
    arguments.finish()
    return {"reindex": request_reindex(catalogue.state_directory, directory)}


def _rollback(catalogue: Catalogue, arguments: Arguments) -> Result:
    arguments.finish()
    return {"reindex": request_rollback(catalogue.state_directory)}


def _drop(catalogue: Catalogue, arguments: Arguments) -> Result:
    confirm = arguments.text("confirm", "")
    arguments.finish()
    name = catalogue.documents.name
    if confirm != name:
        raise InvalidRequestError(
            f"drop: removes every product for good; to confirm, send the name of the collection: "
            f'"confirm": "{name}", got {confirm!r:.80}'
        )
    return {"dropped": catalogue.owner.drop()}


def _status(catalogue: Catalogue, arguments: Arguments) -> Result:
    arguments.finish()
    encoders = {model: dict(proof) for model, proof in catalogue.proofs().items()}
    status = {"products": catalogue.documents.count(), **catalogue.owner.status()}
    status.update(encoders=encoders, filled_by=read_filling(catalogue.documents))
    change = read_change(catalogue.state_directory) if catalogue.state_directory is not None else {}
    return {**status, "reindex": change} if change else status


def _capabilities(catalogue: Catalogue, arguments: Arguments) -> Result:
    arguments.finish()
    return capabilities(catalogue.encoder)


def _applied(catalogue: Catalogue, revs: Mapping[str, int], wait: bool) -> bool | None:
    if wait:
        return not catalogue.owner.wait_applied(revs, limits.MAX_WAIT_S)
    catalogue.owner.wake()
    return None


def _shown(document: Document) -> Result:
    entry = {"id": document["product_id"], "rev": document["rev"], "pending": bool(document.get("pending"))}
    for name in ("encoder", "content_hash", "query_text", "image_sha256", "image_count", "vectors"):
        if name in document:
            entry[name] = document[name]
    return {**entry, "updated_at": document["updated_at"], "product": document["product"]}


OPERATIONS: Final[Mapping[str, Callable[[Catalogue, Arguments], Result]]] = {
    "get": _get,
    "list": _list,
    "export": _export,
    "images": _images,
    "count": _count,
    "hashes": _hashes,
    "update": _update,
    "delete": _delete,
    "verify": _verify,
    "rebuild": _rebuild,
    "drop": _drop,
    "reindex": _reindex,
    "rollback": _rollback,
    "rules": lambda catalogue, arguments: change_rules(catalogue.documents, arguments),
    "status": _status,
    "capabilities": _capabilities,
}
