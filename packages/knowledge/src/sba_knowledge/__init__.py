"""What do we know: documents, passages and search, tenant by tenant."""

from sba_knowledge import documents, ingest, search
from sba_knowledge.document import Document, FullDocument, StoredDocument
from sba_knowledge.errors import FieldTooLarge, InvalidField, KnowledgeError
from sba_knowledge.search import Hit, Hits, Mode

__all__ = [
    "Document",
    "FieldTooLarge",
    "FullDocument",
    "Hit",
    "Hits",
    "InvalidField",
    "KnowledgeError",
    "Mode",
    "StoredDocument",
    "documents",
    "ingest",
    "search",
]
