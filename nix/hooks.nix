# Bash that the shells and `nix run` have in common. Each speaks of `home`, the folder whose stack is meant.
{
  # The checkout at or above `home`; empty where there is none. An archive is one without .git.
  checkout = ''
    [[ $home == /* ]] || home=$PWD/$home
    until [[ -z $home || -f $home/process-compose.yaml && -f $home/airflow-home/airflow.cfg ]]; do
      home=''${home%/*}
    done
  '';

  # Nix copies a flake's folder that is no git checkout into its store whole, for all to read, and fails where a socket
  # lies in it: such a folder's state, with its secrets, lies below the person's own folder.
  state = ''
    if [[ -z ''${WINDTUNNEL_STATE:-} ]]; then
      WINDTUNNEL_STATE=$home/.state
      versioned=$home
      until [[ -z $versioned || -e $versioned/.git ]]; do versioned=''${versioned%/*}; done
      if [[ -z $versioned && -e $home/flake.nix ]]; then
        WINDTUNNEL_STATE=''${XDG_STATE_HOME:-$HOME/.local/state}/windtunnel/''${home##*/}-$(cksum <<<"$home" | cut -d' ' -f1)
      fi
      unset versioned
    fi
    export WINDTUNNEL_STATE
  '';

  # `nix develop` makes two temporary folders a shell and removes neither (it becomes the shell, so the second is named
  # after this process). TMPDIR was the folder that holds them.
  temporary = ''
    if [[ ''${NIX_BUILD_TOP:-} == */nix-shell.* ]]; then
      rmdir "$NIX_BUILD_TOP"
      export TMPDIR="''${NIX_BUILD_TOP%/*}"
      export TMP=$TMPDIR TEMP=$TMPDIR TEMPDIR=$TMPDIR
      unset NIX_BUILD_TOP
    fi
    rmdir "''${TMPDIR:-/tmp}/nix-develop-$$-"* 2>/dev/null || true
  '';
}
