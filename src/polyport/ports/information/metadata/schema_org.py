"""A product as schema.org tells it to search engines, and its files as Croissant tells them to learning tools."""

from __future__ import annotations

import re
from itertools import chain, count
from typing import TYPE_CHECKING, Any

from polyport.ports.output import kinds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from polyport.ports.information.metadata.sight import Sight
    from polyport.ports.output import Download

Node = dict[str, Any]
CROISSANT = "http://mlcommons.org/croissant/1.0"
_CONTEXT: Node = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
_BLANK = re.compile(r"\s")
_TYPES = (
    ("bool", "sc:Boolean"), ("int", "sc:Integer"), ("uint", "sc:Integer"), ("decimal", "sc:Float"),
    ("float", "sc:Float"), ("double", "sc:Float"), ("date", "sc:Date"), ("timestamp", "sc:DateTime"),
)  # fmt: skip


def schema_org(sight: Sight) -> Node:
    """One schema.org `Dataset` for the product, with one a dataset as its parts."""
    return {
        "@context": "https://schema.org/",
        **_about(sight),
        "hasPart": [_part(sight, dataset) for dataset in sight.datasets],
    }


def _about(sight: Sight) -> Node:
    spec = sight.product
    team = spec.document.get("team")
    name = (team.get("name") if isinstance(team, dict) else "") or spec.id
    node: Node = {
        "@type": "Dataset",
        "@id": sight.context.identifier,
        "name": spec.name or spec.id,
        "description": spec.purpose or spec.name or spec.id,
        "identifier": sight.context.identifier,
        "url": sight.base,
        "version": spec.version,
        "keywords": [str(tag) for tag in spec.document.get("tags") or ()],
        "creator": {"@type": "Organization", "name": name},
        "isAccessibleForFree": False,
    }
    if sight.view:
        node["dateModified"] = node["datePublished"] = _day(sight)
    return node


def _day(sight: Sight) -> str:
    return sight.view.snapshot.committed_at.date().isoformat() if sight.view else ""


def _part(sight: Sight, dataset: str) -> Node:
    promised = sight.product.objects.get(dataset)
    title = (promised.business_name if promised else "") or dataset
    return {
        "@type": "Dataset",
        "@id": sight.part("dataset", dataset),
        "name": title,
        "description": (promised.description if promised else "")
        or f"{title} of {sight.product.name}.",
        "distribution": [
            {
                "@type": "DataDownload",
                "contentUrl": address,
                "encodingFormat": file.media_type,
                "name": file.title,
                **({"sha256": file.sha256} if file.sha256 else {}),
            }
            for address, file in _files(sight)
            if file.dataset == dataset
        ],
        "variableMeasured": [
            _filled({
                "@type": "PropertyValue",
                "name": name,
                "description": said.description if said else "",
                "unitText": said.unit if said else "",
            })
            for name, _, said, _ in sight.columns(dataset)
        ],
    }  # fmt: skip


def croissant(sight: Sight) -> Node:
    """The files as Croissant 1.0: `FileObject`s with their digests where known, and a record set a dataset.

    A file's digest is known once it has been rendered; `isLiveDataset` is set while one is not.
    """
    files = [(address, file) for address, file in _files(sight) if _read(file)]
    about = {**_about(sight), "@type": "sc:Dataset"}
    return {
        "@context": _CONTEXT,
        **about,
        "conformsTo": CROISSANT,
        "isLiveDataset": not all(file.sha256 for _, file in files),
        "distribution": [_object(address, file) for address, file in files],
        "recordSet": [
            _records(sight, file)
            for _, file in files
            if file.media_type.startswith("text/csv") or not _has_csv(files, file.dataset)
        ],
    }


def _read(file: Download) -> bool:
    """What Croissant can tell the columns of."""
    return file.media_type.startswith(("text/csv", "application/vnd.apache.parquet"))


def _has_csv(files: list[tuple[str, Download]], dataset: str) -> bool:
    return any(f.dataset == dataset and f.media_type.startswith("text/csv") for _, f in files)


def _identifier(file: Download) -> str:
    return file.path.lstrip("/").partition("?")[0]


def _object(address: str, file: Download) -> Node:
    media = file.media_type.partition(";")[0]
    return _filled({
        "@type": "cr:FileObject",
        "@id": _identifier(file),
        "name": _identifier(file),
        "contentUrl": address,
        "encodingFormat": "application/x-parquet" if "parquet" in media else media,
        "contentSize": f"{file.size} B" if file.size is not None else "",
        "sha256": file.sha256,
    })  # fmt: skip


def _records(sight: Sight, file: Download) -> Node:
    dataset = file.dataset
    key = sight.view.dataset(dataset).key if sight.view else ()
    shown = [name for name, *_ in sight.columns(dataset)]
    ids = _ids(dataset, shown)
    keys = [{"@id": ids[name]} for name in key] if set(key) <= set(shown) else []
    return _filled({
        "@type": "cr:RecordSet",
        "@id": _BLANK.sub("_", dataset),
        "name": dataset,
        "key": keys,
        "field": [
            _filled({
                "@type": "cr:Field",
                "@id": ids[name],
                "name": name,
                "description": said.description if said else "",
                "dataType": _type(kind),
                "source": {
                    "fileObject": {"@id": _identifier(file)},
                    "extract": {"column": name},
                },
            })
            for name, kind, said, _ in sight.columns(dataset)
        ],
    })  # fmt: skip


def _ids(dataset: str, columns: Sequence[str]) -> dict[str, str]:
    """Column -> what identifies it: Croissant's readers take no blanks there, escaped or not."""
    whole = {column: f"{dataset}/{column}" for column in columns}
    made = {column: each for column, each in whole.items() if not _BLANK.search(each)}
    for column in (c for c in columns if c not in made):
        plain = _BLANK.sub("_", whole[column])
        names = chain((plain,), (f"{plain}_{number}" for number in count(2)))
        made[column] = next(each for each in names if each not in made.values())
    return made


def _type(kind: str) -> str:
    return next((named for start, named in _TYPES if kind.startswith(start)), "sc:Text")


def _files(sight: Sight) -> Iterator[tuple[str, Download]]:
    """The address of each file that holds the columns of today: not those of older majors."""
    for port in sight.served:
        if kinds.downloadable(port) and sight.view is not None and not port.context.spec.mapping:
            for file in port.downloads(sight.view):
                yield sight.at(port) + file.path, file


def _filled(node: Node) -> Node:
    return {name: value for name, value in node.items() if value not in ("", [], None)}
