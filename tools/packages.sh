#!/usr/bin/env bash
# Installs system packages on Debian and Ubuntu; tools/setup.sh runs it as root.
#   packages.sh [python] [postgres] [valkey] [certificates]
#
# Exit 0: installed. Exit 4: this release has no package that is new enough; the last line says which.
# Only the packages stay behind: package lists, archives and the backports source live in a temporary
# folder; no service is started or enabled, no database cluster is made.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive LC_ALL=C

# One at a time on this machine, whichever checkout asks. A lock on a folder leaves no file behind.
exec 8</etc/apt
flock 8

policy=/usr/sbin/policy-rc.d             # invoke-rc.d(8) asks it before it starts anything
cluster=/etc/postgresql-common/createcluster.conf
put_back() {                             # what the last run moved aside, were it killed half-way
  local file
  for file in "$policy" "$cluster"; do
    if [ -e "$file.before-windtunnel" ]; then mv -f "$file.before-windtunnel" "$file"; fi
  done
  if grep -qs '^# windtunnel:' "$policy"; then rm -f "$policy"; fi
}
put_back
work=$(mktemp -d)
trap 'put_back; rm -rf "$work"' EXIT
chmod 755 "$work"                        # apt downloads as the user _apt
mkdir -p "$work/lists" "$work/archives/partial" "$work/sources"
if [ -d /etc/apt/sources.list.d ]; then cp -a /etc/apt/sources.list.d/. "$work/sources/"; fi
options=(-o "Dir::Etc::sourceparts=$work/sources" -o "Dir::State::lists=$work/lists"
  -o "Dir::Cache::archives=$work/archives" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=
  -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 -o APT::Get::Assume-Yes=true -q)

candidate() { apt-cache "${options[@]}" policy "$1" | sed -n 's/^  Candidate: \([0-9]*:\)\{0,1\}\([0-9]*\).*/\2/p'; }

# The same mirrors with the release's backports, from both notations of apt's sources.
add_backports() {
  local file release
  # shellcheck disable=SC1091 # os-release(5)
  release=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [ ! -f "$file" ] || sed -nE "s/^(deb .*) $release( .*main.*)/\1 $release-backports\2/p" "$file"
  done >"$work/sources/windtunnel.list"
  for file in /etc/apt/sources.list.d/*.sources; do
    [ ! -f "$file" ] || awk -v r="$release" 'BEGIN { RS = ""; FS = OFS = "\n" }
      $0 ~ "Suites:[^\n]*[ \t]" r "([ \t\n]|$)" && /Components:[^\n]*main/ {
        sub("Suites:[^\n]*", "Suites: " r "-backports"); print $0 "\n" }' "$file"
  done >"$work/sources/windtunnel.sources"
}

apt-get "${options[@]}" update || true   # a broken third-party source is not ours; the candidates below decide
packages=()
for want in "$@"; do
  case $want in
    python) packages+=(python3 python3-venv) ;;
    certificates) packages+=(ca-certificates) ;;
    postgres)
      version=$(apt-cache "${options[@]}" pkgnames postgresql- | sed -nE 's/^postgresql-([0-9]+)$/\1/p' | sort -n | tail -1)
      if [ "${version:-0}" -lt 15 ]; then echo "this release packages PostgreSQL ${version:-0}; 15 or newer is needed"; exit 4; fi
      packages+=("postgresql-$version") ;;
    valkey)
      version=$(candidate valkey-server)
      if [ "${version:-0}" -lt 8 ]; then
        add_backports
        apt-get "${options[@]}" update || true
        version=$(candidate valkey-server)
      fi
      if [ "${version:-0}" -lt 8 ]; then echo "this release packages Valkey ${version:-0}; 8 or newer is needed"; exit 4; fi
      packages+=(valkey-server) ;;
  esac
done
echo "windtunnel installs: ${packages[*]}"

if [ -e "$policy" ]; then mv "$policy" "$policy.before-windtunnel"; fi
cat >"$policy" <<'POLICY'
#!/bin/sh
# windtunnel: for the time of one installation; 101 means "do not start it" (policy-rc.d(8)).
case $1 in postgresql* | valkey*) exit 101 ;; esac
if [ -x "$0.before-windtunnel" ]; then exec "$0.before-windtunnel" "$@"; fi
POLICY
chmod 755 "$policy"
services=()
for service in postgresql valkey-server; do
  if [ ! -e "/etc/init.d/$service" ]; then services+=("$service"); fi
done
if [[ " ${packages[*]} " == *" postgresql-"* ]]; then
  # Its postinst would make a cluster named main; the switch can be set only once postgresql-common is there.
  apt-get "${options[@]}" --no-install-recommends install postgresql-common
  cp -p "$cluster" "$cluster.before-windtunnel"
  echo 'create_main_cluster = false' >>"$cluster"
fi
apt-get "${options[@]}" --no-install-recommends install "${packages[@]}"
for service in ${services[@]+"${services[@]}"}; do # those that came with this installation
  if [ -e "/etc/init.d/$service" ]; then
    update-rc.d "$service" disable
    find /etc/systemd/system -lname "*/$service.service" -delete # made even where there is no systemctl
  fi
done
