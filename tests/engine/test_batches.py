"""The batch that tests of processors use keeps the promises of the one that lanes hand over.

The same checks run against a real lane's batch in `tests/system/test_batches_real.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from batch_checks import BatchChecks, Batches, Refusal, Row
from fake_batch import FakeBatch


def made(rows: Sequence[Row]) -> FakeBatch:
    return FakeBatch("telemetry", 2, rows, first_offset=40)


class TestFakeBatch(BatchChecks):
    @pytest.fixture
    def batches(self) -> Batches:
        return Batches(
            made,
            lambda batch: [Refusal(*refusal) for refusal in batch.refusals],
            lambda batch: (batch.processed, batch.late),
        )
