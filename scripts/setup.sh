#!/usr/bin/env bash
# Make this checkout ready to run, as root or not, and say what is installed. Quick when all is there.
# With --tests also install what only the tests need.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly UV_VERSION=0.13.9
readonly DATA="${PLAYHEAD_DATA_DIR:-$PWD/.playhead}"
readonly TOOLS="$DATA/tools"
# Compiled dependencies have wheels for these; a newer Python may have to build them.
readonly PYTHONS=(python3.11 python3.12 python3.13 python3)

say() { printf '  %s\n' "$*"; }
warn() { printf '  ! %s\n' "$*" >&2; }
die() {
    printf 'setup: %s\n' "$*" >&2
    exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }
works() { "$@" >/dev/null 2>&1; }

main() {
    mkdir -p "$TOOLS" 2>/dev/null ||
        die "$DATA cannot be written to; set PLAYHEAD_DATA_DIR to a folder of yours"
    ensure_python_packages
    if docker_answers; then
        say "Docker answers: Kafka and Redis come from Docker Compose"
    else
        ensure_programs
        .venv/bin/python scripts/fetch_kafka.py
    fi
    ensure_players
    if [[ "${1:-}" == --tests ]]; then
        ensure_test_programs
    fi
}

docker_answers() {
    [[ "${PLAYHEAD_DOCKER:-yes}" != no ]] && has docker &&
        timeout 5 docker version --format '{{.Server.Version}}' >/dev/null 2>&1 &&
        timeout 5 docker compose version >/dev/null 2>&1
}

# --- Python --------------------------------------------------------------------------------------------

ensure_python_packages() {
    local uv python
    python="$(find_python)" || die "Python 3.11 or newer is needed. Install it with: apt-get install -y python3"
    uv="$(find_uv)" || uv="$(install_uv "$python")"
    # An environment that works is kept with the Python it has.
    [[ -x .venv/bin/python ]] && .venv/bin/python -c '' 2>/dev/null && python=.venv/bin/python
    if ! "$uv" sync --frozen --check --python "$python" >/dev/null 2>&1; then
        say "installing the Python packages of uv.lock into .venv"
        UV_PYTHON_DOWNLOADS=never "$uv" sync --frozen --quiet --python "$python"
    fi
}

find_python() {
    local name
    for name in "${PYTHONS[@]}"; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            "$name" -c 'import sys; print(sys.executable)'
            return
        fi
    done
    return 1
}

