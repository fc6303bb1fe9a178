"""A minimal script without a framework: from texts in a Parquet file to a saved classifier.

python bare_script.py dataset.parquet model.pt
"""

import random
import re
import sys
import zlib

import pyarrow.parquet as pq
import torch
from torch import nn

BUCKETS, WIDTH, EPOCHS, BATCH = 32_768, 64, 4, 32


class Classifier(nn.Module):
    """The mean of a text's hashed words, then one layer."""

    def __init__(self, num_labels: int) -> None:
        super().__init__()
        self.words = nn.EmbeddingBag(BUCKETS, WIDTH)
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(WIDTH, num_labels))

    def forward(self, texts: list[str]) -> torch.Tensor:
        bags = [
            [zlib.crc32(word.encode()) % BUCKETS for word in re.findall(r"\w+", text.lower())]
            for text in texts
        ]
        starts = [0]
        for bag in bags[:-1]:
            starts.append(starts[-1] + len(bag))
        words = torch.tensor([word for bag in bags for word in bag])
        return self.head(self.words(words, torch.tensor(starts)))


def main() -> None:
    """Train on some modules' docstrings, print the accuracy on other modules', and save."""
    torch.manual_seed(0)
    rows = pq.read_table(sys.argv[1]).to_pylist()
    labels = sorted({row["label"] for row in rows})
    modules = sorted({row["_group"] for row in rows})
    random.Random(0).shuffle(modules)
    held_out = set(modules[: len(modules) * 15 // 100])
    train = [row for row in rows if row["_group"] not in held_out]
    test = [row for row in rows if row["_group"] in held_out]
    model = Classifier(len(labels))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)

    def targets(batch: list[dict[str, str]]) -> torch.Tensor:
        return torch.tensor([labels.index(row["label"]) for row in batch])

    for epoch in range(EPOCHS):
        random.shuffle(train)
        for start in range(0, len(train), BATCH):
            batch = train[start : start + BATCH]
            logits = model([row["text"] for row in batch])
            loss = nn.functional.cross_entropy(logits, targets(batch))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: loss {loss.item():.3f}")
    model.eval()
    found = model([row["text"] for row in test]).argmax(1)
    print(f"accuracy {(found == targets(test)).float().mean():.3f}")
    torch.save(model.state_dict(), sys.argv[2])


if __name__ == "__main__":
    main()
