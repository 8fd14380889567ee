# `nix run`: the stack in the current folder, be it this checkout, a repository of DAGs, or an empty folder.
{ lib, python }:
pkgs:
let
  # What a stack reads and never writes.
  files = lib.fileset.toSource {
    root = ../.;
    fileset = lib.fileset.unions [
      ../process-compose.yaml
      ../airflow-home/airflow.cfg
      ../dags
    ];
  };
in
{
  inherit files;

  up = pkgs.writeShellApplication {
    name = "windtunnel-up";
    # The environment first: its `process-compose` is the launcher, which executes the other one.
    runtimeInputs = [ (python.environments pkgs).default ] ++ python.tools pkgs;
    text = ''
      if [[ ! -e process-compose.yaml ]]; then
        export WINDTUNNEL_ROOT=${files}
        export WINDTUNNEL_STATE="''${WINDTUNNEL_STATE:-$PWD/.state}"
        if [[ -d dags ]]; then export DAGS_FOLDER="''${DAGS_FOLDER:-$PWD/dags}"; fi
      fi
      exec process-compose up "$@"
    '';
  };
}
