"""How calls reach a server: several connections, harmless retries, and a time limit for every method."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import grpc

from prudence.errors import InputFileError

DEFAULT_TIMEOUT_S: Final = 10.0
TIMEOUTS_S: Final[Mapping[str, float]] = {
    "RecommendRequest": 5.0,
    "ScoreProductsRequest": 5.0,
    "SimilarProductsRequest": 5.0,
    "GetServingInfoRequest": 5.0,
    "GetPolicyRequest": 5.0,
    "HealthCheckRequest": 5.0,
    "ScoreRequest": 5.0,
    "GetRiskModelRequest": 5.0,
    # A stream is as long as what it carries: a million events at most.
    "StreamEventsRequest": 600.0,
    # Compiling a large catalogue under another policy takes longer than anything else.
    "ActivatePolicyRequest": 300.0,
    # A large bundle is read, proven, warmed and judged.
    "LoadBundleRequest": 600.0,
    "ActivateBundleRequest": 600.0,
    "RollbackBundleRequest": 600.0,
    "PinBundleRequest": 600.0,
}
"""Seconds by the name of the request message; DEFAULT_TIMEOUT_S for all others."""

RETRIED_SERVICES: Final = (
    "prudence.v1.RecommendationService",
    "prudence.v1.ProfileService",
    "prudence.v1.FeedbackService",
    "prudence.v1.RiskService",
    "grpc.health.v1.Health",
)
"""Services of which a repeated call does no harm: they change nothing, or know a change by its key."""
ATTEMPT_COUNT_MAX: Final = 3

_CONFIG: Final[Mapping[str, Any]] = {
    "methodConfig": [
        {
            "name": [{"service": service} for service in RETRIED_SERVICES],
            "retryPolicy": {
                "maxAttempts": ATTEMPT_COUNT_MAX,
                "initialBackoff": "0.1s",
                "maxBackoff": "1s",
                "backoffMultiplier": 3,
                # Every other code says that the same call would end the same way, or that time is up.
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
    # Stops retries while many calls fail: those of many clients must not keep a server down.
    "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1},
    # A name with several addresses is a set of equal servers.
    "loadBalancingConfig": [{"round_robin": {}}],
    # A server that drains says so a while before it closes its port: no further call is given to it.
    "healthCheckConfig": {"serviceName": "prudence.v1.RecommendationService"},
}
_OPTIONS: Final = (
    ("grpc.service_config", json.dumps(_CONFIG)),
    # Otherwise all channels of a process to one address share one connection.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
)


def read_credentials(ca: Path, certificate: Path, key: Path) -> grpc.ChannelCredentials:
    """Reads what a server with TLS asks for.

    Args:
        ca: PEM file of the authorities that the server's certificate is from.
        certificate: PEM file of the caller's certificate chain.
        key: PEM file of its key.

    Raises:
        InputFileError: a file cannot be read.
    """
    try:
        return grpc.ssl_channel_credentials(ca.read_bytes(), key.read_bytes(), certificate.read_bytes())
    except OSError as error:
        raise InputFileError(f"{error.filename}: cannot be read: {error.strerror}") from error


def open_channels(
    target: str, count: int, credentials: grpc.ChannelCredentials | None = None
) -> tuple[grpc.Channel, ...]:
    """Opens channels, each with a connection of its own; nothing is sent before the first call.

    Args:
        target: "HOST:PORT", or any name that gRPC resolves.
        count: number of connections, at least 1.
        credentials: as `read_credentials` gives them; None for plaintext.

    Raises:
        ValueError: the count is below 1.
    """
    if count < 1:
        raise ValueError(f"channel_count: expected at least 1, got {count}")
    if credentials is None:
        return tuple(grpc.insecure_channel(target, options=_OPTIONS) for _ in range(count))
    return tuple(grpc.secure_channel(target, credentials, options=_OPTIONS) for _ in range(count))


def find_timeout_s(request_name: str) -> float:
    """Returns how long a call may take.

    Args:
        request_name: name of the request message, for example "RecommendRequest".
    """
    return TIMEOUTS_S.get(request_name, DEFAULT_TIMEOUT_S)
