# What the units of this module share: variables, secrets, hardening, restart policy. A function, not a module.
{
  cfg,
  lib,
  pkgs,
}:
let
  state = "/var/lib/windtunnel";
  user = "windtunnel";
  # systemd expands `%` in Environment=.
  escape = lib.replaceStrings [ "%" ] [ "%%" ];
  text = value: if lib.isBool value then (if value then "True" else "False") else toString value;
  variable =
    section: key:
    "AIRFLOW__${lib.toUpper (lib.replaceStrings [ "." "-" ] [ "_" "_" ] section)}__${lib.toUpper key}";
  fromSettings = lib.concatMapAttrs (
    section: lib.mapAttrs' (key: value: lib.nameValuePair (variable section key) (text value))
  );

  simple = lib.hasSuffix ".SimpleAuthManager" cfg.authManager;
  inherit (import ./shape.nix { inherit cfg lib; }) spread;
  # What differs from airflow.cfg because of where things are; what a person sets comes last and wins.
  placed = lib.foldl' lib.recursiveUpdate { } [
    (lib.optionalAttrs (!simple) { core.auth_manager = cfg.authManager; })
    (lib.optionalAttrs (cfg.apiServer.host != "127.0.0.1") {
      core.execution_api_server_url = "http://${cfg.apiServer.host}:${toString cfg.apiServer.port}/execution/";
      api.base_url = "http://${cfg.apiServer.host}:${toString cfg.apiServer.port}";
    })
    (lib.optionalAttrs (cfg.apiServer.listenAddress != "127.0.0.1") {
      api.host = cfg.apiServer.listenAddress;
    })
    (lib.optionalAttrs (cfg.flower.listenAddress != "127.0.0.1") {
      celery.flower_host = cfg.flower.listenAddress;
    })
    (lib.optionalAttrs (cfg.logServer.port != 8793) {
      logging.worker_log_server_port = cfg.logServer.port;
    })
    # Logs of another host's task are fetched by that host's name; on one host the folder is shared.
    (lib.optionalAttrs spread { core.hostname_callable = "socket.getfqdn"; })
    cfg.settings
  ];
in
rec {
  inherit state user simple;

  # What a person sets, by either way.
  given = fromSettings cfg.settings // cfg.environment;

  # airflow.cfg is read from the store: Airflow writes nothing beside it.
  airflowHome = lib.fileset.toSource {
    root = ../../airflow-home;
    fileset = ../../airflow-home/airflow.cfg;
  };

  # As process-compose.yaml's `environment`; tests/nix compares them key by key.
  variables = {
    AIRFLOW__CORE__EXECUTOR = "CeleryExecutor";
    AIRFLOW_HOME = "${airflowHome}";
    WINDTUNNEL_STATE = state;
    WINDTUNNEL_STACK = state;
    WINDTUNNEL_API_PORT = toString cfg.apiServer.port;
    WINDTUNNEL_FLOWER_PORT = toString cfg.flower.port;
    WINDTUNNEL_POSTGRES_PORT = toString cfg.database.port;
    WINDTUNNEL_VALKEY_PORT = toString cfg.broker.port;
    WINDTUNNEL_SCHEDULER_HEALTH_PORT = toString cfg.schedulerHealthPort;
    DAGS_FOLDER = "${cfg.dagsFolder}";
    WINDTUNNEL_PATCHES = "all";
    SPT_NOENV = "1";
    PYTHONDONTWRITEBYTECODE = "";
  }
  // fromSettings placed
  // cfg.environment;
  # For units.
  environment = lib.mapAttrs (_: escape) variables;

  # A service of ours. `secrets`: names in secretsDirectory, seen as $WINDTUNNEL_STATE/secrets by this unit alone.
  service =
    {
      description,
      command,
      secrets,
      after ? [ ],
      environment ? { },
      serviceConfig ? { },
      ...
    }@args:
    lib.recursiveUpdate
      (removeAttrs args [
        "command"
        "secrets"
      ])
      {
        wantedBy = args.wantedBy or [ "multi-user.target" ];
        wants = [ "network-online.target" ] ++ args.wants or [ ];
        after = [ "network-online.target" ] ++ after;
        # `sh` and `cat` of the *_cmd options; the environment's own programs.
        path = [
          cfg.package
          pkgs.bash
          pkgs.coreutils
        ];
        inherit description;
        environment = common.environment // environment;
        # Retried for as long as it takes: a host that boots before its broker must not give up.
        unitConfig.StartLimitIntervalSec = 0;
        serviceConfig =
          hardening
          // {
            ExecStart = "${cfg.package}/bin/${command}";
            User = user;
            Group = user;
            StateDirectory = map (folder: "windtunnel${folder}") [
              ""
              "/logs"
              "/logs/tasks"
              "/run"
              "/run/heartbeats"
              "/run/workers"
              "/run/reconciler"
              "/secrets" # covered by the unit's own, below
            ];
            StateDirectoryMode = "0750";
            WorkingDirectory = state;
            LoadCredential = map (name: "${name}:${cfg.secretsDirectory}/${name}") secrets;
            # The same path as under process-compose, so that airflow.cfg is the same file.
            BindReadOnlyPaths = [ "%d:${state}/secrets" ];
            Restart = "always";
            RestartSec = 1;
            TimeoutStopSec = 30;
          }
          // serviceConfig;
      };
  common = { inherit environment; };

  # Every Airflow process reads its configuration whole; the Celery provider's commands read Flower's login at import.
  airflowSecrets = [
    "api-secret-key"
    "broker-url"
    "database-url"
    "fernet-key"
    "flower-basic-auth"
    "jwt-secret"
    "result-backend"
  ];

  # A fixed user, not DynamicUser: the units share the folders of logs and of the workers' ledgers, and restart alone.
  hardening = {
    AmbientCapabilities = "";
    CapabilityBoundingSet = "";
    KeyringMode = "private";
    LockPersonality = true;
    NoNewPrivileges = true;
    PrivateDevices = true;
    PrivateTmp = true;
    PrivateUsers = true;
    ProtectClock = true;
    ProtectControlGroups = true;
    ProtectHome = true;
    ProtectHostname = true;
    ProtectKernelLogs = true;
    ProtectKernelModules = true;
    ProtectKernelTunables = true;
    ProtectProc = "invisible";
    ProtectSystem = "strict";
    RemoveIPC = true;
    RestrictAddressFamilies = [
      "AF_INET"
      "AF_INET6"
      "AF_UNIX"
    ];
    RestrictNamespaces = true;
    RestrictRealtime = true;
    RestrictSUIDSGID = true;
    SystemCallArchitectures = "native";
    # Tasks lower their own priority and change the owner of files they unpack: refused with an error, not by death.
    SystemCallErrorNumber = "EPERM";
    SystemCallFilter = [
      "@system-service"
      "~@privileged"
    ];
    UMask = "0027";
  };
}
