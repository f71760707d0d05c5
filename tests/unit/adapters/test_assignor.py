"""Who owns which partition numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata
from hypothesis import given
from hypothesis import strategies as st

from segstream.adapters.kafka.assignor import Claim, NumberAssignor, share

MEMBERS = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=8, unique=True)
CLAIMS = st.builds(Claim, st.integers(0, 5), st.frozensets(st.integers(-2, 40), max_size=20))
GROUPS = st.dictionaries(st.sampled_from("abcdefgh"), CLAIMS, min_size=1, max_size=8)
COUNTS = st.integers(0, 32)
TOPICS = ("events", "crm", "surveys")


class Cluster:
    """Topics with their number of partitions."""

    def __init__(self, **topics: int) -> None:
        self._topics = topics

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        """Return the partitions as aiokafka's cluster does: None for a topic it does not know."""
        return set(range(self._topics[topic])) if topic in self._topics else None


def divide(
    cluster: Cluster, assignors: Mapping[str, NumberAssignor], subscriptions: Mapping[str, list[str]]
) -> dict[str, dict[str, list[int]]]:
    """One round of the group protocol, over the wire format and back; returns topic -> numbers of each member."""
    told = {
        name: ConsumerProtocolMemberMetadata.decode(assignor.metadata(subscriptions[name]).encode())
        for name, assignor in assignors.items()
    }
    result: dict[str, dict[str, list[int]]] = {}
    for name, assignment in NumberAssignor().assign(cluster, told).items():
        received = ConsumerProtocolMemberAssignment.decode(assignment.encode())
        assignors[name].on_assignment(received)
        result[name] = dict(received.assignment)
    return result


def moved(before: Mapping[str, list[int]], after: Mapping[str, list[int]]) -> int:
    """How many numbers changed hands."""
    owner = {number: member for member, numbers in after.items() for number in numbers}
    return sum(owner[number] != member for member, numbers in before.items() for number in numbers)


@given(COUNTS, GROUPS)
def test_every_number_has_one_owner_and_shares_are_even_to_within_one(
    count: int, claims: dict[str, Claim]
) -> None:
    """Whatever members claim, nothing is left out, nothing is owned twice, nobody has two more than another."""
    shares = share(range(count), claims)
    assert sorted(number for owned in shares.values() for number in owned) == list(range(count))
    sizes = [len(owned) for owned in shares.values()]
    assert max(sizes) - min(sizes) <= 1
    assert shares.keys() == claims.keys()


@given(COUNTS, GROUPS, st.randoms())
def test_the_order_of_members_decides_nothing(count: int, claims: dict[str, Claim], random: Any) -> None:
    """The broker lists members in any order; the division depends on their claims alone."""
    shuffled = list(claims.items())
    random.shuffle(shuffled)
    assert share(range(count), dict(shuffled)) == share(range(count), claims)


@given(COUNTS, MEMBERS, MEMBERS)
def test_a_changed_group_moves_the_fewest_numbers_that_balance_allows(
    count: int, before: list[str], after: list[str]
) -> None:
    """Of what remaining members own, only the surplus over their new share moves, whoever comes or goes."""
    old = share(range(count), dict.fromkeys(before, Claim(0, frozenset())))
    staying = {member: old[member] for member in before if member in after}
    new = share(range(count), {member: Claim(1, frozenset(old.get(member, ()))) for member in after})
    quota, left_over = divmod(count, len(after))
    sizes = sorted(map(len, staying.values()), reverse=True)
    surplus = sum(max(0, size - quota - (rank < left_over)) for rank, size in enumerate(sizes))
    assert moved(staying, new) == surplus


@given(COUNTS, MEMBERS)
def test_an_unchanged_group_keeps_everything(count: int, members: list[str]) -> None:
    """A division that was not needed moves nothing."""
    first = share(range(count), dict.fromkeys(members, Claim(0, frozenset())))
    again = share(range(count), {member: Claim(1, frozenset(owned)) for member, owned in first.items()})
    assert again == first


def test_the_later_claim_is_right() -> None:
    """A worker that slept through a division claims what another owns by now: it does not get it back."""
    claims = {"awake": Claim(7, frozenset({0, 1})), "woken": Claim(6, frozenset({0, 2}))}
    assert share(range(4), claims) == {"awake": [0, 1], "woken": [2, 3]}


@given(
    st.dictionaries(st.sampled_from("abcd"), st.lists(st.sampled_from(TOPICS), unique=True), min_size=1),
    st.integers(1, 8),
)
def test_all_topics_of_one_number_go_to_one_member_in_any_mix_of_subscriptions(
    subscriptions: dict[str, list[str]], count: int
) -> None:
    """During a rolling deploy subscriptions differ; a number still has one owner, with all topics it subscribes to."""
    cluster = Cluster(**dict.fromkeys(TOPICS, count))
    assignors = {name: NumberAssignor() for name in subscriptions}
    given_ = divide(cluster, assignors, subscriptions)
    for name, topics in given_.items():
        expected = {
            topic: sorted(assignors[name].numbers) for topic in subscriptions[name] if assignors[name].numbers
        }
        assert {topic: sorted(numbers) for topic, numbers in topics.items()} == expected
    owned = sorted(number for assignor in assignors.values() for number in assignor.numbers)
    assert owned == (list(range(count)) if any(subscriptions.values()) else [])


def test_a_rolling_deploy_that_adds_a_topic_keeps_numbers_where_they_are() -> None:
    """Each restarted worker gets about what its predecessor left, and at the end every number reads both topics."""
    cluster = Cluster(events=6, crm=6)
    assignors = {name: NumberAssignor() for name in ("old1", "old2", "old3")}
    subscriptions = {name: ["events"] for name in assignors}
    divide(cluster, assignors, subscriptions)
    for number in ("1", "2", "3"):
        before = {name: assignor.numbers for name, assignor in assignors.items()}
        left = assignors.pop(f"old{number}").numbers
        assignors[f"new{number}"] = NumberAssignor()
        subscriptions[f"new{number}"] = ["crm", "events"]
        given_ = divide(cluster, assignors, subscriptions)
        assert assignors[f"new{number}"].numbers == left
        assert all(assignors[name].numbers == before[name] for name in assignors if name in before)
    assert all(topics["events"] == topics["crm"] for topics in given_.values())


def test_a_member_whose_topic_does_not_exist_yet_gets_nothing() -> None:
    """It could do nothing with a number; those who can own all of them."""
    assignors = {"early": NumberAssignor(), "ready": NumberAssignor()}
    given_ = divide(Cluster(events=2), assignors, {"early": ["crm"], "ready": ["events"]})
    assert given_ == {"early": {}, "ready": {"events": [0, 1]}}


@given(
    st.one_of(
        st.binary(max_size=30),
        st.sampled_from(
            [b"null", b"[]", b"[" * 100_000, b'{"generation":"x"}', b'{"generation":1,"numbers":[true]}']
        ),
    )
)
def test_a_stranger_in_the_group_claims_nothing(user_data: bytes) -> None:
    """What a member says that is not a claim is ignored, and the others keep what they had."""
    told = {
        "friend": ConsumerProtocolMemberMetadata(0, ["events"], b'{"generation":1,"numbers":[1]}'),
        "stranger": ConsumerProtocolMemberMetadata(0, ["events"], user_data),
    }
    given_ = NumberAssignor().assign(Cluster(events=2), told)
    assert given_["friend"].assignment == [("events", [1])]
    assert given_["stranger"].assignment == [("events", [0])]
