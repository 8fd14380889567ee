# `nix develop`: everything that process-compose.yaml needs on PATH, the launcher first.
{
  lib,
  pkgs,
  python,
}:
let
  environment = (python.environments pkgs).editable;
  hooks = import ./hooks.nix;
in
pkgs.mkShell {
  packages = [
    environment
    pkgs.uv
  ]
  ++ python.tools pkgs;

  env = {
    # uv is here to change the lock; the environment is Nix's.
    UV_NO_SYNC = "1";
    UV_PYTHON = "${environment}/bin/python";
    UV_PYTHON_DOWNLOADS = "never";
    # As in process-compose.yaml, so that `airflow …` in this shell speaks of the same stack.
    AIRFLOW__CORE__EXECUTOR = "CeleryExecutor";
    SPT_NOENV = "1";
    PYTHONDONTWRITEBYTECODE = "";
  };

  # The environment is put first once more: `process-compose` must be the launcher, whatever else is on PATH.
  # The rest is what process-compose.yaml's `environment` holds, for `airflow …` typed here; tests/nix compares them. The
  # launcher derives them anew, so that `PORT_OFFSET=100 process-compose up` works in this shell too.
  shellHook = ''
    unset PYTHONPATH
    ${hooks.temporary}
    ${hooks.forget}
    # `./dev` names the checkout; typed `nix develop` may be anywhere in it. WINDTUNNEL_ROOT may be another shell's.
    home=''${windtunnel_root:-$PWD}
    ${hooks.checkout}
    if [[ -z $home ]]; then
      echo "windtunnel: this shell is for a checkout of windtunnel, and $PWD is in none: go to one, or use \`nix run\` here" >&2
      exit 1
    fi
    ${hooks.state}
    ${hooks.dags}
    export REPO_ROOT=$home WINDTUNNEL_ROOT=$home PATH=${lib.getBin environment}/bin:$PATH
    unset home
    export AIRFLOW_HOME="$REPO_ROOT/airflow-home"
    export WINDTUNNEL_API_PORT=$((8080 + ''${PORT_OFFSET:-0}))
    export WINDTUNNEL_FLOWER_PORT=$((5555 + ''${PORT_OFFSET:-0}))
    export WINDTUNNEL_POSTGRES_PORT=$((5432 + ''${PORT_OFFSET:-0}))
    export WINDTUNNEL_VALKEY_PORT=$((6379 + ''${PORT_OFFSET:-0}))
    export WINDTUNNEL_SCHEDULER_HEALTH_PORT=$((8974 + ''${PORT_OFFSET:-0}))
    export WINDTUNNEL_PATCHES="''${WINDTUNNEL_PATCHES:-all}"
  '';
}
