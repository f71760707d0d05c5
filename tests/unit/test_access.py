"""Passwords and certificates from files."""

from __future__ import annotations

from pathlib import Path

import pytest

from segstream.access import Certificates, Password
from segstream.errors import SettingsError
from tests.secure_servers import make_certificates


def test_a_password_is_never_shown() -> None:
    """Settings are logged at the start."""
    assert "hunter2" not in f"{Password('hunter2')} {Password('hunter2')!r}"


def test_a_file_that_is_not_text_is_told(tmp_path: Path) -> None:
    """Such as a certificate store in its place."""
    file = tmp_path / "password"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match=r"cannot read .*password"):
        Password(file=file).read()


def test_certificate_and_key_must_belong_together(tmp_path: Path) -> None:
    """The error names both files."""
    files = make_certificates(tmp_path)
    assert Certificates(files.ca, files.client_cert, files.client_key).context().check_hostname
    with pytest.raises(
        SettingsError, match=r"^cert_file: .*client\.pem and .*server-key\.pem are not a certificate"
    ):
        Certificates(files.ca, files.client_cert, files.server_key).context()
