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

MAX_PIXELS_OF: Final = {"WEBP": 25_000_000, "AVIF": 25_000_000, "HEIC": 25_000_000}
"""The same for formats whose decoders take three times the memory or time for a pixel."""

MAX_IMAGE_SIDE_PX: Final = 65_535
"""Longest side of one image; a JPEG cannot have a longer one."""

MIN_IMAGE_SIDE_PX: Final = 8
"""A smaller image (a tracking pixel, say) cannot show a product."""

MAX_IMAGE_PARTS: Final = 10_000
"""Chunks, segments, boxes, strips or tiles of one image, whichever its format has."""

MAX_GIF_BLOCKS: Final = 100_000
"""Blocks of a GIF's first picture, each of up to 255 bytes."""

MAX_JPEG_SCANS: Final = 100
"""Scans of a progressive JPEG; encoders write 6 to 15."""

MAX_JPEG_SCANNED_PIXELS: Final = 1_000_000_000
"""Scans times pixels of a JPEG: each scan goes through all pixels, however little it holds."""

MAX_TIFF_PART_BYTES: Final = 256 * 1024 * 1024
"""Unpacked bytes of one strip or tile, which a decoder allocates at once."""

MAX_RUN_LENGTH_BYTES: Final = 256 * 1024
"""Bytes of a BMP that is packed by run length, which is unpacked slowly."""

MAX_PROFILE_BYTES: Final = 4 * 1024 * 1024
"""Bytes of an ICC profile, unpacked; a larger one is left out of account."""

MAX_DECODING_S: Final = 20.0
"""Seconds that decoding one image may take; it is given up after that."""

MAX_LARGE_IMAGE_WAIT_S: Final = 30.0
"""Seconds that a large image waits for its turn while others are decoded; it is refused as busy after that."""

MAX_LARGE_IMAGES_BYTES: Final = 192 * 1024 * 1024
"""Bytes of the large images that wait for their turn, together."""

MAX_DECODER_BYTES: Final = 448 * 1024 * 1024
"""Memory of the process that decodes large images and formats whose decoders are at risk."""

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

MAX_TEXT_OPTION_CHARACTERS: Final = 200
"""Characters of an option that is a text, such as the key of a person."""

MAX_TOP_K: Final = 1000
"""Matches in one answer."""

DEFAULT_TOP_K: Final = 10
"""Matches in one answer when the request does not say."""

MAX_EXAMPLES: Final = 100
"""Products in `like`, and in `unlike`."""

MAX_TERMS: Final = 16
"""Terms of one query, which are the rows of its request, with `compose`."""

MAX_FILTER_BYTES: Final = 16 * 1024
"""Bytes of one filter's JSON."""

MAX_FILTER_VALUES: Final = 1000
"""Values in one `in` list of a filter."""

MAX_FILTER_DEPTH: Final = 8
"""Filters inside one another, by `and`, `or` and `not`."""

MAX_BOOSTS: Final = 50
"""Boosts of one request."""

MAX_RULES: Final = 1000
"""Rules of a catalogue."""

MAX_RULED_PRODUCTS: Final = 100
"""Products that one rule pins, or buries; and queries that it is for."""

MAX_COMMAND_BYTES: Final = 16 * 1024 * 1024
"""Bytes of one catalogue command's JSON (10,000 ids fit easily)."""

MAX_WAIT_S: Final = 10.0
"""Longest that `wait` holds an answer; what cannot be found by then is stored all the same."""

MAX_COMMAND_IDS: Final = 10_000
"""Product ids in one catalogue command."""
