"""What retention never does, whatever the sets, the rules and the clock."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from backups.keep.retention import SKEW, Item, Rules, decide

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ZONES = ("UTC", "Europe/Berlin", "Pacific/Apia", "America/St_Johns")
rules = st.builds(
    Rules,
    **{name: st.integers(0, 8) for name in ("last", "daily", "weekly", "monthly", "yearly", "days")},
    minimum=st.integers(0, 6),
    special_days=st.integers(0, 60),
)


@st.composite
def pictures(draw) -> list[Item]:
    """Sets over three years, some of the future; needs point anywhere, also to what does not exist."""
    count = draw(st.integers(0, 25))
    number = st.integers(-40 * 24, 3 * 365 * 24)
    return [
        Item(
            pk, NOW - timedelta(hours=draw(number)), draw(st.integers(0, 3)), "some", draw(st.booleans()),
            draw(st.booleans()), draw(st.integers(0, 5)) == 0, draw(st.sampled_from(["", "", "", "audit"])),
            draw(st.sampled_from(["", "", "", "is being verified"])),
            draw(st.frozensets(st.integers(0, count + 1), max_size=2)),
        )
        for pk in range(count)
    ]  # fmt: skip


def run(items, rules, zone="UTC"):
    decisions = decide(items, rules, NOW, zone)
    return decisions, {one.id for one in decisions if one.keep}


def counts(item: Item) -> bool:
    return item.usable and not item.safety and item.moment <= NOW + SKEW


@settings(max_examples=300, deadline=None)
@given(pictures(), rules, st.sampled_from(ZONES))
def test_every_never(items, rules, zone):
    decisions, kept = run(items, rules, zone)
    assert sorted(one.id for one in decisions) == sorted(item.id for item in items)
    assert all(one.reasons for one in decisions)
    usable = [item for item in items if counts(item)]
    # Never below the minimum.
    assert sum(item.id in kept for item in usable) >= min(len(usable), max(1, rules.minimum))
    assert len(kept) >= min(len(items), max(1, rules.minimum))
    # Never the newest of the best level.
    if usable:
        best = max(item.rank for item in usable)
        newest = max((item for item in usable if item.rank == best), key=lambda item: (item.moment, item.id))
        assert newest.id in kept
    for item in items:
        # Never a pinned or busy one, or one of the future.
        if item.pin or item.busy or item.moment > NOW + SKEW:
            assert item.id in kept
        # Never a link of a chain.
        if item.id in kept:
            assert item.needs & {one.id for one in items} <= kept
    if rules.keeps_everything:
        assert len(kept) == len(items)


@settings(max_examples=150, deadline=None)
@given(pictures(), rules, st.randoms())
def test_the_order_of_the_sets_does_not_matter(items, rules, random):
    shuffled = [*items]
    random.shuffle(shuffled)
    assert decide(items, rules, NOW) == decide(shuffled, rules, NOW)


@settings(max_examples=150, deadline=None)
@given(pictures(), rules)
def test_what_was_let_go_changes_nothing_for_the_rest(items, rules):
    """Whoever prunes twice at the same moment removes nothing the second time."""
    _decisions, kept = run(items, rules)
    _again, still = run([item for item in items if item.id in kept], rules)
    assert still == kept


@settings(max_examples=150, deadline=None)
@given(pictures(), rules, rules)
def test_more_of_a_rule_never_keeps_less(items, rules, more):
    """Without the levels, which may let another set of the day stand for it."""
    plain = [Item(item.id, item.moment, needs=item.needs) for item in items]
    names = ("last", "daily", "weekly", "monthly", "yearly", "days", "minimum", "special_days")
    wider = Rules(**{name: max(getattr(rules, name), getattr(more, name)) for name in names})
    if not rules.keeps_everything:
        assert run(plain, rules)[1] <= run(plain, wider)[1]


@settings(max_examples=150, deadline=None)
@given(pictures(), rules, st.sampled_from(ZONES))
def test_each_rule_covers_what_it_says(items, rules, zone):
    """Reckoned in another way: of the newest N days that have a set, each has one that stays."""
    _decisions, kept = run(items, rules, zone)
    usable = [item for item in items if counts(item)]
    for count, form in (
        (rules.daily, "%Y-%m-%d"),
        (rules.weekly, "%G-%V"),
        (rules.monthly, "%Y-%m"),
        (rules.yearly, "%Y"),
    ):
        places = {item.id: item.moment.astimezone(ZoneInfo(zone)).strftime(form) for item in usable}
        for place in sorted(set(places.values()), reverse=True)[:count]:
            assert any(places[item.id] == place and item.id in kept for item in usable)
