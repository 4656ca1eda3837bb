"""Every record that keeps its contract comes back from the wire as it went."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from record_strategies import records

from topics import ALL, AnySpec
from topics.emission import Emission

PACKED = [spec for spec in ALL if spec.packed is not None]
steady = settings(
    derandomize=True, deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow]
)


@pytest.mark.parametrize("spec", ALL, ids=lambda spec: spec.name)
@given(data=st.data())
@steady
def test_a_record_comes_back_as_it_went(spec: AnySpec, data: st.DataObject) -> None:
    record = data.draw(records(spec.value))

    assert spec.decode(spec.encode(record)) == record


@pytest.mark.parametrize("spec", PACKED, ids=lambda spec: spec.name)
@given(data=st.data())
@steady
def test_a_packed_record_comes_back_as_it_went(spec: AnySpec, data: st.DataObject) -> None:
    assert spec.packed is not None
    record = data.draw(records(spec.packed))

    assert msgspec.json.decode(spec.encode(record), type=spec.packed) == record


@pytest.mark.parametrize("spec", ALL, ids=lambda spec: spec.name)
@given(data=st.data())
@steady
def test_a_record_has_a_key_that_can_be_written(spec: AnySpec, data: st.DataObject) -> None:
    record = data.draw(records(spec.value))

    key = Emission(spec, record).key

    assert key == spec.key_of(spec.decode(spec.encode(record)))
    assert key.encode()
