# Workers: `systemctl stop` drains one, so does the shutdown of its host.
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
  # Everything of this host that a draining worker needs is stopped after it: systemd reverses the order of starting.
  needed =
    prepared
    ++ lib.optional cfg.database.createLocally "windtunnel-database.service"
    ++ lib.optional cfg.broker.createLocally "redis-windtunnel.service"
    ++ lib.optional cfg.migrate.enable "windtunnel-migrate.service"
    ++ lib.optional cfg.apiServer.enable "windtunnel-api-server.service";

  unit =
    node: worker:
    lib.nameValuePair "windtunnel-${node}" (
      common.service {
        description = "runs tasks; a supervisor around the Celery worker ${node}";
        command = "python -m windtunnel.worker --name ${node}";
        wantedBy = lib.optional worker.autoStart "multi-user.target";
        wants = needed;
        after = needed;
        secrets = common.airflowSecrets;
        environment = {
          WORKER_CONCURRENCY = if worker.concurrency == null then "" else toString worker.concurrency;
          WORKER_QUEUES = lib.concatStringsSep "," worker.queues;
          WORKER_DRAIN_SECONDS = toString worker.drainSeconds;
        }
        // lib.optionalAttrs (worker.taskMemoryMegabytes != null) {
          WORKER_TASK_MEMORY_MB = toString worker.taskMemoryMegabytes;
        };
        serviceConfig = {
          # SIGTERM reaches the supervisor alone, which drains; what is left at the ceiling is killed with everything below it.
          KillMode = "mixed";
          # As WINDTUNNEL_DRAIN_CEILING (windtunnel.settings.DRAIN_MARGIN_SECONDS): the supervisor's own ceiling comes first.
          TimeoutStopSec = worker.drainSeconds + 10;
          # The kernel ends the hungry task; the worker serves on.
          OOMPolicy = "continue";
          # Airflow makes its task processes undumpable, and `invisible` would hide these even from their own user: the
          # supervisor could then not find, and end, what a crash left behind.
          ProtectProc = "default";
        }
        // lib.optionalAttrs (worker.memoryMax != null) {
          MemoryMax = worker.memoryMax;
          MemorySwapMax = 0;
        };
      }
    );
in
{
  config.systemd.services = lib.mapAttrs' (node: workers: unit node (lib.head workers)) shape.nodes;
}
