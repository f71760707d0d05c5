"""Names of the keys of the private state."""

from __future__ import annotations

from segstream.errors import SettingsError


class PartitionKeys:
    """The keys of one partition's state: one slot of a cluster, because of the braces.

    Parameters
    ----------
    prefix : str
        Stands before every key; without braces, since the first pair of them decides the slot.
    partition : int

    Examples
    --------
    >>> keys = PartitionKeys("segstream", 3)
    >>> keys.meta, keys.user_prefix + "00042"
    ('segstream:{3}:meta', 'segstream:{3}:user:00042')
    """

    def __init__(self, prefix: str, partition: int) -> None:
        base = f"{checked(prefix)}:{{{partition}}}:"
        self.meta, self.timers, self.outbox, self.users = (
            base + "meta",
            base + "timers",
            base + "outbox",
            base + "users",
        )
        self.user_prefix = base + "user:"


def checked(prefix: str) -> str:
    """Return a prefix that keys may have.

    Raises
    ------
    SettingsError
        If it has braces.

    Examples
    --------
    >>> checked("a{b}")
    Traceback (most recent call last):
        ...
    segstream.errors.SettingsError: a prefix of keys in Redis may not have braces: 'a{b}'; correct ...
    """
    if "{" in prefix or "}" in prefix:
        raise SettingsError(
            f"a prefix of keys in Redis may not have braces: {prefix!r}; correct SEGSTREAM_REDIS_PREFIX or "
            "SEGSTREAM_SEGMENTS_PREFIX"
        )
    return prefix
