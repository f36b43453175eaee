"""A question to a restored database, and the answer that it has to give."""

from decimal import Decimal, InvalidOperation
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from backups.drill_checks.base import Answer, Check, Scene

COMPARISONS = {
    "equal": gettext_lazy("is equal to"),
    "unequal": gettext_lazy("is not equal to"),
    "least": gettext_lazy("is at least"),
    "most": gettext_lazy("is at most"),
    "none": gettext_lazy("gives no row"),
}
# Characters of a value that are shown.
SHOWN = 80


class Options(forms.Form):
    source = forms.CharField(
        label=gettext_lazy("Source"), max_length=60, help_text=gettext_lazy("The name of a database of the system.")
    )  # fmt: skip
    query = forms.CharField(
        label=gettext_lazy("Query"), widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}),
        help_text=gettext_lazy("One SELECT; the first value of its first row counts. It cannot change anything."),
    )  # fmt: skip
    comparison = forms.ChoiceField(
        label=gettext_lazy("Its answer"), choices=list(COMPARISONS.items()), initial="equal"
    )
    expected = forms.CharField(label=gettext_lazy("Value"), required=False, initial="", max_length=500)


class Plugin(Check):
    label = gettext_lazy("SQL assertion")
    Options = Options

    @property
    def told(self) -> str:
        words = str(COMPARISONS[self.options["comparison"]])
        return f"{self.options['source']}: {self.options['query']} {words} {self.options['expected']}".strip()

    def run(self, scene: Scene) -> Answer:
        rows = scene.place(self.options["source"]).ask(self.options["query"])
        comparison, expected = self.options["comparison"], self.options["expected"]
        if comparison == "none":
            return Answer(not rows, _("%(count)d rows.") % {"count": len(rows)})
        if not rows or not rows[0]:
            return Answer(False, _("The query gave no row."))
        found = rows[0][0]
        names = {"found": _text(found)[:SHOWN], "expected": expected}
        sentence = {
            "equal": _("Found %(found)s; it has to be equal to %(expected)s."),
            "unequal": _("Found %(found)s; it must not be %(expected)s."),
            "least": _("Found %(found)s; it has to be at least %(expected)s."),
            "most": _("Found %(found)s; it has to be at most %(expected)s."),
        }[comparison] % names
        return Answer(holds(found, comparison, expected), sentence)


def holds(found: Any, comparison: str, expected: str) -> bool:
    """Whether a value stands so to the expected one: as numbers where both are, else as texts. NULL stands in no order."""
    one, other = _number(found), _number(expected)
    same = one == other if one is not None and other is not None else _text(found) == expected
    if comparison in {"equal", "unequal"}:
        return same == (comparison == "equal")
    if found is None:
        return False
    if one is None or other is None:
        ordered = _text(found) >= expected if comparison == "least" else _text(found) <= expected
        return bool(ordered)
    return one >= other if comparison == "least" else one <= other


def _number(value: Any) -> Decimal | None:
    if value is None:
        return None
    try:
        number = Decimal(str(int(value) if isinstance(value, bool) else value).strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _text(value: Any) -> str:
    if value is None:
        return "NULL"
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
