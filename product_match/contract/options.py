"""The request parameters, declared once: the parser, the header pattern, the command line and the README read this.

Options arrive typed from JSON and gRPC, and as strings from HTTP headers; one parser reads both by the declared type.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from product_match.contract import limits
from product_match.contract.access import KEY_PARAMETER


class OptionType(enum.Enum):
    """How an option's value is read."""

    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    NAMES = "names"
    IDS = "ids"
    NUMBERS = "numbers"
    TEXT = "text"
    CHOICE = "choice"
    JSON = "json"
    JSON_LIST = "json list"


@dataclass(frozen=True, kw_only=True)
class OptionSpec:
    """One request parameter.

    Attributes:
        name: The parameter's name, in requests and headers.
        type: How its value is read.
        default: What applies when the request does not say, as the README prints it.
        minimum: Least value of a number, inclusive.
        maximum: Greatest value of a number, inclusive.
        choices: What a choice may be.
        meaning: One line for the README and `--help`.
    """

    name: str
    type: OptionType
    default: str
    meaning: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check that what reads the option finds what it needs."""
        bounded = self.minimum is not None and self.maximum is not None
        if bounded is not (self.type in (OptionType.INTEGER, OptionType.NUMBER, OptionType.NUMBERS)):
            raise ValueError(f"option {self.name}: numbers have a minimum and a maximum, others have none")
        if bool(self.choices) is not (self.type is OptionType.CHOICE):
            raise ValueError(f"option {self.name}: a choice has choices, others have none")


FUSIONS: Final = ("calibrated", "minmax", "dbsf", "rrf", "words", "vector")
"""How exact words and vectors become one ranking; `words` and `vector` are each alone, for comparison."""

MATCH_OPTIONS: Final = (
    OptionSpec(
        name="top_k",
        type=OptionType.INTEGER,
        default=str(limits.DEFAULT_TOP_K),
        minimum=1,
        maximum=limits.MAX_TOP_K,
        meaning="How many matches to return.",
    ),
    OptionSpec(
        name="offset",
        type=OptionType.INTEGER,
        default="0",
        minimum=0,
        maximum=limits.MAX_TOP_K - 1,
        meaning="How many of the best matches to pass over: with `top_k` 10, 10 is the second page.",
    ),
    OptionSpec(
        name="fields",
        type=OptionType.NAMES,
        default="all",
        meaning="Product fields to return, comma separated; `-` for none.",
    ),
    OptionSpec(
        name="filter",
        type=OptionType.JSON,
        default="none",
        meaning='Only products that fit, such as {"category": "Shoes", "price": {"lte": 50}}.',
    ),
    OptionSpec(
        name="min_score",
        type=OptionType.NUMBER,
        default="none",
        minimum=-10.0,
        maximum=10.0,
        meaning="Leave out matches that score less.",
    ),
    OptionSpec(
        name="min_confidence",
        type=OptionType.NUMBER,
        default="none",
        minimum=0.0,
        maximum=1.0,
        meaning="Leave out matches that a person would less probably accept.",
    ),
    OptionSpec(
        name="image_weight",
        type=OptionType.NUMBER,
        default="0.5",
        minimum=0.0,
        maximum=1000.0,
        meaning="Weight of the photo where photo and words are given.",
    ),
    OptionSpec(
        name="text_weight",
        type=OptionType.NUMBER,
        default="0.5",
        minimum=0.0,
        maximum=1000.0,
        meaning="Weight of the words where photo and words are given.",
    ),
    OptionSpec(
        name="like",
        type=OptionType.IDS,
        default="none",
        meaning="Ids of products that what is sought is like, with or without photo and words; they do not answer.",
    ),
    OptionSpec(
        name="unlike",
        type=OptionType.IDS,
        default="none",
        meaning="Ids of products that what is sought is unlike; they do not answer either.",
    ),
    OptionSpec(
        name="like_weight",
        type=OptionType.NUMBER,
        default="0.5",
        minimum=0.0,
        maximum=1000.0,
        meaning="Weight of `like` beside those of photo and words.",
    ),
    OptionSpec(
        name="unlike_weight",
        type=OptionType.NUMBER,
        default="0.5",
        minimum=0.0,
        maximum=1000.0,
        meaning="How much of the likeness to `unlike` is taken off a score.",
    ),
    OptionSpec(
        name="compose",
        type=OptionType.BOOLEAN,
        default="false",
        meaning="The rows of the request are the terms of one query; its answer is in the first row.",
    ),
    OptionSpec(
        name="weights",
        type=OptionType.NUMBERS,
        default="1 each",
        minimum=-1000.0,
        maximum=1000.0,
        meaning="With `compose`, the weight of each term, such as 1,0.5,-0.5; what is below 0 is not to be like it.",
    ),
    OptionSpec(
        name="fusion",
        type=OptionType.CHOICE,
        default=FUSIONS[0],
        choices=FUSIONS,
        meaning="How exact words and vectors become one ranking; `words` and `vector` are each alone.",
    ),
    OptionSpec(
        name="facets",
        type=OptionType.NAMES,
        default="none",
        meaning="Fields whose values to count among the products that fit, such as category,brand.",
    ),
    OptionSpec(
        name="sort",
        type=OptionType.NAMES,
        default="by score",
        meaning="Fields to sort what fits by, comma separated, `-price` for the dearest first.",
    ),
    OptionSpec(
        name="person",
        type=OptionType.TEXT,
        default="none",
        meaning="A key of your own for who asks, such as a customer's number: what is kept can be removed by it.",
    ),
    OptionSpec(
        name="boost",
        type=OptionType.JSON_LIST,
        default="none",
        meaning='What to show higher, or lower, such as [{"filter": {"brand": "Acme"}, "by": 0.2}].',
    ),
    OptionSpec(
        name="at_most",
        type=OptionType.JSON,
        default="none",
        meaning='How many of each value of a field to show, such as {"brand": 2}.',
    ),
    OptionSpec(
        name="group_by",
        type=OptionType.NAMES,
        default="none",
        meaning="A field whose equals are shown as variants inside the best of them.",
    ),
    OptionSpec(
        name="collapse",
        type=OptionType.NUMBER,
        default="none",
        minimum=0.5,
        maximum=1.0,
        meaning="The cosine of photos from which products are the same, and only the best of them is shown.",
    ),
    OptionSpec(
        name="diversity",
        type=OptionType.NUMBER,
        default="0",
        minimum=0.0,
        maximum=1.0,
        meaning="How much to prefer what is unlike the matches before it (MMR); 0 not at all.",
    ),
    OptionSpec(
        name="explain",
        type=OptionType.BOOLEAN,
        default="false",
        meaning="Say of each match why it is where it is, and how long each stage took.",
    ),
)

INDEX_OPTIONS: Final = (
    OptionSpec(
        name="wait",
        type=OptionType.BOOLEAN,
        default="false",
        meaning="Answer only when the product can be found.",
    ),
)

ALL_OPTIONS: Final = MATCH_OPTIONS + INDEX_OPTIONS

DEADLINE: Final = OptionSpec(
    name="deadline",
    type=OptionType.NUMBER,
    default="none",
    minimum=0.0,
    maximum=1e11,
    meaning="When nobody waits for the answer any longer, in seconds since 1970; work not begun by then is dropped.",
)
"""Every model but the encoders heeds it; the clients send it by themselves, from their time limit."""


def header_pattern() -> str:
    """Return the pattern for Triton's `--http-header-forward-pattern`, anchored to the declared names.

    Triton matches it whatever the case. `top-k` is taken beside `top_k`, as some proxies drop the latter.
    """
    names = [*(option.name for option in (*ALL_OPTIONS, DEADLINE)), KEY_PARAMETER]
    return "^(" + "|".join(name.replace("_", "[-_]") for name in names) + ")$"
