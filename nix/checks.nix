# `nix flake check`. Quick: the unit tests and the linters of the host's own checks, the module's refusals. Machines: the
# NixOS tests.
{
  self,
  lib,
  pkgs,
  python,
}:
let
  environment = (python.environments pkgs).test;
  tools = python.tools pkgs;
  inherit (pkgs.stdenv.hostPlatform) isLinux;

  # A command in a writable copy of the checkout; its exit code is the check's.
  inCheckout =
    name: packages: script:
    pkgs.runCommand "windtunnel-${name}" { nativeBuildInputs = [ environment ] ++ tools ++ packages; }
      ''
        cp -r ${self} checkout
        chmod -R u+w checkout
        cd checkout
        # A sandbox has no /usr/bin/env.
        patchShebangs dev tools .ci >/dev/null
        export HOME=$TMPDIR WINDTUNNEL_STATE=$TMPDIR/state
        ${script}
        touch $out
      '';
in
{
  quick = {
    # Two lines: the shell's errexit looks past what stands before &&.
    ruff = inCheckout "ruff" [ ] ''
      ruff check --no-cache .
      ruff format --no-cache --check .
    '';
    mypy = inCheckout "mypy" [ ] "mypy --cache-dir=$TMPDIR/mypy src";
    unit-tests =
      inCheckout "unit-tests" [ ]
        "pytest -n $NIX_BUILD_CORES -p no:cacheprovider tests/unit";
    process-compose = inCheckout "process-compose" [ ] "process-compose up --dry-run";
    nix-format = inCheckout "nix-format" [
      pkgs.nixfmt
    ] "find . -name '*.nix' -print0 | xargs -0 nixfmt --check";
    statix = inCheckout "statix" [ pkgs.statix ] "statix check .";
    deadnix = inCheckout "deadnix" [ pkgs.deadnix ] "deadnix --fail .";
  }
  // lib.optionalAttrs isLinux {
    module-refusals = import ./refusals.nix { inherit self lib pkgs; };
  };
  machines = lib.optionalAttrs isLinux (import ../nixos-tests { inherit self lib pkgs; });
}
