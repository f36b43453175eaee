"""The rules of the house that no tool checks by itself."""

import re
import subprocess
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class

from backups.destinations import destinations
from backups.engines import engines

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("drcenter", "backups", "integrations", "billing_snapshots", "incidents")
SOURCES = sorted(
    path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if "migrations" not in path.parts
)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# What `manage.py run` starts; its tests try them all.
PARTS = {"web", "work", "tick"}
COMMANDS = sorted(name for name, app in get_commands().items() if str(app).partition(".")[0] in PACKAGES)
STARTS_PROCESSES = re.compile(
    r"^\s*(?:import|from) (?:subprocess|multiprocessing)\b|os\.(?:system|popen|spawn\w+|posix_spawn\w*)\(",
    re.MULTILINE,
)
LONGEST = 400
BLOCK = re.compile(r"^```(?:sh|bash|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_files_stay_short() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in SOURCES
        if (lines := path.read_text().count("\n")) >= LONGEST
    }
    assert long == {}


def test_one_module_starts_processes() -> None:
    found = [str(path.relative_to(ROOT)) for path in SOURCES if STARTS_PROCESSES.search(path.read_text())]
    assert found == ["drcenter/process.py"]


def test_one_module_asks_for_rights() -> None:
    found = [str(path.relative_to(ROOT)) for path in SOURCES if ".has_perm(" in path.read_text()]
    assert found == ["drcenter/permissions.py"], "ask permissions.may() or sees()"


def test_no_drawer_for_everything() -> None:
    assert [
        path for path in SOURCES if path.stem in {"utils", "helpers", "services", "manager", "misc", "common"}
    ] == []


@pytest.mark.parametrize(
    ("kind", "name"),
    [*(("engines", name) for name in engines()), *(("destinations", name) for name in destinations())],
)
def test_every_plugin_has_its_page(kind: str, name: str) -> None:
    page = ROOT / "docs" / kind / f"{name}.md"
    assert page.exists(), f"{page.relative_to(ROOT)} is missing"
    assert page.read_text().startswith("# ")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_documented_and_tested(name: str) -> None:
    assert f"manage.py {name}" in (ROOT / "docs" / "commands.md").read_text(), "not in docs/commands.md"
    if name in PARTS:
        return
    tests = [path for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__)]
    called = re.compile(rf"""["']{re.escape(name)}["']|manage\.py["'], ["']{re.escape(name)}""")
    assert any(called.search(path.read_text()) for path in tests), "no test calls it"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_help_with_examples(name: str) -> None:
    command = load_command_class(get_commands()[name], name)
    parser = command.create_parser("manage.py", name)
    assert parser.description
    if name in PARTS:
        return
    assert parser.epilog, "no examples"
    assert f"manage.py {name}" in parser.epilog


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_name_only_what_exists(page: Path) -> None:
    text = page.read_text()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    commands = set(get_commands())
    blocks = "\n".join(BLOCK.findall(text))
    assert set(re.findall(r"manage\.py ([a-z_-]+)", text)) <= commands | {"help"}
    assert set(re.findall(r"^\s*make ([a-z-]+)", blocks, re.MULTILINE)) <= targets
    links = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_nothing_of_another_workplace_is_in_the_project() -> None:
    """Absolute paths of a developer's machine are of no use to anybody else."""
    files = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    # Django's own help of --pythonpath, which the catalogue translates, names one that nobody has.
    private = re.compile(r"(?<![\w.])/(?:work|home/(?!djangoprojects)\w+|Users/\w+)/")
    found = [
        name
        for name in files
        # A catalogue repeats what the code says, and Django's own examples.
        if not name.endswith((".png", ".po", ".mo", ".woff2"))
        and Path(ROOT / name).is_file()
        and name != str(Path(__file__).relative_to(ROOT))
        and private.search((ROOT / name).read_text(errors="replace"))
    ]
    assert found == []
