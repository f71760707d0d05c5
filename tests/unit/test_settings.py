"""Settings: where they come from, and what is said of wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from segstream.coherence import redis_password
from segstream.errors import SettingsError
from segstream.settings import load_settings, sources


def test_the_environment_goes_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file holds what is common, a variable what differs."""
    file = tmp_path / "segstream.toml"
    file.write_text('kafka = "one:9092"\ntopics = ["events", "crm"]\ntimer_grace = "2s"\n')
    monkeypatch.setenv("SEGSTREAM_SETTINGS", str(file))
    monkeypatch.setenv("SEGSTREAM_KAFKA", "two:9092")
    settings = load_settings()
    assert (settings.kafka, settings.topics, settings.timer_grace) == ("two:9092", ("events", "crm"), 2_000)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("SEGSTREAM_CLOCK", "wall", "SEGSTREAM_CLOCK: Input should be 'arrival' or 'event'"),
        ("SEGSTREAM_TIMER_GRACE", "2 hours", "SEGSTREAM_TIMER_GRACE"),
        (
            "SEGSTREAM_START_FROM",
            "yesterday",
            "SEGSTREAM_START_FROM: write earliest, latest, or a time with its zone, such as 1997-01-31T12:00:00Z",
        ),
        (
            "SEGSTREAM_KAFKKA",
            "one:9092",
            "^there is no setting SEGSTREAM_KAFKKA; did you mean SEGSTREAM_KAFKA[?] `segstream settings` lists all$",
        ),
        ("SEGSTREAM_DRAIN_TIMEOUT", "5m", "^SEGSTREAM_DRAIN_TIMEOUT: it may be 1m at most$"),
        ("SEGSTREAM_SESSION_TIMEOUT", "100ms", "^SEGSTREAM_SESSION_TIMEOUT: it must be 6s at least$"),
        ("SEGSTREAM_BATCH", "20000", "^SEGSTREAM_BATCH: it may be 10000 at most$"),
        (
            "SEGSTREAM_START_FROM",
            "1969-12-31",
            "^SEGSTREAM_START_FROM: Kafka knows no time before 1970; write earliest$",
        ),
        ("SEGSTREAM_XYZZY", "1", "^there is no setting SEGSTREAM_XYZZY; `segstream settings` lists all$"),
        ("SEGSTREAM_GROUP", "", "^SEGSTREAM_GROUP: it is empty; give it a value, or leave it out$"),
        ("SEGSTREAM_TOPICS", " ,", "^SEGSTREAM_TOPICS: it is empty; give it a value, or leave it out$"),
        (
            "SEGSTREAM_REDIS",
            "redis://:pa#ss@one:6379",
            "unix:///path; signs such as / # . @ in a password are written %2F %23 %3F %40, or set SEGSTREAM_REDIS_PASSWORD$",
        ),
        (
            "SEGSTREAM_SETTINGS",
            "/nowhere.toml",
            "SEGSTREAM_SETTINGS names /nowhere.toml, which is not a file",
        ),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says which setting, and what it may be."""
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=said.replace("(", r"\(")):
        load_settings()


def test_a_file_that_is_not_toml_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says which file, and where in it."""
    file = tmp_path / "segstream.toml"
    file.write_text("kafka: one\n")
    monkeypatch.setenv("SEGSTREAM_SETTINGS", str(file))
    with pytest.raises(SettingsError, match=r"segstream\.toml is not TOML: .*line 1"):
        load_settings()


def test_a_file_that_is_no_text_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the byte that is none, and without what stands there; what is set by it nobody knows then."""
    file = tmp_path / "segstream.toml"
    file.write_bytes(b'kafka = "one:9092"\n\xff\xfe')
    monkeypatch.setenv("SEGSTREAM_SETTINGS", str(file))
    with pytest.raises(SettingsError, match=r"segstream\.toml is not UTF-8 \(byte 19\); save it as that$"):
        load_settings()
    assert "kafka" not in sources()


def test_a_name_in_the_file_that_is_no_setting_is_told_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And with the one that was meant, as for a variable."""
    file = tmp_path / "segstream.toml"
    file.write_text('kafak = "one:9092"\n')
    monkeypatch.setenv("SEGSTREAM_SETTINGS", str(file))
    said = r"segstream\.toml: there is no setting SEGSTREAM_KAFAK; did you mean SEGSTREAM_KAFKA\?"
    with pytest.raises(SettingsError, match=said):
        load_settings()


