"""Shows a halt: one officer's signature takes a product from everybody, and two bring it back."""

import time

import grpc
from prudence.v1 import admin_pb2
from prudence.v1 import recommendation_pb2 as pb

from benchmarks.demo.officers import Officers, SignedOverlay
from benchmarks.demo.people import Pair
from benchmarks.demo.story import FINANCIAL_K, Scene
from benchmarks.messages import make_recommend, make_user
from benchmarks.serving import AdminStub

CHANGE_TIMEOUT_S = 30.0


def show_halt(scene: Scene, pair: Pair, admin: AdminStub, officers: Officers) -> None:
    """Halts the first product of the bold user's list, asks again, and lifts the halt."""
    user = make_user(pair.bold_id, scene.dataset.profiles[pair.bold_id], scene.dataset.history(pair.bold_id))
    request = make_recommend(user, domain="financial", k=FINANCIAL_K)
    before = scene.recommend(request).products
    if not before:
        scene.say("  Nothing is shown to this user, so there is nothing to halt.")
        return
    halted = before[0]
    scene.say(f"  First in the list of {pair.bold_id}: {halted.product_id} {halted.title}")
    start_s = time.monotonic()
    halt = officers.make_overlay(sequence=1, halted_products=[halted.product_id], signer_count=1)
    _set_overlay(admin, halt)
    elapsed_ms = (time.monotonic() - start_s) * 1e3
    scene.say(f"  One officer signs a halt; the server has acknowledged it after {elapsed_ms:.1f} ms.")
    scene.say(f"  The next request: {_describe(scene, request, halted.product_id)}")
    try:
        _set_overlay(admin, officers.make_overlay(sequence=2, halted_products=[], signer_count=1))
    except grpc.RpcError as error:
        scene.say(f"  Lifting it with one signature is refused: {error.details()}")
    _set_overlay(admin, officers.make_overlay(sequence=2, halted_products=[], signer_count=2))
    scene.say(f"  Two officers lift it; the next request: {_describe(scene, request, halted.product_id)}")


def _describe(scene: Scene, request: pb.RecommendRequest, product_id: str) -> str:
    answer = scene.recommend(request)
    place = next(
        (n for n, product in enumerate(answer.products, 1) if product.product_id == product_id), None
    )
    if place is not None:
        return f"{product_id} is number {place} of {len(answer.products)}."
    halted = any(entry.code == "PRD_HALTED" for entry in answer.withheld_counts)
    why = "withheld under PRD_HALTED" if halted else "not shown"
    return f"{product_id} is {why}; {len(answer.products)} others are shown."


def _set_overlay(admin: AdminStub, overlay: SignedOverlay) -> None:
    admin.SetOverlay(
        admin_pb2.SetOverlayRequest(overlay_document=overlay.document, signature_document=overlay.signatures),
        timeout=CHANGE_TIMEOUT_S,
    )
