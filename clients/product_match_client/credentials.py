"""What a client shows of itself, and whom it trusts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from product_match.contract.access import KEY_HEADER
from product_match.contract.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """A key for the server, and a certificate authority for its TLS.

    Attributes:
        key: Made by `product-match key`; empty for none.
        ca_file: Certificates in PEM that the server's must go back to; None for those that the system trusts.
    """

    key: str = field(default="", repr=False)
    ca_file: Path | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot travel in a header, and a file that is not there."""
        if not self.key.isascii() or not self.key.isprintable() or " " in self.key:
            raise ConfigError(
                "the key holds other than printable ASCII characters; give it as `product-match key` made it"
            )
        if self.ca_file is not None and not self.ca_file.is_file():
            raise ConfigError(f"{self.ca_file} is not a file; give the certificate authority's certificates in PEM")

    @property
    def headers(self) -> dict[str, str]:
        """The headers of each request."""
        return {KEY_HEADER: self.key} if self.key else {}

    @property
    def root_certificates(self) -> str | None:
        """The path of the certificates, as tritonclient takes it."""
        return str(self.ca_file) if self.ca_file is not None else None
