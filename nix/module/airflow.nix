# Airflow's own processes and the reconciler, one unit for each role, with the commands of process-compose.yaml.
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

  prepared = lib.optional cfg.generateSecrets "windtunnel-prepare.service";
  database = lib.optional cfg.database.createLocally "windtunnel-database.service";
  broker = lib.optional cfg.broker.createLocally "redis-windtunnel.service";
  migrated = lib.optional cfg.migrate.enable "windtunnel-migrate.service";
  # Ordered and wanted, not required: the end of a dependency is an outage to survive, not a reason to stop.
  needs = units: {
    wants = prepared ++ units;
    after = prepared ++ units;
  };
  on = role: attrs: lib.mkIf role.enable (common.service attrs);
  passwords = "/run/windtunnel-api-server/simple-auth-manager.json";
in
{
  config = {
    systemd.services = {
      windtunnel-migrate = on cfg.migrate (
        needs database
        // {
          description = "brings the database to this Airflow's version";
          command = "python -m windtunnel.services.migrate";
          secrets = common.airflowSecrets;
          serviceConfig = {
            Type = "oneshot";
            RemainAfterExit = true;
            # `always` is refused for a oneshot that remains; a failure is tried again as under process-compose's `up`.
            Restart = "on-failure";
            TimeoutStartSec = 600;
          };
        }
      );

      windtunnel-api-server = on cfg.apiServer (
        needs migrated
        // {
          description = "Airflow's UI, REST API and task-execution API";
          command = "python -m windtunnel.runtime.component api-server";
          secrets = common.airflowSecrets ++ lib.optional common.simple "simple-auth-manager.json";
          environment = lib.optionalAttrs common.simple {
            AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE = passwords;
          };
          # The development auth manager opens its file for writing, and credentials are read-only.
          serviceConfig = lib.optionalAttrs common.simple {
            RuntimeDirectory = "windtunnel-api-server";
            RuntimeDirectoryMode = "0700";
            ExecStartPre = "${pkgs.coreutils}/bin/install -m 0600 %d/simple-auth-manager.json ${passwords}";
          };
        }
      );

      windtunnel-scheduler = on cfg.scheduler (
        needs (migrated ++ broker)
        // {
          description = "decides what runs; hands tasks to the broker";
          command = "python -m windtunnel.runtime.component scheduler --skip-serve-logs";
          secrets = common.airflowSecrets;
        }
      );

      windtunnel-dag-processor = on cfg.dagProcessor (
        needs migrated
        // {
          description = "reads the DAG files";
          command = "python -m windtunnel.runtime.component dag-processor";
          secrets = common.airflowSecrets;
        }
      );

      windtunnel-triggerer = on cfg.triggerer (
        needs migrated
        // {
          description = "waits on behalf of deferred tasks";
          command = "python -m windtunnel.runtime.component triggerer --skip-serve-logs";
          secrets = common.airflowSecrets;
        }
      );

      windtunnel-flower = on cfg.flower (
        needs (migrated ++ broker)
        // {
          description = "Celery's monitoring page";
          command = "python -m windtunnel.runtime.flower_server";
          secrets = common.airflowSecrets;
          serviceConfig.TimeoutStopSec = 20;
        }
      );

      windtunnel-reconciler = on cfg.reconciler (
        needs (migrated ++ broker)
        // {
          description = "brings back what a crash left half done";
          command = "python -m windtunnel.reconciler";
          secrets = [
            "broker-url"
            "database-url"
          ];
          serviceConfig = {
            TimeoutStopSec = 20;
            # It clears up behind workers of this host that are gone for good: see workers.nix.
            ProtectProc = "default";
          };
        }
      );

      # Not in process-compose.yaml: there every process shares the folder of logs.
      windtunnel-log-server = on cfg.logServer (
        needs [ ]
        // {
          description = "logs of this host's tasks, for the API server";
          command = "python -m airflow.utils.serve_logs.core";
          secrets = common.airflowSecrets;
        }
      );
    };

    networking.firewall.allowedTCPPorts = lib.mkIf cfg.openFirewall (
      lib.optional (
        cfg.apiServer.enable && !shape.loopback cfg.apiServer.listenAddress
      ) cfg.apiServer.port
      ++ lib.optional (cfg.flower.enable && !shape.loopback cfg.flower.listenAddress) cfg.flower.port
      ++ lib.optional cfg.logServer.enable cfg.logServer.port
    );
  };
}
