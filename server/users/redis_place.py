"""Where the shared store is: what a Redis must promise to be one, and what the store says of itself."""

import json
from typing import Any, Final

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from server.errors import StoreError
from server.users.pseudonyms import Pseudonyms
from server.users.redis_keys import FORMAT

TIMEOUT_S: Final = 2.0
"""How long one answer of Redis is waited for; a request that needs it is UNAVAILABLE then."""

Client = Any
"""A `redis.Redis` or a pipeline of one: the library types each answer as any that a command may have."""


def connect(url: str, password: str | None) -> Client:
    """Connects to Redis and checks that what it acknowledges is on its disk, and stays.

    Raises:
        StoreError: it cannot be reached, or its settings lose what it acknowledged.
    """
    try:
        client: Client = Redis.from_url(
            url,
            password=password,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
            # A change that is sent twice by itself could be made twice.
            retry=Retry(NoBackoff(), 0),
        )
        settings = client.config_get("appendonly", "appendfsync", "maxmemory", "maxmemory-policy")
        clustered = client.info("cluster").get("cluster_enabled")
    except (RedisError, OSError, ValueError) as error:
        raise StoreError(f"store {url}: {explain(error)}") from error
    wanted = {"appendonly": "yes", "appendfsync": "always"}
    if settings.get("maxmemory") != "0":
        wanted["maxmemory-policy"] = "noeviction"
    for name, value in wanted.items():
        if settings.get(name) != value:
            raise StoreError(
                f"store {url}: expected {name} {value}, got {settings.get(name)}: "
                "what it acknowledges would be lost with it"
            )
    if clustered:
        raise StoreError(f"store {url}: expected one primary, got a cluster")
    return client


def write_ready(pseudonyms: Pseudonyms, *, assumed: bool) -> bytes:
    """Writes what a store says of itself."""
    keys = {str(epoch): fingerprint for epoch, fingerprint in pseudonyms.fingerprints.items()}
    return json.dumps({"assumed": assumed, "format": FORMAT, "keys": keys}, sort_keys=True).encode()


def explain(error: Exception) -> str:
    """Says what went wrong in one line; Redis' own messages hold no personal data and no password."""
    return str(error) or type(error).__name__
