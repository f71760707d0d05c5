"""The readers find what the worker writes: both of them, on one server and on a cluster."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from redis import Redis
from redis.cluster import RedisCluster

from segstream.adapters.redis.connection import RedisSettings, connect
from segstream.adapters.redis.read_model import RedisReadModel
from segstream.adapters.redis.state import RedisStateStore
from segstream.catalog import catalog_of
from segstream.core.clusters import Snapshot
from segstream.core.definitions import read_definitions
from segstream.errors import LocalServerError
from segstream.local.redis import find_redis
from segstream.ports import NOTHING_TOLD, EncodedView, View
from segstream.views import encode
from segstream_schemas import Answer, Catalog, Member, Membership, ReadModelError, ReadModelKeys
from tests.contract.reading import KINDS, Reading
from tests.contract.redis_cluster import redis_cluster
from tests.servers import unavailable

pytestmark = pytest.mark.integration

AT = 865_987_200_001
SINCE = datetime(1997, 6, 11, 0, 0, 0, 1000, tzinfo=UTC)
PARTITIONS = 4
FEATURES: dict[str, Any] = {"orders": 2, "city": 'Wien "', "vip": True, "mean": 0.1, "age": None}
DEFINITIONS = read_definitions(
    """
version: 1
features:
  orders: {op: count, event: Order Completed, expose: true}
segments:
  loyal: {when: orders >= 3, leave_when: orders < 2, label: Loyal, owner: crm, tags: [money]}
  new: {when: orders == 0}
groups:
  lifecycle: {first_of: [loyal, new]}
discovered:
  behaviour: {model: kmeans, clusters: 2, features: [orders]}
""",
    "shop.yaml",
)
SNAPSHOT = Snapshot("behaviour", 7, ("orders",), ("linear",), (2.0,), (1.0,), ((-1.0,), (3.0,)), ("c4", "c5"))


class Place(NamedTuple):
    """A Redis: one server, or a cluster of two."""

    urls: tuple[str, ...]
    prefix: str

    @property
    def cluster(self) -> bool:
        """Whether it is a cluster."""
        return len(self.urls) > 1

    def client(self) -> Any:
        """Return a blocking client of the whole of it."""
        return (RedisCluster if self.cluster else Redis).from_url(self.urls[0])


@pytest.fixture(scope="module")
def cluster_urls() -> Iterator[tuple[str, str]]:
    """Return the nodes of a cluster."""
    try:
        find_redis()
    except LocalServerError as error:
        unavailable(str(error))
    with redis_cluster() as urls:
        yield urls


@pytest.fixture(params=["one server", "cluster"])
def place(request: pytest.FixtureRequest) -> Place:
    """Return one server and a cluster in turn."""
    if request.param == "cluster":
        return Place(request.getfixturevalue("cluster_urls"), f"test-{uuid.uuid4().hex[:12]}:")
    return Place((request.getfixturevalue("redis_url"),), request.getfixturevalue("redis_prefix"))


@pytest.fixture(params=list(KINDS))
async def reader(request: pytest.FixtureRequest, place: Place) -> AsyncIterator[Reading]:
    """Return each of the two readers in turn."""
    found = KINDS[request.param](place.urls[0], cluster=place.cluster, prefix=place.prefix)
    yield found
    await found.close()


class Writer:
    """A worker's side: owner of all partitions."""

    def __init__(self, place: Place) -> None:
        self._client = connect(RedisSettings(place.urls[0], cluster=place.cluster))
        self._private = place.prefix + "private"
        self._model = RedisReadModel(self._client, place.prefix, self._private)
        self._epochs: dict[int, int] = {}

    async def write(self, partition: int, *views: EncodedView) -> None:
        """Write answers as the partition's owner."""
        if partition not in self._epochs:
            store = RedisStateStore(self._client, partition, self._private)
            self._epochs[partition] = (await store.take_over(NOTHING_TOLD)).meta.epoch
            await store.close()
        await self._model.write(partition, self._epochs[partition], views)

    async def describe(self, partitions: int = PARTITIONS) -> None:
        """Write the catalog."""
        await self._model.describe(catalog_of(DEFINITIONS, partitions, [SNAPSHOT]), 3)

    async def close(self) -> None:
        """Release the connections."""
        await self._model.close()
        await self._client.aclose()


