"""Changes of stored users: versions, idempotency keys, events, erasure; the same for every kind of store."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from server.errors import IdempotencyKeyError, ServerError, UserErasedError, VersionMismatchError
from server.users.pseudonyms import Names, Pseudonyms
from server.users.store import (
    EVENT_COUNT_MAX,
    EventOutcome,
    ProfileChange,
    UserEvent,
    UserState,
    UserStore,
)

PSEUDONYMS = Pseudonyms({1: b"k" * 32})
ANA = PSEUDONYMS.derive_all("ana")


def put(risk_level: int, names: Names = ANA, key: str = "", expected: int | None = None) -> ProfileChange:
    return ProfileChange(
        names,
        lambda old: replace(old or UserState(), profile={"risk_level": risk_level}),
        request_digest=bytes([risk_level]),
        expected_version=expected,
        idempotency_digest=key.encode() or None,
    )


def event(number: int, kind: str = "click", names: Names = ANA, product: str | None = None) -> UserEvent:
    return UserEvent(f"e{number}", names, product or f"p{number}", kind, 1000.0 + number)


def append(store: UserStore, *events: UserEvent, position: int = 1) -> list[EventOutcome]:
    return store.append_events(events, log_id="log", log_position=position)


def find_level(store: UserStore, names: Names = ANA) -> Any:
    found = store.find(names)
    return None if found is None or found.state.profile is None else found.state.profile["risk_level"]


def test_a_change_is_there_for_the_next_look_up_on_every_thread(store: UserStore) -> None:
    with ThreadPoolExecutor(4) as pool:
        for level in range(20):
            store.change(put(level))
            assert set(pool.map(lambda _: find_level(store), range(8))) == {level}


def test_a_change_survives_closing(open_store: Callable[[Pseudonyms], UserStore]) -> None:
    first = open_store(PSEUDONYMS)
    changed = first.change(put(3))
    append(first, event(1), position=7)
    first.close()
    second = open_store(PSEUDONYMS)
    found = second.find(ANA)
    assert found is not None
    assert (found.state.version, found.state.update_time_us) == (changed.version, changed.update_time_us)
    assert [entry.product_id for entry in found.history] == ["p1"]
    assert second.applied_position("log") == 7
    assert second.applied_position("other") == 0
    second.close()


def test_versions_rise_over_all_users(store: UserStore) -> None:
    versions = [store.change(put(1, PSEUDONYMS.derive_all(name))).version for name in ("ana", "bo", "ana")]
    assert versions == sorted(set(versions))


def test_an_expected_version_must_be_the_stored_one(store: UserStore) -> None:
    first = store.change(put(1, expected=0))
    with pytest.raises(VersionMismatchError, match=f"has version {first.version}"):
        store.change(put(2, expected=0))
    with pytest.raises(VersionMismatchError, match="there is no profile"):
        store.change(put(2, PSEUDONYMS.derive_all("bo"), expected=first.version))
    assert store.change(put(2, expected=first.version)).version > first.version
    with pytest.raises(VersionMismatchError):
        store.change(put(3, expected=first.version))
    assert find_level(store) == 2


def test_of_changes_that_race_on_one_version_one_is_made(store: UserStore) -> None:
    version = 0
    for _ in range(5):

        def attempt(level: int, expected: int = version) -> int | None:
            try:
                return store.change(put(level, expected=expected)).version
            except VersionMismatchError:
                return None

        with ThreadPoolExecutor(8) as pool:
            made = [found for found in pool.map(attempt, range(8)) if found is not None]
        assert len(made) == 1
        version = made[0]


def test_an_idempotency_key_repeats_its_first_answer(store: UserStore) -> None:
    first = store.change(put(1, key="k"))
    store.change(put(2))
    assert store.change(put(1, key="k")) == first
    assert find_level(store) == 2
    with pytest.raises(IdempotencyKeyError):
        store.change(put(3, key="k"))
    other = store.change(put(3, PSEUDONYMS.derive_all("bo"), key="k"))
    assert other.version > first.version


def test_of_many_tries_with_one_key_one_is_made(store: UserStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: store.change(put(1, key="k")), range(16)))
    assert len(set(made)) == 1


def test_a_refused_change_leaves_its_neighbours_and_the_state(store: UserStore) -> None:
    def refuse(old: UserState | None) -> UserState:
        raise VersionMismatchError("refused by the edit")

    def attempt(number: int) -> str:
        names = PSEUDONYMS.derive_all(f"user {number}")
        change = put(number, names, key="k")
        try:
            store.change(replace(change, edit=refuse) if number % 3 == 0 else change)
        except ServerError as error:
            return str(error)
        return "made"

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(attempt, range(24)))
    assert outcomes == ["refused by the edit" if number % 3 == 0 else "made" for number in range(24)]
    assert find_level(store, PSEUDONYMS.derive_all("user 3")) is None
    assert find_level(store, PSEUDONYMS.derive_all("user 4")) == 4


def test_flags_survive_and_stand_beside_the_profile(store: UserStore) -> None:
    wanted = UserState(profile=None, blocked=True, consent_withdrawn=True, personalised=False)
    changed = store.change(ProfileChange(ANA, lambda old: wanted, b"r"))
    found = store.find(ANA, with_history=False)
    assert found is not None
    assert found.state == replace(wanted, version=changed.version, update_time_us=changed.update_time_us)


def test_events_enter_history_once(store: UserStore) -> None:
    store.change(put(1))
    outcomes = append(store, event(1), event(2, "enrol"), event(1), event(3, "impression"))
    assert [str(outcome) for outcome in outcomes] == ["applied", "applied", "duplicate", "applied"]
    assert append(store, event(2, "enrol"), event(3, "impression")) == [EventOutcome.DUPLICATE] * 2
    found = store.find(ANA)
    assert found is not None
    assert {(entry.product_id, entry.event_type) for entry in found.history} == {
        ("p1", "click"),
        ("p2", "enrol"),
    }
    assert store.find(ANA, with_history=False) == replace(found, history=())


def test_not_interested_hides_a_product_and_enters_no_history(store: UserStore) -> None:
    version = store.change(put(1)).version
    append(store, event(1, "not_interested"), event(2, "not_interested", product="p1"), event(3))
    found = store.find(ANA)
    assert found is not None
    assert (found.hidden_product_ids, len(found.history)) == ({"p1"}, 1)
    assert found.state.version == version
    store.change(put(2))
    assert store.find(ANA, with_history=False).hidden_product_ids == {"p1"}  # type: ignore[union-attr]


def test_events_of_people_who_are_not_stored_are_not_kept(store: UserStore) -> None:
    assert append(store, event(1)) == [EventOutcome.USER_UNKNOWN]
    store.change(put(1))
    assert append(store, event(1)) == [EventOutcome.APPLIED]


def test_the_oldest_events_go_when_there_are_too_many(store: UserStore) -> None:
    store.change(put(1))
    append(store, *(event(number) for number in range(EVENT_COUNT_MAX + 5)))
    found = store.find(ANA)
    assert found is not None
    assert {entry.product_id for entry in found.history} == {
        f"p{number}" for number in range(5, EVENT_COUNT_MAX + 5)
    }


def test_a_logs_position_never_falls(store: UserStore) -> None:
    append(store, position=5)
    append(store, position=3)
    assert store.applied_position("log") == 5


def test_an_erased_user_is_gone_and_stays_so(store: UserStore) -> None:
    bo = PSEUDONYMS.derive_all("bo")
    for names in (ANA, bo):
        store.change(put(1, names, key="k"))
    append(store, event(1), event(2, "not_interested"))
    assert not store.is_erased(ANA)
    assert store.erase(ANA, 500) == 500
    assert store.erase(ANA, 900) == 500
    assert store.is_erased(ANA)
    assert store.find(ANA) is None
    for change in (put(1, key="k"), put(1), put(1, expected=0)):
        with pytest.raises(UserErasedError):
            store.change(change)
    assert append(store, event(9)) == [EventOutcome.USER_ERASED]
    assert list(store.erased_names()) == [ANA[0]]
    assert find_level(store, bo) == 1


def test_somebody_unknown_can_be_erased(store: UserStore) -> None:
    assert store.erase(ANA, 500) == 500
    with pytest.raises(UserErasedError):
        store.change(put(1))


def test_of_a_change_that_races_with_an_erasure_nothing_is_left(store: UserStore) -> None:
    def attempt(number: int) -> None:
        if number == 5:
            store.erase(ANA, 1)
            return
        try:
            store.change(put(number))
            append(store, event(number))
        except UserErasedError:
            pass

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(attempt, range(12)))
    assert store.find(ANA) is None
    assert store.is_erased(ANA)


def test_a_new_epoch_names_new_users_and_finds_the_others(
    open_store: Callable[[Pseudonyms], UserStore],
) -> None:
    store = open_store(PSEUDONYMS)
    store.change(put(1))
    store.close()
    rotated = Pseudonyms({1: b"k" * 32, 2: b"n" * 32})
    store = open_store(rotated)
    ana, bo = rotated.derive_all("ana"), rotated.derive_all("bo")
    store.change(put(2, ana))
    store.change(put(3, bo))
    append(store, event(1, names=ana))
    found = [store.find(names) for names in (ana, bo)]
    assert [entry.pseudonym for entry in found if entry is not None] == [ANA[0], bo[0]]
    assert (find_level(store, ana), find_level(store, bo)) == (2, 3)
    store.erase(ana, 1)
    assert append(store, event(2, names=ANA)) == [EventOutcome.USER_ERASED]
    assert set(store.erased_names()) == set(ana)
    store.close()


def test_screening_tells_what_appending_would_answer_and_writes_nothing(store: UserStore) -> None:
    ben, eve = PSEUDONYMS.derive_all("ben"), PSEUDONYMS.derive_all("eve")
    store.change(put(3))
    store.erase(eve, 1)
    append(store, event(1))
    batch = [event(1), event(2, names=(b"older", *ANA)), event(3, names=ben), event(4, names=eve)]
    expected = [
        EventOutcome.DUPLICATE,
        EventOutcome.APPLIED,
        EventOutcome.USER_UNKNOWN,
        EventOutcome.USER_ERASED,
    ]
    for _ in range(2):
        screened = store.screen_events(batch)
        assert [each.outcome for each in screened] == expected
        assert [each.name for each in screened] == [ANA[0], ANA[0], None, None]
    assert append(store, *batch, position=2) == expected
