# Commands for the administrator of a host: Airflow's own, and the one that makes the secrets of several hosts.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.windtunnel;
  common = import ./common.nix { inherit cfg lib pkgs; };
  shape = import ./shape.nix { inherit cfg lib; };

  # As the service user, with the variables and the secrets of a unit.
  airflow = pkgs.writeShellScriptBin "windtunnel-airflow" ''
    unit=windtunnel-airflow-$$
    exec systemd-run --unit="$unit" --quiet --pipe --wait --collect --service-type=exec \
      --uid=${common.user} --gid=${common.user} --working-directory=${common.state} \
      ${
        lib.concatMapStringsSep " " lib.escapeShellArg (
          lib.mapAttrsToList (name: value: "--setenv=${name}=${value}") common.variables
          ++ map (
            name: "--property=LoadCredential=${name}:${cfg.secretsDirectory}/${name}"
          ) common.airflowSecrets
          ++ [
            "--setenv=PATH=${
              lib.makeBinPath [
                cfg.package
                pkgs.bash
                pkgs.coreutils
              ]
            }"
          ]
        )
      } \
      --property=BindReadOnlyPaths="/run/credentials/$unit.service:${common.state}/secrets" \
      ${cfg.package}/bin/airflow "$@"
  '';
  secrets = pkgs.writeShellScriptBin "windtunnel-secrets" ''exec ${cfg.package}/bin/python -m windtunnel.services.host_secrets "$@"'';
in
{
  config = lib.mkIf shape.active {
    environment.systemPackages = [
      airflow
      secrets
    ];
  };
}
