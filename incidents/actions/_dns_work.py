"""One call of dns-lexicon, in a process of its own: the library has no time-out (measured), this process has.

The file it is given: JSON {"config": …, "act": "list" | "create" | "update", "type": …, "name": …, "content": …, "id": …}.
Standard output: JSON, the list of records for "list", true for the others. Run as a file of its own, beside Django: `python -P _dns_work.py FILE`.
"""

import json
import sys
from typing import Any


def work(asked: dict[str, Any]) -> Any:
    """Raises what the library raises."""
    from lexicon.client import Client
    from lexicon.config import ConfigResolver

    config: Any = ConfigResolver
    with Client(config().with_dict(asked["config"])) as operations:
        if asked["act"] == "list":
            return operations.list_records(asked["type"], asked["name"])
        if asked["act"] == "create":
            return operations.create_record(asked["type"], asked["name"], asked["content"])
        return operations.update_record(asked["id"], asked["type"], asked["name"], asked["content"])


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as stream:
        asked = json.load(stream)
    try:
        answer = work(asked)
    except Exception as error:  # noqa: BLE001 - whatever the library raises is told in a line
        sys.exit(f"{type(error).__name__}: {error}")
    print(json.dumps(answer))  # noqa: T201 - this is what it is for
