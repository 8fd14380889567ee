# What the scripts of several hosts begin with. `cluster` is then what the scenarios work on.
''
  from windtunnel.drill.remote_cluster import NixosCluster, share_secrets, wait

  start_all()
  scheduler.wait_for_unit("windtunnel-prepare.service")
  share_secrets(scheduler, [valkey, postgres, worker1, worker2])
  hosts = {"valkey": valkey, "postgres": postgres, "worker-0": worker1, "worker-1": worker2}
  central = ["api-server", "scheduler", "dag-processor", "triggerer", "flower", "reconciler"]
  cluster = NixosCluster(hosts | {role: scheduler for role in central})
  wait(lambda: cluster.up("api-server"), "the API server", patience=900)
  wait(lambda: cluster.workers() == {"worker-0", "worker-1"}, "both workers in Flower", patience=900)
  wait(lambda: cluster.airflow("/dags/steady")["dag_id"] == "steady", "the DAGs", patience=300)
''
