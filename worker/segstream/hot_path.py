"""What keeps a worker's flows at work: membership, fetching, what is done once a second, and how it is watched.

The other half of the composition root; importing it opens nothing either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from segstream.adapters.agreed_time import AgreedTime
from segstream.adapters.census_taker import CensusTaker
from segstream.adapters.fetcher import Fetcher
from segstream.adapters.health import CHECK_REDIS, Health
from segstream.adapters.holdings import Holdings
from segstream.adapters.kafka.consumer import GroupSettings, heartbeat_ms, make_consumer
from segstream.adapters.kafka.ends import LogEnds
from segstream.adapters.kafka.producer import make_producer
from segstream.adapters.log_watch import LogWatch
from segstream.adapters.membership import Membership
from segstream.adapters.metrics.collector import WorkerParts
from segstream.adapters.metrics.lag import LagMeter
from segstream.adapters.offset_committer import OffsetCommitter
from segstream.adapters.redis.census import RedisCensus
from segstream.adapters.rivals import Rivals
from segstream.adapters.sample_sender import SampleSender
from segstream.adapters.service import RELEASE_SHARE, SegmentationService
from segstream.adapters.steps import Steps
from segstream.adapters.vitals import Vitals
from segstream.core.time import NEVER
from segstream.runner import Pace
from segstream.tally import wall_clock

if TYPE_CHECKING:
    from segstream.app import Application
    from segstream.flow import Flow


class HotPath:
    """The parts that keep a worker's flows at work, and those that watch them.

    Parameters
    ----------
    application : Application
    """

    def __init__(self, application: Application) -> None:
        settings = application.settings
        self._application, self._drain_timeout = application, settings.drain_timeout / 1000
        replay = settings.clock == "event"
        self._vitals, self._holdings = Vitals(), Holdings()
        self._rivals = Rivals(settings.instance_id)
        self._membership = self._make_membership()
        self._fetcher = Fetcher(self._holdings, settings.batch)
        self._log_ends = LogEnds(application.kafka)
        self._now = AgreedTime(wall_clock)
        self._log_watch = LogWatch(
            self._holdings,
            self._log_ends,
            self._vitals,
            application.topics.read,
            replay=replay,
            now=self._now,
        )
        self._samples = SampleSender(
            self._holdings,
            lambda: make_producer(application.kafka, "samples"),
            application.recipes,
            settings.topic_samples,
        )
        self._redis = RedisCensus(application.redis, settings.redis_prefix)
        self._census = CensusTaker(self._holdings, self._redis, self._now)
        self._steps = Steps(
            {
                "look_for_rebuilds": application.rebuild_watch.look,
                "look_for_versions": self._renew,
                CHECK_REDIS: self._check_redis,
                "look_at_ends": self._log_watch.look,
                "acknowledge": self._committer.commit,
                "send_samples": self._samples.send,
                "count_users": self._census.count,
            }
        )
        self.health = Health(
            self._holdings, self._fetcher, self._vitals, self._steps, application.library, self._rivals
        )

    def _make_membership(self) -> Membership:
        application, settings = self._application, self._application.settings
        group = GroupSettings(
            group=settings.group,
            instance=settings.instance_id,
            session_timeout_ms=settings.session_timeout,
            heartbeat_ms=heartbeat_ms(settings.session_timeout),
        )
        self._committer = OffsetCommitter(self._holdings)
        return Membership(
            self._holdings,
            self._committer,
            self._vitals,
            application.tally,
            self._rivals,
            make_consumer=lambda listener: make_consumer(
                application.kafka, group, application.topics.read, listener
            ),
            make_flow=self._make_flow,
            partitions=lambda: application.partitions,
            pace=Pace(
                batch=settings.batch,
                publish_interval=settings.publish_interval / 1000,
                sweep_rate=settings.sweep_rate,
            ),
            inbox_bytes=settings.inbox_mb << 20,
            rerouted=settings.topic_rerouted,
            start_from=settings.start_from,
            release_seconds=self._drain_timeout * RELEASE_SHARE,
        )

    def _make_flow(self, number: int, owned: int) -> Flow:
        flow = self._application.make_flow(number, owned)
        flow.partition.latest_arrival = self._latest_arrival
        return flow

    def _latest_arrival(self) -> int:
        """Return the latest arrival to be believed; any while the time is not known, and in replays."""
        settings, now = self._application.settings, self._now()
        return now + settings.max_clock_skew if now and settings.clock == "arrival" else NEVER

    async def _renew(self) -> None:
        """Look for new definitions and snapshots, and let the runners adopt them."""
        if await self._application.refresh():
            for runner in self._holdings.runners.values():
                runner.poke()

    async def _check_redis(self) -> None:
        self._now.heard(await self._redis.check_writable())

    def service(self) -> SegmentationService:
        """Return the service that runs it."""
        return SegmentationService(
            prepare=(self._application.prepare, self._application.refresh, self._samples.start),
            holdings=self._holdings,
            membership=self._membership,
            fetcher=self._fetcher,
            steps=self._steps,
            close=(self._samples.stop, self._log_ends.close),
            vitals=self._vitals,
            drain_timeout=self._drain_timeout,
        )

    def parts(self) -> WorkerParts:
        """Return what its metrics are made of."""
        application = self._application
        return WorkerParts(
            holdings=self._holdings,
            fetcher=self._fetcher,
            tally=application.tally,
            vitals=self._vitals,
            health=self.health,
            library=application.library,
            librarian=application.librarian,
            steps=self._steps,
            lag=LagMeter(self._holdings, self._fetcher, self._log_watch, self._now),
            census=self._census,
        )
