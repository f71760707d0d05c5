"""Which worker owns which partition numbers.

aiokafka's own assignors hand out *partitions*, so the same number of two topics may go to two workers, who would
then fence each other for ever. This one hands out *numbers*: all topics' partitions of one number go to one worker.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

import orjson
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata

_PROTOCOL_VERSION = 0


class Claim(NamedTuple):
    """What a member says it owned when the group was last divided.

    Parameters
    ----------
    generation : int
        Counts the divisions; the later one is right where two claims conflict.
    numbers : frozenset of int
        Partition numbers.
    """

    generation: int
    numbers: frozenset[int]


NO_CLAIM = Claim(0, frozenset())


def share(numbers: Collection[int], claims: Mapping[str, Claim]) -> dict[str, list[int]]:
    """Divide ``numbers`` among the members, evenly to within one, moving as few as that allows.

    Parameters
    ----------
    numbers : collection of int
        Partition numbers to own.
    claims : mapping of str to Claim
        Each member's claim, by member id.

    Returns
    -------
    dict of str to list of int
        Each member's numbers, ascending; every number exactly once. Depends on nothing but the arguments' values.

    Examples
    --------
    >>> share(range(5), {"a": NO_CLAIM, "b": NO_CLAIM})
    {'a': [0, 2, 4], 'b': [1, 3]}
    >>> share(
    ...     range(5), {"a": Claim(1, frozenset({0, 2, 4})), "b": Claim(1, frozenset({1, 3})), "c": NO_CLAIM}
    ... )
    {'a': [0, 2], 'b': [1, 3], 'c': [4]}
    """
    if not claims:
        return {}
    kept = _uncontested(numbers, claims)
    # Who holds most may keep one more: then nothing moves but what balance demands.
    ranking = sorted(claims, key=lambda member: (-len(kept[member]), member))
    quota, left_over = divmod(len(numbers), len(claims))
    room = {member: quota + (rank < left_over) for rank, member in enumerate(ranking)}
    shares = {member: kept[member][: room[member]] for member in ranking}
    taken = {number for owned in shares.values() for number in owned}
    for number in sorted(set(numbers) - taken):
        with_room = (member for member in ranking if len(shares[member]) < room[member])
        shares[min(with_room, key=lambda member: len(shares[member]))].append(number)
    return {member: sorted(shares[member]) for member in sorted(shares)}


def _uncontested(numbers: Collection[int], claims: Mapping[str, Claim]) -> dict[str, list[int]]:
    """Return for each member the numbers it rightly claims, ascending."""
    owners: dict[int, str] = {}
    # The latest claim is written last and stays; of two equally late ones (never seen) the first member's.
    for member in sorted(sorted(claims, reverse=True), key=lambda member: claims[member].generation):
        owners.update(dict.fromkeys(claims[member].numbers, member))
    kept: dict[str, list[int]] = {member: [] for member in claims}
    for number in sorted(set(numbers) & owners.keys()):
        kept[owners[number]].append(number)
    return kept


class NumberAssignor(AbstractPartitionAssignor):  # type: ignore[misc]  # aiokafka ships no types
    """The assignor of one consumer: it remembers that consumer's numbers and tells them at the next division.

    aiokafka asks for a class with class methods and would keep this memory for the whole process; it calls an
    object just as well, so give each consumer its own. The generation is our own count, sent along with each
    division: aiokafka tells an assignor nothing of Kafka's.

    While a rolling deploy adds a topic, subscriptions differ. A topic that a number's owner does not subscribe to
    waits, in that number, until a worker that does owns it.

    Examples
    --------
    >>> assignor = NumberAssignor()
    >>> assignor.numbers
    frozenset()
    """

    name = "segstream"

    def __init__(self) -> None:
        self._claim = NO_CLAIM

    @property
    def numbers(self) -> frozenset[int]:
        """Partition numbers given to this member by the last division."""
        return self._claim.numbers

    def metadata(self, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
        """Return what this member tells the leader: its topics and what it owned."""
        told = {"generation": self._claim.generation, "numbers": sorted(self._claim.numbers)}
        return ConsumerProtocolMemberMetadata(_PROTOCOL_VERSION, sorted(topics), orjson.dumps(told))

    def assign(
        self, cluster: Any, members: Mapping[str, ConsumerProtocolMemberMetadata]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        """Divide the numbers; called on the leader of the group.

        Parameters
        ----------
        cluster : aiokafka.cluster.ClusterMetadata
            Knows the topics' partitions.
        members : mapping of str to ConsumerProtocolMemberMetadata
            What each member told.

        Returns
        -------
        dict of str to ConsumerProtocolMemberAssignment
            One for each member, also for those that get nothing.
        """
        topics = {topic for member in members.values() for topic in member.subscription}
        partitions = {topic: cluster.partitions_for_topic(topic) or set() for topic in topics}
        claims = {name: _read_claim(member.user_data) for name, member in members.items()}
        latest = max((claim.generation for claim in claims.values()), default=0)
        generation = orjson.dumps({"generation": 1 + latest})
        # A member of which no topic exists (yet) could do nothing with a number.
        able = {
            name: claims[name]
            for name, member in members.items()
            if any(map(partitions.get, member.subscription))
        }
        shares = share(set().union(*partitions.values()), able)
        assignments = {}
        for name, member in members.items():
            owned = shares.get(name, [])
            topic_numbers = {
                topic: [n for n in owned if n in partitions[topic]] for topic in sorted(member.subscription)
            }
            given = [(topic, numbers) for topic, numbers in topic_numbers.items() if numbers]
            assignments[name] = ConsumerProtocolMemberAssignment(_PROTOCOL_VERSION, given, generation)
        return assignments

    def on_assignment(self, assignment: ConsumerProtocolMemberAssignment) -> None:
        """Remember what this member was given."""
        numbers = frozenset(number for _, given in assignment.assignment for number in given)
        self._claim = Claim(_read_claim(assignment.user_data).generation, numbers)


def _read_claim(user_data: bytes | None) -> Claim:
    """Read a claim; what is not one claims nothing, as another program may have joined the group by mistake."""
    try:
        told = orjson.loads(user_data or b"")
    except orjson.JSONDecodeError:
        return NO_CLAIM
    match told:
        case {"generation": int(generation), "numbers": [*numbers]} if all(
            type(number) is int for number in numbers
        ):
            return Claim(generation, frozenset(numbers))
        case {"generation": int(generation)}:
            return Claim(generation, frozenset())
    return NO_CLAIM