find_uv() {
    local candidate
    for candidate in uv "$TOOLS/uv/bin/uv"; do
        if "$candidate" --version >/dev/null 2>&1; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

# Debian's Python comes without pip; its own package has pip as a wheel, which runs as it is.
install_uv() {
    local python="$1" pip=""
    say "installing uv $UV_VERSION into $TOOLS/uv" >&2
    "$python" -m venv --clear --without-pip "$TOOLS/uv" >&2
    if ! "$python" -m ensurepip --version >/dev/null 2>&1; then
        fetch_packages "$TOOLS/pip" python3-pip-whl >&2 ||
            die "Python has no pip to install uv with. Install it with: apt-get install -y python3-venv"
        pip="$(echo "$TOOLS"/pip/usr/share/python-wheels/pip-*.whl)"
    else
        "$TOOLS/uv/bin/python" -m ensurepip >/dev/null
    fi
    PYTHONPATH="$pip" "$TOOLS/uv/bin/python" -m pip install --quiet --disable-pip-version-check \
        --no-cache-dir "uv==$UV_VERSION" >&2
    echo "$TOOLS/uv/bin/uv"
}

# --- Java, Maven and Redis -----------------------------------------------------------------------------

ensure_programs() {
    local missing=()
    works java -version || missing+=(default-jre-headless)
    has_jars || has mvn || missing+=(maven)
    works redis-server --version || works valkey-server --version ||
        [[ -e "$TOOLS/redis/usr/bin/redis-server" ]] || missing+=(redis-server)
    install_missing
}

ensure_test_programs() {
    local missing=()
    works prometheus-alertmanager --version ||
        [[ -e "$TOOLS/alertmanager/usr/bin/prometheus-alertmanager" ]] || missing+=(prometheus-alertmanager)
    works java -version || missing+=(default-jre-headless)
    has_contestants || has mvn || missing+=(maven)
    install_missing
    .venv/bin/python scripts/fetch_contestants.py || warn "without them the benchmark cannot be tested"
}

# Install the packages in `missing`, or unpack those that run from anywhere.
install_missing() {
    ((${#missing[@]})) || return 0
    may_install && apt_install "${missing[@]}" && return
    local package
    for package in "${missing[@]}"; do
        local name="${package%-server}"
        local folder="$TOOLS/${name#prometheus-}"
        if [[ "$package" == redis-server || "$package" == prometheus-alertmanager ]] &&
            fetch_packages "$folder" "$package"; then
            say "unpacked $package into $folder"
        else
            warn "$package is missing. Install it with: sudo apt-get install -y $package"
        fi
    done
}

# --- A browser, its players and their media -------------------------------------------------------------

ensure_players() {
    local missing=() package
    has chromium || has chromium-browser || missing+=(chromium)
    has ffmpeg || missing+=(ffmpeg)
    if ((${#missing[@]})) && ! { may_install && apt_install "${missing[@]}"; }; then
        for package in "${missing[@]}"; do
            warn "$package is missing; players cannot be tried. Install it with: sudo apt-get install -y $package"
        done
    fi
    .venv/bin/python scripts/fetch_players.py || warn "without them players cannot be tried"
}

# --- Debian's packages -----------------------------------------------------------------------------------

may_install() { has apt-get && { ((EUID == 0)) || sudo -n true 2>/dev/null; }; }

has_contestants() { [[ -n "$(compgen -G "$TOOLS/kafka-streams-program-*/.whole")" ]]; }

has_jars() { [[ -n "$(compgen -G "$TOOLS/kafka-*/kafka_*.jar")" ]]; }

apt_install() {
    local root=() guard=/usr/sbin/policy-rc.d installed=0
    say "installing with apt-get: $*"
    ((EUID == 0)) || root=(sudo -n)
    # Playhead and its tests start servers of their own: keep packages from starting one for the whole system.
    if [[ -e "$guard" ]]; then
        guard=""
    else
        printf '#!/bin/sh\nexit 101\n' | "${root[@]}" tee "$guard" >/dev/null
        "${root[@]}" chmod +x "$guard"
    fi
    local install=("${root[@]}" env DEBIAN_FRONTEND=noninteractive
        apt-get install -qq -y --no-install-recommends "$@")
    # Lists may be missing, or so old that what they name is gone.
    "${install[@]}" >"$DATA/apt.log" 2>&1 ||
        { "${root[@]}" apt-get update -qq && "${install[@]}"; } >>"$DATA/apt.log" 2>&1 || installed=$?
    [[ -z "$guard" ]] || "${root[@]}" rm -f "$guard"
    ((installed == 0)) || warn "apt-get could not install $*; see $DATA/apt.log"
    return "$installed"
}

# fetch_packages FOLDER PACKAGE: unpack a Debian package, with what it needs and the system lacks, without
# being root. apt gets state of its own to write, and reads what is installed from the system's.
fetch_packages() {
    local folder="$1" state="$DATA/apt" deb
    has apt-get && has dpkg || return 1
    mkdir -p "$state/lists/partial" "$state/archives/partial"
    local own=(-qq -o "Dir::State=$state" -o Dir::State::status=/var/lib/dpkg/status
        -o "Dir::Cache=$state" -o Debug::NoLocking=true -o APT::Sandbox::User="$(id -un)")
    rm -f "$state"/archives/*.deb
    {
        apt-get "${own[@]}" update &&
            apt-get "${own[@]}" install -y --download-only --no-install-recommends "$2"
    } >"$DATA/apt.log" 2>&1 || return 1
    rm -rf "$folder.partial"
    for deb in "$state"/archives/*.deb; do
        dpkg -x "$deb" "$folder.partial" || return 1
    done
    rm -rf "$folder" && mv "$folder.partial" "$folder" && rm -rf "$state"
}

main "$@"
