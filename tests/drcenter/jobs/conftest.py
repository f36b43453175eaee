"""Kinds for the tests of jobs: what a job does is handed in by the test."""

import pytest

from drcenter.jobs import registry
from drcenter.jobs.models import Job


@pytest.fixture
def register(monkeypatch):
    """register(work, ended=None, cluster="long"): a kind "test" that is gone after the test."""
    monkeypatch.setattr(registry, "_kinds", dict(registry._kinds))

    def register(work=lambda context, subject: None, ended=None, cluster="long"):
        registry.register_kind("test", work, ended=ended, cluster=cluster)

    return register


@pytest.fixture
def make_job():
    def make(subject=1, **fields):
        given = {
            "kind": "test",
            "title": f"job {subject}",
            "target": f"target:{subject}",
            "requested_by": "anna",
        }
        return Job.objects.create(subject=subject, **given | fields)

    return make
