# Python environments from uv.lock, through uv2nix: the same versions that `uv sync` installs where there is no Nix.
{
  nixpkgs,
  uv2nix,
  pyproject-nix,
  pyproject-build-systems,
  ...
}:
let
  inherit (nixpkgs) lib;
  # Never a filtered source: uv2nix reads it back at evaluation.
  workspace = uv2nix.lib.workspace.loadWorkspace { workspaceRoot = ../.; };

  # Wheels only: all of the lock's packages have one for the systems of the flake, and a build from source needs a compiler.
  # Not the groups of other versions of Airflow, which exclude each other: what is chosen here has the newest.
  overlay = workspace.mkPyprojectOverlay {
    sourcePreference = "wheel";
    dependencies = development;
  };

  # What the wheel takes from outside of src/.
  forced = lib.attrNames (lib.importTOML ../pyproject.toml)
    .tool.hatch.build.targets.wheel.force-include;

  # Only what the package is made of: an edited page of the docs is to rebuild nothing.
  ownSource = _final: prev: {
    windtunnel = prev.windtunnel.overrideAttrs {
      src = lib.fileset.toSource {
        root = ../.;
        fileset = lib.fileset.unions (
          [
            ../pyproject.toml
            ../uv.lock
            ../README.md
            ../LICENSE
            ../src/windtunnel
          ]
          ++ map (name: ../. + "/${name}") forced
        );
      };
    };
  };

  # Not the wheels of PostgreSQL, Valkey and Go: nixpkgs has all three. debugpy is for one task only.
  left-out = [
    "servers"
    "debugger"
    "release"
    "airflow-3-2"
    "airflow-3-1"
  ];
  development = workspace.deps.all // {
    windtunnel = lib.subtractLists left-out workspace.deps.all.windtunnel;
  };

  setWith =
    pkgs: overlays:
    (pkgs.callPackage pyproject-nix.build.packages { python = pkgs.python313; }).overrideScope (
      lib.composeManyExtensions (
        [
          pyproject-build-systems.overlays.wheel
          overlay
          ownSource
        ]
        ++ overlays
      )
    );

  editable = lib.composeManyExtensions [
    (workspace.mkEditablePyprojectOverlay { root = "$REPO_ROOT"; })
    (final: prev: {
      windtunnel = prev.windtunnel.overrideAttrs (old: {
        # hatchling builds an editable wheel only with this package
        nativeBuildInputs = old.nativeBuildInputs ++ final.resolveBuildSystem { editables = [ ]; };
      });
    })
  ];
in
{
  inherit workspace setWith;

  # What serves the environments below in use: the services, and the programs that process-compose.yaml's commands call.
  tools =
    pkgs:
    [
      pkgs.process-compose
      pkgs.valkey
      pkgs.postgresql_17
      pkgs.bash
      pkgs.coreutils
      pkgs.findutils
      pkgs.gnugrep
    ]
    ++ lib.optional pkgs.stdenv.hostPlatform.isLinux pkgs.util-linux;

  environments = pkgs: {
    # What runs the stack.
    default = (setWith pkgs [ ]).mkVirtualEnv "windtunnel-env" workspace.deps.default;
    # The same with pytest, ruff and mypy, for checks.
    test = (setWith pkgs [ ]).mkVirtualEnv "windtunnel-test-env" development;
    # The same with `windtunnel` itself read from the checkout.
    editable = (setWith pkgs [ editable ]).mkVirtualEnv "windtunnel-dev-env" development;
  };
}
