"""Damages every kind of file that is loaded, and loads it: an answer or an error of ours.

    python -m tests.fuzz [COUNT] [SEED] [NAME]...

loads COUNT damaged versions of each kind of file and prints what became of them as JSON. What
counts as a failure: an exception that is not a UlmfitError or has no words, more than ten seconds,
more than two gigabytes of memory, or a checkpoint that is not as it was written. Model folders are
damaged in two ways: as a disk does it, and as somebody would who seals the folder anew, so that its
checksums fit.
"""

from __future__ import annotations

import gzip
import io
import json
import random
import re
import resource
import signal
import sys
import tarfile
import tempfile
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from tests import tiny
from ulmfit.apps.predictor import Predictor
from ulmfit.artifacts import (
    CONFIG,
    METRICS,
    NGRAMS,
    TOKENIZER,
    WEIGHTS,
    FolderContents,
    read_folder,
)
from ulmfit.data.bptt import BPTTStream
from ulmfit.data.check import check_dataset
from ulmfit.data.corpus import TokenCorpus, build_corpus
from ulmfit.data.datasets import iter_texts, load_dataset
from ulmfit.errors import UlmfitError
from ulmfit.presets import load_settings
from ulmfit.stages.classifier_folder import TrainedClassifier
from ulmfit.stages.fit_ngrams import fit_ngrams
from ulmfit.stages.lm_folder import TrainedLM
from ulmfit.train.checkpoint import Checkpoints, Snapshot

SECONDS = 10
MEMORY = 2 << 30  # bytes beyond what the process has when it begins
SHOWN = 5  # failures of a kind

ODD_VALUES: list[Any] = [
    *(None, True, -1, 0, 1, 2**31, 2**63, 10**30, 0.5, 1e308, "", "x", "\ud800", "\0", [], {}),
    *(["a"], {"a": 1}, [[]] * 3, "9" * 5000, "../../etc/passwd"),
]
ODD_NUMBERS = [b"-1", b"0", b"1e999", b"99999999999999999999", b"NaN", b"2147483648", b"[[", b"{}"]


@dataclass(frozen=True)
class Target:
    """A kind of file.

    Attributes:
        healthy: its content.
        use: what is done with a damaged one.
        is_json: damage its values too, not only its bytes.
    """

    healthy: bytes
    use: Callable[[bytes], object]
    is_json: bool = False


def damaged(data: bytes, draw: random.Random) -> bytes:
    """One to four faults: bits, pieces lost, doubled, put in or swapped, numbers, the end."""
    content = bytearray(data)
    for _ in range(draw.choice([1, 1, 2, 4])):
        place = draw.randrange(len(content) + 1)
        size = draw.choice([1, 2, 8, 100])
        match draw.randrange(8):
            case 0 if place < len(content):
                content[place] ^= 1 << draw.randrange(8)
            case 1:
                content[place : place + 1] = bytes([draw.choice([0, 10, 34, 127, 128, 255])])
            case 2:
                del content[place : place + size]
            case 3:
                content[place:place] = content[place : place + size]
            case 4:
                content[place:place] = draw.randbytes(size)
            case 5:
                del content[place:]
            case 6:
                numbers = list(re.finditer(rb"\d+", bytes(content)))
                if numbers:
                    start, end = draw.choice(numbers).span()
                    content[start:end] = draw.choice(ODD_NUMBERS)
            case _:
                other = draw.randrange(len(content) + 1)
                one, two = (
                    bytes(content[place : place + size]),
                    bytes(content[other : other + size]),
                )
                content[place : place + len(two)] = two
                content[other : other + len(one)] = one
    return bytes(content)


def with_odd_value(data: bytes, draw: random.Random) -> bytes:
    """JSON with one value, somewhere, that does not belong there, or that is missing."""
    tree = json.loads(data) or {"accuracy": 0.5}  # metrics may be empty
    holders = [tree]
    for holder in holders:
        inner = holder.values() if isinstance(holder, dict) else holder
        holders += [value for value in inner if isinstance(value, dict | list) and value]
    holder = draw.choice(holders)
    key = draw.choice(sorted(holder) if isinstance(holder, dict) else range(len(holder)))
    if draw.random() < 0.1:
        del holder[key]
    else:
        holder[key] = draw.choice(ODD_VALUES)
    return json.dumps(tree).encode("utf-8", "surrogatepass")


