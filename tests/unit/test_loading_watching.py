from __future__ import annotations

import json
import os

import pytest

from product_match.contract.errors import ConfigError, UnavailableError
from product_match_client.cli.command import main
from product_match_client.loading import watching
from product_match_client.loading.journal import JOURNAL_FILE, Journal
from product_match_client.loading.sources.folders import FolderProduct, Grouping
from product_match_client.loading.watching import FolderWatch
from tests.fakes.product_server import product_server


class Catalogue:
    """Takes products in memory."""

    def __init__(self):
        self.products = {}
        self.loads = []
        self.away = False

    def load(self, records, total, settled):
        names = []
        for record in records:
            if self.away:
                raise UnavailableError("gave up")
            image = record.fields["image"]
            names.append(image)
            photos = [
                (record.directory / name).read_bytes() for name in (image if isinstance(image, list) else [image])
            ]
            self.products[record.fields["id"]] = b"+".join(photos)
            settled(record)
        assert len(names) == total
        self.loads.append(names)

    def remove(self, product_ids):
        if self.away:
            raise UnavailableError("connection refused")
        for product_id in product_ids:
            del self.products[product_id]


class Watch:
    """A folder that is watched, with as many restarts as a test wants."""

    def __init__(self, folder, url="http://h:1", grouping=Grouping.FILE):
        self.folder, self.url, self.grouping = folder, url, grouping
        self.catalogue = Catalogue()
        self.start()

    def start(self):
        self.journal = Journal(self.folder, self.url, self.grouping.value)
        self.watch = FolderWatch(self.folder, self.journal, self.catalogue, self.grouping)

    def restart(self):
        self.journal.__exit__(None, None, None)
        self.start()

    def look(self, times=1):
        for _ in range(times):
            self.watch.follow(self.watch.look())

    def write(self, name, text="photo", second=1):
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        os.utime(path, ns=(0, second * 1_000_000_000))


@pytest.fixture
def watched(tmp_path):
    watch = Watch(tmp_path)
    yield watch
    watch.journal.__exit__(None, None, None)


def test_a_file_is_loaded_once_it_has_stayed_the_same_for_two_looks(watched):
    watched.write("a.jpg", "half")
    watched.look()
    watched.write("a.jpg", "whole photo", second=2)
    watched.look()
    assert watched.catalogue.products == {}
    watched.look()
    assert watched.catalogue.products == {"a": b"whole photo"}
    watched.look(3)
    assert watched.catalogue.loads == [["a.jpg"]]


def test_what_changes_is_loaded_again_and_what_disappears_is_removed(watched):
    watched.write("a.jpg")
    watched.write("sub/b.png")
    watched.look(2)
    watched.write("a.jpg", "other", second=5)
    (watched.folder / "sub/b.png").unlink()
    watched.look(2)
    assert watched.catalogue.products == {"a": b"other"}
    assert watched.catalogue.loads == [["a.jpg", "sub/b.png"], ["a.jpg"]]


def test_a_change_of_the_same_size_is_seen(watched):
    watched.write("a.jpg", "abc")
    watched.look(2)
    watched.write("a.jpg", "xyz", second=2)
    watched.look(2)
    assert watched.catalogue.products == {"a": b"xyz"}


def test_a_restart_does_nothing_again_and_sees_what_happened_meanwhile(watched):
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        watched.write(name)
    watched.look(2)
    watched.journal.__exit__(None, None, None)
    (watched.folder / "a.jpg").unlink()
    watched.write("b.jpg", "new", second=9)
    watched.write("d.jpg")
    watched.start()
    watched.look(2)
    assert watched.catalogue.products == {"b": b"new", "c": b"photo", "d": b"photo"}
    assert watched.catalogue.loads[1:] == [["b.jpg", "d.jpg"]]


def test_a_journal_that_was_broken_off_costs_no_more_than_the_last_file(watched):
    watched.write("a.jpg")
    watched.write("b.jpg")
    watched.look(2)
    path = watched.folder / JOURNAL_FILE
    path.write_text(path.read_text()[:-20])
    watched.restart()
    assert list(watched.journal.done) == ["a.jpg"]
    watched.look(2)
    assert watched.catalogue.loads[1:] == [["b.jpg"]]
    assert all(json.loads(line) for line in path.read_text().splitlines())


