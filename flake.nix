{
  description = "Apache Airflow 3 on the CeleryExecutor, whole and container-free, for development, CI and NixOS hosts";

  # Every input of an input follows ours: one nixpkgs, and nothing is fetched that this file does not name.
  inputs = {
    nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";
    pyproject-nix = {
      url = "github:pyproject-nix/pyproject.nix";
      inputs.nixpkgs.follows = "nixpkgs";
    };
    uv2nix = {
      url = "github:pyproject-nix/uv2nix";
      inputs.pyproject-nix.follows = "pyproject-nix";
      inputs.nixpkgs.follows = "nixpkgs";
    };
    pyproject-build-systems = {
      url = "github:pyproject-nix/build-system-pkgs";
      inputs.pyproject-nix.follows = "pyproject-nix";
      inputs.uv2nix.follows = "uv2nix";
      inputs.nixpkgs.follows = "nixpkgs";
    };
  };

  outputs =
    { self, nixpkgs, ... }@inputs:
    let
      inherit (nixpkgs) lib;
      # Those that this nixpkgs has: the evaluation harness has no Darwin, and releases drop systems.
      systems = lib.intersectLists [ "x86_64-linux" "aarch64-linux" "aarch64-darwin" ] (
        lib.attrNames nixpkgs.legacyPackages
      );
      forAllSystems = f: lib.genAttrs systems (system: f nixpkgs.legacyPackages.${system});
      python = import ./nix/python.nix inputs;
      project = import ./nix/project.nix { inherit lib python; };
      environment = pkgs: (python.environments pkgs).default;
      up = pkgs: (project pkgs).up { environment = environment pkgs; };
      checks = forAllSystems (
        pkgs:
        import ./nix/checks.nix {
          inherit
            self
            lib
            pkgs
            python
            ;
        }
      );
    in
    {
      packages = forAllSystems (pkgs: {
        default = (project pkgs).withCommands (environment pkgs);
        environment = environment pkgs;
        up = up pkgs;
        # All of `nix flake check` but the virtual machines: `nix build .#quick-checks`.
        quick-checks =
          pkgs.linkFarm "windtunnel-quick-checks"
            checks.${pkgs.stdenv.hostPlatform.system}.quick;
      });
      apps = forAllSystems (pkgs: {
        default = {
          type = "app";
          program = lib.getExe (up pkgs);
          meta.description = "Bring the stack up in the current folder";
        };
      });
      devShells = forAllSystems (pkgs: {
        default = import ./nix/shell.nix { inherit lib pkgs python; };
      });
      checks = lib.mapAttrs (_: parts: parts.quick // parts.machines) checks;
      formatter = forAllSystems (pkgs: pkgs.nixfmt-tree);
      nixosModules.default = import ./nix/module { inherit self; };
      # For a repository of DAGs of your own: docs/guides/your-dags.md
      lib.dagRepository = import ./nix/dag-repository.nix { inherit inputs forAllSystems; };
      templates.default = {
        path = ./templates/default;
        description = "Your own DAGs, with Python packages of your own, on this stack";
      };
    };
}
