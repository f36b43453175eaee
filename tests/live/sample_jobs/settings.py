"""The project's settings, with the sample jobs."""

from drcenter.settings import *  # noqa: F403
from drcenter.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.live.sample_jobs.apps.SampleJobsConfig"]
