"""The verb that turns a model into a folder without torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ulmfit.cli.app import app
from ulmfit.cli.help import Verb, example_command, examples
from ulmfit.cli.options import OUTPUT, Debug, Json, TrainedModel
from ulmfit.cli.printing import percent, print_json

if TYPE_CHECKING:
    from ulmfit.apps.export import Exported

Onnx = Annotated[
    Path,
    typer.Option(
        "--onnx",
        metavar="DIR",
        help="Folder to write: forward.onnx, backward.onnx, tokenizer.json, config.json, and "
        "README.md, which explains their use. Always a folder, even if the name ends in .onnx.",
        rich_help_panel=OUTPUT,
    ),
]
Int8 = Annotated[
    bool,
    typer.Option(
        "--int8",
        help="Weights in 8 bits: a quarter of the size, and faster; answers differ slightly.",
        rich_help_panel=OUTPUT,
    ),
]


@app.command(
    cls=Verb,
    rich_help_panel="Use a model",
    short_help="Export a model to ONNX, for use without torch.",
    epilog=examples(
        "ulmfit export model --onnx model-onnx",
        "ulmfit export model --onnx model-int8 --int8",
        "ulmfit predict model-int8 new.csv -o labelled.csv",
    ),
)
def export(
    model: TrainedModel,
    onnx: Onnx,
    int8: Int8 = False,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Export a trained model to a folder of ONNX graphs, for use without torch.

    There is one graph per direction; texts of any length are read in chunks. The graphs are first
    compared with the model in torch, and not written if their answers differ. `ulmfit predict`,
    `evaluate` and `serve` accept the folder in place of a model.

    Needs the packages onnx and onnxruntime: pip install 'ulmfit[onnx]'
    """
    from ulmfit.apps.onnx_builder import require_onnx

    require_onnx()
    from ulmfit.apps.export import check_place, export_onnx
    from ulmfit.apps.predictor import Predictor

    check_place(onnx)  # before the model is loaded
    exported = export_onnx(Predictor.load(model, "cpu"), onnx, precision="int8" if int8 else "fp32")
    if as_json:
        print_json(_document(exported, model))
        return
    typer.echo(_text(exported))


def _document(exported: Exported, model: Path) -> dict[str, object]:
    found = exported.agreement
    return {
        "model": str(model),
        "output": str(exported.path),
        "precision": exported.precision,
        "bytes": exported.files,
        "agreement": {
            "texts": found.texts,
            "largest_difference": found.largest,
            "mean_difference": found.mean,
            "same_label": found.same_label,
        },
    }


def _text(exported: Exported) -> str:
    found, size = exported.agreement, sum(exported.files.values())
    lines = [
        f"wrote {exported.path}: {', '.join(exported.files)} ({size / 1e6:.1f} MB, "
        f"{exported.precision})",
        f"compared with torch on {found.texts} texts: probabilities differ by at most "
        f"{found.largest:.2g}, {found.mean:.2g} on average; same label on "
        f"{percent(found.same_label)}",
        "",
        "Try it:",
        f"  {example_command('predict', str(exported.path), '--text', 'What a film!')}",
        f"Other languages: see {exported.path / 'README.md'}",
    ]
    return "\n".join(lines)
