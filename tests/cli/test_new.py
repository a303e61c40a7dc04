"""`initkit new`: what it writes runs."""

from __future__ import annotations

import ast
import os
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from run.harness import free_port

from initkit.inits.render import docstring, toml
from initkit.settings.load import load

EXAMPLE = Path(__file__).resolve().parents[1] / "examples/app.py"
Run = Callable[..., "subprocess.CompletedProcess[str]"]


def get(port: int) -> str:
    """The answer of a service, as soon as it has one."""
    deadline = time.monotonic() + 15
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
                return str(answer.read().decode())
        except (urllib.error.URLError, ConnectionError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


@contextmanager
def running(argv: list[str], **more: object) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, **more)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


# --- the first command of all ---------------------------------------------------------------------------------------


def test_new_and_run_give_a_service_that_answers(tmp_path: Path, initkit: Run, environment: dict[str, str]) -> None:
    made = initkit("new", "app")
    assert (made.returncode, made.stderr) == (0, "")
    assert "wrote app.toml and app.py" in made.stdout
    assert "initkit run app --foreground" in made.stdout
    port = free_port()
    (tmp_path / "app.toml.d").mkdir()
    (tmp_path / "app.toml.d/port.toml").write_text(f'environment = {{ PORT = "{port}" }}\n')
    argv = [sys.executable, "-m", "initkit", "run", "app", "--foreground"]
    with running(argv, cwd=tmp_path, env=environment) as process:
        assert get(port) == "app is running\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=15) in (0, -signal.SIGTERM)
    with pytest.raises(urllib.error.URLError), urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1):
        pass


def test_what_is_written_is_sound(tmp_path: Path, initkit: Run) -> None:
    initkit("new", "app")
    service = load(str(tmp_path / "app.toml"))
    assert (service.type, service.restart, service.wanted_by) == ("notify", "on-failure", ("multi-user.target",))
    assert service.exec_start[0].words == (os.path.abspath(sys.executable), str(tmp_path / "app.py"))
    assert service.exec_reload[0].words == ("/bin/kill", "-HUP", "$MAINPID")
    # Every setting that is shown as a comment could be taken out of it.
    shown = [
        line[2:] for line in (tmp_path / "app.toml").read_text().splitlines() if line.startswith("# ") and " = " in line
    ]
    assert len(shown) >= 15
    for line in shown:
        tomllib.loads(line)
    ran = initkit("check", "app")
    assert ran.returncode == 0, ran.stdout


def test_the_example_is_what_new_writes(tmp_path: Path, initkit: Run) -> None:
    initkit("new", "app")
    assert (tmp_path / "app.py").read_text() == EXAMPLE.read_text()


# --- never over anything --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("taken", ["app.toml", "app.py"])
@pytest.mark.parametrize("link", [False, True])
def test_new_never_overwrites(tmp_path: Path, initkit: Run, taken: str, link: bool) -> None:
    if link:
        (tmp_path / taken).symlink_to("nowhere")
    else:
        (tmp_path / taken).write_text("mine")
    made = initkit("new", "app")
    assert made.returncode == 73
    assert made.stderr == f"initkit: {taken}: is there already; nothing was written (`initkit new` never overwrites)\n"
    assert os.listdir(tmp_path) == [taken]


def test_of_many_at_once_one_writes(tmp_path: Path, initkit: Run) -> None:
    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(pool.map(lambda _: initkit("new", "app").returncode, range(8)))
    assert statuses == [0] + [73] * 7
    assert sorted(os.listdir(tmp_path)) == ["app.py", "app.toml"]
    load(str(tmp_path / "app.toml"))
    ast.parse((tmp_path / "app.py").read_text())


def test_where_nothing_can_be_written(tmp_path: Path, initkit: Run) -> None:
    tmp_path.chmod(0o555)
    made = initkit("new", "app")
    assert (made.returncode, made.stderr) == (73, "initkit: app.py: Permission denied; nothing was written\n")


