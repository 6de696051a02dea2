"""ProfileService on a running server: what a change does to the next answer, and what is refused."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import field_mask_pb2
from prudence.client import Client
from prudence.reasons import (
    FieldInvalidError,
    IdempotencyKeyReusedError,
    ProfileMissingError,
    ProfileSourceRequiredError,
    StoreMissingError,
    UserErasedError,
    VersionMismatchError,
)
from prudence.v1 import profile_pb2, recommendation_pb2
from prudence.v1 import profile_service_pb2 as pb

from server.users.opening import StoreAddress, make_store
from tests.server.cases import eligible_user
from tests.server.conftest import CLOCK, Platform, start_server
from tests.server.wire import recommend, to_profile, to_user

FINANCIAL = recommendation_pb2.DOMAIN_FINANCIAL
OFF = recommendation_pb2.RESPONSE_REASON_PERSONALISATION_OFF


@dataclass(frozen=True)
class Service:
    """A server over an empty store of its own."""

    client: Client
    target: str
    store: Path


@pytest.fixture(scope="module")
def service(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    directory = tmp_path_factory.mktemp("profiles")
    store = directory / "users.sqlite"
    make_store(StoreAddress(str(store)))
    plan = ("--bundles", str(platform.bundles), "--store", str(store), "--clock", CLOCK)
    with start_server(directory, *plan) as running, Client(running.target) as client:
        yield Service(client, running.target, store)
        running.stop()


def put(service: Service, user_id: str, level: int = 5, **fields: Any) -> pb.PutProfileResponse:
    request = pb.PutProfileRequest(user_id=user_id, profile=to_profile(eligible_user(level)), **fields)
    return service.client.put_profile(request)


def ask(service: Service, user: profile_pb2.User, **fields: Any) -> recommendation_pb2.RecommendResponse:
    return service.client.recommend(recommend(user, **fields))


def list_financial(service: Service, user: profile_pb2.User) -> list[str]:
    return [product.product_id for product in ask(service, user, domain=FINANCIAL).products]


def stored(user_id: str) -> profile_pb2.User:
    return profile_pb2.User(user_id=user_id)


def test_a_profile_that_was_put_is_read_back_and_serves(service: Service) -> None:
    answer = put(service, "reader")
    found = service.client.get_profile(pb.GetProfileRequest(user_id="reader"))
    assert found.profile == to_profile(eligible_user(5))
    assert (found.version, found.update_time) == (answer.version, answer.update_time)
    assert (found.blocked, found.consent_withdrawn, found.personalised) == (False, False, True)
    inline = list_financial(service, to_user("somebody", eligible_user(5)))
    assert list_financial(service, stored("reader")) == inline != []


@pytest.mark.parametrize("inline", [False, True])
@pytest.mark.parametrize("change", ["level", "block", "consent", "delete", "erase"])
def test_a_tightened_profile_works_from_the_next_request_on_every_thread(
    service: Service, change: str, inline: bool
) -> None:
    name = f"{change} {inline}"
    put(service, name)
    user = to_user(name, eligible_user(5)) if inline else stored(name)
    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(lambda _: list_financial(service, user), range(32)))
        if change == "level":
            before = set(list_financial(service, stored(name)))
            put(service, name, 0)
            user = stored(name)  # An inline level is the caller's to state: only holds are over it.
            wanted = set(list_financial(service, to_user("other", eligible_user(0))))
            assert wanted != before
        elif change == "block":
            service.client.set_block(pb.SetBlockRequest(user_id=name, blocked=True))
        elif change == "consent":
            service.client.set_consent(pb.SetConsentRequest(user_id=name, consented=False))
        elif change == "delete":
            service.client.delete_profile(pb.DeleteProfileRequest(user_id=name))
            user = stored(name)
        else:
            service.client.erase_user(pb.EraseUserRequest(user_id=name))
        after = list(pool.map(lambda _: list_financial(service, user), range(32)))
    assert all(set(products) == (wanted if change == "level" else set()) for products in after)


def test_a_hold_outlives_new_profiles_until_it_is_lifted(service: Service) -> None:
    put(service, "held")
    service.client.set_block(pb.SetBlockRequest(user_id="held", blocked=True))
    service.client.set_consent(pb.SetConsentRequest(user_id="held", consented=False))
    put(service, "held")
    service.client.delete_profile(pb.DeleteProfileRequest(user_id="held"))
    put(service, "held")
    assert list_financial(service, stored("held")) == []
    service.client.set_block(pb.SetBlockRequest(user_id="held", blocked=False))
    assert list_financial(service, stored("held")) == []
    service.client.set_consent(pb.SetConsentRequest(user_id="held", consented=True))
    assert list_financial(service, stored("held"))


def test_a_hold_on_somebody_unknown_holds_what_comes_inline(service: Service) -> None:
    service.client.set_block(pb.SetBlockRequest(user_id="stranger", blocked=True))
    assert list_financial(service, to_user("stranger", eligible_user(5))) == []


def test_lifting_states_it_in_the_profile_too(service: Service) -> None:
    profile = to_profile(eligible_user(5) | {"blocked": True, "consent_sensitive": False})
    service.client.put_profile(pb.PutProfileRequest(user_id="lift", profile=profile))
    service.client.set_block(pb.SetBlockRequest(user_id="lift", blocked=False))
    service.client.set_consent(pb.SetConsentRequest(user_id="lift", consented=True))
    assert service.client.get_profile(pb.GetProfileRequest(user_id="lift")).profile == to_profile(
        eligible_user(5)
    )


def test_a_patch_changes_and_removes_the_fields_named(service: Service) -> None:
    version = put(service, "patched").version
    change = profile_pb2.UserProfile(risk_level=2, horizon_months=7)
    service.client.patch_profile(
        pb.PatchProfileRequest(
            user_id="patched",
            profile=change,
            update_mask=field_mask_pb2.FieldMask(paths=["risk_level", "income_minor"]),
            expected_version=version,
        )
    )
    service.client.patch_profile(
        pb.PatchProfileRequest(user_id="patched", profile=profile_pb2.UserProfile(us_person=True))
    )
    expected = to_profile(eligible_user(5) | {"risk_level": 2, "us_person": True})
    expected.ClearField("income_minor")
    assert service.client.get_profile(pb.GetProfileRequest(user_id="patched")).profile == expected


def test_versions_and_keys_refuse_what_is_stale(service: Service) -> None:
    first = put(service, "versions", expected_version=0, idempotency_key="k1")
    assert put(service, "versions", expected_version=0, idempotency_key="k1").version == first.version
    with pytest.raises(IdempotencyKeyReusedError) as reused:
        put(service, "versions", 4, idempotency_key="k1")
    assert reused.value.fault.code == "FAILED_PRECONDITION"
    with pytest.raises(VersionMismatchError) as mismatch:
        put(service, "versions", expected_version=0)
    assert mismatch.value.fault.code == "ABORTED"
    assert put(service, "versions", expected_version=first.version).version > first.version


def test_an_erased_user_is_refused_and_is_served_as_nobody(service: Service) -> None:
    put(service, "gone")
    first = service.client.erase_user(pb.EraseUserRequest(user_id="gone"))
    again = service.client.erase_user(pb.EraseUserRequest(user_id="gone"))
    assert first.erase_time == again.erase_time
    for call in (
        lambda: put(service, "gone"),
        lambda: service.client.get_profile(pb.GetProfileRequest(user_id="gone")),
        lambda: service.client.set_block(pb.SetBlockRequest(user_id="gone", blocked=True)),
    ):
        with pytest.raises(UserErasedError) as refusal:
            call()
        assert refusal.value.fault.code == "FAILED_PRECONDITION"
    learning = recommendation_pb2.DOMAIN_LEARNING
    clicked = ask(service, stored("nobody known"), domain=learning).products[0].product_id
    history = [(clicked, profile_pb2.EVENT_TYPE_CLICK, None)]
    answers = [
        ask(service, user, domain=learning)
        for user in (stored("gone"), stored("nobody known"), to_user("gone", eligible_user(5), history))
    ]
    assert [list(answer.products) for answer in answers[1:]] == [list(answers[0].products)] * 2
    assert {tuple(answer.reasons) for answer in answers} == {
        (recommendation_pb2.RESPONSE_REASON_USER_UNKNOWN,)
    }


def test_what_is_missing_is_not_found(service: Service) -> None:
    for call in (
        lambda: service.client.get_profile(pb.GetProfileRequest(user_id="missing")),
        lambda: service.client.delete_profile(pb.DeleteProfileRequest(user_id="missing")),
        lambda: service.client.patch_profile(
            pb.PatchProfileRequest(user_id="missing", profile=profile_pb2.UserProfile(risk_level=1))
        ),
    ):
        with pytest.raises(ProfileMissingError) as refusal:
            call()
        assert refusal.value.fault.code == "NOT_FOUND"


PROFILE = profile_pb2.UserProfile


@pytest.mark.parametrize(
    ("request_message", "field"),
    [
        (pb.PutProfileRequest(profile=PROFILE()), "user_id"),
        (pb.PutProfileRequest(user_id="u" * 129, profile=PROFILE()), "user_id"),
        (pb.PutProfileRequest(user_id="u"), "profile"),
        (pb.PutProfileRequest(user_id="u", tenant_id="t", profile=PROFILE()), "tenant_id"),
        (pb.PutProfileRequest(user_id="u", profile=PROFILE(), expected_version=-1), "expected_version"),
        (pb.PutProfileRequest(user_id="u", profile=PROFILE(), idempotency_key="k" * 129), "idempotency_key"),
        (pb.PutProfileRequest(user_id="u", profile=PROFILE(risk_level=6)), "profile.risk_level"),
        (pb.PutProfileRequest(user_id="u", profile=PROFILE(jurisdiction="cn")), "profile.jurisdiction"),
        (pb.PutProfileRequest(user_id="u", profile=PROFILE(client_type=9)), "profile.client_type"),  # type: ignore[arg-type]
        (
            pb.PutProfileRequest(
                user_id="u", profile=PROFILE(birth_date=profile_pb2.Date(year=2026, month=2, day=30))
            ),
            "profile.birth_date",
        ),
        (
            pb.PutProfileRequest(
                user_id="u", profile=PROFILE(knowledge=profile_pb2.IntegerMap(values={"FUND": 4}))
            ),
            "profile.knowledge",
        ),
        (pb.PatchProfileRequest(user_id="u"), "profile"),
        (pb.PatchProfileRequest(user_id="u", profile=PROFILE()), "profile"),
        (
            pb.PatchProfileRequest(user_id="u", update_mask=field_mask_pb2.FieldMask(paths=["pseudonym"])),
            "update_mask",
        ),
        (pb.PatchProfileRequest(user_id="u", update_mask=field_mask_pb2.FieldMask()), "update_mask"),
        (pb.SetBlockRequest(user_id="u"), "blocked"),
        (pb.SetConsentRequest(user_id="u"), "consented"),
        (pb.SetPersonalisationRequest(user_id="u"), "personalised"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_field_is_refused_and_named(service: Service, request_message: Any, field: str) -> None:
    call = {
        "PutProfileRequest": service.client.put_profile,
        "PatchProfileRequest": service.client.patch_profile,
        "SetBlockRequest": service.client.set_block,
        "SetConsentRequest": service.client.set_consent,
        "SetPersonalisationRequest": service.client.set_personalisation,
    }[request_message.DESCRIPTOR.name]
    with pytest.raises(FieldInvalidError) as refusal:
        call(request_message)
    assert [violation.field for violation in refusal.value.fault.violations] == [field]
    with pytest.raises(ProfileMissingError):
        service.client.get_profile(pb.GetProfileRequest(user_id="u"))


def test_a_server_without_a_store_or_without_leave_says_so(platform: Platform, tmp_path: Path) -> None:
    plan = ("--bundles", str(platform.bundles), "--clock", CLOCK)
    with start_server(tmp_path / "bare", *plan) as bare, Client(bare.target) as client:
        with pytest.raises(StoreMissingError):
            client.get_profile(pb.GetProfileRequest(user_id="u"))
        bare.stop()
    closed_plan = (*plan, "--store", str(platform.store), "--no-allow-profile-changes")
    with start_server(tmp_path / "closed", *closed_plan) as closed, Client(closed.target) as client:
        with pytest.raises(ProfileSourceRequiredError):
            client.erase_user(pb.EraseUserRequest(user_id="bold"))
        assert client.recommend(recommend(stored("bold"), domain=FINANCIAL)).products
        closed.stop()


def test_racing_changes_of_one_version_over_the_wire_are_made_once(service: Service) -> None:
    version = put(service, "raced").version

    def attempt(level: int) -> bool:
        try:
            put(service, "raced", level % 6, expected_version=version)
        except VersionMismatchError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(16))) == 1


def test_the_same_change_under_other_tags_is_the_same(service: Service) -> None:
    context = recommendation_pb2.RequestContext(request_id="mine", campaign="spring")
    first = put(service, "tagged", idempotency_key="k", context=context)
    second = put(service, "tagged", idempotency_key="k")
    assert (first.request_id, first.version) == ("mine", second.version)
    assert second.request_id != ""


def test_reading_a_profile_needs_no_change_of_it(service: Service) -> None:
    put(service, "steady")
    versions = {service.client.get_profile(pb.GetProfileRequest(user_id="steady")).version for _ in range(3)}
    assert len(versions) == 1
