# The cable of a worker's host is pulled while it works.
{
  name = "windtunnel-partition";
  imports = [ ./cluster.nix ];
  testScript = import ./prelude.nix + ''
    from windtunnel.drill.scenarios.hosts import worker_cut_off_and_healed

    with subtest("a worker whose cable is pulled finishes what it has, takes nothing new, and reconnects"):
        cluster.rehearse(worker_cut_off_and_healed)
  '';
}
