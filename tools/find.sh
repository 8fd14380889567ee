# shellcheck shell=bash
# What this machine has. Each find_ function prints a path, or nothing. Sourced by tools/setup.sh.

have() { command -v "$1" >/dev/null; }

# at_least VERSION MAJOR.MINOR; takes "v1.120.0" as well as "8". False for what is no version.
at_least() {
  local version=${1#v} major minor=0
  major=${version%%.*}
  case $version in *.*) minor=${version#*.} minor=${minor%%[!0-9]*} ;; esac
  case $major in '' | *[!0-9]*) return 1 ;; esac
  [ "$major" -gt "${2%.*}" ] || { [ "$major" -eq "${2%.*}" ] && [ "${minor:-0}" -ge "${2#*.}" ]; }
}

# find_python MINOR MINOR [MODULE ...]: a Python 3 in this range that has these modules. Not a shim: those depend on the folder.
find_python() {
  local name low=$1 high=$2
  shift 2
  # The newest that is tested comes first; `python3` may be any.
  for name in python3.13 python3.12 python3.11 python3; do
    "$name" -c "import os, sys${*/#/, }
if not (3, $low) <= sys.version_info[:2] <= (3, $high): sys.exit(1)
print(os.path.realpath(sys.executable))" 2>/dev/null && return
  done
  return 0
}

# The system's certificate authorities, without which nothing can be downloaded.
find_certificates() {
  local file
  for file in "${SSL_CERT_FILE:-}" /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem; do
    if [ -s "$file" ]; then echo "$file"; return; fi
  done
}

# The real process-compose, 1.103 or newer: named by the person, on PATH, or built before (find_process_compose BUILT).
# Launchers like ours, and those of other checkouts, are scripts.
find_process_compose() {
  local path version
  while read -r path; do
    if [ ! -x "$path" ] || [ "$(head -c 2 "$path" | tr -d '\0')" = '#!' ]; then continue; fi
    version=$(PC_LOG_FILE=/dev/null "$path" version --short 2>/dev/null | tail -1)
    if at_least "$version" 1.103; then echo "$path"; return; fi
    echo "dev: $path is process-compose ${version:-of an unknown version}, too old: 1.103 or newer is needed" >&2
  done < <(printf '%s\n' "${WINDTUNNEL_PROCESS_COMPOSE:-}"; type -ap process-compose; printf '%s\n' "$1")
}

# Go 1.26 or newer, from PATH or from the folder given.
find_go() {
  local go version
  for go in go "$1/bin/go"; do
    # Go counts its runs below the configuration folder: here, below .tools/.
    version=$(XDG_CONFIG_HOME="${1%/*}/cache/go/config" GOTOOLCHAIN=local "$go" version 2>/dev/null | sed -nE 's/.* go([0-9]+\.[0-9]+).*/\1/p')
    if at_least "$version" 1.26; then echo "$go"; return; fi
  done
}

# missing_message ITEM...: everything that a person has to bring, once.
missing_message() {
  local item debian='' fedora='' mac=''
  echo "dev: this machine lacks"
  for item in "$@"; do
    case $item in
      python)
        echo "  - uv, or a Python 3 with venv to install uv with"
        debian="$debian python3-venv" fedora="$fedora python3" mac="$mac uv" ;;
      certificates)
        echo "  - certificate authorities (ca-certificates), without which nothing can be downloaded"
        debian="$debian ca-certificates" fedora="$fedora ca-certificates" mac="$mac ca-certificates" ;;
    esac
  done
  cat <<TEXT
Install it and run ./dev again:
  Debian/Ubuntu:  sudo apt-get install$debian
  Fedora:         sudo dnf install$fedora
  macOS:          brew install$mac
uv needs no root: https://docs.astral.sh/uv/getting-started/installation. Nix brings everything: https://nixos.org/download.
TEXT
}
