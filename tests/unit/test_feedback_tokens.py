"""Tokens say which answer and which products, and nobody else can make or change one."""

from __future__ import annotations

import json
import stat
from dataclasses import replace

import jwt
import pytest

from product_match.contract.errors import ConfigError, InvalidRequestError
from product_match.feedback.keys import make_key, put_key_in_front, read_keys
from product_match.feedback.tokens import MOST_FURTHER, AnswerFacts, TokenReader, TokenSigner

FACTS = AnswerFacts(answer_id="0199aa", kind="words", outcome="matched", encoder="demo@1", person="abc")
DAYS = 2.0


def keys(*made):
    return read_keys(json.dumps({"keys": list(made)}))


@pytest.fixture(params=["HS256", "EdDSA"])
def key(request):
    return make_key(request.param, "2026-11")


def signed(*made, ids=("a", "b"), clock=None):
    return TokenSigner(keys(*made), DAYS, **({"clock": clock} if clock else {})).sign(FACTS, ids)


def refused(token, *made):
    with pytest.raises(InvalidRequestError) as caught:
        TokenReader(keys(*made)).read(token)
    return str(caught.value)


def test_a_token_comes_back_with_what_it_was_signed_with(key):
    read = TokenReader(keys(key)).read(signed(key, ids=["b", "a", "ü" * 100]))
    assert read.facts == FACTS
    assert [read.rank_of(product_id) for product_id in ("b", "a", "ü" * 100)] == [1, 2, 3]


def test_ranks_of_a_further_page_go_on(key):
    facts = replace(FACTS, offset=20)
    read = TokenReader(keys(key)).read(TokenSigner(keys(key), DAYS).sign(facts, ["a", "b"]))
    assert (read.facts, read.rank_of("b")) == (facts, 22)


def test_a_thousand_products_fit_what_a_request_takes(key):
    token = signed(key, ids=[str(number) for number in range(1000)])
    assert len(token) < 12_000
    assert TokenReader(keys(key)).read(token).rank_of("999") == 1000


def test_what_stands_inside_a_match_counts_at_its_rank(key):
    facts = replace(FACTS, offset=10)
    token = TokenSigner(keys(key), DAYS).sign(facts, ["a", "b"], [("a2", 11), ("b2", 12), ("b", 11), ("other", 13)])
    read = TokenReader(keys(key)).read(token)
    assert {id_: read.rank_of(id_) for id_ in ("a", "b", "a2", "b2", "other")} == {
        "a": 11, "b": 12, "a2": 11, "b2": 12, "other": 13,
    }  # fmt: skip


def test_a_token_takes_so_many_further_products(key):
    further = [(f"v{number}", 1) for number in range(1000)]
    token = TokenSigner(keys(key), DAYS).sign(FACTS, [str(number) for number in range(1000)], further)
    read = TokenReader(keys(key)).read(token)
    assert len(token) < 16_384
    assert read.rank_of(f"v{MOST_FURTHER - 1}") == 1
    with pytest.raises(InvalidRequestError, match="is not among the 1200 products"):
        read.rank_of(f"v{MOST_FURTHER}")


def test_a_foreign_product_is_refused(key):
    read = TokenReader(keys(key)).read(signed(key))
    with pytest.raises(InvalidRequestError) as caught:
        read.rank_of("c")
    assert str(caught.value) == (
        "feedback: product 'c' is not among the 2 products of the answer that the token is of; send the "
        "`product_id` of a match beside the token of its own answer"
    )


def test_a_digest_holds_under_its_own_answer_only(key):
    """What was learned from one token is of no use for another's products."""
    signer = TokenSigner(keys(key), DAYS)
    other = AnswerFacts(answer_id="0199ab", kind="words", outcome="matched", encoder="demo@1")
    reader = TokenReader(keys(key))
    first, second = (reader.read(signer.sign(facts, ["a"])) for facts in (FACTS, other))
    assert first.ranks.keys().isdisjoint(second.ranks)


def test_a_token_that_has_expired_is_refused(key):
    expired = signed(key, clock=lambda: 0)
    assert refused(expired, key).startswith("feedback_token: it has expired; feedback is taken for a time after the")


@pytest.mark.parametrize("where", [0, 1, 2])
def test_a_changed_token_is_refused(key, where):
    parts = signed(key).split(".")
    parts[where] = parts[where][:-4] + ("AAAA" if not parts[where].endswith("AAAA") else "BBBB")
    words = refused(".".join(parts), key)
    assert words.startswith("feedback_token: it is forged or damaged (")
    assert words.endswith("send the `feedback_token` of an answer unchanged")


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "\ud800", "ü.ü.ü"])
def test_what_is_no_token_is_refused(key, token):
    assert "it is forged or damaged" in refused(token, key)


def test_a_key_of_that_name_with_another_secret_forges_nothing():
    assert "Signature verification failed" in refused(
        signed(make_key("HS256", "2026-11")), make_key("HS256", "2026-11")
    )


