from __future__ import annotations

import dis
import sys
import types
from collections import defaultdict
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from catchup_operator import manifests
from catchup_operator.job_template import JobTemplate
from catchup_operator.manifests import by_hand, cronjob, list_configmaps, names, pod, template_hash
from catchup_operator.schedule import clock_changes, cron
from catchup_operator.template_file import load_template

MINIMAL = JobTemplate(image="x")
FULL = JobTemplate(
    image="x",
    image_pull_policy="Never",
    env=({"name": "A", "value": "b"}, {"name": "CATCHUP_TIME_ZONE", "value": "Etc/UTC"}),
    resources={"limits": {"memory": "1Gi"}},
    pod={"nodeSelector": {"a": "b"}, "imagePullSecrets": [{"name": "a"}]},
    priority_classes={"low": "a"},
    volumes=({"name": "a", "emptyDir": {}},),
    volume_mounts=({"name": "a", "mountPath": "/a"},),
    security_context={"readOnlyRootFilesystem": True},
    labels={"a": "b"},
    annotations={"a": "b"},
    pod_labels={"a": "b"},
    pod_annotations={"a": "b"},
    digest_spread=30,
)
# Not part of making a manifest: recognising labels and keys of objects on the cluster.
_READERS = {names.has_operator_labels, names.key_of, names.owner_of, list_configmaps.configmap}


def written(path: Path, text: str) -> Path:
    file = path / "job-template.yaml"
    file.write_text(text)
    return file


def functions() -> Iterator[types.CodeType]:
    """All code of the package, and that of the cron expressions: functions and what is nested in them."""
    schedules = [clock_changes, cron]
    modules = [*schedules, *(value for value in vars(manifests).values() if isinstance(value, types.ModuleType))]
    assert {cronjob, names, pod, template_hash} <= set(modules)
    assert len(modules) == len(schedules) + len(list(Path(manifests.__file__ or "").parent.glob("[!_]*.py")))
    # What is made once for a request is not made otherwise later.
    modules.remove(by_hand)
    for module in modules:
        for value in vars(module).values():
            function = getattr(value, "__wrapped__", value)  # behind functools.cache
            is_own = isinstance(function, types.FunctionType) and function.__module__ == module.__name__
            if is_own and function not in _READERS:
                yield from nested(function.__code__)


def nested(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from nested(constant)


def conditional_jumps(code: types.CodeType) -> Iterator[dis.Instruction]:
    return (item for item in dis.get_instructions(code) if item.opname == "FOR_ITER" or "_IF_" in item.opname)


def test_the_samples_reach_every_branch_of_what_makes_a_manifest() -> None:
    """A branch that no sample reaches could change without a new hash: existing CronJobs would stay as they are."""
    codes = set(functions())
    # Of each instruction that ran, those that ran next: two of a conditional jump whose both ways were taken.
    successors: dict[tuple[types.CodeType, int], set[int]] = defaultdict(set)

    def trace(frame: types.FrameType, _: str, __: Any) -> Any:
        if frame.f_code not in codes:
            return None
        frame.f_trace_opcodes = True
        previous = -1

        def step(frame: types.FrameType, event: str, _: Any) -> Any:
            nonlocal previous
            if event == "opcode":
                successors[frame.f_code, previous].add(frame.f_lasti)
                previous = frame.f_lasti
            return step

        return step

    for cached in (cron._local_time_schedule, clock_changes.jumps, clock_changes.offsets):
        cached.cache_clear()
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        for template in (MINIMAL, FULL):
            template_hash.template_hash(template)
            template_hash.pool_template_hash(template)
    finally:
        sys.settrace(before)
    jumps = [(code, jump.offset) for code in codes for jump in conditional_jumps(code)]
    assert len(jumps) > 20
    assert sorted(code.co_name for code in codes if not successors[code, -1]) == []
    assert sorted(f"{code.co_name} at {offset}" for code, offset in jumps if len(successors[code, offset]) < 2) == []


def test_a_changed_manifest_changes_the_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    before = template_hash.template_hash(MINIMAL)
    monkeypatch.setattr(pod, "_GRACE_PERIOD_SECONDS", 31)
    assert template_hash.template_hash(MINIMAL) != before


def test_the_hash_changes_with_everything_that_a_pod_takes_from_the_file(tmp_path: Path) -> None:
    texts = [
        "image: x",
        "image: y",
        "image: x\nimagePullPolicy: Never",
        "image: x\nenv: [{name: A, value: b}]",
        "image: x\nresources: {limits: {memory: 1Gi}}",
        "image: x\npod: {nodeSelector: {a: b}}",
        "image: x\npriorityClasses: {low: a}",
        "image: x\nvolumes: [{name: a, emptyDir: {}}]",
        "image: x\nvolumeMounts: [{name: a, mountPath: /a}]",
        "image: x\nsecurityContext: {privileged: false}",
        "image: x\nkinds: {sync: {activeDeadlineSeconds: 300}}",
        "image: x\nkinds: {digest: {failedJobsHistoryLimit: 0}}",
        "image: x\nlabels: {a: b}",
        "image: x\nannotations: {a: b}",
        "image: x\npodLabels: {a: b}",
        "image: x\npodAnnotations: {a: b}",
    ]
    hashes = {template_hash.template_hash(load_template(written(tmp_path, text))) for text in texts}
    hashes.add(template_hash.template_hash(load_template(written(tmp_path, texts[0]), digest_spread=30)))
    assert len(hashes) == len(texts) + 1
    minimal = load_template(written(tmp_path, texts[0]))
    assert template_hash.template_hash(minimal) == template_hash.template_hash(MINIMAL)


def test_another_zone_database_rolls_the_cronjobs_since_their_schedules_may_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = template_hash.template_hash(MINIMAL)
    monkeypatch.setattr(metadata, "version", lambda _: "2099.1")
    assert template_hash.template_hash(MINIMAL) != before
