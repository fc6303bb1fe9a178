"""Learning rate schedules, as pure functions of the progress of training."""

import math
from collections.abc import Callable

from ..config import ScheduleConfig
from ..rules import require

Schedule = Callable[[float, ScheduleConfig], float]


def scheduled(step: int, num_steps: int, config: ScheduleConfig) -> float:
    """Return the learning rate after `step` steps as a fraction of the peak, in [0, 1].

    It rises linearly during warm-up; then the schedule takes the share of the other steps done.
    """
    num_warmup_steps = math.ceil(config.warmup_fraction * num_steps)
    if step < num_warmup_steps:
        return (step + 1) / num_warmup_steps
    done = (step - num_warmup_steps) / max(1, num_steps - num_warmup_steps)
    return SCHEDULES[config.name](done, config)


def constant(done: float, config: ScheduleConfig) -> float:
    """Stay at the peak."""
    return 1.0


def cosine(done: float, config: ScheduleConfig) -> float:
    """Fall to zero along a cosine (Loshchilov & Hutter 2017, arXiv:1608.03983)."""
    return 0.5 * (1 + math.cos(math.pi * done))


def linear(done: float, config: ScheduleConfig) -> float:
    """Fall to zero linearly."""
    return 1 - done


def wsd(done: float, config: ScheduleConfig) -> float:
    """Stay at the peak, then fall to zero linearly (Hu et al. 2024, arXiv:2404.06395)."""
    return min(1.0, (1 - done) / config.decay_fraction) if config.decay_fraction else 1.0


SCHEDULES: dict[str, Schedule] = {
    function.__name__: function for function in (constant, cosine, linear, wsd)
}
"""The schedules by `schedule.name`."""


def check_schedule(config: ScheduleConfig) -> None:
    """Raise a ConfigError that lists the schedules, unless `schedule.name` is one of them."""
    choices = ", ".join(SCHEDULES)
    require(config.name in SCHEDULES, "schedule.name", f"one of {choices}", config.name)