@pytest.mark.parametrize(
    ("argv", "status", "said"),
    [
        (["new"], 64, "APP"),
        (["new", "a b"], 64, "cannot be a service's name"),
        (["new", "a/b"], 64, "cannot be a service's name"),
        (["new", "app", "--"], 64, "expected a command after --"),
        (["new", "app", "sleep"], 64, "unrecognized arguments: sleep"),
        (["new", "app", "--", "no-such-program"], 1, "no-such-program: no such program in $PATH"),
        (["new", "app", "--", "./nothing"], 1, "./nothing: no such program"),
        (["new", "app", "--", "sleep", b"\xff"], 64, "is not UTF-8, and TOML is"),
    ],
)
def test_wrong_words(tmp_path: Path, initkit: Run, argv: list[str | bytes], status: int, said: str) -> None:
    made = initkit(*argv)
    assert made.returncode == status
    assert said in made.stderr
    assert made.stderr.count("\n") == 1
    assert os.listdir(tmp_path) == []


# --- a command ------------------------------------------------------------------------------------------------------

HOSTILE = [
    "a b", "", "'", '"', "\\", "\\n", "new\nline", "\t", "%", "%%", "100%", "%n", "$", "$$", "$HOME", "${HOME}", "$5",
    ";", "\\;", "#x", "[x]", "*", "~", "é", "日本", "\u2028", "\x7f", "\x01", "-", "--", "{{ x }}", "{% x %}", " lead",
    "trail ", "a=b", "`id`", "!", "&", "|", "\ufeff",
]  # fmt: skip


def test_a_command_arrives_as_it_was_given(tmp_path: Path, initkit: Run) -> None:
    script = tmp_path / "print me %d"
    script.write_text(f"#!{sys.executable}\nimport sys\nprint(ascii(sys.argv[1:]))\n")
    script.chmod(0o755)
    made = initkit("new", "app", "--", f"./{script.name}", *HOSTILE)
    assert made.returncode == 0, made.stderr
    assert sorted(os.listdir(tmp_path)) == ["app.toml", script.name]
    (tmp_path / "app.toml.d").mkdir()
    (tmp_path / "app.toml.d/x.toml").write_text('type = "simple"\nrestart = "no"\nstandard_output = "inherit"\n')
    ran = initkit("run", "app", "--foreground")
    assert ast.literal_eval(ran.stdout) == HOSTILE, ran.stderr


def test_a_command_is_not_sent_signals_that_it_may_die_of(tmp_path: Path, initkit: Run) -> None:
    initkit("new", "app", "--", "sleep", "1000")
    assert load(str(tmp_path / "app.toml")).exec_reload == ()
    assert '# exec_reload = ["/bin/kill", "-HUP", "$MAINPID"] ' in (tmp_path / "app.toml").read_text()


def test_a_name_is_looked_up_in_the_path(tmp_path: Path, initkit: Run) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "tool").write_text("#!/bin/sh\n")
    (folder / "tool").chmod(0o755)
    initkit("new", "app", "--", "tool", "x", PATH=str(folder))
    assert load(str(tmp_path / "app.toml")).exec_start[0].words == (str(folder / "tool"), "x")


@given(st.text(st.characters(blacklist_categories=["Cs"])))
def test_any_text_is_a_string_of_toml(text: str) -> None:
    assert tomllib.loads(f"x = {toml(text)}") == {"x": text}
    assert tomllib.loads(f"x = {toml([text, text])}") == {"x": [text, text]}


