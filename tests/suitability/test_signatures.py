"""Tests of signatures: what holds, and every reason for which a set does not."""

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from suitability import PolicyError, SignatureError, default_policy_path, load_policy
from suitability.errors import SigningKeyError
from suitability.json_documents import canonical_bytes
from suitability.signatures import (
    CLOCK_SKEW_MAX,
    SIGNER_COUNT,
    Purpose,
    Signature,
    SignatureSet,
    generate_private_key,
    load_keys,
    load_private_key,
    load_signatures,
    private_key_pem,
    public_key_of,
    sign,
    verify,
)

NOW = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
SHA256 = load_policy(default_policy_path()).sha256
OTHER_SHA256 = "0" * 64
NAMES = {"li-wei": "Li Wei", "an-na": "An Na", "li-wei-2": "Li Wei"}
PRIVATE = {key_id: generate_private_key() for key_id in NAMES}


def keys_file(**changes):
    """Returns the file of public keys with some entries changed, by key id with underscores."""
    entries = []
    for key_id, name in NAMES.items():
        entry = public_key_of(PRIVATE[key_id], key_id=key_id, name=name).values()
        entries.append({**entry, **changes.get(key_id.replace("-", "_"), {})})
    return {"schema": "suitability-keys/1", "keys": entries}


def signed(*key_ids, sha256=SHA256, purpose=Purpose.ACTIVATE, at=NOW):
    signatures = [sign(sha256, purpose, PRIVATE[key_id], key_id, at) for key_id in key_ids]
    return SignatureSet(purpose, sha256, tuple(signatures))


def check(signatures, *, sha256=SHA256, purpose=Purpose.ACTIVATE, keys=None, now=NOW, count=2):
    ring = load_keys(keys_file() if keys is None else keys)
    return verify(signatures, sha256, purpose, ring, now=now, age_max=DAY, signer_count=count)


def test_two_different_people_activate():
    assert check(signed("li-wei", "an-na")) == ("Li Wei", "An Na")
    assert SIGNER_COUNT == {Purpose.ACTIVATE: 2, Purpose.TIGHTEN: 1, Purpose.LOOSEN: 2, Purpose.PUBLISH: 1}


def test_a_set_survives_the_way_through_json():
    signatures = signed("li-wei", "an-na", at=NOW + timedelta(microseconds=5))
    data = json.dumps(signatures.values()).encode()
    assert load_signatures(data) == signatures
    assert check(load_signatures(data), now=NOW + SECOND) == ("Li Wei", "An Na")


def test_a_signature_covers_document_purpose_key_and_instant():
    message = {
        "schema": "suitability-signatures/1",
        "purpose": "activate",
        "sha256": SHA256,
        "key_id": "li-wei",
        "signed_at": "2026-11-22T04:00:00Z",
    }
    made = sign(SHA256, Purpose.ACTIVATE, PRIVATE["li-wei"], "li-wei", NOW)
    PRIVATE["li-wei"].public_key().verify(made.signature, canonical_bytes(message))


def test_the_zone_of_the_instant_does_not_matter():
    there = NOW.astimezone(timezone(timedelta(hours=8)))
    assert signed("li-wei", at=there) == signed("li-wei")
    with pytest.raises(SignatureError, match="time zone"):
        signed("li-wei", at=NOW.replace(tzinfo=None))


def test_one_person_is_not_enough_to_activate():
    with pytest.raises(SignatureError, match="expected 2 different people"):
        check(signed("li-wei"))
    with pytest.raises(SignatureError, match="expected 1 different people"):
        check(signed(), count=1)


def test_the_same_person_under_two_ids_is_one_person():
    with pytest.raises(SignatureError, match="got 1 with 2"):
        check(signed("li-wei", "li-wei-2"))


@pytest.mark.parametrize("name", ["LI WEI", " Li  Wei ", "\uff2c\uff49 Wei", "li\u00a0wei"])
def test_another_spelling_of_a_name_is_no_other_person(name):
    with pytest.raises(SignatureError, match="got 1 with 2"):
        check(signed("li-wei", "an-na"), keys=keys_file(an_na={"name": name}))


def test_the_same_key_under_two_names_is_one_person():
    shared = public_key_of(PRIVATE["li-wei"], key_id="an-na", name="An Na").values()
    signatures = SignatureSet(
        Purpose.ACTIVATE,
        SHA256,
        tuple(sign(SHA256, Purpose.ACTIVATE, PRIVATE["li-wei"], each, NOW) for each in ("li-wei", "an-na")),
    )
    with pytest.raises(SignatureError, match="got 2 with 1"):
        check(signatures, keys=keys_file(an_na=shared))


