"""The commands of `windtunnel`: each reads its options and calls the module of its topic.

Over 200 lines, because the options and help texts of all commands are here.
"""

from __future__ import annotations

import io
import json
import os
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from windtunnel.errors import Exit, UsageError, WindtunnelError
from windtunnel.settings import Settings, load, recorded_airflow

if TYPE_CHECKING:
    from collections.abc import Callable

    from windtunnel.bench.result import Result
    from windtunnel.clients.airflow import TaskInstance
    from windtunnel.drill.report import Rehearsal
    from windtunnel.stack.run_dag import Outcome
    from windtunnel.stack.task_error import TaskError
    from windtunnel.stock.rehearse import Beside

#: How long the task of `windtunnel debug` waits for a debugger.
DEBUG_WAIT_SECONDS = 300.0

app = typer.Typer(
    name="windtunnel",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Inspect, use and break the Airflow stack that `process-compose up` starts. "
    "Exit codes: 0 well, 1 failed, 2 wrong usage, 3 no stack running, 124 timed out.",
)
WIDTH_IS_KNOWN = sys.stdout.isatty() or "COLUMNS" in os.environ
# Without a terminal Rich assumes 80 columns and would break paths in the middle.
out = Console(width=None if WIDTH_IS_KNOWN else 160)
err = Console(stderr=True, highlight=False)

#: Typer brings its own copy of Click, whose `UsageError` has no public name.
WRONG_USAGE: Any = typer.BadParameter.__bases__[0]

Json = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON object with a `version` on standard output."),
]
ProjectFolder = Annotated[
    Path,
    typer.Option("--project", help="The project's folder; the current one by default."),
]
Report = Annotated[
    Path | None,
    typer.Option("--report", help="Write a page with pictures to this HTML file."),
]
NearestProject = Annotated[
    Path | None,
    typer.Option(
        "--project",
        help="The project's folder; by default the nearest one upwards that had a stack, "
        "else the current folder.",
    ),
]
Timeout = Annotated[
    float,
    typer.Option(min=0, help="Seconds after which the command gives up with exit code 124."),
]


def _print_version(asked: bool) -> None:
    if asked:
        print(f"windtunnel {metadata.version('windtunnel')}")
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option(
        "--version",
        callback=_print_version,
        is_eager=True,
        help="Print the version and end.",
    ),
]


@app.callback()
def options(version: Version = False) -> None:
    pass


def _say(text: str) -> None:
    err.print(text, markup=False, soft_wrap=True)


def _emit(data: dict[str, Any]) -> None:
    print(json.dumps(data, indent=2, default=str))


def _settings() -> Settings:
    return load()


def _stack_settings() -> Settings:
    """Settings for a command that logs in to the running stack.

    Raises:
        NoStackError: there is none. Airflow's API could only say that it does not answer.
    """
    from windtunnel.clients import process_compose

    settings = load()
    process_compose.require(settings)
    return settings


@app.command()
def up(
    detached: Annotated[
        bool,
        typer.Option("-D", "--detached", help="Leave the stack in the background."),
    ] = False,
    folder: NearestProject = None,
) -> None:
    """Start the stack of a project's folder, with the packages that the project wants.

    The stack writes only into `.windtunnel/` there. In windtunnel's own checkout
    this is `process-compose up`.
    """
    from windtunnel.stack import up_project

    raise typer.Exit(up_project.run(folder, ["-D"] if detached else []))


@app.command()
def wait(timeout: Timeout = 300.0) -> None:
    """Return when every process is healthy and every worker is registered."""
    from windtunnel.health import wait as ready

    ready.wait(_settings(), timeout, _say)


@app.command()
def status(as_json: Json = False) -> None:
    """Show every process, worker and queue, and each problem with the command that helps.

    Exit code 1 when there is a problem.
    """
    from windtunnel.health import status as model
    from windtunnel.health import status_tables

    found = model.collect(_settings())
    if as_json:
        _emit(found.as_json())
    else:
        out.print(status_tables.render(found))
    raise typer.Exit(Exit.FAILED if found.problems else Exit.OK)