def trained() -> TrainedClassifier:
    words = tiny.tokenizer()
    torch.manual_seed(0)
    config = tiny.classifier_model(n_classes=2).config
    lm = config.lm.model_copy(update={"vocab_size": words.vocab_size})
    config = config.model_copy(update={"lm": lm})
    from ulmfit.model.classifier import HeadDropouts, TextClassifierModel

    model = TextClassifierModel(config, tiny.NO_DROPOUT, HeadDropouts())
    texts, labels = tiny.labelled_texts(40)
    targets = np.array([[label == "glad", label == "sad"] for label in labels])
    counting = fit_ngrams(words.encode_batch(texts), targets, multi_label=False, seed=0)
    weights = dict(model.state_dict())
    return TrainedClassifier(config, "forward", ("glad", "sad"), words, weights, ngrams=counting)


def model_targets(folder: Path) -> dict[str, Target]:
    """Files of a model folder whose checksums fit, and of one whose checksums do not."""
    classifier, lm = trained(), tiny.trained_lm(tiny.tokenizer())
    found = {}
    for kind, model in (("classifier", classifier), ("language model", lm)):
        files = model.files()
        for name in (CONFIG, WEIGHTS, TOKENIZER, METRICS, NGRAMS):
            if name not in files:
                continue
            use = _sealed_anew(files, name, is_classifier=kind == "classifier")
            is_json = name not in (WEIGHTS, NGRAMS)
            found[f"{name} of a {kind}, sealed anew"] = Target(files[name] or b"{}", use, is_json)
    Predictor([classifier]).save(folder / "model")
    for name in (CONFIG, WEIGHTS, TOKENIZER):
        path = folder / "model" / name
        found[f"{name} as a disk damages it"] = Target(path.read_bytes(), _in_place(path), False)
    return found


def _sealed_anew(files: dict[str, bytes], name: str, *, is_classifier: bool) -> Any:
    def use(data: bytes) -> None:
        changed = {**files, name: data}
        try:
            config = json.loads(changed.pop(CONFIG))
        except (ValueError, RecursionError):
            return  # cannot be sealed
        if not isinstance(config, dict):
            return
        contents = FolderContents(Path("model"), config, changed)
        if is_classifier:
            predictor = Predictor([TrainedClassifier.from_contents(contents)])
            predictor.predict_proba(["the film was great . " * 20, "", "\ud800 x"])
        else:
            loaded = TrainedLM.from_contents(contents)
            loaded.tokenizer.encode("the film")
            loaded.card()

    return use


def _in_place(path: Path) -> Callable[[bytes], None]:
    def use(data: bytes) -> None:
        healthy = path.read_bytes()
        path.write_bytes(data)
        try:
            contents = read_folder(path.parent)
        finally:
            path.write_bytes(healthy)
        if data != healthy and path.name != CONFIG:
            raise AssertionError(f"{contents.path} was taken for whole")

    return use


def data_targets(folder: Path) -> dict[str, Target]:
    """Files of texts and labels."""
    texts, labels = tiny.labelled_texts(30)
    rows = list(zip(texts, labels, strict=True))
    comma = "text,label\n" + "".join(f'"{text}",{label}\n' for text, label in rows)
    tabs = "text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in rows)
    lines = "".join(json.dumps({"text": t, "label": y, "n": [1, {}]}) + "\n" for t, y in rows)
    table = pa.table({"text": texts, "label": labels})
    parquet = io.BytesIO()
    pq.write_table(table, parquet)
    healthy = {
        "a.csv": comma.encode(),
        "a.tsv": tabs.encode(),
        "a.jsonl": lines.encode(),
        "a.txt": "\n".join(texts).encode(),
        "a.csv.gz": gzip.compress(comma.encode(), mtime=0),
        "a.parquet": parquet.getvalue(),
        "a.tar": archive(texts, labels),
        "a.tar.gz": gzip.compress(archive(texts, labels), mtime=0),
    }
    return {name: Target(data, _read_all(folder / name)) for name, data in healthy.items()}


