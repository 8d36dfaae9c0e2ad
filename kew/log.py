"""kew's log, `logging.getLogger("kew")`: what a user's handler raises is printed, and stops nothing of kew's."""

from __future__ import annotations

import logging
import sys
import traceback

_logger = logging.getLogger("kew")


class Log:
    """The calls of a logger that kew makes."""

    @property
    def is_debugging(self) -> bool:
        """DEBUG lines are logged. Ask once where the question itself would cost too much."""
        return _logger.isEnabledFor(logging.DEBUG)

    def debug(self, text: str, *args: object, exc_info: BaseException | None = None) -> None:
        self._log(logging.DEBUG, text, args, exc_info)

    def info(self, text: str, *args: object) -> None:
        self._log(logging.INFO, text, args)

    def warning(self, text: str, *args: object, exc_info: BaseException | None = None) -> None:
        self._log(logging.WARNING, text, args, exc_info)

    def error(self, text: str, *args: object, exc_info: BaseException | None = None) -> None:
        self._log(logging.ERROR, text, args, exc_info)

    def exception(self, text: str, *args: object) -> None:
        self._log(logging.ERROR, text, args, sys.exception())

    def _log(
        self,
        level: int,
        text: str,
        args: tuple[object, ...],
        exc_info: BaseException | None = None,
    ) -> None:
        try:
            _logger.log(level, text, *args, exc_info=exc_info, stacklevel=3)
        except Exception:  # noqa: BLE001 - `logging` itself prints what a well-behaved handler has failed with
            if sys.stderr is not None:
                traceback.print_exc()


logger = Log()