@app.command()
def run(
    dag_id: Annotated[str, typer.Argument(help="The id of the DAG.")],
    conf: Annotated[str, typer.Option(help="Parameters of the run, a JSON object.")] = "{}",
    timeout: Timeout = 600.0,
    as_json: Json = False,
) -> None:
    """Trigger a DAG and follow the run to its end. Exit code 1 when it failed."""
    from windtunnel.stack import run_dag

    parameters = _parameters(conf)
    settings = _stack_settings()
    outcome = run_dag.run(settings, dag_id, parameters, timeout, _say)
    errors = run_dag.errors(settings, outcome)
    if as_json:
        _emit(outcome.as_json(errors))
    else:
        _tell_end(outcome, errors)
    raise typer.Exit(Exit.OK if outcome.state == "success" else Exit.FAILED)


@app.command()
def debug(
    dag_id: Annotated[str, typer.Argument(help="The id of the DAG.")],
    task_id: Annotated[str, typer.Argument(help="The id of the task; TASK[2] of a mapped one.")],
    conf: Annotated[str, typer.Option(help="Parameters of the run, a JSON object.")] = "{}",
    port: Annotated[
        int | None,
        typer.Option(min=1024, max=65535, help="Where the debugger attaches; a free one if unset."),
    ] = None,
    timeout: Annotated[
        float,
        typer.Option(min=1.0, max=86400.0, help="Seconds that the task waits for a debugger."),
    ] = DEBUG_WAIT_SECONDS,
) -> None:
    """Trigger a DAG; one task waits on its worker for a debugger. Exit code as `run`.

    It prints what to type into VS Code and PyCharm, and follows the run to its end.
    """
    from windtunnel.stack import debug as debugging
    from windtunnel.stack import run_dag

    parameters = _parameters(conf)
    settings = _stack_settings()
    outcome = debugging.debug(settings, dag_id, task_id, parameters, port, timeout, _say)
    _tell_end(outcome, run_dag.errors(settings, outcome))
    raise typer.Exit(Exit.OK if outcome.state == "success" else Exit.FAILED)


def _tell_end(outcome: Outcome, errors: list[tuple[TaskInstance, TaskError]]) -> None:
    from windtunnel.stack import run_dag

    for task, why in errors:
        _say(run_dag.describe(task, why))
    summary = run_dag.summary(outcome.tasks)
    _say(f"{outcome.dag_id} ended in {outcome.state} after {outcome.seconds:.1f} s: {summary}")


def _parameters(conf: str) -> dict[str, Any]:
    """The parameters of a run.

    Raises:
        UsageError: the text is no JSON object.
    """
    try:
        parameters = json.loads(conf, parse_constant=_no_json)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--conf is not JSON: {error}") from None
    if not isinstance(parameters, dict):
        raise UsageError("--conf must be a JSON object, such as '{\"seconds\": 5}'")
    return parameters


def _no_json(name: str) -> None:
    """Python reads NaN and Infinity, and Airflow's API does not."""
    raise ValueError(f"it holds {name}")


@app.command(context_settings={"ignore_unknown_options": True})
def scale(
    workers: Annotated[str, typer.Argument(help="The number of workers to have.")],
    as_json: Json = False,
) -> None:
    """Bring the number of workers to a count; surplus workers drain first."""
    from windtunnel.clients import process_compose
    from windtunnel.stack import scale as scaling

    now = scaling.scale(_settings(), scaling.parse_count(workers))
    names = [process_compose.node(process.name) for process in now]
    if as_json:
        _emit({"version": 1, "workers": names})
    else:
        noun = "worker" if len(names) == 1 else "workers"
        print(f"{len(names)} {noun}: {', '.join(names)}")


