"""The command line: the same pictures as Python, one line for a mistake, nothing lost."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from engine import EditOptions, EditRequest, load_editor
from engine.__main__ import main
from engine.picture.files import open_image
from engine.request import Region
from engine.request.options import LEVERS
from engine.weights.saving import save_model
from tests.pictures import noisy_rgb
from tests.tiny import LABELS, tiny_var, tiny_vqvae


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model, a photo and a mask."""
    where = tmp_path_factory.mktemp("cli")
    save_model(where / "tiny", tiny_vqvae(), tiny_var(), labels=LABELS, about="a test")
    noisy_rgb(70, 50).save(where / "photo.jpg", quality=95)
    mask = np.zeros((50, 70), np.uint8)
    mask[10:40, 20:50] = 255
    Image.fromarray(mask).save(where / "mask.png")
    Image.fromarray(mask[:-1]).save(where / "short.png")
    Image.new("L", (70, 50)).save(where / "empty.png")
    (where / "text.png").write_text("not a picture")
    return where


def run(folder: Path, line: str) -> int:
    """Run a command line; words with a dot or slash that are files there get their folder."""
    words = [str(folder / w) if (folder / w).exists() else w for w in line.split()]
    if words[0] not in ("models", "bench"):
        words += ["--model", str(folder / "tiny"), "--device", "cpu"]
    return main(words)


def test_every_task_gives_pythons_bytes(folder: Path, tmp_path: Path) -> None:
    editor = load_editor(str(folder / "tiny"), device="cpu")
    photo, mask = open_image(folder / "photo.jpg"), open_image(folder / "mask.png")
    options = EditOptions(seed=1, top_k=20)
    expected = {
        "inpaint photo.jpg --mask mask.png": editor.inpaint(photo, mask, options=options),
        "outpaint photo.jpg --right 25% --top 9": editor.outpaint(
            photo, right="25%", top=9, options=options
        ),
        "edit-class photo.jpg --mask mask.png --label boat": editor.edit_class(
            photo, mask, "boat", options=options
        ),
        "generate --label 2": editor.generate("2", options),
    }
    for line, result in expected.items():
        out = tmp_path / "out.png"
        assert run(folder, f"{line} --seed 1 --top-k 20 -o {out}") == 0
        assert out.read_bytes() == result.png(), line


def test_the_levers_of_an_edit_have_options(folder: Path, tmp_path: Path) -> None:
    editor = load_editor(str(folder / "tiny"), device="cpu")
    photo, mask = open_image(folder / "photo.jpg"), open_image(folder / "mask.png")
    options = EditOptions(
        seed=1, candidates=3, blend="none", detail="model", grow=2, soft_scales=1,
        coarse_seeds=(5, 5), guidance_schedule="falling", temperature=0.9, fill="push_pull",
        context=64,
    )  # fmt: skip
    out = tmp_path / "out.png"
    line = (
        "inpaint photo.jpg --mask mask.png --label bird --seed 1 --candidates 3 --blend none "
        "--detail model --grow 2 --soft-scales 1 --coarse-seeds 5,5 --guidance-schedule falling "
        "--context 64 --set temperature=0.9 --set fill=push_pull"
    )
    assert run(folder, f"{line} -o {out}") == 0
    assert out.read_bytes() == editor.inpaint(photo, mask, "bird", options).png()