@pytest.mark.parametrize("line", ["[]", "7", '{"name": "a.jpg"}', "\x00"])
def test_a_line_of_the_journal_that_means_nothing_is_left_out(tmp_path, line):
    (tmp_path / JOURNAL_FILE).write_text(f'{{"url": "http://h:1"}}\n{line}\n')
    with Journal(tmp_path, "http://h:1", "file") as journal:
        assert journal.done == {}


def test_a_journal_does_not_grow_with_every_change(watched):
    for second in range(50):
        watched.write("a.jpg", second=second)
        watched.look(2)
    watched.restart()
    assert len((watched.folder / JOURNAL_FILE).read_text().splitlines()) == 2


def test_another_server_starts_from_nothing(watched):
    watched.write("a.jpg")
    watched.look(2)
    watched.url = "http://other:1"
    watched.restart()
    assert watched.journal.done == {}


def test_a_folder_that_vanishes_is_not_one_that_was_emptied(watched, tmp_path_factory):
    watched.write("a.jpg")
    watched.look(2)
    away = tmp_path_factory.mktemp("away") / "folder"
    watched.folder.rename(away)
    with pytest.raises(UnavailableError, match=r"is not there, or has lost its journal \.product-match-watch\.jsonl"):
        watched.look()
    watched.folder.mkdir()
    with pytest.raises(UnavailableError, match="is not there, or has lost its journal"):
        watched.look()
    watched.folder.rmdir()
    away.rename(watched.folder)
    watched.look(2)
    assert watched.catalogue.products == {"a": b"photo"}


def test_a_folder_that_cannot_be_read_to_the_end_loses_nothing(watched, monkeypatch):
    watched.write("a.jpg")
    watched.look(2)

    def broken(folder, grouping):
        yield FolderProduct(id="a", names=["a.jpg"])
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(watching, "folder_products", broken)
    with pytest.raises(
        UnavailableError, match=r"cannot be read to the end \(.*Permission denied\); it is looked at again"
    ):
        watched.look()
    assert watched.catalogue.products == {"a": b"photo"}


def test_a_server_that_is_away_is_caught_up_with_later(watched):
    watched.write("a.jpg")
    watched.write("b.jpg")
    watched.look(2)
    watched.catalogue.away = True
    (watched.folder / "a.jpg").unlink()
    watched.write("c.jpg")
    for _ in range(3):
        with pytest.raises(UnavailableError):
            watched.look()
    watched.catalogue.away = False
    watched.look(2)
    assert sorted(watched.catalogue.products) == ["b", "c"]


def test_a_file_that_is_renamed_to_the_same_id_keeps_its_product(watched):
    watched.write("a.jpg")
    watched.look(2)
    (watched.folder / "a.jpg").rename(watched.folder / "a.png")
    watched.look(2)
    assert watched.catalogue.products == {"a": b"photo"}
    assert list(watched.journal.done) == ["a.png"]


def test_of_two_files_with_one_id_the_first_counts(watched):
    watched.write("a.jpg", "first")
    watched.write("a.png", "second")
    watched.look(2)
    assert watched.catalogue.products == {"a": b"first"}
    (watched.folder / "a.jpg").unlink()
    watched.look(2)
    assert watched.catalogue.products == {"a": b"second"}


@pytest.mark.parametrize(
    ("grouping", "names"),
    [
        (Grouping.FOLDER, ("boot/1.jpg", "boot/2.jpg", "boot/3.jpg")),
        (Grouping.NUMBER, ("boot_1.jpg", "boot_2.jpg", "boot_3.jpg")),
    ],
)
def test_a_product_of_several_images_follows_each_of_them(tmp_path, grouping, names):
    watched = Watch(tmp_path, grouping=grouping)
    watched.write(names[0], "one")
    watched.write(names[1], "two")
    watched.look(2)
    assert watched.catalogue.products == {"boot": b"one+two"}
    watched.write(names[2], "thr")
    watched.look()
    watched.write(names[2], "three", second=3)
    watched.look()
    assert watched.catalogue.products == {"boot": b"one+two"}
    watched.look()
    assert watched.catalogue.products == {"boot": b"one+two+three"}
    watched.look(3)
    assert len(watched.catalogue.loads) == 2
    watched.restart()
    (tmp_path / names[0]).unlink()
    watched.write(names[1], "TWO", second=9)
    watched.look(2)
    assert watched.catalogue.products == {"boot": b"TWO+three"}
    assert sorted(watched.journal.done) == sorted(names[1:])
    (tmp_path / names[1]).unlink()
    watched.look()
    assert watched.catalogue.products == {"boot": b"three"}
    watched.catalogue.away = True
    (tmp_path / names[2]).unlink()
    with pytest.raises(UnavailableError):
        watched.look()
    watched.catalogue.away = False
    watched.look()
    assert (watched.catalogue.products, dict(watched.journal.done)) == ({}, {})
    watched.journal.__exit__(None, None, None)


