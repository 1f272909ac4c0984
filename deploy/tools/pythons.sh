#!/bin/sh
# Run the tests that need no other program with each Python that requires-python allows, as far as it is on this machine
# (on the PATH, or from pyenv or uv). Prints one line for each; exits with 1 if one fails, and with 3 if only one was there.
# TESTS="tests" runs more tests, VERSIONS="3.13" fewer Pythons.
set -u
cd "$(dirname "$0")/../.." || exit 2
TESTS=${TESTS:-tests/meetergo tests/runtime tests/models tests/test_deployment.py tests/test_architecture.py}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
result=0 tested=0
for version in ${VERSIONS:-3.11 3.12 3.13 3.14}; do
    python=
    for candidate in "python$version" "$HOME/.pyenv/versions/$version".*/bin/python \
        "$(uv python find --no-python-downloads "$version" 2> /dev/null)"; do
        [ -n "$candidate" ] && "$candidate" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$version')" \
            2> /dev/null && python=$candidate && break
    done
    if [ -z "$python" ]; then
        echo "$version  not on this machine"
        continue
    fi
    venv=$folder/$version
    if ! make install PYTHON="$python" VENV="$venv" > "$folder/log" 2>&1; then
        echo "$version  the requirements cannot be installed:"
        tail -n 5 "$folder/log"
        result=1
        continue
    fi
    tested=$((tested + 1))
    # shellcheck disable=SC2086 # several folders
    if "$venv/bin/python" -m pytest -q -p no:cacheprovider --basetemp="$folder/tests" $TESTS > "$folder/log" 2>&1; then
        echo "$version  $("$venv/bin/python" -V): $(tail -n 1 "$folder/log")"
    else
        echo "$version  $("$venv/bin/python" -V): failed"
        tail -n 30 "$folder/log"
        result=1
    fi
    rm -rf "$venv"
done
[ "$result" = 0 ] && [ "$tested" -lt 2 ] && exit 3
exit "$result"
