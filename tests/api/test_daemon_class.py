"""The Daemon class: its command line, its signals, its commands, and who may give them."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from initkit import Daemon, InitkitError, NoSuchCommand, NotPermitted, NotRunning, SettingsError, command
from initkit.daemon.commands import Usage, converted, usage
from initkit.run import commands
from initkit.settings.service import Entry, Service

from .conftest import CHECKOUT, Place, Result, alive, wait_for

PROGRAM = """
import os, sys, time
from initkit import Daemon, command, notify

class Service(Daemon):
    '''A service for tests.'''

    reloads = 0

    def run(self):
        print("runs as", os.getuid(), flush=True)
        self.ready()
        while True:
            time.sleep(600)

    def reload(self):
        self.reloads += 1
        print("reload", self.reloads, flush=True)
        if os.path.exists(os.environ["HERE"] + "/refuse"):
            raise RuntimeError("not this time")

    @command
    def pid(self) -> int:
        '''The pid.'''
        return os.getpid()

    @command
    def count(self, number: int, factor: float = 1.5, really: bool = False, *rest: int) -> list:
        return [number, factor, really, *rest]

    @command
    def fail(self, text: str) -> None:
        raise ValueError(text)

    @command
    def leave(self):
        sys.exit("a command does not end the daemon")

    @command
    def slow(self, seconds: float) -> str:
        time.sleep(seconds)
        return "done"

if __name__ == "__main__":
    here = os.path.dirname(os.path.abspath(__file__))
    Service(
        name="NAME", standard_output=f"append:{here}/out", environment={"HERE": here, "PYTHONUNBUFFERED": "1"},
        OPTIONS
    ).main()
