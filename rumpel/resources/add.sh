# add PACKAGE...: through the package manager that is there; begins scripts that are run as root.
add() {
    if command -v apt-get >/dev/null 2>&1; then
        { apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@"; } || return 1
        rm -rf /var/lib/apt/lists/*
    elif command -v apk >/dev/null 2>&1; then apk add --no-cache "$@"
    elif command -v dnf >/dev/null 2>&1; then dnf install -y -q "$@" && dnf clean all -q
    elif command -v microdnf >/dev/null 2>&1; then microdnf install -y "$@"
    elif command -v yum >/dev/null 2>&1; then yum install -y -q "$@"
    elif command -v zypper >/dev/null 2>&1; then zypper -q install -y "$@"
    elif command -v pacman >/dev/null 2>&1; then pacman -Sy --noconfirm "$@"
    else return 1
    fi
}
