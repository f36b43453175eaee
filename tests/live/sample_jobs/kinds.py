"""The kinds. A job's subject is a number by which its processes are found again."""

import sys
import time

from drcenter.jobs.context import JobContext
from drcenter.jobs.models import Job, Line
from drcenter.jobs.registry import register_kind
from drcenter.process import Command, start


def register() -> None:
    for name, work in {
        "test.quick": quick, "test.tool": tool, "test.stubborn": stubborn, "test.exit": leave,
    }.items():  # fmt: skip
        register_kind(name, work, ended=ended)
    register_kind("test.short", quick, cluster="short", ended=ended)


def ended(job: Job) -> None:
    Line.objects.create(job=job, text=f"ended: {job.state}")


def quick(context: JobContext, subject: int) -> None:
    context.log("done")


def tool(context: JobContext, subject: int) -> None:
    """A tool with a helper of its own, as a dump has: both sleep for longer than any test."""
    script = f"sleep {subject}.25 & exec sleep {subject}.5"
    with start(Command(("sh", "-c", script)), children=context.children) as child:
        context.log("started")
        child.stdout.read()
        child.wait()
        context.check()


def stubborn(context: JobContext, subject: int) -> None:
    """Never looks whether it should stop."""
    time.sleep(subject)


def leave(context: JobContext, subject: int) -> None:
    sys.exit(3)
