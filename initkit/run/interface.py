"""The manager's Varlink interface: https://varlink.org/Interface-Definition, as `varlinkctl introspect` shows it."""

from __future__ import annotations

NAME = "io.initkit.Manager"

DESCRIPTION = """\
# The services that an initkit manager looks after. Where a method takes a name, a manager of one service needs none.
interface io.initkit.Manager

# A process of a service; parent is 0 for the main process and for whoever has lost its parent
type Process (
  pid: int,
  parent: int,
  command: string
)

# Where a service is, and how it got there. Times are microseconds since the epoch, memory is bytes
# (resident, of all processes: what they share is counted with each), cpu microseconds.
type Service (
  name: string,
  description: string,
  # inactive, activating, active, reloading, deactivating, auto-restart, failed
  state: string,
  # of the last life, in the words of $SERVICE_RESULT
  result: string,
  since: int,
  mainPid: ?int,
  # the process that reads its output, where the service has one
  loggerPid: ?int,
  processes: []Process,
  memory: int,
  cpu: int,
  restarts: int,
  # of the last main process, in the words of $EXIT_CODE and $EXIT_STATUS
  exitCode: ?string,
  exitStatus: ?string,
  # the service's own STATUS=
  statusText: ?string,
  # the service's own ERRNO=
  errno: ?int,
  # while something starts or stops: what for, and until when it may go on
  waitingFor: ?string,
  deadline: ?int,
  # what is gone of a service that runs on, where no manager is there to answer: initkit status --json
  missing: ?string,
  # the settings file that the manager has read
  settings: ?string,
  commands: []string
)

# Replies when the service is ready
method Start(name: ?string) -> ()

# Replies when nothing of the service is left
method Stop(name: ?string) -> ()

method Restart(name: ?string) -> ()

method Reload(name: ?string) -> ()

# whom is main, logger, or all, which are those of the service without its logger's
method Kill(name: ?string, signal: ?string, whom: ?string) -> ()

# With "more": once now, then at every change
method Status(name: ?string) -> (service: Service)

method List() -> (services: []Service)

method Ping() -> (pid: int, version: string)

# The last lines of the file that the output goes to; with "more" also those that follow
method Logs(name: ?string, lines: ?int) -> (lines: []string)

# Has initkit's own logger open its file anew, once another program has moved that away
method ReopenLogs(name: ?string) -> ()

# Runs a command that the service has registered
method Call(name: ?string, command: string, arguments: []string) -> (result: string)

error NoSuchService (name: string)

error StartFailed (name: string, status: int, reason: string)

error StopFailed (name: string, survivors: []string)

error ReloadFailed (name: string, reason: string)

# known are those that the service has
error NoSuchCommand (command: string, known: []string)

error CommandFailed (command: string, reason: string)

error NoLog (name: string)

# There is no main process to be signalled
error NotRunning (name: string)

# Processes of another user's that could not be signalled; the others were
error NotPermitted (name: string, processes: []string)

error Busy (reason: string)
"""
