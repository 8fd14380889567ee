# `prepare` of process-compose.yaml: the secrets, where this host makes them; and the user that owns the state folder.
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
in
{
  config = lib.mkMerge [
    (lib.mkIf (shape.airflow || shape.hasWorkers) {
      users.users.windtunnel = {
        isSystemUser = true;
        group = "windtunnel";
        home = common.state;
      };
      users.groups.windtunnel = { };
    })
    (lib.mkIf cfg.generateSecrets {
      systemd.services.windtunnel-prepare = {
        description = "secrets of the stack";
        wantedBy = [ "multi-user.target" ];
        path = [ pkgs.coreutils ];
        serviceConfig = removeAttrs common.hardening [ "PrivateUsers" ] // {
          Type = "oneshot";
          RemainAfterExit = true;
          ExecStart = lib.escapeShellArgs [
            "${cfg.package}/bin/python"
            "-m"
            "windtunnel.services.host_secrets"
            "--broker"
            "${cfg.broker.host}:${toString cfg.broker.port}"
            "--database"
            "${cfg.database.host}:${toString cfg.database.port}"
            cfg.secretsDirectory
          ];
          # Never the mode of a folder that is there: host_secrets looks first what else is in it.
          ExecStartPre = "+${pkgs.coreutils}/bin/mkdir -p -m 0700 ${lib.escapeShellArg cfg.secretsDirectory}";
          ReadWritePaths = [ cfg.secretsDirectory ];
          UMask = "0077";
        };
      };
    })
  ];
}
