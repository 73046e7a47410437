"""Where things lie in a state directory."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Final

DEFAULT_STATE_DIRECTORY: Final = Path(".state")
ENDPOINTS_FILE: Final = "endpoints.json"
"""Where a running server answers, for clients."""

_UNIX_PATH_BYTES: Final = 100


class StateLayout:
    """The files and folders of one server."""

    def __init__(self, path: Path) -> None:
        """Describe the directory `path`."""
        self.path = path.resolve()

    @property
    def logs(self) -> Path:
        """Logs, one file for each process."""
        return self.path / "logs"

    @property
    def documents(self) -> Path:
        """Files of the document store."""
        return self.path / "documents"

    @property
    def index(self) -> Path:
        """Files of the vector index."""
        return self.path / "index"

    @property
    def backends(self) -> Path:
        """Triton's backend directory."""
        return self.path / "backends"

    @property
    def model_repository(self) -> Path:
        """The assembled model repository."""
        return self.path / "model_repository"

    @property
    def feedback_keys(self) -> Path:
        """The keys that sign answers."""
        return self.path / "feedback_keys.json"

    @property
    def event_hash_key(self) -> Path:
        """The key of the digests that events hold."""
        return self.path / "event_hash_key"

    @property
    def shared_memory_prefix(self) -> str:
        """Start of the names of this server's shared memory: no other directory's, no copy's, no container's."""
        status = self.path.stat()
        identity = f"{self.path}:{status.st_dev}:{status.st_ino}"
        return f"product_match_{hashlib.sha256(identity.encode()).hexdigest()[:12]}_"

    def owner_socket(self, generation: str = "") -> Path:
        """Return the Unix socket on which the owner of a generation's index answers.

        It is in the temporary directory where the state's path is too long for one.
        """
        name = f"owner{generation and '-'}{generation}.sock"
        if len(os.fsencode(self.path / name)) < _UNIX_PATH_BYTES:
            return self.path / name
        return self.socket_elsewhere(name)

    def socket_elsewhere(self, name: str) -> Path:
        """Return where a socket lies whose path in the directory would be too long."""
        return Path(tempfile.gettempdir()) / f"{self.shared_memory_prefix}{os.getuid()}-{name}"
