"""Settings of the server: command line > environment (PRUDENCE_*) > file (--config) > default.

An unknown or bad value stops the program and names the field; nothing else reads the environment.
"""

import argparse
import ipaddress
import json
import os
from collections.abc import Sequence
from datetime import UTC
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, Field, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings import (
    SettingsError as SourceError,
)

from index.unique_keys import require_unique
from server.bundle_settings import BundleSettings
from server.clock import Clock
from server.errors import SettingsError
from server.setting_paths import require_no_password, require_usable

PREFIX = "PRUDENCE_"
TLS_FIELDS = ("tls_certificate", "tls_key", "tls_client_ca", "callers")

SINGLE_PROCESS_FIELDS = {
    "bundle_state": "one process holds the log of bundles, and an order would reach it alone",
    "feedback_log": "one process holds the log, and an erasure would reach its events alone",
}
"""Settings that several processes would not serve together, with the reason."""

RetrieverMode = Literal["auto", "exact", "faiss", "gpu"]


class Settings(BundleSettings):
    """Everything that can be set."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        extra="forbid",
        frozen=True,
        cli_prog_name="python -m server",
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_hide_none_type=True,
    )

    config: Path | None = Field(default=None, description="JSON file of settings.")
    print_config: bool = Field(default=False, description="Print the settings and stop.")
    policy: Path | None = Field(
        default=None, description="Policy file. Default: the one shipped with suitability."
    )
    policy_keys: Path | None = Field(
        default=None,
        description="File of the officers' public keys. With it every change of policy or overlay, and the "
        "policy at start, needs their signatures. Default: none; the policy is unsigned and never changes.",
    )
    policy_state: Path | None = Field(
        default=None, description="Folder that keeps accepted changes over a restart. Needs policy_keys."
    )
    signature_days_max: Annotated[int, Field(ge=1, le=3650)] = Field(
        default=30, description="Days after which a signature is too old to authorise a change."
    )
    catalogue_state: Path | None = Field(
        default=None,
        description="Folder that keeps accepted patches of products over a restart. Default: none, and every "
        "patch is refused.",
    )
    store: str | None = Field(
        default=None,
        min_length=1,
        description="Store of users: an SQLite file, or redis://HOST:PORT/DB for several servers. Default: "
        "none, every profile comes inline.",
    )
    store_password_file: Path | None = Field(
        default=None, description="File with the password of a redis:// store. Default: none."
    )
    feedback_log: Path | None = Field(
        default=None,
        description="Folder of the log of events and answers. Needs store. Default: none, no event is taken.",
    )
    pseudonym_keys: Path | None = Field(
        default=None,
        description="File of the keys that turn user ids into pseudonyms. Default: STORE.keys beside the "
        "store; without a store, a key that ends with the process.",
    )
    host: str = Field(default="127.0.0.1", min_length=1, description="Address to bind.")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        default=50051, description="Port to bind; 0 takes a free one."
    )
    port_file: Path | None = Field(
        default=None, description="File to write the bound port to, once the server is ready."
    )
    admin_port: Annotated[int, Field(ge=0, le=65535)] | None = Field(
        default=None,
        description="Port of 127.0.0.1 that alone serves AdminService and reflection, with the certificates "
        "and roles of port; 0 takes a free one. Default: none; port serves them, unless other machines reach "
        "it in plaintext.",
    )
    probe_port: Annotated[int, Field(ge=0, le=65535)] | None = Field(
        default=None,
        description="Port of host that answers health alone, in plaintext, for probes without a certificate; "
        "0 takes a free one. Default: none.",
    )
    connection_s_max: Annotated[int, Field(ge=1, le=86_400)] = Field(
        default=900,
        description="Seconds after which a connection is asked to end, give or take a tenth, so that callers "
        "spread over servers again. Calls finish first; a stream that goes on for a minute more is cut.",
    )
    tls_certificate: Path | None = Field(
        default=None,
        description="PEM file of the server's certificate chain. With it callers need certificates, too. "
        "Files that change serve the next connections.",
    )
    tls_key: Path | None = Field(default=None, description="PEM file of its key, without a password.")
    tls_client_ca: Path | None = Field(
        default=None, description="PEM file of the authorities that callers' certificates are from."
    )
    callers: Path | None = Field(
        default=None,
        description="JSON file of callers: names in their certificates, roles, channels and quotas.",
    )
    allow_plaintext: bool = Field(
        default=False,
        description="Whether to bind an address that other machines reach without tls_certificate.",
    )
    access_log: Path | None = Field(
        default=None, description="File to append a JSON line to for every call. Default: none."
    )
    device: Literal["cpu", "cuda"] = Field(
        default="cpu", description="Where the user tower and the index run; never replaced by another."
    )
    threads: Annotated[int, Field(ge=1, le=256)] = Field(
        default=1, description="Threads of the user tower and of the index, each."
    )
    processes: Annotated[int, Field(ge=1, le=64)] = Field(
        default=1,
        description="Processes that share port, each with threads of its own; they share mapped files alone.",
    )
    rpc_thread_count: Annotated[int, Field(ge=1, le=1024)] = Field(
        default=32,
        description="Threads that take calls; each holds one call, and no more are let in.",
    )
    latency_target_s: Annotated[float, Field(gt=0, le=60)] = Field(
        default=0.05,
        description="Latency that nine of ten calls may reach; beyond it fewer calls are let in at a time, "
        "and the others answered UNAVAILABLE. Several times what a lone call takes.",
    )
    queue_limit: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=1024, description="Searches that may wait; one more is answered UNAVAILABLE."
    )
    batch_count_max: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=256, description="Most requests in a BatchRecommend call."
    )
    k_max: Annotated[int, Field(ge=1, le=10_000)] = Field(default=1000, description="Largest k.")
    diversity_trade_off: Annotated[float, Field(ge=0, le=1)] = Field(
        default=1.0,
        description="Weight of score against variety where a request states none; 1 for score alone.",
    )
    channel: str = Field(
        default="app", min_length=1, description="Sales channel that suitability sees on every request."
    )
    clock: AwareDatetime | None = Field(
        default=None,
        description="Fixed evaluation clock, RFC 3339. Default: the system's. Shown on every answer.",
    )
    allow_assumed: bool = Field(
        default=False, description="Whether to serve data in which missing values were assumed."
    )
    allow_inline_profile: bool = Field(
        default=True,
        description="Whether requests may carry a profile: with tls_certificate from callers with the role "
        "profile_source, without from every caller that can reach this server.",
    )
    allow_profile_changes: bool = Field(
        default=True,
        description="Whether stored profiles may be read and changed: with tls_certificate by callers with "
        "the role profile_source, without by every caller that can reach this server.",
    )
    retriever: RetrieverMode = Field(
        default="auto",
        description="Search by an exact scan, with FAISS, or exactly on the GPU; auto takes what costs least "
        "here for each request, so that which rows an index misses may differ between machines.",
    )
    kernel: Literal["auto", "avx512vnni", "avx2", "sse2", "portable"] = Field(
        default="auto",
        description="Instructions of the scan, for the same answers; auto takes the fastest there are.",
    )
    recall_sample_fraction: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.01,
        description="Share of the answers that are searched again exactly, off the request path, to measure "
        "recall; 0 for none.",
    )
    experiments: Path | None = Field(
        default=None, description="JSON file of experiments. Default: none, everyone is served alike."
    )
    metrics_port: Annotated[int, Field(ge=0, le=65535)] | None = Field(
        default=None,
        description="Port that serves metrics to Prometheus; 0 takes a free one. Default: none.",
    )
    metrics_host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="Address that metrics_port binds: metrics name no user and no caller.",
    )
    otlp_endpoint: str | None = Field(
        default=None,
        pattern=r"^https?://",
        description="Address of an OpenTelemetry collector's gRPC port that gets traces, such as "
        "http://127.0.0.1:4317. Needs the extra `tracing`. Default: none.",
    )
    trace_sample_fraction: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.01,
        description="Share of the calls that are traced where the caller's traceparent does not say.",
    )
    drain_delay_s: Annotated[float, Field(ge=0, le=600)] = Field(
        default=0.0, description="Seconds to go on answering as NOT_SERVING after SIGTERM."
    )
    grace_s: Annotated[float, Field(ge=0, le=600)] = Field(
        default=10.0, description="Seconds that calls in flight get to finish once new ones are refused."
    )

    @model_validator(mode="after")
    def _check_paths(self) -> "Settings":
        for name, value in self:
            if name in {"store", "otlp_endpoint"} and value is not None:
                require_no_password(name, value)
            if isinstance(value, str | Path):
                require_usable(name, Path(value) if name == "store" else value)
        return self

    @model_validator(mode="after")
    def _check_queue(self) -> "Settings":
        if self.queue_limit < self.batch_count_max:
            raise ValueError(
                f"queue_limit {self.queue_limit} must be at least batch_count_max {self.batch_count_max}"
            )
        return self

    @model_validator(mode="after")
    def _check_device(self) -> "Settings":
        if self.retriever == "gpu" and self.device != "cuda":
            raise ValueError(f"retriever gpu needs device cuda, got {self.device}")
        return self

    @model_validator(mode="after")
    def _check_tls(self) -> "Settings":
        files = {name: getattr(self, name) for name in TLS_FIELDS}
        missing = [name for name, value in files.items() if value is None]
        if 0 < len(missing) < len(files):
            raise ValueError(f"{missing[0]} is not set; a port with TLS needs {', '.join(files)}")
        if missing and not self.allow_plaintext and not _is_loopback(self.host):
            raise ValueError(
                f"host {self.host} is reached by other machines: set {', '.join(files)}, or allow_plaintext"
            )
        return self

    @model_validator(mode="after")
    def _check_feedback_log(self) -> "Settings":
        if self.feedback_log is not None and self.store is None:
            raise ValueError("feedback_log is set without store; events are applied to stored users")
        return self

    @model_validator(mode="after")
    def _check_policy_state(self) -> "Settings":
        if (self.policy_keys is None) != (self.policy_state is None):
            given, missing = ("policy_keys", "policy_state")[:: 1 if self.policy_keys else -1]
            raise ValueError(f"{given} is set without {missing}; changes of the policy need both")
        return self

    @model_validator(mode="after")
    def _check_processes(self) -> "Settings":
        if self.processes == 1:
            return self
        for name, why in SINGLE_PROCESS_FIELDS.items():
            if getattr(self, name) is not None:
                raise ValueError(f"{name} is set with processes {self.processes}: {why}; use processes 1")
        if self.device != "cpu":
            raise ValueError(f"device {self.device} with processes {self.processes}: one process holds a GPU")
        if self.experiments is not None and self.store is None and self.pseudonym_keys is None:
            raise ValueError(
                f"experiments with processes {self.processes} need store or pseudonym_keys: under a key of "
                "its own each process would draw other variants for a user"
            )
        return self

    @property
    def serves_admin_to_callers(self) -> bool:
        """Whether `port` serves AdminService and reflection: not where strangers could call them."""
        trusted = self.tls_certificate is not None or _is_loopback(self.host)
        return trusted and self.admin_port is None

    def decision_clock(self) -> Clock:
        """Returns the clock that decisions are made by."""
        return Clock(None if self.clock is None else self.clock.astimezone(UTC))


def _is_loopback(host: str) -> bool:
    """Tells whether nobody but this machine reaches the address; a name may mean anything but "localhost"."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def load_settings(arguments: Sequence[str]) -> Settings:
    """Reads the settings from every source.

    Args:
        arguments: the command line after the program's name.

    Raises:
        SettingsError: a value is bad, missing or unknown; the message names it.
    """
    _refuse_unknown_environment()
    stated = _read_file(arguments)

    class _Sources(Settings):
        """Serves one sealed bundle over gRPC."""

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (init_settings, env_settings, InitSettingsSource(settings_cls, init_kwargs=stated))

    try:
        return _Sources(_cli_parse_args=list(arguments))  # type: ignore[call-arg]
    except ValidationError as error:
        raise SettingsError(explain(error)) from error
    except SourceError as error:
        raise SettingsError(str(error)) from error


