"""`rumpel help`, `rumpel --version`: the overview, one command's help, topics."""

from __future__ import annotations

import sys

from rumpel import __version__, text, ui
from rumpel.cli import grammar
from rumpel.cli.commands import ALIASES, COMMANDS
from rumpel.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rumpel.cli.options import Options
    from rumpel.cli.plain import Arguments, Declared

DESCRIPTION = "Show the overview, the help of a command, or a topic."
EXAMPLES = (
    ("rumpel help", "the overview"),
    ("rumpel help create", "what create does and takes"),
    ("rumpel help exit-codes", "what an exit code means"),
)

EXIT_CODES = """\
exit codes
    0  done
    1  failed
    2  the command line or a configuration file is wrong
    3  not found
    4  in the way, or refused for safety (unmerged work, name taken, no trust)
    5  Docker or the host does not answer
    6  a command of yours (build, lifecycle command) or the agent failed
    7  some of several targets failed
   70  a bug in rumpel (a crash file was written)
  124  timed out
  130  interrupted
`rumpel enter NAME -- CMD` ends with the exit code of CMD."""

ENVIRONMENT = """\
environment
  RUMPEL_SOCKET     socket of the daemon (default: rumpel/daemon.sock in
                    $XDG_RUNTIME_DIR, else rumpel/run/daemon.sock in the state)
  RUMPEL_DEBUG=1    show tracebacks
  DOCKER_HOST, DOCKER_CONTEXT
                    the Docker engine for new pods
  NO_COLOR, FORCE_COLOR, TERM=dumb
                    colour and progress
  XDG_STATE_HOME, XDG_CONFIG_HOME, XDG_CACHE_HOME
                    where rumpel keeps its state, settings and caches
Every setting of `rumpel config` has a RUMPEL_* variable, too."""

TRUST = """\
trust
What a repository asks of your machine waits for your consent: bind mounts,
privileges and devices, values of your environment, commands that run here
(initializeCommand), files that git does not have (copyIn), limits taken off.
rumpel lists it and asks once per repository and content; with a terminal you
answer y, without one say --trust where you know the repository. An image's
label and the features count as the repository's own words do.
  rumpel create NAME --trust      consent, and make the pod
  rumpel config --check           what devcontainer.json asks for, line by line
Consent is kept outside the repository, on this machine."""

TOPICS = {"agents": "", "exit-codes": EXIT_CODES, "environment": ENVIRONMENT, "trust": TRUST}


def add_arguments(parser: Declared) -> None:
    parser.add_argument("topic", nargs="?", metavar="COMMAND", help="a command or a topic")


def run(args: Arguments, passed: list[str], options: Options) -> int:
    if args.topic is None:
        return overview(options)
    if args.topic in TOPICS:
        return show(args.topic, _words(args.topic) + "\n", options)
    try:
        verb = grammar.resolve_verb(args.topic)
    except UsageError as err:
        close = text.suggestion(args.topic, [*TOPICS, *COMMANDS])
        guess = f", did you mean {close!r}?" if close else ""
        raise UsageError(
            f"there is no command or topic {text.safe(args.topic)!r}{guess}", hint="rumpel help"
        ) from err
    from rumpel.cli.parser import parser_of

    return show(verb, parser_of(verb, grammar.module_of(verb)).format_help(), options)


def _words(topic: str) -> str:
    if topic != "agents":
        return TOPICS[topic]
    from rumpel.cli import help_agents  # as many as there are agents

    return help_agents.words()


def show(topic: str, words: str, options: Options) -> int:
    if options.json:
        ui.json_envelope("help", {"topic": topic, "text": words}, warnings=(), error=None)
    else:
        ui.write(sys.stdout, words)
    return 0


def overview(options: Options) -> int:
    """All commands, on one screen."""
    if options.json:
        rows = [{"name": name, "summary": summary} for name, (_, summary) in COMMANDS.items()]
        data = {"topic": None, "commands": rows, "aliases": ALIASES, "topics": [*TOPICS]}
        ui.json_envelope("help", data, warnings=(), error=None)
        return 0
    wide = max(map(len, COMMANDS))
    ui.out("rumpel: many independent workspaces (pods) of one git repository, in containers")
    ui.out()
    ui.out("usage: rumpel COMMAND [options] ...")
    ui.out()
    ui.out("commands:")
    for name, (_, summary) in COMMANDS.items():
        ui.out(f"  {name.ljust(wide)}  {summary}")
    ui.out()
    ui.out("start with:")
    ui.out("  rumpel enter NAME            a shell in a new pod of this repository")
    ui.out("  rumpel merge NAME            take its commits")
    ui.out()
    short = ", ".join(f"{alias} = {name}" for alias, name in ALIASES.items())
    ui.out(f"short: {short}")
    ui.out("more:  rumpel COMMAND --help")
    ui.out(f"       rumpel help {' | '.join(TOPICS)}")
    return 0


def version(options: Options) -> int:
    if options.json:
        ui.json_envelope("version", {"version": __version__}, warnings=(), error=None)
    else:
        ui.out(f"rumpel {__version__}")
    return 0
