# Valkey is killed while tasks run and others wait; it is away while tasks are to be queued.
{
  name = "windtunnel-broker-restart";
  imports = [ ./cluster.nix ];
  testScript = import ./prelude.nix + ''
    from windtunnel.drill.scenarios.broker_away import broker_away_while_tasks_wait
    from windtunnel.drill.scenarios.broker_crash import broker_killed_while_tasks_run

    with subtest("killed while tasks run: nothing is lost, nothing runs twice"):
        cluster.rehearse(broker_killed_while_tasks_run)
        cluster.scale(2)

    with subtest("away while tasks are to be queued: they wait, none fails"):
        cluster.rehearse(broker_away_while_tasks_wait)
  '';
}
