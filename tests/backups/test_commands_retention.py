"""`manage.py backup prune` and `thaw`, as people call them."""

import json

import pytest
from django.core.management import call_command

from backups.models import Freeze, Set
from drcenter.audit.models import Entry
from tests.backups.keeping_sets import ages, kept_set, rules

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def plan(plan):
    plan.encrypt = False
    return rules(plan, daily=7)


def call(*words: str, capsys, code: int = 0) -> str:
    if code:
        with pytest.raises(SystemExit) as ended:
            call_command("backup", *words)
        assert ended.value.code == code
    else:
        call_command("backup", *words)
    return capsys.readouterr().out


def test_a_dry_run_tells_why_and_removes_nothing(plan, capsys):
    sets = [kept_set(plan, days) for days in range(9)]
    said = call("prune", "shop", "--dry-run", capsys=capsys).splitlines()
    assert said[0] == "shop: daily: 7 stay, 2 go"
    assert said[1].startswith(f"  keep  {sets[0]}  stands for ")
    assert said[8].split("  ") == ["", "remove", str(sets[7]), "no rule reaches back so far"]
    assert len(ages(plan)) == 9
    assert not Entry.objects.filter(action__startswith="backups.prune").exists()
    (found,) = json.loads(call("prune", "--dry-run", "--json", capsys=capsys))
    assert (found["system"], found["frozen"], len(found["sets"])) == ("shop", [], 9)
    assert found["sets"][8] == {
        "set": str(sets[8]),
        "keep": False,
        "reasons": [{"why": "beyond", "what": ""}],
    }


def test_it_removes(plan, capsys):
    for days in range(9):
        kept_set(plan, days)
    assert "shop: daily: done" in call("prune", "shop", "--profile", "daily", capsys=capsys)
    assert ages(plan) == list(range(7))
    call("list", "--json", capsys=capsys)
    assert Set.objects.filter(state=Set.State.REMOVED).count() == 2


def test_it_stops_itself_and_goes_on_when_a_person_says_why(plan, capsys):
    for days in range(30):
        kept_set(plan, days)
    said = call("prune", "shop", capsys=capsys, code=3)
    assert "shop: daily is frozen: 23 of 30 sets would be removed at once." in said
    assert 'manage.py backup thaw shop --profile "daily" --reason' in said
    assert "frozen: 23 of 30" in call("prune", "shop", "--dry-run", capsys=capsys, code=3)
    assert len(ages(plan)) == 30
    call("thaw", "shop", "--reason", "new rules", capsys=capsys)
    assert Freeze.objects.get().thaw_reason == "new rules"
    call("prune", "shop", capsys=capsys)
    assert ages(plan) == list(range(7))
    assert "is not frozen" in call("thaw", "shop", "--reason", "again", capsys=capsys)