@pytest.fixture
async def writer(place: Place) -> AsyncIterator[Writer]:
    """Return the worker's side, the catalog written."""
    found = Writer(place)
    await found.describe()
    yield found
    await found.close()


def view(
    user: str,
    segments: dict[str, int],
    sequence: int = 1,
    left: tuple[str, ...] = (),
    features: Mapping[str, Any] = FEATURES,
) -> EncodedView:
    """Return a user's answer: in these segments since these times in ms."""
    held = {name: (since, None if name == "loyal" else since + 1) for name, since in segments.items()}
    return encode(
        View(
            user,
            1,
            sequence,
            sequence,
            AT,
            3,
            {"behaviour": 7},
            held,
            dict(features),
            dict(segments),
            [*left],
        )
    )


async def test_a_users_answer_is_read_as_the_worker_wrote_it(reader: Reading, writer: Writer) -> None:
    """Segments with their times, features of every type, and what decided."""
    await writer.write(1, view("Jörg:1 {x}", {"loyal": AT, "behaviour.c4": AT}, sequence=9))
    segments = {
        "loyal": Membership(since=SINCE, expires_at=None),
        "behaviour.c4": Membership(since=SINCE, expires_at=SINCE + timedelta(milliseconds=1)),
    }
    user = "Jörg:1 {x}"
    assert await reader.ask("segments_of", user) == segments
    assert await reader.ask("features_of", user) == FEATURES
    assert await reader.ask("answer_of", user) == Answer(
        user_id=user,
        incarnation=1,
        partition_sequence=9,
        sequence=9,
        as_of=SINCE,
        definitions_version=3,
        model_version={"behaviour": 7},
        segments=segments,
        features=FEATURES,
    )
    assert await reader.ask("in_segment", user, "loyal") is True
    assert await reader.ask("in_segment", user, "new") is False


async def test_nothing_is_known_of_an_unknown_user(reader: Reading, writer: Writer) -> None:
    """Empty answers, no error; a user who left everything is known for a day."""
    assert await reader.ask("segments_of", "7") == {}
    assert await reader.ask("features_of", "7") == {}
    assert await reader.ask("answer_of", "7") is None
    assert await reader.ask("in_segment", "7", "loyal") is False
    await writer.write(0, view("7", {}, features={}))
    assert (await reader.ask("answer_of", "7")).segments == {}


async def test_many_users_are_read_at_once_in_the_order_asked_for(reader: Reading, writer: Writer) -> None:
    """Each as by `segments_of`, an unknown one with nothing; asked for twice, answered once."""
    for partition in range(PARTITIONS):
        await writer.write(partition, *(view(f"{partition}-{n}", {"loyal": AT + n}) for n in range(50)))
    users = ["3-49", "nobody", *(f"{partition}-{n}" for n in range(50) for partition in range(PARTITIONS))]
    found = await reader.ask("many", iter(users))
    assert list(found) == list(dict.fromkeys(users))
    assert found["nobody"] == {}
    for user in ("0-0", "1-7", "3-49"):
        assert found[user] == await reader.ask("segments_of", user)
    assert await reader.ask("many", []) == {}


async def test_many_users_cost_one_round_trip_per_node(reader: Reading, writer: Writer, place: Place) -> None:
    """Counted by the servers: each reads once from its connections for fifty users."""
    users = [f"user-{n}" for n in range(50)]
    await writer.write(0, *(view(user, {"loyal": AT}) for user in users))
    await reader.ask("many", users)  # connects
    clients = [Redis.from_url(url) for url in place.urls]
    try:
        # INFO is counted when it has been read, so the next one finds one more.
        before = [client.info("stats")["total_reads_processed"] for client in clients]
        await reader.ask("many", users)
        after = [client.info("stats")["total_reads_processed"] for client in clients]
    finally:
        for client in clients:
            client.close()
    # Nodes of a cluster count what they tell each other as well.
    spare = 3 if place.cluster else 0
    for then, now in zip(before, after, strict=True):
        assert 2 <= now - then <= 2 + spare


