"""The embedded broker: librdkafka's mock cluster, inside this process, listening on the loopback interface.

It starts at once and needs neither Java nor a download, but keeps every record in memory (5 MB per partition,
older ones are dropped) and takes transactions without fencing anybody or hiding what was aborted. It is made for
librdkafka's own tests; here it is for the demo and quick tests. What is about delivery is tried on
:class:`segstream.local.apache_kafka.ApacheKafka`.
"""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from segstream.errors import LocalServerError

_PRODUCER = 0  # RD_KAFKA_PRODUCER; the handle is only a home for the cluster and sends nothing
_ERROR_TEXT_BYTES = 512
_REPLICAS = 1


class MockKafka:
    """An embedded broker with the topics it is given.

    Topics that are not named here come into being when first asked for, with four partitions (fixed by librdkafka).

    Parameters
    ----------
    topics : mapping of str to int, optional
        Topics to create, with their number of partitions.

    Examples
    --------
    >>> with MockKafka({"events": 4, "segstream-samples": 1}) as broker:
    ...     broker.address.startswith("127.0.0.1:")
    True
    """

    def __init__(self, topics: Mapping[str, int] | None = None) -> None:
        self._topics = dict(topics or {})
        self._library: ctypes.CDLL | None = None
        self._handle: int | None = None
        self._cluster: int | None = None
        self.address = ""
        """``host:port``; empty while it does not run."""

    def start(self) -> None:
        """Start it; its records live until `close`.

        Raises
        ------
        LocalServerError
            When confluent-kafka is not installed, or librdkafka refuses.
        """
        library = self._library = _librdkafka()
        why = ctypes.create_string_buffer(_ERROR_TEXT_BYTES)
        settings = library.rd_kafka_conf_new()  # becomes part of the handle
        # It would warn on stderr that it knows no broker: it is one.
        library.rd_kafka_conf_set(settings, b"log_level", b"0", why, len(why))
        self._handle = library.rd_kafka_new(_PRODUCER, settings, why, len(why))
        if not self._handle:
            message = f"the embedded broker cannot start: {why.value.decode(errors='replace')}"
            raise LocalServerError(message)
        self._cluster = library.rd_kafka_mock_cluster_new(self._handle, 1)
        if not self._cluster:
            self.close()
            message = "the embedded broker cannot start: librdkafka could not open a port on 127.0.0.1"
            raise LocalServerError(message)
        # Real brokers wait for more members to come before the first assignment; a demo should not.
        library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)
        self.address = library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()
        for topic, partitions in self._topics.items():
            self.create_topic(topic, partitions)

    def create_topic(self, topic: str, partitions: int) -> None:
        """Create a topic; this broker has no admin protocol that could.

        Raises
        ------
        LocalServerError
            When it exists already.
        """
        if self._library is None or self._cluster is None:
            message = "the embedded broker is not running: use it in a with statement or call start() first"
            raise LocalServerError(message)
        code = self._library.rd_kafka_mock_topic_create(self._cluster, topic.encode(), partitions, _REPLICAS)
        if code:
            why = self._library.rd_kafka_err2str(code).decode()
            message = f"the embedded broker cannot create topic {topic!r} with {partitions} partitions: {why}"
            raise LocalServerError(message)

    def close(self) -> None:
        """Stop it and forget all records."""
        library = self._library
        if library is not None and self._cluster:
            library.rd_kafka_mock_cluster_destroy(self._cluster)
        if library is not None and self._handle:
            library.rd_kafka_destroy(self._handle)
        self._cluster = self._handle = None
        self.address = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _librdkafka() -> ctypes.CDLL:
    """Return the C library under confluent-kafka: its Python side can start a mock cluster, but not shape topics."""
    try:
        extension = importlib.import_module("confluent_kafka.cimpl")
    except ModuleNotFoundError as error:
        message = "the embedded broker needs confluent-kafka: pip install 'segstream[local]'"
        raise LocalServerError(message) from error
    # Looking a symbol up in the extension also finds those of the library it is linked to, whatever its name.
    library = ctypes.CDLL(str(extension.__file__))
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    signatures = {  # from rdkafka.h and rdkafka_mock.h
        "rd_kafka_conf_new": (pointer, []),
        "rd_kafka_conf_set": (number, [pointer, text, text, text, ctypes.c_size_t]),
        "rd_kafka_new": (pointer, [number, pointer, text, ctypes.c_size_t]),
        "rd_kafka_destroy": (None, [pointer]),
        "rd_kafka_err2str": (text, [number]),
        "rd_kafka_mock_cluster_new": (pointer, [pointer, number]),
        "rd_kafka_mock_cluster_destroy": (None, [pointer]),
        "rd_kafka_mock_cluster_bootstraps": (text, [pointer]),
        "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, [pointer, ctypes.c_int32]),
        "rd_kafka_mock_topic_create": (number, [pointer, text, number, number]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
