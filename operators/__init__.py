"""The plugin's operators, one file per job in the App: form in, library call, message out."""

from .annotate import Annotate
from .calibrate import Calibrate
from .evaluate import Evaluate
from .export import Export, ExportCoco
from .import_labels import ImportLabels
from .job_actions import CancelJob, ResumeJob, ShowFailures
from .levels import Levels
from .load_dataset import LoadDataset
from .miou import MeanIoU
from .ontology import ApplyOntology
from .panoptic import Panoptic
from .parts_of import PartsOf
from .relabel import Relabel
from .rename_classes import RenameClasses
from .repaint import Repaint
from .return_corrections import ReturnCorrections
from .review import Review
from .review_item import ReviewItem
from .review_queue import ReviewQueue
from .select_masks import SelectMasks
from .show_confusions import ShowConfusions
from .show_doubtful import ShowDoubtful
from .show_like import ShowLike

OPERATORS = (
    LoadDataset,
    Annotate,
    Repaint,
    Levels,
    Panoptic,
    ApplyOntology,
    Evaluate,
    Calibrate,
    Export,
    ExportCoco,
    ImportLabels,
    SelectMasks,
    ReturnCorrections,
    MeanIoU,
    Relabel,
    RenameClasses,
    Review,
    ReviewItem,
    ReviewQueue,
    CancelJob,
    ResumeJob,
    ShowFailures,
    ShowConfusions,
    ShowDoubtful,
    ShowLike,
    PartsOf,
)
