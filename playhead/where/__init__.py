"""`--where`: a small language that chooses records by their fields.

    severity>=high and (cell.cdn==3 or not dry_run)
    service=="video streaming" and metric ~ "latency|error"
    $partition==2 and resolved_ms==null

A comparison has a field on its left and a value on its right. Fields are dotted; a list on the way stands
for any of its elements; a name with unusual characters is quoted (``tags."a b"``). ``$topic``,
``$partition``, ``$offset``, ``$key`` and ``$time_ms`` say where and when the record stands in Kafka. A field
alone holds where it is neither absent, false, zero nor empty. A field that is absent compares true with
``== null`` only.
"""

from __future__ import annotations

from playhead.where.check import check
from playhead.where.errors import WhereError
from playhead.where.meaning import Condition, Place
from playhead.where.syntax import Expression, parse

__all__ = ["Condition", "Expression", "Place", "WhereError", "check", "parse"]
