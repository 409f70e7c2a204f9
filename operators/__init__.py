"""The plugin's operators, one file per job in the App: form in, library call, message out."""

from .annotate import Annotate
from .evaluate import Evaluate
from .export_coco import ExportCoco
from .load_dataset import LoadDataset
from .miou import MeanIoU
from .repaint import Repaint

OPERATORS = (LoadDataset, Annotate, Repaint, Evaluate, ExportCoco, MeanIoU)