def test_signatures_of_another_document_do_not_hold():
    with pytest.raises(SignatureError, match="another"):
        check(signed("li-wei", "an-na", sha256=OTHER_SHA256))
    with pytest.raises(SignatureError, match="does not hold"):
        check(replace(signed("li-wei", "an-na", sha256=OTHER_SHA256), sha256=SHA256))


@pytest.mark.parametrize("purpose", list(Purpose))
def test_a_signature_holds_for_its_own_purpose_only(purpose):
    signatures = signed("li-wei", "an-na", purpose=purpose)
    for other in Purpose:
        if other is purpose:
            assert check(signatures, purpose=other)
            continue
        with pytest.raises(SignatureError, match="purpose"):
            check(signatures, purpose=other)
        with pytest.raises(SignatureError, match="does not hold"):
            check(replace(signatures, purpose=other), purpose=other)


@pytest.mark.parametrize(
    "change", [{"signed_at": NOW - SECOND}, {"key_id": "an-na"}, {"signature": bytes(64)}]
)
def test_a_changed_signature_does_not_hold(change):
    signatures = signed("li-wei")
    changed = replace(signatures, signatures=(replace(signatures.signatures[0], **change),))
    with pytest.raises(SignatureError, match="does not hold"):
        check(changed, count=1)


def test_every_flipped_bit_of_a_signature_is_noticed():
    original = signed("li-wei").signatures[0]
    for bit in range(0, 512, 7):
        data = bytearray(original.signature)
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SignatureError, match="does not hold"):
            check(
                SignatureSet(Purpose.ACTIVATE, SHA256, (replace(original, signature=bytes(data)),)), count=1
            )


def test_one_bad_signature_spoils_enough_good_ones():
    good = signed("li-wei", "an-na")
    bad = Signature("li-wei-2", NOW, bytes(64))
    with pytest.raises(SignatureError, match=r"signatures\[2\]"):
        check(replace(good, signatures=(*good.signatures, bad)))


def test_an_unknown_key_does_not_hold():
    stranger = sign(SHA256, Purpose.ACTIVATE, generate_private_key(), "eve", NOW)
    with pytest.raises(SignatureError, match="eve"):
        check(SignatureSet(Purpose.ACTIVATE, SHA256, (stranger,)), count=1)


def test_a_key_of_somebody_else_does_not_hold():
    forged = sign(SHA256, Purpose.ACTIVATE, generate_private_key(), "li-wei", NOW)
    with pytest.raises(SignatureError, match="does not hold"):
        check(SignatureSet(Purpose.ACTIVATE, SHA256, (forged,)), count=1)


def test_a_signature_may_be_as_old_as_the_limit():
    assert check(signed("li-wei"), now=NOW, count=1)
    assert check(signed("li-wei"), now=NOW + DAY, count=1)
    with pytest.raises(SignatureError, match="stale"):
        check(signed("li-wei"), now=NOW + DAY + timedelta(microseconds=1), count=1)


def test_a_signature_may_be_from_the_future_by_what_clocks_differ():
    assert timedelta(minutes=5) == CLOCK_SKEW_MAX
    assert check(signed("li-wei"), now=NOW - CLOCK_SKEW_MAX, count=1)
    with pytest.raises(SignatureError, match="expected at most 5 minutes in the future, got 2026-11-22T04"):
        check(signed("li-wei"), now=NOW - CLOCK_SKEW_MAX - timedelta(microseconds=1), count=1)


def test_age_is_not_judged_without_an_instant():
    assert check(signed("li-wei", at=NOW - 1000 * DAY), now=None, count=1)
    assert check(signed("li-wei", at=NOW + 1000 * DAY), now=None, count=1)


