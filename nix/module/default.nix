# `services.windtunnel`: the processes of process-compose.yaml as systemd units, on one host or spread over several.
# docs/guides/several-machines.md shows its use; tests/nix compares its units with process-compose.yaml.
{ self }:
{
  imports = [
    (import ./options.nix { inherit self; })
    ./assertions.nix
    ./broker.nix
    ./database.nix
    ./secrets.nix
    ./airflow.nix
    ./workers.nix
    ./manage.nix
  ];
}