async def test_members_come_by_entry_from_all_partitions(reader: Reading, writer: Writer) -> None:
    """Partition by partition; from a moment on, only who entered then or later."""
    for partition in range(PARTITIONS):
        await writer.write(
            partition, *(view(f"{partition}-{n}", {"loyal": AT + 1000 * n}) for n in (2, 0, 1))
        )
    everybody = [
        Member(f"{p}-{n}", SINCE + timedelta(seconds=n)) for p in range(PARTITIONS) for n in range(3)
    ]
    assert await reader.members("loyal") == everybody
    late = [member for member in everybody if member.since > SINCE]
    assert await reader.members("loyal", SINCE + timedelta(microseconds=1)) == late
    assert await reader.members("loyal", SINCE) == everybody
    assert await reader.members("loyal", SINCE + timedelta(days=1)) == []
    assert await reader.members("no_such_segment") == []


async def test_more_members_than_a_page_come_once_each(reader: Reading, writer: Writer) -> None:
    """Also where all of them entered at one moment, as in a sweep."""
    await writer.write(0, *(view(f"{n:05d}", {"loyal": AT}) for n in range(2_500)))
    await writer.write(3, *(view(f"x{n:05d}", {"loyal": AT + n}) for n in range(1_000)))
    found = [member.user_id for member in await reader.members("loyal")]
    assert len(found) == 3_500
    assert found == sorted(found)
    assert await reader.ask("size", "loyal") == 3_500


async def test_sizes_tell_every_segment_also_discovered_and_empty_ones(
    reader: Reading, writer: Writer
) -> None:
    """Summed over partitions; discovered segments by their ids."""
    await writer.write(0, view("a", {"loyal": AT, "behaviour.c4": AT}))
    await writer.write(3, view("b", {"loyal": AT}), view("c", {"behaviour.c4": AT}))
    assert await reader.ask("sizes") == {"loyal": 2, "new": 0, "behaviour.c4": 2, "behaviour.c5": 0}
    assert await reader.ask("size", "loyal") == 2
    await writer.write(3, view("b", {}, sequence=2, left=("loyal",)))
    assert await reader.ask("size", "loyal") == 1
    assert await reader.ask("size", "no_such_segment") == 0


async def test_another_number_of_partitions_is_noticed(reader: Reading, writer: Writer) -> None:
    """A reader that lives on while the state is begun anew with more partitions counts all of them."""
    await writer.write(3, view("a", {"loyal": AT}))
    assert await reader.ask("size", "loyal") == 1
    await writer.describe(partitions=6)
    await writer.write(5, view("b", {"loyal": AT}))
    assert await reader.ask("size", "loyal") == 2


@pytest.mark.usefixtures("writer")
async def test_the_catalog_describes_segments(reader: Reading) -> None:
    """Labels, groups and conditions of rules; labels and versions of what a model found."""
    catalog = await reader.ask("catalog")
    assert isinstance(catalog, Catalog)
    assert (catalog.schema_version, catalog.partitions, catalog.definitions_version) == (1, PARTITIONS, 3)
    loyal = catalog.segments["loyal"]
    assert (loyal.kind, loyal.label, loyal.group, loyal.owner, loyal.tags) == (
        *("rule", "Loyal", "lifecycle", "crm"),
        ("money",),
    )
    assert (loyal.when, loyal.leave_when) == ("orders >= 3", "orders < 2")
    found = catalog.segments["behaviour.c5"]
    assert (found.kind, found.label, found.discovery, found.model_version) == (
        *("discovered", "orders very high", "behaviour"),
        7,
    )
    assert catalog.discovered["behaviour"].inputs == ("orders",)


async def test_without_a_catalog_the_error_says_what_to_look_at(reader: Reading) -> None:
    """The wrong server or the wrong prefix: told apart from an empty segment."""
    for method in ("catalog", "sizes"):
        with pytest.raises(ReadModelError, match=r"segments:catalog .* SEGSTREAM_SEGMENTS_PREFIX"):
            await reader.ask(method)
    with pytest.raises(ReadModelError, match="a worker writes it when it starts"):
        await reader.ask("size", "loyal")
    with pytest.raises(ReadModelError, match="a worker writes it when it starts"):
        await reader.members("loyal")


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"v": "1:x"}, "field v is not .* it is to be an incarnation"),
        ({"v": "1:1"}, "sequence: Field required"),
        ({"v": "1:1", "s:loyal": "since ever"}, "field s:loyal is not .* Invalid JSON"),
        (
            {"v": "1:1", "s:loyal": '{"since": 5, "expires_at": null}'},
            "field s:loyal is not .* since: Value error, a time",
        ),
        ({"v": "1:1", "f:orders": "two"}, "field f:orders is not .* Invalid JSON"),
        ({"v": "1:1", "f:orders": b"\xff"}, "bytes that are not UTF-8"),
    ],
)
async def test_an_answer_that_nobody_of_ours_wrote_is_an_error_with_its_place(
    reader: Reading, place: Place, fields: dict[str, Any], where: str
) -> None:
    """Never a silent nothing, and never what stands there: that may be personal."""
    key = ReadModelKeys(place.prefix).user("7")
    with place.client() as client:
        client.hset(key, mapping=fields)
    with pytest.raises(ReadModelError, match=where) as raised:
        await reader.ask("answer_of", "7")
    assert str(raised.value).startswith(key)
    assert "since ever" not in str(raised.value)


