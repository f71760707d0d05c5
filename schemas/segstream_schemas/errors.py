"""What readers and consumers raise where a server holds something else than the contracts say.

::

    ContractError         either of these
    ├── ReadModelError    Redis holds something else than a worker of this schema version writes
    └── ChangesError      the topic is not there, or a record of it is not a change

Errors of redis-py and aiokafka (a server that is not there, a wrong password) pass through as they are.
"""

from __future__ import annotations


class ContractError(Exception):
    """A server holds something else than the contracts say; the text names the place and what to do."""


class ReadModelError(ContractError):
    """Redis holds something else than a worker of this schema version writes."""


class ChangesError(ContractError):
    """The topic of changes is not there, or a record of it is not a change."""
