"""How clients connect."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from segstream.access import Password
from segstream.adapters.kafka.client import KafkaSettings
from segstream.errors import SettingsError


def test_a_plain_connection_takes_no_secrets() -> None:
    """What is not needed is not handed over."""
    arguments = KafkaSettings("one:9092,two:9093", username="u", password=Password("p")).kwargs("worker")
    assert arguments["bootstrap_servers"] == ["one:9092", "two:9093"]
    assert arguments["client_id"] == "segstream-worker"
    assert not {"ssl_context", "sasl_plain_username", "sasl_plain_password"} & arguments.keys()


@pytest.mark.parametrize(
    ("security", "encrypted", "named"),
    [("SSL", True, False), ("SASL_PLAINTEXT", False, True), ("SASL_SSL", True, True)],
)
def test_each_kind_of_security_hands_over_what_it_needs(security: str, encrypted: bool, named: bool) -> None:  # noqa: FBT001
    """Encrypted kinds check the broker's certificate; SASL kinds say who we are."""
    settings = KafkaSettings(security=security, username="u", password=Password("p"))  # type: ignore[arg-type]  # parametrised
    arguments = settings.kwargs("worker")
    assert ("sasl_plain_password" in arguments) is named
    assert ("ssl_context" in arguments) is encrypted
    if encrypted:
        assert arguments["ssl_context"].verify_mode == ssl.CERT_REQUIRED


def test_a_password_is_not_printed() -> None:
    """Settings are logged at the start."""
    assert "hunter2" not in repr(KafkaSettings(password=Password("hunter2")))


def test_a_password_in_a_file_is_read_for_each_client(tmp_path: Path) -> None:
    """One that was changed is used by the next client; one that is gone is told."""
    file = tmp_path / "password"
    settings = KafkaSettings(security="SASL_SSL", username="u", password=Password(file=file))
    for password in ("first", "second"):
        file.write_text(f"{password}\n")
        assert settings.kwargs("worker")["sasl_plain_password"] == password
    file.unlink()
    with pytest.raises(SettingsError, match=r"cannot read .*password: No such file"):
        settings.kwargs("worker")


def test_consumers_see_only_what_is_committed_and_decide_their_positions() -> None:
    """No consumer of ours may read what was aborted, commit by itself, or jump to an end it was not told to."""
    arguments = KafkaSettings().consumer_kwargs("worker")
    assert arguments["isolation_level"] == "read_committed"
    assert arguments["enable_auto_commit"] is False
    assert arguments["auto_offset_reset"] == "none"