def test_a_journal_of_another_way_of_grouping_does_not_count(tmp_path):
    watched = Watch(tmp_path)
    watched.write("boot_1.jpg")
    watched.look(2)
    watched.journal.__exit__(None, None, None)
    other = Watch(tmp_path, grouping=Grouping.NUMBER)
    other.look(2)
    assert other.catalogue.products == {"boot": b"photo"}
    other.journal.__exit__(None, None, None)


def test_two_watches_do_not_share_a_folder(watched):
    with pytest.raises(ConfigError, match=r"another watch follows .*; stop it, or watch another folder"):
        Journal(watched.folder, "http://h:1", "file")


def test_a_journal_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / (JOURNAL_FILE + ".partial")).mkdir()
    with pytest.raises(
        ConfigError, match=r"the journal .* cannot be written \(Is a directory\); a watch needs it to"
    ):
        Journal(tmp_path, "http://h:1", "file")


def test_the_command_follows_a_folder_until_it_is_interrupted(tmp_path, monkeypatch, capsys):
    folder, steps = tmp_path / "photos", []
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    with product_server() as (server, url):

        def sleep(seconds):
            steps.append(seconds)
            if len(steps) == 1:
                (folder / "a.jpg").write_bytes(b"photo a")
                (folder / "bad.jpg").write_bytes(b"photo b")
                server.refuse["bad"] = (400, "image: not a photo")
            if len(steps) == 4:
                assert sorted(server.entries) == ["a"]
                (folder / "a.jpg").unlink()
                folder.rename(tmp_path / "away")
            if len(steps) == 5:
                (tmp_path / "away").rename(folder)
            if len(steps) == 7:
                raise KeyboardInterrupt

        monkeypatch.setattr(watching, "pause", sleep)
        assert main(["index", "--watch", "photos", "--url", url]) == 0
        assert server.entries == {}
    captured = capsys.readouterr()
    summary, removal = [json.loads(line) for line in captured.out.splitlines()]
    assert removal == {"removed": 1}
    assert "removed as their photos are gone: 1\n" in captured.err
    # The two go in one request, which is refused, and then by themselves: the good one may be there already by then.
    assert summary["created"] + summary["unchanged"] == 1
    assert (summary["rejected"], summary["rejects"]) == (1, "rejects.jsonl")
    assert captured.err.startswith("watching photos, 0 images are done; Ctrl-C stops\n")
    assert captured.err.count("waiting: photos is not there") == 1
    assert captured.err.endswith("stopped\n")
    assert min(steps) >= watching.POLL_S
    (reject,) = [json.loads(line) for line in (tmp_path / "rejects.jsonl").read_text().splitlines()]
    assert (reject["record"], reject["directory"]) == ({"id": "bad", "image": "bad.jpg"}, str(folder))


def test_what_is_gone_from_the_catalogue_already_is_no_trouble(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with product_server() as (server, url):
        steps = []
        (tmp_path / "a.jpg").write_bytes(b"photo")
        (tmp_path / "a.pdf").write_bytes(b"document")

        def sleep(seconds):
            steps.append(seconds)
            if len(steps) == 2:
                server.entries.clear()
                (tmp_path / "a.jpg").unlink()
            if len(steps) == 4:
                raise KeyboardInterrupt

        monkeypatch.setattr(watching, "pause", sleep)
        assert main(["index", "--watch", ".", "--url", url]) == 0
        assert json.loads((tmp_path / JOURNAL_FILE).read_text().splitlines()[-1]) == {"name": "a.jpg", "gone": True}
        assert "left out 1 files that are no photos by their suffix (1 .pdf)" in capsys.readouterr().err


def test_a_watch_needs_a_folder(tmp_path, capsys):
    assert main(["index", "--watch", str(tmp_path / "none"), "--url", "h:1"]) == 1
    assert "none: there is no such folder; give one that exists" in capsys.readouterr().err