"""


class Program:
    """A program with a Daemon class in it."""

    def __init__(self, place: Place, options: str = "") -> None:
        self.place, self.out = place, place.path / "out"
        self.file = place.write("service.py", PROGRAM.replace("OPTIONS", options))

    def __call__(self, *words: object, **more: str) -> Result:
        return self.place.run(self.file, *words, **more)

    def ok(self, *words: object) -> str:
        done = self(*words)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.rstrip("\n")

    def pid(self) -> int:
        return int(self.ok("pid"))


@pytest.fixture(params=["simple", "supervised"])
def program(request: pytest.FixtureRequest, place: Place) -> Iterator[Program]:
    """A daemon as a process of its own, and one under a supervisor."""
    made = Program(place, "type='notify', restart='on-failure', restart_sec=0" if request.param == "supervised" else "")
    yield made
    made("stop")


# --- the command line -------------------------------------------------------------------------------------------------


def test_a_life(program: Program) -> None:
    assert program("status").returncode == 3
    assert program("status").stdout.endswith(": stopped\n")
    assert program.ok("start") == ""
    pid = program.pid()
    assert alive(pid)
    assert program.ok("status").startswith(f"{program.place.name}: running, pid ")
    told = json.loads(program.ok("status", "--json"))
    assert (told["state"], told["pid"]) == ("running", pid)
    assert abs(told["since"] - time.time()) < 60
    again = program("start")
    assert (again.returncode, "already running" in again.stderr) == (0, True)
    assert program.pid() == pid
    assert program.ok("restart") == ""
    second = program.pid()
    assert second != pid
    assert not alive(pid)
    assert program.ok("stop") == ""
    assert not alive(second)
    assert program("status").returncode == 3
    stopped = program("stop")
    assert (stopped.returncode, "was not running" in stopped.stderr) == (0, True)


def test_dead_with_a_pid_file(place: Place) -> None:
    program = Program(place)
    program.ok("start")
    pid = program.pid()
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not alive(pid))
    done = program("status")
    assert (done.returncode, done.stdout) == (1, f"{place.name}: dead, but its PID file is there\n")
    called = program("pid")
    assert (called.returncode, called.stderr) == (7, f"service.py: {place.name} is not running\n")
    with open(place.root / f"{place.name}.commands.lock", "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # as somebody who answers there
        program("stop")
        assert [each.suffix for each in place.root.glob(f"{place.name}.*") if each.suffix != ".lock"] == [".commands"]
    program("stop")
    assert [each.suffix for each in place.root.glob(f"{place.name}.*") if each.suffix != ".lock"] == []
    program.ok("start")
    program.ok("stop")
    assert program("status").returncode == 3


def test_a_crash_is_answered_by_a_restart(place: Place) -> None:
    program = Program(place, "type='notify', restart='on-failure', restart_sec=0")
    program.ok("start")
    first = program.pid()
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: (done := program("pid")).returncode == 0 and int(done.stdout) != first)
    program.ok("stop")
    assert place.processes() == []


def test_a_start_that_fails(place: Place) -> None:
    file = place.write(
        "service.py",
        "import sys\nfrom initkit import Daemon\n"
        "class Service(Daemon):\n    def run(self): sys.exit(23)\n"
        "Service(name='NAME', initkit={'settle_sec': 1000}).main()\n",
    )
    done = place.run(file, "start")
    assert done.returncode == 23
    assert "exited with status 23 right after its start" in done.stderr
    assert place.run(file, "status").returncode == 3


@pytest.mark.parametrize("how", ["--foreground", "--daemon"])
def test_an_exception_ends_it(place: Place, how: str) -> None:
    """With a traceback, whatever the exception is."""
    file = place.write(
        "service.py",
        "from initkit import Daemon\n"
        "class Service(Daemon):\n    def run(self): raise ValueError('a mistake')\n"
        "Service(name='NAME', initkit={'settle_sec': 1000}).main()\n",
    )
    done = place.run(file, "run", how)
    assert done.returncode == 1
    assert "in run\n" in done.stderr
    assert "ValueError: a mistake" in done.stderr


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        ((), 64, "required"),
        (("nonsense",), 64, "invalid choice: 'nonsense'"),
        (("start", "now"), 64, "unrecognized arguments: now"),
        (("--help",), 0, ""),
        (("count", "--help"), 0, ""),
        (("reload",), 7, "is not running"),
        (("pid",), 7, "is not running"),
    ],
)
def test_a_command_line_that_cannot_be(place: Place, words: tuple[str, ...], status: int, text: str) -> None:
    done = Program(place)(*words)
    assert done.returncode == status
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_help_tells_of_the_commands(place: Place) -> None:
    program = Program(place)
    assert "The pid." in program.ok("--help")
    assert "count NUMBER:int [FACTOR:float] [REALLY:bool] [REST:int]…" in program.ok("count", "--help")


def test_settings_that_cannot_be_used(place: Place) -> None:
    done = Program(place, "restart='sometimes'")("start")
    assert done.returncode == 78
    assert 'Service(): restart = "sometimes"' in done.stderr
    assert "Traceback" not in done.stderr


# --- in the foreground ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_in_the_foreground(place: Place, number: int) -> None:
    program = Program(place)
    begun = place.begin(program.file, "run", "--foreground")
    wait_for(lambda: program("pid").returncode == 0)
    assert program.pid() == begun.pid  # nothing is between
    assert program("status").stdout.startswith(f"{place.name}: running in the foreground, pid {begun.pid}")
    refused = program("stop")
    assert (refused.returncode, "whoever started it can stop it" in refused.stderr) == (1, True)
    program.ok("reload")
    wait_for(lambda: "reload 1" in program.out.read_text())
    begun.send_signal(number)
    assert begun.wait(20) == 0
    assert program("status").returncode == 3


def test_the_interpreters_end_is_done_properly(place: Place) -> None:
    file = place.write(
        "service.py",
        "import atexit, os\nfrom initkit import Daemon\n"
        "class Service(Daemon):\n"
        "    def run(self):\n        atexit.register(print, 'at exit')\n        print('runs')\n        return 3\n"
        f"Service(name='NAME', standard_output='append:{place.path}/out', initkit={{'settle_sec': 0}}).main()\n",
    )
    out = place.path / "out"
    assert place.run(file, "run", "--foreground").returncode == 3
    assert out.read_text() == "runs\nat exit\n"
    place.run(file, "run", "--daemon")
    wait_for(lambda: out.read_text() == "runs\nat exit\n" * 2)


# --- signals ----------------------------------------------------------------------------------------------------------


def test_reload(program: Program) -> None:
    program.ok("start")
    pid = program.pid()
    program.ok("reload")
    wait_for(lambda: "reload 1\n" in program.out.read_text())
    (program.place.path / "refuse").touch()
    program.ok("reload")
    wait_for(lambda: "not this time" in program.out.read_text())
    (program.place.path / "refuse").unlink()
    program.ok("reload")
    wait_for(lambda: "reload 3\n" in program.out.read_text())
    assert program.pid() == pid


def test_a_service_without_a_reload_lives_on(place: Place) -> None:
    file = place.write(
        "service.py",
        "import time\nfrom initkit import Daemon\n"
        f"class Service(Daemon):\n    def run(self): open('{place.path}/up', 'w'); time.sleep(600)\n"
        "Service(name='NAME', initkit={'settle_sec': '10ms'}).main()\n",
    )
    assert place.run(file, "start").returncode == 0
    wait_for((place.path / "up").exists)  # nobody but the program itself knows when it hears signals
    for _ in range(3):
        assert place.run(file, "reload").returncode == 0
    assert place.run(file, "status").returncode == 0
    assert place.run(file, "stop").returncode == 0


# --- commands ---------------------------------------------------------------------------------------------------------


def test_commands(program: Program) -> None:
    program.ok("start")
    assert program.ok("count", 3) == "[3, 1.5, false]"
    assert program.ok("count", -3, "1e3", "yes", 5, 6) == "[-3, 1000.0, true, 5, 6]"
    for words, text in (
        (("count",), "0 arguments given; usage: count NUMBER:int"),
        (("count", "x"), "number = 'x': expected int"),
        (("count", "1", "1", "perhaps"), "really = 'perhaps': expected bool"),
        (("pid", "1"), "1 argument given; usage: pid"),
        (("fail", "naïve ✓"), "fail: naïve ✓"),
        (("leave",), "leave: a command does not end the daemon"),
    ):
        done = program(*words)
        assert done.returncode == 1
        assert text in done.stderr
    assert "ValueError: naïve ✓" in program.out.read_text()  # with its traceback, in the log
    program.pid()


def test_initkit_call(program: Program) -> None:
    """The same by initkit's own command line, which knows the settings only."""
    settings = program.place.write(f"{program.place.name}.toml", 'exec_start = ["/bin/true"]\n')
    program.ok("start")
    initkit = ("-m", "initkit", "call", settings)
    done = program.place.run(*initkit, "count", "1", "2")
    assert (done.returncode, done.stdout, done.stderr) == (0, "[1, 2.0, false]\n", "")
    done = program.place.run(*initkit, "fail", "so it is")
    assert (done.returncode, "so it is" in done.stderr) == (1, True)
    program.ok("stop")
    assert program.place.run(*initkit, "pid").returncode == 7


