"""`manage.py run` with real workers, killed in every way there is."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from drcenter import process_tree
from drcenter.jobs.enqueue import enqueue
from drcenter.jobs.models import Job, Line, Pulse, State
from drcenter.jobs.reap import cancel
from tests.live.running import Running, tools, wait_for
from tests.live.sample_jobs import kinds

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def running(tmp_path):
    kinds.register()
    with Running(tmp_path) as running:
        yield running


@pytest.fixture
def subject():
    """A number that no other test's tools carry."""
    return 100_000 + time.monotonic_ns() // 1000 % 800_000


def ask(kind: str, subject: int, target: str = "") -> Job:
    return enqueue(kind, subject, target=target or f"target:{subject}", title=f"{kind} {subject}")


def wait_for_state(job: Job, state: State, seconds: float = 25) -> Job:
    def reached() -> bool:
        job.refresh_from_db()
        return job.state == state

    wait_for(reached, seconds, f"{job} {state}, it is {job.state}: {job.message}")
    return job


def ends(job: Job) -> list[str]:
    return list(Line.objects.filter(job=job, text__startswith="ended").values_list("text", flat=True))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answer(address: str, path: str) -> int:
    """The status of a page; 0 while nobody listens."""
    try:
        with urlopen(f"http://{address}{path}", timeout=5) as response:
            return response.status
    except HTTPError as error:
        error.close()
        return error.code
    except OSError:
        return 0


def cluster_of(process: int) -> str:
    words = Path(f"/proc/{process}/cmdline").read_bytes().decode().split("\0")
    return words[words.index("work") + 1] if "work" in words else ""


def gone(running: Running, subject: int) -> bool:
    return not running.everything() and not tools(subject)