def test_neither_no_signature_nor_another_algorithm_is_believed(key):
    claims = {"aud": "feedback", "jti": "x", "exp": 2**40, "k": "words", "o": "matched", "e": "x", "p": ""}
    none = jwt.encode(claims, None, algorithm="none", headers={"kid": "2026-11"})
    assert "it is forged or damaged" in refused(none, key)
    # The public key, which everybody may know, taken for a secret.
    other = jwt.encode(claims, b"x" * 32, algorithm="HS256", headers={"kid": "2026-11"})
    assert "it is forged or damaged" in refused(other, key)


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"aud": "feedback"}, 'missing the "exp" claim'),
        ({"aud": "feedback", "exp": 2**40}, 'missing the "jti" claim'),
        ({"aud": "login", "jti": "x", "exp": 2**40}, "Audience doesn't match"),
        ({"jti": "x", "exp": 2**40}, 'missing the "aud" claim'),
        ({"aud": "feedback", "jti": "x", "exp": 2**40}, "it is signed, but is not of an answer (KeyError('p'))"),
        ({"aud": "feedback", "jti": "x", "exp": 2**40, "p": "a", "k": "", "o": "", "e": ""}, "is not of an answer"),
    ],
)
def test_what_the_same_key_signs_for_something_else_is_refused(key, claims, words):
    held = keys(key).signing
    assert words in refused(jwt.encode(claims, held, headers={"kid": "2026-11"}), key)


def test_a_new_key_signs_and_the_old_one_is_believed_until_it_is_taken_out():
    old, new = make_key("HS256", "old"), make_key("EdDSA", "new")
    token = signed(old)
    assert TokenReader(keys(new, old)).read(token).facts == FACTS
    assert jwt.get_unverified_header(signed(new, old))["kid"] == "new"
    assert refused(token, new).startswith("feedback_token: signed with the key 'old', which this server does not")


def test_who_has_the_public_key_can_check_and_not_sign():
    private = make_key("EdDSA", "a")
    public = {name: value for name, value in private.items() if name != "d"}
    assert TokenReader(keys(make_key("HS256", "b"), public)).read(signed(private)).facts == FACTS
    with pytest.raises(
        ConfigError, match="the first, a, is a public key, which cannot sign; put a private one first"
    ):
        keys(public)


GOOD = make_key("HS256", "good")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("secret", "feedback keys: not JSON ("),
        ("[]", "expected a JSON Web Key or a set of at least one; `product-match feedback key FILE` makes"),
        ('{"keys": []}', "expected a JSON Web Key or a set of at least one"),
        ('{"keys": 3}', "expected a JSON Web Key or a set of at least one"),
        ('{"keys": ["x"]}', "number 1 has no `kid`, a text that names it"),
        ('{"kid": ""}', "number 1 has no `kid`"),
        ('{"kid": "a", "alg": "RS256"}', "a is for 'RS256'; expected `alg` to be HS256 or EdDSA"),
        ('{"kid": "a", "alg": "HS256"}', "a cannot be read ("),
        ('{"kid": "a", "alg": "EdDSA", "kty": "OKP", "crv": "Ed25519", "x": "AA"}', "a cannot be read ("),
        ('{"kid": "a", "alg": "HS256", "kty": "oct", "k": "c2hvcnQ"}', "the secret of a has 5 bytes, 32 are needed"),
        (json.dumps({"keys": [GOOD, GOOD]}), "two of the 2 have one `kid`; give each an id of its own"),
    ],
)
def test_keys_that_cannot_be_used_are_named(text, words):
    with pytest.raises(ConfigError) as caught:
        read_keys(text)
    assert words in str(caught.value)


def test_a_single_key_is_a_set_of_one():
    assert list(read_keys(json.dumps(GOOD)).believed) == ["good"]


def test_a_file_of_keys_is_its_owners_alone_and_keeps_the_keys_before(tmp_path):
    path = tmp_path / "keys.json"
    (tmp_path / "keys.json.partial").write_text("left by one that was killed")
    assert put_key_in_front(path, "HS256", "1", kept=2) == ["1"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    token = TokenSigner(read_keys(path.read_text()), DAYS).sign(FACTS, ["a"])
    assert put_key_in_front(path, "EdDSA", "2", kept=2) == ["2", "1"]
    assert put_key_in_front(path, "HS256", "3", kept=1) == ["3", "2"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["keys.json"]
    assert refused(token, *json.loads(path.read_text())["keys"]).startswith("feedback_token: signed with the key '1'")
    with pytest.raises(ConfigError, match="two of the 3 have one `kid`"):
        put_key_in_front(path, "HS256", "3", kept=2)
    with pytest.raises(ConfigError, match=r"cannot be read or written \(Not a directory\); give another file"):
        put_key_in_front(path / "x", "HS256", "1", kept=0)
