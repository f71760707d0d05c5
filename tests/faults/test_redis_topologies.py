"""Redis with replicas: a primary that is lost with its tail, and a cluster that is moved about and loses a node."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from segstream.access import Password
from segstream.adapters.redis.connection import RedisSettings
from tests.faults.ledger import entry
from tests.faults.site import Site, until, until_logged
from tests.secure_servers import RedisTrio, SecureRedis, SentinelTrio
from tests.workers import Worker

pytestmark = pytest.mark.long


def by_sentinels(trio: SentinelTrio, url: str) -> RedisSettings:
    """Return how to reach whatever is the primary."""
    return RedisSettings(
        url,
        sentinels=tuple(trio.addresses.split(",")),
        service=trio.SERVICE,
        sentinel_password=Password(f"{trio.password}-sentinel"),
    )


async def lose_the_untold(trio: SentinelTrio, worker: Worker) -> None:
    """Stop the replicas in their tracks, so that commits are written and not confirmed; then the primary dies."""
    for replica in trio.servers[1:]:
        replica.freeze()
    await until_logged(worker, "replicas confirmed a write within")
    trio.servers[0].kill()


async def lose_the_told(trio: SentinelTrio, worker: Worker) -> None:
    """Let the primary give its replicas up, and the worker go on with it alone and tell; then the primary dies."""
    client = trio.servers[0].client()
    client.config_set("repl-timeout", 2)
    for replica in trio.servers[1:]:
        replica.freeze()
    await until(
        lambda: client.info("replication")["connected_slaves"] == 0, "the replicas are given up", [worker]
    )
    owned = worker.log.count('"owns"')
    await until_logged(worker, '"owns"', owned + 1)
    before = sum(int(value["keys"]) for value in client.info("keyspace").values())
    await until(
        lambda: client.info("stats")["total_commands_processed"] and _grown(client, before),
        "it goes on alone",
        [worker],
    )
    await asyncio.sleep(3)
    client.close()
    trio.servers[0].kill()


def _grown(client: Any, before: int) -> bool:
    return sum(int(value["keys"]) for value in client.info("keyspace").values()) > before


Harm = Callable[[SentinelTrio, Worker], Awaitable[None]]


@pytest.mark.parametrize(
    ("harm", "lost", "incarnations"),
    [(lose_the_untold, "not told yet", (1,)), (lose_the_told, "told already", (1, 2))],
)
async def test_a_replica_that_is_promoted_without_the_tail(
    kafka: str, calm_redis: str, tmp_path: Path, harm: Harm, lost: str, incarnations: tuple[int, ...]
) -> None:
    """A tail that nobody was told of is done again; one that was told ends the incarnation."""
    with SentinelTrio() as trio:
        url = trio.servers[0].url_for(f":{trio.password}@")
        site = await Site(kafka, url, calm_redis, tmp_path).open()
        site.where = by_sentinels(trio, url)
        environment = site.environment(
            redis_sentinels=trio.addresses,
            redis_sentinel_service=trio.SERVICE,
            redis_sentinel_password=f"{trio.password}-sentinel",
        )
        done = "replicas frozen, primary killed, replica promoted by Sentinel"
        with entry(f"Redis' primary lost with a tail {lost}", done, seed=site.seed) as row:
            with Worker(environment) as worker:
                await site.feed(1_000)
                await site.applied(worker)
                async with site.load():
                    await harm(trio, worker)
                    for replica in trio.servers[1:]:
                        replica.thaw()
                    await until(
                        lambda: trio.primary() is not trio.servers[0], "a replica is promoted", [worker]
                    )
                await site.applied(worker)
                assert await asyncio.to_thread(worker.stop) == 0
                print(worker.log)  # noqa: T201 - shown when the check fails
            if incarnations == (1,):
                row.tell(await site.check_same(), site.sent)
            else:
                row.tell(await site.check_after_loss(), site.sent)
                row.result = "new incarnation, users restated; same answers as undisturbed"
            assert row.incarnations == incarnations


async def test_a_cluster_whose_slot_moves_and_that_loses_a_node_changes_nothing(
    kafka: str, calm_redis: str, tmp_path: Path
) -> None:
    """The slot of partition 0's state moves to another primary under load, then that one dies."""
    with RedisTrio() as cluster:
        # By a replica: each of the primaries may be the one that is lost.
        site = await Site(kafka, cluster.servers[3].url_for(), calm_redis, tmp_path).open()
        site.where = RedisSettings(site.scene.redis, cluster=True)
        with entry(
            "Redis Cluster, a slot moved and a node lost",
            "MIGRATE key by key; SIGKILL; under load",
            2,
            seed=site.seed,
        ) as row:
            with Worker(site.environment(redis_cluster=True)) as worker:
                await site.feed(500)
                await site.applied(worker)
                async with site.load():
                    target = await asyncio.to_thread(
                        move_slot, cluster, f"{site.scene.prefix}state:{{0}}:meta"
                    )
                    await site.applied(worker, least=await site.position() + 300)
                    target.kill()
                    await until_logged(worker, '"partition_interrupted"')
                await site.applied(worker)
                assert await asyncio.to_thread(worker.stop) == 0
                print(worker.log)  # noqa: T201 - shown when the check fails
            row.tell(await site.check_same(), site.sent)


def move_slot(cluster: RedisTrio, key: str) -> SecureRedis:
    """Move a key's slot from the primary that has it to another one, key by key, as redis-cli does; return that one."""
    clients = {server: server.client() for server in cluster.servers[:3]}
    names = {server: client.execute_command("CLUSTER MYID") for server, client in clients.items()}
    slot = next(iter(clients.values())).execute_command("CLUSTER KEYSLOT", key)
    source = next(
        server
        for server, client in clients.items()
        if client.execute_command("CLUSTER COUNTKEYSINSLOT", slot)
    )
    target = next(server for server in clients if server is not source)
    clients[target].execute_command("CLUSTER SETSLOT", slot, "IMPORTING", names[source])
    clients[source].execute_command("CLUSTER SETSLOT", slot, "MIGRATING", names[target])
    while found := clients[source].execute_command("CLUSTER GETKEYSINSLOT", slot, 10):
        clients[source].execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5_000, "KEYS", *found)
    for server in (target, source, *(other for other in clients if other not in (target, source))):
        clients[server].execute_command("CLUSTER SETSLOT", slot, "NODE", names[target])
    for client in clients.values():
        client.close()
    return target
