# What follows from the roles that a host has. A function, not a module.
{ cfg, lib }:
rec {
  # Roles that are Airflow processes.
  airflow = lib.any (role: role.enable) [
    cfg.apiServer
    cfg.scheduler
    cfg.dagProcessor
    cfg.triggerer
    cfg.flower
    cfg.reconciler
    cfg.migrate
    cfg.logServer
  ];
  # Names of Celery nodes, with the workers that have them: one, or it is a mistake.
  nodes = lib.zipAttrs (
    lib.concatLists (
      lib.mapAttrsToList (
        name: worker:
        if worker.replicas == null then
          [ { ${name} = worker; } ]
        else
          map (n: { "${name}-${toString n}" = worker; }) (lib.range 0 (worker.replicas - 1))
      ) cfg.workers
    )
  );
  hasWorkers = cfg.workers != { };
  active = airflow || hasWorkers || cfg.broker.createLocally || cfg.database.createLocally;
  loopback =
    address:
    lib.elem address [
      "127.0.0.1"
      "::1"
      "localhost"
    ];
  # Workers elsewhere: their logs come over the network.
  spread =
    cfg.logServer.enable
    || (cfg.apiServer.enable && !loopback cfg.apiServer.listenAddress)
    || !loopback cfg.apiServer.host;
}
