"""Which settings go together: what is said of combinations that cannot work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from segstream.access import Certificates, Password
from segstream.errors import SettingsError

if TYPE_CHECKING:
    from segstream.settings import Settings

_SCHEMES: Final = ("redis", "rediss", "unix")
_WRITTEN: Final = (
    "topic_changes",
    "topic_memberships",
    "topic_dead_letters",
    "topic_rerouted",
    "topic_published",
    "topic_samples",
)
_HIGHEST_PORT: Final = 65_535
_SHORTEST_TOKEN: Final = 16
"""Characters; `openssl rand -hex 16` gives 32."""


def check_together(settings: Settings) -> None:
    """Check the settings that depend on each other, and the files that some of them name.

    Raises
    ------
    SettingsError
        Naming the setting, and what is allowed; never a secret.
    """
    if settings.topic_rerouted in settings.topics:
        raise SettingsError(
            f"SEGSTREAM_TOPICS names {settings.topic_rerouted}, which is SEGSTREAM_TOPIC_REROUTED: it is read in any "
            "case, and workers alone write to it; leave it out"
        )
    _check_topics(settings)
    for address in settings.kafka.split(","):
        _check_address("KAFKA", address.strip())
    _check_kafka_login(settings)
    encrypted = settings.kafka_security in ("SSL", "SASL_SSL")
    _check_certificates(
        settings,
        "KAFKA",
        encrypted,
        "SEGSTREAM_KAFKA_SECURITY is " + settings.kafka_security + ": set it to SSL or SASL_SSL",
    )
    scheme = _check_redis_url(settings)
    _check_certificates(
        settings,
        "REDIS",
        scheme == "rediss",
        f"SEGSTREAM_REDIS begins with {scheme}://: write rediss://, which means TLS",
    )
    _check_sentinels(settings, scheme)
    _check_token(settings)
    if settings.failpoint and not settings.failpoint_allowed:
        raise SettingsError(
            "SEGSTREAM_FAILPOINT is set: the worker would kill itself. Take it away; a test sets "
            "SEGSTREAM_FAILPOINT_ALLOWED=true, too"
        )


def _check_topics(settings: Settings) -> None:
    """Refuse a topic of two purposes: of what workers write and read again each record would make the next one."""
    uses = dict.fromkeys(settings.topics, "TOPICS")
    if len(uses) < len(settings.topics):
        raise SettingsError("SEGSTREAM_TOPICS names a topic twice; name each once")
    for setting in _WRITTEN:
        name = getattr(settings, setting)
        other = uses.setdefault(name, setting.upper())
        if other != setting.upper():
            raise SettingsError(
                f"SEGSTREAM_{other} and SEGSTREAM_{setting.upper()} both name {name}; each needs a topic of its own"
            )


def kafka_password(settings: Settings) -> Password:
    """Return the password for Kafka."""
    return _password(settings, "kafka_password")


def redis_password(settings: Settings) -> Password:
    """Return the password for Redis, if it is not in the URL."""
    return _password(settings, "redis_password")


def sentinel_password(settings: Settings) -> Password:
    """Return the Sentinels' own password."""
    return _password(settings, "redis_sentinel_password")


def web_token(settings: Settings) -> Password:
    """Return what whoever asks about users has to show."""
    return _password(settings, "web_token")


def read_token(token: Password) -> str:
    """Return a token as it is now.

    Raises
    ------
    SettingsError
        Its file cannot be read, or it is too short to be one; never with the token itself.

    Examples
    --------
    >>> read_token(Password("hunter2"))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    segstream.errors.SettingsError: SEGSTREAM_WEB_TOKEN (or _FILE) is not a token: take at least 16 characters of ASCII...
    """
    text = token.read() or ""
    if len(text) < _SHORTEST_TOKEN or not text.isascii():
        raise SettingsError(
            f"SEGSTREAM_WEB_TOKEN (or _FILE) is not a token: take at least {_SHORTEST_TOKEN} characters of ASCII, such as "
            "`openssl rand -hex 16` prints"
        )
    return text


def certificates(settings: Settings, server: str) -> Certificates:
    """Return the certificates for ``kafka`` or ``redis``."""
    return Certificates(*(getattr(settings, f"{server}_{part}_file") for part in ("ca", "cert", "key")))


def _password(settings: Settings, name: str) -> Password:
    value = getattr(settings, name)
    return Password(None if value is None else value.get_secret_value(), getattr(settings, f"{name}_file"))


def _check_password(settings: Settings, name: str) -> Password:
    """Check that there is one source of a password, and that it can be read."""
    variable, password = f"SEGSTREAM_{name.upper()}", _password(settings, name)
    if password.value is not None and password.file is not None:
        raise SettingsError(f"{variable} and {variable}_FILE are both set; set one of them")
    try:
        password.read()
    except SettingsError as error:
        raise SettingsError(f"{variable}_FILE: {error}") from None
    return password


def _check_token(settings: Settings) -> None:
    if token := _check_password(settings, "web_token"):
        read_token(token)


def _check_address(name: str, address: str) -> None:
    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal() and 0 < int(port) <= _HIGHEST_PORT):
        raise SettingsError(f"SEGSTREAM_{name}: {address!r} is not host:port")


