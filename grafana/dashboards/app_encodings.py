"""How the tasks of one app are encoded, as bars of now."""

from grafana_foundation_sdk.models.dashboard import Panel

from grafana.parts.layout import Band
from grafana.parts.panels import About, bars
from grafana.parts.queries import Scope
from grafana.parts.targets import now


def encodings(scope: Scope) -> tuple[Band, Band]:
    """Return video, then audio and what else there is."""

    def by(id_: int, title: str, description: str, sample: str, *labels: str) -> Panel:
        legend = " ".join(f"{{{{{label}}}}}" for label in labels)
        query = f"sort_desc({scope.total(sample, by=labels)} > 0)"
        return bars(About(id_, title, description), now(query, legend))

    video = (
        by(
            51,
            "Resolution",
            "Tasks with video by their short side; `other`: a size outside the usual ones, `none`: no size.",
            "rtcmpu_tasks_by_video",
            "resolution",
        ),
        by(
            52,
            "Codec and profile",
            "Tasks with video by codec and profile; `none`: not set, the service's default holds.",
            "rtcmpu_tasks_by_video",
            "codec",
            "profile",
        ),
        by(
            53,
            "Preset",
            "Tasks with video by preset, from fast to careful; `none`: not set.",
            "rtcmpu_tasks_by_video",
            "preset",
        ),
    )
    others = (
        by(
            54,
            "Audio",
            "Tasks with encoding by channels and sample rate in hertz; `none`: not set.",
            "rtcmpu_tasks_by_audio",
            "channels",
            "sample_rate_hertz",
        ),
        by(
            55,
            "Relayed streams",
            "Single-stream tasks by the kind of stream and its source.",
            "rtcmpu_tasks_by_source",
            "stream_type",
            "source_type",
        ),
        by(
            56,
            "Billing tier",
            "An estimate of the billing tier from mode and area. It is no bill.",
            "rtcmpu_tasks_by_billing_tier",
            "tier",
        ),
    )
    return Band(8, video), Band(8, others)
