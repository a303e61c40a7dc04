"""Varlink, https://varlink.org: requests and replies as JSON texts that end with a NUL byte."""

from __future__ import annotations

import os

from initkit import __version__
from initkit.run import interface, logs
from initkit.run.api import EVERYTHING, NOTHING, Fault, Violation, one_of, refreshed
from initkit.run.jsontext import dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from initkit.run.connection import Connection

    Parameters = dict[str, Any]

_SERVICE = "org.varlink.service"
_SERVICE_DESCRIPTION = """\
# The Varlink Service Interface is provided by every varlink service. It describes the service and the interfaces it
# implements.
interface org.varlink.service

# Get a list of all the interfaces a service provides and information about the implementation.
method GetInfo() -> (
  vendor: string,
  product: string,
  version: string,
  url: string,
  interfaces: []string
)

# Get the description of an interface that is implemented by this service.
method GetInterfaceDescription(interface: string) -> (description: string)

# The requested interface was not found.
error InterfaceNotFound (interface: string)

# The requested method was not found
error MethodNotFound (method: string)

# The interface defines the requested method, but the service does not implement it.
error MethodNotImplemented (method: string)

# One of the passed parameters is invalid.
error InvalidParameter (parameter: string)

# Client is denied access
error PermissionDenied ()

# Method is expected to be called with 'more' set to true, but wasn't
error ExpectedMore ()
"""
_DESCRIPTIONS = {_SERVICE: _SERVICE_DESCRIPTION, interface.NAME: interface.DESCRIPTION}
#: The methods that change nothing.
_READING = frozenset(("Status", "List", "Ping", "Logs", "GetInfo", "GetInterfaceDescription"))
_TYPES = {"string": str, "int": int, "bool": bool}
_LINES = 10
_MOST_LINES = 10_000


class _ServiceFault(Exception):  # noqa: N818
    """An error of org.varlink.service."""

    def __init__(self, name: str, /, **parameters: str) -> None:
        self.name, self.parameters = name, parameters