def test_a_daemon_that_is_slow_to_listen_is_waited_for(place: Place) -> None:
    """Asleep, until its socket is there."""
    gate, client = place.path / "gate", place.path / "client.py"
    late = """
        from initkit.daemon import serving
        listen = serving._listen
        def late(daemon):
            while not os.path.exists(os.environ["HERE"] + "/gate"):
                time.sleep(0.01)
            return listen(daemon)
        serving._listen = late
        """
    Program(place)
    with (place.path / "service.py").open("a") as file:
        file.write(dedent(late))
    place.write(
        client.name,
        f"""
        import pathlib, threading, time
        from initkit.daemon import control as module
        from service import Service
        module._YOUNG = 30
        control = Service(name="NAME", environment={{"HERE": {str(place.path)!r}}}, initkit={{"settle_sec": 0}}).control
        pid = control.start()
        asking = threading.Thread(target=lambda: print(control.call("pid") == str(pid), flush=True))
        asking.start()
        def switches():
            status = pathlib.Path(f"/proc/self/task/{{asking.native_id}}/status").read_text()
            return status.partition("\\nvoluntary_ctxt_switches:")[2].split()[0]
        found, before = switches(), ""
        while found != before:
            time.sleep(0.2)
            found, before = switches(), found
        print("asleep", flush=True)
        pathlib.Path({str(gate)!r}).touch()
        asking.join()
        control.stop()
        """,
    )
    done = place.run(client)
    assert (done.stdout, done.stderr) == ("asleep\nTrue\n", "")


