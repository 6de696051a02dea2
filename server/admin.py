"""The gRPC service by which officers change policy and overlay, and publishers products and bundles.

Of policy and overlay signatures decide; a patch can only tighten; bundles pass gates. This only carries.
"""

import grpc
from prudence.v1 import admin_pb2, admin_pb2_grpc

from server.active_policy import ActivePolicy
from server.bundle_service import BundleDesk
from server.catalogue_service import read_patches, render_catalogue, render_patches
from server.convert import read_context
from server.errors import NotReadyError
from server.family import effective_from
from server.messages import ChangeQuery
from server.render import render_instant
from suitability.policy import Policy

SERVICE_NAME = admin_pb2.DESCRIPTOR.services_by_name["AdminService"].full_name
HALT_METHOD = f"/{SERVICE_NAME}/SetOverlay"


class AdminService(admin_pb2_grpc.AdminServiceServicer):
    """Serves the policy in force, once it is there."""

    def __init__(self) -> None:
        """Answers NOT_READY until `open`."""
        self._active: ActivePolicy | None = None
        self._bundles: BundleDesk | None = None

    def open(self, active: ActivePolicy, bundles: BundleDesk | None = None) -> None:
        """Starts answering."""
        self._active, self._bundles = active, bundles

    def SetOverlay(
        self, request: admin_pb2.SetOverlayRequest, context: grpc.ServicerContext
    ) -> admin_pb2.SetOverlayResponse:
        """Answers SetOverlay."""
        active = self._ready()
        answer = active.set_overlay(
            ChangeQuery(request.overlay_document, request.signature_document, read_context(request))
        )
        return admin_pb2.SetOverlayResponse(
            overlay_hash=answer.overlay.sha256,
            overlay_sequence=answer.overlay.sequence,
            effective_time=render_instant(answer.effective_time),
            request_id=answer.request_id,
            unknown_product_ids=answer.unknown_products,
            unknown_issuers=answer.unknown_issuers,
        )

    def GetPolicy(
        self, request: admin_pb2.GetPolicyRequest, context: grpc.ServicerContext
    ) -> admin_pb2.GetPolicyResponse:
        """Answers GetPolicy."""
        answer = self._ready().describe()
        overlay = None
        if answer.overlay is not None:
            overlay = admin_pb2.PolicyOverlay(
                overlay_hash=answer.overlay.sha256,
                overlay_sequence=answer.overlay.sequence,
                overlay_document=answer.overlay.canonical,
            )
        return admin_pb2.GetPolicyResponse(
            policy=_version(answer.policy),
            overlay=overlay,
            scheduled_policies=[_version(policy) for policy in answer.scheduled],
            signature_required=answer.signature_required,
            decision_time=render_instant(answer.decision_time),
        )

    def ActivatePolicy(
        self, request: admin_pb2.ActivatePolicyRequest, context: grpc.ServicerContext
    ) -> admin_pb2.ActivatePolicyResponse:
        """Answers ActivatePolicy."""
        active = self._ready()
        answer = active.activate(
            ChangeQuery(request.policy_document, request.signature_document, read_context(request))
        )
        return admin_pb2.ActivatePolicyResponse(
            policy_hash=answer.policy.sha256,
            effective_time=render_instant(answer.effective_time),
            scheduled=answer.scheduled,
            request_id=answer.request_id,
            replaced_versions=answer.replaced_versions,
        )

    def PatchProducts(
        self, request: admin_pb2.PatchProductsRequest, context: grpc.ServicerContext
    ) -> admin_pb2.PatchProductsResponse:
        """Answers PatchProducts."""
        return render_patches(self._ready().patch_products(read_patches(request)))

    def GetCatalogue(
        self, request: admin_pb2.GetCatalogueRequest, context: grpc.ServicerContext
    ) -> admin_pb2.GetCatalogueResponse:
        """Answers GetCatalogue."""
        return render_catalogue(self._ready().describe_catalogue())

    def ListBundles(
        self, request: admin_pb2.ListBundlesRequest, context: grpc.ServicerContext
    ) -> admin_pb2.ListBundlesResponse:
        """Answers ListBundles."""
        return self._desk().list()

    def LoadBundle(
        self, request: admin_pb2.LoadBundleRequest, context: grpc.ServicerContext
    ) -> admin_pb2.LoadBundleResponse:
        """Answers LoadBundle."""
        return self._desk().load(request, context)

    def ActivateBundle(
        self, request: admin_pb2.ActivateBundleRequest, context: grpc.ServicerContext
    ) -> admin_pb2.ActivateBundleResponse:
        """Answers ActivateBundle."""
        return self._desk().activate(request, context)

    def RollbackBundle(
        self, request: admin_pb2.RollbackBundleRequest, context: grpc.ServicerContext
    ) -> admin_pb2.RollbackBundleResponse:
        """Answers RollbackBundle."""
        return self._desk().roll_back(request, context)

    def PinBundle(
        self, request: admin_pb2.PinBundleRequest, context: grpc.ServicerContext
    ) -> admin_pb2.PinBundleResponse:
        """Answers PinBundle."""
        return self._desk().pin(request, context)

    def _desk(self) -> BundleDesk:
        if self._bundles is None:
            raise NotReadyError("the server is starting")
        return self._bundles

    def _ready(self) -> ActivePolicy:
        if self._active is None:
            raise NotReadyError("the server is starting")
        return self._active


def _version(policy: Policy) -> admin_pb2.PolicyVersion:
    return admin_pb2.PolicyVersion(
        policy_id=policy.policy_id,
        version=policy.version,
        policy_hash=policy.sha256,
        policy_document=policy.canonical,
        effective_time=render_instant(effective_from(policy)),
    )
