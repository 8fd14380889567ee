# PostgreSQL, by NixOS's own module, and Airflow's role in it: its password comes from a file, and never meets argv.
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
  config = lib.mkIf cfg.database.createLocally {
    services.postgresql = {
      enable = true;
      # Above NixOS's own default, which follows `system.stateVersion`; below whatever a person says.
      package = lib.mkOverride 900 pkgs.postgresql_17;
      ensureDatabases = [ "airflow" ];
      ensureUsers = [
        {
          name = "airflow";
          ensureDBOwnership = true;
        }
      ];
      settings = {
        inherit (cfg.database) port;
        listen_addresses = lib.mkForce cfg.database.listenAddress;
        max_connections = lib.mkDefault 200;
        password_encryption = "scram-sha-256";
        # A statement in the log could hold the password that is set below.
        log_statement = "none";
        log_min_error_statement = "panic";
      };
      authentication = lib.mkBefore (
        lib.concatMapStrings (
          network: "host airflow airflow ${network} scram-sha-256\n"
        ) cfg.database.clients
      );
    };

    systemd.services.windtunnel-database = {
      description = "password of Airflow's database role";
      wantedBy = [ "multi-user.target" ];
      # The target, not the service: the role is made by postgresql-setup.service, which the target waits for. Wanted, not
      # required: a first start that fails is tried again by PostgreSQL's unit, and this one then tries again too.
      wants = [ "postgresql.target" ] ++ lib.optional cfg.generateSecrets "windtunnel-prepare.service";
      after = [ "postgresql.target" ] ++ lib.optional cfg.generateSecrets "windtunnel-prepare.service";
      path = [
        config.services.postgresql.package
        pkgs.coreutils
      ];
      # psql reads the statement from its input; the password is a quoted literal that psql itself makes.
      script = ''
        { printf '\\set password `cat "%s"`\n' "$CREDENTIALS_DIRECTORY/postgres-password"
          printf "ALTER ROLE airflow LOGIN PASSWORD :'password';\n"
        } | psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --port ${toString cfg.database.port} --dbname airflow
      '';
      serviceConfig = removeAttrs common.hardening [ "PrivateUsers" ] // {
        Type = "oneshot";
        RemainAfterExit = true;
        User = "postgres";
        LoadCredential = [ "postgres-password:${cfg.secretsDirectory}/postgres-password" ];
        Restart = "on-failure";
        RestartSec = 1;
      };
      unitConfig.StartLimitIntervalSec = 0;
    };
    networking.firewall.allowedTCPPorts = lib.mkIf (
      cfg.openFirewall && !shape.loopback cfg.database.listenAddress
    ) [ cfg.database.port ];
  };
}
