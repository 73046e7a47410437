"""A load on the catalogue that remembers what was acknowledged, with processes killed at seeded moments."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field

from product_match.catalogue.opening import open_for_writing
from product_match.contract.errors import ProductMatchError, UnavailableError
from product_match.documents.removal import remove_products
from product_match.documents.store import Document, open_documents
from product_match.documents.updating import Updated, update_products
from product_match.documents.writing import write_products
from product_match.index.verification import FAULTS, VerifyReport, verify
from product_match.settings import ServingSettings
from tests.fakes.catalogues import product_write
from tests.fakes.document_server import DocumentServer
from tests.fakes.encoders import encoder_spec
from tests.fakes.index_owner import OwnerProcess

BATCHES = 24
BATCH_SIZE = 16
PRODUCTS = 160
GIVE_UP_S = 60.0
VICTIMS = ("document store", "index owner", "both", "index owner in a change")


@dataclass
class Outcome:
    """What a run left behind; all zeros but the seconds and the acknowledged."""

    victim: str
    seed: int
    killed_after_batch: int
    acknowledged: int = 0
    lost: int = 0
    duplicated: int = 0
    left_pending: int = 0
    out_of_step: int = 0
    seconds_to_whole: float = 0.0

    @property
    def whole(self) -> bool:
        return not (self.lost or self.duplicated or self.left_pending or self.out_of_step)


@dataclass
class Load:
    """Writes, updates and removes products, again and again until acknowledged, and keeps what has to be there."""

    settings: ServingSettings
    random: random.Random
    expected: dict[str, dict[str, object] | None] = field(default_factory=dict)
    acknowledged: int = 0

    def __post_init__(self) -> None:
        self.catalogue = open_for_writing(self.settings, encoder_spec())

    def batch(self) -> None:
        """Do one batch of one kind."""
        numbers = self.random.sample(range(PRODUCTS), BATCH_SIZE)
        kind = self.random.choice(("write", "write", "write", "update", "remove"))
        stamp = self.random.randrange(10**9)
        self._until_acknowledged(lambda: self._do(kind, numbers, stamp))
        self.acknowledged += BATCH_SIZE

    def _do(self, kind: str, numbers: list[int], stamp: int) -> None:
        documents = self.catalogue.documents
        if kind == "write":
            writes = [product_write(number, stamp=stamp) for number in numbers]
            for write, result in zip(writes, write_products(documents, writes), strict=True):
                if isinstance(result, ProductMatchError):
                    raise result
                self.expected[write.product_id] = dict(write.product)
        elif kind == "update":
            updates = [{"id": f"p{number}", "price": stamp / 100} for number in numbers]
            for update, result in zip(updates, update_products(documents, updates), strict=True):
                held = self.expected.get(str(update["id"]))
                if isinstance(result, Updated) and held is not None:
                    held["price"] = update["price"]
                elif isinstance(result, UnavailableError):
                    raise result
        else:
            remove_products(documents, [f"p{number}" for number in numbers])
            self.expected.update((f"p{number}", None) for number in numbers)
        self.catalogue.owner.wake()

    @staticmethod
    def _until_acknowledged(action: object) -> None:
        give_up = time.monotonic() + GIVE_UP_S
        while True:
            try:
                action()  # type: ignore[operator]
                return
            except UnavailableError:
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.05)


def run(settings: ServingSettings, documents_server: DocumentServer, victim: str, seed: int) -> Outcome:
    """Load, kill `victim` at a moment that `seed` decides, start it again, load on, and look at what is there.

    Args:
        settings: Of a catalogue that nothing else uses, on `documents_server`.
        documents_server: A store of its own.
        victim: One of VICTIMS.
        seed: Decides the load and the moment.
    """
    dice = random.Random(seed)
    outcome = Outcome(victim=victim, seed=seed, killed_after_batch=dice.randrange(2, BATCHES - 4))
    die_at_change = dice.randrange(1, 6) if victim == "index owner in a change" else 0
    owner = OwnerProcess(settings, die_at_change)
    load = Load(settings, dice)
    try:
        for number in range(BATCHES):
            if number == outcome.killed_after_batch:
                _kill(victim, owner, documents_server, load)
                killed = time.monotonic()
                time.sleep(dice.uniform(0, 0.1))
                _revive(victim, owner, documents_server)
            load.batch()
        report = _whole(load)
        outcome.seconds_to_whole = round(time.monotonic() - killed, 2)
        outcome.acknowledged = load.acknowledged
        _judge(outcome, load, report)
    finally:
        load.catalogue.close()
        owner.kill()
    return outcome


def _kill(victim: str, owner: OwnerProcess, documents_server: DocumentServer, load: Load) -> None:
    if victim in ("document store", "both"):
        documents_server.kill()
    if victim in ("index owner", "both"):
        owner.kill()
    if victim == "index owner in a change":
        while owner.alive():
            load.batch()
        owner.wait_dead(GIVE_UP_S)


def _revive(victim: str, owner: OwnerProcess, documents_server: DocumentServer) -> None:
    if victim in ("document store", "both"):
        documents_server.start()
    if victim != "document store":
        owner.start()


def _whole(load: Load) -> VerifyReport:
    """Return the comparison once nothing is pending, or when time is up.

    Nothing is written any more, so what is not pending before the comparison is not pending during it: what the
    applier takes while the points are counted would be missing from their number.
    """
    give_up = time.monotonic() + GIVE_UP_S
    documents, owner = load.catalogue.documents, load.catalogue.owner
    while True:
        try:
            late = time.monotonic() > give_up
            if not documents.count_pending() or late:
                report = verify(documents, owner)
                if report.in_step or late:
                    return report
        except UnavailableError:
            if time.monotonic() > give_up:
                raise
        time.sleep(0.05)


def _judge(outcome: Outcome, load: Load, report: VerifyReport) -> None:
    documents = open_documents(load.settings, encoder_spec().identity)
    held: list[Document] = [document for page in documents.walk() for document in page]
    documents.close()
    products = {document["product_id"]: document.get("product") for document in held if not document.get("deleted")}
    wanted = {product_id: product for product_id, product in load.expected.items() if product is not None}
    outcome.lost = sum(products.get(product_id) != product for product_id, product in wanted.items())
    outcome.lost += sum(product_id not in wanted for product_id in products)
    outcome.duplicated = len(held) - len({document["product_id"] for document in held})
    outcome.left_pending = sum(bool(document.get("pending")) for document in held)
    outcome.out_of_step = sum(getattr(report, kind) for kind in FAULTS) + abs(report.vectors - len(wanted))