@app.command()
def drain(
    worker: Annotated[str, typer.Argument(help="A worker's name, such as worker-1.")],
    as_json: Json = False,
) -> None:
    """Let one worker finish its tasks and end. Exit code 1 when tasks were cut off.

    It stays down until `process-compose process start`.
    """
    from windtunnel.stack import drain as draining

    result = draining.drain(_settings(), worker)
    if as_json:
        _emit({"version": 1, **vars(result)})
    elif result.clean:
        start = f"process-compose process start {result.process}"
        print(f"{result.worker} drained in {result.seconds:.1f} s; start it again: {start}")
    else:
        after = f"after {result.seconds:.1f} s with tasks in hand"
        _say(f"{result.worker} was cut off {after}: its log names them")
    raise typer.Exit(Exit.OK if result.clean else Exit.FAILED)


@app.command()
def down(
    now: Annotated[
        bool,
        typer.Option(
            "--now",
            help="Cut off the tasks in hand; their retry policy decides at the next `up`.",
        ),
    ] = False,
) -> None:
    """Stop the stack; the tasks in hand finish first, and the command names them.

    The same as `process-compose down`.
    """
    from windtunnel.clients import process_compose
    from windtunnel.stack import down as stopping
    from windtunnel.stack import meant

    settings = _settings()
    if process_compose.answers(settings):
        meant.require(settings, "stop")
    raise typer.Exit(stopping.down(settings, now=now))


