"""Nothing that the supervisor started outlives it, whatever ends it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from supervising import POLITE, RUNAWAY, SAY_UP, STUBBORN, Supervise


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_polite_stubborn_and_runaway_processes(supervise: Supervise, number: signal.Signals) -> None:
    started = supervise(polite=POLITE, stubborn=STUBBORN, runaway=RUNAWAY)
    started.await_text("ready")
    assert len(started.look()) >= 6  # supervisor, guard, three services, the grandchild
    os.kill(started.process.pid, number)
    assert started.process.wait(30) == 0
    assert started.left() == []
    assert not (started.home / "run" / "processes.json").exists()


def test_services_that_stop_by_themselves_are_not_waited_for(supervise: Supervise) -> None:
    started = supervise("--stop-seconds", "20", polite=POLITE)
    started.await_text("ready")
    began = time.monotonic()
    os.kill(started.process.pid, signal.SIGTERM)
    started.process.wait(10)
    assert time.monotonic() - began < 4
    assert "had to be killed" not in started.text()


def test_a_second_signal_from_a_person_kills_at_once(supervise: Supervise) -> None:
    started = supervise("--stop-seconds", "60", stubborn=STUBBORN)
    started.await_text("ready")
    started.look()
    os.kill(started.process.pid, signal.SIGINT)
    started.await_text("stopping")
    time.sleep(1.2)
    assert started.left()
    os.kill(started.process.pid, signal.SIGINT)
    assert started.process.wait(5) == 0
    assert started.left() == []


def test_one_stop_that_arrives_twice_is_not_impatience(supervise: Supervise) -> None:
    slow = "import signal, sys, time\ndef bye(*_):\n time.sleep(0.6); print('bye', flush=True); sys.exit()\n"
    started = supervise("--stop-seconds", "20", slow=slow + "signal.signal(signal.SIGTERM, bye)\n" + POLITE)
    started.await_text("ready")
    for _ in range(2):
        os.kill(started.process.pid, signal.SIGTERM)
        time.sleep(0.1)
    started.process.wait(10)
    assert "bye" in (started.home / "logs" / "slow.log").read_text()


def test_killing_the_supervisor_outright_ends_its_services(supervise: Supervise) -> None:
    started = supervise(polite=POLITE, runaway=RUNAWAY)
    started.await_text("ready")
    started.look()
    time.sleep(2.2)  # one census, after which the runaway is known by name
    started.process.kill()
    started.await_nothing_left()


def test_leftovers_of_a_killed_supervisor_and_guard_are_ended_by_the_next_start(supervise: Supervise) -> None:
    first = supervise(polite=POLITE)
    first.await_text("ready")
    guard = next(p for p in first.look() if "deploy.local.guard" in p.cmdline())
    guard.kill()
    first.process.kill()
    first.process.wait()
    assert first.left()
    second = supervise(other=POLITE)
    second.await_text("ready")
    assert first.left() == []
    assert "ended 1 processes that an earlier start left behind" in second.text()


def test_a_pid_that_now_belongs_to_somebody_else_is_left_alone(supervise: Supervise, tmp_path: Path) -> None:
    run_file = tmp_path / "run" / "processes.json"
    run_file.parent.mkdir()
    me = psutil.Process()
    run_file.write_text(f'{{"leaders": [[{me.pid}, {me.create_time() - 3600}]], "known": []}}')
    started = supervise(polite=POLITE)
    started.await_text("ready")
    assert "left behind" not in started.text()


def test_a_session_that_now_belongs_to_somebody_else_is_left_alone(supervise: Supervise, tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True) as other:
        run_file = tmp_path / "run" / "processes.json"
        run_file.parent.mkdir()
        born = psutil.Process(other.pid).create_time()
        run_file.write_text(f'{{"leaders": [[{other.pid}, {born - 3600}]], "known": []}}')
        started = supervise(polite=POLITE)
        started.await_text("ready")
        assert other.poll() is None
        other.kill()


def test_a_service_that_dies_at_the_start_shows_its_log_and_takes_the_others_down(supervise: Supervise) -> None:
    started = supervise(polite=POLITE, broken="print('no such table'); raise SystemExit(3)")
    started.look()
    assert started.process.wait(15) == 1
    text = started.text()
    assert "broken ended with exit code 3 instead of staying up" in text
    assert "| no such table" in text
    assert str(started.home / "logs" / "broken.log") in text
    assert started.left() == []
    up = started.home / "polite.up"
    assert not up.exists() or not psutil.pid_exists(int(up.read_text()))


def test_a_service_that_dies_later_is_started_again(supervise: Supervise) -> None:
    started = supervise(polite=POLITE)
    started.await_text("ready")
    first = int((started.home / "polite.up").read_text())
    os.kill(first, signal.SIGKILL)
    started.await_text("polite was ended by SIGKILL; starting it again in 1 s")
    deadline = time.monotonic() + 5
    while (second := int((started.home / "polite.up").read_text() or first)) == first:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert psutil.pid_exists(second)
    assert started.process.poll() is None
    started.look()
    os.kill(started.process.pid, signal.SIGTERM)
    started.process.wait(10)
    assert started.left() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_signal_to_make_alone_stops_everything(supervise: Supervise, number: signal.Signals) -> None:
    started = supervise("--with-parent", make=True, polite=POLITE, runaway=RUNAWAY)
    started.await_text("ready")
    assert len(started.look()) >= 6
    os.kill(started.process.pid, number)
    started.process.wait(10)
    started.await_nothing_left()


def test_a_signal_to_the_whole_group_of_make_stops_everything(supervise: Supervise) -> None:
    started = supervise("--with-parent", make=True, polite=POLITE, stubborn=STUBBORN)
    started.await_text("ready")
    started.look()
    os.killpg(started.process.pid, signal.SIGINT)
    started.process.wait(10)
    started.await_nothing_left()


def test_a_signal_to_the_supervisor_below_make_stops_everything(supervise: Supervise) -> None:
    started = supervise("--with-parent", make=True, polite=POLITE)
    started.await_text("ready")
    started.look()
    started.supervisor().send_signal(signal.SIGTERM)
    started.process.wait(10)
    started.await_nothing_left()


def test_each_log_is_kept_for_one_more_start(supervise: Supervise) -> None:
    for run in ("first", "second"):
        started = supervise(polite=f"print('{run}', flush=True)\n" + SAY_UP + "time.sleep(300)")
        started.await_text("ready")
        os.kill(started.process.pid, signal.SIGTERM)
        started.process.wait(10)
        (started.home / "polite.up").unlink()
    logs = started.home / "logs"
    assert (logs / "polite.log").read_text() == "second\n"
    assert (logs / "polite.log.1").read_text() == "first\n"
