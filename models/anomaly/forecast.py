"""Forecasts by damped double exponential smoothing, and anomalies as errors of the forecast."""

from __future__ import annotations

from dataclasses import dataclass, field

from models.anomaly.base import bounded, graded, scale_of
from models.anomaly.moments import Moments
from models.anomaly.state import Stateful


@dataclass
class DampedTrend(Stateful):
    """Forecast the next sample from a smoothed level and a trend that fades.

    Holt's linear method with a damped trend, in error-correction form: Gardner and McKenzie, "Forecasting
    Trends in Time Series", Management Science 31 (1985). Damping keeps a passing ramp from being carried on
    for ever.

    Args:
        level_rate: How much of an error corrects the level, 0 to 1.
        trend_rate: How much of the level's correction corrects the trend, 0 to 1.
        damping: What stays of the trend from one sample to the next, 0 to 1.

    Example:
        >>> model = DampedTrend(level_rate=0.3, trend_rate=0.05, damping=0.98)
        >>> for value in range(200):
        ...     model.learn(float(value))
        >>> 195.0 < model.forecast() < 200.0
        True
    """

    level_rate: float
    trend_rate: float
    damping: float
    _level: float = field(init=False, default=0.0)
    _trend: float = field(init=False, default=0.0)
    _started: bool = field(init=False, default=False)

    def forecast(self) -> float | None:
        """Return the next sample's expected value; None before the first one."""
        return self._level + self.damping * self._trend if self._started else None

    def learn(self, value: float) -> None:
        """Correct level and trend by the error of the forecast of this value."""
        forecast = self.forecast()
        if forecast is None:
            self._level, self._started = value, True
            return
        correction = self.level_rate * (value - forecast)
        self._level = forecast + correction
        self._trend = self.damping * self._trend + self.trend_rate * correction


@dataclass
class ForecastError(Stateful):
    """Score a sample by its forecast's error against the errors of late.

    The strength is how many standard deviations the absolute error lies above the mean absolute error. An
    anomaly teaches within limits: an error beyond `high` is learned as one at `high`, so that a spike neither
    drags the forecast nor hides the next. When `relearn_after` samples in a row lie beyond it, the forecast
    and its errors start afresh from there.

    Args:
        level_rate: See `DampedTrend`.
        trend_rate: See `DampedTrend`.
        damping: See `DampedTrend`.
        error_rate: Forgetting rate of the errors' mean and deviation.
        scoring_samples: Below so many samples every score is 0.
        high: Deviations above the mean error that score 0.5.
        critical: Deviations that score 0.75.
        relearn_after: Samples in a row beyond `high` after which the model starts afresh.

    Example:
        >>> model = ForecastError(level_rate=0.3, trend_rate=0.05, damping=0.98, error_rate=0.01,
        ...                       scoring_samples=50, high=2.0, critical=4.0, relearn_after=1000)
        >>> for second in range(100):
        ...     model.learn_one(second * 1000, 10.0 + second % 2)
        >>> model.score_one(100_000, 10.0) < 0.5 < model.score_one(100_000, 14.0)
        True
    """

    level_rate: float
    trend_rate: float
    damping: float
    error_rate: float
    scoring_samples: int
    high: float
    critical: float
    relearn_after: int
    _trend: DampedTrend = field(init=False)
    _errors: Moments = field(init=False)
    _flagged_run: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._start_afresh()

    def score_one(self, time_ms: int, value: float) -> float:
        """Return the score of the forecast's error; 0 until `scoring_samples` were learned."""
        return graded(self._strength(bounded(value)), self.high, self.critical)

    def learn_one(self, time_ms: int, value: float) -> None:
        """Learn the sample, its error cut at the bound where it lies beyond."""
        value = bounded(value)
        if self._strength(value) < self.high:
            self._flagged_run = 0
        else:
            self._flagged_run += 1
            if self._flagged_run < self.relearn_after:
                value = self._within_reach(value)
            else:
                self._start_afresh()
        forecast = self._trend.forecast()
        if forecast is not None:
            self._errors.learn(abs(value - forecast))
        self._trend.learn(value)

    def _start_afresh(self) -> None:
        self._trend = DampedTrend(self.level_rate, self.trend_rate, self.damping)
        self._errors = Moments(self.error_rate)
        self._flagged_run = 0

    def _strength(self, value: float) -> float:
        forecast = self._trend.forecast()
        if forecast is None or self._errors.count < self.scoring_samples:
            return 0.0
        above = abs(value - forecast) - self._errors.mean
        return max(above, 0.0) / scale_of(self._errors.deviation, forecast)

    def _within_reach(self, value: float) -> float:
        forecast = self._trend.forecast()
        assert forecast is not None, "a sample is beyond bounds only where there is a forecast"
        reach = self._errors.mean + self.high * scale_of(self._errors.deviation, forecast)
        return forecast + (reach if value > forecast else -reach)
