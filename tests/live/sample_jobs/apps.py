from datetime import timedelta

from django.apps import AppConfig


class SampleJobsConfig(AppConfig):
    name = "tests.live.sample_jobs"

    def ready(self) -> None:
        from drcenter.jobs import cluster, dispatch, pulse, reap, ticks
        from tests.live.sample_jobs import kinds

        # The clock of the tests: everything as in production, only sooner.
        ticks.EVERY = 1.0
        reap.STALE_AFTER = timedelta(seconds=6)
        dispatch.AGAIN_AFTER = timedelta(seconds=3)
        pulse.EVERY = timedelta(seconds=2)
        pulse.SILENT_AFTER = timedelta(seconds=6)
        cluster.LOOK_EVERY = 1.0
        kinds.register()
