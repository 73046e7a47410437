"""Limits on what a request may hold. The README's table of limits is generated from here."""

from __future__ import annotations

from typing import Final

MAX_BATCH_SIZE: Final = 64
"""Rows in one request and in one Triton batch."""

MAX_WAITING_REQUESTS: Final = 512
"""Requests that may wait in the server; more are refused with UNAVAILABLE (503) at once."""

MAX_IMAGE_BYTES: Final = 20 * 1024 * 1024
"""Bytes of one encoded image."""

MAX_IMAGE_PIXELS: Final = 50_000_000
"""Width times height of one image, read from its header before anything is decoded."""

MIN_IMAGE_SIDE_PX: Final = 8
"""A smaller image (a tracking pixel, say) cannot show a product."""

MAX_PRODUCT_IMAGES: Final = 16
"""Photos of one product."""

MAX_PRODUCT_IMAGES_BYTES: Final = 64 * 1024 * 1024
"""Bytes of all photos of one product together."""

MAX_TEXT_BYTES: Final = 16 * 1024
"""UTF-8 bytes of one text; what is past the encoder's context length is cut off after tokenising."""

MAX_PRODUCT_BYTES: Final = 1024 * 1024
"""Bytes of one product's JSON."""

MAX_PRODUCT_ID_CHARACTERS: Final = 200
"""Characters of a product id."""

MAX_TOP_K: Final = 1000
"""Matches in one answer."""

DEFAULT_TOP_K: Final = 10
"""Matches in one answer when the request does not say."""

MAX_FILTER_BYTES: Final = 16 * 1024
"""Bytes of one filter's JSON."""

MAX_FILTER_VALUES: Final = 1000
"""Values in one `in` list of a filter."""

MAX_COMMAND_BYTES: Final = 16 * 1024 * 1024
"""Bytes of one catalogue command's JSON (10,000 ids fit easily)."""

MAX_WAIT_S: Final = 10.0
"""Longest that `wait` holds an answer; what cannot be found by then is stored all the same."""

MAX_COMMAND_IDS: Final = 10_000
"""Product ids in one catalogue command."""
