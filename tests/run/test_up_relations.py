"""What services under one manager do to each other: the dependencies of systemd.unit(5) beyond order and need."""

from __future__ import annotations

import grp
import os
import re
import signal

import pytest

from initkit.run import client

from .harness import PATIENCE, finish, lines, until
from .ups import SLEEP, Up, logged

DONE = "Type=oneshot\nExecStart="


# --- Requisite=, BindsTo= ---------------------------------------------------------------------------------------------


def test_requisite_is_not_started_with_it(up: Up) -> None:
    db = up.add("db", SLEEP)
    web = up.add("web", logged(up, "web"), "After=@db@\nRequisite=@db@")
    up.add("other", SLEEP)
    running = up.start()
    up.wait_for(db="active", web="active", other="active")
    up.call("Stop", name=db)
    up.wait_for(db="inactive", web="inactive")  # as with Requires=
    with pytest.raises(client.RemoteError, match=f"{db}.service, which it needs, has ended"):
        up.call("Start", name=web)
    assert up.states() == {"db": "inactive", "web": "inactive", "other": "active"}
    up.call("Start", name=db)
    up.call("Start", name=web)
    assert lines(up.log) == ["+web", "-web", "+web"]
    finish(running)


def test_requisite_that_is_over(up: Up) -> None:
    """To have succeeded is not enough: it has to be there."""
    db = up.add("db", f"{DONE}/bin/true")
    web = up.add("web", logged(up, "web"), "After=@db@\nRequisite=@db@")
    up.add("other", f"{DONE}{up.say('other')}", "After=@db@\nRequires=@db@")
    assert up.run() == (1, "", f"initkit: {web}: not started: {db}.service, which it needs, has ended\n")
    assert lines(up.log) == ["other"]


def test_required_service_that_conflicts(up: Up) -> None:
    db = up.add("db", SLEEP, "Conflicts=@web@")
    web = up.add("web", SLEEP, "Requires=@db@")
    status, _, err = up.run()
    assert (status, err.count("\n")) == (78, 1)
    assert f"{web} needs {db}, and one of them conflicts with the other" in err


# --- Conflicts= -------------------------------------------------------------------------------------------------------


def test_of_two_that_conflict_the_one_that_says_so_starts(up: Up) -> None:
    old = up.add("old", logged(up, "old"))
    new = up.add("new", logged(up, "new"), "Conflicts=@old@\nAfter=@old@")
    user = up.add("user", SLEEP, "Requires=@old@\nAfter=@old@")
    running = up.start()
    up.wait_for(old="inactive", new="active", user="inactive")
    up.call("Start", name=old)
    up.wait_for(old="active", new="inactive")
    up.call("Start", name=new)
    up.wait_for(old="inactive", new="active")
    status, _, err = finish(running)
    assert status == 1  # for `user`, which could not be started
    assert err.splitlines() == [
        f"initkit: {old}: not started: conflicts with {new}.service",
        f"initkit: {user}: not started: {old}.service, which it needs, conflicts with {new}.service",
        f"initkit: {new}: stopped: conflicts with {old}.service",
        f"initkit: {old}: stopped: conflicts with {new}.service",
    ]
    assert lines(up.log) == ["+new", "-new", "+old", "-old", "+new", "-new"]  # stops come first: there is an After=


def test_what_is_displaced_does_not_keep_the_manager(up: Up) -> None:
    a = up.add("a", f"{DONE}{up.say('a')}", "Conflicts=@b@")
    b = up.add("b", f"{DONE}{up.say('b')}", "Conflicts=@a@")
    assert up.run() == (0, "", f"initkit: {b}: not started: conflicts with {a}.service\n")
    assert lines(up.log) == ["a"]


def test_a_start_that_is_overtaken_by_a_conflict_fails(up: Up) -> None:
    """It waits for its turn when another, which it conflicts with, is started."""
    gate = up.services.out / "gate"
    slow = up.services.script(f"while ! [ -e {gate} ]; do sleep 0.01; done")
    up.add("slow", f"Type=oneshot\nRemainAfterExit=yes\nExecStart={slow}")
    late = up.add("late", logged(up, "late"), "After=@slow@")
    other = up.add("other", logged(up, "other"), "Conflicts=@never@ @late@")
    up.add("never", SLEEP)
    running = up.start()
    up.wait_for(other="active", late="inactive")
    gate.touch()
    up.wait_for(slow="active", late="inactive", never="inactive")
    _, _, err = finish(running)
    assert f"{late}: not started: conflicts with {other}.service" in err
    assert lines(up.log) == ["+other", "-other"]


# --- Upholds= ---------------------------------------------------------------------------------------------------------


