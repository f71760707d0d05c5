"""The only reader of the environment: every setting with its meaning and default.

A setting ``x`` is read from ``SEGSTREAM_X``, else from the file named by ``SEGSTREAM_SETTINGS`` (TOML, the same
names in lower case), else it has its default. Durations are written ``90s``, ``15m``, ``12h``.
"""

from __future__ import annotations

import contextlib
import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from segstream.coherence import check_together
from segstream.core.closest import closest
from segstream.core.time import format_duration, parse_duration, parse_time
from segstream.errors import SettingsError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

PREFIX: Final = "SEGSTREAM_"


def _milliseconds(value: object) -> object:
    return parse_duration(value) if isinstance(value, str) and not value.isdigit() else value


def _names(value: object) -> object:
    return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value


def _start(value: object) -> object:
    if isinstance(value, str) and value not in ("earliest", "latest"):
        try:
            before = parse_time(value) < 0
        except ValueError:
            raise ValueError(
                "write earliest, latest, or a time with its zone, such as 1997-01-31T12:00:00Z"
            ) from None
        if before:
            raise ValueError("Kafka knows no time before 1970; write earliest")
    return value


_DURATION: Final = BeforeValidator(_milliseconds)
Milliseconds = Annotated[int, _DURATION, Field(ge=0)]
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)]


