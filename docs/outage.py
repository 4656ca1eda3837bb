"""Write three minutes of a payment service as JSON lines for `playhead produce telemetry -`.

Its latency leaps for ten seconds two minutes in. Times end now, so that nothing lies in the future.
"""

import json
import random
import time

SECONDS = 180
LEAP = range(120, 130)

rng = random.Random(1)
start_ms = int(time.time() * 1000) - SECONDS * 1000
for second in range(SECONDS):
    value = 9_000.0 if second in LEAP else rng.gauss(300, 5)
    print(
        json.dumps(
            {
                "time_ms": start_ms + second * 1000,
                "service": "payment",
                "metric": "latency_p99_ms",
                "value": value,
            }
        )
    )
