"""Paths whose content somebody's machine obeys: hooks, CI, containers, editors, agents. Pure.

Marked are files that are executed, or that decide what is executed, without anybody looking at
them again: on checkout, on opening the folder, on the next build or push (notes/reliability.md
G9). Ordinary source is not: all of it runs sooner or later, and a mark on everything marks
nothing. Names are compared as a file system without letter case would.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterable

GIT_HOOKS = (
    "applypatch-msg|commit-msg|fsmonitor-watchman|post-(?:applypatch|checkout|commit|index-change"
    "|merge|receive|rewrite|update)|pre-(?:applypatch|auto-gc|commit|merge-commit|push|rebase"
    "|receive)|prepare-commit-msg|proc-receive|push-to-checkout|reference-transaction"
    "|sendemail-validate|update"
)
FOLDER, NAME = r"(?:^|/)(?:{})/", r"(?:^|/)(?:{})$"

RULES: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    (
        "hook",
        "run by git on commit, checkout or push",
        r"\.githooks|\.?git-hooks|githooks|\.husky|\.hooks|\.overcommit",
        (
            r"\.?lefthook(?:-local)?\.(?:ya?ml|toml|json)",
            r"\.pre-commit-(?:config|hooks)\.ya?ml",
            r"\.(?:husky|lintstaged)rc(?:\.\w+)?",
            r"(?:lint-staged|simple-git-hooks|commitlint)\.(?:config\.)?\w+",
            r"\.simple-git-hooks\.\w+",
            r"\.overcommit\.yml|\.?captainhook\.json|\.gitlint",
            rf"hooks/(?:{GIT_HOOKS})(?:\.(?:sh|bash|py|pl|rb|js|sample))?",
        ),
    ),
    (
        "ci",
        "run by a CI service",
        r"\.github/(?:workflows|actions)|\.(?:gitea|forgejo)/(?:workflows|actions)|\.gitlab"
        r"|\.circleci|\.buildkite|\.woodpecker|\.teamcity|\.tekton|\.semaphore|\.builds",
        (
            r"\.gitlab-ci\.ya?ml|jenkinsfile(?:\.\w+)?|[^/]*\.jenkinsfile",
            r"\.?(?:azure-pipelines|bitbucket-pipelines)(?:[.-][\w-]+)?\.ya?ml",
            r"\.?(?:travis|appveyor|drone|woodpecker|cirrus|wercker|codefresh)\.ya?ml",
            r"cloudbuild\.(?:ya?ml|json)|buildspec\.ya?ml|\.build\.yml|action\.ya?ml",
            r"\.github/dependabot\.ya?ml|\.?renovate(?:rc)?(?:\.json5?)?",
            r"(?:\.github/|\.gitlab/|docs/)?codeowners",
        ),
    ),
    (
        "devcontainer",
        "decides how containers are made from this repository",
        r"\.devcontainer[^/]*",
        (r"\.?devcontainer[^/]*\.json", r"devcontainer-feature\.json"),
    ),
    ("rumpel", "settings of rumpel", r"\.rumpel[^/]*", (r"\.rumpelpod\.json",)),
    (
        "container",
        "run when an image is built or a container starts",
        "",
        (
            r"(?:[^/]*\.)?(?:dockerfile|containerfile)(?:[.-][^/]*)?",
            r"(?:docker-|podman-)?compose(?:[.-][\w.-]+)?\.ya?ml",
            r"docker-bake(?:\.override)?\.(?:hcl|json)|vagrantfile|tiltfile|skaffold\.ya?ml",
        ),
    ),
    (
        "editor",
        "run or obeyed by an editor that opens the folder",
        r"\.vscode|\.idea|\.run|\.zed|\.fleet|\.vim|\.nvim|\.theia|\.vs|\.settings|\.helix",
        (
            r"[^/]*\.(?:code-workspace|sublime-project)",
            r"\.?(?:_|\.)?(?:exrc|vimrc|nvimrc|gvimrc)|\.nvim\.lua|\.lvimrc|\.dir-locals(?:-2)?\.el",
        ),
    ),
    (
        "environment",
        "read by shells and tools that start in the folder",
        r"\.direnv|\.mise|\.config/mise|\.ssh|\.aws|\.kube|\.docker|\.gnupg",
        (
            r"\.envrc|\.autoenv(?:\.zsh)?|\.?mise(?:\.[\w-]+)?\.toml",
            r"\.env(?!(?:\.\w+)*\.(?:example|sample|template|dist|tpl)$)(?:\.[\w-]+)*",
            r"\.(?:bash(?:rc|_profile|_login|_logout)|profile|zshrc|zshenv|zprofile|zlogin|inputrc"
            r"|tmux\.conf|screenrc|gdbinit|lldbinit|pdbrc(?:\.py)?|rprofile|irbrc|pryrc|psqlrc"
            r"|netrc|curlrc|wgetrc)",
            r"(?:site|user)customize\.py",
        ),
    ),
    (
        "git",
        "tells git what to run or fetch",
        "",
        (r"\.gitattributes|\.gitmodules|\.?gitconfig|\.lfsconfig|\.gitinclude",),
    ),
    (
        "packages",
        "tells a package manager where code comes from, or what to run",
        r"\.yarn/(?:releases|plugins|sdks)|\.cargo|\.bundle|\.mvn|gradle/wrapper|\.pip|\.config/pip",
        (
            r"\.npmrc|\.yarnrc(?:\.yml)?|\.pnpmfile\.c?js|pnpmfile\.c?js|bunfig\.toml",
            r"\.?pip\.(?:conf|ini)|\.?pypirc|uv\.toml|poetry\.toml|\.condarc|\.pdm\.toml",
            r"nuget\.config|\.gemrc|\.bazelrc|\.bazelversion|\.buckconfig",
            r"gradlew(?:\.bat)?|mvnw(?:\.cmd)?|setup\.py|build\.rs|binding\.gyp",
        ),
    ),
    (
        "build",
        "run by whoever builds, or by an editor that loads the project",
        "",
        (
            r"(?:gnu|bsd)?makefile(?:\.\w+)?|[^/]*\.mk|\.?justfile|taskfile\.(?:dist\.)?ya?ml",
            r"rakefile|(?:build|settings|init)\.gradle(?:\.kts)?|cmakelists\.txt",
        ),
    ),
    (
        "agent",
        "instructions or settings of coding agents",
        r"\.claude|\.claude-plugin|\.cursor|\.windsurf|\.codex|\.gemini|\.grok|\.roo|\.kiro|\.junie"
        r"|\.continue|\.amazonq|\.opencode|\.agents?|\.aider[^/]*|\.clinerules|\.augment"
        r"|\.github/(?:instructions|prompts|chatmodes|agents)",
        (
            r"(?:claude|agents?|gemini|qwen|grok|codex)(?:\.local|\.override)?\.md|skill\.md",
            r"\.?mcp\.json|\.(?:cursor|windsurf|cline|roo|goose)(?:rules|ignore|hints)",
            r"\.(?:rules|goosehints|roomodes|aider[^/]*)|opencode\.jsonc?",
            r"\.github/copilot-[^/]*\.(?:md|ya?ml)",
        ),
    ),
)
"""(kind, why, folders, names): of patterns in lower case."""


@functools.cache
def _compiled() -> tuple[tuple[str, str, re.Pattern[str]], ...]:
    """When first needed: it takes 20 ms, of every start of the daemon."""
    found = []
    for kind, why, folders, names in RULES:
        parts = [FOLDER.format(folders)] * bool(folders) + [NAME.format("|".join(names))]
        found.append((kind, why, re.compile("|".join(parts))))
    return tuple(found)


@functools.cache
def _any() -> re.Pattern[str]:
    """Is one of them: nearly all files of a change are none."""
    return re.compile("|".join(pattern.pattern for _, _, pattern in _compiled()))


REPOSITORY = re.compile(rb"(?:^|/)(HEAD$|config$|objects(?=/)|refs(?=/))")


def risks(path: bytes) -> list[tuple[str, str]]:
    """(kind, why) of everything that a file of this name may be."""
    name = path.decode("utf-8", "surrogateescape").lower()
    if not _any().search(name):
        return []
    return [(kind, why) for kind, why, pattern in _compiled() if pattern.search(name)]


def bare_repositories(paths: Iterable[bytes]) -> Collection[bytes]:
    """Files of folders that git would take for a repository: its config names programs to run."""
    found: dict[bytes, set[bytes]] = {}
    for path in paths:
        for match in REPOSITORY.finditer(path):
            found.setdefault(path[: match.start()], set()).add(match[1])
    folders = [folder for folder, has in found.items() if b"HEAD" in has and len(has) > 1]
    return {
        b"/".join((folder, name)).lstrip(b"/")
        for folder in folders
        for name in (b"HEAD", b"config")
    }