@app.command()
def drill(
    scenarios: Annotated[
        list[str] | None,
        typer.Argument(help="Names from --list; all but the starred ones by default."),
    ] = None,
    listing: Annotated[bool, typer.Option("--list", help="Show the scenarios and end.")] = False,
    yes: Annotated[
        bool,
        typer.Option("--yes", help="Run also while other DAG runs are active."),
    ] = False,
    soak: Annotated[
        float | None,
        typer.Option(min=0.1, help="Minutes of random failures under load."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Repeats the same order of failures.")] = 1,
    stock: Annotated[
        bool,
        typer.Option("--stock", help="Then also on private stacks with Airflow's own settings."),
    ] = False,
    junit: Annotated[Path | None, typer.Option(help="Write a JUnit report to this file.")] = None,
    report_file: Report = None,
    as_json: Json = False,
) -> None:
    """Break the running stack on purpose, show promises beside observations, and repair it.

    Exit code 0 when every promise was kept.
    """
    from windtunnel.drill import rehearse as rehearsal
    from windtunnel.drill import report
    from windtunnel.project import record
    from windtunnel.stack import programs

    if listing:
        if as_json:
            _emit(report.listing_as_json())
        else:
            out.print(report.listing())
        return
    _require_writable("--junit", junit)
    _require_writable("--report", report_file)
    chosen = rehearsal.choose(scenarios or [], soak)
    settings = _settings()
    # The stack beside it, too, has the Airflow of the stack that runs.
    programs.change_to(record.interpreter(settings.state), sys.argv[1:], "windtunnel")
    told = _drill_page(report_file) if report_file else None
    found = rehearsal.drill(
        settings,
        chosen,
        yes=yes,
        soak_minutes=soak,
        seed=seed,
        console=err,
        beside=_beside() if stock else None,
        told=told,
    )
    if junit:
        report.write_junit(junit, [each.ours for each in found])
    if as_json:
        _emit(report.as_json(found, recorded_airflow(settings.state)))
    raise typer.Exit(rehearsal.code(found))


def _beside() -> Beside:
    from windtunnel.stock.rehearse import Beside

    return Beside(_settings())


def _bench_page(file: Path) -> Callable[[Result, bool], None]:
    """Writes the page anew with each round."""
    from windtunnel.bench import page

    return lambda result, interrupted: page.write(file, result, interrupted)


def _require_writable(option: str, file: Path | None) -> None:
    if file is not None:
        from windtunnel.pages import page

        page.require_writable(option, file)


def _drill_page(file: Path) -> Callable[[list[Rehearsal]], None]:
    """Writes the page anew with each scenario."""
    from windtunnel.drill import page
    from windtunnel.pages import machine

    about = machine.in_words(machine.facts())
    return lambda found: page.write(file, found, about)


@app.command(
    help="Measure start-up, latency, throughput, CPU and memory on private stacks.\n\n"
    "Each stack has a temporary folder, free ports and DAG files of its own. The command removes "
    "it at the end, also after Ctrl-C. The command does not touch your own stack, but the load of "
    "that stack changes the figures: stop it first. Method and caveats: docs/BENCHMARKS.md.",
)
def bench(
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Small workloads, one round: under two minutes on two cores."),
    ] = False,
    stock: Annotated[
        bool,
        typer.Option(
            "--stock/--no-stock",
            help="Also on a second private stack with Airflow's own settings.",
        ),
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Only this figure; may be given several times."),
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option(min=1, help="Number of rounds (default 3; 1 with --quick)."),
    ] = None,
    growth: Annotated[
        bool,
        typer.Option(
            "--growth",
            help="Instead: how cost grows with workers, tasks and a deep queue.",
        ),
    ] = False,
    report_file: Report = None,
    as_json: Json = False,
) -> None:
    from windtunnel.bench import figures, places, report, runner

    if growth and (stock or only or rounds or report_file):
        step = "leave out --stock, --only, --rounds and --report"
        raise UsageError(f"--growth measures one private stack once: {step}")
    figures.choose(only or [], figures.FULL)  # A wrong name is said before packages are installed.
    places.enter_project(sys.argv[1:])
    if growth:
        grown = runner.grow(quick=quick, console=err)
        if as_json:
            _emit(grown)
        else:
            out.print(report.render_growth(grown), highlight=False)
        return
    sizes = figures.QUICK if quick else figures.FULL
    chosen = figures.choose(only or [], sizes)
    if rounds is None:
        rounds = 1 if quick else 3
    _require_writable("--report", report_file)
    told = _bench_page(report_file) if report_file else None
    result = runner.bench(chosen, sizes, stock=stock, rounds=rounds, console=err, told=told)
    if as_json:
        _emit(result.as_json())
    else:
        out.print(report.render(result), highlight=False)


@app.command()
def token() -> None:
    """Print a bearer token for Airflow's REST API."""
    from windtunnel.clients.airflow import Airflow

    print(Airflow(_stack_settings()).token())


@app.command()
def doctor(as_json: Json = False) -> None:
    """Examine this machine; print each fault and the command that repairs it."""
    from windtunnel.doctor import machine as checks

    findings = checks.examine(_settings())
    if as_json:
        _emit({"version": 1, "findings": [vars(f) for f in findings]})
    else:
        for finding in findings:
            mark = "[green]ok[/]     " if finding.ok else "[red]wrong[/]  "
            text = f"{mark} {finding.name}: {finding.detail}"
            if finding.remedy and not finding.ok:
                text += f"\n         mend it: {finding.remedy}"
            out.print(text, highlight=False)
    raise typer.Exit(Exit.OK if all(f.ok for f in findings) else Exit.FAILED)


@app.command()
def project(
    folder: ProjectFolder = Path(),
    as_json: Json = False,
) -> None:
    """Say what an Airflow project's folder holds, and what cannot be used as it is.

    It installs, executes and writes nothing.
    """
    from windtunnel.project import report, survey

    found = survey.survey(folder)
    if as_json:
        _emit(found.as_json())
    else:
        out.print(report.render(found), highlight=False)


@app.command()
def check(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="DAG files, or folders of them; all of the project by default."),
    ] = None,
    folder: NearestProject = None,
    as_json: Json = False,
) -> None:
    """Check DAG files without a stack. Exit code 1 when there is an error.

    Each file is parsed in a process of its own, with the packages of the project.
    """
    from windtunnel.check import command

    raise typer.Exit(command.run(paths or [], folder, as_json=as_json, out=out, err=err))


