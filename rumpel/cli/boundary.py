"""The command line's one error boundary: dispatch, and what every failure looks like."""

from __future__ import annotations

import os
import sys

from rumpel import ui
from rumpel.cli import grammar
from rumpel.cli.options import Options
from rumpel.errors import Bug, Interrupted, RumpelError, UsageError

INTERRUPTED, PIPE_CLOSED, HUNG_UP = 130, 141, 129


def run(argv: list[str]) -> int:
    """The exit code of `rumpel argv`."""
    options = Options()
    # Known before parsing, so that even a wrong command line is answered in JSON.
    options.json = "--json" in argv[: argv.index("--") if "--" in argv else None]
    command = ""
    try:
        before, word, after = grammar.split(argv)
        if word is None:
            return _without_verb(options, before)
        command = grammar.resolve_verb(word)
        module = grammar.module_of(command)
        try:
            args, passed = grammar.parse(command, module, before + after)
        except SystemExit as asked:  # --help, by argparse
            from rumpel.cli import help as topics

            return topics.show(command, getattr(asked, "words", ""), options)
        options.take(args)
        _enter_directory(options.directory)
        code: int = module.run(args, passed, options)
        ui.flush_results()
        return code
    except KeyboardInterrupt:
        return _fail(options, command, Interrupted("interrupted"))
    except BrokenPipeError:
        _forget_stdout()
        return PIPE_CLOSED
    except ui.OutputFailed as err:
        _forget_stdout()
        return _fail(options, command, err)
    except RumpelError as err:
        return _fail(options, command, err)
    except Exception as err:  # noqa: BLE001 - the boundary: the unforeseen is a bug of ours
        return _fail(options, command, _bug(err, argv))


def _without_verb(options: Options, words: list[str]) -> int:
    from rumpel.cli import help as overview

    known = {"--help": "help", "-h": "help", "--version": "version", "-V": "version"}
    asked = [known[word] for word in words if word in known]
    if "version" in asked:
        return overview.version(options)
    unknown = [word for word in words if word.startswith("-") and word not in known]
    if not asked and [word for word in unknown if word not in ("--json", "-q", "-v")]:
        raise UsageError(f"no command given, only {' '.join(words)}", hint="rumpel help")
    return overview.overview(options)


def _enter_directory(directory: str | None) -> None:
    if directory is None:
        return
    try:
        os.chdir(directory)
    except OSError as err:
        raise UsageError(f"cannot work in {directory}: {err.strerror}") from err


def _fail(options: Options, command: str, problem: RumpelError) -> int:
    """Say it. A broken pipe while saying it must not hide the exit code."""
    if os.environ.get("RUMPEL_DEBUG") == "1":
        import traceback

        traceback.print_exc()
    try:
        if options.json:
            ui.json_envelope(command, None, warnings=(), error=problem.to_json())
        elif problem.exit_code == HUNG_UP:
            pass  # whoever would read it has gone
        elif isinstance(problem, Interrupted):
            ui.err(problem.message)
            if problem.hint:
                ui.err(f"see how far it is: {problem.hint}")
        else:
            color = ui.use_color(options.color, sys.stderr)
            ui.error(problem.to_json(), color=color)
        sys.stdout.flush()
    except BrokenPipeError:
        _forget_stdout()
    return problem.exit_code


def _bug(error: Exception, argv: list[str]) -> RumpelError:
    from rumpel import log

    # Words that are no options may be a prompt, a command, a message: they are nobody else's.
    shown = [word if n == 0 or word.startswith("--") else "..." for n, word in enumerate(argv)]
    where = log.write_crash(error, {"argv": [word.partition("=")[0] for word in shown]})
    return Bug(
        f"a bug in rumpel: {type(error).__name__}: {error}",
        hint="report it with the crash file" if where else None,
        details={"crash_file": where, "tail": f"crash file: {where}" if where else ""},
    )


def _forget_stdout() -> None:
    """The reader went away (`| head -1`): nothing more can be said, so say it quietly."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)