@pytest.mark.parametrize("now", [NOW, None])
def test_a_key_signs_until_it_is_retired(now):
    retired = keys_file(li_wei={"retired_at": "2026-11-22T04:00:00Z"})
    assert check(signed("li-wei", at=NOW - SECOND), keys=retired, now=now, count=1)
    with pytest.raises(SignatureError, match="retired"):
        check(signed("li-wei"), keys=retired, now=now, count=1)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"schema": "suitability-keys/1"}, "schema"),
        ({"purpose": "ACTIVATE"}, "purpose"),
        ({"purpose": "waive"}, "purpose"),
        ({"sha256": None}, "sha256"),
        ({"signatures": {}}, "signatures"),
        ({"signatures": [{}]}, "signatures[0].key_id"),
        ({"signatures": [{}] * 17}, "signatures"),
        ({"signatures": ["li-wei"]}, "signatures[0]"),
        ({"comment": "please"}, "comment"),
    ],
)
def test_a_malformed_set_is_refused_and_the_key_is_named(change, path):
    with pytest.raises(SignatureError) as caught:
        load_signatures({**signed("li-wei").values(), **change})
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"key_id": ""}, "key_id"),
        ({"signed_at": "2026-11-22"}, "signed_at"),
        ({"signed_at": None}, "signed_at"),
        ({"signature": ""}, "signature"),
        ({"signature": "AAAA"}, "signature"),
        ({"signature": base64.b64encode(bytes(64)).decode().rstrip("=")}, "signature"),
        ({"signature": base64.b64encode(bytes(64)).decode()[:-3] + "B=="}, "signature"),
        ({"signature": base64.b64encode(bytes(64)).decode() + "\n"}, "signature"),
        ({"signature": "\uff21" * 88}, "signature"),
        ({"name": "Li Wei"}, "name"),
    ],
)
def test_a_malformed_signature_is_refused_and_the_key_is_named(change, path):
    values = signed("li-wei").values()
    values["signatures"][0] |= change
    with pytest.raises(SignatureError) as caught:
        load_signatures(values)
    assert caught.value.path == f"signatures[0].{path}"


def test_one_key_may_sign_once_only():
    values = signed("li-wei").values()
    values["signatures"] *= 2
    with pytest.raises(SignatureError, match="twice") as caught:
        load_signatures(values)
    assert caught.value.path == "signatures[1].key_id"


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b'{"schema": NaN}', b'{"purpose": "activate", "purpose": "loosen"}', b"schema: x", b"\xff"],
)
def test_signatures_and_keys_are_read_as_strict_json(data):
    with pytest.raises(SignatureError):
        load_signatures(data)
    with pytest.raises(SigningKeyError):
        load_keys(data)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"public_key": "AAAA"}, "public_key"),
        ({"public_key": 1}, "public_key"),
        ({"retired_at": "yes"}, "retired_at"),
        ({"name": " "}, "name"),
        ({"role": "officer"}, "role"),
    ],
)
def test_a_malformed_key_is_refused_and_named(change, path):
    with pytest.raises(SigningKeyError) as caught:
        load_keys(keys_file(li_wei=change))
    assert caught.value.path == f"keys[0].{path}"


def test_two_keys_of_one_id_are_refused():
    with pytest.raises(SigningKeyError, match="twice"):
        load_keys(keys_file(an_na={"key_id": "li-wei"}))


def test_a_signature_error_is_no_policy_error():
    assert not issubclass(SignatureError, PolicyError)


def write_key(path, data, mode=0o600):
    path.write_bytes(data)
    path.chmod(mode)
    return path


def test_a_private_key_survives_its_file(tmp_path):
    path = write_key(tmp_path / "key.pem", private_key_pem(PRIVATE["an-na"]))
    made = sign(SHA256, Purpose.TIGHTEN, load_private_key(path), "an-na", NOW)
    assert check(SignatureSet(Purpose.TIGHTEN, SHA256, (made,)), purpose=Purpose.TIGHTEN, count=1) == (
        "An Na",
    )


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o610, 0o601])
def test_a_private_key_that_others_may_use_is_refused(tmp_path, mode):
    path = write_key(tmp_path / "key.pem", private_key_pem(PRIVATE["an-na"]), mode)
    with pytest.raises(SigningKeyError, match=f"mode 600, got {mode:o}"):
        load_private_key(path)


def test_what_is_no_private_key_is_refused_and_never_quoted(tmp_path):
    pem = private_key_pem(PRIVATE["an-na"])
    locked = PRIVATE["an-na"].private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    other = ec.generate_private_key(ec.SECP256R1())
    foreign = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for data in (b"", b"secret", pem[:-40], locked, foreign, b"x" * 10_000):
        with pytest.raises(SigningKeyError) as caught:
            load_private_key(write_key(tmp_path / "key.pem", data))
        assert pem.decode().splitlines()[1] not in str(caught.value)
        assert "secret" not in str(caught.value)
    with pytest.raises(SigningKeyError, match="No such file"):
        load_private_key(tmp_path / "none.pem")


def test_a_private_key_does_not_show_itself():
    assert private_key_pem(PRIVATE["an-na"]).decode().splitlines()[1] not in repr(PRIVATE["an-na"])
