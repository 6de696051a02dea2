"""Policy, overlay and patches in force: which snapshot a request is answered with, and how that changes.

Every version that is or will be in force is compiled beforehand for every bundle that is served: the current
one, and those that experiments compare with it. A request takes its snapshot without waiting for anyone:
versions are replaced as a whole by one assignment, and a scheduled one takes over by the decision clock, also
from requests that wait to be decided. A patch of products replaces them all. An overlay is handed to every
gate that some request may still hold; no compilation and no other change delays a halt.
"""

import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

import structlog

from server.catalogue.changes import (
    CatalogueAnswer,
    PatchAnswer,
    PatchQuery,
    Served,
    answer_of,
    decide,
    find_repeated,
    propose,
)
from server.catalogue.state import CatalogueState
from server.clock import Clock
from server.errors import (
    CatalogueOffError,
    OverloadError,
    PolicyKeysMissingError,
)
from server.experiments.assignment import Experiments
from server.family import (
    Family,
    Version,
    check_schedule,
    live_policies,
    policy_of,
)
from server.gate import Gate
from server.messages import ActivateAnswer, ChangeQuery, OverlayAnswer, PolicyAnswer
from server.policy_changes import (
    Control,
    OverlayChange,
    PolicyChange,
    check_overlay_change,
    check_policy_change,
    follow,
    read_overlay_change,
    read_policy_change,
    replay,
    signature_bytes,
)
from server.policy_log import ChangeKind
from server.policy_orders import answer_activated, check_tightens, find_unknown, log_accepted, refusals_logged
from server.snapshot import CURRENT, Snapshot, all_patched, all_under_policy
from suitability.policy import Policy

LOGGED_COUNT_MAX: Final = 20
"""A log line names so many patched products."""

_log = structlog.get_logger("server")


