# Wrong configurations, each of which evaluation must refuse, beside a right one that it must accept.
{
  self,
  lib,
  pkgs,
}:
let
  host =
    configuration:
    (lib.nixosSystem {
      modules = [
        self.nixosModules.default
        {
          nixpkgs.hostPlatform = pkgs.stdenv.hostPlatform.system;
          boot.loader.grub.enable = false;
          fileSystems."/" = {
            device = "/dev/vda";
            fsType = "ext4";
          };
          system.stateVersion = "26.05";
        }
        configuration
      ];
    }).config;
  # Every option of ours, our assertions, and the text of our units: all that a wrong value can break, a tenth of a system.
  accepted =
    configuration:
    let
      config = host configuration;
      options = removeAttrs config.services.windtunnel [ "package" ];
      # A message is there to be read only where its assertion fails.
      broken = lib.filter (a: !a.assertion) config.assertions;
      units = lib.filterAttrs (name: _: lib.hasPrefix "windtunnel-" name) config.systemd.units;
    in
    (builtins.tryEval (
      builtins.deepSeq options (broken == [ ])
      && builtins.deepSeq (lib.mapAttrsToList (_: unit: unit.text) units) true
    )).value;
  worker = worker: {
    services.windtunnel = {
      apiServer.host = "api";
      workers = { inherit worker; };
    };
  };

  right = {
    single-host.services.windtunnel.singleHost = true;
    worker-only = worker {
      concurrency = 4;
      memoryMax = "8G";
      queues = [
        "default"
        "vm2_queue"
      ];
    };
    settings.services.windtunnel = {
      singleHost = true;
      settings.core.parallelism = 64;
    };
    other-places.services.windtunnel = {
      singleHost = true;
      secretsDirectory = "/run/secrets/windtunnel";
      dagsFolder = ../dags;
      database.clients = [
        "10.0.0.0/8"
        "fd00::/8"
        "samehost"
      ];
      environment.AIRFLOW_CONN_WAREHOUSE = "postgresql://me@warehouse:5432/data";
      settings.core.simple_auth_manager_all_admins = true;
      settings.database.sql_alchemy_conn_secret = "name-in-a-secrets-backend";
    };
    nothing = { };
  };
  wrong = {
    concurrency-is-a-word = worker { concurrency = "many"; };
    concurrency-is-zero = worker { concurrency = 0; };
    no-queue = worker { queues = [ ]; };
    two-queues-in-one-string = worker { queues = [ "a,b" ]; };
    memory-in-bytes = worker { memoryMax = "8"; };
    memory-without-a-unit-that-exists = worker { memoryMax = "8 gigabytes"; };
    unknown-option-of-a-worker = worker { slots = 4; };
    worker-without-api-server.services.windtunnel.workers.worker = { };
    two-workers-of-one-name.services.windtunnel = {
      apiServer.host = "api";
      workers.worker.replicas = 2;
      workers.worker-1.replicas = null;
    };
    worker-with-the-name-of-a-role.services.windtunnel = {
      apiServer.host = "api";
      workers.scheduler.replicas = null;
    };
    worker-whose-name-is-no-units.services.windtunnel = {
      apiServer.host = "api";
      workers."my worker" = { };
    };
    firewall-without-a-role.services.windtunnel.openFirewall = true;
    clients-without-a-mask.services.windtunnel = {
      singleHost = true;
      database.clients = [ "10.0.0.1" ];
    };
    clients-with-a-rule-of-their-own.services.windtunnel = {
      singleHost = true;
      database.clients = [ "10.0.0.0/8 trust #" ];
    };
    dags-in-a-home-folder.services.windtunnel = {
      singleHost = true;
      dagsFolder = "/home/me/dags";
    };
    dags-without-a-path.services.windtunnel = {
      singleHost = true;
      dagsFolder = "dags";
    };
    unknown-role.services.windtunnel.schedular.enable = true;
    port-out-of-range.services.windtunnel.flower.port = 70000;
    setting-is-a-list.services.windtunnel = {
      singleHost = true;
      settings.core.parallelism = [ 64 ];
    };
    other-executor.services.windtunnel = {
      singleHost = true;
      settings.core.executor = "LocalExecutor";
    };
    other-executor-as-a-variable.services.windtunnel = {
      singleHost = true;
      environment.AIRFLOW__CORE__EXECUTOR = "LocalExecutor";
    };
    secret-as-a-variable.services.windtunnel = {
      singleHost = true;
      environment.AIRFLOW__API_AUTH__JWT_SECRET = "secret";
    };
    secret-in-capitals.services.windtunnel = {
      singleHost = true;
      settings.CORE.FERNET_KEY = "secret";
    };
    password-in-a-connection.services.windtunnel = {
      singleHost = true;
      environment.AIRFLOW_CONN_WAREHOUSE = "postgresql://me:password@warehouse/data";
    };
    password-of-another-section.services.windtunnel = {
      singleHost = true;
      settings.smtp.smtp_password = "password";
    };
    everyone-is-admin-for-other-hosts.services.windtunnel = {
      singleHost = true;
      apiServer.listenAddress = "0.0.0.0";
      settings.core.simple_auth_manager_all_admins = true;
    };
    secret-in-settings.services.windtunnel = {
      singleHost = true;
      settings.celery.broker_url = "redis://:password@valkey:6379/0";
    };
    secrets-in-the-store.services.windtunnel = {
      singleHost = true;
      secretsDirectory = "${./.}";
    };
    secrets-in-a-folder-of-the-system.services.windtunnel = {
      singleHost = true;
      secretsDirectory = "/etc";
    };
    secrets-where-everyone-may-write.services.windtunnel = {
      singleHost = true;
      secretsDirectory = "/tmp/secrets";
    };
    secrets-in-the-state-folder.services.windtunnel = {
      singleHost = true;
      secretsDirectory = "/var/lib/windtunnel/secrets";
    };
    secrets-by-a-detour.services.windtunnel = {
      singleHost = true;
      secretsDirectory = "/var/lib/windtunnel-secrets/..";
    };
    relative-secrets.services.windtunnel = {
      singleHost = true;
      secretsDirectory = "secrets";
    };
  };
  verdicts =
    lib.mapAttrsToList (name: c: {
      inherit name;
      ok = accepted c;
    }) right
    ++ lib.mapAttrsToList (name: c: {
      inherit name;
      ok = !accepted c;
    }) wrong;
  failed = map (v: v.name) (lib.filter (v: !v.ok) verdicts);
in
if failed == [ ] then
  pkgs.runCommand "windtunnel-module-refusals" {
    passthru.names = map (v: v.name) verdicts;
  } "touch $out"
else
  throw "wrongly judged configurations of services.windtunnel: ${lib.concatStringsSep ", " failed}"
