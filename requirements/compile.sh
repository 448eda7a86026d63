#!/bin/sh
# Pins what pyproject.toml allows, with hashes, for every supported Python and platform in one file.
# No configuration of this machine may get in: an index or a folder of wheels of its own would change the hashes.
set -eu
cd "$(dirname "$0")/.."
unset PIP_FIND_LINKS PIP_EXTRA_INDEX_URL PIP_INDEX_URL UV_FIND_LINKS UV_EXTRA_INDEX_URL UV_INDEX UV_INDEX_URL UV_DEFAULT_INDEX

pin() {
    uv pip compile --no-config --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-header --annotation-style line "$@"
}

base="pyproject.toml --extra portal --extra server"
# shellcheck disable=SC2086  # several words on purpose
pin --upgrade $base --extra demo --extra postgres --group test --group lint --output-file requirements/dev.txt
# shellcheck disable=SC2086
pin $base --extra demo --constraint requirements/dev.txt --output-file requirements/demo.txt
# shellcheck disable=SC2086
pin $base --extra postgres --constraint requirements/dev.txt --output-file requirements/server.txt
pin --upgrade pyproject.toml --group products --output-file requirements/products.txt
pin --upgrade pyproject.toml --group pretalx --output-file requirements/pretalx.txt

if grep -nE '://|--find-links|file:| @ ' requirements/*.txt; then
    echo "An address or a local path got into the pinned requirements." >&2
    exit 1
fi
