"""Captions for photos: what a shopper types and what a shop writes, each with the facts that it states.

A caption's facts decide which photos it is true of: "blue tee" is true of every photo whose label is `T-Shirt` and
whose colour is `blue`, and "fruit" of every photo of that category. The contrastive loss takes them all as matches.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from . import words
from .photos import CLOTHING, GROCERIES, Photo


@dataclass(frozen=True, kw_only=True)
class Caption:
    """A text and the facts that it states; an empty fact is not stated.

    Attributes:
        text: The caption.
        label: Garment or product.
        group: Kind of grocery.
        category: `Fruit`, `Vegetables`, `Packages` or `clothing`.
        area: `clothing` or `groceries`.
        colour: Colour of a garment.
    """

    text: str
    area: str
    label: str = ""
    group: str = ""
    category: str = ""
    colour: str = ""

    def true_of(self, photo: Photo, colour: str) -> bool:
        """Say whether a photo shows what the caption states.

        Args:
            photo: Any photo.
            colour: The photo's named colour, empty for groceries.

        Returns:
            True if every stated fact holds.
        """
        return (
            self.label in ("", photo.label)
            and self.group in ("", photo.group)
            and self.category in ("", photo.category)
            and self.area == photo.area
            and self.colour in ("", colour)
        )


COLOUR_TEMPLATES: Final = (
    "{colour} {name}",
    "a {colour} {name}",
    "{colour} {name}",
    "{name} in {colour}",
    "{name}, {colour}",
    "a photo of a {colour} {name}",
    "{colour} {material} {name}",
    "{audience} {colour} {name}",
    "{brand} {name} {colour}",
    "{brand} {colour} {name}, {size}",
    "a {colour} {name} on a hanger",
    "{name} {colour} {size}",
    "plain {colour} {name}",
    "{audience} {name} - {colour}",
    "{colour} {material} {name} by {brand}",
    "{brand} {material} {name} in {colour}, {size}",
)
NAME_TEMPLATES: Final = (
    "{name}",
    "a {name}",
    "{name}",
    "a photo of a {name}",
    "{audience} {name}",
    "{material} {name}",
    "{brand} {name}",
    "{name} for sale",
    "{brand} {material} {name}, {size}",
    "{name} on a hanger",
    "a picture of {name}",
    "{name}, clothing",
)
PRODUCT_TEMPLATES: Final = (
    "{name}",
    "{name}",
    "a photo of {name}",
    "fresh {name}",
    "{name} in a shop",
    "{name} on a shelf",
    "{name}, {kind}",
    "a picture of {name}",
    "{name} ({category})",
    "{name}, {category}",
    "buy {name}",
    "{name} held in a hand",
)
KIND_TEMPLATES: Final = (
    "{kind}",
    "{kind}",
    "a photo of {kind}",
    "fresh {kind}",
    "{kind} in a shop",
    "{kind}, {category}",
    "some {kind}",
    "a picture of {kind}",
    "{kind} on a shelf",
)

GROCERY_WORDS: Final = ("groceries", "food", "grocery", "food and drink")
CLOTHING_COLOUR_TEMPLATES: Final = (
    "{colour} {kind}",
    "{colour}",
    "something {colour} to wear",
    "{kind} in {colour}",
    "{colour} {kind}",
)


def caption_for(photo: Photo, colour: str, choice: random.Random) -> Caption:
    """Write one caption that is true of a photo.

    Args:
        photo: The photo.
        colour: Its named colour, empty for groceries.
        choice: Source of all randomness.

    Returns:
        A caption of a random level of detail.
    """
    if photo.category == CLOTHING:
        return _garment_caption(photo, colour, choice)
    return _grocery_caption(photo, choice)


def label_prompt(label: str, choice: random.Random) -> str:
    """Write a short text that names a label alone.

    Args:
        label: Garment or product.
        choice: Source of all randomness.

    Returns:
        The label or one of its other names, sometimes as a phrase.
    """
    names = words.GARMENT_NAMES.get(label) or words.PRODUCT_NAMES.get(label) or words.GROUP_NAMES.get(label) or ()
    name = label.lower() if choice.random() < 0.5 or not names else choice.choice(names)
    return choice.choice(("{name}", "{name}", "a {name}", "a photo of {name}", "a photo of a {name}")).format(
        name=name
    )


def colour_prompt(colour: str, choice: random.Random) -> str:
    """Write a short text that names a garment's colour alone.

    Args:
        colour: A named colour.
        choice: Source of all randomness.

    Returns:
        The colour or one of its shades, with a word for clothing or without.
    """
    template = choice.choice(CLOTHING_COLOUR_TEMPLATES)
    return template.format(colour=_said_colour(colour, choice), kind=choice.choice(words.GARMENT_CATEGORY))


def plain_query(label: str) -> str:
    """Return the words for a label in a text query: the label itself, lower-cased.

    Args:
        label: Garment or product.
    """
    return label.lower()


def vocabulary_texts() -> list[str]:
    """Return every word that captions or shops use, for training the tokenizer.

    Returns:
        Texts; words of the captions come three times as often as a shop's other words.
    """
    texts: list[str] = []
    for table in (
        words.COLOUR_NAMES,
        words.GARMENT_NAMES,
        words.CATEGORY_NAMES,
        words.GROUP_NAMES,
        words.PRODUCT_NAMES,
    ):
        for key, names in table.items():
            texts += [key, *names] * 3
    for more in (
        words.GARMENT_CATEGORY,
        words.BRANDS,
        words.MATERIALS,
        words.SIZES,
        words.ADULT_AUDIENCES,
        words.CHILD_AUDIENCES,
        words.SHOP_WORDS,
    ):
        texts += more
    for templates in (COLOUR_TEMPLATES, NAME_TEMPLATES, PRODUCT_TEMPLATES, KIND_TEMPLATES, CLOTHING_COLOUR_TEMPLATES):
        texts += [re.sub(r"\{\w+\}", " ", template) for template in templates]
    texts += GROCERY_WORDS
    return texts


def _garment_caption(photo: Photo, colour: str, choice: random.Random) -> Caption:
    names = words.GARMENT_NAMES.get(photo.label, (photo.label.lower(),))
    # The plainest names come most often, for they are what people type.
    name = choice.choice(names[:3]) if choice.random() < 0.6 else choice.choice((*names, photo.label.lower()))
    said_colour = _said_colour(colour, choice)
    drawn = choice.random()
    if drawn < 0.60:
        text = _filled(choice.choice(COLOUR_TEMPLATES), photo, choice, name=name, colour=said_colour)
        return Caption(text=text, label=photo.label, area=CLOTHING, colour=colour)
    if drawn < 0.90:
        text = _filled(choice.choice(NAME_TEMPLATES), photo, choice, name=name)
        return Caption(text=text, label=photo.label, area=CLOTHING)
    if drawn < 0.96:
        kind = choice.choice(words.GARMENT_CATEGORY)
        text = choice.choice(CLOTHING_COLOUR_TEMPLATES).format(colour=said_colour, kind=kind)
        return Caption(text=text, area=CLOTHING, colour=colour)
    return Caption(text=choice.choice(words.GARMENT_CATEGORY), area=CLOTHING)


def _grocery_caption(photo: Photo, choice: random.Random) -> Caption:
    kinds = words.GROUP_NAMES.get(photo.group, (photo.group.lower(),))
    products = words.PRODUCT_NAMES.get(photo.label, kinds if photo.label == photo.group else ())
    categories = words.CATEGORY_NAMES.get(photo.category, (photo.category.lower(),))
    kind, category = choice.choice(kinds), choice.choice(categories[:2])
    drawn = choice.random()
    if drawn < 0.65:
        name = photo.label.lower() if choice.random() < 0.45 or not products else choice.choice(products)
        text = choice.choice(PRODUCT_TEMPLATES).format(name=name, kind=kind, category=category)
        return Caption(text=text, label=photo.label, group=photo.group, category=photo.category, area=GROCERIES)
    if drawn < 0.90:
        text = choice.choice(KIND_TEMPLATES).format(kind=kind, category=category)
        return Caption(text=text, group=photo.group, category=photo.category, area=GROCERIES)
    if drawn < 0.97:
        return Caption(text=choice.choice(categories), category=photo.category, area=GROCERIES)
    return Caption(text=choice.choice(GROCERY_WORDS), area=GROCERIES)


def _said_colour(colour: str, choice: random.Random) -> str:
    names = words.COLOUR_NAMES.get(colour, (colour,))
    return names[0] if choice.random() < 0.65 else choice.choice(names)


def _filled(template: str, photo: Photo, choice: random.Random, **known: str) -> str:
    audiences: Sequence[str] = words.CHILD_AUDIENCES if photo.kids else words.ADULT_AUDIENCES
    return template.format(
        **known,
        brand=choice.choice(words.BRANDS),
        material=choice.choice(words.MATERIALS),
        size=choice.choice(words.SIZES),
        audience=choice.choice(audiences),
    )
