"""Which partition a key belongs to: brokers do not know, the producers' client libraries decide.

References
----------
.. [1] Apache Kafka, ``org.apache.kafka.common.utils.Utils.murmur2`` and
   ``BuiltInPartitioner.partitionForKey``; the hash is Austin Appleby's MurmurHash2 with a seed of Kafka's.
.. [2] librdkafka, ``rd_kafka_msg_partitioner_consistent``: CRC-32 as in zlib.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Final, Literal

Partitioner = Callable[[bytes, int], int]
"""From a key and a number of partitions to the number of the key's partition."""

_MASK: Final = 0xFFFFFFFF
_SEED: Final = 0x9747B28C
_M: Final = 0x5BD1E995


def murmur2(key: bytes, partitions: int) -> int:
    """Place a key as Java clients, aiokafka and kafka-python do [1]_.

    Examples
    --------
    >>> murmur2(b"00042", 4)
    2
    """
    return (murmur2_hash(key) & 0x7FFFFFFF) % partitions


def crc32(key: bytes, partitions: int) -> int:
    """Place a key as librdkafka and the clients built on it do unless told otherwise [2]_.

    Examples
    --------
    >>> crc32(b"00042", 4)
    1
    """
    return zlib.crc32(key) % partitions


def murmur2_hash(data: bytes) -> int:
    """Return Kafka's MurmurHash2 of some bytes, from 0 to 2**32 - 1.

    Examples
    --------
    >>> murmur2_hash(b"foobar") - 2**32
    -790332482
    """
    length = len(data)
    whole = length & ~3
    h = _SEED ^ length
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * _M & _MASK
        k = (k ^ k >> 24) * _M & _MASK
        h = (h * _M & _MASK) ^ k
    if whole < length:
        h = (h ^ int.from_bytes(data[whole:], "little")) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    return h ^ h >> 15


def partitioner(name: Literal["murmur2", "crc32"]) -> Partitioner:
    """Return the function for a value of the setting ``partitioner``.

    Examples
    --------
    >>> partitioner("crc32")(b"", 4)
    0
    """
    return {"murmur2": murmur2, "crc32": crc32}[name]
