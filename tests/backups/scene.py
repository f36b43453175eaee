"""A small application with a real set of it: a database, a directory, commands that stop and start it."""

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from backups.models import Copy, Level, Plan, Recovery, Set, Source
from backups.recovery import production, restore
from backups.takes import repeating, take
from drcenter.jobs import context as context_module
from drcenter.jobs import work as edge
from drcenter.jobs.models import Job
from drcenter.jobs.work import run_job
from drcenter.secrets import Secret
from drcenter.systems.models import System
from tests.backups.approving import carried_out, requester

BEFORE = {"one.txt": "one", "two.txt": "two"}


@dataclass
class Scene:
    """`log` has one line for every command of the system that ran."""

    system: System
    plan: Plan
    database: Source
    uploads: Source
    identity: Secret
    log: Path
    copy: Copy

    # ------------------------------------------------------------------ what is there

    @property
    def database_path(self) -> Path:
        return Path(self.database.options["path"])

    @property
    def directory(self) -> Path:
        return Path(self.uploads.options["path"])

    def rows(self, path: Path | None = None) -> list[tuple]:
        with closing(sqlite3.connect(path or self.database_path)) as connection:
            return connection.execute("SELECT * FROM orders ORDER BY id").fetchall()

    def files(self, directory: Path | None = None) -> dict[str, str]:
        root = directory or self.directory
        return {
            str(one.relative_to(root)): one.read_text() for one in sorted(root.rglob("*")) if one.is_file()
        }

    def everything(self) -> tuple[list[tuple], dict[str, str]]:
        return self.rows(), self.files()

    def damage(self) -> tuple[list[tuple], dict[str, str]]:
        """Change and lose things; what is there then."""
        with closing(sqlite3.connect(self.database_path)) as connection, connection:
            connection.execute("DELETE FROM orders WHERE id > 40")
            connection.execute("UPDATE orders SET total = 'wrong' WHERE id < 10")
        (self.directory / "one.txt").unlink()
        (self.directory / "two.txt").write_text("changed")
        (self.directory / "new.txt").write_text("of today")
        return self.everything()

    @property
    def said(self) -> list[str]:
        """What the system's commands did, in order."""
        return self.log.read_text().split() if self.log.exists() else []

    # ------------------------------------------------------------------ what is done

    def command(self, word: str, code: int = 0) -> list[str]:
        return ["sh", "-c", f"echo {word} >> '{self.log}'; exit {code}"]

    def commands(self, **changes: list[list[str]]) -> None:
        System.objects.filter(pk=self.system.pk).update(**changes)

    @property
    def typed(self) -> str:
        """What a person types before a restore over production."""
        return f"{self.system.slug}@{self.database.build().host}"

    def over(self, run: bool = True, **changes) -> Recovery:
        """Restore over production."""
        identity = changes.pop("identity", self.identity)
        given = {
            "sources": [],
            "typed_host": self.typed,
            "requested_by": "otto",
            "user": requester(),
        } | changes
        recovery = carried_out(restore.request_production(self.copy, **given), identity)
        return self.ran(recovery) if run else recovery

    def beside(self, run: bool = True, **names: str) -> Recovery:
        chosen = list(self.system.sources.filter(name__in=names))
        recovery = restore.request_beside(
            self.copy, sources=chosen, names=names, requested_by="otto", identity=self.identity
        )
        return self.ran(recovery) if run else recovery

    def ran(self, recovery: Recovery) -> Recovery:
        run_job(recovery.job.pk)
        return Recovery.objects.get(pk=recovery.pk)

    def job(self, recovery: Recovery) -> Job:
        return Job.objects.get(pk=recovery.job_id)

    def part(self, name: str) -> Path:
        """The stored file of the source's part."""
        part = self.copy.set.parts.get(source_name=name)
        return Path(self.copy.destination.options["path"]) / self.copy.set.prefix / part.key


@pytest.fixture
def scene(plan, database, uploads, key, tmp_path, monkeypatch) -> Scene:
    monkeypatch.setattr(context_module, "BEAT_SECONDS", 0.2)
    monkeypatch.setattr(context_module, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(edge._Process, "stops", False)
    monkeypatch.setattr(production, "PAUSES", ())
    monkeypatch.setattr(repeating, "PAUSES", (0.01, 0.02))
    database.options["critical_tables"] = ["orders"]
    database.save()
    plan.level = Level.INTACT
    plan.save()
    wanted = take.request(plan, requested_by="otto")
    run_job(wanted.job.pk)
    taken = Set.objects.get(pk=wanted.pk)
    assert taken.state == Set.State.COMPLETE, taken.message
    made = Scene(
        plan.system, plan, database, uploads, Secret(key.identity), tmp_path / "commands.log", taken.copies.get()
    )  # fmt: skip
    made.commands(
        pause_command=[made.command("stop-web"), made.command("stop-workers")],
        resume_command=[made.command("start-workers"), made.command("start-web")],
        after_restore_command=[made.command("clear-cache")],
    )
    return made


def flip(path: Path) -> None:
    """Flip one bit in the middle of a file."""
    os.chmod(path, 0o600)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
