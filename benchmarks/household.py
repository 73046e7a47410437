"""A made-up household catalogue and judged queries for it: `python -m benchmarks.household DIR`.

What search is tuned on besides the sample: another kind of goods, ten times as many, with names as furniture shops
write them, synonyms, and descriptions that mention other goods. Judgements follow from how a product was made. It
shows no photo. Everything is drawn from one seed.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

SEED: Final = 5
PRODUCTS: Final = 2042

TYPES: Final = {
    "sofa": ("sofa, couch, 3-seat sofa, corner sofa, sofa-bed", "Living room"),
    "armchair": ("armchair, easy chair, wing chair, lounge chair", "Living room"),
    "dining table": ("dining table, extendable table, drop-leaf table, table", "Dining"),
    "coffee table": ("coffee table, nest of tables, side table", "Living room"),
    "desk": ("desk, writing desk, standing desk, workstation", "Office"),
    "office chair": ("office chair, swivel chair, desk chair", "Office"),
    "bookcase": ("bookcase, shelving unit, shelf unit, book shelf", "Storage"),
    "wardrobe": ("wardrobe, armoire, wardrobe with sliding doors", "Bedroom"),
    "chest of drawers": ("chest of 3 drawers, chest of drawers, dresser, chest of 6 drawers", "Bedroom"),
    "bed frame": ("bed frame, bedframe with headboard, day-bed, loft bed", "Bedroom"),
    "mattress": ("foam mattress, spring mattress, mattress, pocket sprung mattress", "Bedroom"),
    "pillow": ("pillow, ergonomic pillow, memory foam pillow", "Textiles"),
    "duvet cover": ("duvet cover, quilt cover and pillowcase, duvet cover set", "Textiles"),
    "rug": ("rug, rug with low pile, carpet, flatwoven rug", "Textiles"),
    "curtain": ("curtain, pair of curtains, block-out curtains, sheer curtains", "Textiles"),
    "towel": ("bath towel, hand towel, towel, washcloth", "Bathroom"),
    "floor lamp": ("floor lamp, uplighter, floor uplighter", "Lighting"),
    "table lamp": ("table lamp, bedside lamp", "Lighting"),
    "pendant lamp": ("pendant lamp, chandelier, pendant lamp shade", "Lighting"),
    "led bulb": ("LED bulb E27 806 lumen, LED bulb GU10, light bulb", "Lighting"),
    "mirror": ("mirror, wall mirror, standing mirror", "Decoration"),
    "picture frame": ("frame, picture frame, photo frame", "Decoration"),
    "vase": ("vase, glass vase, decorative vase", "Decoration"),
    "candle": ("scented candle in glass, unscented block candle, tealight", "Decoration"),
    "plant pot": ("plant pot, planter, flower pot", "Decoration"),
    "clock": ("wall clock, alarm clock, clock", "Decoration"),
    "frying pan": ("frying pan, skillet, grill pan", "Kitchen"),
    "saucepan": ("saucepan with lid, pot with lid, casserole with lid", "Kitchen"),
    "knife": ("cook's knife, bread knife, utility knife, knife set", "Kitchen"),
    "plate": ("plate, side plate, deep plate", "Kitchen"),
    "mug": ("mug, cup, espresso cup and saucer", "Kitchen"),
    "wine glass": ("wine glass, red wine glass, goblet", "Kitchen"),
    "bowl": ("bowl, serving bowl, mixing bowl", "Kitchen"),
    "cutlery": ("24-piece cutlery set, fork, spoon", "Kitchen"),
    "chopping board": ("chopping board, cutting board", "Kitchen"),
    "kettle": ("kettle, electric kettle, teapot", "Kitchen"),
    "storage box": ("box with lid, storage box, basket, bin", "Storage"),
    "shoe rack": ("shoe rack, shoe cabinet", "Hallway"),
    "hanger": ("hanger, coat-hanger, rack with hooks", "Hallway"),
    "laundry basket": ("laundry basket, laundry bag with stand", "Bathroom"),
    "shower curtain": ("shower curtain", "Bathroom"),
    "bath mat": ("bath mat", "Bathroom"),
    "washbasin": ("wash-basin, sink bowl", "Bathroom"),
    "toilet brush": ("toilet brush, toilet brush/holder", "Bathroom"),
    "cushion cover": ("cushion cover, cushion", "Textiles"),
    "throw": ("throw, blanket, bedspread", "Textiles"),
    "bar stool": ("bar stool, bar stool with backrest, stool", "Dining"),
    "dining chair": ("chair, folding chair, dining chair", "Dining"),
    "tv bench": ("TV bench, TV unit, TV storage combination", "Living room"),
    "children's chair": ("children's chair, junior chair, highchair", "Children"),
    "soft toy": ("soft toy, teddy bear", "Children"),
    "garden chair": ("outdoor chair, reclining outdoor chair, deck chair", "Garden"),
    "parasol": ("parasol, parasol base", "Garden"),
    "oven": ("forced air oven, microwave oven, oven", "Appliances"),
    "fridge": ("fridge/freezer, integrated fridge, refrigerator", "Appliances"),
    "hob": ("induction hob, ceramic hob", "Appliances"),
}
COLOURS: Final = (
    "white, black, grey, dark grey, beige, blue, dark blue, light blue, green, dark green, red, yellow, pink, brown, "
    "light brown, orange, turquoise, white/oak effect, black-brown, natural, multicolour, gold-colour, steel"
)
MATERIALS: Final = (
    "oak veneer, solid pine, particleboard, cotton, polyester, steel, glass, stoneware, bamboo, jute, linen, "
    "aluminium, porcelain, beech, rattan"
)
SYLLABLES: Final = "bil la kal lax hem nes mal mo poa eng ek tor pe str and mon lin na vit ts jo bri mn es fa ri ger"
SENTENCES: Final = (
    "Goes well with a {one} in the same series.",
    "Put it beside your {one} or under a {other}.",
    "Easy to keep clean, just wipe with a damp cloth.",
    "You can also use it instead of a {one}.",
    "Designed to be placed near the {one}, {other} or against a wall.",
    "Made of {material}, a durable material.",
    "The {colour} surface is easy to match with other colours.",
    "May be completed with {one} and {other}, sold separately.",
    "10 year guarantee. Read about the terms in the brochure.",
)
NOT_CARRIED: Final = (
    "laptop, running shoes, dog food, motor oil, guitar, winter jacket, bananas, oat milk, novel by stephen king, "
    "camera, football, dress, jeans, toothpaste, shampoo, necklace, smartphone case, printer ink, bicycle, tennis "
    "racket, cat litter, headphones, lipstick, sunscreen, whiskey, cheese, screwdriver, drill, lawn mower, "
    "fishing rod, skateboard, perfume, hair dryer, baby stroller, car tyre, video game, keyboard, violin, "
    "sneakers, hoodie, red dress, gift card, backpack, watch, swimming goggles, "
    "yoga leggings, protein powder, coffee beans, olive oil"
)


class Household:
    """The catalogue, and queries for it."""

    def __init__(self, seed: int = SEED, count: int = PRODUCTS) -> None:
        """Draw `count` products."""
        self._chance = random.Random(seed)
        self.kinds: list[tuple[str, str]] = []
        series = [self._series() for _ in range(420)]
        self.products = [self._product(number, series) for number in range(count)]

    def queries(self) -> Iterator[dict[str, Any]]:
        """Yield judged queries in the format of `product-match evaluate --queries`."""
        for number, (kind, text, accepted) in enumerate(self._asked(), start=1):
            accept = dict.fromkeys((self.products[place]["id"] for place in accepted), 3)
            yield {"id": f"h{number:04}", "kind": kind, "text": text, "accept": accept}

    def _asked(self) -> Iterator[tuple[str, str, Sequence[int]]]:
        places = range(len(self.products))
        spelt = []
        for name in TYPES:
            spelt.append((name, [place for place in places if self.kinds[place][0] == name]))
            yield ("type", *spelt[-1])
        pairs = sorted({(colour, name) for name, colour in self.kinds})
        for colour, name in self._chance.sample(pairs, 200):
            spelt.append((f"{colour} {name}", [place for place in places if self.kinds[place] == (name, colour)]))
            yield ("colour_and_type", *spelt[-1])
        for place in self._chance.sample(places, 150):
            yield "name", self.products[place]["name"], [place]
            yield "number", self.products[place]["sku"], [place]
        for text, accepted in spelt[:180]:
            wrong = self._misspelt(text)
            if wrong != text:
                yield "misspelt", wrong, accepted
        for text in NOT_CARRIED.split(", "):
            yield "not_carried", text, []

    def _product(self, number: int, series: Sequence[str]) -> dict[str, Any]:
        chance = self._chance
        kind = chance.choice(list(TYPES))
        names, department = TYPES[kind]
        colour, name = chance.choice(COLOURS.split(", ")), chance.choice(names.split(", "))
        brand = chance.choice(series)
        size = chance.choice(
            [f"{chance.randint(20, 240)}x{chance.randint(20, 240)} cm", f"{chance.randint(20, 240)} cm", ""]
        )
        self.kinds.append((kind, colour))
        others = [chance.choice(list(TYPES)) for _ in range(2)]
        sentences = " ".join(chance.sample(SENTENCES, 3))
        product: dict[str, Any] = {
            "id": f"h{number}",
            "sku": f"{chance.randint(100, 999)}.{chance.randint(100, 999)}.{chance.randint(10, 99)}",
            "name": ", ".join(part for part in (f"{brand} {name}", colour, size) if part),
            "brand": brand,
            "category": department,
            "description": sentences.format(
                one=others[0], other=others[1], material=chance.choice(MATERIALS.split(", ")), colour=colour
            ),
            "price": round(chance.random() * 300, 2),
        }
        return {**product, "color": colour} if chance.random() < 0.6 else product

    def _series(self) -> str:
        return "".join(self._chance.choice(SYLLABLES.split()) for _ in range(self._chance.choice((2, 2, 3)))).upper()

    def _misspelt(self, text: str) -> str:
        words = text.split()
        long = [place for place, word in enumerate(words) if len(word) >= 5 and word.isalpha()]
        if not long:
            return text
        place = self._chance.choice(long)
        word, at = words[place], self._chance.randrange(1, len(words[place]) - 1)
        kind = self._chance.choice(("missing", "other", "twice", "swapped"))
        if kind == "missing":
            words[place] = word[:at] + word[at + 1 :]
        elif kind == "other":
            words[place] = word[:at] + self._chance.choice("abcdefghijklmnopqrstuvwxyz") + word[at + 1 :]
        elif kind == "twice":
            words[place] = word[:at] + word[at:][0] + word[at:]
        else:
            words[place] = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        return " ".join(words)


def write(directory: Path, household: Household) -> None:
    """Write `products.jsonl` and `queries.jsonl`."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, rows in (("products.jsonl", household.products), ("queries.jsonl", household.queries())):
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        (directory / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]), Household())
