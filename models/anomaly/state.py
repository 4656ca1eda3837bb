"""State that can be taken out of a model as bytes and put back, without pickle.

A model is a dataclass: what its constructor takes are its figures, every other field is its state. Where
that is not so, the field says so: `field(metadata={"role": STATE})`, or DERIVED for what is never saved. A
snapshot is MessagePack holding the model's name, its figures and its state, numpy arrays as their bytes. It
is put back only into a model of the same name and figures: learned with others, state means something else.

SnapshotError      bytes that are no snapshot, or the snapshot of another model
"""

from __future__ import annotations

from dataclasses import Field, dataclass, fields
from typing import Any, Final

import msgspec
import numpy as np

from topics.errors import PlayheadError

FIGURE: Final = "figure"
STATE: Final = "state"
DERIVED: Final = "derived"

_ARRAY, _MODEL = 1, 2


class SnapshotError(PlayheadError):
    """A snapshot cannot be put back into this model: the text says what differs."""


@dataclass
class Stateful:
    """A dataclass whose fields outside the constructor are state: scalars, arrays and other such models.

    Example:
        >>> from dataclasses import field
        >>> @dataclass
        ... class Counter(Stateful):
        ...     step: int
        ...     total: int = field(init=False, default=0)
        >>> counter = Counter(step=2)
        >>> counter.total = 8
        >>> other = Counter(step=2)
        >>> other.restore(counter.snapshot())
        >>> other.total
        8
        >>> Counter(step=3).restore(counter.snapshot())
        Traceback (most recent call last):
        ...
        models.anomaly.state.SnapshotError: Counter: the snapshot has step=2, this model has step=3
    """

    def snapshot(self) -> bytes:
        """Return figures and state as bytes."""
        state = {name: _packed(getattr(self, name)) for name in self._state_names()}
        return msgspec.msgpack.encode((type(self).__name__, self._figures(), state), enc_hook=_encode)

    def restore(self, data: bytes) -> None:
        """Put back what `snapshot` of a model with the same figures returned.

        Raises:
            SnapshotError: the bytes are no snapshot, or one of another model or of other figures.
        """
        name, figures, state = _decode(data)
        if name != type(self).__name__:
            raise SnapshotError(f"the snapshot is of {name}, this model is {type(self).__name__}")
        for figure, value in self._figures().items():
            found = figures.get(figure, "nothing")
            if msgspec.msgpack.encode(found) != msgspec.msgpack.encode(value):
                raise SnapshotError(
                    f"{name}: the snapshot has {figure}={found}, this model has {figure}={value}"
                )
        if set(state) != set(self._state_names()):
            raise SnapshotError(f"{name}: the snapshot holds {sorted(state)}, this version does not")
        for attribute, value in state.items():
            self._put(attribute, value)

    def _put(self, attribute: str, value: Any) -> None:
        current = getattr(self, attribute)
        if isinstance(current, Stateful):
            current.restore(value)
        elif isinstance(current, tuple) and current and isinstance(current[0], Stateful):
            for model, data in zip(current, value, strict=True):
                model.restore(data)
        else:
            setattr(self, attribute, value)

    def _figures(self) -> dict[str, Any]:
        return {each.name: getattr(self, each.name) for each in fields(self) if _role(each) == FIGURE}

    def _state_names(self) -> list[str]:
        return [each.name for each in fields(self) if _role(each) == STATE]


def _role(attribute: Field[Any]) -> str:
    return str(attribute.metadata.get("role", FIGURE if attribute.init else STATE))


def _packed(value: Any) -> Any:
    """Return models as their snapshots: msgspec would write a dataclass as a plain map."""
    if isinstance(value, Stateful):
        return msgspec.msgpack.Ext(_MODEL, value.snapshot())
    if isinstance(value, tuple):
        return tuple(_packed(each) for each in value)
    return value


def _encode(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        header = (value.dtype.str, value.shape, value.tobytes())
        return msgspec.msgpack.Ext(_ARRAY, msgspec.msgpack.encode(header))
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be part of a snapshot")


def _decode(data: bytes) -> tuple[str, dict[str, Any], dict[str, Any]]:
    try:
        return msgspec.msgpack.decode(
            data, type=tuple[str, dict[str, Any], dict[str, Any]], ext_hook=_decode_extension
        )
    except (msgspec.DecodeError, ValueError, TypeError) as error:
        raise SnapshotError(f"these {len(data)} bytes are no snapshot: {error}") from error


def _decode_extension(code: int, data: memoryview) -> Any:
    if code == _ARRAY:
        dtype, shape, raw = msgspec.msgpack.decode(data, type=tuple[str, tuple[int, ...], bytes])
        return np.frombuffer(raw, dtype=dtype).reshape(shape).copy()
    return bytes(data)
