"""The production code in a small deployment where anything may go wrong at any await, decided by a seed.

What runs is what is shipped: ``Runner``, ``Flow``, ``Partition``, ``upkeep``, ``Rebuilder``, ``Inbox``, the assignor, and the
twins of Redis and Kafka that are held to the same contract tests as the real ones. Each worker is an event loop of its
own; every call to a server waits until the schedule says what becomes of it. Only what needs aiokafka's consumer
(``Membership``, ``Fetcher``, ``LogWatch``) is written anew, in ``worker``.

Faults: a call lost, done without its reply, delayed, sent twice, or landing long after its sender has given up; a worker
killed with calls under way, or frozen until it wakes as a zombie; a session that ends while its worker lives; a rebalance
at any moment, with members that come late; a Redis node that fails over, without its last writes; a transaction that the
coordinator gives up.

What it cannot show:

- a Redis primary that goes on taking writes beside its successor; a node emptied, or brought back from an old dump (a
  failover loses 12 writes at most); memory that is full, keys that expire;
- a broker that loses what it has acknowledged, and a transaction whose records arrive one by one;
- ``segstream reset``, the catalog, new versions and models looked for while running; requests to make the read model anew
  are kept by the simulation itself;
- models, several topics, replays, clocks that are stepped;
- whatever needs sockets: ``tests/integration`` and ``tests/faults`` have real servers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from typing import Final, NamedTuple

from segstream import outbox, rebuilding, upkeep
from tests.simulation.choices import Choices, Weights
from tests.simulation.histories import HISTORIES, MOST_RECORDS, PARTITIONS, history
from tests.simulation.loop import Loop
from tests.simulation.redis import Node
from tests.simulation.verdict import Broken, judge
from tests.simulation.wire import Call
from tests.simulation.worker import Parts, Worker, describe
from tests.simulation.world import World

SHORTEST: Final = 15
LONGEST: Final = 100
"""Decisions before the faults end."""

PATIENCE: Final = 3_000
"""Steps within which a deployment must come to rest once nothing goes wrong any more: it takes some 80."""

MOST_WORKERS: Final = 3
MOST_BIRTHS: Final = 6

LAND_LATE: Final = 2
"""One in so many requests whose sender has given up still takes effect, and at any moment."""


class Turn(IntEnum):
    """What may come next."""

    GO_ON = 0
    ANSWER = 1
    ARRIVE = 2
    LOOK = 3
    TIME = 4
    HEAR = 5
    FAIL = 6
    LAND = 7
    REPEAT = 8
    EXPEL = 9
    CLOSE = 10
    START = 11
    ABORT = 12
    FREEZE = 13
    THAW = 14
    FAIL_OVER = 15
    CRASH = 16


SHARES: Final = {
    Turn.GO_ON: 40,
    Turn.ANSWER: 20,
    Turn.ARRIVE: 6,
    Turn.LOOK: 6,
    Turn.TIME: 4,
    Turn.HEAR: 5,
    Turn.FAIL: 6,
    Turn.LAND: 4,
    Turn.REPEAT: 2,
    Turn.EXPEL: 2.5,
    Turn.CLOSE: 1.5,
    Turn.START: 1.5,
    Turn.ABORT: 2,
    Turn.FREEZE: 3,
    Turn.THAW: 3,
    Turn.FAIL_OVER: 3,
    Turn.CRASH: 2.5,
}
"""How often each is chosen, of about 110."""

FAULTS: Final = (Turn.FAIL, Turn.REPEAT, Turn.EXPEL, Turn.ABORT, Turn.FREEZE, Turn.FAIL_OVER, Turn.CRASH)
"""Each schedule leaves some of these out, so that the others get to things they would rarely reach together."""


def _weights(left_out: int) -> Weights:
    out = {fault for place, fault in enumerate(FAULTS) if left_out >> place & 1}
    return Weights([0 if turn in out else SHARES[turn] for turn in Turn])


_WEIGHTS: Final = [_weights(left_out) for left_out in range(1 << len(FAULTS))]


_NAMES: Final = [f"_{turn.name.lower()}" for turn in Turn]
"""Of the methods that take them."""


class Outcome(NamedTuple):
    """What became of a schedule.

    Parameters
    ----------
    broken : str
        The promise that was broken, and how; empty if all were kept.
    choices : list of int
        The decisions.
    turns : int
        Steps it took, with those after the faults ended.
    incarnations : int
        How many were begun because Redis had forgotten.
    """

    broken: str
    choices: list[int]
    turns: int
    incarnations: int


@contextmanager
def small_slices() -> Iterator[None]:
    """Let sweeps go user by user, and let a batch tell in several parcels: what is two steps can be torn apart."""
    small = [(vars(upkeep), "SLICE", 2), (vars(rebuilding), "SLICE", 2), (vars(outbox), "ENTRY_BYTES", 3_000)]
    kept = [names[name] for names, name, _ in small]
    for names, name, value in small:
        names[name] = value
    try:
        yield
    finally:
        for (names, name, _), value in zip(small, kept, strict=True):
            names[name] = value


def run(
    seed: int | None = None,
    given: Sequence[int] = (),
    *,
    parts: Parts | None = None,
    trace: list[str] | None = None,
) -> Outcome:
    """Run one schedule, and judge it.

    Parameters
    ----------
    seed : int, optional
        Decides everything.
    given : sequence of int, optional
        Instead: the decisions.
    parts : Parts, optional
        What workers are made of.
    trace : list of str, optional
        Gets what happens, in words.
    """
    simulation = Simulation(Choices(seed, given), parts or Parts(), trace)
    try:
        simulation.run()
        judge(simulation.world)
        broken = ""
    except Broken as found:
        broken = str(found)
    finally:
        simulation.end()
    return Outcome(
        broken, simulation.choices.made, simulation.turns, sum(simulation.world.incarnations) - PARTITIONS
    )


class Simulation:
    """One schedule.

    Parameters
    ----------
    choices : Choices
    parts : Parts
    trace : list of str, optional

    Attributes
    ----------
    world : World
    workers : list of Worker
        All that live.
    turns : int
        Steps so far.
    """

    def __init__(self, choices: Choices, parts: Parts, trace: list[str] | None) -> None:
        self.choices, self._parts, self._trace = choices, parts, trace
        pick = choices.pick
        self._length = SHORTEST + pick(LONGEST - SHORTEST + 1)
        number = pick(HISTORIES)
        # Of ten deployments six keep what is waited for; in five of these nobody needs to make the read model anew.
        kind = pick(10)
        keeps, rebuilds = kind < 6, kind >= 5
        apart = bool(pick(2))
        self._weights = _WEIGHTS[pick(1 << len(FAULTS))]
        self.world = World(history(number), keeps=keeps, apart=apart, trace=trace)
        self._rebuilds = rebuilds
        self.workers: list[Worker] = []
        self._gone: list[Worker] = []
        self._late: list[Call] = []
        self._births = self.turns = 0
        self._tell(
            "history %d, Redis %s what was waited for, users' answers on %s node%s",
            number,
            "keeps" if keeps else "may lose",
            "another" if apart else "the same",
            ", read model made anew after a failover" if rebuilds else "",
        )
        for _ in range(2 + pick(2)):
            self._start()
        self.world.group.expect(self.workers)

    def _tell(self, what: str, *about: object) -> None:
        if self._trace is not None:
            self._trace.append(f"{self.turns:4d} {what % about}")

    # --- the schedule

    def run(self) -> None:
        """Run it: the faults, then the calm after them.

        Raises
        ------
        Broken
        """
        weigh, turn, weights = self.choices.weigh, self._turns(), self._weights
        while self.turns < self._length:
            self._settle()
            self.turns += 1
            if not turn[weigh(weights)]():
                self._go_on()
        try:
            self._calm()
        finally:
            Loop.leave()
            self.check_defects()  # if there is one, the rest follows from it

    def end(self) -> None:
        """Let everything that still runs end."""
        for worker in self.workers:
            worker.kill()
        Loop.leave()

    def _turns(self) -> list[Callable[[], bool]]:
        return [getattr(self, name) for name in _NAMES]

    def _settle(self) -> None:
        """Let every worker run until it waits for a server or for time to pass."""
        ran = True
        while ran:  # what one does may be for another to hear
            ran = False
            for worker in self.workers:
                if worker.loop.ready and not worker.frozen:
                    worker.loop.run_ready()
                    ran = True

    def _calm(self) -> None:
        """End all faults, and wait until nothing is left to do."""
        self._tell("calm: no more faults")
        self._length = self.turns
        for call in self._late:
            if not self.choices.pick(LAND_LATE):
                self._reach_late(call)
        self._late.clear()
        for worker in [*self._gone]:
            self._put_out(worker)
        for worker in self.workers:
            self._melt(worker)
        until = self.turns + PATIENCE
        while self.turns < until:
            self._settle()
            self.turns += 1
            if not self._go_on(calm=True):
                return
        raise Broken(f"no rest within {PATIENCE} steps after the last fault")

    # --- turns: each returns whether there was anything to do

    def _go_on(self, *, calm: bool = False) -> bool:
        """Do what comes next if nothing goes wrong; return whether anything is left to do."""
        for call in self.world.wire.calls:
            if not call.process.frozen:
                return self._answer_one(call)
        if self._hear_one() or self._close():
            return True
        if all(worker.frozen for worker in self.workers):
            return self._start() or self._thaw()
        most = MOST_RECORDS if calm else 1
        if any(self._arrive_at(number, most) for number in range(PARTITIONS)) or self._look_all():
            return True
        if calm and self._at_rest():
            return False
        if not self._time() and calm:
            raise Broken("nothing moves any more, and not all is done")
        return True

    def _at_rest(self) -> bool:
        owners = [number for worker in self.workers for number in worker.runners]
        return sorted(owners) == list(range(PARTITIONS)) and all(worker.at_rest() for worker in self.workers)

    def _pick_call(self) -> Call | None:
        # Those of frozen workers wait for `_land`: it takes a while until they contradict anybody.
        calls = [each for each in self.world.wire.calls if not each.process.frozen]
        return calls[self.choices.pick(len(calls))] if calls else None

    def _answer(self) -> bool:
        call = self._pick_call()
        return call is not None and self._answer_one(call)

    def _answer_one(self, call: Call) -> bool:
        self.world.wire.calls.remove(call)
        if call.written is None:
            if not call.reach():
                self._tell("%s: refused", call)
                return True
            self._tell("%s: done", call)
        else:
            self._tell("%s: durable, reply arrives", call)
        call.answer()
        return True

    def _fail(self) -> bool:
        """Let a call end badly."""
        call = self._pick_call()
        if call is None:
            return False
        calls, how = self.world.wire.calls, self.choices.pick(6)
        if call.written is not None or how == 0:
            self._tell("%s: %s", call, "lost" if call.written is None else "done, reply lost")
            calls.remove(call)
            call.fail("connection lost")
        elif how == 1:
            calls.remove(call)
            done = call.reach()
            self._tell("%s: %s", call, "done, reply lost" if done else "refused")
            call.fail("connection lost")
        elif how >= 3:
            calls.remove(call)
            self._tell("%s: timed out, still on its way", call)
            call.fail("timed out")
            self._late.append(call)
        elif call.reach():
            self._tell("%s: done, reply delayed", call)
        else:
            self._tell("%s: refused", call)
            calls.remove(call)
        return True

    def _repeat(self) -> bool:
        """Let a request arrive twice: the client has sent it again, and has the second reply."""
        calls = [each for each in self.world.wire.calls if each.repeatable and each.written is None]
        if not calls:
            return False
        call = calls[self.choices.pick(len(calls))]
        self._tell("%s: arrives twice", call)
        if not call.reach():
            self.world.wire.calls.remove(call)
            return True
        call.written = None
        return self._answer_one(call)

    def _land(self) -> bool:
        """Let a request take effect whose sender has given up, or is frozen."""
        stuck = [each for each in self.world.wire.calls if each.process.frozen and each.written is None]
        if not self._late and not stuck:
            return False
        place = self.choices.pick(len(self._late) + len(stuck))
        if place < len(self._late):
            self._reach_late(self._late.pop(place))
            return True
        return self._answer_one(stuck[place - len(self._late)])

    def _reach_late(self, call: Call) -> None:
        if call.written is None:
            self._tell("%s: %s", call, "lands late" if call.reach() else "lands late, refused")

    def _arrive(self) -> bool:
        return self._arrive_at(self.choices.pick(PARTITIONS), 1 + self.choices.pick(3))

    def _arrive_at(self, number: int, most: int) -> bool:
        world = self.world
        there, arrived = len(world.history.records[number]), world.arrived[number]
        if arrived == there:
            return False
        world.arrived[number] = min(there, arrived + most)
        self._tell("partition %d has %d of %d records", number, world.arrived[number], there)
        for worker in self.workers:
            if not worker.frozen:
                worker.fetch(number)
        return True

    def _look(self) -> bool:
        """Let a worker do what it does once a second."""
        worker = self._pick_worker(frozen=False)
        if worker is None:
            return False
        self._tell("%s looks around", worker.name)
        share = self.choices.pick(4)
        worker.look(lambda number: self.world.known_until(number, share))
        return True

    def _look_all(self) -> bool:
        """Let all workers look that would see something new; return whether any does."""
        found = False
        for worker in self.workers:
            if worker.frozen:
                continue
            stale = worker.requested < self.world.requested
            for number in worker.fetching:
                stale = stale or worker.runners[number].known_until < self.world.known_until(number)
            if stale:
                self._tell("%s looks around", worker.name)
                worker.look(self.world.known_until)
                found = True
        return found

    def _time(self) -> bool:
        """Let time pass until somebody wakes up."""
        moments = [
            moment
            for worker in self.workers
            if not worker.frozen and (moment := worker.loop.next_timer()) is not None
        ]
        if not moments:
            return False
        self.world.time = max(self.world.time, min(moments))
        self._tell("%.2f s", self.world.time)
        for worker in self.workers:
            if not worker.frozen:
                worker.loop.fire()
        return True

    # --- membership

    def _pick_worker(self, *, frozen: bool) -> Worker | None:
        found = [worker for worker in self.workers if worker.frozen is frozen]
        return found[self.choices.pick(len(found))] if found else None

    def _hear(self) -> bool:
        found = [worker for worker in self.workers if not worker.frozen and worker.asked]
        if not found:
            return False
        self._tell_to_hear(found[self.choices.pick(len(found))])
        return True

    def _hear_one(self) -> bool:
        for worker in self.workers:
            if not worker.frozen and worker.asked:
                self._tell_to_hear(worker)
                return True
        return False

    def _tell_to_hear(self, worker: Worker) -> None:
        self._tell("%s hears that the partitions are handed out anew", worker.name)
        worker.hear()

    def _expel(self) -> bool:
        """Let a member's session end, though it may live."""
        members = list(self.world.group.members)
        if not members:
            return False
        self._put_out(members[self.choices.pick(len(members))])
        return True

    def _put_out(self, worker: Worker) -> None:
        if worker in self._gone:
            self._gone.remove(worker)
        if worker in self.world.group.members:
            self._tell("the group puts %s out", worker.name)
            self.world.group.expel(worker)

    def _close(self) -> bool:
        """Hand out without the members that cannot give theirs up, if nobody else is waited for."""
        group = self.world.group
        stuck = [worker for worker in group.waiting_for if worker.dead or worker.frozen]
        for worker in [*self._gone]:
            if worker in group.members and worker not in stuck:
                stuck.append(worker)
        if not stuck:
            return False
        for worker in sorted(stuck, key=lambda each: each.name):
            self._put_out(worker)
        return True

    def _start(self) -> bool:
        if len(self.workers) >= MOST_WORKERS or self._births >= MOST_BIRTHS:
            return False
        worker = Worker(self.world, "abcdef"[self._births], self._parts)
        self._births += 1
        self.workers.append(worker)
        self._tell("%s starts", worker.name)
        worker.hear()
        return True

    def _freeze(self) -> bool:
        worker = self._pick_worker(frozen=False)
        if worker is None:
            return False
        self._tell("%s freezes", worker.name)
        worker.frozen = True
        if self.choices.pick(4):
            self._put_out(worker)
        return True

    def _thaw(self) -> bool:
        worker = self._pick_worker(frozen=True)
        if worker is None:
            return False
        self._melt(worker)
        return True

    def _melt(self, worker: Worker) -> None:
        if worker.frozen:
            self._tell("%s wakes", worker.name)
            worker.frozen = False
            worker.loop.fire()

    def _crash(self) -> bool:
        """Kill a worker; what it has just sent is lost, takes effect, or does so later."""
        if not self.workers or (len(self.workers) == 1 and self._births == MOST_BIRTHS):
            return False
        worker = self.workers.pop(self.choices.pick(len(self.workers)))
        self._tell("%s is killed", worker.name)
        self._check_defects(worker)
        calls = [call for call in self.world.wire.calls if call.process is worker]
        for call in calls:
            self.world.wire.calls.remove(call)
            fate = self.choices.pick(3)
            if fate == 1:
                self._reach_late(call)
            elif fate == 2:
                self._late.append(call)
        worker.kill()
        self._gone.append(worker)
        return True

    # --- servers

    def _abort(self) -> bool:
        """Let the coordinator end a transaction for its age: it fences whoever has it."""
        number = self.choices.pick(PARTITIONS)
        self._tell("Kafka gives up the open transaction of partition %d", number)
        self.world.broker.log.init_producer(f"segstream-{number}")
        return True

    def _fail_over(self) -> bool:
        node = self.world.nodes[self.choices.pick(len(self.world.nodes))]
        lost = self.choices.pick(node.losable + 1)
        self._tell("%s fails over and loses its last %d writes", node.name, lost)
        node.fail_over(lost)
        self._break_connections(node)
        if self._rebuilds:
            self.world.requested += 1
        return True

    def _break_connections(self, node: Node) -> None:
        """Fail what waits to be durable on the old primary."""
        for call in [
            each for each in self.world.wire.calls if each.server is node and each.written is not None
        ]:
            self.world.wire.calls.remove(call)
            self._tell("%s: done, connection broken", call)
            call.fail("connection broken")

    # --- the end

    def check_defects(self) -> None:
        """Raise ``Broken`` if anything in a worker was raised that nobody expects."""
        for worker in self.workers:
            self._check_defects(worker)

    @staticmethod
    def _check_defects(worker: Worker) -> None:
        for defect in worker.defects():
            raise Broken(f"{worker.name} died of {describe(defect)}") from defect
