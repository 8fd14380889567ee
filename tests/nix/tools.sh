#!/usr/bin/env bash
# Installs the Nix linters that tests/nix uses where there is no Nix: from crates.io, into .tools/nix-lint of the checkout.
# Without cargo it says so, and the tests that need them are skipped.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
if ! command -v cargo >/dev/null; then
  echo "nix-lint: no cargo, so the Nix files' formatting and dead code are not checked"
  exit 0
fi
cargo install --quiet --locked --root "$root/.tools/nix-lint" "nixfmt_rs@0.5.3" "deadnix@1.3.1"