@given(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0")))
def test_any_text_stays_in_a_docstring(text: str) -> None:
    compiled = ast.parse(f'"""{docstring(text)}: and more"""').body
    assert len(compiled) == 1
    assert ast.literal_eval(compiled[0].value) == " ".join(text.split()) + ": and more"  # type: ignore[attr-defined]


# --- the small service ----------------------------------------------------------------------------------------------


def received(manager: socket.socket) -> list[str]:
    return manager.recv(4096).decode().splitlines()


@pytest.mark.parametrize("abstract", [False, True])
def test_the_service_speaks_to_its_manager(tmp_path: Path, abstract: bool) -> None:
    program = tmp_path / "app.py"
    program.write_bytes(EXAMPLE.read_bytes())
    shown = f"@initkit-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    port = free_port()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(shown.replace("@", "\0", 1) if abstract else shown)
        manager.settimeout(15)
        with running([sys.executable, str(program)], env={"PORT": str(port), "NOTIFY_SOCKET": shown}) as process:
            assert received(manager) == ["READY=1", f"STATUS=Listening on port {port}"]
            assert get(port) == "app is running\n"
            before = time.monotonic_ns() // 1000
            (tmp_path / "app.txt").write_text("other\n")
            process.send_signal(signal.SIGHUP)
            reloading, stamp = received(manager)
            assert reloading == "RELOADING=1"
            assert before <= int(stamp.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000
            assert received(manager) == ["READY=1"]
            assert get(port) == "other\n"
            process.send_signal(signal.SIGTERM)
            assert received(manager) == ["STOPPING=1"]
            assert process.wait(timeout=15) == 0


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_the_service_works_by_itself(tmp_path: Path, end: signal.Signals) -> None:
    port = free_port()
    with running([sys.executable, str(EXAMPLE)], env={"PORT": str(port), "NOTIFY_SOCKET": "/nowhere"}) as process:
        get(port)
        process.send_signal(end)
        assert process.wait(timeout=15) == 0


@pytest.mark.parametrize("port", ["taken", "none", "-1", "70000"])
def test_a_port_it_cannot_have_is_one_line(port: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = str(holder.getsockname()[1]) if port == "taken" else port
        argv = [sys.executable, str(EXAMPLE)]
        ran = subprocess.run(argv, env={"PORT": port}, capture_output=True, text=True, timeout=30, check=False)
    assert ran.returncode == 78
    assert ran.stderr.startswith(f"app: cannot listen on 127.0.0.1 port {port}: ")
    assert ran.stderr.count("\n") == 1


# --- what is suggested ----------------------------------------------------------------------------------------------


def suggested(made: subprocess.CompletedProcess[str]) -> list[str]:
    """The commands of initkit's that are told to be next."""
    return [line.strip() for line in made.stdout.splitlines() if line.startswith("  initkit ")]


@pytest.mark.parametrize(("given", "name"), [("x@", "x@"), ("x.service", "x"), ("x.toml", "x"), ("x", "x")])
def test_what_is_suggested_works(tmp_path: Path, initkit: Run, given: str, name: str) -> None:
    made = initkit("new", given, "--", "/bin/true")
    assert os.listdir(tmp_path) == [f"{name}.toml"]
    commands = suggested(made)
    assert len(commands) == 5
    for command in commands:
        words = command.partition(" > ")[0].split()[1:]
        more = ["--dry-run"] if words[0] == "run" else []
        assert initkit(*words, *more).returncode == 0, command
    assert commands[-1].endswith(f"&& chmod +x /etc/init.d/{'x@1' if name == 'x@' else name}")
    for line in (tmp_path / f"{name}.toml").read_text().splitlines():
        if line.startswith("#   initkit gen"):
            assert initkit(*line.split()[2:4]).returncode == 0, line


def test_without_system_call_filters_all_else_binds(tmp_path: Path, initkit: Run) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    for module in ("seccomp", "pyseccomp"):
        (hidden / f"{module}.py").write_text('raise ImportError("hidden by the test")\n')
    initkit("new", "app", PYTHONPATH=str(hidden))
    text = (tmp_path / "app.toml").read_text()
    assert 'remove the "#":\n# a system call filter needs libseccomp' in text
    service = load(str(tmp_path / "app.toml"))
    assert service.no_new_privileges
    assert not any(map(service.has, ("SystemCallFilter", "RestrictNamespaces", "ProtectClock", "PrivateDevices")))
    for line in ("protect_clock = true", 'system_call_filter = ["@system-service", "~@privileged @resources"]'):
        assert f"\n# {line}\n" in text
    if subprocess.run(["unshare", *(["-rm"] if os.geteuid() else ["-m"]), "true"], check=False).returncode == 0:
        assert all(map(service.has, ("ProtectSystem", "PrivateIPC", "ProtectControlGroups", "CapabilityBoundingSet")))
        (tmp_path / "app.toml.d").mkdir()
        port = free_port()
        (tmp_path / "app.toml.d/port.toml").write_text(f'environment = {{ PORT = "{port}" }}\n')
        ran = initkit("check", "app", PYTHONPATH=str(hidden))
        assert ran.returncode == 0, ran.stdout
