# Nothing listens beyond loopback, secrets are root's, the units are confined.
{
  name = "windtunnel-security";
  nodes.host =
    { lib, ... }:
    {
      services.windtunnel.singleHost = true;
      virtualisation.memorySize = lib.mkForce 4096;
    };
  testScript = ''
    from windtunnel.drill.remote_cluster import NixosCluster, wait

    services = ["valkey", "postgres", "api-server", "scheduler", "flower"]
    cluster = NixosCluster({name: machine for name in [*services, "worker-0"]})
    wait(lambda: cluster.up("api-server") and cluster.workers() == {"worker-0"}, "the stack", patience=900)

    with subtest("nothing listens beyond loopback"):
        listening = machine.succeed("ss -Htln").splitlines()
        addresses = [line.split()[3] for line in listening]
        outside = [a for a in addresses if not a.startswith(("127.", "[::1]"))]
        assert addresses and not outside, outside

    with subtest("every service wants a credential"):
        machine.fail("valkey-cli ping | grep PONG")
        machine.fail("psql -h 127.0.0.1 -U airflow -w airflow -c 'select 1'")
        assert machine.succeed("curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:5555/api/workers") == "401"
        assert machine.succeed("curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:8080/api/v2/dags") == "401"

    with subtest("secrets are root's, mode 0600, and in no store path, argument or log"):
        modes = machine.succeed("stat -c '%a %U' /var/lib/windtunnel-secrets /var/lib/windtunnel-secrets/*").split("\n")
        assert set(filter(None, modes)) == {"700 root", "600 root"}, modes
        for name in ("valkey-password", "postgres-password", "airflow-password", "jwt-secret"):
            secret = machine.succeed(f"cat /var/lib/windtunnel-secrets/{name}")
            machine.succeed(f"printf %s '{secret}' > /run/secret-to-look-for")
            machine.fail("journalctl --no-pager | grep -qF -f /run/secret-to-look-for")
            machine.fail("cat /proc/*/cmdline | tr '\\0' ' ' | grep -qF -f /run/secret-to-look-for")

    with subtest("the units are confined"):
        for unit in ("api-server", "scheduler", "worker-0"):
            machine.succeed(f"systemd-analyze security --threshold=30 windtunnel-{unit}.service")
  '';
}
