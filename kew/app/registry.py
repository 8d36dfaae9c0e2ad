"""The functions that this process can run, by name.

A process runs what it registered itself, or found in a package that it trusts (`trust=`); a name in a store leads to
nothing else. Which names there are: `module:qualname`, a name that a person gave, a *pin* (a closure or the like, for
this process alone), and, with a codec that carries functions, the two names of `CARRIERS`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import suppress
from typing import Unpack
from weakref import WeakValueDictionary

import attrs

from kew.app.around import Around
from kew.app.naming import (
    PICKLED,
    Function,
    Key,
    Registration,
    call_plain,
    check_function_name,
    described,
    function_in,
    is_coroutine_function,
    is_where_it_says,
    key_of,
    natural_name,
    qualname_of,
    refuse_generator,
    unknown_function,
    visible,
)
from kew.app.registered import CARRIERS, Options, RegisteredFunction, canonical
from kew.app.scheduling.declaring import Declaration
from kew.app.submitting.pins import Pins
from kew.app.trust import Trust
from kew.app.unresolved import AnnotationCheck
from kew.domain.errors import InvalidConfigError, UnknownFunctionError, shown
from kew.domain.task import PINNED, pinned_name
from kew.log import logger

MANY_PINS = 1000


# Wide: many small questions about one table of functions.
class Registry:
    """Names of functions, both ways. Not for several threads at once.

    `trust`: packages whose functions are found by importing their modules. `carries_functions`: the
    codec's; closures then travel in their payloads instead of being pinned.
    """

    def __init__(
        self, incarnation: str = "", *, trust: Sequence[str] = (), carries_functions: bool = False
    ) -> None:
        self._incarnation = incarnation
        self._trust = Trust(trust)
        self._carries = carries_functions
        self._by_name: dict[str, RegisteredFunction] = {}
        self._by_function: dict[Key, RegisteredFunction] = {}
        self._names: list[str] = []  # to be announced, in order of registration
        self._places: dict[str, int] = {}  # in that order, from 1 on
        self.version = 0  # how many names there are to announce; they only become more
        self._pin_numbers = itertools.count(1)
        self._pinned = 0
        self._is_warned = False
        # Pins whose tasks have completed, while their functions live: results are read by them.
        self._forgotten: WeakValueDictionary[str, Function] = WeakValueDictionary()
        self._unchecked = AnnotationCheck()
        self.around: list[Around] = []
        self.pins = Pins(self._forget)
        self.schedules: dict[str, Declaration] = {}  # that code declares, by name
        if carries_functions:
            for carrier in CARRIERS.values():
                self._publish(carrier)

    def begin(self, incarnation: str) -> None:
        """The process is `incarnation` from now on.

        Its pins are named after it, and those of the former are unknown. What was pinned by a submit is forgotten.
        """
        self._incarnation = incarnation
        self.pins.clear()
        for key, pin in list(self._by_function.items()):
            if pin.is_pin:
                self._by_name.pop(pin.name, None)
                suffix = pin.name.partition("/")[2]
                renamed = attrs.evolve(pin, name=pinned_name(incarnation, suffix))
                self._by_function[key] = renamed
                self._publish(renamed)

    def register(
        self, function: Function, name: str | None = None, **options: Unpack[Options]
    ) -> str:
        """Make the function runnable here, and say its name. Again: the options given now are added to those before.

        Under another name than before, it answers to both. Raises `InvalidConfigError` for an impossible option, and
        for a given name that another function has, and TypeError for an option that there isn't.
        """
        given = canonical(options)
        if name is not None:
            self._refuse_taken(check_function_name(name), function)
        known = self._by_function.get(key_of(function))
        base = known or self._new(function, is_submitted=False)
        is_as_before = not given and name in (None, base.name)
        registered = base if is_as_before else attrs.evolve(base, name=name or base.name, **given)
        self.pins.stay(base.name)
        self._keep(registered)
        return registered.name

    def registered(
        self, function: Function, decorated: Registration | None = None, works: bool = True
    ) -> RegisteredFunction:
        """Its name and options, for a submit; an unknown one is registered now, which is logged.

        `decorated`: how another manager's decorator registered it, which holds here too. `works`: this process works on
        the queue; if not, the submit refuses a closure, and there is nothing to log.
        """
        # Most are functions. (An id is that of one alone: those that are known here are kept alive.)
        known = self._by_function.get(id(function)) or self._by_function.get(key_of(function))
        if known is not None:
            if self._unchecked.waiting:
                self._unchecked.run()
            return known
        if decorated is not None:
            self.register(function, decorated.name, **decorated.options)
            registered = self._by_function[key_of(function)]
        else:
            registered = self._new(function, is_submitted=True)
        if not registered.travels:  # what travels needs no memory here
            self._keep(registered)
            self._log(registered, works)
            self._unchecked.run()
        if registered.is_pin and decorated is None:
            self.pins.add(registered.name)
        return registered

    def _forget(self, name: str) -> None:
        self._pinned -= 1
        registered = self._by_name.pop(name)
        with suppress(TypeError):  # it can't be referenced weakly
            self._forgotten[name] = registered.function
        del self._by_function[key_of(registered.function)]

    def resolve(self, name: str) -> RegisteredFunction:
        """The function of that name, from a trusted package if need be. Raises `UnknownFunctionError`.

        The first look-up of a trusted name imports its module, which takes as long as that module's code does.
        """
        known = self._by_name.get(name)
        if known is not None:
            return known
        if not self._trust.covers(name):
            raise UnknownFunctionError(unknown_function(name, self._incarnation))
        module = self._trust.module_of(name)
        if name not in self._by_name:  # the import may have registered it, with its options
            function, decorated = function_in(module, name)
            self._keep(_registered(name, function))
            self.register(function, name, **decorated.options)
        return self._by_name[name]

    def known(self, name: str) -> Function | None:
        """The function of that name, if this process has it already; nothing is imported."""
        found = self._by_name.get(name)
        return self._forgotten.get(name) if found is None else found.function

    @property
    def has_trust(self) -> bool:
        """Whether there are packages whose functions it finds by import."""
        return bool(self._trust)

    def trusts(self, name: str) -> bool:
        """Whether the function's module is in one of the packages that this process imports."""
        return self._trust.covers(name)

    def can_run(self, name: str) -> bool:
        """Whether `resolve` finds it. For names that wait in a store, stuck: a trusted one is known from then on."""
        try:
            self.resolve(name)
        except UnknownFunctionError:
            return False
        return True

    def functions(self) -> tuple[RegisteredFunction, ...]:
        """All that this process can run, as far as it knows by now."""
        return tuple(self._by_name.values())

    def namesakes(self, name: str) -> list[str]:
        """The names of functions here that are called the same in another module, sorted."""
        called = f":{name.partition(':')[2]}"
        return sorted(each for each in self._by_name if each.endswith(called) and each != name)

    def place_of(self, name: str) -> int:
        """How many names have to be announced until this one is among them; 0: it need not be."""
        return self._places.get(name, 0)

    def names(self, first: int = 0) -> tuple[str, ...]:
        """What this process announces to a store that it runs, from the name number `first` on.

        Trusted names are among them once they were asked for. Pins are not: their names say whose they are.
        """
        self._unchecked.run()
        return tuple(self._names[first:])

    def _new(self, function: Function, *, is_submitted: bool) -> RegisteredFunction:
        if not callable(function):
            raise InvalidConfigError(f"a task's function must be callable, not {shown(function)}")
        refuse_generator(function)
        name = natural_name(function)
        is_plain = isinstance(function, type(call_plain))
        # While its module is still being imported, a decorated function is not in it yet.
        if name and (is_where_it_says(function) or (is_plain and not is_submitted)):
            self._replace(name, function)
            return _registered(name, function)
        return _registered(self._placeless_name(function), function)

    def _placeless_name(self, function: Function) -> str:
        if self._carries:
            return CARRIERS[is_coroutine_function(function)].name
        number = next(self._pin_numbers)
        self._pinned += 1
        if self._pinned > MANY_PINS and not self._is_warned:
            self._is_warned = True
            logger.warning(
                "%d closures, lambdas or bound methods are pinned to this process until their tasks have ended; "
                "submit one module-level function with arguments instead",
                MANY_PINS,
            )
        return pinned_name(self._incarnation, f"{number}:{visible(qualname_of(function))}")

    def _replace(self, name: str, function: Function) -> None:
        """A second function of one `module:qualname` is a redefinition, unless the first was given this name."""
        holder = self._by_name.get(name)
        if holder is None or key_of(holder.function) == key_of(function):
            return
        if natural_name(holder.function) != name:
            self._refuse_taken(name, function)
        logger.warning("function %s was defined again: tasks run the new definition", name)

    def _refuse_taken(self, name: str, function: Function) -> None:
        holder = self._by_name.get(name)
        if holder is not None and key_of(holder.function) != key_of(function):
            raise InvalidConfigError(
                f"the function name {name!r} is that of {qualname_of(holder.function)}; "
                f"give {qualname_of(function)} another"
            )

    def _keep(self, registered: RegisteredFunction) -> None:
        if key_of(registered.function) not in self._by_function:
            self._unchecked.add(registered.name, registered.function)
        self._by_function[key_of(registered.function)] = registered
        if not registered.name.startswith(PICKLED):
            self._publish(registered)

    def _publish(self, registered: RegisteredFunction) -> None:
        name = registered.name
        if name not in self._by_name and not name.startswith(PINNED):
            self._names.append(name)
            self.version = self._places[name] = len(self._names)
        self._by_name[name] = registered

    def _log(self, registered: RegisteredFunction, works: bool) -> None:
        name = registered.name
        if self._trust.covers(name):
            return  # another process finds it by importing its module
        if not name.startswith(PINNED):
            logger.info(
                "function %s was registered by a submit: a restarted process won't know it until it submits or "
                "registers it; use @manager.task, manager.register(), or TaskQueueManager(trust=(%r,))",
                name,
                name.partition(":")[0].partition(".")[0],
            )
        elif works:
            logger.warning(
                "%s is not a module-level function, so only this process can run it: if the process ends, its waiting "
                "tasks fail; submit a module-level function, or use the pickle codec (stored as %s)",
                described(registered.function),
                name,
            )


def _registered(name: str, function: Function) -> RegisteredFunction:
    return RegisteredFunction(
        name=name, function=function, is_coroutine=is_coroutine_function(function)
    )