class ActivePolicy:
    """Holds the versions that are or will be in force, compiled, and the overlay on all of them."""

    def __init__(
        self,
        snapshots: Sequence[Snapshot],
        clock: Clock,
        control: Control | None = None,
        system_clock: Clock | None = None,
        others: Sequence[Sequence[Snapshot]] = (),
        catalogue: CatalogueState | None = None,
        experiments: Experiments | None = None,
    ) -> None:
        """Puts the overlay of the history in force.

        Args:
            snapshots: the current bundle under each of `live_policies`, in their order.
            clock: the decision clock; scheduled versions take over by it.
            control: what authorises changes; None refuses every change.
            system_clock: judges the age of signatures, also under an evaluation clock.
            others: what else is served, each under the same policies; the place of the first is 1.
            catalogue: keeps patches of products; None refuses every one.
            experiments: draws the place of each user; None where all are served alike.
        """
        self._catalogue = catalogue
        self.family = Family(
            [self._patch(version) for version in zip(snapshots, *others, strict=True)], experiments
        )
        self._clock = clock
        self._control = control
        self._system_clock = system_clock or Clock()
        self._change_lock = threading.Lock()
        self._activation_lock = threading.Lock()
        # Held while versions are replaced, and taken before the change lock: what was compiled meanwhile
        # misses no patch, and a halt waits for no compilation.
        self._version_lock = threading.Lock()
        # A request may hold a version that was replaced meanwhile, and a halt must reach it there.
        self._gates: weakref.WeakSet[Gate] = weakref.WeakSet()
        # What was compiled for an order of another process that is on its way.
        self._prepared: Version = ()
        for version in self.family.versions:
            self._watch(version)

    @property
    def signed(self) -> bool:
        """Whether policy and overlay are authorised by signatures."""
        return self._control is not None

    def pin(self, place: int = CURRENT) -> Snapshot:
        """Returns the snapshot that is in force now at a place."""
        return self._in_force(self._clock.now())[place]

    def replace_bundles(self, made: Family, commit: Callable[[], None]) -> None:
        """Serves other bundles to every request that begins after this returns.

        Policy, overlay and patches stay as they are, those that came while the bundles were opened included.

        Args:
            made: the bundles under the versions that were in force when they were opened.
            commit: called when nothing but the exchange itself is left to do; if it raises, nothing changed.
        """
        # What an order prepared is compiled for these bundles before the lock: that order waits for it.
        prepared = self._prepared
        again = all_under_policy(made.versions[0], policy_of(prepared)) if prepared else ()
        # No version is activated meanwhile: what is compiled here is what is in force then.
        with self._activation_lock:
            compiled = {
                policy.sha256: version for policy, version in zip(made.policies, made.versions, strict=True)
            }
            if again:
                compiled.setdefault(policy_of(again).sha256, again)
            for policy in self.family.policies:
                if policy.sha256 not in compiled:
                    compiled[policy.sha256] = all_under_policy(made.versions[0], policy)
            with self._version_lock:
                versions = [self._patch(compiled[policy.sha256]) for policy in self.family.policies]
                with self._change_lock:
                    for version in versions:
                        self._watch(version)
                commit()
                self.family = Family(versions, made.experiments)
            if self._prepared is prepared:
                self._prepared = again

    def describe(self) -> PolicyAnswer:
        """Says what is in force and what is scheduled."""
        with self._change_lock:
            now = self._clock.now()
            in_force = policy_of(self._in_force(now))
            later = self.family.list_waiting(now)
            return PolicyAnswer(
                policy=in_force,
                overlay=None if self._control is None else self._control.history.overlay,
                scheduled=tuple(policy for policy in later if policy is not in_force),
                signature_required=self.signed,
                decision_time=now,
            )

    def set_overlay(self, query: ChangeQuery) -> OverlayAnswer:
        """Puts an overlay in force for every request that begins after this returns.

        Raises:
            InvalidArgumentError: overlay or signatures are malformed.
            ChangeRefusedError: the change is not authorised; nothing changed.
            PolicyLogError: the change could not be stored; nothing changed.
        """
        with refusals_logged(ChangeKind.OVERLAY, query.request_id):
            control = self._require_control()
            change = read_overlay_change(query.document, query.signatures)
            with self._change_lock:
                check_overlay_change(change, control.history, control.authority, self._system_clock.now())
                check_tightens(self.pin().policy, change)
                self._accept(control, ChangeKind.OVERLAY, change, query.request_id)
                for gate in self._gates:
                    gate.set_overlay(change.overlay)
            now = self._clock.now()
            # The halt holds by now: looking names up may take its time.
            products, issuers = find_unknown(change.overlay, self._in_force(now)[CURRENT])
            if products or issuers:
                _log.warning(
                    "the overlay halts what the bundle does not have",
                    products=products,
                    issuers=issuers,
                    request_id=query.request_id,
                )
            return OverlayAnswer(change.overlay, now, query.request_id, products, issuers)

    def prepare_policy(self, proposed: Mapping[str, str] | None) -> None:
        """Compiles a version that is about to be activated in every process, or lets go of it.

        Raises:
            PolicyStateError: it cannot be read.
        """
        self._prepared = ()
        if proposed is None:
            return
        policy = self._require_control().log.read_proposal(proposed)
        while not self._prepared:
            compiled = all_under_policy(self.family.versions[0], policy)
            with self._activation_lock:
                # Other bundles may be served by now.
                if self.family.holds(compiled):
                    self._prepared = compiled

    def follow_policy(self, sequence: int) -> None:
        """Brings into force what other processes wrote into the policy log, up to a sequence.

        Raises:
            StartError: the log does not go on as it should.
        """
        control = self._require_control()
        with self._change_lock:
            known_count = len(control.history.policies)
            control.history = replay(control.log.follow(sequence), control.authority, control.history)
            for gate in self._gates:
                gate.set_overlay(control.history.overlay)
        for policy in control.history.policies[known_count:]:
            with self._activation_lock:
                self._bring_in(self._take_prepared(policy))

    def activate(self, query: ChangeQuery) -> ActivateAnswer:
        """Activates a version of the policy, at once or from its effective_from.

        Raises:
            OverloadError: another version is being activated.
            ServerError: as `set_overlay`.
        """
        with refusals_logged(ChangeKind.ACTIVATE, query.request_id):
            control = self._require_control()
            change = read_policy_change(query.document, query.signatures)
            if control.log.shared:
                return self._activate_everywhere(control, change, query.request_id)
            # Compiling takes seconds for a large catalogue. Calls that waited for it here would hold the few
            # threads that orders come in by, and patches would wait behind them.
            if not self._activation_lock.acquire(blocking=False):
                raise OverloadError("another version is being activated; retry later")
            try:
                return self._activate(control, change, query.request_id)
            finally:
                self._activation_lock.release()

    def _activate(self, control: Control, change: PolicyChange, request_id: str) -> ActivateAnswer:
        now = self._clock.now()
        self._check_activation(control, change, now)
        waiting = self.family.list_waiting(now)
        compiled = all_under_policy(self.family.versions[0], change.policy)
        self._bring_in(compiled, lambda: self._accept(control, ChangeKind.ACTIVATE, change, request_id))
        return answer_activated(change.policy, now, waiting, self.family.policies, request_id)

    def _activate_everywhere(self, control: Control, change: PolicyChange, request_id: str) -> ActivateAnswer:
        """Has every process of this server compile a version, and then all bring it into force."""
        policy, now = change.policy, self._clock.now()
        self._check_activation(control, change, now)
        with control.log.prepared(policy):
            with self._change_lock:
                # By what other processes wrote meanwhile, too.
                self._check_activation(control, change, now)
                after, waiting = control.log.chain.count, self.family.list_waiting(now)
            control.log.request(
                self._system_clock.now(),
                ChangeKind.ACTIVATE,
                policy.canonical,
                signature_bytes(change.signatures),
                after=after,
            )
        log_accepted(ChangeKind.ACTIVATE, change, request_id)
        return answer_activated(policy, now, waiting, self.family.policies, request_id)

    def _check_activation(self, control: Control, change: PolicyChange, now: datetime) -> None:
        check_policy_change(change, control.history, control.authority, self._system_clock.now())
        check_schedule(change.policy, self.family.policies, now)

    def _take_prepared(self, policy: Policy) -> Version:
        """Returns a version as it was prepared; compiles it where it was not, or for another bundle."""
        prepared, self._prepared = self._prepared, ()
        if self.family.holds(prepared) and policy_of(prepared).sha256 == policy.sha256:
            return prepared
        return all_under_policy(self.family.versions[0], policy)

    def _bring_in(self, compiled: Version, accept: Callable[[], None] = lambda: None) -> None:
        """Serves a version of the policy beside or after those that are in force.

        Args:
            compiled: the version.
            accept: called when nothing else is left to do; if it raises, nothing changed.
        """
        # Only now the lock that an overlay takes.
        with self._version_lock:
            # Patches that came while it was compiled, too.
            compiled = self._patch(compiled)
            with self._change_lock:
                self._watch(compiled)
                accept()
                live = live_policies([*self.family.policies, policy_of(compiled)], self._clock.now())
                kept = (each for each in self.family.versions if policy_of(each) in live)
                self.family.versions = (*kept, compiled)

    def patch_products(self, query: PatchQuery) -> PatchAnswer:
        """Brings patches into force for every request that begins after this returns.

        Raises:
            ChangeRefusedError: nothing keeps patches here, or another sequence was expected; nothing changed.
            IdempotencyKeyError: the key came with another request.
            CatalogueLogError: the patches could not be stored; nothing changed.
        """
        if self._catalogue is None:
            raise CatalogueOffError("this server was started without catalogue_state: it keeps no patches")
        with self._version_lock:
            repeated = find_repeated(query, self._catalogue)
            if repeated is not None:
                return repeated
            now, in_force = self._system_clock.now(), self._in_force(self._clock.now())
            served = [Served(each.bundle, each.row_of, each.policy) for each in in_force]
            verdicts, changed = decide(query, served, self._catalogue.patches)
            if not changed:
                return PatchAnswer(verdicts, self._catalogue.patches.sequence, now, False, query.request_id)
            proposal = propose(query, verdicts, changed, self._catalogue, now)
            versions = tuple(all_patched(each, proposal.patches, [*changed]) for each in self.family.versions)
            accepted = self._catalogue.accept(proposal)
            self._replace_versions(versions)
        _log.info(
            "products patched",
            products=sorted(changed)[:LOGGED_COUNT_MAX],
            product_count=len(changed),
            catalogue_sequence=accepted.sequence,
            request_id=query.request_id,
        )
        return answer_of(accepted, query.request_id, repeated=False)

    def follow_catalogue(self, sequence: int) -> None:
        """Brings into force what other processes wrote into the catalogue log, up to a sequence.

        Raises:
            StartError: the log does not go on as it should.
        """
        assert self._catalogue is not None, "nothing else follows it"
        with self._version_lock:
            changed = self._catalogue.follow(sequence)
            self._replace_versions(
                tuple(all_patched(each, self._catalogue.patches, changed) for each in self.family.versions)
            )

    def describe_catalogue(self) -> CatalogueAnswer:
        """Says what binds on the bundle that serves."""
        snapshot, catalogue = self.pin(), self._catalogue
        if catalogue is None:
            return CatalogueAnswer(snapshot.version, 0, {}, accepts_patches=False)
        patches = catalogue.patches
        bound = patches.bind(snapshot.bundle, snapshot.row_of)
        return CatalogueAnswer(
            snapshot.version,
            patches.sequence,
            {snapshot.bundle.product_ids[row]: bound[row] for row in sorted(bound)},
            accepts_patches=True,
        )

    def _patch(self, version: Version) -> Version:
        return version if self._catalogue is None else all_patched(version, self._catalogue.patches)

    def _replace_versions(self, versions: tuple[Version, ...]) -> None:
        with self._change_lock:
            for version in versions:
                self._watch(version)
            self.family.versions = versions

    def _in_force(self, now: datetime) -> Version:
        return self.family.find_version(now)

    def _watch(self, version: Version) -> None:
        """Puts the overlay in force over a version, and lets every later one reach it."""
        for snapshot in version:
            if self._control is not None:
                snapshot.gate.set_overlay(self._control.history.overlay)
            self._gates.add(snapshot.gate)

    def _require_control(self) -> Control:
        if self._control is None:
            raise PolicyKeysMissingError(
                "this server was started without policy_keys: nothing can authorise a change"
            )
        return self._control

    def _accept(
        self, control: Control, kind: ChangeKind, change: OverlayChange | PolicyChange, request_id: str
    ) -> None:
        """Stores a change that was checked; only then may it take effect."""
        document = change.overlay if isinstance(change, OverlayChange) else change.policy
        control.log.append(
            self._system_clock.now(), kind, document.canonical, signature_bytes(change.signatures)
        )
        control.history = follow(control.history, change)
        log_accepted(kind, change, request_id)