def archive(texts: list[str], labels: list[str]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as file:
        for i, (text, label) in enumerate(zip(texts, labels, strict=True)):
            member = tarfile.TarInfo(f"data/train/{label}/{i}_1.txt")
            member.size = len(text.encode())
            file.addfile(member, io.BytesIO(text.encode()))
    return out.getvalue()


def _read_all(path: Path) -> Callable[[bytes], None]:
    def use(data: bytes) -> None:
        path.write_bytes(data)
        faults = []
        for read in (load_dataset, check_dataset, lambda path: list(iter_texts(path))):
            try:
                read(path)
            except UlmfitError as error:
                faults.append(error)
        if faults:
            raise faults[0]

    return use


def run_targets(folder: Path) -> dict[str, Target]:
    """What a run keeps: checkpoints, packed text; and settings."""
    corpus = folder / "corpus"
    texts = tiny.labelled_texts(40)[0]
    build_corpus(texts, tiny.tokenizer(), corpus)
    found = {
        f"corpus {name}": Target((corpus / name).read_bytes(), _corpus(corpus / name), is_json)
        for name, is_json in (("ids.bin", False), ("starts.bin", False), ("corpus.json", True))
    }
    places = Checkpoints(folder / "checkpoints")
    tensors = {"model.w": torch.arange(20.0), "random.cpu": torch.get_rng_state()}
    for step in (4, 5):
        places.save(step, Snapshot(tensors, {"progress": {"step": step}}))
    for name, is_json in (("tensors.safetensors", False), ("state.json", True)):
        path = places.folder / "step-5" / name
        found[f"checkpoint {name}"] = Target(path.read_bytes(), _checkpoint(places, name), is_json)
    toml = b'[classifier]\nepochs = 5\nunfreezing = "full"\nhead_p = [0.1, 0.2]\n[finetune_lm]\n'
    toml += b"rates = {lr = 1e-3}\noptimizer.clip = 0.5\n"
    found["settings.toml"] = Target(toml, _settings(folder / "a.toml"))
    return found


def _corpus(path: Path) -> Callable[[bytes], None]:
    healthy = path.read_bytes()

    def use(data: bytes) -> None:
        path.write_bytes(data)
        try:
            corpus = TokenCorpus.open(path.parent, tokenizer=tiny.tokenizer())
            for window in BPTTStream(corpus, 2, 7).epoch(0):
                assert window.inputs.max() < 200
        finally:
            path.write_bytes(healthy)

    return use


def _checkpoint(places: Checkpoints, name: str) -> Callable[[bytes], None]:
    newest = places.folder / "step-5"
    healthy = {path.name: path.read_bytes() for path in newest.iterdir()}

    def use(data: bytes) -> None:
        (newest / name).write_bytes(data)
        said: list[str] = []
        try:
            found = places.load_latest(said.append)
        finally:
            newest.mkdir(exist_ok=True)
            for other, content in healthy.items():
                (newest / other).write_bytes(content)
        assert found is not None
        assert torch.equal(found.tensors["model.w"], torch.arange(20.0))
        assert found.state == {"progress": {"step": 4 if said else 5}}

    return use


def _settings(path: Path) -> Callable[[bytes], None]:
    def use(data: bytes) -> None:
        path.write_bytes(data)
        load_settings("default", file=path)

    return use


def targets(folder: Path) -> dict[str, Target]:
    """Every kind of file that is loaded."""
    return {**model_targets(folder), **data_targets(folder), **run_targets(folder)}


def too_long(number: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"more than {SECONDS} seconds")


def attack(target: Target, count: int, seed: str) -> dict[str, Any]:
    """Load `count` damaged versions; how many were refused, were taken, and failed."""
    draw = random.Random(seed)
    refused, failures = 0, []
    for _ in range(count):
        by_value = target.is_json and draw.random() < 0.6
        data = with_odd_value(target.healthy, draw) if by_value else damaged(target.healthy, draw)
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        try:
            target.use(data)
        except UlmfitError as error:
            refused += 1
            if len(str(error)) < 20 or len(str(error)) > 3000:
                failures.append(f"no message to read: {str(error)[:500]!r}")
        except Exception:
            failures.append(f"{data[:300]!r}\n{traceback.format_exc()[-1500:]}")
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    return {"tried": count, "refused": refused, "failed": len(failures), "shown": failures[:SHOWN]}


def limit_memory() -> None:
    """No more than `MEMORY` bytes from here on, where the system counts them."""
    try:
        now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY, resource.RLIM_INFINITY))


def main(arguments: list[str]) -> None:
    count = int(arguments[0]) if arguments else 100
    seed = arguments[1] if len(arguments) > 1 else "0"
    signal.signal(signal.SIGALRM, too_long)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        known = targets(Path(folder))
        limit_memory()
        wanted = arguments[2:] or known
        print(json.dumps({name: attack(known[name], count, name + seed) for name in wanted}))


if __name__ == "__main__":
    main(sys.argv[1:])
