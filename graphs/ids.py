"""What nodes are called: stable, since it keys the records, and is what `rumpel graph` shows."""

from __future__ import annotations

from rumpel import names
from rumpel.model import FeatureSpec, ImageSpec, PodSpec, ServiceSpec
from rumpel.tasks import image
from rumpel.tasks.world import PodAddress


def node_id(kind: str, spec: PodSpec, *, shared: bool = False) -> str:
    """Stable: keys the records and is what `rumpel graph` shows."""
    repo = f"{kind}/{names.host_part(spec.host)}/{spec.repo.repo_id[:12]}"
    return repo if shared else f"{repo}/{spec.pod}"


def image_id(kind: str, spec: PodSpec) -> str:
    """Of `image` and `tools`. A pod with the image of another one (a fork) has nodes of its own:
    those of the repository say what its configuration asks for.
    """
    return node_id(kind, spec, shared=not spec.image.is_of_a_pod)


def feature_id(spec: PodSpec, one: FeatureSpec) -> str:
    """Of no pod: what comes after its repository is empty."""
    return f"{node_id('feature', spec, shared=True)}//{one.name}"


def address(spec: PodSpec) -> PodAddress:
    return PodAddress(
        repo=spec.repo,
        host=spec.host,
        pod=spec.pod,
        pod_id=spec.pod_id,
        workspace_folder=spec.container.workspace_folder,
    )


def service_id(spec: PodSpec, one: ServiceSpec) -> str:
    """The image of a service, which is of no pod."""
    return f"{node_id('image', spec, shared=True)}//{one.name}"


def image_inputs(
    spec: PodSpec,
    source: ImageSpec,
    name: str,
    bases: dict[str, tuple[str, ...]],
    **how: bool,
) -> image.Inputs:
    return image.Inputs(
        host=spec.host,
        name=name,
        repo_id=spec.repo.repo_id,
        ref=source.ref,
        dockerfile=source.dockerfile,
        context=source.context,
        context_key=source.context_key,
        bases=bases.get(source.dockerfile or "", ()),
        args=source.args,
        private_args=source.private_args,
        hidden=source.hidden,
        target=source.target,
        cache_from=source.cache_from,
        options=source.options,
        certificates=source.certificates if source.dockerfile else (),
        **how,
    )