class Settings(BaseSettings):
    """All settings of the worker.

    Examples
    --------
    >>> Settings(kafka="one:9092", timer_grace="2s").timer_grace
    2000
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", hide_input_in_errors=True
    )

    kafka: str = Field("localhost:9092", description="Kafka's addresses, host:port, separated by commas.")
    kafka_security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="How to connect to Kafka."
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="With a SASL kind of kafka_security."
    )
    kafka_username: str | None = Field(None, description="For SASL.")
    kafka_password: SecretStr | None = Field(None, description="For SASL.")
    kafka_password_file: Path | None = Field(
        None, description="Holds the password instead; read anew by each connection."
    )
    kafka_ca_file: Path | None = Field(
        None, description="With SSL or SASL_SSL: certificates (PEM) to trust instead of the system's."
    )
    kafka_cert_file: Path | None = Field(
        None, description="With SSL or SASL_SSL: this client's certificate (PEM), for mutual TLS."
    )
    kafka_key_file: Path | None = Field(
        None, description="The private key (PEM, no password) to kafka_cert_file."
    )
    kafka_check_crcs: bool = Field(
        default=True,
        description="Whether to check records' checksums; only the embedded broker's commit markers have none.",
    )
    redis: SecretStr = Field(
        SecretStr("redis://localhost:6379/0"),
        description="Redis as redis://, rediss:// (TLS) or unix:// URL.",
    )
    redis_username: str | None = Field(None, description="The user, where the URL names none.")
    redis_password: SecretStr | None = Field(None, description="The password, where the URL holds none.")
    redis_password_file: Path | None = Field(
        None, description="Holds the password instead; read anew by each connection."
    )
    redis_ca_file: Path | None = Field(
        None, description="With rediss://: certificates (PEM) to trust instead of the system's."
    )
    redis_cert_file: Path | None = Field(
        None, description="With rediss://: this client's certificate (PEM), for mutual TLS."
    )
    redis_key_file: Path | None = Field(
        None, description="The private key (PEM, no password) to redis_cert_file."
    )
    redis_cluster: bool = Field(default=False, description="Whether the URL is a node of a Redis Cluster.")
    redis_sentinels: Names = Field(
        (),
        description="Sentinels, host:port, separated by commas: they name the primary, in place of the URL's host "
        "and port. The URL still says whether TLS is used (by Sentinels too), user, password and database.",
    )
    redis_sentinel_service: str = Field(
        "mymaster", min_length=1, description="What the Sentinels call the primary."
    )
    redis_sentinel_username: str | None = Field(None, description="The Sentinels' own user.")
    redis_sentinel_password: SecretStr | None = Field(None, description="The Sentinels' own password.")
    redis_sentinel_password_file: Path | None = Field(
        None, description="Holds the Sentinels' own password instead; read anew by each connection."
    )
    redis_prefix: str = Field("segstream", min_length=1, description="What the private keys begin with.")
    segments_prefix: str = Field(
        "", description="Stands before the public keys, which begin with `segments:`."
    )
    group: str = Field(
        "segstream", min_length=1, description="Consumer group, and prefix of transactional ids."
    )
    instance_id: str | None = Field(
        None, description="Static membership: a name that stays over restarts, such as the pod's."
    )
    session_timeout: Milliseconds = Field(
        10_000, ge=6_000, description="After this silence Kafka gives a worker's partitions to others."
    )
    topics: Names = Field(("events",), min_length=1, description="Topics to read, separated by commas.")
    topic_changes: str = Field("segment-changes", description="Every transition.")
    topic_memberships: str = Field("segment-memberships", description="Compacted: each user's whole answer.")
    topic_dead_letters: str = Field("segment-dead-letters", description="Records that could not be applied.")
    topic_rerouted: str = Field(
        "segstream-rerouted",
        description="The workers' own: records that lay in another partition than their user's, forwarded.",
    )
    topic_published: str = Field(
        "segstream-published", description="Compacted: how far each outbox was told."
    )
    topic_samples: str = Field(
        "segstream-samples", description="Feature vectors for the models; one partition."
    )
    compression: Literal["none", "gzip", "lz4", "snappy", "zstd"] = Field(
        "none", description="Of what is published."
    )
    partitioner: Literal["murmur2", "crc32"] = Field(
        "murmur2",
        description="As the producers of the input: murmur2 (Java, aiokafka) or crc32 (librdkafka).",
    )
    start_from: Annotated[str, BeforeValidator(_start)] = Field(
        "earliest", description="Where a first start begins: earliest, latest, or a time."
    )
    clock: Literal["arrival", "event"] = Field(
        "arrival", description="What moves time: arrivals (live), or the events' timestamps (replays)."
    )
    timer_grace: Milliseconds = Field(
        0, description="How long a timer waits for events that are on their way."
    )
    max_clock_skew: Milliseconds = Field(
        300_000, description="An event this much later than its arrival is a dead letter."
    )
    definitions: Path | None = Field(
        None, description="Definitions file; becomes version 1 where Redis has none yet."
    )
    cache_mb: int = Field(512, ge=1, description="Most memory for cached users, over all partitions.")
    inbox_mb: int = Field(
        256, ge=1, description="Most memory for records fetched and not applied yet, over all partitions."
    )
    batch: int = Field(1_000, ge=1, le=10_000, description="Most records applied at once.")
    publish_interval: Milliseconds = Field(
        50,
        ge=10,
        description="Between two transactions of a partition; under 10 ms the broker slows them down.",
    )
    sweep_rate: int = Field(
        5_000, ge=1, description="Users per second and partition that a sweep brings up to date."
    )
    sample_every: int = Field(
        20, ge=0, description="Every how many decisions the models get a sample; 0 for never."
    )
    model_samples: int = Field(1_000, ge=1, description="Samples to learn from before the next snapshot.")
    model_interval: Milliseconds = Field(3_600_000, description="Time between two snapshots.")
    model_seed: int = Field(0, description="Decides the first centres.")
    web_host: str = Field("127.0.0.1", description="Where /health is served.")
    web_port: int = Field(6066, ge=0, le=65_535, description="Port of /health; 0 for none.")
    web_token: SecretStr | None = Field(
        None,
        description="Whoever shows it (`Authorization: Bearer ...`) may ask about single users at /users/<id>; "
        "without one there are no such pages.",
    )
    web_token_file: Path | None = Field(
        None, description="Holds the token instead; read anew by each request."
    )
    log_format: Literal["console", "json"] = Field("console", description="How log lines look.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="What is logged.")
    drain_timeout: Milliseconds = Field(
        20_000, le=60_000, description="How long a stopping worker may take to finish."
    )
    failpoint: str | None = Field(
        None,
        pattern=r"^[a-z-]+:[1-9][0-9]*$",
        description="Never in production: for tests, the worker kills itself at this point of its work "
        "(`after-commit:37`: at the 37th passage).",
    )
    failpoint_allowed: bool = Field(
        default=False, description="Never in production: without it a failpoint is refused."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - given by the library
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - given by the library
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read arguments first, then the environment, then the file."""
        sources: tuple[PydanticBaseSettingsSource, ...] = (init_settings, env_settings)
        if path := os.environ.get(f"{PREFIX}SETTINGS"):
            sources += (TomlConfigSettingsSource(settings_cls, toml_file=path),)
        return sources


