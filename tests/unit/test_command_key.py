"""`product-match key`: makes keys, shows each once, and takes them out."""

from __future__ import annotations

import json

import pytest

from product_match.contract.access import KeyRing, Scope
from product_match.contract.errors import ConfigError
from product_match_client.cli.arguments import credentials
from product_match_client.cli.command import build_parser, main
from product_match_client.credentials import Credentials


@pytest.fixture
def file(tmp_path):
    return tmp_path / "keys.json"


def test_a_key_is_printed_once_and_its_digest_is_kept(file, capsys):
    assert main(["key", str(file), "shop", "--may", "search,write", "--rows-per-second", "20"]) == 0
    key = capsys.readouterr().out.strip()
    ring = KeyRing.from_json(file.read_text())
    found = ring.find(key)
    assert (found.name, found.may, found.burst) == ("shop", {Scope.SEARCH, Scope.WRITE}, 20)
    assert key not in file.read_text()
    assert ring.open == {Scope.SEARCH}


def test_a_new_key_stands_beside_the_old_one_until_that_is_taken_out(file, capsys):
    for name in ("shop-1", "shop-2"):
        assert main(["key", str(file), name, "--may", "write", "--expires", "2027-01-31"]) == 0
    assert main(["key", str(file), "shop-1", "--remove"]) == 0
    assert [entry["name"] for entry in json.loads(file.read_text())["keys"]] == ["shop-2"]
    assert "`shop-1` is out of" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        ("has already a key `shop`; its keys are shop", ["shop", "--may", "write"]),
        ("has no key `other`; its keys are shop", ["other", "--remove"]),
        ("the name of key 1 must be 1 to 100 printable characters", ["", "--may", "write"]),
    ],
)
def test_what_does_not_fit_is_told_and_changes_nothing(file, capsys, words, arguments):
    main(["key", str(file), "shop", "--may", "write"])
    before = file.read_text()
    assert main(["key", str(file), *arguments]) == 1
    assert words in capsys.readouterr().err
    assert file.read_text() == before


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        ("expected some of search, write, export, admin, got `all`", ["shop", "--may", "all"]),
        ("expected a day such as 2027-01-31, got `soon`", ["shop", "--may", "write", "--expires", "soon"]),
    ],
)
def test_misuse_is_told(file, capsys, words, arguments):
    assert main(["key", str(file), *arguments]) == 2
    assert words in capsys.readouterr().err


def test_a_file_that_cannot_be_read_or_written_is_told(tmp_path, capsys):
    assert main(["key", str(tmp_path), "shop", "--may", "write"]) == 1
    assert "cannot be read" in capsys.readouterr().err
    assert main(["key", "/proc/none/keys.json", "shop", "--may", "write"]) == 1
    assert "cannot be written" in capsys.readouterr().err


def shown(environment, *argv):
    return credentials(build_parser().parse_args(["count", *argv]), environment)


def test_a_client_takes_the_key_from_the_option_the_environment_or_a_file(tmp_path):
    file = tmp_path / "key"
    file.write_text("pm_file\n")
    named = {"PRODUCT_MATCH_KEY_FILE": str(file)}
    assert shown({}) == Credentials()
    assert shown(named).key == "pm_file"
    assert shown({**named, "PRODUCT_MATCH_KEY": "pm_env"}).key == "pm_env"
    assert shown({"PRODUCT_MATCH_KEY": "pm_env"}, "--key", "pm_given").key == "pm_given"
    assert shown({"PRODUCT_MATCH_CA_FILE": str(file)}).root_certificates == str(file)
    with pytest.raises(ConfigError, match="PRODUCT_MATCH_KEY_FILE: /nowhere cannot be read"):
        shown({"PRODUCT_MATCH_KEY_FILE": "/nowhere"})


def test_credentials_never_show_the_key_and_are_checked(tmp_path):
    assert "pm_a" not in repr(Credentials(key="pm_a"))
    assert Credentials(key="pm_a").headers == {"product-match-key": "pm_a"}
    for key in ("pm a", "pm\n", "pmé"):
        with pytest.raises(ConfigError, match="the key holds other than printable ASCII characters"):
            Credentials(key=key)
    with pytest.raises(ConfigError, match="is not a file; give the certificate authority's certificates in PEM"):
        Credentials(ca_file=tmp_path)


def test_secrets_are_made_once_and_kept(tmp_path, capsys):
    place = tmp_path / "secrets"
    assert main(["secrets", str(place), "--mongodb-host", "mongo-0"]) == 0
    assert "keys.json" in json.loads(capsys.readouterr().out)["made"]
    before = {path.name: path.read_text() for path in place.iterdir()}
    assert before["mongodb_uri"].strip() == (
        f"mongodb://product_match:{before['mongodb_password'].strip()}@mongo-0:27017/product_match"
    )
    assert place.stat().st_mode & 0o777 == 0o700
    (place / "qdrant_api_key").unlink()
    assert main(["secrets", str(place)]) == 0
    assert json.loads(capsys.readouterr().out)["made"] == ["qdrant_api_key", "qdrant.yaml"]
    after = {path.name: path.read_text() for path in place.iterdir()}
    assert {name for name in after if after[name] != before[name]} == {"qdrant_api_key", "qdrant.yaml"}


def test_secrets_that_cannot_be_written_are_told(capsys):
    assert main(["secrets", "/proc/none"]) == 1
    assert "/proc/none cannot be written" in capsys.readouterr().err
