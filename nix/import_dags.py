"""Import every DAG file of a folder, as Airflow's DAG processor would.

Where an import fails, the program says why and exits with 1.
"""

from __future__ import annotations

import sys


def main(folder: str) -> int:
    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(dag_folder=folder)
    for path, error in bag.import_errors.items():
        print(f"{path}:\n{error}", file=sys.stderr)
    if not bag.dags:
        print(f"no DAG in {folder}", file=sys.stderr)
    print("read:", ", ".join(sorted(bag.dags)))
    return 1 if bag.import_errors or not bag.dags else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
