"""How rare an episode is: p-values of runs of anomalous samples, learned from the series' own earlier runs.

The unit is an episode, a run of flagged samples, as extremes of a dependent series come in clusters whose
starts are nearly a Poisson process and whose sizes are nearly independent (Leadbetter, "Extremes and local
dependence in stationary sequences", 1983). Its evidence C is the sum of its samples' excesses, each how many
times the bound a sample is (1 at the bound). So both what is far off and what stays off grow it.

Peaks over threshold: above the bound, ln C is held to be exponential, C thus Pareto, which is the heavy side
of what Pickands, Balkema and de Haan allow and too careful for lighter tails. Its rate has a Gamma prior, so
the chance that the next episode has more evidence is known in closed form, uncertainty of the rate included:

    P(C > c) = (b / (b + ln c))^a,   a = prior_episodes + episodes seen,  b = prior_excess + sum of their ln C

times the chance that a healthy sample starts an episode, (episodes + 1) / (samples + 1) (Siffer et al.,
"Anomaly Detection in Streams with Extreme Value Theory", KDD 2017, fits the same by maximum likelihood, which
at few exceedances is far too sure of itself). As C only grows within an episode, to look after each of its
samples is one test, not many.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import overload

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_LOG_2 = float(np.log(2.0))


@dataclass(frozen=True, slots=True)
class EvidenceFigures:
    """The figures of p-values of episodes.

    Args:
        prior_episodes: How many episodes the prior belief about their size is worth.
        prior_excess: Their ln C in sum; its mean is `prior_excess / prior_episodes`.
        most_excess: No sample counts for more, however wild.
        reach: A series of n samples may not be held to be rarer than n to the minus this.
        acquaintance_ms: Until a series has been known for so long, nothing that was learned of it is rare:
            what it does once a day is news on its first, and every series with such a habit would tell it.
        static_samples: A critical static bound is worth knowing so many healthy samples that did not cross
            it, as long as none did.
        static_weight: Share of them that is left of that belief once one did.

    Example:
        >>> figures = EvidenceFigures(prior_episodes=2.0, prior_excess=1.0, most_excess=10.0, reach=2.5,
        ...                           acquaintance_ms=0, static_samples=1e8, static_weight=0.01)
        >>> [round(figures.log10_p(samples=20_000, episodes=60, log_sum=6.0, evidence=c), 1)
        ...  for c in (1.0, 2.0, 5.0, 20.0)]
        [-2.5, -5.1, -8.1, -10.8]
    """

    prior_episodes: float
    prior_excess: float
    most_excess: float
    reach: float
    acquaintance_ms: int
    static_samples: float
    static_weight: float

    @overload
    def log_p(
        self,
        known_ms: npt.NDArray[np.int64],
        samples: Floats,
        episodes: Floats,
        log_sum: Floats,
        evidence: Floats,
        static_episodes: Floats,
        crossed: npt.NDArray[np.bool_],
    ) -> Floats: ...

    @overload
    def log_p(
        self,
        known_ms: int,
        samples: float,
        episodes: float,
        log_sum: float,
        evidence: float,
        static_episodes: float,
        crossed: bool,
    ) -> float: ...

    def log_p(
        self,
        known_ms: npt.NDArray[np.int64] | int,
        samples: Floats | float,
        episodes: Floats | float,
        log_sum: Floats | float,
        evidence: Floats | float,
        static_episodes: Floats | float,
        crossed: npt.NDArray[np.bool_] | bool,
    ) -> Floats | float:
        """Return ln of the chance that a healthy sample starts an episode of so much evidence.

        Args:
            known_ms: Since when the series has been known.
            samples: Samples of it so far.
            episodes: Episodes that are over.
            log_sum: Sum of their ln C.
            evidence: C of the running one, at least 1.
            static_episodes: How many of the episodes crossed the critical static bound.
            crossed: Whether the running one does. Then the rarer of two views counts, at twice its p-value.
        """
        tail = -(self.prior_episodes + episodes) * np.log1p(np.log(evidence) / (self.prior_excess + log_sum))
        own = np.log((episodes + 1.0) / (samples + 1.0)) + tail
        known = np.asarray(known_ms) >= self.acquaintance_ms
        learned = np.where(known, np.maximum(own, -self.reach * np.log(samples + 1.0)), 0.0)
        told = self.static_weight * self.static_samples
        static = np.log((static_episodes + self.static_weight) / (samples + told)) + tail
        both = np.minimum(np.minimum(learned, static) + _LOG_2, 0.0)
        log_p: Floats = np.where(crossed, both, np.minimum(learned, 0.0))
        return log_p if log_p.ndim else float(log_p)

    def log10_p(self, samples: float, episodes: float, log_sum: float, evidence: float) -> float:
        """Return the decimal logarithm for a series known long enough that crosses no static bound."""
        log_p = self.log_p(self.acquaintance_ms, samples, episodes, log_sum, evidence, 0.0, False)
        return log_p / float(np.log(10.0))
