"""Redis: partitions' private state, the public answers, the versions of definitions and models.

connection   one client for one server or cluster, and the way from a key to its node
durability   what a server can be asked to wait for before a write counts
errors       redis-py's exceptions as ours
state        ``StateStore``      one partition's state; changed by one script, fenced
read_model   ``ReadModel``       what campaign engines read
definitions  ``DefinitionsLog``  numbered versions of the definitions
models       ``ModelStore``      snapshots and learning states

Everything written goes through a Lua script (``lua/``), so it is applied wholly or not at all. A script's reply
begins with ``ok``, ``fenced`` or ``lost``.
"""
