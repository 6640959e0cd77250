#!/bin/sh
# Run as root while an image is built: CERTIFICATE... are trusted from then on, besides those it has.
set -e
umask 022
own=/usr/local/share/rumpel
mkdir -p "$own" /usr/local/share/ca-certificates
: >"$own/ca.crt"
number=0
for one; do
    number=$((number + 1))
    printf '%s\n' "$one" >"/usr/local/share/ca-certificates/rumpel-$number.crt"
    printf '%s\n' "$one" >>"$own/ca.crt"
done
if command -v update-ca-certificates >/dev/null 2>&1; then
    update-ca-certificates >/dev/null 2>&1 || true
elif command -v update-ca-trust >/dev/null 2>&1; then
    mkdir -p /etc/pki/ca-trust/source/anchors
    cp "$own/ca.crt" /etc/pki/ca-trust/source/anchors/rumpel.crt
    update-ca-trust || true
fi
bundle=
for file in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/ca-bundle.pem /etc/ssl/cert.pem; do
    [ -n "$bundle" ] || [ ! -s "$file" ] || bundle=$file
done
if [ -z "$bundle" ]; then
    bundle=/etc/ssl/certs/ca-certificates.crt
    mkdir -p /etc/ssl/certs
fi
mark=$(printf '%s\n' "$1" | sed -n 2p)
grep -qsF -e "$mark" "$bundle" || cat "$own/ca.crt" >>"$bundle"
ln -sf "$bundle" "$own/ca-bundle.crt"
