"""docker.sh of each role: what it asks of Docker, and what it refuses.

A stand-in for the `docker` command writes down how it is called; real containers are in tests/system.
"""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mediswarm.error_codes import ERROR_CODES
from mediswarm.provision.kit_folder import SETTINGS

SCRIPTS = Path(__file__).parents[3] / "application" / "mediswarm" / "provision" / "kit"
DIGEST, OTHER = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"

DOCKER = """#!{python}
import json, os, sys
with open(os.environ["DOCKER_CALLS"], "a") as stream:
    stream.write(json.dumps(sys.argv[1:]) + "\\n")
what = " ".join(sys.argv[1:3])
if os.environ.get("DOCKER_DOWN") and sys.argv[1] == "version":
    sys.exit(1)
if sys.argv[1] == "version":
    print("28.2.2")
elif sys.argv[1] == "info":
    print("cgroupfs")
elif what == "image inspect":
    known = json.loads(os.environ["DOCKER_IMAGES"])
    if sys.argv[-1] not in known:
        sys.exit(1)
    print(known[sys.argv[-1]])
elif what == "container inspect":
    started = any(line.startswith('["run", "--detach"') for line in open(os.environ["DOCKER_CALLS"]))
    print(os.environ.get("DOCKER_STATE", "running") if started else "exited")
    sys.exit(not started)
elif sys.argv[1] == "run" and "--gpus" in sys.argv and os.environ.get("DOCKER_NO_GPU"):
    sys.exit(125)
elif sys.argv[1] == "exec" and os.environ.get("DOCKER_EXEC"):
    print(os.environ["DOCKER_EXEC"], file=sys.stderr)
    sys.exit(12)
"""


@dataclass
class Kit:
    """A kit with docker.sh, and a stand-in for docker."""

    folder: Path
    calls: Path
    environment: dict[str, str]

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.folder / "docker.sh"), *arguments],
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    @property
    def docker(self) -> list[list[str]]:
        return (
            [json.loads(line) for line in self.calls.read_text().splitlines()] if self.calls.exists() else []
        )

    @property
    def started(self) -> list[str]:
        (call,) = [call for call in self.docker if call[0] == "run"]
        return call


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Kit]:
    def build(role: str = "site", **settings: Any) -> Kit:
        folder = tmp_path / "the kit, with a comma"
        for source in (SCRIPTS / "common", SCRIPTS / role):
            shutil.copytree(source, folder, dirs_exist_ok=True)
        (folder / "startup").mkdir()
        (folder / "kit.json").write_text("{}")
        values = {
            "FEDERATION": "demo",
            "NAME": "site-1",
            "ROLE": role,
            "SERVER": "server.example.org",
            "PORT": "8002",
            "ADMIN_PORT": "8003",
            "IMAGE": "mediswarm/cifar10:0.1.0",
            "IMAGE_DIGEST": DIGEST,
            "NETWORK": "''",
        } | settings
        (folder / SETTINGS).write_text("".join(f"{key}={value}\n" for key, value in values.items()))
        programs = tmp_path / "programs"
        programs.mkdir()
        (programs / "docker").write_text(DOCKER.format(python=sys.executable))
        (programs / "docker").chmod(0o755)
        environment = {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "HOME": str(tmp_path),
            "DOCKER_CALLS": str(tmp_path / "calls"),
            "DOCKER_IMAGES": json.dumps({"mediswarm/cifar10:0.1.0": f"{DIGEST} mediswarm/cifar10@{OTHER}"}),
        }
        return Kit(folder, tmp_path / "calls", environment)

    return build


@pytest.fixture
def places(tmp_path: Path) -> list[str]:
    (tmp_path / "the data").mkdir()
    return ["--data_dir", str(tmp_path / "the data"), "--scratch_dir", str(tmp_path / "my scratch")]


