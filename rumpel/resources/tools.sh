#!/bin/sh
# Run as root, behind add.sh, while the tools layer of an image is built: USER WORKSPACE SEED_PATH
# Adds git through the image's own package manager, makes the workspace folder.
# The marks are put together here: this text itself shows in the builder's messages.
set -e
mark=rumpel
user=$1 workspace=$2 seed=$3

if ! command -v git >/dev/null 2>&1; then
    DEBIAN_FRONTEND=noninteractive add git || true
    command -v git >/dev/null 2>&1 || { echo "$mark-no-git" >&2; exit 41; }
fi

case $user in
    *[!0-9]*) id "$user" >/dev/null 2>&1 || { echo "$mark-no-user" >&2; exit 42; } ;;
esac

# A login shell would drop what the image and its features added to PATH: it sets one only where
# there is none, as in the reference.
if [ -f /etc/profile ] && [ ! -L /etc/profile ]; then
    set='^\([[:space:]]*\(export[[:space:]]\{1,\}\)*PATH=\)' given='\([^"$;&[:space:]]*\)'
    sed -i "s|$set\"*$given\"*[[:space:]]*\$|"'\1"${PATH:-\3}"|' /etc/profile || true
fi

# The repository behind the remote `host` belongs to root; git refuses foreign owners otherwise.
git config --system --add safe.directory "$seed"
git config --system --add safe.directory "$workspace"
mkdir -p "$workspace"
owner=$(id -u "$user" 2>/dev/null || echo "$user")
if [ "$owner" != 0 ]; then
    # A checkout baked into the image is taken over once, here, and not in every pod.
    chown -R "$owner:$(id -g "$user" 2>/dev/null || echo 0)" "$workspace"
fi
