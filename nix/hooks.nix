# Bash that the shells and `nix run` have in common. Each speaks of `home`, the folder whose stack is meant.
{
  # What a shell of ours derived for its own folder is no choice of the person's: here it is derived anew. As in `dev`.
  forget = ''
    for variable in WINDTUNNEL_STATE WINDTUNNEL_PROJECT DAGS_FOLDER PORT_OFFSET; do
      mark=WINDTUNNEL_SHELL_''${variable#WINDTUNNEL_}
      if [[ -n ''${!mark:-} && ''${!variable:-} == "''${!mark}" ]]; then unset "$variable"; fi
      unset "$mark"
    done
    unset variable mark
  '';

  # The checkout at or above `home`; empty where there is none. An archive is one without .git.
  # Another user may have put one in the way, for example into /tmp (as windtunnel.settings.find_root).
  checkout = ''
    [[ $home == /* ]] || home=$PWD/$home
    until [[ -z $home || -f $home/process-compose.yaml && -f $home/airflow-home/airflow.cfg ]]; do
      home=''${home%/*}
    done
    if [[ -n $home && $home != "''${WINDTUNNEL_ROOT:-}" ]]; then
      for owner in $(stat -c %u "$home" "$home"/{process-compose.yaml,airflow-home,airflow-home/airflow.cfg}); do
        if ((owner != 0 && owner != EUID && (EUID != 0 || owner != ''${SUDO_UID:-0}))); then
          echo "windtunnel: $home belongs to another user: go elsewhere, or set WINDTUNNEL_ROOT='$home' if you trust it" >&2
          exit 2
        fi
      done
      unset owner
    fi
  '';

  # The repository of DAGs at or above the current folder, as Nix itself looks for a flake.
  repository = ''
    home=$PWD
    until [[ -z $home || -e $home/flake.nix ]]; do home=''${home%/*}; done
    home=''${home:-$PWD}
  '';

  # Nix copies a folder outside of git whole into its store, for all to read, once it has a flake.nix, and fails where a
  # socket lies in it: the state of such a folder, with its secrets, lies below the person's own. It stays where it is when
  # `git init` follows. Bash finds `~` also without HOME.
  state = ''
    if [[ -z ''${WINDTUNNEL_STATE:-} ]]; then
      outside=''${XDG_STATE_HOME:-}
      [[ $outside == /* ]] || outside=~/.local/state
      outside=$outside/windtunnel/''${home##*/}-$(realpath "$home" | cksum | cut -d' ' -f1)
      versioned=$home
      until [[ -z $versioned || -e $versioned/.git ]]; do versioned=''${versioned%/*}; done
      WINDTUNNEL_STATE=$home/.state
      if [[ -z $versioned && -e $home/flake.nix && -e $home/.state/secrets ]]; then
        echo "windtunnel: Nix copies '$home/.state' with its secrets into its store, where all users may read them:" \
          "delete it, or have new secrets made and \`git init\`" >&2
        WINDTUNNEL_STATE=$outside
      elif [[ ! -e $home/.state/stack.json && ( -z $versioned || -e $outside/stack.json ) ]]; then
        WINDTUNNEL_STATE=$outside
      fi
      unset versioned outside
      export WINDTUNNEL_SHELL_STATE=$WINDTUNNEL_STATE
    fi
    export WINDTUNNEL_STATE
  '';

  # Those of `home`.
  dags = ''
    if [[ -z ''${DAGS_FOLDER:-} ]]; then
      export DAGS_FOLDER=$home/dags WINDTUNNEL_SHELL_DAGS_FOLDER=$home/dags
    fi
  '';

  # `nix develop` makes two temporary folders a shell and removes neither (it becomes the shell, so the second is named
  # after this process). TMPDIR was the folder that holds them; where that is none, the first could not be made.
  temporary = ''
    if [[ ''${NIX_BUILD_TOP:-} == */nix-shell.* ]]; then
      rmdir "$NIX_BUILD_TOP"
      export TMPDIR="''${NIX_BUILD_TOP%/*}"
      export TMP=$TMPDIR TEMP=$TMPDIR TEMPDIR=$TMPDIR
      unset NIX_BUILD_TOP
    elif [[ -z ''${NIX_BUILD_TOP-none} ]]; then
      unset NIX_BUILD_TOP TMPDIR TMP TEMP TEMPDIR
    fi
    rmdir "''${TMPDIR:-/tmp}/nix-develop-$$-"* 2>/dev/null || true
  '';
}