def test_upheld_service_is_started_whenever_it_is_down(up: Up) -> None:
    leader = up.add("leader", SLEEP, "Upholds=@worker@")
    worker = up.add("worker", SLEEP)
    running = up.start()
    up.wait_for(leader="active", worker="active")
    for end in ("kill", "stop"):
        before = up.pid("worker")
        if end == "kill":
            os.kill(before, signal.SIGKILL)
        else:
            up.call("Stop", name=worker)
        until(lambda before=before: up.pid("worker") not in (None, before) and up.states()["worker"] == "active")  # type: ignore[misc]
    up.call("Stop", name=leader)
    up.wait_for(leader="inactive", worker="active")
    up.call("Stop", name=worker)
    up.wait_for(worker="inactive")
    up.call("Start", name=leader)
    up.wait_for(leader="active", worker="active")
    _, _, err = finish(running)
    assert err.count(f"initkit: {worker}: started: {leader}.service upholds it\n") == 2
    assert not up.services.started()


def test_upheld_service_that_never_stays(up: Up) -> None:
    leader = up.add("leader", SLEEP, "Upholds=@worker@")
    worker = up.add("worker", f"{DONE}{up.say('worker')}", "StartLimitBurst=3\nStartLimitIntervalSec=1000")
    running = up.start()
    until(lambda: len(lines(up.log)) == 4)
    up.wait_for(leader="active", worker="inactive")
    _, _, err = finish(running)
    assert f"{worker}: not started, though {leader}.service upholds it: 3 starts within 1000 s\n" in err
    assert len(lines(up.log)) == 4  # the first start was no upholding


# --- OnFailure=, OnSuccess= -------------------------------------------------------------------------------------------


def test_on_failure_and_on_success(up: Up) -> None:
    """Who is there for that does not start with the others."""
    up.add("bad", "Type=oneshot\nExecStart=/bin/sh -c 'exit 3'", "OnFailure=@alarm@\nOnSuccess=@cheer@")
    up.add("good", f"{DONE}{up.say('good')}", "OnFailure=@panic@\nOnSuccess=@cheer@\nAfter=@bad@")
    up.add("alarm", f"{DONE}{up.say('alarm')}", "Before=@good@")
    up.add("cheer", f"{DONE}{up.say('cheer')}")
    up.add("panic", f"{DONE}{up.say('panic')}")
    status, _, _ = up.run()
    assert status == 3
    assert sorted(lines(up.log)) == ["alarm", "cheer", "good"]
    assert lines(up.log)[-1] == "cheer"


def test_who_has_failed(up: Up) -> None:
    """systemd.exec(5), $MONITOR_UNIT and its kin."""
    bad = up.add("bad", "Type=oneshot\nExecStart=/bin/sh -c 'exit 3'", "OnFailure=@alarm@")
    shown = up.services.script(f"env | grep ^MONITOR_ | sort >> {up.log}; exit 0")
    alarm = up.add("alarm", f"{DONE}{shown}")
    up.add("other", SLEEP)
    running = up.start()
    until(lambda: len(lines(up.log)) == 5)
    told = dict(line.split("=") for line in lines(up.log))
    assert re.fullmatch("[0-9a-f]{32}", told.pop("MONITOR_INVOCATION_ID"))
    assert told == {
        "MONITOR_UNIT": f"{bad}.service",
        "MONITOR_SERVICE_RESULT": "exit-code",
        "MONITOR_EXIT_CODE": "exited",
        "MONITOR_EXIT_STATUS": "3",
    }
    up.wait_for(alarm="inactive")
    up.call("Start", name=alarm)
    up.wait_for(alarm="inactive")
    assert len(lines(up.log)) == 5  # nobody's end, this time
    finish(running)


def test_on_failure_after_the_last_restart(up: Up) -> None:
    program = up.services.script(f"echo life >> {up.log}; exit 1")
    up.add("bad", f"ExecStart={program}\nRestart=on-failure\nRestartSec=0", "OnFailure=@alarm@\nStartLimitBurst=3")
    up.add("alarm", f"{DONE}{up.say('alarm')}")
    assert up.run()[0] == 1
    assert lines(up.log) == ["life", "life", "life", "alarm"]


def test_on_failure_of_one_that_cannot_start(up: Up) -> None:
    up.add("db", "Type=oneshot\nExecStart=/bin/false")
    up.add("web", SLEEP, "Requires=@db@\nAfter=@db@\nOnFailure=@alarm@")
    up.add("alarm", f"{DONE}{up.say('alarm')}")
    assert up.run()[0] == 1
    assert lines(up.log) == ["alarm"]


# --- propagation ------------------------------------------------------------------------------------------------------


