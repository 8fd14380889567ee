# Valkey, by NixOS's own module; the same durability as under process-compose (windtunnel.services.valkey).
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.windtunnel;
  shape = import ./shape.nix { inherit cfg lib; };
in
{
  config = lib.mkIf cfg.broker.createLocally {
    services.redis = {
      package = pkgs.valkey;
      servers.windtunnel = {
        enable = true;
        inherit (cfg.broker) port;
        bind = cfg.broker.listenAddress;
        requirePassFile = "${cfg.secretsDirectory}/valkey-password";
        # Messages must survive `kill -9`, so each write reaches the file before it is acknowledged.
        appendOnly = true;
        appendFsync = "always";
        save = [ ];
        settings = {
          maxmemory-policy = "noeviction";
          stop-writes-on-bgsave-error = "no";
        };
      };
    };
    systemd.services.redis-windtunnel = {
      wants = lib.optional cfg.generateSecrets "windtunnel-prepare.service";
      after = lib.optional cfg.generateSecrets "windtunnel-prepare.service";
      unitConfig.StartLimitIntervalSec = 0;
      serviceConfig = {
        Restart = lib.mkForce "always";
        RestartSec = 1;
      };
    };
    networking.firewall.allowedTCPPorts = lib.mkIf (
      cfg.openFirewall && !shape.loopback cfg.broker.listenAddress
    ) [ cfg.broker.port ];
  };
}
