"""How the learning rate changes, as pure functions of how far training has come."""

import math
from collections.abc import Callable

from ..config import ScheduleConfig
from ..rules import require

Schedule = Callable[[float, ScheduleConfig], float]


def scheduled(step: int, num_steps: int, config: ScheduleConfig) -> float:
    """Return the share of the highest rate, in [0, 1], of the step that follows `step` others.

    It rises linearly, then the schedule decides from the share of the other steps that are done.
    """
    num_warmup_steps = math.ceil(config.warmup_fraction * num_steps)
    if step < num_warmup_steps:
        return (step + 1) / num_warmup_steps
    done = (step - num_warmup_steps) / max(1, num_steps - num_warmup_steps)
    return SCHEDULES[config.name](done, config)


def constant(done: float, config: ScheduleConfig) -> float:
    """Stay."""
    return 1.0


def cosine(done: float, config: ScheduleConfig) -> float:
    """Fall to zero along a cosine (Loshchilov & Hutter 2017, arXiv:1608.03983)."""
    return 0.5 * (1 + math.cos(math.pi * done))


def linear(done: float, config: ScheduleConfig) -> float:
    """Fall to zero along a line."""
    return 1 - done


def wsd(done: float, config: ScheduleConfig) -> float:
    """Stay, then fall to zero along a line (Hu et al. 2024, arXiv:2404.06395)."""
    return min(1.0, (1 - done) / config.decay_fraction) if config.decay_fraction else 1.0


SCHEDULES: dict[str, Schedule] = {
    function.__name__: function for function in (constant, cosine, linear, wsd)
}
"""By the name that `schedule.name` gives."""


def check_schedule(config: ScheduleConfig) -> None:
    """Raise the ConfigError that names the schedules there are, unless `schedule.name` is one."""
    choices = ", ".join(SCHEDULES)
    require(config.name in SCHEDULES, "schedule.name", f"one of {choices}", config.name)
