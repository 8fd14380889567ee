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
        # The reason too: a program that is missing fails as well.
        assert "NOAUTH" in machine.execute("valkey-cli ping 2>&1")[1]
        assert "no password" in machine.execute("psql -h 127.0.0.1 -U airflow -w airflow -c 'select 1' 2>&1")[1]
        assert machine.succeed("curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:5555/api/workers") == "401"
        assert machine.succeed("curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:8080/api/v2/dags") == "401"

    def lines(source: str, text: str) -> int:
        """How many of a command's lines hold the text, which stands in no command line but printf's own."""
        machine.succeed(f"printf %s '{text}' > /run/looked-for")
        # Not `grep -q`: it closes the pipe early, and with the driver's pipefail that looks like "not found".
        return int(machine.succeed(f"{{ {source}; }} 2>/dev/null | grep -acFf /run/looked-for || true"))

    with subtest("secrets are root's, mode 0600, and in no unit, argument or log"):
        modes = machine.succeed("stat -c '%a %U' /var/lib/windtunnel-secrets /var/lib/windtunnel-secrets/*").split("\n")
        assert set(filter(None, modes)) == {"700 root", "600 root"}, modes
        for name in ("valkey-password", "postgres-password", "airflow-password", "jwt-secret"):
            secret = machine.succeed(f"cat /var/lib/windtunnel-secrets/{name}")
            # Each place with something that is there: so the search finds what it looks for.
            for source, there in (
                ("journalctl --no-pager", "windtunnel-api-server"),
                ("cat /proc/[0-9]*/cmdline | tr '\\0' '\\n'", "windtunnel.runtime.component"),
                ("cat /etc/systemd/system/windtunnel-*.service", "windtunnel.runtime.component"),
            ):
                assert lines(source, there) > 0, f"{source}: the search does not work"
                assert secret and lines(source, secret) == 0, f"{source} holds {name}"

    with subtest("the units are confined"):
        for unit in ("api-server", "scheduler", "worker-0"):
            machine.succeed(f"systemd-analyze security --threshold=30 windtunnel-{unit}.service")
  '';
}
