"""Passwords and certificates: read from their files, with one line on what is wrong with them."""

from __future__ import annotations

import contextlib
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segstream.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Password:
    """A password, or the file that holds it.

    The file is read whenever the password is needed, so that one that has been changed is used by the next
    connection.

    Parameters
    ----------
    value : str, optional
        The password itself. Never shown.
    file : Path, optional
        A file with the password and nothing else; white space at its end is left out.

    Examples
    --------
    >>> Password("hunter2")
    Password(file=None)
    >>> Password("hunter2").read()
    'hunter2'
    >>> bool(Password())
    False
    """

    value: str | None = field(default=None, repr=False)
    file: Path | None = None

    def __bool__(self) -> bool:
        """Tell whether there is one."""
        return self.value is not None or self.file is not None

    def read(self) -> str | None:
        """Return the password, None if there is none.

        Raises
        ------
        SettingsError
            The file cannot be read, or is empty.
        """
        if self.file is None:
            return self.value
        try:
            text = self.file.read_text(encoding="utf-8").rstrip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"cannot read {self.file}: {_reason(error)}") from None
        if not text:
            raise SettingsError(f"{self.file} is empty; write the password into it")
        return text


@dataclass(frozen=True, slots=True)
class Certificates:
    """What a TLS client trusts, and how it says who it is.

    Parameters
    ----------
    ca_file : Path, optional
        Certificates (PEM) to trust instead of the system's.
    cert_file, key_file : Path, optional
        The client's own certificate, with those between it and the authority, and its private key without a
        password (PEM): for servers that ask for it (mutual TLS).
    """

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    def __bool__(self) -> bool:
        """Tell whether there are any."""
        return any((self.ca_file, self.cert_file, self.key_file))

    def context(self) -> ssl.SSLContext:
        """Return what a client needs to connect; it checks the server's certificate and name.

        Raises
        ------
        SettingsError
            A file cannot be used; the text begins with which: ``ca_file``, ``cert_file`` or ``key_file``.

        Examples
        --------
        >>> Certificates(Path("/nowhere.pem")).context()
        Traceback (most recent call last):
            ...
        segstream.errors.SettingsError: ca_file: cannot read /nowhere.pem: No such file or directory
        """
        for name in ("ca_file", "cert_file", "key_file"):
            if (path := getattr(self, name)) is not None:
                try:
                    path.read_bytes()
                except OSError as error:
                    raise SettingsError(f"{name}: cannot read {path}: {_reason(error)}") from None
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except ssl.SSLError:
            raise SettingsError(f"ca_file: {self.ca_file} holds no certificate in PEM form") from None
        if self.cert_file is not None:
            try:
                # Without an answer of ours OpenSSL would ask the terminal for a key's password.
                context.load_cert_chain(self.cert_file, self.key_file, password=b"")
            except (ssl.SSLError, ValueError) as error:
                raise SettingsError(
                    f"cert_file: {self.cert_file} and {self.key_file} are not a certificate and its private key in PEM "
                    f"form, without a password ({_reason(error)})"
                ) from None
        return context

    def renewing_context(self) -> ssl.SSLContext:
        """Return a context that looks at the files for each new connection, so that they may be replaced.

        While they cannot be used, such as a certificate whose key is not there yet, it goes by what they held before.

        Raises
        ------
        SettingsError
            They cannot be used now.
        """
        context = _RenewingContext(ssl.PROTOCOL_TLS_CLIENT)
        context.use(self)
        return context


class _RenewingContext(ssl.SSLContext):
    """Hands each connection to the context of the files as they are now."""

    _files: Certificates
    _stamp: tuple[tuple[int, int, int] | None, ...]
    _inner: ssl.SSLContext

    def use(self, files: Certificates) -> None:
        self._files = files
        self._stamp, self._inner = self._look(), files.context()

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        return self._current().wrap_bio(*args, **kwargs)

    def wrap_socket(self, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
        return self._current().wrap_socket(*args, **kwargs)

    def _current(self) -> ssl.SSLContext:
        if (stamp := self._look()) != self._stamp:
            with contextlib.suppress(SettingsError):
                self._inner = self._files.context()
                self._stamp = stamp
        return self._inner

    def _look(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(
            _stamp(path) for path in (self._files.ca_file, self._files.cert_file, self._files.key_file)
        )


def _stamp(path: Path | None) -> tuple[int, int, int] | None:
    """Return what differs once a file has been replaced or written anew, also behind a symbolic link."""
    with contextlib.suppress(OSError):
        if path is not None:
            found = path.stat()
            return found.st_mtime_ns, found.st_ino, found.st_size
    return None


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).replace("_", " ").lower()
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
