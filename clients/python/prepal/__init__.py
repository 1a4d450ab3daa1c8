"""PRepAL: active learning on text over pretrained representations.

    import prepal

    client = prepal.Client()
    client.create_pool("reviews", backbone="minilm")
    client.add_items("reviews", [prepal.Item("r1", "a fine film"), prepal.Item("r2", "a dull one")])
    client.create_project("sentiment", pool="reviews", labels=["negative", "positive"])
    selection = client.select("sentiment", k=10)
    client.record_labels("sentiment", {selection.items[0].id: "positive"})

`AsyncClient` is the same with `await`. `local` runs the whole suite on this machine for as long as a block lasts.
"""

from prepal import errors, tensors
from prepal._async.client import AsyncClient
from prepal._health import Health
from prepal._local import local
from prepal._retry import Patience
from prepal._sync.client import Client
from prepal.errors import PrepalError
from prepal.values.acquisition import AcquisitionParameters
from prepal.values.enums import Acquisition, ClassWeight, JobState, PairMode, Pooling, Posterior, Representation
from prepal.values.head import Head, LogisticHead, McDropoutHead, SvmHead
from prepal.values.item import AddItemsResult, FetchedItems, FoundItem, Item, RejectedItem
from prepal.values.job import Job, JobError, JobMetrics, JobProgress, LabeledText, Recipe
from prepal.values.label import CLEAR, SKIP, Label, Mark, RecordedLabels
from prepal.values.pool import Backbone, Pool
from prepal.values.prediction import Predictions
from prepal.values.project import Project, ProjectStatus, StoppingSignals
from prepal.values.selection import SelectedItem, Selection, SelectTiming

__version__ = "0.1.0"

__all__ = [
    "CLEAR",
    "SKIP",
    "Acquisition",
    "AcquisitionParameters",
    "AddItemsResult",
    "AsyncClient",
    "Backbone",
    "ClassWeight",
    "Client",
    "FetchedItems",
    "FoundItem",
    "Head",
    "Health",
    "Item",
    "Job",
    "JobError",
    "JobMetrics",
    "JobProgress",
    "JobState",
    "Label",
    "LabeledText",
    "LogisticHead",
    "Mark",
    "McDropoutHead",
    "PairMode",
    "Patience",
    "Pool",
    "Pooling",
    "Posterior",
    "Predictions",
    "PrepalError",
    "Project",
    "ProjectStatus",
    "Recipe",
    "RecordedLabels",
    "RejectedItem",
    "Representation",
    "SelectTiming",
    "SelectedItem",
    "Selection",
    "StoppingSignals",
    "SvmHead",
    "errors",
    "local",
    "tensors",
]
