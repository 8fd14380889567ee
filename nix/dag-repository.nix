# `windtunnel.lib.dagRepository { src = ./.; }`: the outputs of a flake for a repository that holds DAGs and, where they
# need any, Python packages of its own (a pyproject.toml and its uv.lock). docs/guides/your-dags.md
{ inputs, forAllSystems }:
{ src }:
let
  inherit (inputs.nixpkgs) lib;
  python = import ./python.nix inputs;
  project = import ./project.nix { inherit lib python; };
  hooks = import ./hooks.nix;

  hasLock = builtins.pathExists (src + "/uv.lock");
  workspace = inputs.uv2nix.lib.workspace.loadWorkspace { workspaceRoot = src; };
  overlay = workspace.mkPyprojectOverlay { sourcePreference = "wheel"; };

  # Of several versions the highest, which is the last: our lock has others for older versions of Airflow.
  versions =
    lock:
    lib.listToAttrs (
      map (p: lib.nameValuePair p.name p.version) (
        lib.reverseList (lib.filter (p: p ? version) (lib.importTOML lock).package)
      )
    );
  ours = versions ../uv.lock;
  conflicts = lib.filterAttrs (name: version: ours ? ${name} && ours.${name} != version) (
    versions (src + "/uv.lock")
  );
  # Airflow is tested with the versions of our lock, so these win; a lock that was made with others is refused, not bent.
  checked =
    value:
    if conflicts == { } then
      value
    else
      throw ''
        uv.lock pins other versions than windtunnel does. Put these among `constraint-dependencies` of [tool.uv] in
        pyproject.toml, then run `nix run .#uv -- lock`:
        ${lib.concatStringsSep "\n" (
          lib.mapAttrsToList (name: _: "  \"${name}==${ours.${name}}\",") conflicts
        )}
      '';

  withExtrasOf =
    theirs: package:
    package.overrideAttrs (old: {
      passthru = old.passthru // {
        optional-dependencies = theirs.passthru.optional-dependencies // old.passthru.optional-dependencies;
      };
    });

  environment =
    pkgs:
    if hasLock then
      checked (
        (python.setWith pkgs [
          # What our lock has stays as it is, but for the extras that only their lock has.
          (
            final: prev:
            lib.mapAttrs (name: theirs: if ours ? ${name} then withExtrasOf theirs prev.${name} else theirs) (
              overlay final prev
            )
          )
        ]).mkVirtualEnv
          "dags-env"
          # `windtunnel` itself comes with everything that the stack needs.
          (python.workspace.deps.default // workspace.deps.default)
      )
    else
      (python.environments pkgs).default;

  # A repository without dags/ is told so: the examples that come with the stack are for folders of no repository.
  up =
    pkgs:
    (project pkgs).up {
      name = "windtunnel-dags";
      environment = environment pkgs;
      folder = ''
        ${hooks.repository}
        ${hooks.dags}
      '';
    };
in
{
  packages = forAllSystems (pkgs: {
    default = environment pkgs;
    up = up pkgs;
    # The shell, which has uv too, cannot be entered while the lock is refused. Without a Python uv would download one.
    uv = pkgs.writeShellApplication {
      name = "uv";
      text = ''
        export UV_PYTHON=${lib.getExe pkgs.python313} UV_PYTHON_DOWNLOADS=never
        exec ${lib.getExe pkgs.uv} "$@"
      '';
    };
  });
  apps = forAllSystems (pkgs: {
    default = {
      type = "app";
      program = lib.getExe (up pkgs);
      meta.description = "Bring the stack up with this repository's DAGs";
    };
  });
  devShells = forAllSystems (pkgs: {
    default = pkgs.mkShell {
      packages = [
        (environment pkgs)
        pkgs.uv
      ]
      ++ python.tools pkgs;
      env = {
        UV_NO_SYNC = "1";
        UV_PYTHON = "${environment pkgs}/bin/python";
        UV_PYTHON_DOWNLOADS = "never";
        WINDTUNNEL_ROOT = "${(project pkgs).files}";
        AIRFLOW__CORE__EXECUTOR = "CeleryExecutor";
        SPT_NOENV = "1";
        PYTHONDONTWRITEBYTECODE = "";
      };
      shellHook = ''
        unset PYTHONPATH
        ${hooks.temporary}
        ${hooks.forget}
        ${hooks.repository}
        ${hooks.state}
        ${hooks.dags}
        unset home
        export PATH=${environment pkgs}/bin:$PATH
        export AIRFLOW_HOME="$WINDTUNNEL_ROOT/airflow-home"
      '';
    };
  });
  checks = forAllSystems (pkgs: {
    # Every DAG file is read by the Airflow that will run it; one that fails to import fails the build.
    dags = pkgs.runCommand "dags-import" { nativeBuildInputs = [ (environment pkgs) ]; } ''
      export HOME=$TMPDIR AIRFLOW_HOME=$TMPDIR AIRFLOW__CORE__LOAD_EXAMPLES=False
      export AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=sqlite:///$TMPDIR/airflow.db
      python ${./import_dags.py} ${src + "/dags"}
      touch $out
    '';
  });
}
