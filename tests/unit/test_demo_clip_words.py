"""Captions, colours and tokens of the demonstration CLIP."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ensemble_builder.demo_clip import words
from ensemble_builder.demo_clip.captions import (
    Caption,
    caption_for,
    colour_prompt,
    label_prompt,
    plain_query,
    vocabulary_texts,
)
from ensemble_builder.demo_clip.colours import SIDE, colour_votes, garment_colour, lab_of
from ensemble_builder.demo_clip.photos import CLOTHING, GROCERIES, Photo, list_photos, load_photos
from ensemble_builder.demo_clip.tokenizer import (
    END_TOKEN_ID,
    START_TOKEN_ID,
    VOCABULARY_SIZE,
    build_tokenizer,
    text_tokenizer,
    train_merges,
)
from product_match.contract.errors import ConfigError
from product_match.evaluation.split import Part

TEE = Photo(path=Path("a.jpg"), label="T-Shirt", group="T-Shirt", category=CLOTHING)
APPLE = Photo(path=Path("b.jpg"), label="Pink Lady", group="Apple", category="Fruit")


def captions_of(photo: Photo, colour: str, count: int = 400) -> list[Caption]:
    choice = random.Random(7)
    return [caption_for(photo, colour, choice) for _ in range(count)]


def garment_on_floor(garment: tuple[int, int, int], floor: tuple[int, int, int]) -> np.ndarray:
    image = np.full((SIDE, SIDE, 3), floor, dtype=np.uint8)
    image[12:54, 16:48] = garment
    return image


def test_every_caption_is_true_of_its_own_photo():
    assert all(caption.true_of(TEE, "navy") for caption in captions_of(TEE, "navy"))
    assert all(caption.true_of(APPLE, "") for caption in captions_of(APPLE, ""))


def test_no_caption_of_a_garment_is_true_of_a_grocery_nor_the_other_way_round():
    assert not any(caption.true_of(APPLE, "") for caption in captions_of(TEE, "navy"))
    assert not any(caption.true_of(TEE, "navy") for caption in captions_of(APPLE, ""))


def test_captions_that_state_a_colour_say_one_of_its_names():
    stated = [caption for caption in captions_of(TEE, "navy") if caption.colour]
    assert len(stated) > 200
    assert all(any(name in caption.text for name in words.COLOUR_NAMES["navy"]) for caption in stated)
    assert not any(caption.true_of(TEE, "red") for caption in stated)


def test_captions_that_state_a_garment_say_one_of_its_names():
    stated = [caption for caption in captions_of(TEE, "navy") if caption.label]
    names = (*words.GARMENT_NAMES["T-Shirt"], "t-shirt")
    assert all(any(name in caption.text for name in names) for caption in stated)


def test_groceries_are_described_by_product_kind_category_and_area():
    captions = captions_of(APPLE, "")
    texts = {caption.text for caption in captions}
    assert {"pink lady", "apple", "fruit"} <= texts
    assert {caption.area for caption in captions} == {GROCERIES}
    other_apple = Photo(path=Path("c.jpg"), label="Royal Gala", group="Apple", category="Fruit")
    assert any(caption.true_of(other_apple, "") for caption in captions)
    assert not any(caption.true_of(other_apple, "") for caption in captions if caption.label)


def test_prompts_name_a_label_or_a_colour_alone():
    choice = random.Random(3)
    assert any("tee" in label_prompt("T-Shirt", choice) for _ in range(60))
    assert any("zucchini" in label_prompt("Zucchini", choice) for _ in range(60))
    prompts = [colour_prompt("red", choice) for _ in range(60)]
    assert all(any(name in prompt for name in words.COLOUR_NAMES["red"]) for prompt in prompts)
    assert plain_query("T-Shirt") == "t-shirt"


def test_an_unknown_label_is_named_by_itself():
    photo = Photo(path=Path("d.jpg"), label="Scarf", group="Scarf", category=CLOTHING)
    assert any("scarf" in caption.text for caption in captions_of(photo, "red", 20))


@pytest.mark.parametrize(
    ("colour", "garment"),
    [
        ("black", (25, 24, 26)),
        ("white", (240, 240, 238)),
        ("grey", (128, 128, 130)),
        ("red", (200, 30, 40)),
        ("orange", (240, 120, 45)),
        ("yellow", (240, 210, 50)),
        ("green", (40, 125, 60)),
        ("blue", (60, 120, 200)),
        ("navy", (28, 35, 72)),
        ("purple", (110, 60, 145)),
        ("pink", (235, 130, 170)),
        ("brown", (100, 65, 45)),
        ("beige", (215, 195, 165)),
    ],
)
@pytest.mark.parametrize("floor", [(180, 130, 80), (235, 235, 235), (60, 110, 60)])
def test_a_swatch_in_the_middle_gives_its_colour_on_any_floor(colour, garment, floor):
    if colour == "white" and floor == (235, 235, 235):
        floor = (60, 60, 60)
    assert garment_colour(garment_on_floor(garment, floor)) == colour


def test_a_garment_that_fills_the_photo_gives_its_colour():
    assert garment_colour(np.full((SIDE, SIDE, 3), (200, 30, 40), dtype=np.uint8)) == "red"


def test_votes_add_up_to_one_and_come_largest_first():
    image = garment_on_floor((200, 30, 40), (240, 240, 240))
    image[12:25, 16:48] = (28, 35, 72)
    votes = colour_votes(image)
    assert list(votes)[:2] == ["red", "navy"]
    assert sum(votes.values()) == pytest.approx(1.0)


def test_lab_follows_published_values():
    # Lindbloom's calculator, sRGB, D65: white, pure red, mid grey.
    got = lab_of(np.array([[255, 255, 255], [255, 0, 0], [119, 119, 119]], dtype=np.uint8))
    assert got == pytest.approx(np.array([[100, 0, 0], [53.24, 80.09, 67.20], [50.03, 0, 0]]), abs=0.05)


def test_every_colour_that_pixels_give_has_words():
    from ensemble_builder.demo_clip.colours import ANCHORS

    assert {name for name, _ in ANCHORS} == set(words.COLOUR_NAMES)


def test_words_that_people_type_are_single_tokens_and_any_unicode_works():
    vocabulary, merges = build_tokenizer(train_merges(vocabulary_texts(), 1400))
    tokenizer = text_tokenizer(vocabulary, merges)
    assert len(vocabulary) == VOCABULARY_SIZE
    assert tokenizer.encode("Blue TEE").tokens == ["<|startoftext|>", "blue</w>", "tee</w>", "<|endoftext|>"]
    ids = tokenizer.encode("naïve 日本 🍎").ids
    assert (ids[0], ids[-1], ids.count(END_TOKEN_ID)) == (START_TOKEN_ID, END_TOKEN_ID, 1)
    assert tokenizer.encode("").ids == [START_TOKEN_ID, END_TOKEN_ID]


def test_merges_that_do_not_fit_are_left_out():
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOP"
    pairs = [(left, right) for left in letters for right in letters]
    vocabulary, merges = build_tokenizer(pairs)
    assert len(vocabulary) == VOCABULARY_SIZE
    assert len(merges) == START_TOKEN_ID - 512


def write_folder(folder: Path, table: str, names: tuple[str, ...]) -> Path:
    (folder / "images").mkdir(parents=True)
    (folder / "images.csv").write_text(table, encoding="utf-8")
    for name in names:
        Image.new("RGB", (30, 40), (200, 30, 40)).save(folder / "images" / name)
    return folder


def test_a_folder_gives_its_photos_with_pixels_and_colours(tmp_path):
    table = "image,label,kids\na.jpg,Shirt,True\n"
    folder = write_folder(tmp_path / "clothing", table, ("a.jpg",))
    photos = list_photos(folder, list(Part))
    assert [(photo.label, photo.kids, photo.area) for photo in photos] == [("Shirt", True, CLOTHING)]
    loaded = load_photos(photos)
    assert loaded.colours == ("red",)
    assert loaded.aspects[0] == pytest.approx(0.75)
    assert loaded.pixels.shape == (1, 3, 160, 160)


def test_a_folder_without_a_table_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"has no images\.csv; expected a table with the columns image and label"):
        list_photos(tmp_path, list(Part))


def test_a_table_without_labels_is_refused(tmp_path):
    folder = write_folder(tmp_path / "x", "image,name\na.jpg,b\n", ())
    with pytest.raises(ConfigError, match=r"lacks the columns \['label'\]"):
        list_photos(folder, list(Part))