def test_a_stop_leaves_its_callers_signals_alone(place: Place) -> None:
    """Where a manager was killed, and its start may go on: in any thread, and with no timer of the program's."""
    Program(place)
    client = place.write(
        "client.py",
        """
        import os, select, signal, threading
        from service import Service
        control = Service(name="NAME", restart="always", environment={"HERE": "/"}).control
        def stop():
            print(control.stop(), control.status().state)
        def thread():
            stopping = threading.Thread(target=stop)
            stopping.start()
            stopping.join()
        signal.setitimer(signal.ITIMER_REAL, 1000)
        for act in (stop, thread):
            control.start()
            manager = os.pidfd_open(control.status().supervisor)
            signal.pidfd_send_signal(manager, signal.SIGKILL)
            select.select([manager], [], [])
            act()
        print(signal.getitimer(signal.ITIMER_REAL)[0] > 0, signal.getsignal(signal.SIGALRM) == signal.SIG_DFL)
        """,
    )
    done = place.run(client)
    assert (done.stdout.splitlines(), done.stderr) == (["True stopped", "True stopped", "True True"], "")


def test_exceptions_with_a_meaning(place: Place) -> None:
    """As Python sees it: `Control`."""
    program = Program(place)
    client = place.write(
        "client.py",
        """
        import sys
        from service import Service
        from initkit import AlreadyRunning, CommandFailed, InitkitError, NoSuchCommand, NotRunning
        control = Service(name="NAME", environment={"HERE": "/"}, initkit={"settle_sec": "10ms"}).control
        try:
            control.call("pid")
        except NotRunning as error:
            print(error, error.status)
        print(control.status().state, control.stop())
        pid = control.start()
        try:
            control.start()
        except AlreadyRunning as error:
            print(error.pid == pid)
        print(control.call("pid") == str(pid), control.call("count", 1, 2.5, True))
        try:
            control.call("nonsense")
        except NoSuchCommand as error:
            print(error.known)
        try:
            control.call("fail", "text")
        except CommandFailed as error:
            print(error.command, error.reason)
        try:
            control.call("slow", 1, timeout=0.1)
        except CommandFailed as error:
            print(error)
        control.reload()
        print(control.restart() != pid, control.stop(), control.status().state)
        """,
    )
    done = place.run(client)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == f"{place.name} is not running 7"
    assert lines[1:5] == ["stopped False", "True", "True [1, 2.5, true]", str(tuple(sorted(COMMANDS)))]
    assert lines[5] == "fail text"
    assert "within 0.1 s" in lines[6]
    assert lines[7] == "True True stopped"
    assert program("status").returncode == 3


COMMANDS = ("count", "fail", "leave", "pid", "slow")


def test_a_caller_finds_the_varlink_interface(place: Place) -> None:
    program = Program(place)
    program.ok("start")
    with connect(place) as client:
        reply = ask(client, "org.varlink.service.GetInterfaceDescription", interface="io.initkit.Manager")
        assert "method Call(" in reply["parameters"]["description"]
        reply = ask(client, "io.initkit.Manager.Status")
        assert reply["parameters"]["service"]["commands"] == sorted(COMMANDS)
        assert reply["parameters"]["service"]["mainPid"] == program.pid()
        assert ask(client, "io.initkit.Manager.Stop")["error"] == "org.varlink.service.MethodNotImplemented"


def connect(place: Place) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(20)
    client.connect(str(place.root / f"{place.name}.commands"))
    return client


def ask(client: socket.socket, method: str, **parameters: str) -> dict[str, dict[str, dict[str, object]]]:
    client.sendall(json.dumps({"method": method, "parameters": parameters}).encode() + b"\0")
    data = b""
    while not data.endswith(b"\0"):
        more = client.recv(65536)
        assert more, f"closed after {data!r}"
        data += more
    found: dict[str, dict[str, dict[str, object]]] = json.loads(data[:-1])
    return found


