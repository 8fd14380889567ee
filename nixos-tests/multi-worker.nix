# Two worker hosts, broker and database on hosts of their own: the specification's URLs hold by name, and both work.
{
  name = "windtunnel-multi-worker";
  imports = [ ./cluster.nix ];
  testScript = import ./prelude.nix + ''
    from windtunnel.drill.scenarios import hosts as scenarios

    with subtest("the URLs are the specification's, by name"):
        assert cluster.secret("broker-url").rpartition("@")[2] == "valkey:6379/0"
        result_backend = cluster.secret("result-backend")
        assert result_backend.startswith("db+postgresql+psycopg2://airflow:"), "the scheme or the user differs"
        assert result_backend.rpartition("@")[2] == "postgres:5432/airflow"

    with subtest("every Airflow process has the CeleryExecutor in its environment"):
        for role in cluster.roles:
            if role not in ("valkey", "postgres"):
                pid = cluster.main_pid(f"{role}/supervisor" if role.startswith("worker") else role)
                environment = cluster.output(role, f"tr '\\0' '\\n' < /proc/{pid}/environ")
                assert "AIRFLOW__CORE__EXECUTOR=CeleryExecutor" in environment.splitlines(), role

    with subtest("both workers execute tasks"):
        cluster.rehearse(scenarios.every_worker_has_a_share)

    with subtest("the log of a task is read from the host that ran it"):
        run = cluster.trigger("steady", {"seconds": 0})
        wait(lambda: [i.state for i in cluster.task_instances("steady", run)] == ["success"], "the run to end")
        instance = cluster.task_instances("steady", run)[0]
        assert instance.hostname in ("worker1", "worker2"), instance.hostname
        text = cluster.airflow(f"/dags/steady/dagRuns/{run}/taskInstances/work/logs/1?full_content=true")
        assert "Could not read served logs" not in str(text["content"]), text["content"]
  '';
}
