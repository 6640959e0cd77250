"""`rumpel completions`: a script that makes a shell complete commands, options and pod names."""

from __future__ import annotations

from rumpel import ui
from rumpel.cli.commands import ALIASES, COMMANDS
from rumpel.cli.help import TOPICS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rumpel.cli.options import Options
    from rumpel.cli.plain import Arguments, Declared

DESCRIPTION = (
    "Print a script that makes a shell complete commands, options, hosts and the\n"
    "names of pods. It asks a running daemon for the names, and starts none. The\n"
    "hosts are those of pods, of docker's contexts and of ~/.ssh/config."
)
EXAMPLES = (
    ('eval "$(rumpel completions bash)"', "in ~/.bashrc"),
    ('eval "$(rumpel completions zsh)"', "in ~/.zshrc, after compinit"),
    ("rumpel completions fish | source", "in ~/.config/fish/config.fish"),
)
SHELLS = ("bash", "zsh", "fish")
HOST_NAMES = "hosts"
PODS, TRASH, BRANCHES, FILES, NOTHING = "@pods", "@trash", "@branches", "@files", ""
HOSTS = "@hosts"
BATCHES = "@batches"
"""A file, a batch that was run, or the pod of a task."""
EITHER = "@either"
"""`POD:` or a file."""
"""What belongs in a place; anything else are the words themselves."""
STEPS = (
    "image tools seed container clone copy-in sync onCreateCommand updateContentCommand"
    " postCreateCommand postStartCommand"
)
BY_METAVAR = {
    **dict.fromkeys(("POD", "SRC", "NAME[:BRANCH]"), PODS),
    **dict.fromkeys(("FILE", "DIR", "OLD-PATH"), FILES),
    **dict.fromkeys(("STEP", "NODE"), STEPS),
    "POD:PORT": f"{PODS}:",
    "REF": BRANCHES,
    "HOST": HOSTS,
}
BY_PLACE = {
    ("undelete", "name"): TRASH,
    ("create", "names"): NOTHING,
    ("batch", "names"): BATCHES,
    ("cp", "source"): EITHER,
    ("cp", "target"): EITHER,
    ("help", "topic"): " ".join((*COMMANDS, *TOPICS)),
}