def test_bad_clients_keep_nobody_waiting(place: Place) -> None:
    program = Program(place)
    program.ok("start")
    silent = [connect(place) for _ in range(10)]
    for each in silent[:5]:
        each.sendall(b'{"method": "io.initkit.Man')  # and no more
    with connect(place) as flooding:
        flooding.settimeout(0.2)
        try:
            for _ in range(100):
                flooding.sendall(b"x" * 65536)
        except OSError:
            pass  # dropped
    with connect(place) as liar:
        liar.sendall(b'{"method": 5}\0')
        assert liar.recv(10) == b""
    program.pid()
    for each in silent[5:]:  # they have not been waited for: those have a minute
        each.setblocking(False)
        with pytest.raises(BlockingIOError):
            each.recv(1)
    for each in silent:
        each.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_another_users_commands(place: Place) -> None:
    """A daemon of nobody's answers nobody and root, and no other user."""
    program = Program(place, "user='nobody',")
    program.ok("start")
    assert "runs as 65534" in program.out.read_text()
    program.pid()  # root may
    assert (place.root / f"{place.name}.d" / "commands").is_socket()
    service = Service(place.name, "", (Entry("Service", "User", "nobody"),))
    for uid, status in ((65534, 0), (0, 0), (12345, 4)):
        child = os.fork()  # the interpreter may be where such users cannot get to
        if child == 0:
            try:
                os.setgroups([])
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
                commands.call(service, "pid")
                os._exit(0)
            except InitkitError as error:
                os._exit(error.status)
            finally:
                os._exit(99)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == status
    program.ok("stop")


# --- the class --------------------------------------------------------------------------------------------------------


def test_a_command_cannot_take_a_verbs_name() -> None:
    with pytest.raises(TypeError, match=r"Wrong\.status cannot be a command"):

        class Wrong(Daemon):
            @command
            def status(self) -> str:
                return ""


def test_commands_are_inherited() -> None:
    class First(Daemon):
        @command
        def one_thing(self) -> str:
            return "1"

        @command
        def other(self) -> str:
            return "2"

    class Second(First):
        def other(self) -> str:  # no command any more
            return "3"

    assert set(First.commands) == {"one-thing", "other"}
    assert set(Second.commands) == {"one-thing"}
    assert set(Daemon.commands) == set()


def test_settings_of_a_file_and_of_arguments(tmp_path: Path) -> None:
    file = tmp_path / "thing.toml"
    file.write_text('exec_start = ["/bin/true"]\nnice = 5\nrestart = "always"\n')
    service = Daemon(file, nice=7, pid_file="own.pid").service
    assert (service.name, service.nice, service.restart, service.exec_start) == ("thing", 7, "always", ())
    assert service.pid_path.endswith("/own.pid")
    assert service.type == "simple"
    assert Daemon().service.name == "daemon"
    with pytest.raises(SettingsError, match="unknown directive"):
        Daemon(colour="red").service  # noqa: B018
    with pytest.raises(SettingsError, match="exec_start"):
        Daemon(exec_start=["/bin/true"]).service  # noqa: B018
    with pytest.raises(SettingsError, match="no such file"):
        Daemon(tmp_path / "other.toml").service  # noqa: B018


def test_what_a_parameter_takes() -> None:
    def method(self: object, one: int, two: "float | None" = None, *, key: str = "") -> None: ...  # noqa: UP037

    assert converted(method, ["1", "2"]) == [1, 2.0]
    assert usage("method", method) == "method ONE:int [TWO:float]"
    with pytest.raises(Usage):
        converted(method, [])
    with pytest.raises(Usage):
        converted(method, ["1", "2", "3"])


def test_nobody_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = Daemon(name=f"absent-{os.getpid()}").service
    with pytest.raises(NotRunning) as caught:
        commands.call(service, "anything")
    assert caught.value.status == 7
    assert commands.ping(service) == 0


def test_public_names() -> None:
    program = (
        "import sys, initkit\n"
        "assert set(sys.modules) & {'initkit.daemon', 'initkit.run'} == set()\n"
        "before = set(sys.modules)\n"
        "from initkit import daemonize, notify, Daemon, command\n"
        "heavy = {'jinja2', 'argparse', 'typing', 're', 'socket', 'sdnotify', 'json', 'subprocess', 'threading'}\n"
        "assert not heavy & (set(sys.modules) - before), heavy & (set(sys.modules) - before)\n"
        "import initkit.detach, initkit.daemon\n"
        "assert callable(initkit.daemonize) and initkit.notify.ready and initkit.Daemon is Daemon\n"
        "for name in initkit.__all__: getattr(initkit, name)\n"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", program],
        env={"PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_errors_have_their_statuses() -> None:
    assert [error.status for error in (NotRunning, NotPermitted, NoSuchCommand)] == [7, 4, 64]
