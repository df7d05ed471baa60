"""Where a run was made."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bench.model.from_file import FromFile

ALIKE: Mapping[str, object] = {"alike": 0.0}
"""Metadata of a field of `Machine` that has to be equal for two machines to be alike."""
ALIKE_ROUGHLY: Mapping[str, object] = {"alike": 0.02}
"""The same for what the kernel works out anew at each boot: it may differ by this part."""


@dataclass(frozen=True)
class Machine(FromFile):
    """Where a run was made.

    Fields with the metadata `ALIKE` or `ALIKE_ROUGHLY` (hardware, the kernel and its limits) make
    two machines unlike; the others are only told. ``None``, or a setting that is absent: not told,
    which makes nobody unlike.
    """

    cpu: str = field(metadata=ALIKE)
    cores: int = field(metadata=ALIKE)
    """Logical ones: with two threads each, a core counts twice."""
    memory_bytes: int = field(metadata=ALIKE_ROUGHLY)
    system: str
    kernel: str = field(metadata=ALIKE)
    python: str
    somaxconn: int | None = field(metadata=ALIKE)
    """The kernel's bound on every listen queue."""
    open_files: int = field(metadata=ALIKE)
    """Soft limit of file descriptors; `sys.maxsize`: none."""
    versions: Mapping[str, str]
    """Package or program → version, of everything that takes part."""
    git_revision: str | None
    """Ends in ``+changes`` if the checkout had uncommitted changes."""
    physical_cores: int | None = field(default=None, metadata=ALIKE)
    affinity_cores: int | None = None
    """Cores that this process may run on (``taskset``, ``cpuset``)."""
    quota_cores: float | None = None
    """Cores' worth of time that its control group gets; ``None``: no quota."""
    usable_cores: float | None = field(default=None, metadata=ALIKE)
    """The least of cores, affinity and quota."""
    governor: str | None = field(default=None, metadata=ALIKE)
    """What sets the cores' frequency; virtual machines do not tell."""
    turbo: bool | None = field(default=None, metadata=ALIKE)
    memory_limit_bytes: int | None = None
    """Of its control group; ``None``: no limit."""
    usable_memory_bytes: int | None = field(default=None, metadata=ALIKE_ROUGHLY)
    """The lesser of memory and limit."""
    sysctls: Mapping[str, str] = field(default_factory=dict, metadata=ALIKE_ROUGHLY)
    """Settings of the kernel that a load meets, by name."""
    open_files_hard: int | None = field(default=None, metadata=ALIKE)
    container: str | None = field(default=None, metadata=ALIKE)
    """Its engine (``docker``, ``kubernetes`` …); ``none``: in no container."""
    hypervisor: str | None = field(default=None, metadata=ALIKE)
    """``kvm`` …, ``unknown``: one that does not say which; ``none``: a machine of its own."""
    steal_seconds: float | None = field(default=None, compare=False)
    """Since boot, over all cores; 0 can also mean that the hypervisor does not tell."""
    load_average: tuple[float, float, float] | None = field(default=None, compare=False)
    """At the start, over 1, 5 and 15 minutes."""
    python_build: str | None = None
    """Implementation, optimisation, compiler."""
