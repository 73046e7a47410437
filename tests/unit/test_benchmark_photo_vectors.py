"""The measurement of what several photos cost a search runs, on a small scale."""

from __future__ import annotations

from benchmarks import photo_vectors


def test_each_kind_of_index_is_searched(capsys):
    assert photo_vectors.main(["--products", "300", "--dimension", "8", "--searches", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["plain", "multivectors", "one in ten has further photos"]


def test_a_share_of_the_products_has_further_photos(tmp_path):
    index = photo_vectors.filled(tmp_path / "index", 400, 8, 0.1)
    assert index.count() == 400
    assert 20 < index._count_with("images") < 70
    index.close()