COMMANDS = {
    "inpaint": "inpaint", "outpaint": "outpaint", "edit-class": "edit_class",
    "generate": "generate",
}  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_every_lever_has_a_flag_where_it_says_something(
    command: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    assert main([command, "--help"]) == 0
    told = capsys.readouterr().out
    for name, lever in LEVERS.items():
        flag = f"--{name.replace('_', '-')} "
        assert (flag in told) is (COMMANDS[command] in lever.tasks), flag
        assert (lever.help in told) is (COMMANDS[command] in lever.tasks), flag


def test_a_lever_that_is_on_or_off_has_both_flags(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    line = f"edit-class photo.jpg --mask mask.png --label boat --seed 1 -o {out}"
    assert run(folder, f"{line} --backdrop --no-studio") == 0
    said = json.loads(Image.open(out).text["varpaint"])["options"]
    assert said["backdrop"] is True and said["studio"] is False


def test_notes_are_told(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A thing drawn before a plain ground is cut out of it, whatever the blend."""
    save_model(
        tmp_path / "studio", tiny_vqvae(), tiny_var(foresight=True), labels=LABELS, about="a test",
        members={"bird": ["crane"], "boat": ["hills"]},
    )  # fmt: skip
    words = ["edit-class", folder / "photo.jpg", "--mask", folder / "mask.png", "--label", "boat"]
    words += ["--blend", "none", "--seed", "1", "--model", tmp_path / "studio", "--json"]
    assert main([str(word) for word in [*words, "-o", tmp_path / "out.png"]]) == 0
    said = capsys.readouterr()
    notes = json.loads(said.out)["notes"]
    assert any(note.startswith("blend: says nothing of a thing") for note in notes)
    assert [line for line in said.err.splitlines() if line] == [f"note: {note}" for note in notes]


def test_help_answers_without_torch() -> None:
    code = (
        "import sys; from engine.__main__ import main; assert main(['inpaint', '--help']) == 0; "
        "print([name for name in ('torch', 'cv2', 'scipy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")


def test_regions_are_given_as_mask_and_label(folder: Path, tmp_path: Path) -> None:
    editor = load_editor(str(folder / "tiny"), device="cpu")
    photo, masks = open_image(folder / "photo.jpg"), [np.zeros((50, 70), bool) for _ in "ab"]
    masks[0][5:20, 5:20] = masks[1][15:45, 10:60] = True
    regions = tuple(Region(mask=m, label=n) for m, n in zip(masks, ("bird", "hills"), strict=True))
    result = editor.run(
        EditRequest(
            task="edit_class", image=photo, regions=regions, options=EditOptions(seed=1)
        )
    )
    words = ["edit-class", str(folder / "photo.jpg"), "--seed", "1", "-o", str(tmp_path / "r.png")]
    for name, region in zip("ab", regions, strict=True):
        path = tmp_path / f"{name}.png"
        Image.fromarray(region.mask).save(path)
        words += ["--region", f"{path}:{region.label}"]
    assert main([*words, "--model", str(folder / "tiny"), "--device", "cpu"]) == 0
    assert (tmp_path / "r.png").read_bytes() == result.png()


def test_variations_get_numbers_and_json_tells_all(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "v.png"
    line = f"inpaint photo.jpg --mask mask.png --seed 4 --variations 2 --json -o {out}"
    assert run(folder, line) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["files"] == [str(tmp_path / "v-1.png"), str(tmp_path / "v-2.png")]
    assert report["seeds"] == [4, 5] and report["request"]["model"] == "tiny"
    assert all(Path(name).exists() for name in report["files"]) and not out.exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("inpaint nope.jpg --mask mask.png -o out.png", "no such file"),
        ("inpaint text.png --mask mask.png -o out.png", "not a picture in a known format"),
        ("inpaint photo.jpg --mask mask.png -o out.png --set fill", "expected NAME=VALUE"),
        ("inpaint photo.jpg --mask mask.png -o out.png --set sharp=1", "unknown option 'sharp'"),
        ("inpaint photo.jpg --mask mask.png -o out.png --set coverage=1", "unknown option"),
        ("inpaint photo.jpg --mask mask.png -o out.png --match-colour", "No such option"),
        ("inpaint photo.jpg --mask mask.png -o out.png --blend poisson", "'none' or 'membrane'"),
        ("outpaint photo.jpg --right 9 -o out.png --studio", "No such option"),
        ("inpaint photo.jpg --mask short.png -o out.png", "the mask is 70x49, the picture 70x50"),
        ("inpaint photo.jpg --mask empty.png -o out.png", "the mask is empty; paint"),
        ("inpaint photo.jpg -o out.png", "Missing option '--mask'"),
        ("inpaint photo.jpg --mask mask.png -o out.xyz", "cannot save as '.xyz'"),
        ("inpaint photo.jpg --mask mask.png -o no/such/out.png", "no such folder"),
        ("edit-class photo.jpg --mask mask.png --label brid -o out.png", "near ones: 'bird'"),
        ("outpaint photo.jpg -o out.png", "needs an amount"),
        ("outpaint photo.jpg --right -5 -o out.png", "must not be negative"),
        ("outpaint photo.jpg --right 99999 -o out.png", "at most 16384"),
        ("outpaint photo.jpg --right much -o out.png", "expected pixels"),
        ("generate --variations 99 -o out.png", "less than or equal to 16"),
        ("generate --seed x -o out.png", "'--seed'"),
        ("generate --device gpu -o out.png", "unknown device 'gpu'"),
        ("models download vard16", "known: "),
        ("bench --models d99", "unknown shape 'd99'"),
        ("frobnicate", "No such command"),
    ],
)
def test_a_mistake_is_one_line_on_stderr_and_exit_2(
    folder: Path,
    line: str,
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    if "--device" in line:
        words = [str(folder / w) if (folder / w).exists() else w for w in line.split()]
        assert main([*words, "--model", str(folder / "tiny")]) == 2
    else:
        assert run(folder, line) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ") and captured.err.count("\n") == 1
    assert message in captured.err and "Traceback" not in captured.err
    assert not (tmp_path / "out.png").exists()


def test_an_unknown_model_names_the_known_ones(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["generate", "-o", "x.png", "--model", "var-d17"]) == 2
    line = capsys.readouterr().err
    assert "var-d16" in line and "bundled" in line and line.count("\n") == 1


def test_models_are_listed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "list"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in ("bundled", "var-d16", "var-d36"))
    (line,) = [line for line in listed.splitlines() if line.startswith("hmar-d16")]
    assert "memory  1.37 GB" in line and "NVIDIA, for research only, non-commercial" in line
    assert main(["models", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["name"] == "bundled"


def test_without_words_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "inpaint" in capsys.readouterr().out


def streamed(folder: Path, line: str, given: bytes) -> subprocess.CompletedProcess[bytes]:
    """The command line as a process that is handed a picture on its standard input."""
    words = [str(folder / w) if (folder / w).exists() else w for w in line.split()]
    return subprocess.run(
        [sys.executable, "-m", "engine", *words, "--model", str(folder / "tiny"), "--device",
         "cpu"],
        input=given, capture_output=True, check=False,
    )  # fmt: skip


def test_a_dash_is_standard_input_and_output_and_a_new_process_gives_the_same_bytes(
    folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.png"
    assert run(folder, f"inpaint photo.jpg --mask mask.png --seed 1 -o {out}") == 0
    photo = (folder / "photo.jpg").read_bytes()
    done = streamed(folder, "inpaint - --mask mask.png --seed 1 -o -", photo)
    assert done.returncode == 0 and done.stdout == out.read_bytes()
    assert b"seed 1" in done.stderr


def test_several_frames_are_noted_and_not_overwritten_unless_asked(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moving = tmp_path / "moving.gif"
    first, second = noisy_rgb(70, 50), noisy_rgb(70, 50, 1)
    first.save(moving, save_all=True, append_images=[second])
    before = moving.read_bytes()
    assert run(folder, f"inpaint {moving} --mask mask.png -o {moving}") == 2
    assert "--force" in capsys.readouterr().err and moving.read_bytes() == before
    assert run(folder, f"inpaint {moving} --mask mask.png -o {moving} --force --json") == 0
    told = capsys.readouterr()
    assert "the first of 2 frames" in json.loads(told.out)["notes"][0]
    assert "note: the picture: the first of 2 frames" in told.err
    assert open_image(moving).size == (70, 50)


def test_a_soft_mask_and_a_format_that_loses_something_are_noted(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ramp = np.tile(np.linspace(0, 255, 70).astype(np.uint8), (50, 1))
    Image.fromarray(ramp).save(tmp_path / "soft.png")
    noisy_rgb(70, 50).convert("RGBA").save(tmp_path / "clear.png")
    line = f"inpaint {tmp_path}/clear.png --mask {tmp_path}/soft.png -o {tmp_path}/out.jpg --json"
    assert run(folder, line) == 0
    notes = json.loads(capsys.readouterr().out)["notes"]
    assert "cut at half" in notes[0] and "shown over white" in notes[1]


def test_what_is_interrupted_says_so_and_does_not_end_as_if_it_were_done(
    folder: Path, tmp_path: Path
) -> None:
    command = [
        sys.executable, "-m", "engine", "outpaint", str(folder / "photo.jpg"), "--right", "400%",
        "--variations", "16", "-o", str(tmp_path / "out.png"), "--model", str(folder / "tiny"),
    ]  # fmt: skip
    work = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    while work.poll() is None and "torch" not in Path(f"/proc/{work.pid}/maps").read_text():
        time.sleep(0.01)
    work.send_signal(signal.SIGINT)
    _, words = work.communicate()
    assert work.returncode == 130 and words.endswith("cancelled\n")
    assert "Traceback" not in words and not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "said"), [("hmar-d16", "non-commercial"), ("var-d16", "MIT")])
def test_a_licence_is_told_before_a_download(
    name: str, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.weights import registry

    def download(asked: str) -> list[Path]:
        assert said in capsys.readouterr().err, "too late"
        return [Path(asked)]

    monkeypatch.setattr(registry, "download", download)
    assert main(["models", "download", name]) == 0
    assert capsys.readouterr().out == f"{name}\n"
