"""Where shards lie: `<root>/<encoder revision>/index-<n>`, one of which the pointer file `CURRENT` names.

A rebuild writes a shard beside the current one and then replaces `CURRENT`, which is one atomic rename. Whatever
`CURRENT` does not name is a leftover of a rebuild that was killed, and is removed at the next start. `CLEAN` is there
while no process has the shard open and the last one closed it in order. `index-<n>.recipe` says how its points' words
were made. A shard that cannot be read is set aside as
`damaged-<n>`, as its content can be derived again from the documents.
"""

from __future__ import annotations

import logging
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from product_match.contract.errors import ConfigError, DamagedIndexError
from product_match.host.files import replace_file
from product_match.vectors.edge_index import LOCK_WAIT_S, EdgeIndex

logger = logging.getLogger(__name__)

POINTER_FILE: Final = "CURRENT"
CLEAN_FILE: Final = "CLEAN"
ATTEMPTS_FILE: Final = "OPENING"
LOG_SUFFIX: Final = ".log"
RECIPE_SUFFIX: Final = ".recipe"
MAX_ATTEMPTS: Final = 2
"""Processes that may die while they load a shard before it counts as damaged: bad files can abort the process."""

_SHARD_NAME: Final = re.compile(r"index-(\d+)")


@dataclass(frozen=True, kw_only=True)
class OpenedShard:
    """A shard that was opened.

    Attributes:
        index: The shard.
        in_step: False if its last owner did not close it, or it is new: compare it with the documents.
        recipe: How its points' words were made; None where nobody has said, as in one of an earlier version.
    """

    index: EdgeIndex
    in_step: bool
    recipe: str | None


class EdgeDirectory:
    """The shards of one encoder."""

    def __init__(self, root: Path, revision: str, dimension: int) -> None:
        """Use `root`/`revision`, which is made where it is missing, for vectors of `dimension` numbers."""
        self.path = root / revision
        self.dimension = dimension
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"index directory {self.path} cannot be made ({error.strerror}); check that it can be written"
            ) from error

    def open(self, *, lock_wait_s: float = LOCK_WAIT_S) -> OpenedShard:
        """Open the current shard, an empty one where there is none or the one there cannot be read.

        Raises:
            ConfigError: Another process holds the shard, or it does not fit the encoder.
        """
        shard = self.current()
        attempts = self._attempts()
        if attempts >= MAX_ATTEMPTS:
            logger.error("%d processes died while they loaded %s", attempts, shard)
            shard = self._set_aside(shard)
        self._note_attempts(self._attempts() + 1)
        try:
            try:
                index = EdgeIndex(shard, self.dimension, lock_wait_s=lock_wait_s)
            except DamagedIndexError as error:
                logger.error("%s", error)
                shard = self._set_aside(shard)
                index = EdgeIndex(shard, self.dimension, lock_wait_s=lock_wait_s)
        finally:
            self._note_attempts(0)
        clean = self.path / CLEAN_FILE
        in_step = clean.exists() and clean.read_text(encoding="utf-8").strip() == shard.name
        clean.unlink(missing_ok=True)
        self._remove_leftovers(shard)
        return OpenedShard(index=index, in_step=in_step, recipe=self._recipe(shard))

    def note_recipe(self, shard: Path, recipe: str) -> None:
        """Note how the words of a shard's points are made."""
        replace_file(shard.with_name(shard.name + RECIPE_SUFFIX), recipe.encode(), durable=True)

    def _recipe(self, shard: Path) -> str | None:
        try:
            return shard.with_name(shard.name + RECIPE_SUFFIX).read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def mark_clean(self) -> None:
        """Note that the current shard was closed in order; call it after the shard's `close`."""
        (self.path / CLEAN_FILE).write_text(self.current().name + "\n", encoding="utf-8")

    def current(self) -> Path:
        """Return the directory of the shard in use; it may not exist yet."""
        pointer = self.path / POINTER_FILE
        if not pointer.exists():
            self.switch(self.fresh())
        name = pointer.read_text(encoding="utf-8").strip()
        if not _SHARD_NAME.fullmatch(name):
            raise ConfigError(
                f"{pointer} names {name!r:.80}, expected index-<number>; delete the file, "
                "and the index is derived again from the documents"
            )
        return self.path / name

    def fresh(self) -> Path:
        """Return a directory that no shard has used yet."""
        return self.path / f"index-{max(self._numbers(), default=0) + 1}"

    def switch(self, shard: Path) -> None:
        """Make `shard` the current one, in one atomic step that survives a crash."""
        replace_file(self.path / POINTER_FILE, f"{shard.name}\n".encode(), durable=True)

    def _set_aside(self, shard: Path) -> Path:
        """Put a shard that cannot be read out of the way and return the directory of a new one."""
        for old in self.path.glob("damaged-*"):
            shutil.rmtree(old, ignore_errors=True)
        damaged = self.path / shard.name.replace("index", "damaged")
        fresh = self.fresh()
        self.switch(fresh)
        if shard.exists():
            shard.rename(damaged)
        self._note_attempts(0)
        logger.error("%s is set aside as %s; the index is derived again from the documents", shard, damaged.name)
        return fresh

    def _remove_leftovers(self, current: Path) -> None:
        for number in self._numbers():
            leftover = self.path / f"index-{number}"
            if leftover != current:
                logger.info("removing %s, a shard that is no longer used", leftover)
                shutil.rmtree(leftover, ignore_errors=True)
        kept = current.name + RECIPE_SUFFIX
        for suffix in (LOG_SUFFIX, RECIPE_SUFFIX):
            for file in self.path.glob(f"index-*{suffix}"):
                if file.name != kept:
                    file.unlink(missing_ok=True)

    def _attempts(self) -> int:
        try:
            return int((self.path / ATTEMPTS_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return 0

    def _note_attempts(self, attempts: int) -> None:
        file = self.path / ATTEMPTS_FILE
        if attempts:
            file.write_text(str(attempts), encoding="utf-8")
        else:
            file.unlink(missing_ok=True)

    def _numbers(self) -> list[int]:
        matches = (_SHARD_NAME.fullmatch(entry.name) for entry in self.path.iterdir())
        return [int(match.group(1)) for match in matches if match]
