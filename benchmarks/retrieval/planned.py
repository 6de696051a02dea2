"""The server's own choice among its ways to search, measured at its start as a server does."""

from benchmarks.retrieval.catalogue import Catalogue, Filter, Rows, Users
from benchmarks.retrieval.strategies import AUTO, FaissIndexes, Strategy, rank
from index.ann import load_index
from server.calibration import Stopwatch, time_index, time_scan
from server.planner import Costs, Planner
from server.planner import Strategy as PlannedStrategy
from server.retrieval import Retriever
from server.row_bits import RowSet, pack
from server.row_search import IndexSearch, ScanSearch


def make_auto(catalogue: Catalogue, indexes: FaissIndexes) -> Strategy:
    """Makes the retriever that a server on the CPU has with `--retriever auto`."""
    scan = ScanSearch(catalogue.int8)
    faiss = IndexSearch(load_index(indexes.nested), "faiss")
    stopwatch = Stopwatch(catalogue.tuning_users.codes, catalogue.count)
    costs: dict[PlannedStrategy, Costs] = {
        "exact": time_scan(stopwatch, scan),
        "faiss": time_index(stopwatch, faiss, selects=True),
    }
    retriever = Retriever(Planner({"exact": scan, "faiss": faiss}, costs))

    def search(users: Users, which: Filter, k: int) -> Rows:
        # All of a call share a filter, so that one plan is theirs; what it packs, others pack once as well.
        rows = None if which.marks is None else RowSet(pack(which.marks), len(which.marks))
        planned = retriever.plan_first(0, which.row_stop, k, rows)
        return rank(catalogue, users, retriever.search(users.codes, [planned] * len(users)), k)

    return Strategy(AUTO, search)