def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the settings as text nor an error repeats a password."""
    monkeypatch.setenv("SEGSTREAM_REDIS", "redis://someone:hunter2@one:6379/0")
    monkeypatch.setenv("SEGSTREAM_KAFKA_PASSWORD", "hunter2")
    monkeypatch.setenv("SEGSTREAM_KAFKA_USERNAME", "someone")
    monkeypatch.setenv("SEGSTREAM_KAFKA_SECURITY", "SASL_SSL")
    assert "hunter2" not in repr(load_settings())
    monkeypatch.setenv("SEGSTREAM_BATCH", "hunter2")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert "hunter2" not in str(caught.value)


WRONG_TOGETHER = [
    ({"KAFKA": "one"}, "SEGSTREAM_KAFKA: 'one' is not host:port"),
    (
        {"KAFKA_SECURITY": "SASL_SSL", "KAFKA_PASSWORD": "p"},
        "SEGSTREAM_KAFKA_USERNAME is not set: SEGSTREAM_KAFKA_SECURITY=SASL_SSL needs a user",
    ),
    (
        {"KAFKA_SECURITY": "SASL_PLAINTEXT", "KAFKA_USERNAME": "u"},
        (
            "SEGSTREAM_KAFKA_PASSWORD is not set, nor SEGSTREAM_KAFKA_PASSWORD_FILE: "
            "SEGSTREAM_KAFKA_SECURITY=SASL_PLAINTEXT needs one of them"
        ),
    ),
    (
        {"KAFKA_PASSWORD": "hunter2"},
        (
            "SEGSTREAM_KAFKA_PASSWORD is set, but SEGSTREAM_KAFKA_SECURITY is PLAINTEXT: set it to SASL_SSL or "
            "SASL_PLAINTEXT, or leave the login out"
        ),
    ),
    (
        {"KAFKA_PASSWORD": "hunter2", "KAFKA_PASSWORD_FILE": "{empty}"},
        "SEGSTREAM_KAFKA_PASSWORD and SEGSTREAM_KAFKA_PASSWORD_FILE are both set; set one of them",
    ),
    (
        {"KAFKA_SECURITY": "SASL_SSL", "KAFKA_USERNAME": "u", "KAFKA_PASSWORD_FILE": "/nowhere"},
        "SEGSTREAM_KAFKA_PASSWORD_FILE: cannot read /nowhere: No such file or directory",
    ),
    (
        {"KAFKA_SECURITY": "SASL_SSL", "KAFKA_USERNAME": "u", "KAFKA_PASSWORD_FILE": "{empty}"},
        "SEGSTREAM_KAFKA_PASSWORD_FILE: {empty} is empty; write the password into it",
    ),
    (
        {"KAFKA_SECURITY": "SSL", "KAFKA_CA_FILE": "/nowhere.pem"},
        "SEGSTREAM_KAFKA_CA_FILE: cannot read /nowhere.pem: No such file or directory",
    ),
    (
        {"KAFKA_SECURITY": "SSL", "KAFKA_CA_FILE": "{empty}"},
        "SEGSTREAM_KAFKA_CA_FILE: {empty} holds no certificate in PEM form",
    ),
    (
        {"KAFKA_CA_FILE": "{empty}"},
        "SEGSTREAM_KAFKA_CA_FILE is set, but SEGSTREAM_KAFKA_SECURITY is PLAINTEXT: set it to SSL or SASL_SSL",
    ),
    (
        {"KAFKA_SECURITY": "SSL", "KAFKA_CERT_FILE": "{empty}"},
        "SEGSTREAM_KAFKA_CERT_FILE is set without SEGSTREAM_KAFKA_KEY_FILE; set both",
    ),
    (
        {"KAFKA_SECURITY": "SSL", "KAFKA_CERT_FILE": "{empty}", "KAFKA_KEY_FILE": "{empty}"},
        (
            "SEGSTREAM_KAFKA_CERT_FILE: {empty} and {empty} are not a certificate and its private key in PEM form, "
            "without a password"
        ),
    ),
    *(
        (
            given,
            (
                "SEGSTREAM_WEB_TOKEN (or _FILE) is not a token: take at least 16 characters of ASCII, such as "
                "`openssl rand -hex 16` prints"
            ),
        )
        for given in ({"WEB_TOKEN": "short-hunter2"}, {"WEB_TOKEN": "hunter2-hunter2-\u00e9"})
    ),
    ({"TOPICS": "events,crm,events"}, "SEGSTREAM_TOPICS names a topic twice; name each once"),
    (
        {"TOPICS": "events,segment-dead-letters"},
        "SEGSTREAM_TOPICS and SEGSTREAM_TOPIC_DEAD_LETTERS both name segment-dead-letters; each needs a topic of its own",
    ),
    (
        {"TOPIC_PUBLISHED": "segment-memberships"},
        "SEGSTREAM_TOPIC_MEMBERSHIPS and SEGSTREAM_TOPIC_PUBLISHED both name segment-memberships; each needs a topic of",
    ),
    ({"WEB_TOKEN_FILE": "{empty}"}, "SEGSTREAM_WEB_TOKEN_FILE: {empty} is empty; write the password into it"),
    (
        {"REDIS": "http://someone:hunter2@one"},
        "SEGSTREAM_REDIS: the URL cannot be read; write redis://host:port/0, rediss://... for TLS, or unix:///path",
    ),
    (
        {"REDIS_CA_FILE": "{empty}"},
        "SEGSTREAM_REDIS_CA_FILE is set, but SEGSTREAM_REDIS begins with redis://: write rediss://, which means TLS",
    ),
    (
        {"REDIS": "redis://:hunter2@one:6379", "REDIS_PASSWORD": "hunter2"},
        "SEGSTREAM_REDIS_PASSWORD is set, and the URL in SEGSTREAM_REDIS holds one too; set one",
    ),
    (
        {"REDIS_USERNAME": "u"},
        "SEGSTREAM_REDIS_PASSWORD is not set, nor SEGSTREAM_REDIS_PASSWORD_FILE, but a user is named: set one of them",
    ),
    (
        {"REDIS_CLUSTER": "true", "REDIS": "redis://one:6379/2"},
        (
            "SEGSTREAM_REDIS_CLUSTER is true, but SEGSTREAM_REDIS names a socket or a database other than 0: "
            "a cluster has neither"
        ),
    ),
    (
        {"REDIS_CLUSTER": "true", "REDIS_SENTINELS": "one:26379"},
        "SEGSTREAM_REDIS_SENTINELS and SEGSTREAM_REDIS_CLUSTER exclude each other; set one",
    ),
    ({"REDIS_SENTINELS": "one:26379,two"}, "SEGSTREAM_REDIS_SENTINELS: 'two' is not host:port"),
    (
        {"REDIS_SENTINEL_PASSWORD": "hunter2"},
        (
            "SEGSTREAM_REDIS_SENTINEL_PASSWORD is set, but SEGSTREAM_REDIS_SENTINELS is not: it lists the Sentinels as "
            "host:port, separated by commas"
        ),
    ),
    (
        {"REDIS_SENTINELS": "one:26379", "REDIS": "unix:///run/redis"},
        "SEGSTREAM_REDIS_SENTINELS: SEGSTREAM_REDIS must begin with redis:// or rediss:// then",
    ),
]


@pytest.mark.parametrize(("given", "said"), WRONG_TOGETHER, ids=[said[:50] for _, said in WRONG_TOGETHER])
def test_settings_that_do_not_go_together_are_named(
    given: dict[str, str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is connected, with what is allowed, and no secret in it."""
    empty = tmp_path / "empty"
    empty.touch()
    for name, value in given.items():
        monkeypatch.setenv(f"SEGSTREAM_{name}", value.format(empty=empty))
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value).startswith(said.format(empty=empty))
    assert "hunter2" not in str(caught.value)


def test_a_login_may_be_in_the_url_and_its_password_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a URL for Sentinels needs no host."""
    file = tmp_path / "password"
    file.write_text("hunter2\n")
    monkeypatch.setenv("SEGSTREAM_REDIS", "rediss://someone@/0")
    monkeypatch.setenv("SEGSTREAM_REDIS_PASSWORD_FILE", str(file))
    monkeypatch.setenv("SEGSTREAM_REDIS_SENTINELS", "one:26379, two:26379")
    settings = load_settings()
    assert settings.redis_sentinels == ("one:26379", "two:26379")
    assert redis_password(settings).read() == "hunter2"


def test_the_topic_of_forwarded_records_is_no_input_topic() -> None:
    """It is read in any case; whoever names it might send events there."""
    with pytest.raises(
        SettingsError, match="SEGSTREAM_TOPICS names moved, which is SEGSTREAM_TOPIC_REROUTED"
    ):
        load_settings(topics="events,moved", topic_rerouted="moved")