async def test_a_key_of_another_type_is_an_error_that_names_it(reader: Reading, place: Place) -> None:
    """Such as a cache of the campaign engine's own under the same name."""
    with place.client() as client:
        client.set(ReadModelKeys(place.prefix).user("7"), "mine")
    with pytest.raises(ReadModelError, match="holds something else"):
        await reader.ask("segments_of", "7")


async def test_a_catalog_of_a_later_schema_version_asks_for_a_newer_package(
    reader: Reading, place: Place
) -> None:
    """Within a version fields are only added; another version is not guessed at."""
    fields = {"schema_version": "2", "partitions": "4", "definitions_version": "1"}
    with place.client() as client:
        client.hset(ReadModelKeys(place.prefix).catalog, mapping=fields)
    with pytest.raises(ReadModelError, match="schema version 2, and this package knows 1"):
        await reader.ask("catalog")


async def test_what_is_added_later_is_accepted(reader: Reading, writer: Writer, place: Place) -> None:
    """New fields in answers, memberships and the catalog break no reader, and are kept."""
    await writer.write(0, view("7", {"loyal": AT}))
    keys = ReadModelKeys(place.prefix)
    with place.client() as client:
        client.hset(keys.user("7"), "added", "x")
        client.hset(
            keys.user("7"), "s:new", '{"since":"1997-06-11T00:00:00.001Z","expires_at":null,"weight":2}'
        )
        client.hset(keys.catalog, mapping={"added": "y", "segment:later": '{"kind":"lookalike","score":1}'})
    answer = await reader.ask("answer_of", "7")
    assert answer.model_extra == {"added": "x"}
    assert answer.segments["new"].model_extra == {"weight": 2}
    catalog = await reader.ask("catalog")
    assert catalog.model_extra == {"added": "y"}
    assert catalog.segments["later"].kind == "lookalike"


@pytest.mark.parametrize("kind", list(KINDS))
async def test_a_client_that_decodes_replies_serves_as_well(kind: str, place: Place, writer: Writer) -> None:
    """Many programs have such a client already."""
    await writer.write(2, view("é", {"loyal": AT}))
    options = {"decode_responses": True, "cluster": place.cluster, "prefix": place.prefix}
    found = KINDS[kind](place.urls[0], **options)
    try:
        assert (await found.ask("answer_of", "é")).segments["loyal"].since == SINCE
        assert await found.members("loyal") == [Member("é", SINCE)]
        assert (await found.ask("sizes"))["loyal"] == 1
    finally:
        await found.close()


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("protocol", [2, 3])
async def test_both_versions_of_the_protocol_serve(
    kind: str, protocol: int, place: Place, writer: Writer
) -> None:
    """They give sorted sets and hashes different shapes."""
    await writer.write(2, view("7", {"loyal": AT}))
    found = KINDS[kind](place.urls[0], protocol=protocol, cluster=place.cluster, prefix=place.prefix)
    try:
        assert "loyal" in await found.ask("segments_of", "7")
        assert await found.members("loyal", SINCE) == [Member("7", SINCE)]
        assert await found.ask("size", "loyal") == 1
    finally:
        await found.close()


async def test_a_moment_without_a_zone_is_refused_at_once(reader: Reading) -> None:
    """Nobody can say when it was."""
    with pytest.raises(ValueError, match="time zone"):
        await reader.members("loyal", datetime(1997, 6, 11))  # noqa: DTZ001 - that is the point
