#!/bin/sh
# Starts Valkey in a container. In a new data folder, creates the ACL file from users.acl. Later starts do not change
# it, because `manage.py sso_site add` adds the sites' users to it.
# Environment: OPERATOR_PASSWORD, PORTAL_PASSWORD, SSO_NAMESPACE; optional DATA (/data), CONF (/etc/valkey), PORT.
set -eu
umask 077
DATA=${DATA:-/data}
CONF=${CONF:-/etc/valkey}

hash() { printf %s "$1" | sha256sum | cut -d ' ' -f 1; }

if [ ! -f "$DATA/users.acl" ]; then
    sed -e "s/{namespace}/${SSO_NAMESPACE:-sso}/g" \
        -e "s/{operator}/$(hash "${OPERATOR_PASSWORD:?}")/" \
        -e "s/{portal}/$(hash "${PORTAL_PASSWORD:?}")/" \
        "$CONF/users.acl" > "$DATA/users.acl"
fi
# Protected mode is not needed: every user has a password, and the network is internal.
exec valkey-server "$CONF/valkey.conf" --dir "$DATA" --aclfile "$DATA/users.acl" \
    --bind "${BIND:-* -::*}" --port "${PORT:-6379}" --protected-mode no