def load_settings(**given: Any) -> Settings:
    """Read the settings.

    Raises
    ------
    SettingsError
        Naming each setting that is wrong and what it may be, but never its value.
    """
    path = os.environ.get(f"{PREFIX}SETTINGS")
    if path and not Path(path).is_file():
        raise SettingsError(f"{PREFIX}SETTINGS names {path}, which is not a file")
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | {f"{PREFIX}SETTINGS"}
    unknown = sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)
    unknown = [name for name in unknown if not name.startswith(f"{PREFIX}TEST_")]
    if unknown:
        raise SettingsError(_no_setting(unknown[0]))
    try:
        settings = Settings(**given)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{PREFIX}SETTINGS: {path} is not TOML: {error}") from None
    except UnicodeDecodeError as error:
        raise SettingsError(
            f"{PREFIX}SETTINGS: {path} is not UTF-8 (byte {error.start}); save it as that"
        ) from None
    except ValidationError as error:
        raise SettingsError("; ".join(map(_problem, error.errors()))) from None
    check_together(settings)
    return settings


def _no_setting(name: str) -> str:
    close = closest(name.removeprefix(PREFIX), [field.upper() for field in Settings.model_fields])
    return f"there is no setting {name}; {f'did you mean {PREFIX}{close}? ' if close else ''}`segstream settings` lists all"


def _problem(error: ErrorDetails) -> str:
    name = f"{PREFIX}{'.'.join(map(str, error['loc'])).upper()}"
    match error["type"]:
        case "extra_forbidden":  # only the file may have what is none; of the environment it is told before
            return f"{os.environ.get(f'{PREFIX}SETTINGS', 'the arguments')}: {_no_setting(name)}"
        case "less_than_equal":
            return f"{name}: it may be {_bound(error['loc'], error['ctx']['le'])} at most"
        case "greater_than_equal":
            return f"{name}: it must be {_bound(error['loc'], error['ctx']['ge'])} at least"
        case "too_short" | "string_too_short":
            return f"{name}: it is empty; give it a value, or leave it out"
        case _:
            return f"{name}: {error['msg'].removeprefix('Value error, ')}"


def _bound(place: tuple[int | str, ...], bound: int) -> str:
    """Return a bound as one would write it: durations are in ms only within the program."""
    field = Settings.model_fields[str(place[0])]
    return format_duration(bound) if _DURATION in field.metadata else str(bound)


def sources() -> dict[str, str]:
    """Return where the settings are from that are set: ``environment``, or the file's name.

    Only names are looked at; whether the values are right is not said.
    """
    found: dict[str, str] = {}
    if path := os.environ.get(f"{PREFIX}SETTINGS"):
        with contextlib.suppress(OSError, ValueError):  # not TOML, not UTF-8
            found = dict.fromkeys(tomllib.loads(Path(path).read_text(encoding="utf-8")), path)
    return found | {
        name.lower().removeprefix(PREFIX.lower()): "environment"
        for name in os.environ
        if name.upper().startswith(PREFIX)
    }
