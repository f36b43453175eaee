"""Which tables of an application are critical, by their names (pure): a proposal, which people change."""

from collections.abc import Iterable

# What a business cannot do without for a day, as such tables are usually called; with any prefix (`app_orders`).
NAMES = (
    "users", "accounts", "customers", "clients", "patients", "companies", "tenants", "contacts",
    "orders", "bookings", "reservations", "appointments", "calls", "messages", "tickets", "leads",
    "invoices", "payments", "transactions", "subscriptions", "contracts", "products",
)  # fmt: skip
MOST = 12


def proposed(tables: Iterable[str]) -> list[str]:
    """Those of `tables` ("orders", "sales.orders") that sound critical, in the order of NAMES; MOST at most."""
    found = [(rank, table) for table in tables if (rank := _rank(table)) is not None]
    return [table for _rank_of, table in sorted(found)[:MOST]]


def _rank(table: str) -> int | None:
    name = table.rpartition(".")[2].strip('"`').lower()
    return next((at for at, known in enumerate(NAMES) if name == known or name.endswith(f"_{known}")), None)