def _read_file(arguments: Sequence[str]) -> dict[str, Any]:
    """Finds and reads the settings file before anything else is parsed, since it is itself a source."""
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    early.add_argument("--config", type=Path, default=os.environ.get(PREFIX + "CONFIG"))
    found = early.parse_known_args(list(arguments))[0].config
    if found is None:
        return {}
    try:
        stated = json.loads(found.read_bytes(), object_pairs_hook=require_unique)
    except OSError as error:
        raise SettingsError(f"config: {found} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"config: {found} is not JSON: {error}") from error
    if not isinstance(stated, dict):
        raise SettingsError(f"config: {found}: expected an object, got {type(stated).__name__}")
    return stated


def _refuse_unknown_environment() -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    given = [name for name in os.environ if name.upper().startswith(PREFIX)]
    unknown = sorted(name for name in given if name.upper() not in known)
    if unknown:
        raise SettingsError(f"{unknown[0]}: no such setting; expected one of {', '.join(sorted(known))}")


def explain(error: ValidationError) -> str:
    """Says in one line which fields are wrong, why, and what they hold."""
    problems = []
    for detail in error.errors(include_url=False):
        field = ".".join(str(part) for part in detail["loc"]) or "settings"
        # What is wrong with the settings together names them itself; their values would bury it.
        told = detail["type"] == "missing" or isinstance(detail["input"], dict | list | BaseModel)
        given = "" if told else f", got {detail['input']!r}"
        problems.append(f"{field}: {detail['msg'].removeprefix('Value error, ')}{given}")
    return "; ".join(problems)
