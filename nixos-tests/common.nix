# Every machine of the tests: room for Airflow, the project's DAGs, short drains.
{ pkgs, ... }:
{
  virtualisation = {
    memorySize = 3072;
    cores = 2;
    diskSize = 4096;
  };
  services.windtunnel.dagsFolder = ../dags;
  # The scenarios speak HTTP from inside the machines.
  environment.systemPackages = [ pkgs.curl ];

}
