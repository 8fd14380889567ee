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

  # `folder`: bash that sets `home` where there is no checkout.
  program =
    {
      name,
      environment,
      command,
      folder ? "home=$PWD",
    }:
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
          ${folder}
          export WINDTUNNEL_ROOT=${files}
          if [[ -d $home/dags ]]; then
            ${hooks.dags}
          fi
        fi
        ${hooks.state}
        exec ${command} "$@"
      '';
    };
in
{
  inherit files;

  # `nix run`; the arguments are those of `program`.
  up =
    { environment, ... }@arguments:
    program (
      {
        name = "windtunnel-up";
        command = "${environment}/bin/python -P -m windtunnel.front";
      }
      // arguments
    );

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
          ln -sf ${
            lib.getExe (program {
              inherit name environment;
              command = "${environment}/bin/${name}";
            })
          } $out/bin/
        '')
        [
          "process-compose"
          "windtunnel"
        ]
      }
    '';
}
