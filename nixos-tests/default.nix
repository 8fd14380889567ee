# NixOS tests, one file a scenario. Each is run by `nix build .#checks.SYSTEM.NAME` on virtual machines (needs KVM).
{
  self,
  lib,
  pkgs,
}:
let
  # What the scripts import: the scenarios and their adapter need nothing but Python itself.
  scenarios =
    packages:
    packages.toPythonModule (
      pkgs.runCommand "windtunnel-scenarios" { } ''
        mkdir -p $out/${packages.python.sitePackages}
        cp -r ${../src/windtunnel} $out/${packages.python.sitePackages}/windtunnel
      ''
    );
  test =
    file:
    pkgs.testers.runNixOSTest {
      imports = [ file ];
      extraPythonPackages = packages: [ (scenarios packages) ];
      defaults = {
        imports = [
          self.nixosModules.default
          ./common.nix
        ];
      };
    };
in
lib.mapAttrs (_: test) {
  broker-restart = ./broker-restart.nix;
  drain = ./drain.nix;
  multi-worker = ./multi-worker.nix;
  partition = ./partition.nix;
  security = ./security.nix;
  single-host = ./single-host.nix;
}
