"""Measures a running server on a folder of labelled photos: part of them is indexed, the others are asked for."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from product_match.contract import limits
from product_match.contract.errors import ConfigError, InvalidRequestError
from product_match.evaluation.metrics import estimate
from product_match.evaluation.rankings import Ranking, report_of
from product_match.evaluation.split import Part, Role, part_of, role_of, run_key
from product_match_client.answers import MatchResult
from product_match_client.cli.bulk import BulkLoad
from product_match_client.cli.commands.list import pages
from product_match_client.cli.evaluation.questions import Questions, batches
from product_match_client.cli.output import Console
from product_match_client.client import ProductMatchClient
from product_match_client.loading.sources.records import Record
from product_match_client.requests import Query

TABLE: Final = "images.csv"
LABEL: Final = "label"


@dataclass(frozen=True, kw_only=True)
class LabelledPhoto:
    """One photo of the folder.

    Attributes:
        path: The file.
        label: What it shows.
    """

    path: Path
    label: str


def labelled_photos(folder: Path, parts: Sequence[Part]) -> list[LabelledPhoto]:
    """Read the photos of some parts of the fixed split.

    Raises:
        ConfigError: The folder has no table of images and labels, or no photos of these parts.
    """
    table = folder / TABLE
    try:
        with table.open(encoding="utf-8-sig", newline="") as lines:
            rows = [(row["image"], row[LABEL]) for row in csv.DictReader(lines)]
    except OSError as error:
        raise ConfigError(
            f"{table} cannot be read ({error.strerror}); give a folder with images/ and a table of image and label"
        ) from error
    except KeyError as error:
        raise ConfigError(f"{table} has no column {error}; it needs the columns image and label") from error
    photos = [
        LabelledPhoto(path=folder / "images" / name, label=label) for name, label in rows if part_of(name) in parts
    ]
    roles = {role_of(photo.path.name) for photo in photos}
    if roles != set(Role):
        raise ConfigError(
            f"{table}: {len(photos)} of {len(rows)} photos are in the part {', '.join(parts)}, too few to index some "
            "and ask for others; give --part all, or more photos"
        )
    return photos


class PhotoEvaluation:
    """One evaluation. Its photos are products of a category of their own, searched alone and removed after."""

    def __init__(self, client: ProductMatchClient, load: BulkLoad, console: Console, folder: Path) -> None:
        self._client, self._load, self._console, self._folder = client, load, console, folder
        self._category = f"evaluation {hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]}"
        self._filter = {"category": self._category}
        self._unreadable = 0
        self._encoder = ""

    def run(self, photos: Sequence[LabelledPhoto], template: str, copies: bool) -> dict[str, Any]:
        """Index, ask, and clean up.

        Args:
            photos: Of the parts that are measured.
            template: Words for a label, with `{}` in its place.
            copies: Also look for changed copies of the indexed photos, four for each.

        Raises:
            ProductMatchError: The server cannot be used.
        """
        self._client.delete_matching(self._filter, wait=True)  # what an evaluation that was killed left behind
        try:
            indexed = self._index([photo for photo in photos if role_of(photo.path.name) is Role.INDEX])
            asked = [photo for photo in photos if role_of(photo.path.name) is Role.QUERY]
            report = {
                "photos": {"indexed": len(indexed), "queries": len(asked)},
                "image_to_image": self._by_photo(asked, indexed),
                "text_to_image": self._by_label(template, indexed),
            }
            if copies:
                report["copies_found_first"] = self._copies(indexed)
            return {"encoder": self._encoder, **report, "unreadable": self._unreadable}
        finally:
            self._client.delete_matching(self._filter, wait=True)

    def _index(self, photos: Sequence[LabelledPhoto]) -> dict[str, LabelledPhoto]:
        """Index photos without words; return those that the server took, by product id."""
        by_id = {f"{self._category}/{photo.path.name}": photo for photo in photos}
        summary = self._load.run(self._records(by_id), total=len(by_id), label="index")
        self._unreadable += summary.rejected
        held = {entry["id"] for page in pages(self._client, self._filter, "") for entry in page}
        return {product_id: photo for product_id, photo in by_id.items() if product_id in held}

    def _records(self, photos: Mapping[str, LabelledPhoto]) -> Iterator[Record]:
        for line, (product_id, photo) in enumerate(photos.items(), start=1):
            fields = {"id": product_id, "category": self._category, LABEL: photo.label, "image": photo.path.name}
            directory = photo.path.parent.resolve()
            yield Record(source=TABLE, line=line, directory=directory, fields={**fields, "query_text": ""})

    def _by_photo(self, asked: Sequence[LabelledPhoto], indexed: Mapping[str, LabelledPhoto]) -> dict[str, object]:
        counts = Counter(photo.label for photo in indexed.values())
        answers = self._ask("photos", asked, lambda photo: Query(image=photo.path), len(indexed), total=len(asked))
        rankings = [_ranking(photo.label, run_key(photo.path.name), answer, counts) for photo, answer in answers]
        return report_of(rankings).as_json()

    def _by_label(self, template: str, indexed: Mapping[str, LabelledPhoto]) -> dict[str, object]:
        counts = Counter(photo.label for photo in indexed.values())
        answers = self._ask(
            "labels",
            sorted(counts),
            lambda label: Query(text=words(template, label)),
            len(indexed),
            total=len(counts),
        )
        return report_of([_ranking(label, label, answer, counts) for label, answer in answers]).as_json()

    def _copies(self, indexed: Mapping[str, LabelledPhoto]) -> dict[str, object]:
        made = _copy_maker()
        changed = (
            (product_id, kind, data)
            for product_id, photo in indexed.items()
            for kind, data in made(photo.path.read_bytes(), photo.path.name).items()
        )
        first: dict[str, list[float]] = {}
        every: list[float] = []
        products: list[str] = []
        asked = self._ask("copies", changed, lambda copy: Query(image=copy[2]), 1, total=4 * len(indexed))
        for (product_id, kind, _), answer in asked:
            found = float(bool(answer.matches) and answer.matches[0].product_id == product_id)
            first.setdefault(kind, []).append(found)
            every.append(found)
            products.append(product_id)
        return {
            "all": estimate(every, groups=products).as_json(),
            **{kind: estimate(values).as_json() for kind, values in first.items()},
        }

    def _ask(
        self,
        label: str,
        things: Iterable[Any],
        query: Callable[[Any], Query],
        depth: int,
        *,
        total: int,
    ) -> list[tuple[Any, MatchResult]]:
        """Ask for things; those whose photo cannot be read are left out and counted."""
        options = {"top_k": min(depth, limits.MAX_TOP_K), "fields": [LABEL], "filter": self._filter}
        asked = Questions(client=self._client, console=self._console).ask(
            label, batches(things, options), query, total=total
        )
        answers = [(thing, answer) for thing, answer in asked if not isinstance(answer, InvalidRequestError)]
        self._unreadable += len(asked) - len(answers)
        if answers:
            self._encoder = answers[0][1].encoder
        return answers


def _ranking(label: str, group: str, answer: MatchResult, counts: Mapping[str, int]) -> Ranking:
    answers = tuple(str(match.product[LABEL]) for match in answer.matches)
    return Ranking(label=label, answers=answers, relevant=counts.get(label, 0), group=group)


def words(template: str, label: str) -> str:
    """Return the words that ask for a label."""
    return template.replace("{}", label.replace("_", " ").lower())


def _copy_maker() -> Callable[[bytes, str], dict[str, bytes]]:
    try:
        from product_match.evaluation.copies import encoded_copies
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"changed copies of photos need Pillow ({error}); install it with `pip install pillow`, "
            "or give --no-copies"
        ) from error
    return encoded_copies
