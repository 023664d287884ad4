"""Files that are written whole or not at all, the hash of their bytes, and the folders that hold them."""

from .hashing import CHUNK, LARGE, Sha256
from .new import NewFile, Window, new_file, remove_stale
from .tree import Tree

__all__ = ["CHUNK", "LARGE", "NewFile", "Sha256", "Tree", "Window", "new_file", "remove_stale"]
