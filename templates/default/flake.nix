{
  inputs.windtunnel.url = "github:OWNER/windtunnel"; # where you got this template from
  inputs.nixpkgs.follows = "windtunnel/nixpkgs"; # `nix develop` takes its bash from here

  # `nix run`: the stack with ./dags; `nix develop`: the same by hand; `nix flake check`: every DAG imports.
  outputs = { windtunnel, ... }: windtunnel.lib.dagRepository { src = ./.; };
}