@app.command()
def init(
    folder: ProjectFolder = Path(),
    as_json: Json = False,
) -> None:
    """Write a CI workflow, a `pyproject.toml` and a first test, only where nothing is.

    It says for each file whether it was written or left alone.
    """
    from windtunnel.project import create, survey

    found = survey.survey(folder)
    results = []
    for result in create.create(found):
        results.append(result)
        if not as_json:
            state = "written" if result.written else f"left alone: {result.why}"
            out.print(f"{result.path}: {state}", markup=False, highlight=False, soft_wrap=True)
    notes = create.remarks(found, results)
    if as_json:
        files = [vars(result) for result in results]
        _emit({"version": 1, "project": str(found.root), "files": files, "remarks": notes})
    else:
        for line in notes:
            _say(line)


@app.command()
def logs(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[PROCESS | DAG RUN TASK]",
            help="A process; or a DAG, a run (or `latest`) and a task. All processes by default.",
        ),
    ] = None,
    following: Annotated[
        bool,
        typer.Option("-f", "--follow", help="Go on with new lines of processes until Ctrl-C."),
    ] = False,
    lines: Annotated[int, typer.Option("-n", "--lines", min=0, help="Of each process.")] = 100,
) -> None:
    """Print the logs of processes, also of a stack that has ended, or the log of one task."""
    from windtunnel.stack import show_logs

    words = names or []
    if len(words) == 3 and not following:
        for line in show_logs.of_task(_stack_settings(), *words):
            print(line)
        return
    if len(words) > 1:
        raise UsageError("name one process, or a DAG, a run and a task (without --follow)")
    show_logs.follow(_settings(), words[0] if words else None, lines, following)


@app.command()
def shell() -> None:
    """Open a shell with the variables of the stack and the packages of the project."""
    from windtunnel.stack import inside

    settings = _settings()
    os.environ.update(inside.variables(settings))
    program = os.environ.get("SHELL") or "/bin/sh"
    _say(f"a shell for the stack of {settings.project or settings.root}; `exit` leaves it")
    os.execvp(program, [program])


@app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def airflow(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ARGUMENT ...]", help="Airflow's own words, such as `dags list`."),
    ] = None,
) -> None:
    """Run Airflow's own command line on this stack, with the packages of the project."""
    command = [sys.executable, "-P", "-m", "windtunnel.environment", "airflow", *(words or [])]
    sys.stdout.flush()
    os.execv(sys.executable, command)


@app.command()
def reset(yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Stop the stack and delete its state folder: database, messages, logs, secrets."""
    from windtunnel.stack import meant
    from windtunnel.stack import reset as resetting

    settings = _settings()
    if settings.state.exists():
        meant.require(settings, "delete")
    question = f"Stop the stack and delete all of {settings.state}?"
    if not yes and not (sys.stdin.isatty() and typer.confirm(question)):
        raise UsageError("nothing was deleted: add --yes to delete without a question")
    deleted = resetting.reset(settings)
    if settings.database:
        _say(f"Airflow's tables in {settings.database.name} stay: another service has them")
    if deleted:
        _say(f"deleted {len(deleted)} entries of {settings.state}")
    else:
        _say(f"nothing to delete in {settings.state}")


def main() -> None:
    """Entry point: every error becomes one line and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        # The terminal's encoding may lack a character of a name.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        sys.exit(app(standalone_mode=False) or Exit.OK)
    except WRONG_USAGE as error:
        if len(sys.argv) == 1:
            error.show()  # the help itself
        else:
            command = getattr(error.ctx, "command_path", "windtunnel")
            message = error.format_message().rstrip(".")
            print(f"windtunnel: {message}: see `{command} --help`", file=sys.stderr)
        sys.exit(Exit.USAGE)
    except (WindtunnelError, OSError, KeyboardInterrupt, typer.Abort) as error:
        from windtunnel.stack import last_line

        sys.exit(last_line.ended_by(error))
