# Installs a dev container feature while its image is built: /bin/sh -c THIS rumpel FOLDER CONTAINER-USER
# REMOTE-USER, as root. FOLDER has the feature's files in f/ and its options, quoted, in options.env.
#
# Spec: containers.dev/implementors/features, "Invoking install.sh", "User environment variables".
rf_folder=$1
rf_home() {
    { getent passwd "$1" 2>/dev/null || grep -E "^$1:|^[^:]*:[^:]*:$1:" /etc/passwd || true; } |
        head -n 1 | cut -d: -f6
}
_CONTAINER_USER=$2
_REMOTE_USER=$3
_CONTAINER_USER_HOME=$(rf_home "$2")
_REMOTE_USER_HOME=$(rf_home "$3")
export _CONTAINER_USER _REMOTE_USER _CONTAINER_USER_HOME _REMOTE_USER_HOME
cd "$rf_folder/f" || exit 1
[ -f install.sh ] || { echo "the feature has no install.sh" >&2; exit 1; }
set -a
. "$rf_folder/options.env"
set +a
chmod +x install.sh
./install.sh
rf_code=$?
cd /
rm -rf "$rf_folder"
exit $rf_code
