"""Keys go where the producers' client libraries put them."""

from __future__ import annotations

import zlib

import pytest
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.partitioner import murmur2 as murmur2_of_aiokafka
from hypothesis import given
from hypothesis import strategies as st

from segstream.core.partitioning import crc32, murmur2, murmur2_hash, partitioner


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_gives_the_hashes_of_apache_kafkas_own_test(key: bytes, expected: int) -> None:
    """The vectors of ``UtilsTest.testMurmur2`` in Apache Kafka, as signed 32-bit integers."""
    assert murmur2_hash(key) == expected % 2**32


@pytest.mark.parametrize(
    ("key", "expected"),
    [(b"", 681), (b"a", 524), (b"ab", 434), (b"abc", 107), (b"123456789", 566), (b"\x00 ", 742)],
)
def test_murmur2_gives_the_partitions_java_gives(key: bytes, expected: int) -> None:
    """Keys of every length modulo four land on the Java client's partition out of 1,000."""
    assert murmur2(key, 1_000) == expected


@given(st.binary(max_size=64), st.integers(1, 1_000))
def test_murmur2_agrees_with_aiokafka_on_any_key(key: bytes, partitions: int) -> None:
    """Hash and partition equal those of aiokafka's default partitioner."""
    assert murmur2_hash(key) == murmur2_of_aiokafka(key)
    assert murmur2(key, partitions) == DefaultPartitioner()(key, list(range(partitions)), [])


def test_crc32_is_the_checksum_of_zlib_modulo_the_partitions() -> None:
    """The check value of CRC-32/ISO-HDLC, which librdkafka's consistent partitioner uses, is 0xCBF43926."""
    assert crc32(b"123456789", 2**32) == 0xCBF43926 == zlib.crc32(b"123456789")
    assert crc32(b"123456789", 7) == 0xCBF43926 % 7


def test_the_setting_names_the_function() -> None:
    """``murmur2`` and ``crc32`` are the two names, and they differ."""
    keys = [str(number).encode() for number in range(100)]
    assert [partitioner("murmur2")(key, 4) for key in keys] == [murmur2(key, 4) for key in keys]
    assert [partitioner("crc32")(key, 4) for key in keys] == [crc32(key, 4) for key in keys]
    assert [murmur2(key, 4) for key in keys] != [crc32(key, 4) for key in keys]
