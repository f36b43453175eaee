"""Our reading of `.env` files beside that of phpdotenv itself."""

import json
from pathlib import Path

import pytest

from backups.dotenv import parse
from drcenter.process import Command, run
from tests.backups.dotenv_cases import GOOD, ODD

READ = """
require 'Dotenv/autoload.php';
$repository = Dotenv\\Repository\\RepositoryBuilder::createWithNoAdapters()
    ->addAdapter(Dotenv\\Repository\\Adapter\\ArrayAdapter::class)->immutable()->make();
$answers = [];
foreach (glob($argv[1] . '/*.env') as $file) {
    $repository = Dotenv\\Repository\\RepositoryBuilder::createWithNoAdapters()
        ->addAdapter(Dotenv\\Repository\\Adapter\\ArrayAdapter::class)->immutable()->make();
    try {
        $values = Dotenv\\Dotenv::create($repository, $argv[1], basename($file))->load();
        $answers[basename($file, '.env')] = (object) array_filter($values, fn ($value) => $value !== null);
    } catch (Dotenv\\Exception\\InvalidFileException $refusal) {
        $answers[basename($file, '.env')] = 'refused';
    }
}
echo json_encode($answers);
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    directory = tmp_path_factory.mktemp("dotenv")
    for name, content, *_ in [*GOOD, *ODD]:
        (directory / f"{name}.env").write_bytes(content)
    return ask(directory)


def ask(directory: Path) -> dict[str, object]:
    # Debian's loader of phpdotenv warns about nothing; its deprecations under PHP 8 are not ours.
    command = Command(("php", "-d", "error_reporting=E_ALL&~E_DEPRECATED", "-r", READ, "--", str(directory)))
    read: dict[str, object] = json.loads(run(command).stdout)
    return read


@pytest.mark.parametrize("name", [case[0] for case in GOOD])
def test_reads_what_phpdotenv_reads(name: str, answers: dict[str, object]) -> None:
    content = next(case[1] for case in GOOD if case[0] == name)
    assert parse(content).values == answers[name]


@pytest.mark.parametrize("name", [case[0] for case in ODD])
def test_reports_what_phpdotenv_refuses(name: str, answers: dict[str, object]) -> None:
    assert answers[name] == "refused"