BASH = """\
_rumpel_offer() {
    local word=$1 suffix=$2 cut=$4 line=$'\\n' name LC_ALL=C
    while IFS= read -r name; do
        if [[ -z $name || $name == *[!A-Za-z0-9._/@:+-]* ]]; then continue; fi
        if [[ $name == "$word"* ]]; then COMPREPLY+=("${name#"$cut"}$suffix"); fi
    done <<<"${3// /$line}"
}
_rumpel_runs() {
    if [ -n "$RUMPEL_SOCKET" ]; then [ -S "$RUMPEL_SOCKET" ]; return; fi
    [ -S "${XDG_RUNTIME_DIR:-/nonexistent}/rumpel/daemon.sock" ] ||
        [ -S "${XDG_STATE_HOME:-$HOME/.local/state}/rumpel/run/daemon.sock" ]
}
_rumpel() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}
    local verb= options= kind= suffix= cut= place=0 at
    local line=${COMP_LINE:0:${COMP_POINT:-0}} breaks=${COMP_WORDBREAKS//[!:@]/}
    local typed=${line##*[[:space:]]} rest
    rest=${line%%"$typed"} rest=${rest%%"${rest##*[![:space:]]}"}
    if [[ $rest == *[[:space:]]--host ]]; then
        before=--host word=$typed
        if [ -n "$breaks" ]; then cut=${typed%%"${typed##*[$breaks]}"} cut=${cut%%@}; fi
    fi
    COMPREPLY=()
    for ((at = 1; at < COMP_CWORD; at++)); do
        case ${COMP_WORDS[at]} in
        --) return ;;
        %(valued)s)
            ((at++))
            while [[ ${COMP_WORDS[at+1]} == [:@]* ]]; do  # bash takes a host apart there
                ((at++))
                if [[ ${COMP_WORDS[at]} == [:@] ]]; then ((at++)); fi
            done ;;
        -*) ;;
        *) if [ -n "$verb" ]; then ((place++)); else verb=${COMP_WORDS[at]}; fi ;;
        esac
    done
    case $verb in
    '') _rumpel_offer "$word" '' '%(commands)s'; return ;;
%(cases)s
    esac
    case $word in -*) kind=$options ;; esac
    case $kind in '' | @files | @either | @batches) ;; *) compopt +o default 2>/dev/null ;; esac
    case $kind in
    @files) return ;;
    @hosts) kind=$(rumpel completions hosts 2>/dev/null) ;;
    @branches) kind=$(git for-each-ref --format='%%(refname:short)' refs/heads 2>/dev/null) ;;
    @*)
        _rumpel_runs || return
        case $kind in
        @trash) kind=$(rumpel undelete -q 2>/dev/null) ;;
        @batches) kind=$(rumpel batch list -q 2>/dev/null; rumpel list -q 2>/dev/null) ;;
        *)
            case $kind in @pods: | @either) suffix=: && compopt -o nospace 2>/dev/null ;; esac
            kind=$(rumpel list -q 2>/dev/null) ;;
        esac ;;
    esac
    _rumpel_offer "$word" "$suffix" "$kind" "$cut"
}
complete -o default -F _rumpel rumpel
"""
# Names are never given to `compgen -W`: it expands its words, and `$(id)` is a fine branch name.
# What a shell could take for more than a word is not offered at all, since bash inserts it
# unquoted. Files are left to `-o default`, which quotes. Of a word with a `:` or `@` in it bash
# replaces only what is behind the last `:`, or from the last `@` on: the rest is cut off.


def add_arguments(parser: Declared) -> None:
    parser.add_argument(
        "shell",
        choices=(*SHELLS, HOST_NAMES),
        metavar="SHELL",
        help=f"{', '.join(SHELLS)}; {HOST_NAMES}: the words for --host, one a line",
    )


def run(args: Arguments, passed: list[str], options: Options) -> int:
    if args.shell == HOST_NAMES:
        from rumpel.cli import host_names

        return host_names.show(options)
    made = {"bash": bash, "zsh": zsh, "fish": fish}[args.shell]()
    if options.json:
        data = {"shell": args.shell, "script": made}
        ui.json_envelope("completions", data, warnings=(), error=None)
        return 0
    for line in made.splitlines():
        ui.out(line)
    return 0


class Command:
    """What may stand where behind a command."""

    def __init__(self, verb: str) -> None:
        from rumpel.agents import AGENTS  # not for the hosts
        from rumpel.cli import grammar
        from rumpel.cli.parser import parser_of

        self.names = [verb, *(alias for alias, meant in ALIASES.items() if meant == verb)]
        self.flags: list[str] = []
        self.values: dict[str, str] = {}
        """Of each option that takes one."""
        self.places: list[str] = []
        self.others = NOTHING
        """Behind those places."""
        for action in parser_of(verb, grammar.module_of(verb))._actions:
            choices = " ".join(map(str, action.choices or ()))
            by_metavar = {**BY_METAVAR, "AGENT": " ".join(AGENTS)}
            kind = choices or by_metavar.get(str(action.metavar), NOTHING)
            if action.option_strings:
                self.flags += action.option_strings
                if action.nargs is None:
                    self.values |= dict.fromkeys(action.option_strings, kind)
                continue
            if action.metavar == "NAME":
                kind = PODS
            kind = BY_PLACE.get((verb, action.dest), kind)
            if action.nargs in ("*", "+"):
                self.others = kind
            else:
                self.places.append(kind)


