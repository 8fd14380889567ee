# Five hosts whose names are those of the specification's URLs: redis://valkey:6379/0 and postgresql://…@postgres:5432.
_:
let
  worker = node: queue: {
    services.windtunnel = {
      logServer.enable = true;
      # A name of its own on every host, as the workers of one host have: so a test can tell them apart.
      workers.${node} = {
        replicas = null;
        concurrency = 2;
        # Room for the worker and two ordinary tasks.
        memoryMax = "1500M";
        queues = [
          "default"
          queue
        ];
      };
    };
  };
in
{
  defaults.services.windtunnel = {
    broker.host = "valkey";
    database.host = "postgres";
    apiServer.host = "scheduler";
    openFirewall = true;
  };

  nodes = {
    valkey.services.windtunnel.broker = {
      createLocally = true;
      listenAddress = "0.0.0.0";
    };
    postgres.services.windtunnel.database = {
      createLocally = true;
      listenAddress = "0.0.0.0";
      clients = [ "192.168.0.0/16" ];
    };
    scheduler.services.windtunnel = {
      migrate.enable = true;
      scheduler.enable = true;
      dagProcessor.enable = true;
      triggerer.enable = true;
      reconciler.enable = true;
      flower.enable = true;
      apiServer = {
        enable = true;
        listenAddress = "0.0.0.0";
      };
      # Made here, and copied to the other hosts as an administrator would.
      generateSecrets = true;
    };
    worker1 = worker "worker-0" "vm1_queue";
    worker2 = worker "worker-1" "vm2_queue";
  };
}
