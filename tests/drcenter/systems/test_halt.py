"""An application with several ways to stop: all are gone, in order, and what ran before is given back."""

import pytest
from django import forms

from drcenter.errors import OperationFailed
from drcenter.systems import control, halt
from drcenter.systems.control.base import Control
from drcenter.systems.models import Halt, System

pytestmark = pytest.mark.django_db


class Lamp(Control):
    """A way that remembers: each `name` is a lamp that burns or does not."""

    label = "lamp"
    Options = forms.Form
    burning: dict[str, bool] = {}
    calls: list[str] = []
    broken: set[str] = set()

    def __init__(self, options):
        self.name = options["name"]

    def describe(self):
        return f"lamp {self.name}"

    def _do(self, what):
        self.calls.append(f"{what} {self.name}")
        if f"{what} {self.name}" in self.broken:
            raise OperationFailed(f"{self.name} is broken.", "Buy another.")

    def check(self, ground):
        self._do("check")

    def look(self, ground):
        return {"burning": self.burning[self.name]}

    def stop(self, ground, before):
        self._do("stop")
        self.burning[self.name] = False

    def start(self, ground, before):
        self._do("start")
        self.burning[self.name] = before["burning"]


@pytest.fixture
def system(monkeypatch):
    monkeypatch.setattr(control, "controls", lambda: {"lamp": Lamp})
    Lamp.burning, Lamp.calls, Lamp.broken = {"a": True, "b": False, "c": True}, [], set()
    one = System.objects.create(slug="shop", name="Shop")
    for order, name in enumerate("abc"):
        Halt.objects.create(system=one, kind="lamp", order=order, options={"name": name})
    Halt.objects.create(system=one, kind="lamp", order=9, options={"name": "d"}, enabled=False)
    return one


def stopped(system):
    kept = []
    halt.stop(system, lambda before: kept.append([dict(one) for one in before]))
    return kept[0]


def test_all_are_stopped_in_order_and_given_back_in_the_other(system):
    before = stopped(system)
    assert not any(Lamp.burning.values())
    halt.start(system, before)
    assert Lamp.burning == {"a": True, "b": False, "c": True}
    assert Lamp.calls == ["stop a", "stop b", "stop c", "start c", "start b", "start a"]


def test_what_ran_is_remembered_before_anything_is_stopped(system):
    Lamp.broken = {"stop a"}
    kept = []
    with pytest.raises(OperationFailed, match=r"a is broken\."):
        halt.stop(system, kept.extend)
    assert [one["before"] for one in kept] == [{"burning": True}, {"burning": False}, {"burning": True}]


def test_one_that_does_not_start_does_not_keep_the_others_down(system):
    before = stopped(system)
    Lamp.broken = {"start b"}
    with pytest.raises(OperationFailed, match=r"b is broken\. Buy another\."):
        halt.start(system, before)
    assert Lamp.burning == {"a": True, "b": False, "c": True}


def test_a_way_that_was_removed_meanwhile_is_named(system):
    before = stopped(system)
    system.halts.filter(options__name="c").delete()
    with pytest.raises(OperationFailed, match="removed meanwhile"):
        halt.start(system, before)
    assert Lamp.burning["a"]


def test_the_plan_names_those_that_are_switched_on(system):
    assert halt.describe(system) == ["lamp a", "lamp b", "lamp c"]


def test_a_check_changes_nothing(system):
    halt.check(system)
    assert Lamp.calls == ["check a", "check b", "check c"]
    assert Lamp.burning == {"a": True, "b": False, "c": True}
