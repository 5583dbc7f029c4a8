"""What stored bytes cost: per month, when they are written and read, and when they are deleted too early.

Formulas of the providers' pricing pages (the price book's rows name them): a GB-month is 730 hours of one GB; objects
below a least size are billed as that size; what is deleted before its minimum duration is billed as if it had stayed
until then.
"""

from __future__ import annotations

from holdfast.economics.book import MONTH_SECONDS, PriceBook, StoragePrice

__all__ = ["DAY_SECONDS", "billed_bytes", "storage_amount", "early_deletion_amount", "lifetime_amount"]
__all__ += ["write_amount", "read_amount", "read_back_amount", "monthly_amount", "ARCHIVE_SECONDS"]

DAY_SECONDS = 86_400.0
ARCHIVE_SECONDS = 60.0  # what takes longer until its first byte has to be asked for before it can be read: an archive


def billed_bytes(price: StoragePrice, bytes_: int, objects: int) -> int:
    """The bytes that are billed for `objects` of `bytes_` in all, taken as equally large. 0 objects: nothing."""
    if objects <= 0:
        return 0
    return max(bytes_, objects * price.least_object_bytes) + objects * price.overhead_bytes


def storage_amount(book: PriceBook, price: StoragePrice, bytes_: float, seconds: float) -> float:
    """Money for `bytes_` (billed ones) that lie for `seconds`."""
    return price.storage * (bytes_ / book.gb_bytes) * (max(0.0, seconds) / MONTH_SECONDS)


def monthly_amount(book: PriceBook, price: StoragePrice, bytes_: float) -> float:
    """Money for `bytes_` for one month."""
    return storage_amount(book, price, bytes_, MONTH_SECONDS)


def early_deletion_amount(book: PriceBook, price: StoragePrice, bytes_: float, lived_seconds: float) -> float:
    """Money that is still billed when bytes are deleted after `lived_seconds`: 0 once the minimum is over."""
    return storage_amount(book, price, bytes_, price.minimum_days * DAY_SECONDS - lived_seconds)


def lifetime_amount(book: PriceBook, price: StoragePrice, bytes_: float, seconds: float) -> float:
    """Money for storing bytes and deleting them after `seconds`, early or not."""
    return storage_amount(book, price, bytes_, max(seconds, price.minimum_days * DAY_SECONDS))


def write_amount(book: PriceBook, price: StoragePrice, bytes_: float, objects: float) -> float:
    """Money for writing so many objects of so many bytes in all."""
    return price.upload * (bytes_ / book.gb_bytes) + price.write_requests * objects / 1000


def read_amount(book: PriceBook, price: StoragePrice, bytes_: float, requests: float) -> float:
    """Money for reading so many bytes back in so many requests; what the line costs comes on top."""
    return (
        price.retrieval * (bytes_ / book.gb_bytes) + (price.read_requests + price.retrieval_requests) * requests / 1000
    )


def read_back_amount(book: PriceBook, price: StoragePrice, bytes_: float, objects: float) -> float:
    """Money for reading what was just written once, to see that it is right. Objects of an archive are read back before
    a lifecycle rule archives them: that costs their requests, and no retrieval.
    """
    if price.first_byte_seconds > ARCHIVE_SECONDS:
        return price.read_requests * objects / 1000
    return read_amount(book, price, bytes_, objects)
