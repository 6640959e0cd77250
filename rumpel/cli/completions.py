"""`rumpel completions`: a script that makes a shell complete commands, options and pod names."""

from __future__ import annotations

from rumpel import ui
from rumpel.cli.commands import COMMANDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rumpel.cli.options import Options
    from rumpel.cli.plain import Arguments, Declared

DESCRIPTION = (
    "Print a script that makes a shell complete commands, options and the names of\n"
    "pods. It asks a running daemon for the names, and starts none."
)
EXAMPLES = (
    ('eval "$(rumpel completions bash)"', "in ~/.bashrc"),
    ('eval "$(rumpel completions zsh)"', "in ~/.zshrc, after compinit"),
    ("rumpel completions fish | source", "in ~/.config/fish/config.fish"),
)
SHELLS = ("bash", "zsh", "fish")
NAMES = {"name", "names", "source"}
"""Positional arguments that are pods."""

BASH = """\
_rumpel() {
    local word=${COMP_WORDS[COMP_CWORD]} verb= options= pods= at
    COMPREPLY=()
    for ((at = 1; at < COMP_CWORD; at++)); do
        case ${COMP_WORDS[at]} in
        --) return ;;
        -C | --host | --color) ((at++)) ;;
        -*) ;;
        *) [ -n "$verb" ] || verb=${COMP_WORDS[at]} ;;
        esac
    done
    case $verb in
    '') COMPREPLY=($(compgen -W '%(commands)s' -- "$word")); return ;;
%(cases)s
    esac
    case $word in
    -*) COMPREPLY=($(compgen -W "$options" -- "$word")) ;;
    *)
        [ -z "$pods" ] || [ ! -S "%(socket)s" ] ||
            COMPREPLY=($(compgen -W "$(rumpel list -q 2>/dev/null)" -- "$word"))
        ;;
    esac
}
complete -o default -F _rumpel rumpel
"""
SOCKET = "${RUMPEL_SOCKET:-${XDG_RUNTIME_DIR:-/nonexistent}/rumpel/daemon.sock}"


def add_arguments(parser: Declared) -> None:
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))


def run(args: Arguments, passed: list[str], options: Options) -> int:
    made = {"bash": bash, "zsh": zsh, "fish": fish}[args.shell]()
    for line in made.splitlines():
        ui.out(line)
    return 0


def bash() -> str:
    cases = "\n".join(
        f"    {verb}) options='{' '.join(flags)}' pods={'1' if takes_pods else ''} ;;"
        for verb, flags, takes_pods in commands()
    )
    return BASH % {"commands": " ".join(COMMANDS), "cases": cases, "socket": SOCKET}


def zsh() -> str:
    return f"autoload -Uz bashcompinit && bashcompinit\n{bash()}"


def fish() -> str:
    lines = [
        "function __rumpel_pods",
        "    set -l socket $RUMPEL_SOCKET",
        '    test -n "$socket"; or set socket $XDG_RUNTIME_DIR/rumpel/daemon.sock',
        '    test -S "$socket"; and rumpel list -q 2>/dev/null',
        "end",
        "complete -c rumpel -f",
    ]
    for verb, (_, meaning) in COMMANDS.items():
        lines.append(
            f"complete -c rumpel -n __fish_use_subcommand -a {verb} -d '{_quoted(meaning)}'"
        )
    for verb, flags, takes_pods in commands():
        seen = f"complete -c rumpel -n '__fish_seen_subcommand_from {verb}'"
        lines += [f"{seen} -l {flag[2:]}" for flag in flags if flag.startswith("--")]
        if takes_pods:
            lines.append(f"{seen} -a '(__rumpel_pods)'")
    return "\n".join(lines) + "\n"


def commands() -> list[tuple[str, list[str], bool]]:
    """Each command with its options, and whether its words are pods."""
    from rumpel.cli import grammar
    from rumpel.cli.parser import parser_of

    found = []
    for verb in COMMANDS:
        actions = parser_of(verb, grammar.module_of(verb))._actions
        flags = sorted(flag for action in actions for flag in action.option_strings)
        positionals = {action.dest for action in actions if not action.option_strings}
        found.append((verb, flags, bool(positionals & NAMES) and verb != "create"))
    return found


def _quoted(meaning: str) -> str:
    return meaning.replace("\\", "\\\\").replace("'", "\\'")
