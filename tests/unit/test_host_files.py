"""Files are replaced in one step, and what nobody tells is waited for within its time."""

from __future__ import annotations

import pytest

from product_match.host.files import replace_file
from product_match.host.polling import wait_until


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path, durable):
    file = tmp_path / "CURRENT"
    file.write_text("old")
    with file.open() as reader:
        replace_file(file, b"new", durable=durable)
        assert reader.read() == "old"
    assert file.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [file]


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    file = tmp_path / "CURRENT"
    file.write_text("old")
    with pytest.raises(TypeError):
        replace_file(file, "text")
    assert file.read_text() == "old"


def test_waiting_ends_with_what_it_waited_for():
    looks = iter([False, False, True])
    assert wait_until(lambda: next(looks), 60, poll_s=0)


def test_waiting_looks_once_even_without_time():
    looks = []
    assert not wait_until(lambda: looks.append(1), 0)
    assert looks == [1]
