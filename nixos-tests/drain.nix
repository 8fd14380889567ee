# A worker is told to stop while it works: by SIGTERM to its main process, by systemd, and by the shutdown of its host.
{
  name = "windtunnel-drain";
  imports = [ ./cluster.nix ];
  testScript = import ./prelude.nix + ''
    from signal import SIGTERM

    from windtunnel.drill.scenarios.hosts import worker_stopped_mid_task


    def by_signal(node: str) -> None:
        machine = hosts[node]
        machine.succeed(f"systemctl edit --runtime --stdin windtunnel-{node} <<< $'[Service]\\nRestart=no'")
        cluster.kill(f"{node}/supervisor", SIGTERM)
        wait(lambda: cluster.main_pid(f"{node}/supervisor") is None, "the supervisor to end")


    def by_shutdown(node: str) -> None:
        hosts[node].shutdown()
        hosts[node].start()
        hosts[node].wait_for_unit("multi-user.target")


    with subtest("systemctl stop lets the task in hand end"):
        cluster.rehearse(worker_stopped_mid_task)

    with subtest("SIGTERM to the main process lets the task in hand end"):
        cluster.rehearse(worker_stopped_mid_task, stop=by_signal)

    with subtest("the shutdown of the host lets the task in hand end"):
        cluster.rehearse(worker_stopped_mid_task, stop=by_shutdown, ceiling=240)
  '';
}
