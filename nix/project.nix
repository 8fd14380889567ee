# The stack without a checkout: its files, and programs that run it in the current folder, be that this checkout, a
# repository of DAGs, or an empty folder.
{ lib, python }:
pkgs:
let
  hooks = import ./hooks.nix;

  # What a stack reads and never writes.
  files = lib.fileset.toSource {
    root = ../.;
    fileset = lib.fileset.unions [
      ../process-compose.yaml
      ../airflow-home/airflow.cfg
      ../dags
    ];
  };

  program =
    environment: name: command:
    pkgs.writeShellApplication {
      inherit name;
      # The environment first: its `process-compose` is the launcher, which executes the other one.
      runtimeInputs = [ environment ] ++ python.tools pkgs;
      text = ''
        ${hooks.forget}
        home=$PWD
        ${hooks.checkout}
        if [[ -n $home ]]; then
          export WINDTUNNEL_ROOT=$home
        else
          home=$PWD
          export WINDTUNNEL_ROOT=${files}
          if [[ -d dags ]]; then export DAGS_FOLDER="''${DAGS_FOLDER:-$PWD/dags}"; fi
        fi
        ${hooks.state}
        exec ${command} "$@"
      '';
    };
in
{
  inherit files;

  # `nix run`, with this environment.
  up =
    environment: program environment "windtunnel-up" "${environment}/bin/python -P -m windtunnel.front";

  # The environment, with commands that find the stack of the current folder and the services' programs.
  withCommands =
    environment:
    pkgs.runCommand "windtunnel" { meta.mainProgram = "windtunnel"; } ''
      mkdir -p $out/bin
      for entry in ${environment}/*; do
        if [[ $entry != */bin ]]; then ln -s "$entry" $out/; fi
      done
      ln -s ${environment}/bin/* $out/bin/
      ${lib.concatMapStrings
        (name: ''
          ln -sf ${lib.getExe (program environment name "${environment}/bin/${name}")} $out/bin/
        '')
        [
          "process-compose"
          "windtunnel"
        ]
      }
    '';
}
