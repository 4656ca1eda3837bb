"""Examples of every contract: JSON files beside this one, each a list of records of one topic.

`NAME.json` has records of topic `NAME` as they stand on the wire, `NAME.packed.json` the ones that carry many
events. Where the wire is MessagePack the example is the same record in JSON.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from topics.spec import AnySpec


def examples_of(spec: AnySpec, *, packed: bool = False) -> list[dict[str, Any]]:
    """Return the examples of `spec`.

    Raises:
        FileNotFoundError: the contract has none.
    """
    name = f"{spec.name}.packed.json" if packed else f"{spec.name}.json"
    text = resources.files(__name__).joinpath(name).read_text(encoding="utf-8")
    examples: list[dict[str, Any]] = json.loads(text)
    return examples
