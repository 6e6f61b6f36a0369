"""Images as a build's own data: drawn ones, folders of files, and the shapes that engines are prepared for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_images import encoded, pictures, save_images
from tritonsmith_build.errors import SmithError
from tritonsmith_build.facts import ImageFacts
from tritonsmith_build.modalities.drawn import drawn
from tritonsmith_build.modalities.images import IMAGES, PIXEL_VALUES, Pictures
from tritonsmith_build.modality import Axis
from tritonsmith_build.source import locate
from tritonsmith_build.stages.gate import box_figures
from tritonsmith_build.stages.model import model_from_source
from tritonsmith_build.tasks import TASKS
from tritonsmith_steps.pixels import PixelMaker
from workbench import write_spec

TASK = TASKS["image-classification"]


def facts(**changes: Any) -> ImageFacts:
    usual: dict[str, Any] = {"model_type": "vit", "weights": {}, "width": 3, "resample": 2, "size": (16, 24), "dims": (3,)}
    return ImageFacts.model_validate(usual | changes)


PROPORTIONAL = facts(size=None, shortest=64, longest=100, multiple=16)


def samples(folder: Path, read: ImageFacts | None = None, **tables: Any) -> Any:
    spec = write_spec(folder, task="image-classification", **tables)
    return IMAGES.samples(spec, read or facts(), TASK, folder, "gate")


def test_images_are_drawn_the_same_each_time_and_no_two_alike() -> None:
    first, again = drawn(5), drawn(5)
    assert (first.mode, first.size) == (again.mode, again.size)
    assert first.tobytes() == again.tobytes()
    made = [np.asarray(drawn(seed).resize((8, 8)), float) for seed in range(20)]
    assert min(np.abs(one - other).mean() for at, one in enumerate(made) for other in made[:at]) > 5
    assert len({drawn(seed).size for seed in range(20)}) > 5


def test_gate_and_calibration_of_a_spec_that_names_none_share_no_image(tmp_path: Path) -> None:
    spec = write_spec(tmp_path, task="image-classification")
    gate = IMAGES.samples(spec, facts(), TASK, tmp_path, "gate")
    calibration = IMAGES.samples(spec, facts(), TASK, tmp_path, "calibration")
    assert len(gate) == len(calibration) == 32
    assert set(gate.key).isdisjoint(calibration.key)
    assert not gate.labels


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes, two images each, and a file that is none."""
    for at, image in enumerate(pictures()[:4]):
        file = tmp_path / "photos" / ("cat" if at % 2 else "dog") / f"{at}.{'JPG' if at < 2 else 'png'}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encoded(image, "JPEG" if at < 2 else "PNG"))
    (tmp_path / "photos" / "readme.txt").write_text("no image")
    return tmp_path


def test_a_folder_of_folders_names_the_classes(folder: Path) -> None:
    made = samples(folder, gate={"data": "photos"})
    assert (len(made), list(made.labels)) == (4, ["cat", "cat", "dog", "dog"])
    before = made.key
    (folder / "photos" / "cat" / "1.JPG").write_bytes(encoded(pictures()[5], "JPEG"))
    assert samples(folder, gate={"data": "photos"}).key != before


def test_images_beside_folders_have_no_classes(folder: Path) -> None:
    (folder / "photos" / "more.webp").write_bytes(encoded(pictures()[5], "WEBP"))
    assert samples(folder, gate={"data": "photos"}).labels == []


def test_a_folder_without_images_and_a_damaged_one_are_refused(folder: Path) -> None:
    (folder / "none").mkdir()
    with pytest.raises(SmithError, match=r"none: holds no image; give a folder with \.jpg, \.jpeg, \.png, \.webp files"):
        samples(folder, gate={"data": "none"})
    (folder / "photos" / "cat" / "1.JPG").write_bytes(b"no")
    with pytest.raises(SmithError, match=r"1\.JPG: cannot be used in the gate or calibration data \(no JPEG, PNG or WebP"):
        list(samples(folder, gate={"data": "photos"}).batches(2))


def test_batches_hold_the_images_in_their_order(folder: Path) -> None:
    made = samples(folder, gate={"data": "photos"})
    batches = [batch[PIXEL_VALUES] for batch in made.batches(3)]
    assert [batch.shape for batch in batches] == [(3, 3, 16, 24), (1, 3, 16, 24)]
    make = PixelMaker(made.settings)
    expected = [make(made._image(source)) for source in made.sources]
    np.testing.assert_array_equal(np.concatenate(batches), expected)


def test_images_of_other_sizes_are_no_batch(folder: Path) -> None:
    made: Pictures = samples(folder, PROPORTIONAL, gate={"data": "photos"})
    shapes = [batch[PIXEL_VALUES].shape for batch in made.batches(8)]
    assert sum(shape[0] for shape in shapes) == 4
    assert len(shapes) > 1
    assert all(side % 16 == 0 for shape in shapes for side in shape[2:])


def test_an_engine_is_prepared_for_one_size_or_for_images_that_lie_and_that_stand(folder: Path) -> None:
    (one,) = IMAGES.shapes(facts())
    assert (one.name, one.dims, one.least) == ("16 x 24 pixels", {PIXEL_VALUES: (3, 16, 24)}, {})
    lying, standing = IMAGES.shapes(PROPORTIONAL)
    assert (lying.name, standing.name) == ("64 x 80 pixels", "80 x 64 pixels")
    assert (lying.least[PIXEL_VALUES], lying.most[PIXEL_VALUES]) == ((3, 16, 16), (3, 64, 96))
    assert standing.most[PIXEL_VALUES] == (3, 96, 64)
    for shape in (lying, standing):
        batch = samples(folder, PROPORTIONAL, gate={"data": "photos"}).at(6, shape)
        assert batch[PIXEL_VALUES].shape == (6, *shape.dims[PIXEL_VALUES])


def test_axes_are_fixed_or_have_a_range() -> None:
    assert IMAGES.axes(facts()) == {PIXEL_VALUES: (3, 16, 24)}
    (axes,) = IMAGES.axes(PROPORTIONAL).values()
    assert axes == (3, Axis("height", 16, 96, example=64, multiple=16), Axis("width", 16, 96, example=96, multiple=16))


def test_a_pooler_that_the_weights_lack_is_missed_only_where_it_is_asked_for(tmp_path: Path) -> None:
    save_images(tmp_path / "model", "ForImageClassification", "vit")  # which has no pooler
    spec = write_spec(tmp_path, task="image-feature-extraction")
    with pytest.raises(SmithError, match=r"the weights lack pooler\.dense\.bias, pooler\.dense\.weight"):
        model_from_source(spec, locate(spec), facts(pool=True))
    assert model_from_source(spec, locate(spec), facts(pool=False)) is not None


def test_boxes_are_compared_where_something_is_seen() -> None:
    rows = np.zeros((4, 3 + 4), np.float32)
    rows[:2, 0], rows[2:, 2] = 1, 1  # two things, two nothings
    moved = rows.copy()
    moved[0, -1], moved[3, -2] = 0.25, 0.9
    moved[1, :3] = 0, 1, 0
    assert box_figures(rows, rows, [], facts()) == {"not_finite": 0, "agreement": 1.0, "box_shift": 0.0}
    figures = box_figures(rows, moved, [], facts())
    assert figures["agreement"] == 0.75
    assert figures["box_shift"] == pytest.approx(0.25, abs=0.01)