class Conversation:
    """What is said on one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._searched = 0  # bytes of the first request that hold no NUL
        self._oneway = self._more = self._gone = False
        self._last: Callable[[], Parameters] | None = None  # what a stream ends with
        self._unsubscribe: Callable[[], None] | None = None

    def complete(self, inbox: bytearray) -> int:
        """The length of the first request with its NUL byte, or 0."""
        found = inbox.find(0, self._searched) + 1
        self._searched = 0 if found else len(inbox)
        return found

    def handle(self, request: bytes) -> None:
        """Answer a request, or see to it that it will be."""
        method, parameters = self._read(request)
        try:
            answer = self._method(method, parameters)
            found = answer(parameters)
        except (_ServiceFault, Fault, NotImplementedError) as fault:
            self._fail(method, fault)
        else:
            if found is not None:
                self._reply(found)

    def refuse(self, reason: str) -> None:
        """There are too many clients."""
        self._fail("", Fault("Busy", reason=reason))

    def finish(self) -> None:
        """The manager ends: so do the streams."""
        last, self._last = self._last, None
        if last is not None:
            self._reply(last())

    def cancel(self) -> None:
        """The client has gone."""
        self._gone = True
        self._end_stream()

    def _end_stream(self) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None

    # --- requests and replies -------------------------------------------------------------------------------------

    def _read(self, request: bytes) -> tuple[str, Parameters]:
        try:
            call = loads(request[:-1])
        except ValueError as fault:
            raise Violation(str(fault)) from None
        if not isinstance(call, dict):
            raise Violation("expected an object")
        method, parameters = call.get("method"), call.get("parameters")
        self._oneway, self._more = call.get("oneway") is True, call.get("more") is True
        parameters = {} if parameters is None else parameters
        if not isinstance(method, str) or not isinstance(parameters, dict) or (self._oneway and self._more):
            raise Violation("expected a method call")
        return method, parameters

    def _method(self, method: str, parameters: Parameters) -> Callable[[Parameters], Parameters | None]:
        """The function for a call that is known, permitted, and has the parameters that it should have."""
        where, _, name = method.rpartition(".")
        if self._connection.rights == NOTHING:
            raise _ServiceFault("PermissionDenied")
        if where not in _DESCRIPTIONS:
            raise _ServiceFault("InterfaceNotFound", interface=where)
        expected = _signatures(where).get(name)
        if expected is None:
            raise _ServiceFault("MethodNotFound", method=method)
        if name not in _READING and self._connection.rights != EVERYTHING:
            raise _ServiceFault("PermissionDenied")
        for each in parameters:
            if each not in expected:
                raise _ServiceFault("InvalidParameter", parameter=each)
        for each, kind in expected.items():
            if not _fits(kind, parameters.get(each)):
                raise _ServiceFault("InvalidParameter", parameter=each)
        found: Callable[[Parameters], Parameters | None] = getattr(self, f"_{name.lower()}")
        return found

    def _reply(self, parameters: Parameters, *, continues: bool = False) -> None:
        if not self._oneway:
            more = {"continues": True} if continues else {}
            self._connection.send(dumps({"parameters": parameters, **more}) + b"\0")
        if not continues:
            self._end_stream()
            self._connection.answered()

    def _fail(self, method: str, fault: Exception) -> None:
        if isinstance(fault, Fault):
            name, parameters = f"{interface.NAME}.{fault.name}", fault.parameters
        elif isinstance(fault, _ServiceFault):
            name, parameters = f"{_SERVICE}.{fault.name}", dict(fault.parameters)
        else:
            name, parameters = f"{_SERVICE}.MethodNotImplemented", {"method": method}
        if not self._oneway:
            self._connection.send(dumps({"error": name, "parameters": parameters}) + b"\0")
        self._connection.answered()

    def _later(self, method: str) -> Callable[[Exception | None], None]:
        """What to call when something is done. A call that is `oneway` does not hold up the next."""
        if self._oneway:
            self._connection.answered()
            return lambda fault: None
        return lambda fault: self._reply({}) if fault is None else self._fail(method, fault)

    # --- org.varlink.service --------------------------------------------------------------------------------------

    def _getinfo(self, given: Parameters) -> Parameters:
        about = {"vendor": "initkit", "product": "initkit", "version": __version__, "url": ""}
        return {**about, "interfaces": sorted(_DESCRIPTIONS)}

    def _getinterfacedescription(self, given: Parameters) -> Parameters:
        if given["interface"] not in _DESCRIPTIONS:
            raise _ServiceFault("InterfaceNotFound", interface=given["interface"])
        return {"description": _DESCRIPTIONS[given["interface"]]}

    # --- io.initkit.Manager ---------------------------------------------------------------------------------------

    def _name(self, given: Parameters) -> str:
        return one_of(self._connection.server.manager, given.get("name"))

    def _start(self, given: Parameters) -> None:
        self._connection.server.manager.start(self._name(given), self._later("Start"))

    def _stop(self, given: Parameters) -> None:
        self._connection.server.manager.stop(self._name(given), self._later("Stop"))

    def _restart(self, given: Parameters) -> None:
        self._connection.server.manager.restart(self._name(given), self._later("Restart"))

    def _reload(self, given: Parameters) -> None:
        self._connection.server.manager.reload(self._name(given), self._later("Reload"))

    def _kill(self, given: Parameters) -> Parameters:
        from initkit.settings.values import signal

        name, whom = self._name(given), given.get("whom") or "all"
        if whom not in ("main", "logger", "all"):
            raise _ServiceFault("InvalidParameter", parameter="whom")
        try:
            number = signal(given.get("signal") or "SIGTERM")
        except ValueError:
            raise _ServiceFault("InvalidParameter", parameter="signal") from None
        self._connection.server.manager.kill(name, number, whom)
        return {}

    def _status(self, given: Parameters) -> None:
        manager, name = self._connection.server.manager, self._name(given)
        self._last = lambda: {"service": manager.status(name)}

        def told(changed: str) -> None:
            if changed == name:
                self._reply({"service": manager.status(name)}, continues=True)

        def begin() -> None:
            if self._more:
                self._connection.streaming = True
                self._unsubscribe = manager.subscribe(told)
                told(name)
            else:
                self.finish()

        refreshed(manager, [name], self._unless_gone(begin))

    def _list(self, given: Parameters) -> None:
        manager = self._connection.server.manager
        self._last = lambda: {"services": [manager.status(name) for name in manager.names()]}
        refreshed(manager, manager.names(), self._unless_gone(self.finish))

    def _unless_gone(self, act: Callable[[], None]) -> Callable[[], None]:
        return lambda: None if self._gone else act()

    def _ping(self, given: Parameters) -> Parameters:
        return {"pid": os.getpid(), "version": __version__}

    def _logs(self, given: Parameters) -> Parameters | None:
        name, wanted = self._name(given), given.get("lines")
        count = _LINES if wanted is None else wanted
        if not 0 <= count <= _MOST_LINES:
            raise _ServiceFault("InvalidParameter", parameter="lines")
        manager = self._connection.server.manager
        path = manager.log_path(name, "stdout")
        try:
            found, end, all_read = logs.tail(path, count, whole=self._more)
            if all_read:
                found = logs.before(manager.older_logs(name, "stdout"), count - len(found)) + found
        except OSError:  # also where there is no path
            raise Fault("NoLog", name=name) from None
        if not self._more:
            return {"lines": found}
        from initkit.run.follow import Follow

        def told(lines: list[str]) -> None:
            self._reply({"lines": lines}, continues=True)

        self._last = lambda: {"lines": []}
        self._connection.streaming = True
        self._unsubscribe = Follow(self._connection.server.loop, path, end, told).close
        told(found)
        return None

    def _reopenlogs(self, given: Parameters) -> Parameters:
        self._connection.server.manager.reopen_logs(self._name(given))
        return {}

    def _call(self, given: Parameters) -> None:
        later = self._later("Call")

        def answered(result: str | Exception) -> None:
            if isinstance(result, Exception) or self._oneway:
                later(result if isinstance(result, Exception) else None)
            else:
                self._reply({"result": result})

        manager, name = self._connection.server.manager, self._name(given)
        manager.call(name, given["command"], given["arguments"], answered)


def _signatures(name: str) -> dict[str, dict[str, str]]:
    """The methods of an interface with their parameters and these' types, out of its description."""
    found = {}
    for line in _DESCRIPTIONS[name].splitlines():
        if line.startswith("method "):
            method, _, rest = line.removeprefix("method ").partition("(")
            given = rest.partition(")")[0]
            found[method] = dict(each.split(": ") for each in given.split(", ") if each)
    return found


def _fits(kind: str, value: object) -> bool:
    """Whether a value is of a type: https://varlink.org/Interface-Definition."""
    if kind.startswith("?"):
        return value is None or _fits(kind[1:], value)
    if kind.startswith("[]"):
        return isinstance(value, list) and all(_fits(kind[2:], each) for each in value)
    return isinstance(value, _TYPES[kind]) and (kind == "bool" or not isinstance(value, bool))
