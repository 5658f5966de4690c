"""The candidates of models that see, on tiny ones."""

from pathlib import Path

from mmgen.models.vision import classifier, dual_encoder
from mmgen.models.workloads.image_encoders import VisionWorkload, scenes


def test_vectors_are_judged(tiny_clip: Path, tiny_vit: Path) -> None:
    workload = VisionWorkload()
    for load, folder in ((dual_encoder.load, tiny_clip), (classifier.load, tiny_vit)):
        models = [load(folder, precision=name) for name in workload.candidates(folder)[:2]]
        for model in models:
            assert workload.takes(model)
            workload.run(model)
        exact, rounded = (list(workload.results(model, False)) for model in models)
        assert workload.judge(exact, rounded).accepted, workload.judge(exact, rounded)
        assert not workload.judge(exact, [one[:, ::-1] for one in exact]).accepted


def test_eight_scenes() -> None:
    assert len({scene.tobytes() for scene in scenes()}) == 8
