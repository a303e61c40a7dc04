"""The prefix |, by which the user's shell runs a command: systemd.service(5), "COMMAND LINES"."""

from __future__ import annotations

import os
import pwd

import pytest

from .harness import Services

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
OWN = pwd.getpwuid(os.geteuid()).pw_shell or "/bin/sh"


def said(services: Services, text: str) -> str:
    finished = services.run(services.unit(text), "--foreground")
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_the_words_are_the_shells(services: Services) -> None:
    text = "ExecStart=|echo $$0 '\\\"two  blanks\\\"' $X 'a; echo more'\nEnvironment=X=x"
    assert said(services, text) == f"{OWN} two  blanks x a\nmore\n"


def test_variables_are_the_shells_with_a_colon(services: Services) -> None:
    assert said(services, "ExecStart=:|echo ${X%.*} $X\nEnvironment=X=a.b") == "a a.b\n"


def test_a_login_shell(services: Services) -> None:
    assert said(services, "ExecStart=@|echo $$0").splitlines()[-1] == f"-{OWN}"


def test_the_shell_alone(services: Services) -> None:
    assert said(services, "ExecStart=|\nStandardInput=data\nStandardInputText=echo in $0") == f"in {OWN}\n"


def test_before_and_after(services: Services) -> None:
    path = services.folder / "log"
    said(services, f"ExecStartPre=|echo pre >>{path}\nExecStart=|echo main >>{path}\nExecStopPost=|echo post >>{path}")
    assert path.read_text() == "pre\nmain\npost\n"


def test_how_it_ends(services: Services) -> None:
    assert services.run(services.unit("ExecStart=|no-such-program-at-all"), "--foreground").returncode == 127


@as_root
def test_whose_shell_does_not_let_in(services: Services) -> None:
    """systemd takes /bin/sh then."""
    assert said(services, "ExecStart=|echo $$0 $$(id -un)\nUser=www-data") == "/bin/sh www-data\n"


@as_root
@pytest.mark.parametrize(("prefix", "name"), [("|", "/bin/sync"), ("@|", "-/bin/sync"), ("+|", "/bin/sync")])
def test_the_users_shell(services: Services, prefix: str, name: str) -> None:
    """User=sync has a program for a shell, which says what it is called and that -c means nothing to it."""
    assert pwd.getpwnam("sync").pw_shell == "/bin/sync"
    finished = services.run(services.unit(f"ExecStart={prefix}echo\nUser=sync"), "--foreground")
    assert f"{name}: invalid option -- 'c'" in finished.stderr
