"""A store that fails under a running server: stored users wait, and nobody gets more than they may."""

import sqlite3
from pathlib import Path

import pytest
from prudence.client import Client
from prudence.errors import CallError
from prudence.reasons import StoreRowCorruptError, StoreUnavailableError
from prudence.v1 import profile_service_pb2 as pb
from prudence.v1 import recommendation_pb2

from benchmarks.redis_server import RedisServer
from server.users.opening import StoreAddress, make_store, open_directory
from server.users.pseudonyms import load_pseudonyms, make_key_file
from tests.server.cases import eligible_user
from tests.server.conftest import CLOCK, Platform, run_command, start_server
from tests.server.wire import recommend, to_profile, to_user

FINANCIAL, LEARNING = recommendation_pb2.DOMAIN_FINANCIAL, recommendation_pb2.DOMAIN_LEARNING


def list_ids(client: Client, user_id: str, *, inline: bool, domain: recommendation_pb2.Domain) -> list[str]:
    user = to_user(user_id, eligible_user(5)) if inline else to_user(user_id)
    return [product.product_id for product in client.recommend(recommend(user, domain=domain)).products]


def test_a_redis_that_goes_takes_stored_users_with_it_and_holds_the_others(
    platform: Platform, tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    make_key_file(keys)
    with RedisServer(tmp_path) as redis:
        make_store(StoreAddress(redis.url, keys))
        plan = ("--bundles", str(platform.bundles), "--clock", CLOCK)
        plan += ("--store", redis.url, "--pseudonym-keys", str(keys))
        with start_server(tmp_path / "run", *plan) as running, Client(running.target) as client:
            client.put_profile(pb.PutProfileRequest(user_id="ana", profile=to_profile(eligible_user(5))))
            client.set_block(pb.SetBlockRequest(user_id="held", blocked=True))
            before = list_ids(client, "ana", inline=False, domain=FINANCIAL)
            assert before
            redis.kill()
            for call in (
                lambda: list_ids(client, "ana", inline=False, domain=LEARNING),
                lambda: client.set_block(pb.SetBlockRequest(user_id="ana", blocked=True)),
                lambda: client.get_profile(pb.GetProfileRequest(user_id="ana")),
            ):
                with pytest.raises(StoreUnavailableError) as failure:
                    call()
                assert failure.value.fault.code == "UNAVAILABLE"
                assert failure.value.fault.retry_delay_s is not None
            for user_id in ("held", "ana", "somebody"):
                # Nobody can say who is on hold: what needs no hold is shown, and is everybody's.
                assert list_ids(client, user_id, inline=True, domain=FINANCIAL) == []
                assert list_ids(client, user_id, inline=True, domain=LEARNING)
            redis.start()
            assert list_ids(client, "ana", inline=False, domain=FINANCIAL) == before
            assert list_ids(client, "held", inline=True, domain=FINANCIAL) == []
            assert list_ids(client, "somebody", inline=True, domain=FINANCIAL)
            running.stop()


def test_a_file_that_is_spoilt_under_a_server_fails_closed(platform: Platform, tmp_path: Path) -> None:
    store = tmp_path / "users.sqlite"
    make_store(StoreAddress(str(store)))
    users = open_directory(StoreAddress(str(store)), allow_assumed=False)
    users.erase("gone")
    users.require_store().close()
    plan = ("--bundles", str(platform.bundles), "--clock", CLOCK, "--store", str(store))
    plan += ("--feedback-log", str(tmp_path / "log"))
    with start_server(tmp_path / "run", *plan) as running, Client(running.target) as client:
        client.put_profile(pb.PutProfileRequest(user_id="ana", profile=to_profile(eligible_user(5))))
        (tmp_path / "other").write_bytes(b"not a database at all" * 300)
        (tmp_path / "other").replace(store)
        with pytest.raises(CallError, match="store of users"):
            list_ids(client, "ana", inline=False, domain=FINANCIAL)
        assert list_ids(client, "ana", inline=True, domain=FINANCIAL) == []
        assert list_ids(client, "ana", inline=True, domain=LEARNING)
        assert list_ids(client, "gone", inline=True, domain=LEARNING)
        running.stop()
    # Nobody could say who is erased: nothing is written under anybody's pseudonym.
    written = (tmp_path / "log" / "segment-00000001.log").read_bytes()
    assert written.count(b'"user":""') == 3
    assert users.pseudonyms.derive("gone").hex().encode() not in written


def test_a_row_that_cannot_be_read_costs_its_own_user_alone(platform: Platform, tmp_path: Path) -> None:
    store = tmp_path / "users.sqlite"
    make_store(StoreAddress(str(store)))
    plan = ("--bundles", str(platform.bundles), "--clock", CLOCK, "--store", str(store))
    with start_server(tmp_path / "run", *plan) as running, Client(running.target) as client:
        for user_id in ("ana", "ben"):
            client.put_profile(pb.PutProfileRequest(user_id=user_id, profile=to_profile(eligible_user(5))))
        name = load_pseudonyms(StoreAddress(str(store)).find_key_file()).derive("ana")
        with sqlite3.connect(store) as connection:
            connection.execute("UPDATE users SET assumed = '{' WHERE pseudonym = ?", (name,))
        connection.close()
        with pytest.raises(StoreRowCorruptError, match="assumed: ") as failure:
            list_ids(client, "ana", inline=False, domain=LEARNING)
        assert failure.value.fault.code == "DATA_LOSS"
        assert failure.value.fault.retry_delay_s is None
        assert list_ids(client, "ana", inline=True, domain=FINANCIAL) == []
        assert list_ids(client, "ana", inline=True, domain=LEARNING)
        assert list_ids(client, "ben", inline=False, domain=FINANCIAL)
        running.stop()
    assert name.hex() in running.log.read_text()


def test_a_store_with_other_keys_refuses_to_start(platform: Platform, tmp_path: Path) -> None:
    store, other = tmp_path / "users.sqlite", tmp_path / "other"
    make_store(StoreAddress(str(store)))
    make_key_file(other)
    plan = ("--bundles", str(platform.bundles), "--port", "0", "--store", str(store))
    done = run_command(*plan, "--pseudonym-keys", str(other))
    assert done.returncode == 1
    assert "another key" in done.stderr
    assert str(other) in done.stderr or "pseudonym_keys" in done.stderr