def _check_kafka_login(settings: Settings) -> None:
    password = _check_password(settings, "kafka_password")
    if settings.kafka_security.startswith("SASL"):
        if not settings.kafka_username:
            raise SettingsError(
                f"SEGSTREAM_KAFKA_USERNAME is not set: SEGSTREAM_KAFKA_SECURITY={settings.kafka_security} needs a user"
            )
        if not password:
            raise SettingsError(
                "SEGSTREAM_KAFKA_PASSWORD is not set, nor SEGSTREAM_KAFKA_PASSWORD_FILE: "
                f"SEGSTREAM_KAFKA_SECURITY={settings.kafka_security} needs one of them"
            )
        return
    for given, name in ((settings.kafka_username, "USERNAME"), (password, "PASSWORD")):
        if given:
            raise SettingsError(
                f"SEGSTREAM_KAFKA_{name} is set, but SEGSTREAM_KAFKA_SECURITY is {settings.kafka_security}: set it to "
                "SASL_SSL or SASL_PLAINTEXT, or leave the login out"
            )


def _check_certificates(settings: Settings, server: str, encrypted: bool, otherwise: str) -> None:  # noqa: FBT001 - private
    found = certificates(settings, server.lower())
    given = [part for part in ("ca_file", "cert_file", "key_file") if getattr(found, part) is not None]
    if given and not encrypted:
        raise SettingsError(f"SEGSTREAM_{server}_{given[0].upper()} is set, but {otherwise}")
    for one, other in (("cert_file", "key_file"), ("key_file", "cert_file")):
        if one in given and other not in given:
            raise SettingsError(
                f"SEGSTREAM_{server}_{one.upper()} is set without SEGSTREAM_{server}_{other.upper()}; set both"
            )
    if given:
        try:
            found.context()
        except SettingsError as error:
            part, _, reason = str(error).partition(": ")
            raise SettingsError(f"SEGSTREAM_{server}_{part.upper()}: {reason}") from None


def _check_redis_url(settings: Settings) -> str:
    """Return the URL's scheme."""
    url = settings.redis.get_secret_value()
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises where it is none
    except ValueError:
        parts = urlsplit("")
    database = parts.path.removeprefix("/")
    if parts.scheme not in _SCHEMES or (
        parts.scheme != "unix"
        and ((database and not database.isdecimal()) or not (parts.hostname or settings.redis_sentinels))
    ):
        quoted = (
            "; signs such as / # ? @ in a password are written %2F %23 %3F %40, or set SEGSTREAM_REDIS_PASSWORD"
            if "@" in url
            else ""
        )
        raise SettingsError(
            "SEGSTREAM_REDIS: the URL cannot be read; write redis://host:port/0, rediss://... for TLS, or unix:///path"
            + quoted
        )
    password = _check_password(settings, "redis_password")
    if parts.password is not None and password:
        raise SettingsError(
            "SEGSTREAM_REDIS_PASSWORD is set, and the URL in SEGSTREAM_REDIS holds one too; set one"
        )
    if parts.username and settings.redis_username:
        raise SettingsError(
            "SEGSTREAM_REDIS_USERNAME is set, and the URL in SEGSTREAM_REDIS names one too; set one"
        )
    if (parts.username or settings.redis_username) and parts.password is None and not password:
        raise SettingsError(
            "SEGSTREAM_REDIS_PASSWORD is not set, nor SEGSTREAM_REDIS_PASSWORD_FILE, but a user is named: set one of them"
        )
    if settings.redis_cluster and (parts.scheme == "unix" or int(database or 0)):
        raise SettingsError(
            "SEGSTREAM_REDIS_CLUSTER is true, but SEGSTREAM_REDIS names a socket or a database other than 0: "
            "a cluster has neither"
        )
    return parts.scheme


def _check_sentinels(settings: Settings, scheme: str) -> None:
    password = _check_password(settings, "redis_sentinel_password")
    if not settings.redis_sentinels:
        for given, name in ((settings.redis_sentinel_username, "USERNAME"), (password, "PASSWORD")):
            if given:
                raise SettingsError(
                    f"SEGSTREAM_REDIS_SENTINEL_{name} is set, but SEGSTREAM_REDIS_SENTINELS is not: it lists the "
                    "Sentinels as host:port, separated by commas"
                )
        return
    for address in settings.redis_sentinels:
        _check_address("REDIS_SENTINELS", address)
    if settings.redis_cluster:
        raise SettingsError(
            "SEGSTREAM_REDIS_SENTINELS and SEGSTREAM_REDIS_CLUSTER exclude each other; set one"
        )
    if scheme == "unix":
        raise SettingsError(
            "SEGSTREAM_REDIS_SENTINELS: SEGSTREAM_REDIS must begin with redis:// or rediss:// then"
        )
    if settings.redis_sentinel_username and not password:
        raise SettingsError(
            "SEGSTREAM_REDIS_SENTINEL_PASSWORD is not set, nor SEGSTREAM_REDIS_SENTINEL_PASSWORD_FILE, but a user is "
            "named: set one of them"
        )