@pytest.fixture(autouse=True)
def _account(tmp_path: Path) -> None:
    """docker.sh gives the kit to the image's account when root calls it: the tests' own files."""
    tmp_path.chmod(0o755)


def options(call: list[str], name: str) -> list[str]:
    return [call[index + 1] for index, word in enumerate(call) if word == name]


def test_shellcheck_finds_nothing() -> None:
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed")
    files = sorted(SCRIPTS.glob("*/docker.sh"))
    done = subprocess.run(
        ["shellcheck", "-x", *files], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout == ""


def test_every_code_in_the_scripts_is_in_the_table() -> None:
    text = "".join(file.read_text() for file in SCRIPTS.glob("*/*.sh"))
    assert set(re.findall(r"MS-[A-Z]\d{3}", text)) <= ERROR_CODES.keys()
    assert not re.search(r"\beval\b|docker\.sock|--privileged|--net(work)?[= ]host|--ipc", text)


def test_a_client_is_started_as_a_hospital_can_accept_it(make: Callable[..., Kit], places: list[str]) -> None:
    kit = make()
    done = kit.run("--start_client", *places)
    assert done.returncode == 0, done.stderr
    call = kit.started
    assert "--read-only" in call
    assert options(call, "--cap-drop") == ["ALL"]
    assert options(call, "--security-opt") == ["no-new-privileges"]
    assert options(call, "--restart") == ["unless-stopped"]
    assert options(call, "--shm-size") == ["2g"]
    assert not {"--publish", "-p", "--privileged", "--network", "--gpus"} & set(call)
    user = "10001:10001" if os.getuid() == 0 else f"{os.getuid()}:{os.getgid()}"
    assert options(call, "--user") == [user]
    folder = kit.folder.parent
    assert options(call, "--mount") == [
        f'type=bind,"source={folder}/the kit, with a comma",target=/kit,readonly',
        f'type=bind,"source={folder}/my scratch",target=/scratch',
        f'type=bind,"source={folder}/the data",target=/data,readonly',
    ]
    assert "MEDISWARM_DEVICE=cpu" in options(call, "--env")
    assert f"MEDISWARM_IMAGE=mediswarm/cifar10:0.1.0@{DIGEST}" in options(call, "--env")
    assert call[call.index(DIGEST) :] == [DIGEST, "node", "run", "--kit", "/kit", "--scratch", "/scratch"]


def test_a_refused_client_is_an_error_of_docker_sh(make: Callable[..., Kit], places: list[str]) -> None:
    kit = make()
    for arguments in (["--start_client", *places], ["--status"]):
        done = kit.run(*arguments, DOCKER_EXEC="error[MS-K020] another generation")
        assert done.returncode == 12
        assert "error[MS-K020]" in done.stderr
    assert "running already" in kit.run("--start_client", *places).stderr
    assert kit.run("--stop_client").returncode == 0
    assert [call[0] for call in kit.docker[-2:]] == ["stop", "rm"]


def test_a_container_that_does_not_stay_up_is_not_running(
    make: Callable[..., Kit], places: list[str]
) -> None:
    kit = make()
    for arguments in (["--start_client", *places], ["--status"]):
        done = kit.run(*arguments, DOCKER_STATE="restarting")
        assert (done.returncode, done.stderr[:14]) == (14, "error[MS-N009]")
        assert "--logs" in done.stderr


@pytest.mark.parametrize(
    ("which", "flag", "device"),
    [
        ("none", None, "cpu"),
        ("all", "all", "cuda"),
        ("0", '"device=0"', "cuda"),
        ("0,1", '"device=0,1"', "cuda"),
        ("device=1", '"device=1"', "cuda"),
        ("GPU-3a23c669-1f69-c64e", '"device=GPU-3a23c669-1f69-c64e"', "cuda"),
    ],
)
def test_gpus(make: Callable[..., Kit], places: list[str], which: str, flag: str | None, device: str) -> None:
    kit = make()
    assert kit.run("--start_client", *places, "--GPU", which, "--shm_size=16g").returncode == 0
    assert options(kit.started, "--gpus") == ([flag] if flag else [])
    assert f"MEDISWARM_DEVICE={device}" in options(kit.started, "--env")
    assert options(kit.started, "--shm-size") == ["16g"]


def test_a_job_of_the_site_is_mounted(make: Callable[..., Kit], places: list[str], tmp_path: Path) -> None:
    kit, job = make(), tmp_path / "my job"
    job.mkdir()
    (job / "job.yml").write_text("")
    assert kit.run("--local_training", *places, "--job", str(job / "job.yml")).returncode == 0
    call = kit.started
    assert f'type=bind,"source={job}",target=/jobs/my job,readonly' in options(call, "--mount")
    assert call[call.index(DIGEST) + 1 :][:5] == ["train", "/jobs/my job", "--site", "site-1", "--device"]
    assert options(call, "--network") == ["none"], "local training connects to nobody"


def test_preflight_is_told_what_a_container_cannot_see(make: Callable[..., Kit], places: list[str]) -> None:
    kit = make(NETWORK="swarm")
    assert kit.run("--preflight_check", *places, "--job", "ODELIA").returncode == 0
    assert {"MEDISWARM_DOCKER_VERSION=28.2.2", "MEDISWARM_CGROUP_DRIVER=cgroupfs"} <= set(
        options(kit.started, "--env")
    )
    assert options(kit.started, "--network") == ["swarm"]
    assert kit.started[-2:] == ["--job", "ODELIA"]


@pytest.mark.parametrize(
    ("arguments", "code", "exit_code"),
    [
        (["--start_client"], "MS-U004", 2),
        (["--start_client", "--data_dir"], "MS-U004", 2),
        (["--start_client", "--data_dir", "--scratch_dir"], "MS-U004", 2),
        (["--start_client", "--data_dir="], "MS-U004", 2),
        (["--start_client", "--stop_client"], "MS-U004", 2),
        (["--start_client", "--data_dir", "nowhere"], "MS-U001", 2),
        (["--start_client", "--data_dir", ".", "--GPU", "0; rm -rf /"], "MS-U004", 2),
        (["--start_client", "--data_dir", "data", "--scratch_dir", "data/scratch"], "MS-H011", 10),
        (["--start_client", "--data_dir", "data", "--scratch_dir", "data"], "MS-H011", 10),
        (["--start_client", "--data_dir", "data", "--scratch_dir", "."], "MS-H011", 10),
        (["--dummy_training", "--scratch_dir", "."], "MS-H011", 10),
        (["--start_client", "--data_dir", "data", "--scratch_dir", "/proc/scratch"], "MS-H001", 10),
        (["--local_training", "--data_dir", "data", "--scratch_dir", "scratch"], "MS-U004", 2),
        (["--interactive", "--scratch_dir", "scratch"], "MS-U004", 2),
        (["--privileged"], "MS-U004", 2),
        (["start"], "MS-U004", 2),
        (["--status"], "MS-N009", 14),
        (["--logs"], "MS-N009", 14),
    ],
)
def test_what_cannot_be_is_refused(
    make: Callable[..., Kit],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: str,
    exit_code: int,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    kit = make()
    done = kit.run(*arguments)
    assert (done.returncode, done.stderr.split("]")[0]) == (exit_code, f"error[{code}")
    assert "\n  hint: " in done.stderr
    assert not [call for call in kit.docker if call[0] == "run"]
    assert not any((tmp_path / "data").iterdir()), "nothing is made in the data"


def test_no_mode_shows_how_it_is_used(make: Callable[..., Kit]) -> None:
    kit = make()
    assert kit.run().returncode == 2
    helped = kit.run("--help")
    assert helped.returncode == 0
    assert "--preflight_check" in helped.stdout


def test_missing_values_are_asked_for_on_a_terminal(make: Callable[..., Kit], tmp_path: Path) -> None:
    kit = make()
    (tmp_path / "the data").mkdir()
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [str(kit.folder / "docker.sh"), "--start_client", "--GPU", "none"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=kit.environment,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        os.write(ours, f"{tmp_path}/the data\n{tmp_path}/scratch\n".encode())
        process.wait(30)
        os.close(ours)
    assert any("the data" in mount for mount in options(kit.started, "--mount"))


@pytest.mark.parametrize(
    ("images", "runs"),
    [
        ({"mediswarm/cifar10:0.1.0": DIGEST}, DIGEST),
        ({DIGEST: DIGEST}, DIGEST),
        (
            {f"mediswarm/cifar10@{DIGEST}": f"{OTHER} mediswarm/cifar10@{DIGEST}"},
            f"mediswarm/cifar10@{DIGEST}",
        ),
        (
            {"mediswarm/cifar10:0.1.0": f"{OTHER} mirror.example.org/c@{OTHER} mediswarm/cifar10@{DIGEST}"},
            f"mediswarm/cifar10@{DIGEST}",
        ),
        ({"mediswarm/cifar10:0.1.0": f"{OTHER} mediswarm/cifar10@{OTHER}"}, None),
    ],
)
def test_only_the_kits_image_is_run(
    make: Callable[..., Kit], places: list[str], images: dict[str, str], runs: str | None
) -> None:
    kit = make()
    done = kit.run("--dummy_training", *places[2:], DOCKER_IMAGES=json.dumps(images))
    if runs is None:
        assert (done.returncode, done.stderr[:14]) == (13, "error[MS-N024]")
        return
    assert done.returncode == 0, done.stderr
    assert kit.started[kit.started.index("train") - 1] == runs


def test_an_image_that_is_not_there_is_fetched_by_digest_or_not_at_all(
    make: Callable[..., Kit], places: list[str]
) -> None:
    kit = make()
    done = kit.run("--dummy_training", *places, "--no_pull", DOCKER_IMAGES="{}")
    assert (done.returncode, done.stderr[:14]) == (13, "error[MS-N023]")
    kit.run("--dummy_training", *places, DOCKER_IMAGES="{}")
    assert [call[-1] for call in kit.docker if call[0] == "pull"] == [f"mediswarm/cifar10@{DIGEST}"]


def test_a_kit_that_pins_by_its_name(make: Callable[..., Kit], places: list[str]) -> None:
    kit = make(IMAGE=f"mirror.example.org:5000/cifar10@{DIGEST}", IMAGE_DIGEST="''")
    known = {f"mirror.example.org:5000/cifar10@{DIGEST}": f"{OTHER} mirror.example.org:5000/cifar10@{DIGEST}"}
    done = kit.run("--dummy_training", *places, DOCKER_IMAGES=json.dumps(known))
    assert done.returncode == 0, done.stderr
    assert f"MEDISWARM_IMAGE=mirror.example.org:5000/cifar10@{DIGEST}" in options(kit.started, "--env")


def test_without_an_engine(make: Callable[..., Kit], places: list[str]) -> None:
    done = make().run("--start_client", *places, DOCKER_DOWN="1")
    assert (done.returncode, done.stderr[:14]) == (10, "error[MS-N022]")


def test_settings_are_read_and_never_run(make: Callable[..., Kit], places: list[str], tmp_path: Path) -> None:
    kit = make(NAME=f"'$(touch {tmp_path}/run)`touch {tmp_path}/run`'")
    kit.run("--start_client", *places)
    assert not (tmp_path / "run").exists()
    assert options(kit.started, "--name")[0].startswith("mediswarm-demo-__touch")


def test_a_kit_of_another_role(make: Callable[..., Kit], places: list[str]) -> None:
    done = make(ROLE="server").run("--start_client", *places)
    assert (done.returncode, done.stderr[:14]) == (12, "error[MS-K026]")


def test_the_server_publishes_the_federations_ports_and_no_others(
    make: Callable[..., Kit], tmp_path: Path
) -> None:
    kit = make("server", NAME="server.example.org")
    assert kit.run("--start_server", "--scratch_dir", str(tmp_path / "state")).returncode == 0
    assert options(kit.started, "--publish") == ["8002:8002", "8003:8003"]
    assert "--data" not in kit.started


def test_a_server_in_a_docker_network_publishes_nothing(make: Callable[..., Kit], tmp_path: Path) -> None:
    kit = make("server", NETWORK="swarm")
    assert kit.run("--start_server", "--scratch_dir", str(tmp_path / "state")).returncode == 0
    assert options(kit.started, "--publish") == []
    assert options(kit.started, "--network-alias") == ["server.example.org"]


def test_an_admins_command_goes_into_the_container(make: Callable[..., Kit], tmp_path: Path) -> None:
    kit = make("admin", NAME="operator@example.org")
    done = kit.run("--work_dir", str(tmp_path), "status", "my run", "--json")
    assert done.returncode == 0, done.stderr
    assert kit.started[-4:] == [DIGEST, "status", "my run", "--json"]
    assert {"MEDISWARM_STATE_DIR=/scratch", "MEDISWARM_KIT=/kit"} <= set(options(kit.started, "--env"))
    assert f'type=bind,"source={tmp_path}",target=/work' in options(kit.started, "--mount")


def test_an_admin_cannot_lose_results_in_the_container(make: Callable[..., Kit], tmp_path: Path) -> None:
    """What a container writes outside of its mounts is gone with it."""
    kit, work = make("admin", NAME="operator@example.org"), tmp_path / "work"
    work.mkdir()
    for outside in ("/result", "../result", f"{tmp_path}/result"):
        for arguments in (["--out", outside], [f"--out={outside}"]):
            done = kit.run("--work_dir", str(work), "fetch", "my run", *arguments)
            assert (done.returncode, done.stderr[:14]) == (2, "error[MS-U004]")
    assert kit.docker == []
    assert kit.run("--work_dir", str(work), "fetch", "r", "--out", f"{work}/result").returncode == 0
    assert kit.started[-3:] == ["r", "--out", "result"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files to another account")
def test_root_takes_no_files_away(make: Callable[..., Kit], tmp_path: Path) -> None:
    kit, home = make(), tmp_path / "home"
    home.mkdir()
    (home / "thesis").write_text("")
    done = kit.run("--dummy_training", "--scratch_dir", str(home))
    assert (done.returncode, done.stderr[:14]) == (10, "error[MS-H001]")
    assert (home / "thesis").stat().st_uid == 0


def test_scratch_is_private(make: Callable[..., Kit], places: list[str], tmp_path: Path) -> None:
    assert make().run("--start_client", *places).returncode == 0
    assert (tmp_path / "my scratch").stat().st_mode & 0o777 == 0o700


def test_submitting_starts_the_supervisor_in_a_container_of_its_own(make: Callable[..., Kit]) -> None:
    kit = make("admin", NAME="operator@example.org")
    assert kit.run("submit", "ODELIA").returncode == 0
    first, second = [call for call in kit.docker if call[0] == "run"]
    assert first[-1] == "supervise"
    assert options(first, "--name") == ["mediswarm-demo-operator_example.org-supervisor"]
    assert options(first, "--restart") == ["unless-stopped"]
    assert second[-2:] == ["submit", "ODELIA"]


@pytest.mark.parametrize("mode", ["--start_client", "--dummy_training"])
def test_an_engine_that_has_no_gpu_for_containers_is_named(
    make: Callable[..., Kit], places: list[str], mode: str
) -> None:
    done = make().run(mode, *places, "--GPU", "all", DOCKER_NO_GPU="1")
    assert (done.returncode, done.stderr[:14]) == (13, "error[MS-N025]")
    assert "--GPU none" in done.stderr
