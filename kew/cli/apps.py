"""Finding the manager of a program: `module:attribute`."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from kew import TaskFunction, TaskQueueManager
from kew.domain.suggestions import did_you_mean

FORM = "give the module and the manager in it: shop.worker:manager"


class AppError(Exception):
    """The program can't be loaded; the text says why, in one line."""


def load_app(target: str, folder: str) -> Any:
    """What `module:attribute` names, imported with `folder` on the path. Raises `AppError`."""
    module_name, colon, attribute = target.partition(":")
    if not colon or not module_name or not attribute:
        raise AppError(f"{target!r} names no manager; {FORM}")
    if module_name.endswith(".py") or os.sep in module_name:
        raise AppError(f"{module_name!r} is a file, not a module; {FORM}")
    path = str(Path(folder).resolve())
    if path not in sys.path:
        sys.path.insert(0, path)
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and f"{module_name}.".startswith(f"{error.name}."):
            where = f"in {path} or where Python looks (--app-dir names another folder)"
            raise AppError(f"there is no module {error.name!r} {where}") from error
        raise AppError(_failed(module_name, error)) from error
    except Exception as error:
        raise AppError(_failed(module_name, error)) from error
    for name in attribute.split("."):
        if not hasattr(found, name):
            known = [each for each in vars(found) if not each.startswith("_")]
            meant = did_you_mean(name, known)
            raise AppError(f"module {module_name!r} has no {attribute!r}{meant or '; ' + FORM}")
        found = getattr(found, name)
    return found


async def manager_of_app(target: str, folder: str) -> TaskQueueManager:
    """The manager that `module:attribute` is, or that this function returns. Raises `AppError`."""
    found = load_app(target, folder)
    if callable(found) and not isinstance(found, TaskQueueManager | TaskFunction):
        try:
            made: Any = found()
            found = await made if isinstance(made, Awaitable) else made
        except Exception as error:
            raise AppError(_failed(f"{target}()", error)) from error
    if isinstance(found, TaskQueueManager):
        return found
    what = "a module" if inspect.ismodule(found) else f"{type(found).__name__}"
    raise AppError(
        f"{target} is no TaskQueueManager, nor a function without arguments that returns one, but {what}"
    )


def _failed(what: str, error: Exception) -> str:
    """ "importing shop.worker failed: ValueError: ... (/app/shop/worker.py, line 7)"."""
    verb = "" if what.endswith("()") else "importing "
    text = traceback.format_exception_only(error)[-1].strip()
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<frozen") and frame.filename != __file__
    ]
    if isinstance(error, SyntaxError):
        return f"{verb}{what} failed: {text} ({error.filename}, line {error.lineno})"
    own = [one for one in frames if importlib.__file__ != one.filename]
    place = f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""
    return f"{verb}{what} failed: {text}{place}"