class TestStop:
    def test_running_jobs_end_as_cancelled_and_waiting_ones_run_at_the_next_start(self, running, subject):
        running.start()
        busy = [ask("test.tool", subject + number) for number in range(2)]
        waiting = [ask("test.quick", subject + number) for number in range(2, 8)]
        same_target = ask("test.quick", subject + 9, target=f"target:{subject}")
        for job in busy:
            wait_for(lambda job=job: len(tools(job.subject)) == 2, what="tools run")
        began = time.monotonic()
        assert running.stop() == 0
        assert time.monotonic() - began < 8
        assert running.everything() == []
        for job in busy:
            assert not tools(job.subject)
            wait_for_state(job, State.CANCELLED, 0.1)
            assert job.message == "The workers were stopped while it ran."
            assert ends(job) == ["ended: cancelled"]
        for job in (*waiting, same_target):
            wait_for_state(job, State.QUEUED, 0.1)
        running.start()
        for job in (*waiting, same_target):
            wait_for_state(job, State.SUCCEEDED, 40)
        assert running.stop() == 0

    def test_a_second_signal_kills_at_once(self, running, subject):
        running.start()
        job = ask("test.stubborn", 300)
        wait_for_state(job, State.RUNNING)
        os.kill(running.keeper, signal.SIGINT)
        time.sleep(1)
        began = time.monotonic()
        assert running.stop(signal.SIGINT) == 1
        assert time.monotonic() - began < 3
        assert gone(running, subject)

    def test_a_second_run_on_the_same_state_directory_is_refused(self, running):
        running.start()
        result = subprocess.run(
            running.command("run", "--no-web", "--skip-checks"), env=running.environment,
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        assert result.returncode == 1
        assert "uses this state directory already" in result.stderr


class TestStart:
    def refusal(self, running, *words, **environment):
        result = subprocess.run(
            running.command("run", "--skip-checks", *words), env=running.environment | environment,
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        assert result.returncode == 1
        return result.stderr

    def test_the_panel_answers_and_gets_ready(self, running):
        address = f"127.0.0.1:{free_port()}"
        running.start("--bind", address)
        assert f"runs at http://{address}" in running.output
        wait_for(lambda: answer(address, "/healthz") == 200)
        wait_for(lambda: answer(address, "/readyz") == 200)
        for process in process_tree.descendants(running.keeper):
            words = Path(f"/proc/{process}/cmdline").read_bytes()
            if b"web" in words.split(b"\0"):
                os.kill(process, signal.SIGKILL)
        wait_for(lambda: "web was ended by signal SIGKILL; it is started again in 1 s" in running.output)
        wait_for(lambda: answer(address, "/healthz") == 200)
        assert running.stop() == 0

    def test_an_address_in_use_is_named(self, running):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            assert f"cannot listen on {address}: Address already in use" in self.refusal(
                running, "--bind", address
            )

    def test_a_database_that_is_not_up_to_date_is_refused(self, running, tmp_path):
        refusal = self.refusal(
            running, "--no-web", DRC_DATABASE_URL=f"sqlite:///{tmp_path / 'empty.sqlite3'}"
        )
        assert "manage.py migrate" in refusal

    def test_a_database_that_is_away_is_refused(self, running):
        url = f"postgresql://nobody:hunter2@127.0.0.1:{free_port()}/x"
        refusal = self.refusal(running, "--no-web", DRC_DATABASE_URL=url)
        assert "database cannot be reached" in refusal
        assert "hunter2" not in refusal


class TestKilled:
    def test_when_the_outermost_process_is_killed_the_rest_stops_in_order(self, running, subject):
        running.start()
        job = ask("test.tool", subject)
        wait_for(lambda: len(tools(subject)) == 2, what="tools run")
        os.kill(running.keeper, signal.SIGKILL)
        wait_for(lambda: gone(running, subject), 10, "everything is gone")
        wait_for_state(job, State.CANCELLED, 0.1)

    def test_when_the_supervisor_is_killed_nothing_survives(self, running, subject):
        running.start()
        ask("test.tool", subject)
        wait_for(lambda: len(tools(subject)) == 2, what="tools run")
        os.kill(running.supervisor, signal.SIGKILL)
        assert running.process.wait(10) == 1
        assert gone(running, subject)

    def test_when_both_are_killed_at_once_nothing_of_the_product_survives(self, running, subject):
        running.start()
        ask("test.tool", subject)
        wait_for(lambda: len(tools(subject)) == 2, what="tools run")
        supervisor = running.supervisor
        os.kill(supervisor, signal.SIGSTOP)
        os.kill(running.keeper, signal.SIGKILL)
        os.kill(supervisor, signal.SIGKILL)
        wait_for(lambda: not running.everything(), 5, "everything is gone")
        # The tool itself ends with its worker; its helper lost all who knew of it, which only a container,
        # or systemd's control group, still knows.
        wait_for(lambda: len(tools(subject)) == 1, 5, "the tool is gone")
        process_tree.kill_all(tools(subject))

    def test_a_worker_that_is_killed_loses_its_job_and_the_next_one_on_its_target_runs(
        self, running, subject
    ):
        running.start()
        job = ask("test.tool", subject)
        wait_for(lambda: len(tools(subject)) == 2, what="tools run")
        following = ask("test.quick", subject + 1, target=job.target)
        job.refresh_from_db()
        os.kill(int(job.worker.rpartition(":")[2]), signal.SIGKILL)
        wait_for_state(job, State.LOST)
        assert "no sign of life" in job.message
        wait_for(lambda: not tools(subject), 3, "its tools are gone")
        wait_for_state(following, State.SUCCEEDED)
        assert ends(job) == ["ended: lost"]
        assert running.stop() == 0

    def test_a_cluster_whose_sentinel_dies_is_started_again(self, running, subject):
        running.start()
        job = ask("test.tool", subject)
        wait_for(lambda: len(tools(subject)) == 2, what="tools run")
        job.refresh_from_db()
        worker = int(job.worker.rpartition(":")[2])
        os.kill(process_tree.parents()[worker], signal.SIGKILL)
        wait_for(lambda: "long failed with exit code 1; it is started again in 1 s" in running.output, 10)
        wait_for_state(job, State.LOST)
        wait_for(lambda: not tools(subject), 3, "its tools are gone")
        wait_for_state(ask("test.quick", subject + 1), State.SUCCEEDED)
        assert running.stop() == 0

    def test_a_cluster_that_hangs_is_started_again(self, running, subject):
        running.start()
        wait_for_state(ask("test.short", subject), State.SUCCEEDED)
        main = next(one for one in running.everything() if cluster_of(one) == "short")
        for process in process_tree.descendants(main)[1:]:
            os.kill(process, signal.SIGSTOP)
        wait_for(lambda: "nothing comes out of the queue any more" in running.output, 30)
        wait_for_state(ask("test.short", subject + 1), State.SUCCEEDED)
        assert running.stop() == 0


class TestWork:
    def test_cancel_kills_the_tools_of_a_running_job(self, running, subject):
        running.start()
        job = ask("test.tool", subject)
        wait_for(lambda: len(tools(subject)) == 2, what="tools run")
        assert cancel(job, "anna")
        wait_for(lambda: not tools(subject), 5, "its tools are gone")
        wait_for_state(job, State.CANCELLED, 3)
        assert (job.message, job.cancel_requested_by) == ("Stopped on request.", "anna")
        assert running.stop() == 0

    def test_a_job_that_exits_fails_once_and_pulses_come_back_through_both_queues(self, running, subject):
        running.start()
        job = wait_for_state(ask("test.exit", subject), State.FAILED)
        assert "SystemExit" in job.message
        wait_for_state(ask("test.short", subject), State.SUCCEEDED)
        for cluster in ("short", "long"):
            wait_for(lambda c=cluster: Pulse.objects.filter(cluster=c, seen_at__isnull=False).exists())
        job.refresh_from_db()
        assert job.attempt == 1
        assert running.stop() == 0
