from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import pytest

from product_match.contract import limits
from product_match.contract.errors import InvalidRequestError
from product_match_client.photos import PhotoReference, read_photo, split_photos

HERE = Path("/catalogue")
INLINE = "data:image/jpeg;base64," + base64.b64encode(b"photo").decode()

PHOTO = PhotoReference(data=b"photo")
A, B = PhotoReference(path=HERE / "a.jpg"), PhotoReference(path=HERE / "b.jpg")


class NoDownloads:
    async def fetch(self, url):
        return f"fetched {url}".encode()


@pytest.mark.parametrize(
    ("fields", "product", "references"),
    [
        ({}, {}, []),
        ({"image": None}, {"image": None}, []),
        ({"image": ""}, {"image": ""}, []),
        ({"image": []}, {"image": []}, []),
        ({"image": "a/b.jpg"}, {"image": "a/b.jpg"}, [PhotoReference(path=HERE / "a/b.jpg")]),
        ({"image": "/x/b.jpg"}, {"image": "/x/b.jpg"}, [PhotoReference(path=Path("/x/b.jpg"))]),
        ({"image": "HTTPS://h/b"}, {"image": "HTTPS://h/b"}, [PhotoReference(url="HTTPS://h/b")]),
        ({"image": ["a.jpg", "b.jpg"]}, {"image": ["a.jpg", "b.jpg"]}, [A, B]),
        ({"image": INLINE}, {}, [PhotoReference(data=b"photo")]),
        ({"image": [INLINE, "b.jpg"]}, {"image": ["b.jpg"]}, [PHOTO, B]),
        ({"image": ["a.jpg", None, "", "b.jpg"]}, {"image": ["a.jpg", None, "", "b.jpg"]}, [A, B]),
        ({"image": [b"photo", "a.jpg", {"bytes": b"photo", "path": "c"}]}, {"image": ["a.jpg"]}, [PHOTO, A, PHOTO]),
        ({"image": [b"photo", b"second"]}, {}, [PHOTO, PhotoReference(data=b"second")]),
        (
            {"image_base64": ["cGhvdG8=", "c2Vjb25k"], "image": "a.jpg"},
            {"image": "a.jpg"},
            [PHOTO, PhotoReference(data=b"second")],
        ),
        ({"image_base64": []}, {}, []),
        ({"image": b"photo"}, {}, [PhotoReference(data=b"photo")]),
        ({"image": {"bytes": b"photo", "path": "a.jpg"}}, {}, [PhotoReference(data=b"photo")]),
        ({"image": {"bytes": None, "path": "a.jpg"}}, {}, [PhotoReference(path=HERE / "a.jpg")]),
        ({"image_base64": "cGhv\ndG8="}, {}, [PhotoReference(data=b"photo")]),
        ({"image_base64": "cGhvdG8=", "image": "a.jpg"}, {"image": "a.jpg"}, [PhotoReference(data=b"photo")]),
        ({"image_base64": "cGhvdG8=", "image": b"x"}, {}, [PhotoReference(data=b"photo")]),
    ],
)
def test_photos_are_taken_apart_from_the_product(fields, product, references):
    given = {"id": "1", **fields}
    assert split_photos(given, HERE) == ({"id": "1", **product}, tuple(references))
    assert given == {"id": "1", **fields}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"image": 7}, "image must be a path, a URL, a data URL or bytes, got int; see the list of sources"),
        (
            {"image": "data:image/png,abc"},
            "image: a data URL must be `data:image/...;base64,` and base64; correct it",
        ),
        ({"image": "data:image/png;base64"}, "image: a data URL must be"),
        ({"image": "data:image/png;base64,***"}, "the inline photo is not base64 ("),
        ({"image_base64": "abc"}, "the inline photo is not base64 ("),
        ({"image_base64": "é"}, "the inline photo is not base64 ("),
        ({"image_base64": 7}, "image_base64 must be a string, got int; encode the photo"),
        ({"image": "a\0b"}, "image: a path cannot hold a NUL; correct it"),
        ({"image": ["a.jpg", 7]}, "image must be a path, a URL, a data URL or bytes, got int"),
        ({"image_base64": ["cGhvdG8=", 7]}, "image_base64 must be a string, got int; encode the photo"),
    ],
)
def test_a_photo_given_as_something_else_is_refused(fields, words):
    with pytest.raises(InvalidRequestError) as caught:
        split_photos(fields, HERE)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("cell", "kept", "references"),
    [
        ("a.jpg; b.jpg ;", ["a.jpg", "b.jpg"], (A, B)),
        ("a.jpg", "a.jpg", (A,)),
        (" ; ", [], ()),
        (["a.jpg", "b.jpg"], ["a.jpg", "b.jpg"], (A, B)),
        (["a.jpg;b.jpg"], ["a.jpg", "b.jpg"], (A, B)),
        ([b"photo", "a.jpg;b.jpg"], ["a.jpg", "b.jpg"], (PHOTO, A, B)),
        (None, None, ()),
    ],
)
def test_one_text_may_hold_several_photos_with_a_separator_between(cell, kept, references):
    assert split_photos({"image": cell}, HERE, ";") == ({"image": kept}, references)


def read(reference):
    return asyncio.run(read_photo(reference, NoDownloads()))


def test_photos_are_read_from_where_they_are(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"photo")
    assert read(PhotoReference(path=tmp_path / "a.jpg")) == b"photo"
    assert read(PhotoReference(url="http://h/a.jpg")) == b"fetched http://h/a.jpg"
    assert read(PhotoReference(data=b"photo")) == b"photo"
    assert read(PhotoReference()) == b""


def test_an_inline_photo_over_the_limit_is_refused():
    with pytest.raises(InvalidRequestError, match="the inline photo: more than 20,971,520 bytes"):
        read(PhotoReference(data=bytes(limits.MAX_IMAGE_BYTES + 1)))
