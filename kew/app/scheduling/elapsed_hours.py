"""cronsim's iterator, for zones whose clocks change by less than an hour too (Lord Howe, by half an hour)."""

from __future__ import annotations

from cronsim import CronSim

from kew.compat import override

MINUTE_S = 60
HOUR_S = 3600


class ElapsedHours(CronSim):
    """A `CronSim` that loses no tick after such a change.

    cronsim goes forward in steps of an hour and of up to an hour. After a change by half an hour, it would no longer
    meet full hours, and pass over the ticks of an hour that matches.
    """

    @override
    def tick(self, seconds: int = 1) -> None:
        """Stop at a change of the clock, instead of passing over what comes right after it."""
        before = self.dt
        super().tick(seconds)
        if (
            seconds <= MINUTE_S
            or self.tick_direction < 0
            or self.dt.utcoffset() == before.utcoffset()
        ):
            return
        self.dt = before
        while self.dt.utcoffset() == before.utcoffset():
            super().tick(MINUTE_S)

    @override
    def advance_hour(self) -> bool:
        """As cronsim's, from one full hour to the next."""
        if self.dt.hour in self.hours:
            return False
        self.dt = self.dt.replace(second=0)
        while self.dt.hour not in self.hours:
            self.tick(HOUR_S - self.dt.minute * MINUTE_S)
            if self.dt.hour == 0:
                break
        return True
