"""What the publisher of CIFAR-10 says of it (Krizhevsky, 2009): names, address, checksums."""

from __future__ import annotations

import hashlib
from pathlib import Path

from mediswarm.errors import DataError

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
ARCHIVE = "cifar-10-python.tar.gz"
FOLDER = "cifar-10-batches-py"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST = "test_batch"
MD5 = {
    ARCHIVE: "c58f30108f718f92721af3b95e74349a",
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
_BLOCK = 1 << 20


def check_published(file: Path) -> None:
    """Compare a file with the publisher's checksum.

    Raises:
        DataError: MS-D242 when it is another file.
    """
    # MD5 is what was published: it tells a damaged file. Against a forged one the unpickler guards.
    md5 = hashlib.md5(usedforsecurity=False)
    with file.open("rb") as stream:
        while block := stream.read(_BLOCK):
            md5.update(block)
    digest = md5.hexdigest()
    if digest != MD5[file.name]:
        raise DataError(
            "MS-D242",
            f"its MD5 is {digest}, the published one {MD5[file.name]}",
            repair=f"Delete the file and download it again from {URL}.",
            file=file,
        )
