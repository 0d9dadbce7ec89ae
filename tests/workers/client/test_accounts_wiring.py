"""What other processes declare to their routers is what this one serves."""

from hs_common.http.endpoint import Auth, Rate
from hs_common.http.router import declared_endpoints
from hs_workers.client.accounts_wiring import ENDPOINT_CLASSES
from hs_workers.client.sign_in_wiring import registration_flows
from tests.workers.client.conftest import Play
from tests.workers.client.world import POLICY, World, config


def test_every_class_that_is_declared_is_served_and_no_other(play: Play) -> None:
    async def scenario(world: World) -> None:
        assert {type(instance) for instance in world.endpoints} == set(ENDPOINT_CLASSES)
        assert len(world.endpoints) == len(ENDPOINT_CLASSES)

    play(scenario)


def test_whoever_needs_no_token_is_limited_or_asks_for_nothing() -> None:
    unlimited = {
        declaration.path
        for declaration in declared_endpoints(ENDPOINT_CLASSES)
        if declaration.auth is Auth.NONE and declaration.rate is Rate.NONE
    }
    assert unlimited == {
        "/_matrix/client/versions",
        "/.well-known/matrix/client",
        "/.well-known/matrix/server",
        "/.well-known/matrix/support",
        "/.well-known/matrix/policy_server",
    }


def test_registering_asks_for_what_is_configured_and_else_for_the_dummy() -> None:
    token, terms = "m.login.registration_token", "m.login.terms"
    with_token = config(registration={"requires_token": True})
    has_terms = {"policies": [POLICY]}
    assert registration_flows(config(), has_email=False) == (("m.login.dummy",),)
    assert registration_flows(config(terms=has_terms), has_email=False) == ((terms,),)
    assert registration_flows(with_token, has_email=False) == ((token,),)
    everything = config(registration={"requires_token": True}, terms=has_terms, captcha={"public_key": "k"})
    assert registration_flows(everything, has_email=False) == ((token, "m.login.recaptcha", terms),)


def test_an_address_can_be_registered_with_where_mail_is_sent() -> None:
    terms, email, dummy = "m.login.terms", "m.login.email.identity", "m.login.dummy"
    required = config(registration={"requires_email": True})
    has_terms = config(terms={"policies": [POLICY]})
    assert registration_flows(has_terms, has_email=True) == ((terms, dummy), (terms, email))
    assert registration_flows(required, has_email=True) == ((email,),)