def test_propagated_reload(up: Up) -> None:
    def reloads(name: str) -> str:
        return f"{SLEEP}\nExecReload={up.say(name)}"

    lead = up.add("lead", reloads("lead"), "PropagatesReloadTo=@to@ @deaf@ @down@")
    up.add("to", reloads("to"))
    up.add("from", reloads("from"), "ReloadPropagatedFrom=@to@")
    up.add("deaf", SLEEP)
    down = up.add("down", reloads("down"))
    up.add("other", reloads("other"))
    running = up.start()
    up.wait_for(**dict.fromkeys(("lead", "to", "from", "deaf", "down", "other"), "active"))
    up.call("Stop", name=down)
    up.call("Reload", name=lead)
    until(lambda: len(lines(up.log)) == 3)
    up.wait_for(lead="active", to="active", **{"from": "active"})
    assert sorted(lines(up.log)) == ["from", "lead", "to"]
    finish(running)


def test_propagated_stop(up: Up) -> None:
    lead = up.add("lead", SLEEP, "PropagatesStopTo=@to@")
    up.add("to", SLEEP)
    up.add("from", SLEEP, "StopPropagatedFrom=@to@")
    running = up.start()
    up.wait_for(lead="active", to="active", **{"from": "active"})
    before = up.pid("to")
    up.call("Restart", name=lead)  # which is no stop
    assert up.pid("to") == before
    up.call("Stop", name=lead)
    up.wait_for(lead="inactive", to="inactive", **{"from": "inactive"})
    finish(running)


# --- the group that may look ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("same", [True, False])
def test_control_group(up: Up, same: bool) -> None:
    """There is one socket, and so one group or none."""
    group = grp.getgrgid(os.getegid()).gr_name
    up.add("a", f"{SLEEP}\nX-Initkit-ControlGroup={group}")
    up.add("b", f"{SLEEP}\nX-Initkit-ControlGroup={group}" if same else SLEEP)
    running = up.start()
    up.wait_for(a="active", b="active")
    mode = os.stat(f"{up.services.runtime}/initkit/{up.name}.sock").st_mode & 0o777
    assert mode == (0o660 if same else 0o600)
    _, _, err = finish(running)
    noted = f"initkit: control_group is not the same for all services ({group}): no group may look\n"
    assert err == ("" if same else noted)


# --- what cannot be had -----------------------------------------------------------------------------------------------


def test_notes_of_units_that_are_not_there(up: Up) -> None:
    name = up.add(
        "a",
        f"{DONE}/bin/true",
        "Wants=network-online.target gone.service a.timer\nAfter=gone.service network.target\nPartOf=gone.service\n"
        "Conflicts=shutdown.target\nOnFailure=reboot.target\nUpholds=@b@\nRequires=data.mount\n"
        "StopWhenUnneeded=yes\nRefuseManualStop=no",
    )
    up.add("b", f"{DONE}/bin/true")
    status, _, err = up.run()
    assert status == 0
    noted = [line.partition(": ")[2] for line in err.splitlines() if "is not among the services" in line]
    assert noted == [
        f"{name}: {unit} is not among the services: nothing is done about it"
        for unit in ("Requires=data.mount", "Wants=gone.service", "Wants=a.timer", "OnFailure=reboot.target")
    ]
    assert f"initkit: {name}: StopWhenUnneeded= means nothing here\n" in err
    assert "RefuseManualStop" not in err


# --- many -------------------------------------------------------------------------------------------------------------


def test_more_services_than_the_soft_limit_has_descriptors_for(up: Up) -> None:
    """The manager raises its own; programs have the one that the manager was given, or LimitNOFILE='s."""
    found = [up.services.probe() for _ in range(40)]
    for number, (command, _) in enumerate(found):
        up.add(f"n{number}", f"ExecStart={command}" + ("\nLimitNOFILE=70:90" if number == 39 else ""))
    words = ("prlimit", "--nofile=64:4096")
    running = up.start(prefix=words)
    until(lambda: all(path.exists() for _, path in found))
    limits = {tuple(up.limits(path)) for _, path in found}
    assert limits == {("64", "4096"), ("70", "90")}
    assert len(up.states()) == 40
    assert finish(running) == (0, "", "")


def test_more_services_than_the_hard_limit_has_descriptors_for(up: Up) -> None:
    for number in range(20):
        up.add(f"n{number}", SLEEP)
    running = up.start(prefix=("prlimit", "--nofile=64:128"))
    _, err = running.communicate(timeout=PATIENCE)
    assert (running.returncode, err) == (
        1, "initkit: needs 280 file descriptors, and the hard limit is 128 (see ulimit -Hn)\n",
    )  # fmt: skip
    assert not up.services.started()
