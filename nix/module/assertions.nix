# Mistakes that types cannot catch, refused at evaluation with what to do instead.
{ config, lib, ... }:
let
  cfg = config.services.windtunnel;
  shape = import ./shape.nix { inherit cfg lib; };
  secretKeys = {
    core = [ "fernet_key" ];
    database = [
      "sql_alchemy_conn"
      "sql_alchemy_conn_async"
    ];
    api = [ "secret_key" ];
    api_auth = [ "jwt_secret" ];
    celery = [
      "broker_url"
      "result_backend"
      "flower_basic_auth"
    ];
  };
  leaked = lib.concatLists (
    lib.mapAttrsToList (
      section: keys:
      map (key: "settings.${section}.${key}") (lib.filter (key: cfg.settings ? ${section}.${key}) keys)
    ) secretKeys
  );
  executor = cfg.settings.core.executor or "CeleryExecutor";
in
{
  config = lib.mkIf shape.active {
    assertions = [
      {
        assertion = leaked == [ ];
        message = "services.windtunnel: ${lib.concatStringsSep ", " leaked} would be readable by everyone: put the secret in a file of secretsDirectory";
      }
      {
        assertion = executor == "CeleryExecutor";
        message = "services.windtunnel.settings.core.executor = \"${executor}\": this module runs the CeleryExecutor only";
      }
      {
        assertion = !lib.hasPrefix builtins.storeDir cfg.secretsDirectory;
        message = "services.windtunnel.secretsDirectory lies in the Nix store, which everyone may read: name a folder on the host as a string";
      }
      {
        assertion = cfg.apiServer.enable || cfg.workers == { } || cfg.apiServer.host != "127.0.0.1";
        message = "services.windtunnel.workers without an API server on this host: set apiServer.host to the host that has it";
      }
      {
        assertion = cfg.openFirewall -> shape.active;
        message = "services.windtunnel.openFirewall without a role on this host";
      }
    ];
  };
}