def bash() -> str:
    found = [Command(verb) for verb in COMMANDS]
    flags = {flag for command in found for flag in command.flags if flag not in command.values}
    valued = {flag for command in found for flag in command.values}
    return BASH % {
        "commands": " ".join(COMMANDS),
        "cases": "\n".join(line for command in found for line in _case(command)),
        "valued": " | ".join(sorted(valued - flags)),
    }


def _case(command: Command) -> list[str]:
    values = [f"        {flag}) kind='{kind}' ;;" for flag, kind in sorted(command.values.items())]
    kinds = [*enumerate(command.places), ("*", command.others)]
    places = " ".join(f"{place}) kind='{kind}' ;;" for place, kind in kinds)
    return [
        f"    {' | '.join(command.names)})",
        f"        options='{' '.join(sorted(command.flags))}'",
        "        case $before in",
        *values,
        f"        *) case $place in {places} esac ;;",
        "        esac ;;",
    ]


def zsh() -> str:
    return f"autoload -Uz bashcompinit && bashcompinit\n{bash()}"


FISH = """\
set -g __rumpel_plain '^[A-Za-z0-9._/@:+-]+$'
function __rumpel_runs
    if test -n "$RUMPEL_SOCKET"
        test -S "$RUMPEL_SOCKET"; return
    end
    set -l state $XDG_STATE_HOME
    test -n "$state"; or set state $HOME/.local/state
    test -S "$XDG_RUNTIME_DIR/rumpel/daemon.sock"; or test -S "$state/rumpel/run/daemon.sock"
end
function __rumpel_hosts
    rumpel completions hosts 2>/dev/null | string match -r $__rumpel_plain
end
function __rumpel_ask
    __rumpel_runs; and rumpel $argv -q 2>/dev/null | string match -r $__rumpel_plain
end
function __rumpel_branches
    git for-each-ref --format='%(refname:short)' refs/heads 2>/dev/null |
        string match -r $__rumpel_plain
end
function __rumpel_place
    test (count (commandline -opc)) $argv
end
complete -c rumpel -f
"""
FISH_KINDS = {
    PODS: "(__rumpel_ask list)",
    f"{PODS}:": "(__rumpel_ask list | string replace -r '$' ':')",
    EITHER: "(__rumpel_ask list | string replace -r '$' ':')",
    TRASH: "(__rumpel_ask undelete)",
    BATCHES: "(__rumpel_ask batch list; __rumpel_ask list)",
    BRANCHES: "(__rumpel_branches)",
    HOSTS: "(__rumpel_hosts)",
}


def fish() -> str:
    lines = [
        f"complete -c rumpel -n __fish_use_subcommand -a {verb} -d '{_quoted(meaning)}'"
        for verb, (_, meaning) in COMMANDS.items()
    ]
    for command in map(Command, COMMANDS):
        of = f"__fish_seen_subcommand_from {' '.join(command.names)}"
        for flag in command.flags:
            if flag.startswith("--"):
                value = _fish_value(command.values[flag]) if flag in command.values else ""
                lines.append(f"complete -c rumpel -n '{of}' -l {flag[2:]}{value}")
        for place, kind in enumerate(command.places):
            lines += _fish_place(f"{of}; and __rumpel_place -eq {place + 2}", kind)
        lines += _fish_place(
            f"{of}; and __rumpel_place -ge {len(command.places) + 2}", command.others
        )
    return FISH + "\n".join(lines) + "\n"


def _fish_value(kind: str) -> str:
    return " -r -F" if kind == FILES else f" -x -a '{_quoted(FISH_KINDS.get(kind, kind))}'"


def _fish_place(condition: str, kind: str) -> list[str]:
    if kind == NOTHING:
        return []
    offers = ["-F"] if kind in (FILES, EITHER, BATCHES) else []
    if kind != FILES:
        offers.append(f"-a '{_quoted(FISH_KINDS.get(kind, kind))}'")
    return [f"complete -c rumpel -n '{condition}' {what}" for what in offers]


def _quoted(meaning: str) -> str:
    return meaning.replace("\\", "\\\\").replace("'", "\\'")
