"""Who is in a consumer group, asked from outside."""

from __future__ import annotations

from aiokafka.errors import for_code

from segstream.adapters.kafka.client import KafkaSettings
from segstream.adapters.kafka.errors import kafka_errors
from segstream.adapters.kafka.survey import administrator


async def members_of(settings: KafkaSettings, group: str) -> list[str]:
    """Return the members of a consumer group, each as its id (which begins with what it calls itself) and host.

    Raises
    ------
    ServerError
        Kafka does not answer, or refuses.
    """
    with kafka_errors(f"ask who is in the group {group}"):
        async with administrator(settings) as admin:
            (answer,) = await admin.describe_consumer_groups([group])
        found: list[str] = []
        for described in answer.to_object()["groups"]:
            if described["error_code"]:
                raise for_code(described["error_code"])(group)
            found += [
                f"{member['member_id']} on {member['client_host'].lstrip('/')}"
                for member in described["members"]
            ]
        return sorted(found)
