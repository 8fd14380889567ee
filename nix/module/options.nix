# What a person may say about a deployment. Roles are off unless named; `singleHost` names them all.
{ self }:
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.windtunnel;
  inherit (lib) mkEnableOption mkOption types;

  port =
    default: what:
    mkOption {
      type = types.port;
      inherit default;
      description = "TCP port of ${what}.";
    };
  host =
    what:
    mkOption {
      type = types.str;
      default = "127.0.0.1";
      description = "Name or address under which the other hosts reach ${what}.";
    };
  listen =
    what:
    mkOption {
      type = types.str;
      default = "127.0.0.1";
      description = "Address on which ${what} listens; `0.0.0.0` for every interface.";
    };
  role = what: { enable = mkEnableOption "${what} on this host"; };
in
{
  options.services.windtunnel = {
    singleHost = mkEnableOption "every role on this host, with secrets that are generated here";

    package = mkOption {
      type = types.package;
      default = self.packages.${pkgs.stdenv.hostPlatform.system}.environment;
      defaultText = lib.literalExpression "windtunnel.packages.\${system}.environment";
      description = "The Python environment. One with packages of your own: `windtunnel.lib.dagRepository`.";
    };

    dagsFolder = mkOption {
      type = types.either types.path types.str;
      default = "/var/lib/windtunnel/dags";
      example = lib.literalExpression "./dags";
      description = "The folder of DAGs, the same files on every host. A path of the configuration is copied to the store.";
    };

    settings = mkOption {
      type = types.attrsOf (
        types.attrsOf (
          types.oneOf [
            types.bool
            types.int
            types.float
            types.str
          ]
        )
      );
      default = { };
      example = {
        core.parallelism = 64;
        scheduler.max_tis_per_query = 128;
      };
      description = ''
        Airflow's settings, `section.key = value`, merged over airflow-home/airflow.cfg. They become variables
        (`AIRFLOW__SECTION__KEY`) that anyone on the host may read: secrets belong in `secretsDirectory`.
      '';
    };

    environment = mkOption {
      type = types.attrsOf types.str;
      default = { };
      description = "Further variables of every Airflow process. Not for secrets.";
    };

    secretsDirectory = mkOption {
      type = types.strMatching "/.+";
      default = "/var/lib/windtunnel-secrets";
      description = ''
        Folder of root's alone (mode 0700) with a file for each secret, the same on every host:
        `windtunnel-secrets --broker HOST --database HOST FOLDER` makes one. Units see only what they need of it.
      '';
    };

    generateSecrets = mkEnableOption "making whatever is missing in `secretsDirectory` on this host, before anything starts";

    openFirewall = mkEnableOption "opening the ports of this host's roles that listen beyond loopback";

    migrate = role "bringing the database to this Airflow's version";
    scheduler = role "the scheduler";
    dagProcessor = role "the DAG processor";
    triggerer = role "the triggerer";
    reconciler = role "the reconciler, which brings back what a crash left half done";

    apiServer = role "Airflow's UI, REST API and task-execution API" // {
      host = host "the API server";
      listenAddress = listen "the API server";
      port = port 8080 "the API server";
    };

    authManager = mkOption {
      type = types.str;
      default = "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager";
      example = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager";
      description = ''
        Class that says who may do what. The default is Airflow's development one: a single user `admin`, whose password
        is a secret of `secretsDirectory`. Others need a provider package in `package`.
      '';
    };

    flower = role "Flower, Celery's monitoring page" // {
      listenAddress = listen "Flower";
      port = port 5555 "Flower";
    };

    schedulerHealthPort = port 8974 "the scheduler's health check, on loopback";

    broker = {
      createLocally = mkEnableOption "Valkey on this host";
      host = host "the broker";
      listenAddress = listen "the broker";
      port = port 6379 "the broker";
    };

    database = {
      createLocally = mkEnableOption "PostgreSQL on this host, with Airflow's role and database";
      host = host "the database";
      listenAddress = listen "the database";
      port = port 5432 "the database";
      clients = mkOption {
        type = types.listOf (types.strMatching "[0-9a-fA-F.:]+/[0-9]+|samehost|samenet");
        default = [ "127.0.0.1/32" ];
        example = [ "10.0.0.0/24" ];
        description = "Networks from which Airflow's role may connect to Airflow's database, with its password.";
      };
    };

    logServer = role "serving the logs of this host's tasks to the API server of another host" // {
      port = port 8793 "the log server; it listens on every interface, and wants a signed token";
    };

    workers = mkOption {
      default = { };
      example = {
        worker = { };
        worker-heavy = {
          replicas = null;
          queues = [ "heavy" ];
          memoryMax = "8G";
        };
      };
      description = "Workers of this host, by name. Their Celery nodes are `NAME-0@host` up to `replicas`.";
      type = types.attrsOf (
        types.submodule {
          options = {
            queues = mkOption {
              type = types.nonEmptyListOf (types.strMatching "[^,[:space:]]+");
              default = [ "default" ];
              description = "Queues that it serves.";
            };
            concurrency = mkOption {
              type = types.nullOr types.ints.positive;
              default = null;
              description = "Task slots of each replica; null for the number of processors.";
            };
            replicas = mkOption {
              type = types.nullOr types.ints.positive;
              default = 1;
              description = "How many; null for a single one whose node is named just `NAME`.";
            };
            drainSeconds = mkOption {
              type = types.ints.positive;
              default = 600;
              description = "Seconds that its tasks get to end after `systemctl stop` or a shutdown of the host.";
            };
            memoryMax = mkOption {
              type = types.nullOr (types.strMatching "[1-9][0-9]*(K|M|G|T|%)");
              default = null;
              example = "8G";
              description = "Ceiling of each replica with all its tasks. The kernel ends the task that goes past it, not the worker.";
            };
            taskMemoryMegabytes = mkOption {
              type = types.nullOr types.ints.positive;
              default = null;
              description = "Ceiling of each task with its children; the supervisor ends the task that goes past it.";
            };
            autoStart = mkOption {
              type = types.bool;
              default = true;
              description = "Whether it starts with the host.";
            };
          };
        }
      );
    };
  };

  config = lib.mkIf cfg.singleHost {
    services.windtunnel = {
      generateSecrets = lib.mkDefault true;
      broker.createLocally = lib.mkDefault true;
      database.createLocally = lib.mkDefault true;
      migrate.enable = lib.mkDefault true;
      apiServer.enable = lib.mkDefault true;
      scheduler.enable = lib.mkDefault true;
      dagProcessor.enable = lib.mkDefault true;
      triggerer.enable = lib.mkDefault true;
      flower.enable = lib.mkDefault true;
      reconciler.enable = lib.mkDefault true;
      # As in process-compose.yaml: one worker, and one for hungry tasks that is started by hand.
      workers.worker = lib.mkDefault { };
      workers.worker-heavy = lib.mkDefault {
        replicas = null;
        queues = [ "heavy" ];
        autoStart = false;
      };
    };
  };
}
