# Everything on one host by one line of configuration.
{
  name = "windtunnel-single-host";
  nodes.host =
    { lib, ... }:
    {
      services.windtunnel.singleHost = true;
      virtualisation.memorySize = lib.mkForce 4096;
    };
  testScript = ''
    from windtunnel.drill.remote_cluster import NixosCluster, wait
    from windtunnel.drill.scenarios.hosts import worker_stopped_mid_task

    services = ["valkey", "postgres", "api-server", "scheduler", "dag-processor", "triggerer", "flower", "reconciler"]
    cluster = NixosCluster({name: machine for name in [*services, "worker-0"]})
    machine.wait_for_unit("windtunnel-migrate.service")
    wait(lambda: cluster.up("api-server") and cluster.workers() == {"worker-0"}, "the stack", patience=900)
    wait(lambda: cluster.airflow("/dags/hello")["dag_id"] == "hello", "the DAGs")

    with subtest("a DAG runs"):
        run = cluster.trigger("hello")
        wait(lambda: {i.state for i in cluster.task_instances("hello", run)} == {"success"}, "hello to end")

    with subtest("the heavy worker is there, and off until started"):
        machine.fail("systemctl is-active windtunnel-worker-heavy.service")
        machine.succeed("systemctl start windtunnel-worker-heavy.service")
        wait(lambda: cluster.workers() == {"worker-0", "worker-heavy"}, "the heavy worker")
        machine.succeed("systemctl stop windtunnel-worker-heavy.service")

    with subtest("systemctl stop lets the task in hand end"):
        cluster.rehearse(worker_stopped_mid_task)

    with subtest("everything is back after a reboot"):
        machine.shutdown()
        machine.start()
        wait(lambda: cluster.workers() == {"worker-0"}, "the worker after the reboot", patience=900)
  '';
}
