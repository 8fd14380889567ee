# Mistakes that types cannot catch, refused at evaluation with what to do instead.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.windtunnel;
  shape = import ./shape.nix { inherit cfg lib; };
  inherit (import ./common.nix { inherit cfg lib pkgs; }) given state;

  secret = [
    "AIRFLOW__CORE__FERNET_KEY"
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC"
    "AIRFLOW__API__SECRET_KEY"
    "AIRFLOW__API_AUTH__JWT_SECRET"
    "AIRFLOW__CELERY__BROKER_URL"
    "AIRFLOW__CELERY__RESULT_BACKEND"
    "AIRFLOW__CELERY__FLOWER_BASIC_AUTH"
  ];
  leaked = lib.filter (
    name:
    lib.elem name secret
    || builtins.match ".*(PASSWORD|TOKEN)" name != null
    # A URL with a password, as connections are.
    || builtins.match ".*://[^/@]*:[^/@]+@.*" given.${name} != null
  ) (lib.attrNames given);

  executor = given.AIRFLOW__CORE__EXECUTOR or "CeleryExecutor";
  everyoneIsAdmin =
    lib.elem (lib.toLower (given.AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS or "false"))
      [
        "true"
        "t"
        "1"
      ];
  apiListens = given.AIRFLOW__API__HOST or cfg.apiServer.listenAddress;

  within = folder: lib.any (above: folder == above || lib.hasPrefix "${above}/" folder);
  # A path of the configuration is in the store by then.
  dags = "${cfg.dagsFolder}";
  # systemd gives the units an empty folder in their place.
  hidden = [
    "/home"
    "/root"
    "/run/user"
    "/tmp"
    "/var/tmp"
  ];
  # `generateSecrets` closes the folder to everyone but root.
  ofTheSystem =
    folder:
    within folder [
      "/bin"
      "/dev"
      "/lib"
      "/lib64"
      "/proc"
      "/sys"
      "/tmp"
      "/usr"
      "/var/tmp"
      state
    ]
    || lib.elem folder [
      "/boot"
      "/etc"
      "/home"
      "/nix"
      "/opt"
      "/root"
      "/run"
      "/srv"
      "/var"
      "/var/lib"
    ];
  isPlain = folder: !lib.any (part: part == "." || part == "..") (lib.splitString "/" folder);

  units = lib.attrNames shape.nodes;
  roles = [
    "airflow"
    "api-server"
    "dag-processor"
    "database"
    "flower"
    "log-server"
    "migrate"
    "prepare"
    "reconciler"
    "scheduler"
    "triggerer"
  ];
  unfit = lib.filter (
    node: lib.elem node roles || builtins.match "[A-Za-z0-9][A-Za-z0-9_.-]*" node == null
  ) units;
  twice = lib.filter (node: lib.length shape.nodes.${node} > 1) units;
in
{
  config.assertions = [
    {
      assertion = cfg.openFirewall -> shape.active;
      message = "services.windtunnel.openFirewall without a role on this host";
    }
  ]
  ++ lib.optionals shape.active [
    {
      assertion = leaked == [ ];
      message = "services.windtunnel: ${lib.concatStringsSep ", " leaked} (of `settings` or `environment`) would be readable by everyone: put the secret in a file of secretsDirectory, and a connection into Airflow's database or a secrets backend";
    }
    {
      assertion = executor == "CeleryExecutor";
      message = "services.windtunnel: AIRFLOW__CORE__EXECUTOR = \"${executor}\": this module runs the CeleryExecutor only";
    }
    {
      assertion = everyoneIsAdmin -> shape.loopback apiListens;
      message = "services.windtunnel: with simple_auth_manager_all_admins whoever reaches ${apiListens} runs code on this host: leave the setting out, or let the API server listen on 127.0.0.1";
    }
    {
      assertion = !lib.hasPrefix builtins.storeDir cfg.secretsDirectory;
      message = "services.windtunnel.secretsDirectory lies in the Nix store, which everyone may read: name a folder on the host as a string";
    }
    {
      assertion = !ofTheSystem cfg.secretsDirectory && isPlain cfg.secretsDirectory;
      message = "services.windtunnel.secretsDirectory = \"${cfg.secretsDirectory}\": name a folder of its own, which only root can write";
    }
    {
      assertion = lib.hasPrefix "/" dags && !within dags hidden;
      message = "services.windtunnel.dagsFolder = \"${dags}\": the services see no relative path, and nothing below ${lib.concatStringsSep ", " hidden}: name another folder";
    }
    {
      assertion = cfg.apiServer.enable || cfg.workers == { } || cfg.apiServer.host != "127.0.0.1";
      message = "services.windtunnel.workers without an API server on this host: set apiServer.host to the host that has it";
    }
    {
      assertion = unfit == [ ];
      message = "services.windtunnel.workers: ${lib.concatStringsSep ", " unfit}: a worker's name has letters, digits, `_`, `.` and `-`, and is not a role's";
    }
    {
      assertion = twice == [ ];
      message = "services.windtunnel.workers: two workers would be called ${lib.concatStringsSep ", " twice}";
    }
  ];
}
